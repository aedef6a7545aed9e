package wire

import "time"

// Event is something that the server tells the application's listeners; see
// servlet.Event, whose numbers it uses. It is answered with an End.
//
// The stream of a request event (kind 5) stays open until the request has
// ended: its End with an empty answer means "told"; the server's End on it
// means that the request is over.
type Event struct {
	Kind       uint8
	Cause      uint8
	Local      bool
	Status     uint8 // bits: locally used, locally owned, replicated
	OldID      string
	Deadline   time.Duration
	HasSession bool
	Session    Session
	// Request is that of the request kinds, as in Invoke (without segment).
	Request *Invoke
}

// Bits of Event.Status.
const (
	StatusUsed       = 1 << 0
	StatusOwned      = 1 << 1
	StatusReplicated = 1 << 2
)

// Append appends the message.
func (m *Event) Append(b []byte) []byte {
	b = append(b, m.Kind, m.Cause)
	b = append(appendBool(b, m.Local), m.Status)
	b = appendInt(appendString(b, m.OldID), m.Deadline.Milliseconds())
	b = appendBool(b, m.HasSession)
	if m.HasSession {
		b = m.Session.append(b)
	}
	b = appendBool(b, m.Request != nil)
	if m.Request != nil {
		b = m.Request.Append(b)
	}
	return b
}

// Decode reads the message.
func (m *Event) Decode(p []byte) error {
	d := NewDecoder(p)
	*m = Event{Kind: d.Byte(), Cause: d.Byte(), Local: d.Bool(), Status: d.Byte(), OldID: d.String(), Deadline: d.duration()}
	if m.HasSession = d.Bool(); m.HasSession {
		m.Session.decode(d)
	}
	if d.Bool() {
		m.Request = new(Invoke)
		if err := m.Request.Decode(d.Rest()); err != nil {
			return err
		}
		return d.err
	}
	return d.finish()
}

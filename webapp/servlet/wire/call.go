package wire

import "net/http"

// CallOp is what a Call asks the container for. On the wire: append only.
type CallOp uint8

// The calls, with what they carry and what the reply carries.
const (
	// OpSession makes the request's session if it has none (Flag), or finds
	// it. Reply: Session, or none (Flag is false).
	OpSession CallOp = 1
	// OpLoad asks for an attribute (Name). Reply: Flag (it exists), Version,
	// Value, and Token if it may be kept.
	OpLoad CallOp = 2
	// OpCommit hands over Changes and is answered when they are safe. Flag:
	// it is a Barrier.
	OpCommit CallOp = 3
	// OpSwap stores Value under Name if its version still is Version (zero:
	// if it does not exist). Reply: Flag (stored) and Version; or Flag
	// false, Exists, and the present Version and Value.
	OpSwap CallOp = 4
	// OpInvalidate ends the session.
	OpInvalidate CallOp = 5
	// OpChangeID gives the session another id. Reply: Text.
	OpChangeID CallOp = 6
	// OpEncodeURL adds the session's id to an address (Name) if the client
	// needs it. Reply: Text.
	OpEncodeURL CallOp = 7
	// OpUpgrade takes the client's connection over, after a head of Status
	// and Header if Status is not 0. After the reply, Data in both
	// directions is the connection.
	OpUpgrade CallOp = 8
	// OpNames asks for the names of the session's attributes. Reply: Names.
	OpNames CallOp = 9
	// OpLookup asks for the application that would serve a path (Name).
	// Reply: Flag (there is one that may be reached), Text (its context path).
	OpLookup CallOp = 10
)

// Call asks the container for something within a stream that is open. Several
// may be open at once; ID tells the replies apart.
type Call struct {
	ID      uint64
	Op      CallOp
	Flag    bool
	Name    string
	Version Version
	Value   []byte
	Changes *Changes
	Status  int
	Header  http.Header
}

// Append appends the message.
func (m *Call) Append(b []byte) []byte {
	b = append(appendUint(b, m.ID), byte(m.Op))
	switch m.Op {
	case OpSession:
		b = appendBool(b, m.Flag)
	case OpLoad, OpEncodeURL, OpLookup:
		b = appendString(b, m.Name)
	case OpCommit:
		b = appendBool(b, m.Flag)
		c := m.Changes
		if c == nil {
			c = new(Changes)
		}
		b = c.append(b)
	case OpSwap:
		b = appendBytes(appendVersion(appendString(b, m.Name), m.Version), m.Value)
	case OpUpgrade:
		b = appendHeaders(appendUint(b, uint64(m.Status)), m.Header)
	case OpInvalidate, OpChangeID, OpNames:
	}
	return b
}

// Decode reads the message; Value and the values of Changes are part of p.
func (m *Call) Decode(p []byte) error {
	d := NewDecoder(p)
	*m = Call{ID: d.Uint(), Op: CallOp(d.Byte())}
	switch m.Op {
	case OpSession:
		m.Flag = d.Bool()
	case OpLoad, OpEncodeURL, OpLookup:
		m.Name = d.ownString()
	case OpCommit:
		m.Flag = d.Bool()
		m.Changes = new(Changes)
		m.Changes.decode(d)
	case OpSwap:
		m.Name, m.Version, m.Value = d.ownString(), d.version(), d.Bytes()
	case OpUpgrade:
		m.Status, m.Header = d.status(), d.Headers()
	case OpInvalidate, OpChangeID, OpNames:
	default:
		d.fail("unknown call")
	}
	return d.finish()
}

// Reply answers the Call of the same ID; what it carries depends on the call's
// Op, or it is a Failure.
type Reply struct {
	ID      uint64
	Failure *Failure
	Flag    bool
	Exists  bool
	Version Version
	Token   uint64
	Value   []byte
	Text    string
	Names   []string
	Session *Session
}

const (
	replyFailure = 1 << 0
	replyFlag    = 1 << 1
	replyExists  = 1 << 2
	replyValue   = 1 << 3
	replySession = 1 << 4
	replyText    = 1 << 5
	replyNames   = 1 << 6
)

// Append appends the message.
func (m *Reply) Append(b []byte) []byte {
	b = appendUint(b, m.ID)
	flags := byte(0)
	for i, on := range [...]bool{m.Failure != nil, m.Flag, m.Exists, m.Value != nil || m.Version != (Version{}),
		m.Session != nil, m.Text != "", len(m.Names) > 0} {
		if on {
			flags |= 1 << i
		}
	}
	b = append(b, flags)
	if m.Failure != nil {
		b = m.Failure.append(b)
	}
	if flags&replyValue != 0 {
		b = appendBytes(appendUint(appendVersion(b, m.Version), m.Token), m.Value)
	}
	if m.Session != nil {
		b = m.Session.append(b)
	}
	if m.Text != "" {
		b = appendString(b, m.Text)
	}
	if len(m.Names) > 0 {
		b = appendStrings(b, m.Names)
	}
	return b
}

// Decode reads the message; values are part of p.
func (m *Reply) Decode(p []byte) error {
	d := NewDecoder(p)
	*m = Reply{ID: d.Uint()}
	flags := d.Byte()
	if flags&^(replyFailure|replyFlag|replyExists|replyValue|replySession|replyText|replyNames) != 0 {
		d.fail("unknown part of a reply")
	}
	if flags&replyFailure != 0 {
		m.Failure = new(Failure)
		m.Failure.decode(d)
	}
	m.Flag, m.Exists = flags&replyFlag != 0, flags&replyExists != 0
	if flags&replyValue != 0 {
		m.Version, m.Token, m.Value = d.version(), d.Uint(), d.Bytes()
	}
	if flags&replySession != 0 {
		m.Session = new(Session)
		m.Session.decode(d)
	}
	if flags&replyText != 0 {
		m.Text = d.String()
	}
	if flags&replyNames != 0 {
		m.Names = d.Strings()
	}
	return d.finish()
}

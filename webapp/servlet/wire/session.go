package wire

import "time"

// Version is the version of a session's attribute; see servlet.Version.
type Version struct {
	Epoch uint32
	Node  uint32
	Clock uint64
}

func appendVersion(b []byte, v Version) []byte {
	return appendUint(appendUint(appendUint(b, uint64(v.Epoch)), uint64(v.Node)), v.Clock)
}

func (d *Decoder) version() Version {
	return Version{Epoch: d.Uint32(), Node: d.Uint32(), Clock: d.Uint()}
}

// AttrMode says how an attribute's value is carried. On the wire: append only.
type AttrMode uint8

// The ways to carry a value.
const (
	// Inline: the value is here.
	Inline AttrMode = 0
	// InlineKeep: the value is here, and the worker may keep it under Token.
	InlineKeep AttrMode = 1
	// Held: the worker has the value under Token. If it has dropped it, it
	// loads it (OpLoad).
	Held AttrMode = 2
	// OnDemand: the value is large; the worker loads it if it is asked for.
	OnDemand AttrMode = 3
)

// Attr is one attribute of a session in an Invoke or Event.
type Attr struct {
	Name    string
	Version Version
	Mode    AttrMode
	Token   uint64 // InlineKeep, Held
	Value   []byte // Inline, InlineKeep: part of the payload after Decode
}

// Session is a session as a request begins: all its attributes' names, and the
// values that the worker does not hold yet.
type Session struct {
	ID           string
	New          bool
	Created      time.Time // in milliseconds
	LastAccessed time.Time // in milliseconds
	MaxInactive  time.Duration
	Attrs        []Attr
}

func (m *Session) append(b []byte) []byte {
	b = appendBool(appendString(b, m.ID), m.New)
	b = appendTime(appendTime(b, m.Created), m.LastAccessed)
	b = appendInt(b, m.MaxInactive.Milliseconds())
	b = appendUint(b, uint64(len(m.Attrs)))
	for i := range m.Attrs {
		a := &m.Attrs[i]
		b = append(appendVersion(appendString(b, a.Name), a.Version), byte(a.Mode))
		if a.Mode == InlineKeep || a.Mode == Held {
			b = appendUint(b, a.Token)
		}
		if a.Mode == Inline || a.Mode == InlineKeep {
			b = appendBytes(b, a.Value)
		}
	}
	return b
}

func (m *Session) decode(d *Decoder) {
	*m = Session{
		ID: d.String(), New: d.Bool(), Created: d.Time(), LastAccessed: d.Time(),
		MaxInactive: d.duration(), Attrs: m.Attrs[:0],
	}
	n := d.count(5)
	for range n {
		a := Attr{Name: d.String(), Version: d.version(), Mode: AttrMode(d.Byte())}
		switch a.Mode {
		case Inline:
			a.Value = d.Bytes()
		case InlineKeep:
			a.Token = d.Uint()
			a.Value = d.Bytes()
		case Held:
			a.Token = d.Uint()
		case OnDemand:
		default:
			d.fail("unknown way to carry an attribute")
		}
		if d.err != nil {
			return
		}
		m.Attrs = append(m.Attrs, a)
	}
}

// maxMillis keeps a duration in milliseconds within what time.Duration holds.
const maxMillis = int64(1<<63-1) / int64(time.Millisecond)

// duration reads a duration in milliseconds.
func (d *Decoder) duration() time.Duration {
	v := d.Int()
	if v > maxMillis || v < -maxMillis {
		d.fail("duration out of range")
		return 0
	}
	return time.Duration(v) * time.Millisecond
}

// Change is one attribute that a request has set or removed.
type Change struct {
	Name   string
	Remove bool
	// Token is under what the worker keeps the value, 0 if it does not.
	Token uint64
	Value []byte // part of the payload after Decode
}

// Changes are what a request has changed in its session since its last commit
// point. See servlet.Changes.
type Changes struct {
	Attrs []Change
	Read  []string
	// HasMaxInactive says that MaxInactive was set.
	HasMaxInactive bool
	MaxInactive    time.Duration
}

const (
	changeRemove = 1 << 0
	changeToken  = 1 << 1
)

func (m *Changes) append(b []byte) []byte {
	b = appendUint(b, uint64(len(m.Attrs)))
	for i := range m.Attrs {
		c := &m.Attrs[i]
		b = appendString(b, c.Name)
		switch {
		case c.Remove:
			b = append(b, changeRemove)
		case c.Token != 0:
			b = appendBytes(appendUint(append(b, changeToken), c.Token), c.Value)
		default:
			b = appendBytes(append(b, 0), c.Value)
		}
	}
	b = appendStrings(b, m.Read)
	b = appendBool(b, m.HasMaxInactive)
	if m.HasMaxInactive {
		b = appendInt(b, m.MaxInactive.Milliseconds())
	}
	return b
}

func (m *Changes) decode(d *Decoder) {
	*m = Changes{}
	n := d.count(2)
	if n > 0 {
		m.Attrs = make([]Change, 0, n)
	}
	for range n {
		c := Change{Name: d.ownString()}
		switch kind := d.Byte(); kind {
		case changeRemove:
			c.Remove = true
		case changeToken:
			c.Token = d.Uint()
			c.Value = d.Bytes()
		case 0:
			c.Value = d.Bytes()
		default:
			d.fail("unknown kind of change")
		}
		if d.err != nil {
			return
		}
		m.Attrs = append(m.Attrs, c)
	}
	m.Read = d.Strings()
	if m.HasMaxInactive = d.Bool(); m.HasMaxInactive {
		m.MaxInactive = d.duration()
	}
}

// Failure is how a request, an event or a call went wrong.
type Failure struct {
	Kind    FailureKind
	Message string
	// Types are the error's type names, most specific first.
	Types []string
	// Status is that of FailStatus; for FailError 0, or that of an error
	// which names one.
	Status int
	// RetryAfter and Permanent are those of FailUnavailable.
	RetryAfter time.Duration
	Permanent  bool
}

// FailureKind is the kind of a Failure. On the wire: append only.
type FailureKind uint8

// The kinds of failures.
const (
	// FailError: the handler failed with an error.
	FailError FailureKind = 1
	// FailPanic: the handler panicked.
	FailPanic FailureKind = 2
	// FailAbort: the handler wants the connection to the client closed.
	FailAbort FailureKind = 3
	// FailStatus: the handler asks for an error page by status.
	FailStatus FailureKind = 4
	// FailUnavailable: the component cannot serve, for a time or for good.
	FailUnavailable FailureKind = 5
	// FailInvalid: the session is no longer valid.
	FailInvalid FailureKind = 6
	// FailCommitted: the response has begun to leave.
	FailCommitted FailureKind = 7
	// FailTooMany: there are too many sessions.
	FailTooMany FailureKind = 8
	// FailNone: the handler is content; it has sent no head of its own.
	FailNone FailureKind = 9
	// FailNotExist: what was asked for (the target of a dispatch) is not there.
	FailNotExist FailureKind = 10
	// FailOutOfService is FailUnavailable by a panic: it holds for the
	// servlet, not for the request alone.
	FailOutOfService FailureKind = 11
)

func (m *Failure) append(b []byte) []byte {
	b = appendStrings(appendString(append(b, byte(m.Kind)), m.Message), m.Types)
	b = appendUint(b, uint64(m.Status))
	return appendBool(appendInt(b, m.RetryAfter.Milliseconds()), m.Permanent)
}

func (m *Failure) decode(d *Decoder) {
	*m = Failure{
		Kind: FailureKind(d.Byte()), Message: d.ownString(), Types: d.Strings(), Status: d.status(),
		RetryAfter: d.duration(), Permanent: d.Bool(),
	}
}

// status reads an HTTP status: 0 or three digits.
func (d *Decoder) status() int {
	v := d.Uint()
	if v != 0 && (v < 100 || v > 999) {
		d.fail("status without three digits")
		return 0
	}
	return int(v)
}

package wire

import "net/http"

// DispatchKind is where a Dispatch leads. On the wire: append only.
type DispatchKind uint8

// The dispatches.
const (
	// DispatchNext runs what follows the segment in the chain.
	DispatchNext DispatchKind = 0
	// DispatchForward and DispatchInclude run the target.
	DispatchForward DispatchKind = 1
	DispatchInclude DispatchKind = 2
)

// Dispatch goes from the application back into the container, within a request
// that is open. The stream it opens ends with the container's End.
type Dispatch struct {
	Kind DispatchKind
	// Parent is the stream of the Invoke (or Event) that it is a part of.
	Parent uint32
	// Path and Query, or Name, are the target of forward and include; App
	// is the target's context path if it is another application's.
	Path, Query, Name string
	HasApp            bool
	App               string
	// Direct says that the response is the request's own, so that the
	// container writes to the client and not to the worker.
	Direct bool
	// Body says where the request's body comes from: 0 it is the
	// request's own, what is left of it; 1 from the worker, in Data frames
	// on this stream; 2 there is none.
	Body uint8
	// Status and Header are those that the response has so far.
	Status int
	Header http.Header
	// HasRequest says that Method, URI and RequestHeader differ from the
	// request's own and replace them.
	HasRequest    bool
	Method        string
	ReqPath       string
	ReqRawPath    string
	ReqQuery      string
	ContentLength int64
	RequestHeader http.Header
	// Changes of the session up to here, nil for none.
	Changes *Changes
	// Attributes of the request that the worker has set.
	Attributes []Named
	// Removed are the names of the attributes that the worker has removed.
	Removed []string
}

// Where a Dispatch's request body comes from.
const (
	BodyOwn  = 0
	BodyData = 1
	BodyNone = 2
)

const (
	dispatchApp     = 1 << 0
	dispatchDirect  = 1 << 1
	dispatchRequest = 1 << 2
	dispatchChanges = 1 << 3
)

// Append appends the message.
func (m *Dispatch) Append(b []byte) []byte {
	flags := byte(0)
	for i, on := range [...]bool{m.HasApp, m.Direct, m.HasRequest, m.Changes != nil} {
		if on {
			flags |= 1 << i
		}
	}
	b = append(b, byte(m.Kind), flags, m.Body)
	b = appendUint(b, uint64(m.Parent))
	b = appendString(appendString(appendString(b, m.Path), m.Query), m.Name)
	if m.HasApp {
		b = appendString(b, m.App)
	}
	b = appendHeaders(appendUint(b, uint64(m.Status)), m.Header)
	if m.HasRequest {
		b = appendString(appendString(appendString(appendString(b, m.Method), m.ReqPath), m.ReqRawPath), m.ReqQuery)
		b = appendHeaders(appendInt(b, m.ContentLength), m.RequestHeader)
	}
	if m.Changes != nil {
		b = m.Changes.append(b)
	}
	return appendStrings(appendNamed(b, m.Attributes), m.Removed)
}

// Decode reads the message.
func (m *Dispatch) Decode(p []byte) error {
	d := NewDecoder(p)
	*m = Dispatch{Kind: DispatchKind(d.Byte())}
	flags := d.Byte()
	m.Body = d.Byte()
	if m.Kind > DispatchInclude || m.Body > BodyNone || flags > 15 {
		d.fail("unknown kind of dispatch")
	}
	m.HasApp, m.Direct, m.HasRequest = flags&dispatchApp != 0, flags&dispatchDirect != 0, flags&dispatchRequest != 0
	m.Parent = d.Uint32()
	m.Path, m.Query, m.Name = d.String(), d.String(), d.String()
	if m.HasApp {
		m.App = d.String()
	}
	m.Status, m.Header = d.status(), d.Headers()
	if m.HasRequest {
		m.Method, m.ReqPath, m.ReqRawPath, m.ReqQuery = d.String(), d.String(), d.String(), d.String()
		m.ContentLength, m.RequestHeader = d.Int(), d.Headers()
	}
	if flags&dispatchChanges != 0 {
		m.Changes = new(Changes)
		m.Changes.decode(d)
	}
	m.Attributes, m.Removed = d.named(), d.Strings()
	return d.finish()
}

package wire

import (
	"net/http"
	"time"
)

// Invoke is a request for one segment of the application's chain: filters and
// perhaps a servlet, agreed on by Init with OpSegment.
type Invoke struct {
	Segment uint32
	// Scope is the stream whose request this one is a part of: that of the
	// Dispatch which led here, or of the request's event. 0: none. What
	// has the same scope shares the request's attributes and session.
	Scope uint32
	// Dispatcher: 0 REQUEST, 1 FORWARD, 2 INCLUDE, 3 ERROR.
	Dispatcher uint8
	Request    Request
	Paths      Paths
	// Attributes of the request, as CBOR, that the worker has not set itself.
	Attributes []Named
	// HasSession says that Session is there.
	HasSession bool
	Session    Session
	// Deadline is the time that is left for the request; 0 is no limit.
	Deadline time.Duration
	// Extra is for later versions and for what only some workers know.
	// Unknown names are ignored.
	Extra []Named
	// Header is that of the response so far, if filters of the container
	// have set any: the answer's replaces it.
	Header http.Header
	// Body is what has already been read of the request's body, at most
	// MaxData. With FlagEnd it is all of it.
	Body []byte
}

// Named is a value by name.
type Named struct {
	Name  string
	Value []byte
}

// Request is an HTTP request's head.
type Request struct {
	Method     string
	Major      uint8
	Minor      uint8
	Host       string
	RemoteAddr string
	// URI is the request's target as the client sent it (RequestURI of
	// http.Request); Path is its decoded path, RawPath its encoded one if
	// that is not the default encoding of Path, Query what follows "?".
	URI, Path, RawPath, Query string
	ForceQuery                bool // the target ends in "?"
	// ContentLength is -1 if it is unknown.
	ContentLength int64
	Header        http.Header
	// Trailers are the names that the client announced.
	Trailers []string
	// TLS is nil if the connection was not encrypted.
	TLS *TLS
}

// TLS is what is known of an encrypted connection.
type TLS struct {
	Version      uint16
	Cipher       uint16
	ServerName   string
	Protocol     string   // negotiated by ALPN
	Certificates [][]byte // the client's chain, DER
}

// Paths are how the container has split the request's path; see servlet.Pass.
type Paths struct {
	RequestURI  string // of this pass, "" if it is the request's own
	Query       string // of this pass
	ServletPath string
	PathInfo    string
	Match       uint8
	Value       string
	Pattern     string
	Servlet     string
}

const (
	invokeSession = 1 << 0
	invokeTLS     = 1 << 1
	invokeForceQ  = 1 << 2
	invokeURI     = 1 << 3 // URI differs from path and query
	invokeExtra   = 1 << 4
	invokeAttrs   = 1 << 5
	invokeTrailer = 1 << 6
	invokeHeader  = 1 << 7
)

// Append appends the message.
func (m *Invoke) Append(b []byte) []byte {
	r := &m.Request
	flags := byte(0)
	for _, f := range [...]struct {
		on  bool
		bit byte
	}{
		{m.HasSession, invokeSession}, {r.TLS != nil, invokeTLS}, {r.ForceQuery, invokeForceQ},
		{!r.plainURI(), invokeURI}, {len(m.Extra) > 0, invokeExtra}, {len(m.Attributes) > 0, invokeAttrs},
		{len(r.Trailers) > 0, invokeTrailer}, {len(m.Header) > 0, invokeHeader},
	} {
		if f.on {
			flags |= f.bit
		}
	}
	b = appendUint(appendUint(b, uint64(m.Segment)), uint64(m.Scope))
	b = append(b, m.Dispatcher, flags)
	b = appendInt(b, m.Deadline.Milliseconds())
	b = r.append(b, flags)
	b = m.Paths.append(b)
	if flags&invokeAttrs != 0 {
		b = appendNamed(b, m.Attributes)
	}
	if flags&invokeExtra != 0 {
		b = appendNamed(b, m.Extra)
	}
	if m.HasSession {
		b = m.Session.append(b)
	}
	if flags&invokeHeader != 0 {
		b = appendHeaders(b, m.Header)
	}
	return append(b, m.Body...)
}

// Decode reads the message; Body is what follows it.
func (m *Invoke) Decode(p []byte) error {
	d := Decoder{b: p}
	m.Segment, m.Scope = d.Uint32(), d.Uint32()
	m.Dispatcher = d.Byte()
	flags := d.Byte()
	m.Deadline = d.duration()
	m.Request.decode(&d, flags)
	m.Paths.decode(&d)
	m.Attributes, m.Extra = nil, nil
	if flags&invokeAttrs != 0 {
		m.Attributes = d.named()
	}
	if flags&invokeExtra != 0 {
		m.Extra = d.named()
	}
	if m.HasSession = flags&invokeSession != 0; m.HasSession {
		m.Session.decode(&d)
	}
	m.Header = nil
	if flags&invokeHeader != 0 {
		m.Header = d.Headers()
	}
	m.Body = d.Rest()
	if len(m.Body) > MaxData {
		d.fail("body too long")
	}
	return d.err
}

// plainURI reports that URI is what Path and Query say.
func (r *Request) plainURI() bool {
	if r.Query == "" {
		return r.URI == r.Path
	}
	n := len(r.Path)
	return len(r.URI) == n+1+len(r.Query) && r.URI[:n] == r.Path && r.URI[n] == '?' && r.URI[n+1:] == r.Query
}

func (r *Request) append(b []byte, flags byte) []byte {
	b = append(appendString(b, r.Method), r.Major<<4|r.Minor&15)
	b = appendString(appendString(b, r.Host), r.RemoteAddr)
	b = appendString(appendString(appendString(b, r.Path), r.RawPath), r.Query)
	if flags&invokeURI != 0 {
		b = appendString(b, r.URI)
	}
	b = appendInt(b, r.ContentLength)
	b = appendHeaders(b, r.Header)
	if flags&invokeTrailer != 0 {
		b = appendStrings(b, r.Trailers)
	}
	if t := r.TLS; flags&invokeTLS != 0 && t != nil {
		b = appendUint(appendUint(b, uint64(t.Version)), uint64(t.Cipher))
		b = appendString(appendString(b, t.ServerName), t.Protocol)
		b = appendUint(b, uint64(len(t.Certificates)))
		for _, c := range t.Certificates {
			b = appendBytes(b, c)
		}
	}
	return b
}

func (r *Request) decode(d *Decoder, flags byte) {
	r.Method = d.String()
	v := d.Byte()
	r.Major, r.Minor = v>>4, v&15
	r.Host, r.RemoteAddr = d.String(), d.String()
	r.Path, r.RawPath, r.Query = d.String(), d.String(), d.String()
	r.ForceQuery = flags&invokeForceQ != 0
	switch {
	case flags&invokeURI != 0:
		r.URI = d.String()
	case r.Query != "":
		r.URI = r.Path + "?" + r.Query
	default:
		r.URI = r.Path
	}
	r.ContentLength = d.Int()
	r.Header = d.Headers()
	r.Trailers, r.TLS = nil, nil
	if flags&invokeTrailer != 0 {
		r.Trailers = d.Strings()
	}
	if flags&invokeTLS != 0 {
		t := &TLS{Version: uint16(d.Uint()), Cipher: uint16(d.Uint()), ServerName: d.String(), Protocol: d.String()}
		for n := d.count(1); n > 0; n-- {
			t.Certificates = append(t.Certificates, d.Bytes())
		}
		r.TLS = t
	}
}

func (m *Paths) append(b []byte) []byte {
	b = appendString(appendString(b, m.RequestURI), m.Query)
	b = appendString(appendString(b, m.ServletPath), m.PathInfo)
	b = append(b, m.Match)
	return appendString(appendString(appendString(b, m.Value), m.Pattern), m.Servlet)
}

func (m *Paths) decode(d *Decoder) {
	*m = Paths{
		RequestURI: d.String(), Query: d.String(), ServletPath: d.String(), PathInfo: d.String(), Match: d.Byte(),
		Value: d.String(), Pattern: d.String(), Servlet: d.String(),
	}
}

func appendNamed(b []byte, list []Named) []byte {
	b = appendUint(b, uint64(len(list)))
	for i := range list {
		b = appendBytes(appendString(b, list[i].Name), list[i].Value)
	}
	return b
}

func (d *Decoder) named() []Named {
	n := d.count(2)
	if n == 0 {
		return nil
	}
	list := make([]Named, 0, n)
	for range n {
		list = append(list, Named{Name: d.String(), Value: d.Bytes()})
	}
	return list
}

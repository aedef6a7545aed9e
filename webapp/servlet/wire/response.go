package wire

import "net/http"

// Response is the head of an answer, with what goes with it, and the beginning
// of its body. With FlagEnd it is the whole answer in one frame. End has the
// same payload; there Status and Header are those of an answer that has not
// begun (0 and none if it has), and there is no body.
type Response struct {
	// Status of the answer. 0: the handler has set none (200), or, with a
	// Failure, the container chooses one.
	Status int
	Header http.Header
	// Changes of the session up to here, nil for none.
	Changes *Changes
	// Failure, nil if all went well.
	Failure *Failure
	// Attributes of the request, as CBOR, for an error page.
	Attributes []Named
	// Trailer fields, in the last frame of an answer.
	Trailer http.Header
	// Body is the beginning of the answer's body, at most MaxData.
	Body []byte
}

const (
	respChanges = 1 << 0
	respFailure = 1 << 1
	respAttrs   = 1 << 2
	respTrailer = 1 << 3
)

// Append appends the message.
func (m *Response) Append(b []byte) []byte {
	at := len(b)
	b = appendHeaders(appendUint(append(b, 0), uint64(m.Status)), m.Header)
	if m.Changes != nil {
		b[at] |= respChanges
		b = m.Changes.append(b)
	}
	if m.Failure != nil {
		b[at] |= respFailure
		b = m.Failure.append(b)
	}
	if len(m.Attributes) > 0 {
		b[at] |= respAttrs
		b = appendNamed(b, m.Attributes)
	}
	if len(m.Trailer) > 0 {
		b[at] |= respTrailer
		b = appendHeaders(b, m.Trailer)
	}
	return append(b, m.Body...)
}

// Decode reads the message; Body and the values of Changes are part of p. The
// map that Header was before is used again.
func (m *Response) Decode(p []byte) error {
	d := Decoder{b: p}
	flags := d.Byte()
	*m = Response{Status: d.status(), Header: d.headers(m.Header)}
	if flags&respChanges != 0 {
		m.Changes = new(Changes)
		m.Changes.decode(&d)
	}
	if flags&respFailure != 0 {
		m.Failure = new(Failure)
		m.Failure.decode(&d)
	}
	if flags&respAttrs != 0 {
		m.Attributes = d.named()
	}
	if flags&respTrailer != 0 {
		m.Trailer = d.Headers()
	}
	if flags&^(respChanges|respFailure|respAttrs|respTrailer) != 0 {
		d.fail("unknown part of an answer")
	}
	m.Body = d.Rest()
	if len(m.Body) > MaxData {
		d.fail("body too long")
	}
	return d.err
}

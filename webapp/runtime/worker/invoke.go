package worker

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/serval-server/serval/webapp/servlet"
	"github.com/serval-server/serval/webapp/servlet/wire"
)

// maxEager is the longest request body that is read before the worker is asked,
// so that an ordinary form is one frame.
const maxEager = 16 << 10

// invocation is the memory that an Invoke is made in.
type invocation struct {
	m     wire.Invoke
	flags wire.Flags
	read  bool // the body has been looked at
	n     int  // bytes of body
	body  [maxEager]byte
}

var invocations = sync.Pool{New: func() any { return new(invocation) }}

// invoke makes the frame of the request. share says that the worker has the
// request's attributes and session already.
func (ex *exchange) invoke(in *invocation, scope uint32, share bool) (wire.Frame, error) {
	m := &in.m
	attrs := m.Session.Attrs[:0]
	*m = wire.Invoke{Segment: ex.sg.id, Scope: scope, Dispatcher: uint8(ex.pass.Type)}
	m.Session.Attrs = attrs
	if !ex.deadline.IsZero() {
		m.Deadline = max(time.Until(ex.deadline), time.Millisecond)
	}
	requestHead(&m.Request, ex.r)
	p := ex.pass
	m.Paths = wire.Paths{
		RequestURI: p.RequestURI, Query: p.Query, ServletPath: p.ServletPath, PathInfo: p.PathInfo,
		Match: uint8(p.Mapping.Match), Value: p.Mapping.Value, Pattern: p.Mapping.Pattern, Servlet: p.Mapping.Servlet,
	}
	m.Attributes = requestAttributes(ex.x, share)
	if h := ex.w.Header(); len(h) > 0 {
		m.Header = h
		ex.sent = slices.AppendSeq(ex.sent[:0], maps.Keys(h))
	}
	if !share {
		if err := ex.putSession(m); err != nil {
			return wire.Frame{}, err
		}
	}
	if !in.read {
		in.read, in.n = true, 0
		in.flags = ex.eagerBody(in)
	}
	m.Body = in.body[:in.n]
	f := wire.NewFrame()
	return f.Set(m.Append(f.Bytes())), nil
}

// requestAttributes are the attributes that the worker does not have: all, or
// if it shares them those that the container has set.
func requestAttributes(x *servlet.Exchange, share bool) []wire.Named {
	var list []wire.Named
	for _, n := range x.AttributeNames() {
		if share && !strings.HasPrefix(n, "jakarta.servlet.") {
			continue
		}
		if b, ok := servlet.EncodeAttribute(x.Attribute(n)); ok {
			list = append(list, wire.Named{Name: n, Value: b})
		}
	}
	return list
}

// requestHead is the head of a request as it travels.
func requestHead(m *wire.Request, r *http.Request) {
	*m = wire.Request{
		Method: r.Method, Major: uint8(r.ProtoMajor), Minor: uint8(r.ProtoMinor), Host: r.Host, RemoteAddr: r.RemoteAddr, URI: r.RequestURI,
		Path: r.URL.Path, RawPath: r.URL.RawPath, Query: r.URL.RawQuery, ForceQuery: r.URL.ForceQuery,
		ContentLength: r.ContentLength, Header: r.Header,
	}
	for name := range r.Trailer {
		m.Trailers = append(m.Trailers, name)
	}
	if t := r.TLS; t != nil {
		m.TLS = &wire.TLS{Version: t.Version, Cipher: t.CipherSuite, ServerName: t.ServerName, Protocol: t.NegotiatedProtocol}
		for _, c := range t.PeerCertificates {
			m.TLS.Certificates = append(m.TLS.Certificates, c.Raw)
		}
	}
}

// putSession adds the request's session, if it has one.
func (ex *exchange) putSession(m *wire.Invoke) error {
	s, err := ex.x.Session(false)
	if err != nil || s == nil {
		return err
	}
	// What filters in the server have changed must be seen by the worker,
	// which sees what is committed.
	if err := ex.x.CommitSession(); err != nil {
		return err
	}
	err = ex.pr.held.session(&m.Session, s.Backend())
	if errors.Is(err, servlet.ErrInvalid) {
		return nil
	}
	m.HasSession = err == nil
	return err
}

// session describes a session with the values that the worker lacks.
func (h *heldValues) session(m *wire.Session, b servlet.SessionBackend) error {
	names, err := b.Names()
	if err != nil {
		return err
	}
	id := b.ID()
	m.ID, m.New, m.Created, m.LastAccessed, m.MaxInactive = id, b.IsNew(), b.Created(), b.LastAccessed(), b.MaxInactive()
	m.Attrs = m.Attrs[:0]
	for _, n := range names {
		v, ok, err := b.Load(n)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		a := wire.Attr{Name: n, Version: wire.Version(v.Version)}
		var token uint64
		var held bool
		if len(v.Bytes) <= wire.MaxInline {
			token, held = h.look(id, n, v.Bytes)
		} else {
			token, held = h.has(id, n, v.Bytes)
		}
		switch {
		case held:
			a.Mode, a.Token = wire.Held, token
		case len(v.Bytes) > wire.MaxInline:
			a.Mode = wire.OnDemand
		case token != 0:
			a.Mode, a.Token, a.Value = wire.InlineKeep, token, v.Bytes
		default:
			a.Value = v.Bytes
		}
		m.Attrs = append(m.Attrs, a)
	}
	return nil
}

// eagerBody reads a short body into the frame. Others are read when the worker
// asks, so that a client that waits for "100 Continue" waits for the application.
func (ex *exchange) eagerBody(in *invocation) wire.Flags {
	r := ex.r
	if r.Body == nil || r.Body == http.NoBody {
		return wire.FlagEnd
	}
	if r.ContentLength <= 0 || r.ContentLength > maxEager || r.Header.Get("Expect") != "" || len(r.Trailer) > 0 || ex.nested {
		ex.input = r.Body
		return 0
	}
	n, err := io.ReadFull(r.Body, in.body[:r.ContentLength])
	in.n = n
	if err != nil {
		ex.input = failedBody{err}
		return 0
	}
	return wire.FlagEnd
}

// failedBody is what is left of a body that could not be read.
type failedBody struct{ err error }

func (b failedBody) Read([]byte) (int, error) { return 0, b.err }

// pump sends the request's body while the worker takes it.
func (ex *exchange) pump() {
	b := make([]byte, wire.MaxData)
	for {
		if !ex.setReading(true) {
			return
		}
		n, err := ex.input.Read(b)
		ex.setReading(false)
		if n > 0 && ex.s.SendData(ex.ctx(), 0, b[:n]) != nil {
			return
		}
		if err == nil {
			continue
		}
		var m wire.Response
		switch {
		case errors.Is(err, io.EOF):
			m.Trailer = trailer(ex.r.Trailer)
		default:
			m.Failure = servlet.FailureOf(err)
			var tooLarge *http.MaxBytesError
			if errors.As(err, &tooLarge) {
				m.Failure.Status = http.StatusRequestEntityTooLarge
			} else {
				m.Failure.Kind = wire.FailAbort
			}
		}
		f := wire.NewFrame()
		_ = ex.s.Send(wire.TypeEnd, wire.FlagEnd, f.Set(m.Append(f.Bytes()))) // the request may be over
		return
	}
}

// setReading says whether the pump is in Read; false is returned if it must not
// be any more.
func (ex *exchange) setReading(on bool) bool {
	ex.mu.Lock()
	defer ex.mu.Unlock()
	if on && ex.over {
		return false
	}
	ex.reading = on
	return true
}

func trailer(t http.Header) http.Header {
	var out http.Header
	for k, v := range t {
		if len(v) > 0 {
			if out == nil {
				out = make(http.Header)
			}
			out[textproto.CanonicalMIMEHeaderKey(k)] = v
		}
	}
	return out
}

package servlet

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"runtime/debug"
	"sync"
	"time"

	"github.com/serval-server/serval/webapp/servlet/wire"
)

// call is one stream that the server has opened: mostly a pass of a request.
type call struct {
	w      *worker
	s      *wire.Stream
	msg    wire.Msg
	scope  *scope
	own    scope // what scope is, unless the call is a part of a request
	ctx    callContext
	url    url.URL
	method string
	remote string // the client's address
	length int64  // of the body, -1 if unknown
	inline bool   // part of the body came with the Invoke
	body   body
	res    response
	owned  *hijacked // keeps the stream after the handler has returned
}

// callOf is the call that a request is a pass of.
func callOf(r *http.Request) *call {
	c, _ := r.Context().Value(callKey{}).(*call)
	return c
}

var errCanceled = fmt.Errorf("the client or the server has given the request up: %w", context.Canceled)

// newCall is called by the goroutine that reads.
func newCall(w *worker, s *wire.Stream, m wire.Msg) *call {
	c := &call{w: w, s: s, msg: m}
	c.ctx.c = c
	s.Handle(c)
	return c
}

// Canceled implements wire.Handler.
func (c *call) Canceled() { c.ctx.end(errCanceled) }

// Replied implements wire.Handler.
func (c *call) Replied(m wire.Msg) { c.w.reply(m) }

// Failed implements wire.Handler.
func (c *call) Failed(err error) { c.ctx.end(err) }

// Run serves the stream.
func (c *call) Run() {
	defer c.w.requests.Done()
	defer c.close()
	if c.msg.Type == wire.TypeInvoke {
		c.serve()
		return
	}
	c.serveOther()
}

// invokes are used again once the request has been made of them.
var invokes = sync.Pool{New: func() any { return new(wire.Invoke) }}

// serve answers an Invoke.
func (c *call) serve() {
	m := invokes.Get().(*wire.Invoke)
	if err := m.Decode(c.msg.Payload); err != nil {
		c.answer(err)
		return
	}
	h := c.w.segment(m.Segment)
	if h == nil {
		c.answer(fmt.Errorf("segment %d was not initialised", m.Segment))
		return
	}
	r := c.request(m, c.w.scopeOf(m.Scope), c.msg.Flags&wire.FlagEnd != 0)
	c.res.init(c, m.Header)
	*m = wire.Invoke{Session: wire.Session{Attrs: m.Session.Attrs[:0]}}
	invokes.Put(m)
	c.handle(h, r)
	c.body.close()
	c.res.finish()
}

// handle calls the handler and turns a panic into a failure.
func (c *call) handle(h http.Handler, r *http.Request) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		err, ok := p.(error)
		if !ok {
			err = fmt.Errorf("panic: %v", p)
		}
		f := FailureOf(err)
		switch f.Kind {
		case wire.FailUnavailable:
			f.Kind = wire.FailOutOfService
		case wire.FailError:
			f.Kind = wire.FailPanic
			c.w.context.cfg.Logger.Error("handler panicked", "path", c.url.Path, "error", err, "stack", string(debug.Stack()))
		}
		c.res.fail(f)
	}()
	h.ServeHTTP(&c.res, r)
}

func (c *call) close() {
	c.ctx.end(context.Canceled)
	if c.owned != nil {
		c.owned.wait()
	}
	if c.scope != nil {
		c.scope.leave(c)
	}
	c.s.Close()
	c.msg.Free()
}

// answer ends a stream that has no response of its own.
func (c *call) answer(err error) {
	var r wire.Response
	if err != nil {
		r.Failure = FailureOf(err)
	}
	_ = c.s.Send(wire.TypeEnd, wire.FlagEnd, frameOf(&r)) // the connection's end is noticed elsewhere
}

// request makes the http.Request of an Invoke, within the scope of outer if that
// is not nil.
func (c *call) request(m *wire.Invoke, outer *outerScope, ended bool) *http.Request {
	in := &m.Request
	c.url = url.URL{Path: in.Path, RawPath: in.RawPath, RawQuery: in.Query, ForceQuery: in.ForceQuery}
	c.method, c.remote, c.length, c.inline = in.Method, in.RemoteAddr, in.ContentLength, len(m.Body) > 0
	c.enter(outer, m)
	r := noRequest.WithContext(c.newPass(outer, m))
	r.Method, r.URL, r.Proto, r.ProtoMajor, r.ProtoMinor = in.Method, &c.url, protoOf(in.Major, in.Minor), int(in.Major), int(in.Minor)
	r.Header, r.Host, r.RemoteAddr, r.RequestURI, r.ContentLength = in.Header, in.Host, in.RemoteAddr, in.URI, in.ContentLength
	if in.TLS != nil {
		r.TLS = tlsOf(in.TLS)
	}
	c.body.init(c, m.Body, ended)
	r.Body = http.NoBody
	if len(m.Body) > 0 || !ended {
		r.Body = &c.body
		if in.ContentLength < 0 {
			r.TransferEncoding = []string{"chunked"}
		}
	}
	if len(in.Trailers) > 0 {
		r.Trailer = make(http.Header, len(in.Trailers))
		for _, t := range in.Trailers {
			r.Trailer[http.CanonicalHeaderKey(t)] = nil
		}
	}
	for _, a := range m.Attributes {
		c.scope.x.SetAttribute(a.Name, decodeAttribute(a.Name, a.Value))
	}
	if m.Deadline > 0 {
		c.ctx.deadline = time.Now().Add(m.Deadline)
	}
	if outer != nil && outer.request != nil {
		inherit(r, outer.request)
	}
	c.body.trailer = r.Trailer
	return r
}

// noRequest is what requests are made from, since only WithContext sets the context.
var noRequest http.Request

// newPass is the pass that the request is in.
func (c *call) newPass(outer *outerScope, m *wire.Invoke) *Pass {
	p := c.own.x.First()
	p.Type = DispatcherType(m.Dispatcher)
	p.RequestURI, p.Query = m.Paths.RequestURI, m.Paths.Query
	p.ServletPath, p.PathInfo = m.Paths.ServletPath, m.Paths.PathInfo
	p.Mapping = Mapping{Match: MappingMatch(m.Paths.Match), Value: m.Paths.Value, Pattern: m.Paths.Pattern, Servlet: m.Paths.Servlet}
	p.Context, p.Exchange = &c.ctx, &c.scope.x
	if outer != nil && outer.request != nil {
		p.Context = &nestedContext{Context: &c.ctx, outer: outer.request.Context()}
	}
	return p
}

// inherit gives a nested pass the form that the outer one has parsed.
func inherit(r, outer *http.Request) {
	if r.Body == http.NoBody {
		r.Form, r.PostForm, r.MultipartForm = outer.Form, outer.PostForm, outer.MultipartForm
		if r.URL.RawQuery != outer.URL.RawQuery {
			r.Form = nil // with the query of the dispatcher's path
		}
	}
}

// nestedContext is that of a nested pass: cancelled with its own stream, with
// the values that the outer pass's filters have put in theirs.
type nestedContext struct {
	context.Context
	outer context.Context
}

func (n *nestedContext) Value(key any) any {
	if v := n.Context.Value(key); v != nil {
		return v
	}
	return n.outer.Value(key)
}

func protoOf(major, minor uint8) string {
	switch {
	case major == 1 && minor == 1:
		return "HTTP/1.1"
	case major == 2:
		return "HTTP/2.0"
	case major == 3:
		return "HTTP/3.0"
	}
	return fmt.Sprintf("HTTP/%d.%d", major, minor)
}

func tlsOf(t *wire.TLS) *tls.ConnectionState {
	s := &tls.ConnectionState{
		Version: t.Version, CipherSuite: t.Cipher, ServerName: t.ServerName, NegotiatedProtocol: t.Protocol, HandshakeComplete: true,
	}
	for _, der := range t.Certificates {
		c, err := x509.ParseCertificate(append([]byte(nil), der...))
		if err != nil {
			break // the server has verified it; a chain that cannot be read is no chain
		}
		s.PeerCertificates = append(s.PeerCertificates, c)
	}
	return s
}

// serveOther answers the streams that are not requests.
func (c *call) serveOther() {
	defer func() {
		if p := recover(); p != nil {
			c.answer(fmt.Errorf("panic: %v", p))
		}
	}()
	switch c.msg.Type {
	case wire.TypeInit:
		var m wire.Init
		err := m.Decode(c.msg.Payload)
		if err == nil {
			err = c.w.init(&m)
		}
		c.answer(err)
	case wire.TypeEvent:
		c.serveEvent()
	default:
		c.answer(fmt.Errorf("unknown stream %s", c.msg.Type))
	}
}

func (c *call) serveEvent() {
	var m wire.Event
	if err := m.Decode(c.msg.Payload); err != nil {
		c.answer(err)
		return
	}
	e := Event{
		Kind: EventKind(m.Kind), Cause: Cause(m.Cause), Local: m.Local, OldID: m.OldID, Deadline: m.Deadline,
		Status: Status{
			LocallyUsed: m.Status&wire.StatusUsed != 0, LocallyOwned: m.Status&wire.StatusOwned != 0, Replicated: m.Status&wire.StatusReplicated != 0,
		},
	}
	if m.Request != nil {
		e.Request = c.request(m.Request, nil, true)
		if e.Kind == RequestInitialized {
			c.serveRequestScope(e)
			return
		}
	} else {
		c.enter(nil, nil)
	}
	if m.HasSession {
		c.scope.adopt(&m.Session)
		e.Session = c.scope.session
		if e.Kind == SessionDestroyed {
			defer c.w.locals.drop(m.Session.ID)
		}
	}
	c.answer(c.w.inst.Notify(e))
}

// serveRequestScope tells of a request's beginning, waits for its end, and tells
// of that. In between, its passes share what the listeners have set.
func (c *call) serveRequestScope(e Event) {
	c.w.scopes.Store(c.s.ID(), &outerScope{scope: c.scope, request: e.Request, event: true})
	defer c.w.scopes.Delete(c.s.ID())
	if err := c.w.inst.Notify(e); err != nil {
		c.answer(err)
		return
	}
	_ = c.s.Send(wire.TypeResponse, 0, frameOf(&wire.Response{}))
	m, err := c.s.Recv(context.Background())
	if err != nil {
		return
	}
	m.Free()
	e.Kind = RequestDestroyed
	c.answer(c.w.inst.Notify(e))
}

// body is a request's body: what came with the Invoke, then Data frames.
type body struct {
	c      *call
	rest   []byte
	msg    wire.Msg // rest is a part of it, if it is not the Invoke's
	asked  bool
	ended  bool
	closed bool
	err    error
	n      int // bytes of msg
	// trailer is that of the request, with the names that were announced.
	trailer http.Header
}

func (b *body) init(c *call, inline []byte, ended bool) {
	b.c, b.rest, b.ended = c, inline, ended
}

// Read implements io.Reader. Like that of net/http, it is not safe for use by
// several goroutines at once.
func (b *body) Read(p []byte) (int, error) {
	for {
		switch {
		case b.closed:
			return 0, http.ErrBodyReadAfterClose
		case len(b.rest) > 0:
			n := copy(p, b.rest)
			b.rest = b.rest[n:]
			return n, nil
		case b.err != nil:
			return 0, b.err
		case b.ended:
			b.err = io.EOF
			return 0, io.EOF
		case len(p) == 0:
			return 0, nil
		}
		b.next()
	}
}

// next waits for the next piece.
func (b *body) next() {
	s := b.c.s
	b.done()
	if !b.asked {
		b.asked = true
		if b.err = s.Ask(); b.err != nil {
			return
		}
	}
	m, err := s.Recv(&b.c.ctx)
	if err != nil {
		b.err = err
		return
	}
	b.ended = m.End()
	if m.Type == wire.TypeData {
		b.msg, b.rest, b.n = m, m.Payload, len(m.Payload)
		return
	}
	defer m.Free()
	var r wire.Response
	if m.Type != wire.TypeEnd || r.Decode(m.Payload) != nil {
		b.err = fmt.Errorf("unexpected %s in a request's body", m.Type)
		return
	}
	if r.Failure != nil {
		b.err = bodyError(r.Failure)
		return
	}
	for k, v := range r.Trailer {
		if _, announced := b.trailer[k]; announced {
			b.trailer[k] = v
		}
	}
}

func bodyError(f *wire.Failure) error {
	if f.Status == http.StatusRequestEntityTooLarge {
		return &http.MaxBytesError{}
	}
	if f.Kind == wire.FailAbort {
		return io.ErrUnexpectedEOF
	}
	return errors.New(f.Message)
}

// done gives the present piece back.
func (b *body) done() {
	if b.n > 0 {
		_ = b.c.s.Consumed(b.n)
		b.msg.Free()
		b.n = 0
	}
}

// Close implements io.Closer.
func (b *body) Close() error {
	b.close()
	return nil
}

func (b *body) close() {
	if !b.closed {
		b.closed = true
		b.rest = nil
		b.done()
	}
}

package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/serval-server/serval/webapp/servlet"
	"github.com/serval-server/serval/webapp/servlet/wire"
)

// acceptDispatch takes a stream that the application opens. It is called by the
// goroutine that reads.
func acceptDispatch(pr *process, s *wire.Stream, m wire.Msg) {
	if m.Type != wire.TypeDispatch {
		m.Free()
		s.Close()
		pr.end(fmt.Sprintf("killed: it opened a stream with %s", m.Type))
		return
	}
	d := new(wire.Dispatch)
	if err := d.Decode(m.Payload); err != nil {
		m.Free()
		s.Close()
		pr.end("killed: " + err.Error())
		return
	}
	ex, _ := pr.conn.Owner(d.Parent).(*exchange)
	if ex == nil || !ex.beginDispatch(d) {
		m.Free()
		endDispatch(s, errors.New("the request that dispatches has ended"))
		return
	}
	ctx, cancel := context.WithCancel(ex.ctx())
	s.Handle(dispatchHandler{cancel})
	go func() {
		defer ex.dispatches.Done()
		defer cancel()
		ex.passGate()
		err := ex.dispatch(ctx, s, d)
		ex.passGate()
		m.Free()
		endDispatch(s, err)
	}()
}

// dispatchHandler ends a dispatch that the application gives up.
type dispatchHandler struct{ cancel context.CancelFunc }

// Canceled implements wire.Handler.
func (h dispatchHandler) Canceled() { h.cancel() }

// Replied implements wire.Handler. The server asks nothing of a worker.
func (h dispatchHandler) Replied(m wire.Msg) { m.Free() }

// Failed implements wire.Handler. The dispatch is told by what it reads.
func (h dispatchHandler) Failed(error) {}

// passGate orders what comes after it behind the frames handled so far.
func (ex *exchange) passGate() {
	ex.gate.Lock()
	defer ex.gate.Unlock()
}

func endDispatch(s *wire.Stream, err error) {
	var r wire.Response
	if err != nil {
		r.Failure = servlet.FailureOf(err)
	}
	f := wire.NewFrame()
	_ = s.Send(wire.TypeEnd, wire.FlagEnd, f.Set(r.Append(f.Bytes()))) // the worker may be gone
	s.Close()
}

// beginDispatch counts a dispatch in, unless the request is over.
func (ex *exchange) beginDispatch(d *wire.Dispatch) bool {
	ex.mu.Lock()
	defer ex.mu.Unlock()
	if ex.over || d.Direct && ex.handedOver {
		return false
	}
	ex.handedOver = ex.handedOver || d.Direct
	ex.dispatches.Add(1)
	return true
}

// dispatch runs the target. A panic of the target is its error.
func (ex *exchange) dispatch(ctx context.Context, s *wire.Stream, d *wire.Dispatch) (err error) {
	defer func() {
		if p := recover(); p != nil {
			e, ok := p.(error)
			if !ok {
				e = fmt.Errorf("panic: %v", p)
			}
			err = e
		}
	}()
	if d.Changes != nil {
		if err := ex.stage(d.Changes); err != nil {
			return err
		}
	}
	for _, a := range d.Attributes {
		ex.x.SetAttribute(a.Name, servlet.DecodeAttribute(a.Name, a.Value))
	}
	for _, n := range d.Removed {
		ex.x.SetAttribute(n, nil)
	}
	r := ex.dispatchRequest(ctx, s, d)
	var w http.ResponseWriter
	if d.Direct {
		w = ex.w
		ex.putHeader(d.Header)
		if d.Status != 0 {
			w.WriteHeader(d.Status)
		}
	} else {
		sw := &streamWriter{ctx: ctx, s: s, header: d.Header}
		w = sw
		defer func() {
			if e := sw.finish(); err == nil {
				err = e
			}
		}()
	}
	if d.Kind == wire.DispatchNext {
		if ex.sg.next == nil {
			return errors.New("nothing follows the servlet in the chain")
		}
		ex.sg.next.ServeHTTP(w, r)
		return nil
	}
	return ex.forward(w, r, d)
}

func (ex *exchange) forward(w http.ResponseWriter, r *http.Request, d *wire.Dispatch) error {
	target := servlet.Target{Context: ex.x.Context(), Path: d.Path, Query: d.Query, Name: d.Name}
	if d.HasApp {
		if target.Context = ex.x.Context().Context(d.App + "/"); target.Context == nil {
			return fmt.Errorf("no application at %q can be reached", d.App)
		}
	}
	t := servlet.Forward
	if d.Kind == wire.DispatchInclude {
		t = servlet.Include
	}
	return ex.c.Dispatch(w, r, t, target)
}

// dispatchRequest is the request as the application passes it on.
func (ex *exchange) dispatchRequest(ctx context.Context, s *wire.Stream, d *wire.Dispatch) *http.Request {
	base := &mergedContext{Context: ctx, values: ex.r.Context(), from: parent{process: ex.pr, stream: s.ID(), gate: ex.gate}}
	r := ex.r.WithContext(base)
	if d.HasRequest {
		r.Method, r.Header, r.ContentLength = d.Method, d.RequestHeader, d.ContentLength
		u := url.URL{}
		if ex.r.URL != nil {
			u = *ex.r.URL
		}
		u.Path, u.RawPath, u.RawQuery = d.ReqPath, d.ReqRawPath, d.ReqQuery
		r.URL = &u
	}
	switch d.Body {
	case wire.BodyNone:
		r.Body = http.NoBody
	case wire.BodyData:
		r.Body = &streamBody{ctx: ctx, s: s}
	}
	return r
}

// mergedContext ends with the dispatch and has the request's values.
type mergedContext struct {
	context.Context
	values context.Context
	from   parent
}

// Value implements context.Context.
func (c *mergedContext) Value(key any) any {
	if key == (parentKey{}) {
		return c.from
	}
	if v := c.values.Value(key); v != nil {
		return v
	}
	return c.Context.Value(key)
}

// streamWriter is the response of a dispatch whose answer goes to the
// application.
type streamWriter struct {
	ctx    context.Context
	s      *wire.Stream
	header http.Header
	status int
	used   bool // status or body were written
	sent   bool
	body   []byte
	err    error
}

// Header implements http.ResponseWriter.
func (w *streamWriter) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *streamWriter) WriteHeader(status int) {
	if !w.sent && status >= 200 {
		w.status, w.used = status, true
	}
}

// Write implements http.ResponseWriter.
func (w *streamWriter) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	w.used = true
	if len(w.body)+len(p) <= wire.MaxData {
		w.body = append(w.body, p...)
		return len(p), nil
	}
	if w.send(0); w.err == nil {
		w.err = w.s.SendData(w.ctx, 0, p)
	}
	return len(p), w.err
}

// FlushError sends what is held back.
func (w *streamWriter) FlushError() error {
	w.send(wire.FlagFlush)
	return w.err
}

// Flush implements http.Flusher.
func (w *streamWriter) Flush() { w.send(wire.FlagFlush) }

func (w *streamWriter) send(f wire.Flags) {
	if w.err != nil {
		return
	}
	if !w.sent {
		w.sent = true
		frame := wire.NewFrame()
		m := wire.Response{Status: w.status, Header: w.header}
		w.err = w.s.Send(wire.TypeResponse, 0, frame.Set(m.Append(frame.Bytes())))
	}
	if w.err == nil && (len(w.body) > 0 || f != 0) {
		w.err = w.s.SendData(w.ctx, f, w.body)
		w.body = w.body[:0]
	}
}

func (w *streamWriter) finish() error {
	if w.used {
		w.send(0)
	}
	return w.err
}

// streamBody is a request's body that the application sends with its dispatch.
type streamBody struct {
	ctx   context.Context
	s     *wire.Stream
	asked bool
	msg   wire.Msg
	rest  []byte
	err   error
}

// Read implements io.Reader.
func (b *streamBody) Read(p []byte) (int, error) {
	for len(b.rest) == 0 {
		if b.err != nil {
			return 0, b.err
		}
		b.next()
	}
	n := copy(p, b.rest)
	if b.rest = b.rest[n:]; len(b.rest) == 0 {
		size := len(b.msg.Payload)
		b.msg.Free()
		if err := b.s.Consumed(size); err != nil {
			b.err = err
		}
	}
	return n, nil
}

func (b *streamBody) next() {
	if !b.asked {
		b.asked = true
		if b.err = b.s.Ask(); b.err != nil {
			return
		}
	}
	m, err := b.s.Recv(b.ctx)
	if err != nil {
		b.err = err
		return
	}
	if m.Type == wire.TypeData {
		b.msg, b.rest = m, m.Payload
		if m.End() {
			b.err = io.EOF
		}
		return
	}
	defer m.Free()
	var r wire.Response
	b.err = r.Decode(m.Payload)
	if b.err == nil {
		b.err = io.EOF
		if r.Failure != nil {
			b.err = servlet.ErrorOf(r.Failure)
		}
	}
}

// Close implements io.Closer.
func (b *streamBody) Close() error { return nil }

package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/serval-server/serval/webapp/servlet"
	"github.com/serval-server/serval/webapp/servlet/wire"
)

// exchange is one request on its way through a worker, on the server's side.
type exchange struct {
	sg     *segment
	w      http.ResponseWriter
	r      *http.Request
	pass   *servlet.Pass
	x      *servlet.Exchange
	c      servlet.Container
	nested bool

	pr       *process
	s        *wire.Stream
	input    io.Reader // the request's body, if the worker has to ask for it
	deadline time.Time // zero: none
	started  bool      // the head has gone to w
	sent     []string  // names of the header fields that the application was given
	orphaned bool      // another goroutine waits for the worker's end

	stop    context.Context // ends the pump and the dispatches; made when needed
	cancel  context.CancelFunc
	pumping chan struct{} // closed when the pump has ended

	// gate is held while a frame is handled, by the request and by those that
	// are dispatched from it: the container's side of a request is not for
	// several goroutines at once.
	gate *sync.Mutex
	own  sync.Mutex // the gate of a request that was not dispatched

	mu         sync.Mutex
	over       bool           // guarded by mu; no more dispatches, no more reading
	reading    bool           // guarded by mu; the pump is in Read
	handedOver bool           // guarded by mu; a dispatch writes, or wrote, the response
	dispatches sync.WaitGroup // added to under mu
}

// ctx is the context of what runs beside the request.
func (ex *exchange) ctx() context.Context {
	ex.mu.Lock()
	defer ex.mu.Unlock()
	if ex.stop == nil {
		ex.stop, ex.cancel = context.WithCancel(context.Background())
	}
	return ex.stop
}

// release ends what runs beside the request, and gives its place back.
func (ex *exchange) release() {
	ex.mu.Lock()
	ex.over = true
	cancel := ex.cancel
	ex.mu.Unlock()
	if cancel != nil {
		cancel()
	}
	ex.dispatches.Wait()
	if ex.pumping != nil {
		ex.stopPump()
	}
	if ex.orphaned {
		return // whoever waits for the worker releases the rest
	}
	if ex.s != nil {
		ex.s.Close()
	}
	if !ex.nested {
		ex.sg.p.limit.leave()
	}
}

// stopPump ends the goroutine that reads the request's body. If it waits for the
// client, the connection's reading is brought to an end, and with it the
// connection's use for another request.
func (ex *exchange) stopPump() {
	ex.mu.Lock()
	reading := ex.reading
	ex.mu.Unlock()
	if reading && http.NewResponseController(ex.w).SetReadDeadline(time.Now()) != nil {
		_ = ex.r.Body.Close() // what cannot be interrupted can be closed
	}
	<-ex.pumping
}

// run serves the stream until the worker has answered.
func (ex *exchange) run() {
	gone := ex.r.Context().Done()
	var late <-chan time.Time
	if !ex.deadline.IsZero() {
		t := time.NewTimer(time.Until(ex.deadline))
		defer t.Stop()
		late = t.C
	}
	for {
		m, ok, err := ex.s.TryRecv()
		if err != nil {
			ex.died(err)
			return
		}
		if ok {
			if ex.handle(m) {
				return
			}
			continue
		}
		select {
		case <-ex.s.Ready():
			if ex.input != nil && ex.pumping == nil && ex.s.Asked() {
				ex.startPump()
			}
		case <-gone:
			gone = nil
			ex.s.Cancel()
		case <-late:
			ex.late()
			return
		}
	}
}

func (ex *exchange) startPump() {
	// Reading and writing at the same time is what a stream is for.
	_ = http.NewResponseController(ex.w).EnableFullDuplex() // HTTP/2 and later always are
	ex.pumping = make(chan struct{})
	ex.ctx()
	go func() {
		defer close(ex.pumping)
		ex.pump()
	}()
}

// died ends a request whose worker has gone.
func (ex *exchange) died(err error) {
	ex.dispatches.Wait()
	ex.x.Context().Logger().Error("worker died in a request", "path", ex.r.URL.Path, "pid", ex.pr.pid, "error", err)
	ex.sendError(http.StatusBadGateway, "The application's process has ended.")
}

// late ends a request that has taken too long. The worker is told; if it does
// not end the request soon, it is replaced.
func (ex *exchange) late() {
	ex.s.Cancel()
	p, s, pr := ex.sg.p, ex.s, ex.pr
	ex.orphaned = true
	p.wg.Go(func() {
		defer func() {
			s.Close()
			if !ex.nested {
				p.limit.leave()
			}
		}()
		ctx, cancel := context.WithTimeout(context.Background(), p.opts.Stuck)
		defer cancel()
		for {
			m, err := s.Recv(ctx)
			if err != nil {
				if errors.Is(err, context.DeadlineExceeded) {
					pr.end(fmt.Sprintf("killed: a request went on for %s after its deadline", p.opts.Stuck))
				}
				return
			}
			end, n := m.End(), len(m.Payload)
			data := m.Type == wire.TypeData
			m.Free()
			if end {
				return
			}
			if data {
				_ = s.Consumed(n) // the connection's end is seen by Recv
			}
		}
	})
	ex.x.Context().Logger().Error("request took too long", "path", ex.r.URL.Path, "limit", p.launch.Settings.RequestTimeout)
	ex.sendError(http.StatusGatewayTimeout, "The application did not answer in time.")
}

// sendError ends the response with an error page, or if it has begun to leave,
// by cutting the connection.
func (ex *exchange) sendError(code int, message string) {
	if err := ex.c.SendError(ex.w, ex.r, code, message); err != nil {
		panic(http.ErrAbortHandler)
	}
}

// handle takes one frame; true if it was the last.
func (ex *exchange) handle(m wire.Msg) bool {
	ex.gate.Lock()
	defer ex.gate.Unlock()
	switch m.Type {
	case wire.TypeResponse, wire.TypeEnd:
		return ex.response(m)
	case wire.TypeData:
		n := len(m.Payload)
		err := ex.write(m.Payload, m.Flags)
		end := m.End()
		m.Free()
		if err == nil {
			err = ex.s.Consumed(n)
		}
		if err != nil && !end {
			return ex.clientGone(err)
		}
		return end
	case wire.TypeCall:
		return ex.call(m)
	}
	m.Free()
	ex.pr.end(fmt.Sprintf("killed: it sent %s within a request", m.Type))
	return false
}

// clientGone tells the worker that nobody reads, and goes on to its end: what it
// changes in the session counts.
func (ex *exchange) clientGone(error) bool {
	ex.s.Cancel()
	ex.w = discard{ex.w}
	return false
}

// discard is a response of which nothing is written any more.
type discard struct{ http.ResponseWriter }

func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) WriteHeader(int)             {}
func (d discard) Unwrap() http.ResponseWriter {
	return d.ResponseWriter
}

func (ex *exchange) write(p []byte, f wire.Flags) error {
	var err error
	if len(p) > 0 {
		_, err = ex.w.Write(p)
	}
	if err == nil && f&wire.FlagFlush != 0 {
		err = http.NewResponseController(ex.w).Flush()
		if errors.Is(err, http.ErrNotSupported) {
			err = nil
		}
	}
	return err
}

// responses are used again, for the sake of their header's map.
var responses = sync.Pool{New: func() any { return new(wire.Response) }}

// response takes the head, or the end, of an answer.
func (ex *exchange) response(m wire.Msg) (over bool) {
	defer m.Free()
	r := responses.Get().(*wire.Response)
	defer responses.Put(r)
	if err := r.Decode(m.Payload); err != nil {
		ex.pr.end("killed: " + err.Error())
		return false
	}
	over = m.End()
	if r.Changes != nil {
		if err := ex.stage(r.Changes); err != nil {
			ex.dispatches.Wait()
			ex.c.Fail(ex.w, ex.r, err)
			return over
		}
	}
	h := ex.w.Header()
	if !ex.started && !ex.direct() {
		ex.putHeader(r.Header)
	}
	if m.Flags&wire.FlagInfo != 0 {
		ex.w.WriteHeader(r.Status)
		return over
	}
	for k, v := range r.Trailer {
		h[http.TrailerPrefix+k] = v
	}
	if r.Failure != nil {
		ex.dispatches.Wait()
		ex.fail(r)
		return true
	}
	if r.Status != 0 && !ex.started {
		ex.started = true
		ex.w.WriteHeader(r.Status)
	}
	if err := ex.write(r.Body, m.Flags); err != nil && !over {
		return ex.clientGone(err)
	}
	return over
}

// direct reports that a dispatch writes the response, or has written it.
func (ex *exchange) direct() bool {
	ex.mu.Lock()
	defer ex.mu.Unlock()
	return ex.handedOver
}

// putHeader makes the response's header that of the application, which was given
// what there was and has changed it. Only cookies that the container has set
// since are kept beside.
func (ex *exchange) putHeader(from http.Header) {
	h := ex.w.Header()
	for _, k := range ex.sent {
		if k != "Set-Cookie" && from[k] == nil {
			delete(h, k)
		}
	}
	for k, v := range from {
		old := h[k]
		if k != "Set-Cookie" || len(old) == 0 {
			h[k] = v
			continue
		}
		for _, c := range v {
			if !slices.Contains(old, c) {
				old = append(old, c)
			}
		}
		h[k] = old
	}
}

// fail ends the response as the application's failure asks.
func (ex *exchange) fail(r *wire.Response) {
	for _, a := range r.Attributes {
		ex.x.SetAttribute(a.Name, servlet.DecodeAttribute(a.Name, a.Value))
	}
	f := r.Failure
	switch f.Kind {
	case wire.FailAbort:
		panic(http.ErrAbortHandler)
	case wire.FailStatus:
		ex.sendError(f.Status, f.Message)
	case wire.FailPanic, wire.FailOutOfService:
		panic(servlet.ErrorOf(f))
	default:
		ex.c.Fail(ex.w, ex.r, servlet.ErrorOf(f))
	}
}

// stage puts changes that the worker has made into the request's session, to be
// committed at the next commit point.
func (ex *exchange) stage(m *wire.Changes) error {
	s, err := ex.x.Session(false)
	if err != nil {
		return err
	}
	if s == nil {
		return nil // it has ended meanwhile
	}
	ch := ex.pr.held.changes(m, s)
	if err := s.Stage(ch); err != nil && !errors.Is(err, servlet.ErrInvalid) {
		return err
	}
	return nil
}

// changes copies what a frame holds, and notes what the worker keeps of it.
func (h *heldValues) changes(m *wire.Changes, s interface{ ID() string }) *servlet.Changes {
	ch := &servlet.Changes{Read: m.Read}
	if len(m.Attrs) > 0 {
		ch.Attributes = make([]servlet.Change, len(m.Attrs))
	}
	for i := range m.Attrs {
		c := &m.Attrs[i]
		ch.Attributes[i] = servlet.Change{Name: c.Name, Remove: c.Remove}
		if !c.Remove {
			v := append(make([]byte, 0, len(c.Value)), c.Value...)
			ch.Attributes[i].Value = v
			if c.Token != 0 {
				h.told(s.ID(), c.Name, c.Token, v)
			}
		}
	}
	if m.HasMaxInactive {
		d := m.MaxInactive
		ch.MaxInactive = &d
	}
	return ch
}

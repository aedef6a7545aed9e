package servlet

import (
	"context"
	"fmt"
	"net/http"
	"sync"

	"github.com/serval-server/serval/webapp/servlet/wire"
)

// scope is what the passes of one request share in a worker: the Exchange with
// the attributes, and the session. It is the Exchange's Container.
type scope struct {
	w *worker
	x Exchange

	mu        sync.Mutex
	root      *wire.Stream   // guarded by mu; where calls go
	session   *remoteSession // guarded by mu
	elsewhere bool           // guarded by mu; the container may have made a session meanwhile
	came      remoteSession  // guarded by mu; what session is, if it came with the request

	commit sync.Mutex // one commit point at a time
}

// outerScope is where a nested pass belongs.
type outerScope struct {
	scope   *scope
	request *http.Request // of the outer pass
	event   bool          // it is a request's event, not a pass
}

var _ Container = (*scope)(nil)

func (w *worker) scopeOf(id uint32) *outerScope {
	if id == 0 {
		return nil
	}
	o, _ := w.scopes.Load(id)
	outer, _ := o.(*outerScope)
	return outer
}

// enter gives the call its scope: that of the outer pass, or its own.
func (c *call) enter(outer *outerScope, m *wire.Invoke) {
	if outer != nil {
		c.scope = outer.scope
	} else {
		c.scope = &c.own
		c.scope.w = c.w
		c.scope.x.Init(c.scope, c.w.context, nil)
	}
	c.scope.mu.Lock()
	defer c.scope.mu.Unlock()
	if c.scope.root == nil || outer != nil && outer.event {
		c.scope.root = c.s
	}
	if m != nil && m.HasSession && c.scope.session == nil {
		c.scope.session = &c.scope.came
		c.scope.came.init(c.scope, &m.Session)
	}
}

// leave is the end of a call.
func (sc *scope) leave(c *call) {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	if sc.root == c.s {
		sc.root = nil
	}
}

// adopt takes the session that came with an event.
func (sc *scope) adopt(m *wire.Session) {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	sc.session = new(remoteSession)
	sc.session.init(sc, m)
}

// pending is a Call that waits for its Reply.
type pending struct {
	ready chan struct{}
	msg   wire.Msg
}

// reply is called by the goroutine that reads.
func (w *worker) reply(m wire.Msg) {
	d := wire.NewDecoder(m.Payload)
	p, ok := w.waiting.LoadAndDelete(d.Uint())
	if !ok {
		m.Free()
		return
	}
	q := p.(*pending)
	q.msg = m
	close(q.ready)
}

// call asks the container for something, on the request's outermost stream.
func (sc *scope) call(m *wire.Call) (*wire.Reply, error) {
	sc.mu.Lock()
	s := sc.root
	sc.mu.Unlock()
	if s == nil {
		return nil, fmt.Errorf("the request has ended: %w", context.Canceled)
	}
	return sc.callOn(s, m)
}

func (sc *scope) callOn(s *wire.Stream, m *wire.Call) (*wire.Reply, error) {
	m.ID = sc.w.calls.Add(1)
	p := &pending{ready: make(chan struct{})}
	sc.w.waiting.Store(m.ID, p)
	if err := s.Send(wire.TypeCall, 0, frameOf(m)); err != nil {
		sc.w.waiting.Delete(m.ID)
		return nil, err
	}
	if err := s.Conn().Wait(context.Background(), p.ready); err != nil {
		return nil, err
	}
	r := new(wire.Reply)
	err := r.Decode(p.msg.Payload)
	if r.Value != nil {
		r.Value = append([]byte{}, r.Value...)
	}
	if r.Session == nil {
		p.msg.Free() // else its values are part of it
	}
	if err == nil {
		err = ErrorOf(r.Failure)
	}
	return r, err
}

// Session implements Container.
func (sc *scope) Session(create bool) (SessionBackend, error) {
	sc.mu.Lock()
	s, ask := sc.session, create || sc.elsewhere
	sc.mu.Unlock()
	if s != nil && !s.ended() {
		return s, nil
	}
	if !ask {
		return nil, nil
	}
	r, err := sc.call(&wire.Call{Op: wire.OpSession, Flag: create})
	if err != nil || r.Session == nil {
		return nil, err
	}
	sc.mu.Lock()
	defer sc.mu.Unlock()
	sc.session = new(remoteSession)
	sc.session.init(sc, r.Session)
	return sc.session, nil
}

// take is a commit point: it returns what the request has changed in its
// session since the last one, nil if nothing.
func (sc *scope) take() *wire.Changes {
	sc.mu.Lock()
	s := sc.session
	sc.mu.Unlock()
	if s == nil || s.ended() {
		return nil
	}
	sc.commit.Lock()
	defer sc.commit.Unlock()
	ch := new(taken)
	ch.Attrs = ch.few[:0]
	s.collectInto(&ch.Changes)
	err := sc.x.CommitSession()
	s.collectInto(nil)
	if err != nil {
		sc.w.context.cfg.Logger.Error("session changes were not taken", "error", err)
	}
	if len(ch.Attrs) == 0 && len(ch.Read) == 0 && !ch.HasMaxInactive {
		return nil
	}
	return &ch.Changes
}

// taken are a request's changes, with room for a few.
type taken struct {
	wire.Changes
	few [2]wire.Change
}

// Barrier implements Container.
func (sc *scope) Barrier(http.ResponseWriter, *http.Request) error {
	ch := sc.take()
	if ch == nil {
		ch = new(wire.Changes)
	}
	_, err := sc.call(&wire.Call{Op: wire.OpCommit, Flag: true, Changes: ch})
	return err
}

// EncodeURL implements Container.
func (sc *scope) EncodeURL(_ *http.Request, address string) string {
	r, err := sc.call(&wire.Call{Op: wire.OpEncodeURL, Name: address})
	if err != nil || r.Text == "" {
		return address
	}
	return r.Text
}

// SendError implements Container.
func (sc *scope) SendError(_ http.ResponseWriter, r *http.Request, code int, message string) error {
	c := callOf(r)
	if c == nil {
		return ErrNoContainer
	}
	return c.res.sendError(&wire.Failure{Kind: wire.FailStatus, Status: code, Message: message})
}

// Fail implements Container.
func (sc *scope) Fail(_ http.ResponseWriter, r *http.Request, err error) {
	if c := callOf(r); c != nil {
		c.res.fail(FailureOf(err))
	}
}

// attributes are the request's attributes, encoded; what cannot be encoded
// stays here.
func (sc *scope) attributes() []wire.Named {
	var list []wire.Named
	for _, n := range sc.x.AttributeNames() {
		if b, ok := EncodeAttribute(sc.x.Attribute(n)); ok {
			list = append(list, wire.Named{Name: n, Value: b})
		}
	}
	return list
}

// EncodeAttribute is a request attribute as it travels between a worker and the
// server: as a session attribute would, errors by their message and types. It is
// false for what cannot travel.
func EncodeAttribute(v any) ([]byte, bool) {
	if err, ok := v.(error); ok {
		v = RemoteError{Message: err.Error(), Types: typeNames(err)}
	}
	b, err := encode(v)
	return b, err == nil
}

// DecodeAttribute is what EncodeAttribute has written, in the type that the
// container gives to attributes of that name, else without one.
func DecodeAttribute(name string, data []byte) any { return decodeAttribute(name, data) }

func decodeAttribute(name string, data []byte) any {
	switch name {
	case AttrForwardMapping, AttrIncludeMapping:
		if m, err := decodeAs[Mapping](data); err == nil {
			return m
		}
	case AttrErrorStatusCode:
		if n, err := decodeAs[int](data); err == nil {
			return n
		}
	case AttrErrorException:
		if e, err := decodeAs[RemoteError](data); err == nil {
			return &e
		}
	}
	v, err := decodeAs[any](data)
	if err != nil {
		return nil
	}
	return v
}

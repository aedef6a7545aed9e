package servlet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"sync"

	"github.com/serval-server/serval/webapp/servlet/wire"
)

// nextInContainer is what follows a segment whose end is in the container: it
// goes back there, and what that panics with, it panics with.
func nextInContainer(w http.ResponseWriter, r *http.Request) {
	c := callOf(r)
	if c == nil {
		panic(ErrNoContainer)
	}
	if err := c.dispatch(w, r, wire.DispatchNext, Target{}); err != nil {
		panic(err)
	}
}

// Dispatch implements Container.
func (sc *scope) Dispatch(w http.ResponseWriter, r *http.Request, t DispatcherType, target Target) error {
	c := callOf(r)
	if c == nil {
		return ErrNoContainer
	}
	if t == Include {
		return c.dispatch(w, r, wire.DispatchInclude, target)
	}
	state := stateOf(w)
	if state == nil {
		state = &c.res
	}
	if err := state.ResetBuffer(); err != nil {
		return err
	}
	err := c.dispatch(w, r, wire.DispatchForward, target)
	state.Suspend()
	return err
}

// responseState is what a forward needs of the response behind any wrappers.
type responseState interface {
	ResetBuffer() error
	Suspend()
}

func stateOf(w http.ResponseWriter) responseState {
	for w != nil {
		if s, ok := w.(responseState); ok {
			return s
		}
		u, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return nil
		}
		w = u.Unwrap()
	}
	return nil
}

// dispatch runs something in the container and brings its answer to w.
func (c *call) dispatch(w http.ResponseWriter, r *http.Request, kind wire.DispatchKind, target Target) error {
	m := &wire.Dispatch{
		Kind: kind, Parent: c.s.ID(), Path: target.Path, Query: target.Query, Name: target.Name,
		HasRequest: true, Method: r.Method, ReqPath: r.URL.Path, ReqRawPath: r.URL.RawPath, ReqQuery: r.URL.RawQuery,
		ContentLength: r.ContentLength, RequestHeader: r.Header, Body: c.bodyMode(r),
		Changes: c.scope.take(), Attributes: c.scope.attributes(),
	}
	if target.Context != nil && target.Context.cfg.Path != c.w.context.cfg.Path {
		m.HasApp, m.App = true, target.Context.cfg.Path
	}
	m.Direct = kind != wire.DispatchInclude && w == http.ResponseWriter(&c.res) && c.res.goDirect(m)
	if !m.Direct {
		m.Header = w.Header()
	}
	c.scope.mu.Lock()
	c.scope.elsewhere = true
	c.scope.mu.Unlock()
	return c.runDispatch(w, r, m)
}

// goDirect hands the response over to the container, if nothing of it has been
// written yet.
func (w *response) goDirect(m *wire.Dispatch) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.body) > 0 || w.sent || w.closed || w.hijacked || w.direct {
		return false
	}
	w.direct = true
	m.Status, m.Header = w.status, w.header
	return true
}

// bodyMode says where the container finds the request's body.
func (c *call) bodyMode(r *http.Request) uint8 {
	switch {
	case r.Body == nil || r.Body == http.NoBody:
		return wire.BodyNone
	case r.Body == io.ReadCloser(&c.body) && !c.body.asked && !c.inline:
		return wire.BodyOwn
	}
	return wire.BodyData
}

func (c *call) runDispatch(w http.ResponseWriter, r *http.Request, m *wire.Dispatch) error {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	s, err := c.openDispatch(r, m)
	if err != nil {
		return err
	}
	defer c.w.scopes.Delete(s.ID())
	defer s.Close()
	var feeding sync.WaitGroup
	defer feeding.Wait()
	defer cancel()
	stop := context.AfterFunc(ctx, s.Cancel)
	defer stop()
	fed := m.Body != wire.BodyData
	for {
		msg, err := s.Recv(ctx)
		if err != nil {
			return err
		}
		if !fed && s.Asked() {
			fed = true
			feeding.Go(func() { feed(ctx, s, r.Body) })
		}
		over, err := relay(w, s, msg, m.Kind)
		if over || err != nil {
			return err
		}
	}
}

// openDispatch opens the stream, and before any nested pass can come says where
// it belongs.
func (c *call) openDispatch(r *http.Request, m *wire.Dispatch) (*wire.Stream, error) {
	return c.w.conn.OpenWith(wire.TypeDispatch, 0, frameOf(m), nil, func(s *wire.Stream) {
		c.w.scopes.Store(s.ID(), &outerScope{scope: c.scope, request: r})
	})
}

// relay brings one frame of the container's answer to w.
func relay(w http.ResponseWriter, s *wire.Stream, msg wire.Msg, kind wire.DispatchKind) (over bool, err error) {
	defer msg.Free()
	var m wire.Response
	switch msg.Type {
	case wire.TypeData:
		m.Body = msg.Payload
	case wire.TypeResponse, wire.TypeEnd:
		if err := m.Decode(msg.Payload); err != nil {
			return true, err
		}
	case wire.TypeWindow:
		return false, nil
	default:
		return true, fmt.Errorf("unexpected %s in answer to a dispatch", msg.Type)
	}
	if msg.Type == wire.TypeResponse && kind != wire.DispatchInclude {
		h := w.Header()
		clear(h)
		maps.Copy(h, m.Header)
		if m.Status != 0 {
			w.WriteHeader(m.Status)
		}
	}
	if len(m.Body) > 0 {
		if _, err := w.Write(m.Body); err != nil {
			s.Cancel()
			return true, err
		}
	}
	if msg.Type == wire.TypeData {
		if err := s.Consumed(len(m.Body)); err != nil {
			return true, err
		}
	}
	if msg.Flags&wire.FlagFlush != 0 {
		_ = http.NewResponseController(w).Flush() // as far as the writer can
	}
	return msg.End(), ErrorOf(m.Failure)
}

// feed sends a request's body that the application has made.
func feed(ctx context.Context, s *wire.Stream, r io.Reader) {
	b := make([]byte, wire.MaxData)
	for {
		n, err := r.Read(b)
		if n > 0 {
			if s.SendData(ctx, 0, b[:n]) != nil {
				return
			}
		}
		if err != nil {
			var m wire.Response
			if !errors.Is(err, io.EOF) {
				m.Failure = FailureOf(err)
			}
			_ = s.Send(wire.TypeEnd, wire.FlagEnd, frameOf(&m)) // the stream may be over
			return
		}
	}
}

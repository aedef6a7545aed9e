package worker

import (
	"context"
	"fmt"
	"time"

	"github.com/serval-server/serval/webapp/servlet"
	"github.com/serval-server/serval/webapp/servlet/wire"
)

// requestScope is a request of which the worker's listeners were told: its
// event's stream stays open until the request has ended.
type requestScope struct {
	process *process
	stream  *wire.Stream
}

// Notify implements webapp.Program. An event that no listener of the application
// hears costs nothing. One of a session waits for a worker that is being
// restarted, until Options.EventWait after the last one's end; then the event is
// dropped, which the caller logs and counts.
func (p *Program) Notify(ctx context.Context, e servlet.Event) error {
	if !p.hears(e.Kind) {
		return nil
	}
	switch e.Kind {
	case servlet.RequestInitialized:
		return p.requestInitialized(ctx, e)
	case servlet.RequestDestroyed:
		return p.requestDestroyed(ctx, e)
	case servlet.SessionCreated, servlet.SessionDestroyed, servlet.SessionIDChanged, servlet.SessionWillPassivate, servlet.SessionDidActivate:
	}
	return p.sessionEvent(ctx, e)
}

// hears reports whether any listener of the application wants the event.
func (p *Program) hears(k servlet.EventKind) bool {
	p.mu.Lock()
	kinds, values := p.kinds, p.binding
	p.mu.Unlock()
	switch k {
	case servlet.RequestInitialized, servlet.RequestDestroyed:
		return kinds&servlet.ListensRequest != 0
	case servlet.SessionCreated:
		return kinds&servlet.ListensSession != 0
	case servlet.SessionDestroyed:
		return values || kinds&(servlet.ListensSession|servlet.ListensSessionAttribute) != 0
	case servlet.SessionIDChanged:
		return kinds&servlet.ListensSessionID != 0
	case servlet.SessionWillPassivate, servlet.SessionDidActivate:
		return values
	}
	return false
}

func eventMessage(e servlet.Event) *wire.Event {
	m := &wire.Event{Kind: uint8(e.Kind), Cause: uint8(e.Cause), Local: e.Local, OldID: e.OldID, Deadline: e.Deadline}
	if m.Deadline <= 0 {
		m.Deadline = servlet.DefaultEventDeadline
	}
	for _, f := range [...]struct {
		on  bool
		bit uint8
	}{{e.Status.LocallyUsed, wire.StatusUsed}, {e.Status.LocallyOwned, wire.StatusOwned}, {e.Status.Replicated, wire.StatusReplicated}} {
		if f.on {
			m.Status |= f.bit
		}
	}
	return m
}

// sessionEvent tells of a session and serves what the listeners ask of it.
func (p *Program) sessionEvent(ctx context.Context, e servlet.Event) error {
	wait, cancel := context.WithTimeout(ctx, p.patience())
	defer cancel()
	pr, err := p.ready(wait)
	if err != nil {
		return fmt.Errorf("session event %d: %w", e.Kind, err)
	}
	m := eventMessage(e)
	if e.Session != nil {
		m.HasSession = true
		if err := pr.held.session(&m.Session, e.Session); err != nil {
			return fmt.Errorf("session event %d: %w", e.Kind, err)
		}
	}
	ctx, stop := context.WithTimeout(ctx, m.Deadline)
	defer stop()
	f := wire.NewFrame()
	s, err := pr.conn.Open(wire.TypeEvent, wire.FlagEnd, f.Set(m.Append(f.Bytes())))
	if err != nil {
		return err
	}
	defer s.Close()
	err = awaitEnd(ctx, s, func(c *wire.Call) *wire.Reply {
		r, err := pr.held.answer(c, e.Session)
		if r == nil {
			r = new(wire.Reply)
		}
		if err != nil {
			r.Failure = servlet.FailureOf(err)
		}
		return r
	})
	if ctx.Err() != nil {
		s.Cancel()
	}
	return err
}

// requestInitialized tells of a request's beginning. The stream stays open.
func (p *Program) requestInitialized(ctx context.Context, e servlet.Event) error {
	pass := servlet.PassOf(e.Request)
	if pass == nil {
		return servlet.ErrNoContainer
	}
	pr, err := p.process(ctx)
	if err != nil {
		return &servlet.Unavailable{Reason: err.Error(), RetryAfter: time.Second}
	}
	m := eventMessage(e)
	ex := &exchange{r: e.Request, pass: pass, x: pass.Exchange, c: pass.Exchange.Container(), pr: pr}
	m.Request = &wire.Invoke{Dispatcher: uint8(pass.Type), Attributes: requestAttributes(ex.x, false)}
	requestHead(&m.Request.Request, e.Request)
	m.Request.Paths = wire.Paths{RequestURI: pass.RequestURI, Query: pass.Query, ServletPath: pass.ServletPath, PathInfo: pass.PathInfo}
	if err := ex.putSession(m.Request); err != nil {
		return err
	}
	f := wire.NewFrame()
	ex.s, err = pr.conn.Open(wire.TypeEvent, 0, f.Set(m.Append(f.Bytes())))
	if err != nil {
		return err
	}
	err = awaitEnd(ctx, ex.s, ex.eventCall)
	if err != nil {
		ex.s.Close()
		return err
	}
	p.scopes.Store(ex.x, &requestScope{process: pr, stream: ex.s})
	return nil
}

// eventCall answers what a request listener asks.
func (ex *exchange) eventCall(c *wire.Call) *wire.Reply {
	r, err := ex.answer(c)
	if r == nil {
		r = new(wire.Reply)
	}
	if err != nil {
		r.Failure = servlet.FailureOf(err)
	}
	return r
}

// requestDestroyed ends the stream that requestInitialized has opened.
func (p *Program) requestDestroyed(ctx context.Context, e servlet.Event) error {
	pass := servlet.PassOf(e.Request)
	if pass == nil {
		return nil
	}
	v, ok := p.scopes.LoadAndDelete(pass.Exchange)
	if !ok {
		return nil
	}
	rs := v.(*requestScope)
	defer rs.stream.Close()
	var m wire.Response
	f := wire.NewFrame()
	if err := rs.stream.Send(wire.TypeEnd, wire.FlagEnd, f.Set(m.Append(f.Bytes()))); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), servlet.DefaultEventDeadline)
	defer cancel()
	ex := &exchange{r: e.Request, pass: pass, x: pass.Exchange, c: pass.Exchange.Container(), pr: rs.process, s: rs.stream}
	return awaitEnd(ctx, rs.stream, ex.eventCall)
}

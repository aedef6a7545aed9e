package webapp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/serval-server/serval/descriptor"
	"github.com/serval-server/serval/sessions"
	"github.com/serval-server/serval/webapp/servlet"
)

// SessionKey is the name that sessions of the application at a context path of a
// host have in a cluster, whatever the version ("localhost/shop", "localhost/").
func SessionKey(host, path string) sessions.AppKey {
	return sessions.AppKey(host + cmp.Or(path, "/"))
}

// SessionTimeout is how long a session may be idle by an application's descriptor:
// zero is sessions.DefaultTimeout, negative for ever.
func SessionTimeout(d *descriptor.WebApp) time.Duration {
	if t := d.Context.SessionTimeout; t != nil {
		return *t
	}
	return d.SessionConfig.Timeout
}

// sessionOptions fills in what the descriptor and the other options say.
func (c *Context) sessionOptions() sessions.Options {
	o := c.opts.Sessions
	d := c.d
	o.App = cmp.Or(o.App, SessionKey(c.opts.Host, c.path))
	o.Version = cmp.Or(o.Version, c.opts.Version)
	if o.Timeout == 0 {
		o.Timeout = SessionTimeout(d)
	}
	if o.MaxActive == 0 && d.Context.Manager.MaxActiveSessions != nil {
		o.MaxActive = *d.Context.Manager.MaxActiveSessions
	}
	if p := d.Context.Manager.Pathname; p != nil && *p == "" {
		o.File = "" // the application does not want its sessions saved
	}
	o.Serialized = o.Serialized || d.SessionConfig.Serialized
	if jk := d.Replication.UseJK; d.Distributable && jk != nil {
		if *jk && o.Route == "" {
			c.log.Warn("use-jk has no effect: this node has no route", "at", d.Replication.Pos.String())
		}
		if !*jk {
			o.Route = ""
		}
	}
	o.LastAccessAtStart = o.LastAccessAtStart || isTrue(d.Context.Manager.LastAccessAtStart)
	if o.Logger == nil {
		o.Logger = c.log
	}
	if o.Listener == nil && c.program != nil {
		if l := c.sessionListener(); l.events != 0 {
			o.Listener = l
		}
	}
	return o
}

// sessionListener tells the program of the events that one of the declared
// listeners, or a value, wants to hear.
func (c *Context) sessionListener() *sessionListener {
	l := &sessionListener{program: c.program}
	add := func(kinds ...sessions.EventKind) { l.events |= sessions.Events(kinds...) }
	if c.components.Binding {
		add(sessions.SessionDestroyed)
	}
	if c.components.Activation {
		add(sessions.SessionWillPassivate, sessions.SessionDidActivate)
	}
	for _, d := range c.d.Listeners {
		k := c.components.Listeners[d.Class]
		if k&servlet.ListensSession != 0 {
			add(sessions.SessionCreated, sessions.SessionDestroyed)
		}
		if k&servlet.ListensSessionAttribute != 0 {
			add(sessions.SessionDestroyed)
		}
		if k&servlet.ListensSessionID != 0 {
			add(sessions.SessionIDChanged)
		}
	}
	return l
}

// sessionListener carries session events to the program.
type sessionListener struct {
	program Program
	events  sessions.EventSet
}

func (l *sessionListener) Events() sessions.EventSet { return l.events }

func (l *sessionListener) Notify(ctx context.Context, e sessions.Event) error {
	return l.program.Notify(ctx, servlet.Event{
		Kind:    servlet.EventKind(e.Kind),
		Session: &sessionBackend{s: e.Session, ctx: ctx},
		OldID:   string(e.OldID),
		Cause:   servlet.Cause(e.Cause),
		Local:   e.Local,
		Status:  servlet.Status(e.Status),
	})
}

// The kinds of events have the same numbers on both sides.
var _ = [1]struct{}{}[int(sessions.SessionDidActivate)-int(servlet.SessionDidActivate)]

// sessionBackend is a sessions.Session within one request (or one event, if x is
// nil).
type sessionBackend struct {
	s   *sessions.Session
	x   *exchange
	ctx context.Context
}

var _ servlet.SessionBackend = (*sessionBackend)(nil)

func (b *sessionBackend) ID() string                 { return string(b.s.ID()) }
func (b *sessionBackend) IsNew() bool                { return b.s.IsNew() }
func (b *sessionBackend) Created() time.Time         { return b.s.Created() }
func (b *sessionBackend) LastAccessed() time.Time    { return b.s.LastAccessed() }
func (b *sessionBackend) MaxInactive() time.Duration { return b.s.MaxInactive() }
func (b *sessionBackend) Local(name string) any      { return b.s.Local(name) }

func (b *sessionBackend) SetLocal(name string, value any) { b.s.SetLocal(name, value) }

func (b *sessionBackend) Names() ([]string, error) {
	n, err := b.s.Names()
	return n, sessionError(err)
}

func (b *sessionBackend) Load(name string) (servlet.Value, bool, error) {
	a, ok, err := b.s.Attribute(name)
	return servlet.Value{Bytes: a.Value, Version: servlet.Version(a.Dot)}, ok, sessionError(err)
}

func (b *sessionBackend) Commit(ch *servlet.Changes) error {
	var few [4]sessions.Change // most requests change no more: no allocation
	out := sessions.Changes{Attributes: few[:0], Read: ch.Read, MaxInactive: ch.MaxInactive}
	for _, a := range ch.Attributes {
		out.Attributes = append(out.Attributes, sessions.Change(a))
	}
	if b.x != nil {
		b.x.touched = true
	}
	_, err := b.s.Commit(b.ctx, &out)
	return sessionError(err)
}

func (b *sessionBackend) CompareAndSwap(name string, base servlet.Version, value []byte) (bool, servlet.Value, bool, error) {
	if b.x != nil {
		b.x.touched = true
	}
	swapped, now, ok, err := b.s.CompareAndSwap(b.ctx, name, sessions.Dot(base), value)
	return swapped, servlet.Value{Bytes: now.Value, Version: servlet.Version(now.Dot)}, ok, sessionError(err)
}

func (b *sessionBackend) Invalidate() error {
	return sessionError(b.s.Invalidate(b.ctx, sessions.Invalidate))
}

func (b *sessionBackend) ChangeID() (string, error) {
	id, err := b.s.ChangeID(b.ctx)
	if err != nil {
		return "", sessionError(err)
	}
	if b.x != nil && !b.x.res.committed {
		b.x.c.tracker.SetCookie(b.x.res.Header(), id, b.x.c.secure(b.x.r))
	}
	return string(id), nil
}

// sessionError is an error of package sessions in the words of package servlet.
func sessionError(err error) error {
	if err == nil {
		return nil
	}
	var many *sessions.TooManyError
	switch {
	case errors.Is(err, sessions.ErrInvalid), errors.Is(err, sessions.ErrNotFound):
		return servlet.ErrInvalid
	case errors.As(err, &many):
		return fmt.Errorf("%w: %w", servlet.ErrTooManySessions, err)
	}
	if errors.Is(err, sessions.ErrMoved) || errors.Is(err, sessions.ErrUnavailable) {
		return &clusterError{err}
	}
	return err
}

// clusterError is an error of a session that another node may serve, or this one
// in a while: 503.
type clusterError struct{ error }

func (e *clusterError) Unwrap() []error {
	return []error{&servlet.StatusError{Code: http.StatusServiceUnavailable, Message: e.Error()}, e.error}
}

// Session implements servlet.Container. It is called with the Exchange's lock
// held, so never twice at once.
func (x *exchange) Session(create bool) (servlet.SessionBackend, error) {
	if !x.asked {
		x.asked = true
		if err := x.findSession(); err != nil {
			x.asked = false
			return nil, sessionError(err)
		}
		if x.backend.s != nil {
			return &x.backend, nil
		}
	}
	if !create {
		return nil, nil
	}
	if x.res.committed {
		return nil, servlet.ErrCommitted
	}
	s, err := x.c.manager.Create(x.sessionContext())
	if err != nil {
		return nil, sessionError(err)
	}
	x.c.tracker.SetCookie(x.res.Header(), s.ID(), x.c.secure(x.r))
	return x.useSession(s)
}

// findSession looks for the session whose id the request carries.
func (x *exchange) findSession() error {
	if x.c.opts.Forwarder != nil && !x.routed {
		if err := x.routeLate(); err != nil {
			return err
		}
	}
	for i, q := range x.requestedIDs(x.r) {
		x.fromCookie = x.fromCookie || i == 0 && q.Cookie
		if s := x.pinned; s != nil && i == x.unknown {
			x.pinned = nil
			_, err := x.useSession(s)
			return err
		}
		find := x.c.manager.Find
		if i < x.unknown {
			find = x.c.manager.FindNew
		}
		s, err := find(x.sessionContext(), q.ID)
		if errors.Is(err, sessions.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		_, err = x.useSession(s)
		return err
	}
	return nil
}

// useSession makes the session the request's, and waits for its turn if the
// application wants requests of a session one at a time.
func (x *exchange) useSession(s *sessions.Session) (servlet.SessionBackend, error) {
	if x.c.d.SessionConfig.Serialized && !x.unlocked {
		if err := s.Lock(x.r.Context()); err != nil {
			s.End()
			return nil, fmt.Errorf("waiting for other requests of the session: %w", err)
		}
	}
	if x.last != nil {
		// An earlier session of this request, which it has invalidated.
		x.earlier = append(x.earlier, x.last)
		b := &sessionBackend{s: s, x: x, ctx: x.sessionContext()}
		x.last = s
		return b, nil
	}
	x.backend = sessionBackend{s: s, x: x, ctx: x.sessionContext()}
	x.last = s
	return &x.backend, nil
}

// sessionContext bounds nothing: what a request has changed is committed also
// if its client has gone.
func (x *exchange) sessionContext() context.Context {
	if x.ctx.Context == nil {
		x.ctx.Context = x.r.Context()
	}
	return &x.ctx
}

// endSessions lets go of the request's sessions.
func (x *exchange) endSessions() {
	x.unlockSessions()
	for _, s := range x.earlier {
		s.End()
	}
	if x.last != nil {
		x.last.End()
	}
	if x.pinned != nil {
		x.pinned.End()
	}
	x.earlier, x.last, x.pinned = nil, nil, nil
}

// unlockSessions lets other requests of the session have their turn: at the end,
// and when the connection has been taken over (a WebSocket stays for hours).
func (x *exchange) unlockSessions() {
	if !x.c.d.SessionConfig.Serialized || x.unlocked {
		return
	}
	x.unlocked = true
	for _, s := range x.earlier {
		s.Unlock()
	}
	if x.last != nil {
		x.last.Unlock()
	}
}

// commitSession commits what the request, and requests dispatched from it into
// other applications, have changed.
func (x *exchange) commitSession() error {
	err := x.CommitSession()
	if err == nil && x.last != nil {
		err = x.announce()
	}
	if errors.Is(err, servlet.ErrInvalid) {
		// It ended while the request ran: there is nothing left to keep.
		err = nil
	}
	for _, n := range x.nested {
		err = errors.Join(err, n.commitSession())
	}
	return err
}

// announce tells other nodes what no change of an attribute has told them: that
// there is a new session or id; with the trigger ACCESS, that it was used.
func (x *exchange) announce() error {
	if x.c.everyAccess && !x.touched {
		x.touched = true
		_, err := x.last.Commit(x.sessionContext(), &sessions.Changes{})
		return sessionError(err)
	}
	return sessionError(x.last.Announce(x.sessionContext()))
}

// EncodeURL implements servlet.Container.
func (x *exchange) EncodeURL(r *http.Request, address string) string {
	s, err := x.Exchange.Session(false)
	if err != nil || s == nil || x.fromCookie {
		return address
	}
	return x.c.tracker.EncodeURL(r, address, sessions.ID(s.ID()), x.c.secure(r))
}

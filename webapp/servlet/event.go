package servlet

import (
	"fmt"
	"reflect"
	"slices"
)

// Notify tells the instance's listeners of an event. The error is that of a
// RequestInitialized listener, which ends the request; all others are logged.
func (in *Instance) Notify(e Event) error {
	l := &in.context.listeners
	switch e.Kind {
	case RequestInitialized:
		return l.requestInitialized(e.Request)
	case RequestDestroyed:
		l.requestDestroyed(in.context, e.Request)
		return nil
	case SessionCreated, SessionDestroyed, SessionIDChanged:
		in.notifySession(e)
		return nil
	case SessionWillPassivate, SessionDidActivate:
		in.notifyActivation(e)
		return nil
	}
	return fmt.Errorf("unknown event %d", e.Kind)
}

func (in *Instance) event(e Event) SessionEvent {
	s := NewSession(in.context, e.Session)
	s.frozen = e.Kind == SessionDestroyed
	return SessionEvent{Context: in.context, Session: s, Cause: e.Cause, Local: e.Local}
}

func (in *Instance) notifySession(e Event) {
	l := &in.context.listeners
	ev := in.event(e)
	allowed := l.policy == nil || l.policy.AllowSessionListener(e.Status, e.Cause, e.Local)
	switch e.Kind {
	case SessionCreated:
		for _, x := range l.sessions {
			if allowed {
				guard(in.context, "session created", func() { x.SessionCreated(ev) })
			}
		}
	case SessionIDChanged:
		for _, x := range l.sessionIDs {
			guard(in.context, "session id changed", func() { x.SessionIDChanged(ev, e.OldID) })
		}
	case SessionDestroyed:
		for _, x := range slices.Backward(l.sessions) {
			if allowed {
				guard(in.context, "session destroyed", func() { x.SessionDestroyed(ev) })
			}
		}
		in.unbindAll(e, ev)
	}
	if e.Kind != SessionDestroyed {
		// A listener may put something into the session.
		if err := ev.Session.Commit(); err != nil {
			in.context.cfg.Logger.Error("session listener's changes were not stored", "error", err)
		}
	}
}

// unbindAll tells the attributes of a session that has ended, and who listens
// to them, that they are gone.
func (in *Instance) unbindAll(e Event, ev SessionEvent) {
	l := &in.context.listeners
	names, err := e.Session.Names()
	if err != nil {
		in.context.cfg.Logger.Error("session attributes of an ended session", "error", err)
		return
	}
	slices.Sort(names)
	// From here on the session cannot be read either (tomcat.md B1: it is
	// marked invalid before its attributes are unbound).
	ev.Session.mu.Lock()
	ev.Session.over = true
	ev.Session.mu.Unlock()
	for _, name := range names {
		v, ok, err := e.Session.Load(name)
		if err != nil || !ok {
			continue
		}
		if len(l.sessionAttrs) == 0 && !in.context.types.listens(name) {
			continue
		}
		old := in.context.types.decode(name, v.Bytes)
		if l.policy == nil || l.policy.AllowBindingListener(e.Status, e.Cause, name, e.Local) {
			unbound(in.context, old, BindingEvent{SessionEvent: ev, Name: name})
		}
		if l.policy != nil && !l.policy.AllowAttributeListener(e.Status, e.Cause, name, e.Local) {
			continue
		}
		for _, x := range l.sessionAttrs {
			guard(in.context, "session attribute", func() {
				x.SessionAttributeRemoved(SessionAttributeEvent{SessionEvent: ev, Name: name, Old: old})
			})
		}
	}
}

// notifyActivation tells the values that listen. They are copies: what one changes
// in itself is not kept.
func (in *Instance) notifyActivation(e Event) {
	l := &in.context.listeners
	ev := in.event(e)
	names, err := e.Session.Names()
	if err != nil {
		in.context.cfg.Logger.Error("session attributes of a moving session", "error", err)
		return
	}
	slices.Sort(names)
	for _, name := range names {
		if in.context.types.activated(name) == nil {
			continue
		}
		if l.policy != nil && !l.policy.AllowActivationListener(e.Status, e.Cause, name, e.Local) {
			continue
		}
		v, ok, err := e.Session.Load(name)
		if err != nil || !ok {
			continue
		}
		x, ok := listening[ActivationListener](in.context.types.decode(name, v.Bytes))
		if !ok {
			continue
		}
		be := BindingEvent{SessionEvent: ev, Name: name}
		guard(in.context, "session activation", func() {
			if e.Kind == SessionWillPassivate {
				x.SessionWillPassivate(be)
				return
			}
			x.SessionDidActivate(be)
		})
	}
}

// listening is the value as a listener: itself, or a pointer to a copy of it if
// the methods are the pointer's.
func listening[L any](v any) (L, bool) {
	if l, ok := v.(L); ok {
		return l, true
	}
	var none L
	if v == nil {
		return none, false
	}
	t := reflect.TypeOf(v)
	if t.Kind() == reflect.Pointer || !reflect.PointerTo(t).Implements(reflect.TypeFor[L]()) {
		return none, false
	}
	p := reflect.New(t)
	p.Elem().Set(reflect.ValueOf(v))
	l, ok := p.Interface().(L)
	return l, ok
}

// activated is the type of an attribute whose value wants to hear that its session
// is sent away and comes back, nil if it does not.
func (m *typeMemory) activated(name string) *typeInfo {
	if i, ok := m.types.Load(name); ok && i.(*typeInfo).active {
		return i.(*typeInfo)
	}
	return nil
}

// listens reports that an attribute's value, by the type it was last met with,
// wants to hear of its session.
func (m *typeMemory) listens(name string) bool {
	if !m.listen.Load() {
		return false
	}
	i, ok := m.types.Load(name)
	return ok && i.(*typeInfo).listens
}

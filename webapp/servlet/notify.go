package servlet

import (
	"fmt"
	"net/http"
	"runtime/debug"
	"slices"
)

// attrChange is what has happened to an attribute.
type attrChange uint8

const (
	attrAdded attrChange = iota
	attrRemoved
	attrReplaced
)

// listenerSet are the listeners of one application, by kind, in the order of
// their declaration. It is filled before the first request and not changed
// afterwards.
type listenerSet struct {
	contexts     []ContextListener
	contextAttrs []ContextAttributeListener
	requests     []RequestListener
	requestAttrs []RequestAttributeListener
	sessions     []SessionListener
	sessionIDs   []SessionIDListener
	sessionAttrs []SessionAttributeListener
	policy       NotificationPolicy // nil: all are told
}

func (l *listenerSet) add(v any) {
	if x, ok := v.(ContextListener); ok {
		l.contexts = append(l.contexts, x)
	}
	if x, ok := v.(ContextAttributeListener); ok {
		l.contextAttrs = append(l.contextAttrs, x)
	}
	if x, ok := v.(RequestListener); ok {
		l.requests = append(l.requests, x)
	}
	if x, ok := v.(RequestAttributeListener); ok {
		l.requestAttrs = append(l.requestAttrs, x)
	}
	if x, ok := v.(SessionListener); ok {
		l.sessions = append(l.sessions, x)
	}
	if x, ok := v.(SessionIDListener); ok {
		l.sessionIDs = append(l.sessionIDs, x)
	}
	if x, ok := v.(SessionAttributeListener); ok {
		l.sessionAttrs = append(l.sessionAttrs, x)
	}
}

// guard calls f and logs what it panics with.
func guard(c *Context, what string, f func()) {
	defer func() {
		if p := recover(); p != nil {
			c.cfg.Logger.Error("listener panicked", "event", what, "error", fmt.Sprint(p), "stack", string(debug.Stack()))
		}
	}()
	f()
}

func (l *listenerSet) contextAttribute(c *Context, what attrChange, name string, value any) {
	e := ContextAttributeEvent{Context: c, Name: name, Value: value}
	for _, x := range l.contextAttrs {
		guard(c, "context attribute", func() {
			switch what {
			case attrAdded:
				x.ContextAttributeAdded(e)
			case attrRemoved:
				x.ContextAttributeRemoved(e)
			case attrReplaced:
				x.ContextAttributeReplaced(e)
			}
		})
	}
}

func (l *listenerSet) requestAttribute(r *http.Request, c *Context, what attrChange, name string, value any) {
	e := RequestAttributeEvent{Request: r, Name: name, Value: value}
	for _, x := range l.requestAttrs {
		guard(c, "request attribute", func() {
			switch what {
			case attrAdded:
				x.RequestAttributeAdded(e)
			case attrRemoved:
				x.RequestAttributeRemoved(e)
			case attrReplaced:
				x.RequestAttributeReplaced(e)
			}
		})
	}
}

// sessionAttribute tells of an attribute; event is called only if somebody listens.
func (l *listenerSet) sessionAttribute(c *Context, what attrChange, event func() SessionAttributeEvent) {
	if len(l.sessionAttrs) == 0 {
		return
	}
	e := event()
	if l.policy != nil && !l.policy.AllowAttributeListener(c.status(), e.Cause, e.Name, e.Local) {
		return
	}
	for _, x := range l.sessionAttrs {
		guard(c, "session attribute", func() {
			switch what {
			case attrAdded:
				x.SessionAttributeAdded(e)
			case attrRemoved:
				x.SessionAttributeRemoved(e)
			case attrReplaced:
				x.SessionAttributeReplaced(e)
			}
		})
	}
}

func (l *listenerSet) requestInitialized(r *http.Request) error {
	for _, x := range l.requests {
		if err := x.RequestInitialized(r); err != nil {
			return err
		}
	}
	return nil
}

func (l *listenerSet) requestDestroyed(c *Context, r *http.Request) {
	for _, x := range slices.Backward(l.requests) {
		guard(c, "request destroyed", func() { x.RequestDestroyed(r) })
	}
}

func (l *listenerSet) contextInitialized(c *Context) (told int, err error) {
	for i, x := range l.contexts {
		e := func() (err error) {
			defer func() {
				if p := recover(); p != nil {
					c.cfg.Logger.Error("listener panicked", "event", "context initialized", "error", fmt.Sprint(p), "stack", string(debug.Stack()))
					err = fmt.Errorf("panic: %v", p)
				}
			}()
			return x.ContextInitialized(c)
		}()
		if e != nil && err == nil {
			err = fmt.Errorf("context listener %T: %w", x, e)
		}
		told = i + 1
	}
	return told, err
}

func (l *listenerSet) contextDestroyed(c *Context, told int) {
	for _, x := range slices.Backward(l.contexts[:told]) {
		guard(c, "context destroyed", func() { x.ContextDestroyed(c) })
	}
}

func (s *Session) bindingEvent(name string) BindingEvent {
	return BindingEvent{SessionEvent: SessionEvent{Context: s.context, Session: s, Cause: Modify, Local: true}, Name: name}
}

func (s *Session) attributeEvent(name string, value any, old func() any) func() SessionAttributeEvent {
	return func() SessionAttributeEvent {
		e := SessionAttributeEvent{SessionEvent: SessionEvent{Context: s.context, Session: s, Cause: Modify, Local: true}, Name: name, Value: value}
		if old != nil {
			e.Old = old()
		}
		return e
	}
}

func bound(c *Context, value any, e BindingEvent) {
	if b, ok := listening[BindingListener](value); ok && c.listeners.allowsBinding(e) {
		guard(c, "value bound", func() { b.ValueBound(e) })
	}
}

func unbound(c *Context, value any, e BindingEvent) {
	if b, ok := listening[BindingListener](value); ok && c.listeners.allowsBinding(e) {
		guard(c, "value unbound", func() { b.ValueUnbound(e) })
	}
}

// status is the place in the cluster of a session that a request uses.
func (c *Context) status() Status {
	return Status{LocallyUsed: true, LocallyOwned: true, Replicated: c.cfg.Sessions.Replicated}
}

// allowsBinding asks the application's policy about an event of a request; the
// events of the session's end have been asked for already.
func (l *listenerSet) allowsBinding(e BindingEvent) bool {
	return l.policy == nil || e.Cause != Modify ||
		l.policy.AllowBindingListener(e.Context.status(), e.Cause, e.Name, e.Local)
}

package testapp

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/serval-server/serval/webapp/servlet"
)

// events is a listener of every kind that logs what it hears.
type events struct {
	name string
	logs *Logs
}

var (
	_ servlet.ContextListener          = (*events)(nil)
	_ servlet.ContextAttributeListener = (*events)(nil)
	_ servlet.RequestListener          = (*events)(nil)
	_ servlet.RequestAttributeListener = (*events)(nil)
	_ servlet.SessionListener          = (*events)(nil)
	_ servlet.SessionAttributeListener = (*events)(nil)
	_ servlet.SessionIDListener        = (*events)(nil)
	_ servlet.BindingListener          = Bound{}
	_ servlet.ActivationListener       = Bound{}
)

func (e *events) log(c *servlet.Context, format string, args ...any) {
	e.logs.of(c.Path()).add(e.name+" "+format, args...)
}

// boom panics if this event of this listener is armed.
func (e *events) boom(c *servlet.Context, event string) {
	if e.logs.of(c.Path()).armed(e.name + "." + event) {
		e.log(c, "throwing in %s", event)
		panic(&Throwable{Class: "java.lang.IllegalArgumentException", Message: "boom " + event})
	}
}

// skip leaves out the attributes that are no part of a recording.
func skip(name string) bool {
	return !strings.HasPrefix(name, "k") && !strings.HasPrefix(name, "u.")
}

func (e *events) ContextInitialized(c *servlet.Context) error {
	c.SetAttribute(logAttribute, e.logs.of(c.Path()))
	e.log(c, "contextInitialized %s", c.Path())
	return nil
}

func (e *events) ContextDestroyed(c *servlet.Context) { e.log(c, "contextDestroyed %s", c.Path()) }

func (e *events) ContextAttributeAdded(v servlet.ContextAttributeEvent) {
	if !skip(v.Name) {
		e.log(v.Context, "ctxAttrAdded %s=%v", v.Name, v.Value)
		e.boom(v.Context, "ctxAttrAdded")
	}
}

func (e *events) ContextAttributeRemoved(v servlet.ContextAttributeEvent) {
	if !skip(v.Name) {
		e.log(v.Context, "ctxAttrRemoved %s=%v", v.Name, v.Value)
	}
}

func (e *events) ContextAttributeReplaced(v servlet.ContextAttributeEvent) {
	if !skip(v.Name) {
		e.log(v.Context, "ctxAttrReplaced %s old=%v now=%v", v.Name, v.Value, v.Context.Attribute(v.Name))
	}
}

func (e *events) RequestInitialized(r *http.Request) error {
	c := servlet.ContextOf(r)
	uri, _, _ := strings.Cut(servlet.RequestURI(r), ";")
	e.log(c, "requestInitialized %s", uri)
	e.boom(c, "requestInitialized")
	return nil
}

func (e *events) RequestDestroyed(r *http.Request) {
	c := servlet.ContextOf(r)
	e.log(c, "requestDestroyed")
	e.boom(c, "requestDestroyed")
}

func (e *events) RequestAttributeAdded(v servlet.RequestAttributeEvent) {
	if c := servlet.ContextOf(v.Request); !skip(v.Name) {
		e.log(c, "reqAttrAdded %s=%v", v.Name, v.Value)
		e.boom(c, "reqAttrAdded")
	}
}

func (e *events) RequestAttributeRemoved(v servlet.RequestAttributeEvent) {
	if !skip(v.Name) {
		e.log(servlet.ContextOf(v.Request), "reqAttrRemoved %s=%v", v.Name, v.Value)
	}
}

func (e *events) RequestAttributeReplaced(v servlet.RequestAttributeEvent) {
	if !skip(v.Name) {
		e.log(servlet.ContextOf(v.Request), "reqAttrReplaced %s old=%v now=%v", v.Name, v.Value, servlet.Attribute(v.Request, v.Name))
	}
}

func (e *events) SessionCreated(v servlet.SessionEvent) {
	e.log(v.Context, "sessionCreated isNew=%v", v.Session.IsNew())
	e.boom(v.Context, "sessionCreated")
}

func (e *events) SessionDestroyed(v servlet.SessionEvent) {
	e.log(v.Context, "sessionDestroyed k=%s isNew=%v", visible(v.Session, "k"), v.Session.IsNew())
	e.boom(v.Context, "sessionDestroyed")
}

func (e *events) SessionIDChanged(v servlet.SessionEvent, old string) {
	e.log(v.Context, "sessionIdChanged changed=%v", old != v.Session.ID())
	e.boom(v.Context, "sessionIdChanged")
}

func (e *events) SessionAttributeAdded(v servlet.SessionAttributeEvent) {
	e.log(v.Context, "attrAdded %s=%s visible=%s", v.Name, show(v.Value), visible(v.Session, v.Name))
	e.boom(v.Context, "attrAdded")
}

func (e *events) SessionAttributeRemoved(v servlet.SessionAttributeEvent) {
	e.log(v.Context, "attrRemoved %s=%s visible=%s", v.Name, show(v.Old), visible(v.Session, v.Name))
	e.boom(v.Context, "attrRemoved")
}

func (e *events) SessionAttributeReplaced(v servlet.SessionAttributeEvent) {
	e.log(v.Context, "attrReplaced %s old=%s now=%s", v.Name, show(v.Old), visible(v.Session, v.Name))
	e.boom(v.Context, "attrReplaced")
}

// Bound is a session attribute that logs its binding and activation.
type Bound struct {
	Name string `cbor:"name"`
	ID   string `cbor:"id"`
}

func (b Bound) String() string { return "Bound(" + b.Name + "#" + b.ID + ")" }

// logAttribute is the context attribute by which Bound values, which are
// decoded anew each time and so cannot carry it, find their application's log.
const logAttribute = "oracle.log"

func (b Bound) log(e servlet.BindingEvent) *log {
	if l, ok := e.Context.Attribute(logAttribute).(*log); ok {
		return l
	}
	return &log{}
}

// ValueBound implements servlet.BindingListener.
func (b Bound) ValueBound(e servlet.BindingEvent) { b.binding(e, "bound", "valueBound") }

// ValueUnbound implements servlet.BindingListener.
func (b Bound) ValueUnbound(e servlet.BindingEvent) { b.binding(e, "unbound", "valueUnbound") }

func (b Bound) binding(e servlet.BindingEvent, what, event string) {
	l := b.log(e)
	l.add("%s %s name=%s value=%s visible=%s", what, b, e.Name, b, visible(e.Session, e.Name))
	if l.armed(event) {
		l.add("throwing in %s", event)
		panic(&Throwable{Class: "java.lang.IllegalArgumentException", Message: "boom " + event})
	}
}

// SessionWillPassivate implements servlet.ActivationListener.
func (b Bound) SessionWillPassivate(e servlet.BindingEvent) {
	b.log(e).add("willPassivate %s", b)
}

// SessionDidActivate implements servlet.ActivationListener.
func (b Bound) SessionDidActivate(e servlet.BindingEvent) {
	b.log(e).add("didActivate %s", b)
}

// show prints a value of an event.
func show(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case *Bound:
		return v.String()
	}
	return fmt.Sprint(v)
}

// visible prints what a session shows under a name: a text or a Bound.
func visible(s *servlet.Session, name string) string {
	text, err := servlet.Get[string](s, name)
	switch {
	case err == nil:
		return text
	case errors.Is(err, servlet.ErrNoAttribute):
		return "null"
	case errors.Is(err, servlet.ErrInvalid):
		return "ISE"
	}
	b, err := servlet.Get[Bound](s, name)
	if err != nil {
		return err.Error()
	}
	return b.String()
}

package servlet

import (
	"fmt"
	"net/http"
	"path"
	"strings"
)

// mustPass is the request's pass. A request without one is a mistake in the
// program (a handler run outside any server), so it panics.
func mustPass(r *http.Request) *Pass {
	p := passOf(r)
	if p == nil {
		panic(ErrNoContainer)
	}
	return p
}

// SessionOf is the session of the request; if it has none, one is made and its
// cookie is set. If that is not possible (the response is committed, there are
// too many sessions) it panics with an error that is ErrCommitted or
// ErrTooManySessions, which the container answers with 500 or 503; use
// OpenSession to handle it.
func SessionOf(r *http.Request) *Session {
	s, err := OpenSession(r)
	if err != nil {
		panic(err)
	}
	return s
}

// OpenSession is SessionOf with an error instead of a panic.
func OpenSession(r *http.Request) (*Session, error) {
	p := passOf(r)
	if p == nil {
		return nil, ErrNoContainer
	}
	return p.Exchange.Session(true)
}

// ExistingSession is the session of the request, nil if it has none.
func ExistingSession(r *http.Request) *Session {
	p := passOf(r)
	if p == nil {
		return nil
	}
	s, err := p.Exchange.Session(false)
	if err != nil {
		return nil
	}
	return s
}

// ContextOf is the application that the request is for. It panics if the
// request did not come through a container.
func ContextOf(r *http.Request) *Context { return mustPass(r).Exchange.context }

// Attribute is an attribute of the request, nil if there is none. Attributes
// are how a servlet hands something to the page that it forwards to, and how
// the container tells of forwards, includes and errors (see the Attr names).
func Attribute(r *http.Request, name string) any {
	p := passOf(r)
	if p == nil {
		return nil
	}
	return p.Exchange.Attribute(name)
}

// AttributeNames are the names of the request's attributes, sorted.
func AttributeNames(r *http.Request) []string { return mustPass(r).Exchange.AttributeNames() }

// SetAttribute sets an attribute of the request; nil removes it. Listeners are
// told afterwards. What crosses into another process (a worker's attribute that
// a page in the server reads) must be a value that session attributes could be.
func SetAttribute(r *http.Request, name string, value any) {
	if value == nil {
		RemoveAttribute(r, name)
		return
	}
	x := mustPass(r).Exchange
	if old := x.SetAttribute(name, value); old != nil {
		x.context.listeners.requestAttribute(r, x.context, attrReplaced, name, old)
		return
	}
	x.context.listeners.requestAttribute(r, x.context, attrAdded, name, value)
}

// RemoveAttribute removes an attribute of the request; if there is none,
// nothing happens.
func RemoveAttribute(r *http.Request, name string) {
	x := mustPass(r).Exchange
	if old := x.SetAttribute(name, nil); old != nil {
		x.context.listeners.requestAttribute(r, x.context, attrRemoved, name, old)
	}
}

// ContextPath is the application's path as it is written in an address,
// percent-encoded: "" for the root application, else "/name". What it links to
// itself must begin with it (or be relative). See Context.Path for the name.
func ContextPath(r *http.Request) string {
	p := passOf(r)
	if p == nil {
		return ""
	}
	return p.Exchange.context.escaped
}

// ServletPath is the part of the request's path, after the context path, that
// chose the servlet; decoded. Within an include it is the includer's.
func ServletPath(r *http.Request) string {
	p := passOf(r)
	if p == nil {
		return ""
	}
	return p.ServletPath
}

// PathInfo is the part of the request's path after ServletPath; decoded, "" if
// there is none. Within an include it is the includer's.
func PathInfo(r *http.Request) string {
	p := passOf(r)
	if p == nil {
		return ""
	}
	return p.PathInfo
}

// RequestURI is the request's path as it was written: with context path and
// path parameters, percent-encoded, without query. In a forward it is the
// target's, within an include the includer's.
func RequestURI(r *http.Request) string {
	p := passOf(r)
	if p == nil {
		return r.URL.EscapedPath()
	}
	return p.RequestURI
}

// MappingOf says which rule chose the servlet of the request.
func MappingOf(r *http.Request) Mapping {
	p := passOf(r)
	if p == nil {
		return Mapping{}
	}
	return p.Mapping
}

// DispatcherTypeOf says how the request came here.
func DispatcherTypeOf(r *http.Request) DispatcherType {
	p := passOf(r)
	if p == nil {
		return Request
	}
	return p.Type
}

// DispatcherOf is a way to another resource of the application, by a path that
// begins with "/" (from the application's root) or is relative to the request's
// own. It is nil if the path leads out of the application.
func DispatcherOf(r *http.Request, target string) *Dispatcher {
	p := passOf(r)
	if p == nil {
		return nil
	}
	if strings.HasPrefix(target, "/") {
		return p.Exchange.context.Dispatcher(target)
	}
	// Relative to the path that this pass was mapped by, which for an
	// include is the included resource's (Servlet 6.1 §9.1.1).
	sp, pi := p.ServletPath, p.PathInfo
	if s, ok := p.Exchange.Attribute(AttrIncludeServletPath).(string); ok && p.Type == Include {
		sp = s
		pi, _ = p.Exchange.Attribute(AttrIncludePathInfo).(string)
	}
	dir, _ := path.Split(sp + pi)
	return p.Exchange.context.Dispatcher(escapePath(dir) + target)
}

// EncodeURL adds the session's id to an address of this application if the
// client does not take cookies and the descriptor allows it (tracking-mode URL).
// Every link of an application that wants to work without cookies goes through it.
func EncodeURL(r *http.Request, address string) string {
	p := passOf(r)
	if p == nil {
		return address
	}
	return p.Exchange.container.EncodeURL(r, address)
}

// SendError ends the response as an error: what the buffer holds is dropped,
// and after the handler has returned the descriptor's error page for the status
// is shown, or the server's. What is written after it goes nowhere. If the
// response is committed it returns ErrCommitted. It does for an application with
// error pages what http.Error does for one without.
func SendError(w http.ResponseWriter, r *http.Request, code int, message string) error {
	p := passOf(r)
	if p == nil {
		http.Error(w, message, code)
		return nil
	}
	return p.Exchange.container.SendError(w, r, code, message)
}

// Fail ends the response with an error as if the handler had panicked with it:
// after the handler has returned, the error page is that of the error's type
// (see Typed), or that of status 500. The error is logged.
func Fail(w http.ResponseWriter, r *http.Request, err error) {
	p := passOf(r)
	if p == nil {
		http.Error(w, fmt.Sprint(err), http.StatusInternalServerError)
		return
	}
	p.Exchange.container.Fail(w, r, err)
}

// Barrier commits what the request has changed in its session, now, and returns
// when it is as safe as the application asked for. The next commit point is the
// end of the request, or the response's first flush.
func Barrier(w http.ResponseWriter, r *http.Request) error {
	p := passOf(r)
	if p == nil {
		return ErrNoContainer
	}
	return p.Exchange.container.Barrier(w, r)
}

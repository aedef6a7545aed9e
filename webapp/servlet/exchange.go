package servlet

import (
	"context"
	"net/http"
	"sync"
)

// Container is the server's side of one request: what the functions of this
// package ask for on behalf of the author. The server implements it, and so
// does a worker, by frames to the server.
type Container interface {
	// Session is the request's session. If there is none and create is
	// set, one is made. It returns nil without an error if there is none.
	Session(create bool) (SessionBackend, error)
	// Dispatch runs the target with the request, as Forward or Include.
	Dispatch(w http.ResponseWriter, r *http.Request, t DispatcherType, target Target) error
	// SendError drops what the buffer holds and has the response end as an
	// error page for the status.
	SendError(w http.ResponseWriter, r *http.Request, code int, message string) error
	// Fail has the response end as an error page for the error, as if the
	// servlet had panicked with it.
	Fail(w http.ResponseWriter, r *http.Request, err error)
	// Barrier commits the session's changes now.
	Barrier(w http.ResponseWriter, r *http.Request) error
	// EncodeURL adds the session's id to the address if the client needs it.
	EncodeURL(r *http.Request, address string) string
}

// Exchange is one request on its way through the application, as the container
// sees it: what all its passes (the request, its forwards, includes, its error
// page) share. It is for containers; an author's code uses the functions of
// this package. It must not be copied after Begin.
type Exchange struct {
	container Container
	context   *Context
	mask      any
	shared    *attributeSet
	own       attributeSet
	first     Pass
	request   http.Request // of first

	mu      sync.Mutex
	session *Session // guarded by mu
}

// attributeSet is the request's attributes, shared with the exchanges that a
// dispatch into another application makes.
type attributeSet struct {
	mu     sync.Mutex
	values map[string]any // guarded by mu
}

// Pass is one pass of a request: how it came to be, and the paths that go with
// it. It is the context.Context of the pass's http.Request. Its fields must not
// be modified once its request is on the way.
type Pass struct {
	context.Context
	Exchange *Exchange
	Type     DispatcherType
	// RequestURI is the path as the client (or the dispatcher's caller)
	// wrote it: with the context path, percent-encoded, without query.
	RequestURI string
	// Query is the raw query string, without "?".
	Query string
	// ServletPath is the part of the path that chose the servlet, decoded.
	ServletPath string
	// PathInfo is what follows it, "" for none; else it begins with "/".
	PathInfo string
	// Mapping is the rule that chose the servlet.
	Mapping Mapping
}

// passKey is the key of the Pass in a request's context.
type passKey struct{}

// Value implements context.Context.
func (p *Pass) Value(key any) any {
	if key == (passKey{}) {
		return p
	}
	if key == p.Exchange.mask && key != nil {
		return nil
	}
	return p.Context.Value(key)
}

// passOf is the one place that finds a request's Pass; nil if it has none.
func passOf(r *http.Request) *Pass {
	p, _ := r.Context().Value(passKey{}).(*Pass)
	return p
}

// PassOf is the pass that a request is in; nil if it did not come through a
// container.
func PassOf(r *http.Request) *Pass { return passOf(r) }

// Init readies an Exchange for one request to the application. mask is a key
// that the application shall not find in the request's context: that of a
// router which the server itself uses (a router of the same kind inside the
// application would otherwise take the server's route for its own). Nil masks
// nothing.
func (x *Exchange) Init(container Container, c *Context, mask any) {
	x.container, x.context, x.mask = container, c, mask
	x.shared = &x.own
}

// InitNested readies the Exchange of a dispatch from one application into
// another: the attributes are those of the outer one.
func (x *Exchange) InitNested(outer *Exchange, container Container, c *Context) {
	x.Init(container, c, outer.mask)
	x.shared = outer.shared
}

// First returns the Pass that the Exchange carries with it, for the request as
// it came from the client. Others are allocated.
func (x *Exchange) First() *Pass { return &x.first }

// Start gives the request a Pass and returns the request of that pass. The
// pass's fields have been set, but for Context and Exchange.
func (x *Exchange) Start(r *http.Request, p *Pass) *http.Request {
	p.Context, p.Exchange = r.Context(), x
	return r.WithContext(p)
}

// StartFirst is Start for the Pass that First returns. The request, too, is part
// of the Exchange's allocation.
func (x *Exchange) StartFirst(r *http.Request) *http.Request {
	x.first.Context, x.first.Exchange = r.Context(), x
	x.request = *r.WithContext(&x.first)
	return &x.request
}

// Container is what the Exchange was initialised with.
func (x *Exchange) Container() Container { return x.container }

// Context is the application that the request is for.
func (x *Exchange) Context() *Context { return x.context }

// Attribute is an attribute of the request, nil if there is none.
func (x *Exchange) Attribute(name string) any {
	x.shared.mu.Lock()
	defer x.shared.mu.Unlock()
	return x.shared.values[name]
}

// SetAttribute sets an attribute without telling any listener; nil removes it.
// It returns what was there before.
func (x *Exchange) SetAttribute(name string, value any) (old any) {
	x.shared.mu.Lock()
	defer x.shared.mu.Unlock()
	old = x.shared.values[name]
	if value == nil {
		delete(x.shared.values, name)
		return old
	}
	if x.shared.values == nil {
		x.shared.values = make(map[string]any, 8)
	}
	x.shared.values[name] = value
	return old
}

// AttributeNames are the names of the request's attributes, sorted.
func (x *Exchange) AttributeNames() []string {
	x.shared.mu.Lock()
	defer x.shared.mu.Unlock()
	return sortedKeys(x.shared.values)
}

// Session is the view of the request's session. If there is none and create is
// set, one is made. It returns nil without an error if there is none.
func (x *Exchange) Session(create bool) (*Session, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if s := x.session; s != nil && !s.ended() {
		return s, nil
	}
	b, err := x.container.Session(create)
	if err != nil || b == nil {
		return nil, err
	}
	x.session = NewSession(x.context, b)
	return x.session, nil
}

// Detach calls Session.Detach for the request's session, if it has used one.
func (x *Exchange) Detach() {
	x.mu.Lock()
	s := x.session
	x.mu.Unlock()
	if s != nil {
		s.Detach()
	}
}

// CommitSession hands what the request has changed in its session to the
// session's backend. It does nothing if the request has not used its session
// or changed nothing. An invalidated session has nothing to commit.
func (x *Exchange) CommitSession() error {
	x.mu.Lock()
	s := x.session
	x.mu.Unlock()
	if s == nil {
		return nil
	}
	return s.Commit()
}

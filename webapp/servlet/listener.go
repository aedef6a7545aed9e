package servlet

import (
	"net/http"
	"time"
)

// ContextListener hears of the application's start and stop (Servlet 6.1
// §11.3). An error or a panic in ContextInitialized fails the application's
// start; the listeners after it are still told, and all that were told are told
// of the end. ContextDestroyed comes in the reverse order of declaration.
type ContextListener interface {
	ContextInitialized(c *Context) error
	ContextDestroyed(c *Context)
}

// ContextAttributeEvent tells of an attribute of the Context.
type ContextAttributeEvent struct {
	Context *Context
	Name    string
	Value   any // added: the new value; removed, replaced: the old one
}

// ContextAttributeListener hears of changes of the Context's attributes, after
// they were made. A panic is logged and goes no further.
type ContextAttributeListener interface {
	ContextAttributeAdded(ContextAttributeEvent)
	ContextAttributeRemoved(ContextAttributeEvent)
	ContextAttributeReplaced(ContextAttributeEvent)
}

// RequestListener hears of each request that enters and leaves the
// application. An error or a panic in RequestInitialized ends the request with
// 500. RequestDestroyed comes in reverse order of declaration; a panic in it is
// logged.
type RequestListener interface {
	RequestInitialized(r *http.Request) error
	RequestDestroyed(r *http.Request)
}

// RequestAttributeEvent tells of an attribute of a request.
type RequestAttributeEvent struct {
	Request *http.Request
	Name    string
	Value   any // added: the new value; removed, replaced: the old one
}

// RequestAttributeListener hears of changes of the request's attributes, after
// they were made. A panic is logged and goes no further.
type RequestAttributeListener interface {
	RequestAttributeAdded(RequestAttributeEvent)
	RequestAttributeRemoved(RequestAttributeEvent)
	RequestAttributeReplaced(RequestAttributeEvent)
}

// SessionEvent tells of a session. Session can be read; in SessionDestroyed it
// is still what it was, but nothing can be changed.
type SessionEvent struct {
	Context *Context
	Session *Session
	Cause   Cause
	Local   bool // this node had used the session
}

// SessionListener hears of the sessions' beginning and end. SessionDestroyed
// comes in reverse order of declaration, before the attributes are unbound. A
// panic is logged and goes no further.
type SessionListener interface {
	SessionCreated(SessionEvent)
	SessionDestroyed(SessionEvent)
}

// SessionIDListener hears that a session has got another id.
type SessionIDListener interface {
	SessionIDChanged(e SessionEvent, oldID string)
}

// SessionAttributeEvent tells of an attribute of a session. Value and Old are
// of the type that Set was called with, or, if this process has not seen that
// type, decoded without one (maps, slices, numbers, strings).
type SessionAttributeEvent struct {
	SessionEvent
	Name  string
	Value any // added, replaced: the new value; removed: nil
	Old   any // replaced, removed: the old value; added: nil
}

// SessionAttributeListener hears of changes of sessions' attributes, when they
// are made, in the process that makes them. A panic is logged and goes no
// further.
type SessionAttributeListener interface {
	SessionAttributeAdded(SessionAttributeEvent)
	SessionAttributeRemoved(SessionAttributeEvent)
	SessionAttributeReplaced(SessionAttributeEvent)
}

// BindingEvent tells a value of the session that it enters or leaves.
type BindingEvent struct {
	SessionEvent
	Name string
}

// BindingListener is a session attribute's value that wants to hear when it is
// bound to a session and unbound from it. It is never declared. ValueBound is
// called before the value is stored, ValueUnbound of the value that it replaces
// afterwards. The value that is told of its end is one decoded anew.
type BindingListener interface {
	ValueBound(BindingEvent)
	ValueUnbound(BindingEvent)
}

// ActivationListener is a session attribute's value that wants to hear when its
// session is written to a store or sent to another node, and when it is read
// back. It is never declared. See App.Attributes for how its type is known.
type ActivationListener interface {
	SessionWillPassivate(BindingEvent)
	SessionDidActivate(BindingEvent)
}

// Cause says why a session event happens. The numbers travel between the server
// and a worker: append only.
type Cause uint8

// The causes, as JBoss's ClusteredSessionNotificationCause names them.
const (
	// Create: a request made the session.
	Create Cause = iota
	// Modify: a request changed an attribute.
	Modify
	// Invalidate: a request ended the session.
	Invalidate
	// Timeout: the session was idle for too long.
	Timeout
	// Undeploy: the application stops.
	Undeploy
	// Failover: this node has taken over the session from another.
	Failover
	// Failaway: another node has taken over the session.
	Failaway
	// StateTransfer: the session came with the state of another node.
	StateTransfer
	// Passivation: the session leaves memory for a store.
	Passivation
	// Activation: the session comes back from a store.
	Activation
	// Replication: the session's changes are sent to other nodes.
	Replication
)

var causeNames = [...]string{"CREATE", "MODIFY", "INVALIDATE", "TIMEOUT", "UNDEPLOY", "FAILOVER", "FAILAWAY",
	"STATE_TRANSFER", "PASSIVATION", "ACTIVATION", "REPLICATION"}

// String is the cause's name in JBoss.
func (c Cause) String() string {
	if int(c) < len(causeNames) {
		return causeNames[c]
	}
	return "UNKNOWN"
}

// EventKind is the kind of an Event. The numbers travel between the server and
// a worker: append only.
type EventKind uint8

// The kinds of events that the server reports to the application's process.
// Attribute and binding events of a request are not among them: they happen in
// that process.
const (
	// SessionCreated: a session was made.
	SessionCreated EventKind = iota
	// SessionDestroyed: a session has ended; its attributes are unbound.
	SessionDestroyed
	// SessionIDChanged: a session got another id.
	SessionIDChanged
	// SessionWillPassivate: a session is about to be stored or sent.
	SessionWillPassivate
	// SessionDidActivate: a session was read back.
	SessionDidActivate
	// RequestInitialized: a request enters the application.
	RequestInitialized
	// RequestDestroyed: a request leaves the application.
	RequestDestroyed
)

// Event is something that the server tells the application's process, so that
// it can tell its listeners.
type Event struct {
	Kind    EventKind
	Session SessionBackend // of the session kinds; its Commit and Invalidate are not called
	OldID   string         // of SessionIDChanged
	Cause   Cause          // of the session kinds
	Local   bool           // of the session kinds: the event happened on this node
	Status  Status         // of the session kinds
	Request *http.Request  // of the request kinds; of the session kinds the one that caused it, or nil
	// Deadline is how long the listeners may take; zero is 5 s. It binds
	// where they can be stopped, in a worker.
	Deadline time.Duration
}

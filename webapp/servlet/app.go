package servlet

import "net/http"

// Filter is middleware: it wraps what comes next in the chain. A plain
// func(http.Handler) http.Handler can be assigned to it. It is called once for
// each chain that it is part of, before that chain's first request; what it
// keeps for all requests it makes outside.
type Filter func(next http.Handler) http.Handler

// App is the code of one application, by the names that its descriptor uses
// (servlet-class, filter-class, listener-class, session-notification-policy).
// The zero value is an application without code.
type App struct {
	// Servlets are the handlers. One that also is an Initializer is
	// initialised before its first request, one that is a Destroyer is
	// destroyed when the application stops. In an App that is linked into
	// the server the values are shared by the application's generations
	// (a reload initialises the next before it destroys the last); one that
	// must not be is better made by NewServlets.
	Servlets map[string]http.Handler
	// Filters are the filters that need no configuration.
	Filters map[string]Filter
	// NewFilters make filters from their init parameters, once per
	// filter element of the descriptor.
	NewFilters map[string]func(*Config) (Filter, error)
	// NewServlets make a servlet of its own per servlet element.
	NewServlets map[string]func(*Config) (http.Handler, error)
	// Listeners implement one or more of the listener interfaces of this
	// package. A listener that the descriptor does not name is not called.
	Listeners map[string]any
	// Policies decide whether listeners hear of a session event; the descriptor
	// of a distributable application names one.
	Policies map[string]NotificationPolicy
	// Attributes are session attributes by name, each with a value of its
	// type (the zero value will do). It is needed only for types that are
	// BindingListeners or ActivationListeners, which after a restart the
	// process would otherwise not know until a request reads them.
	Attributes map[string]any
}

// Config is what a servlet or a filter is initialised with (Servlet 6.1 §2.3.1,
// §6.2.1): its name in the descriptor and its init parameters.
type Config struct {
	Name    string
	Params  map[string]string
	Context *Context
}

// Initializer is a servlet that wants its configuration before its first request.
type Initializer interface{ Init(*Config) error }

// Destroyer is a servlet that releases something when the application stops.
type Destroyer interface{ Destroy() }

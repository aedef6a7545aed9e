package webapp

import (
	"context"
	"errors"
	"net/http"

	"github.com/serval-server/serval/sessions"
)

// Forwarder knows at which node of a cluster each session of one application is
// at home, and carries requests there. The cluster implements it; an application
// without one serves all its requests here.
type Forwarder interface {
	// Route says what to do with a request that carries this id. It is asked
	// for each such request before its body is read, but not for those that
	// the server's own servlet of files answers. If the session is at home
	// here it must answer at once. How often the request has been forwarded
	// is the Forwarder's to know, by the context. An error counts as
	// RouteRefuse and is logged.
	Route(ctx context.Context, id sessions.ID) (Route, error)
	// Forward carries the request, with its body, to the node of the Route
	// and the answer back, and returns when that has been written; an answer
	// that breaks off is passed on by panicking with http.ErrAbortHandler.
	// The request is as the server gave it to the Context. If the error is not
	// nil, nothing has been written.
	Forward(w http.ResponseWriter, r *http.Request, to Route) error
}

// Route is where a request is served.
type Route struct {
	Action RouteAction
	Node   uint32 // of RouteForward: the home's number in the cluster
	Name   string // of RouteForward: its name, for logs
}

// RouteAction is what to do with a request.
type RouteAction uint8

// The actions.
const (
	// RouteServe serves the request here. It is the zero value.
	RouteServe RouteAction = iota
	// RouteForward has the session's home serve it.
	RouteForward
	// RouteUnknown serves it here, without a session: there is none of that
	// id, or no longer.
	RouteUnknown
	// RouteRefuse answers 503 with Retry-After: it cannot be decided now.
	RouteRefuse
)

// ErrTryAgain is the error of a Forward that has come to nothing before the
// request's body was read and before any other node began to serve it: the
// session may have another home by now.
var ErrTryAgain = errors.New("the request was not forwarded and may be tried again")

package webapp

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/serval-server/serval/sessions"
	"github.com/serval-server/serval/webapp/mapper"
	"github.com/serval-server/serval/webapp/servlet"
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

// maxForwards is how often a request is sent to another node, if it has turned out
// before it was read there that the home is yet another.
const maxForwards = 2

// statefulTarget reports that what answers a request may look at its session: all
// but the server's own servlet of files, behind no filter or listener that does.
func (x *exchange) statefulTarget(m *mapper.Match) bool {
	c := x.c
	w := c.wrappers[m.Servlet]
	return w == nil || !w.files() || c.hearsRequests || !w.paths[servlet.Request].stateless(m.Path)
}

// stateless reports that none of the filters for a path looks at sessions.
func (s *chainSet) stateless(path string) bool {
	for i := range s.candidates {
		k := &s.candidates[i]
		if (k.filter.program != s.c.shipped || className(k.filter.def.Class, k.filter.def.Name) == sessionFilter) && k.matches(path) {
			return false
		}
	}
	return true
}

// sessionFilter is the only builtin filter that uses sessions.
const sessionFilter = "session-initializer"

// requestedIDs are the ids that the request carries, read once.
func (x *exchange) requestedIDs(r *http.Request) []sessions.Requested {
	if !x.read {
		x.read, x.ids = true, x.c.tracker.ReadIDsInto(x.one[:0], r)
	}
	return x.ids
}

// forwarded sends the request to the node where its session is at home; false:
// it is to be served here. R is the request as it came from the server.
func (x *exchange) forwarded(w http.ResponseWriter, r *http.Request) bool {
	if len(x.requestedIDs(r)) == 0 {
		x.routed = true
		return false
	}
	c := x.c
	for try := 1; ; try++ {
		to, q, err := x.askForwarder(r)
		if err != nil {
			c.log.Error("a request's node could not be found", "path", x.First().RequestURI, "error", err)
			to.Action = RouteRefuse
		}
		switch to.Action {
		case RouteServe:
			if err = x.pin(q); err == nil {
				return false
			}
			if errors.Is(err, sessions.ErrMoved) && try < maxForwards {
				continue
			}
			c.log.Warn("a session could not be taken", "path", x.First().RequestURI, "error", err)
			x.refuse(w, r, http.StatusServiceUnavailable, "the session cannot be served now")
			return true
		case RouteUnknown:
			return false
		case RouteForward:
		default:
			x.refuse(w, r, http.StatusServiceUnavailable, "the session's node cannot be determined now")
			return true
		}
		if err = c.opts.Forwarder.Forward(w, r, to); err == nil {
			return true
		}
		if errors.Is(err, ErrTryAgain) && try < maxForwards {
			continue
		}
		c.log.Error("a request could not be forwarded", "path", x.First().RequestURI, "node", to.Name, "error", err)
		x.refuse(w, r, http.StatusBadGateway, "the session's node could not be reached")
		return true
	}
}

// refuse answers a request that this node cannot serve and could not forward.
func (x *exchange) refuse(w http.ResponseWriter, r *http.Request, status int, message string) {
	w.Header().Set("Retry-After", "1")
	x.c.reportBare(w, r, status, message)
}

// pin takes the session for the request before anything else happens, so that it
// cannot move away between the verdict and the request's first look at it. That it
// has ended meanwhile is no error.
func (x *exchange) pin(q *sessions.Requested) error {
	s, err := x.c.manager.Find(x.sessionContext(), q.ID)
	if errors.Is(err, sessions.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	x.pinned = s
	x.keepRoute(q)
	return nil
}

// maxAsked is of how many ids one request can have other nodes asked: each that
// nobody knows may cost them a search. A browser sends one, or two of nested paths.
const maxAsked = 4

// askForwarder asks for each id of the request, until one is known, and returns it.
func (x *exchange) askForwarder(r *http.Request) (Route, *sessions.Requested, error) {
	x.routed, x.unknown = true, 0
	asked := 0
	for i := range x.ids {
		q := &x.ids[i]
		if q.ID.Valid() && asked < maxAsked {
			asked++
			to, err := x.c.opts.Forwarder.Route(r.Context(), q.ID)
			if err != nil || to.Action != RouteUnknown {
				return to, q, err
			}
		}
		x.unknown++
	}
	return Route{Action: RouteUnknown}, nil, nil
}

// keepRoute gives the client the session's id with this node's route if it came
// with another one: the session has moved here (JBoss's JvmRouteValve; the cookie
// has the application's own name).
func (x *exchange) keepRoute(q *sessions.Requested) {
	if route := x.c.route; route != "" && q.Cookie && q.ID.Route() != route {
		x.c.tracker.SetCookie(x.res.Header(), q.ID.WithRoute(route), x.c.secure(x.r))
	}
}

// routeLate is for a request that was not routed, because what it was for needs no
// session, and now wants its session all the same, on an error page or within a
// dispatch into another application.
func (x *exchange) routeLate() error {
	x.requestedIDs(x.r)
	to, _, err := x.askForwarder(x.r)
	switch {
	case err != nil:
		return err
	case to.Action == RouteForward:
		return fmt.Errorf("%w: it is at home on node %s, and the request cannot be forwarded any more", sessions.ErrMoved, to.Name)
	case to.Action == RouteRefuse:
		return sessions.ErrUnavailable
	}
	return nil
}

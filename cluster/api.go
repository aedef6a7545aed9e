package cluster

import (
	"context"

	"github.com/serval-server/serval/cluster/replica"
	"github.com/serval-server/serval/sessions"
)

// SessionManager is what a DeltaManager asks of the application's sessions;
// *sessions.Manager is one. It is called without locks held. Ids are without
// route. None of it is an error if the session is not here.
type SessionManager interface {
	// Evict forgets a session whose home is another node now; requests that
	// hold it fail at their next commit.
	Evict(ctx context.Context, id sessions.ID, cause sessions.Cause)
	// Yield forgets the session as Evict does, if no request uses it, and
	// reports whether it is not in use.
	Yield(ctx context.Context, id sessions.ID) bool
	// Expire ends the session if it has been idle for too long; it calls Find
	// if it does not have it.
	Expire(ctx context.Context, id sessions.ID)
}

// RouteAction says what to do with a request for a session.
type RouteAction uint8

// The actions.
const (
	RouteServe   RouteAction = iota // here
	RouteForward                    // at another node
	RouteUnknown                    // there is no such session
	RouteRefuse                     // it cannot be decided now: 503
)

// Route says where a request for a session is served.
type Route struct {
	Action RouteAction
	Node   replica.NodeID // of RouteForward
	Name   string         // the node's name
}

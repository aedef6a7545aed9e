package cluster

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

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

// AckError is why a commit's Receipt fails with on_timeout = fail: the acks that
// the cache asks for have not come. The changes hold on this node. It is a
// sessions.ErrUnavailable.
type AckError struct {
	App  sessions.AppKey
	Ack  Ack
	Wait time.Duration // how long they were waited for, at most
}

func (e *AckError) Error() string {
	return fmt.Sprintf("cluster: %s: no acknowledgement (ack = %s) within %v", e.App, e.Ack, e.Wait)
}

// Timeout reports true: other nodes may have the change all the same.
func (e *AckError) Timeout() bool { return true }

// Is makes it a sessions.ErrUnavailable.
func (e *AckError) Is(target error) bool { return target == sessions.ErrUnavailable }

// DeltaManager is what a version of an application has of the cluster: it
// implements sessions.Replicator and sessions.Solitary. It is safe for concurrent
// use.
type DeltaManager struct {
	app *app // set by Open

	cfg      atomic.Pointer[AppConfig]
	settings atomic.Pointer[settings] // as they are now

	mu       sync.Mutex
	sessions SessionManager // guarded by mu
	closed   bool           // guarded by mu

	stop  context.CancelFunc // of tasks
	tasks sync.WaitGroup
}

var (
	_ sessions.Replicator = (*DeltaManager)(nil)
	_ sessions.Solitary   = (*DeltaManager)(nil)
	_ sessions.Holder     = (*DeltaManager)(nil)
	_ sessions.Owner      = (*DeltaManager)(nil)
)

// Attach gives the DeltaManager the application's sessions. Until then nothing is
// evicted, and sessions expire without listeners.
func (d *DeltaManager) Attach(m SessionManager) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sessions = m
}

func (d *DeltaManager) current() settings { return *d.settings.Load() }

func (d *DeltaManager) attached() SessionManager {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.sessions
}

// Alone implements sessions.Solitary: no other living node runs the application.
func (d *DeltaManager) Alone() bool { return len(d.app.targets()) == 0 }

// Holds implements sessions.Holder: the bundle's version that a session belongs
// to, as far as this node knows; false if it knows nothing.
func (d *DeltaManager) Holds(id sessions.ID) (string, bool) {
	sid, ok := realID(id)
	if !ok {
		return "", false
	}
	sh := d.app.shard(sid)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	st := sh.node.State(sid)
	if st == nil || st.Life.Kind != replica.Live {
		return "", false
	}
	return metaOf(st).version, true
}

// AtHome implements sessions.Owner: a living session is at home here, and this node
// is sure of it, or nobody knows of the session.
func (d *DeltaManager) AtHome(id sessions.ID) bool {
	sid, ok := realID(id)
	if !ok {
		return false
	}
	sh := d.app.shard(sid)
	now := sh.lock()
	defer sh.unlock()
	return sh.node.State(sid) == nil || sh.node.TryServe(now, sid)
}

package cluster

import (
	"context"
	"errors"
	"log/slog"
	"net"

	"github.com/serval-server/serval/cluster/replica"
	"github.com/serval-server/serval/sessions"
)

// Config is what a Node is made from.
type Config struct {
	// Name is the node's name, unique in the cluster, the same after a restart.
	Name string
	// Zone is where it is, for instance a data centre or a rack: copies of a
	// session are spread over zones. "" is a zone like any other.
	Zone string
	// Address is host:port at which the others reach it.
	Address string
	// Caches are the settings that applications name. If there is none of the
	// name DefaultCache, one with defaults is added.
	Caches []Cache
	// DataDir is where settings that were changed at run time are kept. "":
	// they are forgotten with the process.
	DataDir string
	// Connect is the network, usually QUIC's.
	Connect Connect
}

// ErrClosed is what a closed Node or DeltaManager says.
var ErrClosed = errors.New("cluster: closed")

// Node is a process's place in a cluster. It is safe for concurrent use.
type Node struct {
	id replica.NodeID
}

// Start connects the node and returns without waiting for others; see Ready. The
// context bounds the start only. The error says which setting is wrong, or what
// the network says.
func Start(ctx context.Context, cfg Config, log *slog.Logger) (*Node, error) { return nil, ErrClosed }

// ID is the number of this incarnation of the node, for sessions.Options.Node.
func (n *Node) ID() replica.NodeID { return n.id }

// Open makes the node one that runs the application. The error is an
// *UnknownCacheError, or says which setting is wrong.
func (n *Node) Open(a AppConfig) (*DeltaManager, error) { return nil, ErrClosed }

// Ready reports whether the node has all that it should have of the sessions of
// its applications, so that a balancer may send it requests. It is false while
// the node drains.
func (n *Node) Ready() bool { return false }

// Drain hands over all sessions that are at home here to other nodes, and serves
// or forwards requests meanwhile. Progress, if not nil, is told how many are left.
// It returns when none is left, when there is nobody to take them, or with the
// context's error. Close the node afterwards.
func (n *Node) Drain(ctx context.Context, progress func(left int)) error { return ErrClosed }

// SetCache changes a cache's settings in the whole cluster.
func (n *Node) SetCache(ctx context.Context, name string, ch CacheChange) error { return ErrClosed }

// SetReplication switches the replication of an application on or off in the
// whole cluster; "" is all applications.
func (n *Node) SetReplication(ctx context.Context, app sessions.AppKey, on bool) error {
	return ErrClosed
}

// OpenStream opens a stream to another node, for a forwarded request.
func (n *Node) OpenStream(ctx context.Context, to replica.NodeID) (net.Conn, error) {
	return nil, ErrClosed
}

// Streams accepts the streams that other nodes open.
func (n *Node) Streams() net.Listener { return nil }

// Status is what this node knows.
func (n *Node) Status() Status { return Status{} }

// ClusterStatus asks all nodes for their Status and returns them by name, this
// node's among them. One that does not answer in time is there with its Error.
func (n *Node) ClusterStatus(ctx context.Context) []Status { return nil }

// Close leaves the cluster and ends all that the node has started. Sessions that
// were not drained live on as copies on other nodes.
func (n *Node) Close(ctx context.Context) error { return ErrClosed }

// DeltaManager is what a version of an application has of the cluster: it
// implements sessions.Replicator and sessions.Solitary. It is safe for concurrent
// use.
type DeltaManager struct{}

var (
	_ sessions.Replicator = (*DeltaManager)(nil)
	_ sessions.Solitary   = (*DeltaManager)(nil)
)

// Attach gives the DeltaManager the application's sessions. Until then nothing is
// evicted, and sessions expire without listeners.
func (d *DeltaManager) Attach(m SessionManager) {}

// Route says where a request for a session is served; hops is how often it has
// been forwarded. After RouteServe, Find finds the session.
func (d *DeltaManager) Route(ctx context.Context, id sessions.ID, hops int) (Route, error) {
	return Route{}, ErrClosed
}

// Find implements sessions.Replicator.
func (d *DeltaManager) Find(ctx context.Context, app sessions.AppKey, id sessions.ID) (*sessions.Snapshot, error) {
	return nil, ErrClosed
}

// Commit implements sessions.Replicator.
func (d *DeltaManager) Commit(delta *sessions.Delta) sessions.Receipt { return nil }

// Alone implements sessions.Solitary: no other living node runs the application.
func (d *DeltaManager) Alone() bool { return true }

// SessionVersion is the bundle's version that a session belongs to, as far as
// this node knows; false if it knows nothing.
func (d *DeltaManager) SessionVersion(id sessions.ID) (string, bool) { return "", false }

// Close hands over the sessions that are at home here and leaves the nodes that
// run the application. The context bounds the handing over.
func (d *DeltaManager) Close(ctx context.Context) error { return nil }

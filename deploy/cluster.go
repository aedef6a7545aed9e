package deploy

import (
	"context"
	"fmt"
	"reflect"
	"sync"
	"time"

	"github.com/serval-server/serval/descriptor"
	"github.com/serval-server/serval/sessions"
	"github.com/serval-server/serval/webapp"
)

// Cluster keeps the sessions of distributable applications on other nodes too. It
// is package server's to implement.
type Cluster interface {
	// Open makes this node one that runs the application. An error is the
	// application's: it is not deployed (a cache-name that does not exist).
	Open(ctx context.Context, app ClusterApp) (Replica, error)
}

// ClusterApp is what an application's descriptor says about its sessions.
type ClusterApp struct {
	// Key is the application's name in the cluster: host and context path.
	Key sessions.AppKey
	// Version is the bundle's, "" if it has none: versions of a path run side by
	// side, and each opens the cluster for itself.
	Version string
	// Replication is never nil.
	Replication *descriptor.Replication
	// Timeout is how long a session may be idle; zero is
	// sessions.DefaultTimeout, negative for ever.
	Timeout time.Duration
}

// Replica is one version of an application in the cluster. All generations of it
// share one, so that a reload moves no session.
type Replica interface {
	sessions.Replicator
	webapp.Forwarder
	// Attach is told of the sessions when there are any, for each generation.
	Attach(m *sessions.Manager)
	// Reconfigure is told what a new generation says, if it differs.
	Reconfigure(app ClusterApp) error
	// Close is called when no generation is left. It hands the sessions over.
	Close(ctx context.Context) error
}

// replicaUse is a Replica that generations share.
type replicaUse struct {
	Replica
	mu    sync.Mutex
	users int        // guarded by mu
	app   ClusterApp // guarded by mu: what it was told
}

// replicate gives the options of a distributable application what the cluster has
// for it. The caller releases the use when the generation ends; it is nil for an
// application that keeps its sessions to itself.
func (c *Contexts) replicate(ctx context.Context, l Launch, model *descriptor.WebApp, opts *webapp.Options) (*replicaUse, error) {
	if !model.Distributable {
		return nil, nil
	}
	if c.Cluster == nil {
		l.Logger.Info("the application is distributable, but this node is in no cluster: its sessions are kept here only",
			"at", model.DistributablePos.String())
		return nil, nil
	}
	app := ClusterApp{Key: webapp.SessionKey(l.Host, string(l.Name.Path)), Version: string(l.Name.Version), Replication: &model.Replication, Timeout: webapp.SessionTimeout(model)}
	use := previousUse(l)
	var err error
	if use == nil {
		use, err = c.openReplica(ctx, app)
	} else {
		err = use.retain(app)
	}
	if err != nil {
		return nil, err
	}
	opts.Sessions.Replicator, opts.Forwarder, opts.OnSessions = use.Replica, use.Replica, use.Attach
	return use, nil
}

func (c *Contexts) openReplica(ctx context.Context, app ClusterApp) (*replicaUse, error) {
	r, err := c.Cluster.Open(ctx, app)
	if err != nil {
		return nil, err
	}
	return &replicaUse{Replica: r, users: 1, app: app}, nil
}

func previousUse(l Launch) *replicaUse {
	if previous, ok := l.Previous.(*contextApp); ok {
		return previous.replica
	}
	return nil
}

// retain is for another generation, which may say other things than the one before.
func (u *replicaUse) retain(app ClusterApp) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !reflect.DeepEqual(u.app, app) {
		if err := u.Reconfigure(app); err != nil {
			return fmt.Errorf("the cluster: %w", err)
		}
		u.app = app
	}
	u.users++
	return nil
}

// release is called by each generation once; nil is none of the cluster's.
func (u *replicaUse) release(ctx context.Context) error {
	if u == nil {
		return nil
	}
	u.mu.Lock()
	u.users--
	last := u.users == 0
	u.mu.Unlock()
	if !last {
		return nil
	}
	return u.Close(ctx)
}

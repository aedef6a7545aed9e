package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/serval-server/serval/cluster"
	"github.com/serval-server/serval/deploy"
	"github.com/serval-server/serval/server/config"
	"github.com/serval-server/serval/server/forward"
	"github.com/serval-server/serval/sessions"
	"github.com/serval-server/serval/webapp"
	"github.com/serval-server/serval/webapp/servlet"
)

// errNoCluster is what commands about the cluster get from a server without one.
var errNoCluster = errors.New("this server is in no cluster: its configuration has no [cluster] that is enabled")

// clustering is the server's part in a cluster: the node, and the way of requests
// to other nodes and from them.
type clustering struct {
	node   *cluster.Node
	client *forward.Client
	server *forward.Server
	log    *slog.Logger
	report func(host string) func(http.ResponseWriter, *http.Request, int, string, error)
	// settled: what was there at the start has been deployed, or has failed.
	settled atomic.Bool
	// draining: the sessions are being handed over, or have been.
	draining atomic.Bool
	drains   sync.Mutex // held by who drains
}

// joinCluster starts the node, if there is a cluster. Its applications open it when
// they are deployed.
func (s *Server) joinCluster(ctx context.Context, cfg *config.Config) error {
	nodeConfig, err := s.nodeConfig(cfg)
	if err != nil || nodeConfig == nil {
		return err
	}
	node, err := cluster.Start(ctx, *nodeConfig, s.log)
	if err != nil {
		return fmt.Errorf("cluster: %w", err)
	}
	c := &clustering{node: node, log: s.log, report: s.report}
	c.client = forward.NewClient(func(ctx context.Context, to uint32) (net.Conn, error) {
		return node.OpenStream(ctx, to)
	}, s.log)
	c.server = forward.NewServer(forward.ServerOptions{
		Handler: http.HandlerFunc(s.serveForwarded), HeaderTimeout: cfg.Limits.HeaderTimeout.D(),
		MaxHeaderBytes: int(cfg.Limits.MaxHeaderSize), Logger: s.log,
	})
	s.cluster = c
	for _, h := range s.hosts {
		if h.contexts != nil {
			h.contexts.Cluster = &hostCluster{clustering: c, host: h.name}
			h.contexts.Sessions.Node = node.ID()
		}
	}
	return nil
}

// takeForwarded begins to serve requests of other nodes.
func (s *Server) takeForwarded() {
	if s.cluster == nil {
		return
	}
	s.cluster.server.Serve(s.cluster.node.Streams())
	s.wait.Go(func() {
		if s.Settled(s.life) == nil {
			s.cluster.settled.Store(true)
		}
	})
	s.wait.Go(func() { s.cluster.abandon(s.life) })
}

// serveForwarded serves a request that another node has forwarded: its valves have
// run there.
func (s *Server) serveForwarded(w http.ResponseWriter, r *http.Request) {
	p := s.enter()
	defer p.users.Add(-1)
	p.inner.ServeHTTP(w, r)
}

// Ready reports whether a balancer may send requests: the server is not stopping or
// draining, and with a cluster it has deployed its applications and has the sessions
// that it should have.
func (s *Server) Ready() bool { return len(s.unready()) == 0 }

// unready names what is not ready, for the health check.
func (s *Server) unready() []string {
	c := s.cluster
	switch {
	case s.stopping.Load():
		return []string{"server"}
	case c == nil:
		return nil
	case c.draining.Load():
		return []string{"cluster: draining"}
	case !c.settled.Load():
		return []string{"deployment"}
	case !c.node.Ready():
		return []string{"cluster"}
	}
	return nil
}

// leaving reports that the node's sessions are going, or have gone, elsewhere.
func (s *Server) leaving() bool { return s.cluster != nil && s.cluster.draining.Load() }

// Drain hands all sessions over to other nodes while the server goes on, and makes
// it not ready for good. Progress, which may be nil, hears how many are left. It
// is an error if another Drain runs.
func (s *Server) Drain(ctx context.Context, progress func(left int)) error {
	if s.cluster == nil {
		return errNoCluster
	}
	return s.cluster.drain(ctx, progress)
}

func (c *clustering) drain(ctx context.Context, progress func(left int)) error {
	if !c.drains.TryLock() {
		return errors.New("the node is being drained already")
	}
	defer c.drains.Unlock()
	c.draining.Store(true)
	if progress != nil {
		progress(c.homes())
	}
	return c.node.Drain(ctx, progress)
}

// homes is how many sessions are at home on this node.
func (c *clustering) homes() (n int) {
	for _, a := range c.node.Status().Apps {
		n += a.Home
	}
	return n
}

// handOver drains the node before the server stops. What goes wrong is logged: the
// sessions then live on as copies.
func (c *clustering) handOver(ctx context.Context) {
	c.draining.Store(true)
	began, reported := time.Now(), time.Now()
	first := c.homes()
	c.drains.Lock() // a Drain that was asked for is as good
	defer c.drains.Unlock()
	err := c.node.Drain(ctx, func(left int) {
		if time.Since(reported) >= time.Second {
			reported = time.Now()
			c.log.Info("handing sessions over", "left", left)
		}
	})
	took := time.Since(began).Round(time.Millisecond)
	if err != nil && !errors.Is(err, cluster.ErrClosed) {
		c.log.Warn("not all sessions were handed over; other nodes have copies", "error", err, "took", took)
		return
	}
	c.log.Info("sessions are handed over", "sessions", first, "took", took)
}

// retreat is for when no client can connect any more: sessions that were made since
// handOver go too, and then requests that other nodes forward are refused.
func (c *clustering) retreat(ctx context.Context) {
	if c.node.Drain(ctx, nil) != nil {
		return // handOver has said so
	}
	if err := c.server.Refuse(ctx); err != nil {
		c.log.Warn("stopping although other nodes have requests here", "error", err)
	}
}

// leave ends what joinCluster has started.
func (c *clustering) leave(ctx context.Context) error {
	return errors.Join(c.node.Close(ctx), c.server.Close())
}

// hostCluster opens the cluster for the applications of a host.
type hostCluster struct {
	*clustering
	host string
}

// Open implements deploy.Cluster.
func (h *hostCluster) Open(_ context.Context, app deploy.ClusterApp) (deploy.Replica, error) {
	m, err := h.node.Open(appConfig(app))
	if err != nil {
		return nil, err
	}
	return &replicated{DeltaManager: m, clustering: h.clustering, report: h.report(h.host)}, nil
}

func appConfig(app deploy.ClusterApp) cluster.AppConfig {
	return cluster.AppConfig{Key: app.Key, Version: app.Version, Replication: app.Replication, Timeout: app.Timeout}
}

// replicated is a version of an application in the cluster.
type replicated struct {
	*cluster.DeltaManager
	clustering *clustering
	report     func(http.ResponseWriter, *http.Request, int, string, error)
}

var (
	_ deploy.Replica    = (*replicated)(nil)
	_ sessions.Solitary = (*replicated)(nil)
	_ sessions.Holder   = (*replicated)(nil)
)

// Attach implements deploy.Replica.
func (d *replicated) Attach(m *sessions.Manager) { d.DeltaManager.Attach(m) }

// Reconfigure implements deploy.Replica.
func (d *replicated) Reconfigure(app deploy.ClusterApp) error {
	return d.DeltaManager.Reconfigure(appConfig(app))
}

// actions are the cluster's words for what the application does.
var actions = [...]webapp.RouteAction{
	cluster.RouteServe: webapp.RouteServe, cluster.RouteForward: webapp.RouteForward,
	cluster.RouteUnknown: webapp.RouteUnknown, cluster.RouteRefuse: webapp.RouteRefuse,
}

// Route implements webapp.Forwarder.
func (d *replicated) Route(ctx context.Context, id sessions.ID) (webapp.Route, error) {
	to, err := d.DeltaManager.Route(ctx, id, forward.Hops(ctx))
	if err != nil {
		return webapp.Route{Action: webapp.RouteRefuse}, err
	}
	return webapp.Route{Action: actions[to.Action], Node: to.Node, Name: to.Name}, nil
}

// Forward implements webapp.Forwarder.
func (d *replicated) Forward(w http.ResponseWriter, r *http.Request, to webapp.Route) error {
	err := d.clustering.client.Forward(w, r, to.Node)
	if err == nil {
		return nil
	}
	if r.Context().Err() != nil {
		panic(http.ErrAbortHandler) // nobody waits for an answer
	}
	if status, message := blame(err); status != 0 {
		d.report(w, r, status, message, nil)
		return nil
	}
	if e, ok := errors.AsType[*forward.Error](err); ok && e.Retryable {
		d.clustering.awaitNews(r.Context(), to.Node, errors.Is(err, forward.ErrRefused))
		return fmt.Errorf("%w: %w", webapp.ErrTryAgain, err)
	}
	return err
}

const (
	// newsAfter bounds how long a request waits for the cluster to notice that a
	// node is gone which has just failed to answer: a silent host takes 2.5 s.
	newsAfter = 3500 * time.Millisecond
	// glance is how often that is looked at.
	glance = 5 * time.Millisecond
)

// awaitNews returns when the cluster takes the node for gone or, unless it is
// leaving, the node can be reached again: until then a session that is at home there
// has no other place.
func (c *clustering) awaitNews(ctx context.Context, node uint32, leaving bool) {
	ctx, cancel := context.WithTimeout(ctx, newsAfter)
	defer cancel()
	tick := time.NewTicker(glance)
	defer tick.Stop()
	for c.node.Alive(node) {
		if !leaving {
			if conn, err := c.node.OpenStream(ctx, node); err == nil {
				_ = conn.Close() // it was only to see whether that works
				return
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// abandon gives up the requests that are open to nodes which have died meanwhile.
func (c *clustering) abandon(ctx context.Context) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		for _, node := range c.client.Nodes() {
			if !c.node.Alive(node) {
				c.client.Abort(node)
			}
		}
	}
}

// blame is the status for a request whose body could not be read, 0 for others.
func blame(err error) (status int, message string) {
	if s, ok := errors.AsType[*servlet.StatusError](err); ok && s.Code < 500 {
		return s.Code, s.Message
	}
	if large, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return http.StatusRequestEntityTooLarge, fmt.Sprintf("the body has more than %d bytes", large.Limit)
	}
	return 0, ""
}

// Copies are the sessions that this node knows.
func (s *Server) Copies() ([]cluster.Copy, error) {
	if s.cluster == nil {
		return nil, errNoCluster
	}
	return s.cluster.node.Copies(), nil
}

// ClusterStatus asks all nodes of the cluster how they are.
func (s *Server) ClusterStatus(ctx context.Context) ([]cluster.Status, error) {
	if s.cluster == nil {
		return nil, errNoCluster
	}
	return s.cluster.node.ClusterStatus(ctx), nil
}

// NodeStatus is what this node knows of the cluster.
func (s *Server) NodeStatus() (cluster.Status, error) {
	if s.cluster == nil {
		return cluster.Status{}, errNoCluster
	}
	return s.cluster.node.Status(), nil
}

// SetCache changes a cache's settings in the whole cluster, and returns them as
// they are now.
func (s *Server) SetCache(ctx context.Context, name string, change cluster.CacheChange) (cluster.CacheStatus, error) {
	if s.cluster == nil {
		return cluster.CacheStatus{}, errNoCluster
	}
	if err := s.cluster.node.SetCache(ctx, name, change); err != nil {
		return cluster.CacheStatus{}, err
	}
	caches := s.cluster.node.Status().Caches
	if i := slices.IndexFunc(caches, func(c cluster.CacheStatus) bool { return c.Name == name }); i >= 0 {
		return caches[i], nil
	}
	return cluster.CacheStatus{}, nil
}

// SetReplication switches replication on or off in the whole cluster: for the
// application at a context path of a host, or for all if the path is "".
func (s *Server) SetReplication(ctx context.Context, hostName, path string, on bool) error {
	if s.cluster == nil {
		return errNoCluster
	}
	var key sessions.AppKey
	if path != "" {
		h := s.findHost(hostName)
		if h == nil {
			return fmt.Errorf("no host %q", hostName)
		}
		key = webapp.SessionKey(h.name, string(deploy.MakeName(path, "").Path))
		apps := s.cluster.node.Status().Apps
		if !slices.ContainsFunc(apps, func(a cluster.AppStatus) bool { return a.Key == key }) {
			return fmt.Errorf("no application %s of this node keeps its sessions in the cluster", key)
		}
	}
	return s.cluster.node.SetReplication(ctx, key, on)
}

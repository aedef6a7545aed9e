package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/serval-server/serval/cluster"
	"github.com/serval-server/serval/deploy"
	"github.com/serval-server/serval/server/config"
	"github.com/serval-server/serval/server/connector"
	"github.com/serval-server/serval/server/control"
	"github.com/serval-server/serval/server/valves"
	"github.com/serval-server/serval/webapp/servlet"
)

// Options are what a server gets besides its configuration.
type Options struct {
	// Linked are the applications that are compiled into the server, by the
	// name that a descriptor gives with [runtime] app.
	Linked map[string]servlet.App
	// Valves are valves that are compiled into the server, by the name that
	// [valves.custom.NAME] gives.
	Valves map[string]valves.Maker
	// Version is the product's version, for status and for error reports
	// that show it.
	Version string
	// Logger takes the log; nil discards it.
	Logger *slog.Logger
	// Level is the log's level, which Reload sets; it may be nil.
	Level *slog.LevelVar
	// Factory makes applications; nil makes those of package webapp. Tests
	// of the server alone put their own here.
	Factory func(host *config.Host) deploy.Factory
	// Cluster says how the node is made that joins a cluster, nil for none;
	// tests have networks of their own. Nil: the configuration says it.
	Cluster func(cfg *config.Config) (*cluster.Config, error)
}

// Server is a server. Its methods are safe for concurrent use.
type Server struct {
	opt        Options
	log        *slog.Logger
	connectors []*connector.Connector
	hosts      []*host
	control    *control.Server
	started    time.Time

	cluster *clustering // nil: none; set by Start

	aborted  chan error // see Aborted
	stopping atomic.Bool
	// life ends when the server stops.
	life     context.Context
	endLife  context.CancelFunc
	line     atomic.Pointer[pipeline]
	wait     sync.WaitGroup // for old pipelines that are in use
	stopOnce sync.Once
	stopErr  error

	mu  sync.Mutex
	cfg *config.Config // guarded by mu: what is in force
}

// host is a virtual host and its applications.
type host struct {
	name    string
	aliases []string
	apps    *deploy.Host
	// contexts makes its applications; nil with a Factory of tests.
	contexts *deploy.Contexts
}

// New makes a server. It reads certificates, but opens no socket and starts nothing.
func New(cfg *config.Config, o Options) (*Server, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.Version = cmp.Or(o.Version, "dev")
	s := &Server{opt: o, log: o.Logger, cfg: cfg, aborted: make(chan error, 1)}
	s.life, s.endLife = context.WithCancel(context.Background())
	s.setLevel(cfg)
	for i := range cfg.Connectors {
		c, err := connector.New(connector.Options{
			Config: cfg.Connectors[i], Limits: cfg.Limits, Path: cfg.Path,
			Handler: http.HandlerFunc(s.serve), Logger: s.log,
		})
		if err != nil {
			return nil, err
		}
		s.connectors = append(s.connectors, c)
	}
	for i := range cfg.Hosts {
		h, err := s.newHost(cfg, &cfg.Hosts[i])
		if err != nil {
			return nil, fmt.Errorf("host %s: %w", cfg.Hosts[i].Name, err)
		}
		s.hosts = append(s.hosts, h)
	}
	return s, nil
}

// Config is the configuration that is in force.
func (s *Server) Config() *config.Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cfg
}

// Start takes the sockets, begins to deploy and serves. It returns when requests can
// come; Settled waits for the applications. After an error nothing is left running.
func (s *Server) Start(ctx context.Context) error {
	s.started = time.Now()
	cfg := s.Config()
	err := s.start(ctx, cfg)
	if err != nil {
		ended, cancel := context.WithCancel(context.Background())
		cancel() // nothing serves yet, so there is nothing to wait for
		_ = s.Stop(ended)
	}
	return err
}

func (s *Server) start(ctx context.Context, cfg *config.Config) error {
	for _, dir := range []string{cfg.Server.WorkDir, cfg.Server.DataDir} {
		if err := os.MkdirAll(cfg.Path(dir), 0o750); err != nil {
			return err
		}
	}
	socket, err := connector.ListenUnix(cfg.Path(cfg.Server.ControlSocket), 0o600)
	if err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	s.control = control.NewServer(socket, s, s.log)
	for _, c := range s.connectors {
		if err := c.Listen(); err != nil {
			return err
		}
	}
	line, err := s.newPipeline(cfg)
	if err != nil {
		return err
	}
	s.line.Store(line)
	if err := s.joinCluster(ctx, cfg); err != nil {
		return err
	}
	for _, h := range s.hosts {
		if err := h.apps.Start(ctx); err != nil {
			return err
		}
	}
	for _, c := range s.connectors {
		if err := c.Serve(); err != nil {
			return err
		}
	}
	s.takeForwarded()
	s.control.Start()
	return nil
}

// Settled waits until what was there at the start has been deployed or has failed.
func (s *Server) Settled(ctx context.Context) error {
	for _, h := range s.hosts {
		if err := h.apps.Settled(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Aborted tells that the server cannot go on, and why: another node has its name, and
// this one had to give way, or it could not join its cluster again. Whoever has started
// the server stops it then. It tells of one reason at most.
func (s *Server) Aborted() <-chan error { return s.aborted }

// abort has the server ended by whoever has started it.
func (s *Server) abort(err error) {
	select {
	case s.aborted <- err:
	default: // it has been told another reason
	}
}

// Drained is how long Stop waits for open requests: [server] drain-timeout.
func (s *Server) Drained() time.Duration { return s.Config().Server.DrainTimeout.D() }

// grace is what applications get to stop and save their sessions when all the time
// went into waiting for requests.
const grace = 10 * time.Second

// Stop refuses new connections, waits for open requests until the context ends, cuts
// off those that are left, and stops the applications. Further calls wait for the
// first one and return what it did.
func (s *Server) Stop(ctx context.Context) error {
	s.stopOnce.Do(func() { s.stopErr = s.stop(ctx) })
	return s.stopErr
}

func (s *Server) stop(ctx context.Context) error {
	s.stopping.Store(true)
	s.endLife()
	if s.cluster != nil {
		s.cluster.handOver(ctx) // while clients can still be served
	}
	ended := make([]error, len(s.connectors))
	var wg sync.WaitGroup
	for i, c := range s.connectors {
		wg.Go(func() {
			if err := c.Shutdown(ctx); errors.Is(err, context.DeadlineExceeded) {
				s.log.Warn("requests were cut off at the end of drain-timeout", "connector", c.Name())
			} else if !errors.Is(err, context.Canceled) {
				ended[i] = err
			}
		})
	}
	wg.Wait()
	rest, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) > grace {
		rest = ctx
	}
	if s.cluster != nil {
		s.cluster.retreat(rest)
	}
	for _, h := range s.hosts {
		wg.Go(func() {
			if err := h.apps.Stop(rest); err != nil {
				s.log.Error("stopping the applications of a host", "host", h.name, "error", err)
			}
		})
	}
	wg.Wait()
	errs := []error{errors.Join(ended...)}
	if s.cluster != nil {
		errs = append(errs, s.cluster.leave(rest))
	}
	if s.control != nil {
		errs = append(errs, s.control.Close())
	}
	if line := s.line.Load(); line != nil {
		errs = append(errs, line.close())
	}
	s.wait.Wait()
	return errors.Join(errs...)
}

// Reload reads the configuration again (load does), the certificates, and opens the
// access logs anew. On an error what was in force stays so.
func (s *Server) Reload(load func() (*config.Config, error)) error {
	cfg, err := load()
	if err != nil {
		return fmt.Errorf("reload: %w", err)
	}
	var errs []error
	for _, c := range s.connectors {
		errs = append(errs, c.Reload())
	}
	line, err := s.newPipeline(cfg)
	if err != nil {
		return errors.Join(append(errs, fmt.Errorf("reload: %w", err))...)
	}
	s.exchange(line)
	s.setLevel(cfg)
	s.mu.Lock()
	fixed := unchangeable(s.cfg, cfg)
	s.cfg = cfg
	s.mu.Unlock()
	if len(fixed) > 0 {
		s.log.Warn("these changes take effect at the next start", "sections", fixed)
	}
	return errors.Join(errs...)
}

func (s *Server) setLevel(cfg *config.Config) {
	var level slog.Level
	if s.opt.Level != nil && level.UnmarshalText([]byte(cfg.Log.Level)) == nil {
		s.opt.Level.Set(level)
	}
}

// URLs are where the server can be reached, one for each connector.
func (s *Server) URLs() []string {
	var urls []string
	for _, c := range s.connectors {
		urls = append(urls, c.URL())
	}
	return urls
}

// Apps reports the applications of all hosts.
func (s *Server) Apps() []deploy.AppInfo {
	var apps []deploy.AppInfo
	for _, h := range s.hosts {
		apps = append(apps, h.apps.Apps()...)
	}
	return apps
}

// Status implements control.Backend.
func (s *Server) Status() control.Status {
	cfg := s.Config()
	st := control.Status{
		Version: s.opt.Version, PID: os.Getpid(), Node: cfg.Server.Node, Home: cfg.Home, Config: cfg.File,
		Started: s.started, Stopping: s.stopping.Load(), Apps: len(s.Apps()),
	}
	if s.cluster != nil {
		st.Node = s.cluster.node.Self().Name
	}
	for _, c := range s.connectors {
		st.Connectors = append(st.Connectors, control.Connector{Name: c.Name(), URL: c.URL(), Address: c.Addr().String(), Protocols: c.Protocols()})
	}
	for _, h := range s.hosts {
		st.Hosts = append(st.Hosts, h.name)
	}
	return st
}

// Host implements control.Backend: a host by its name or one of its aliases; "" is
// the default host.
func (s *Server) Host(name string) (deploy.Manager, bool) {
	if h := s.findHost(name); h != nil {
		return h.apps, true
	}
	return nil, false
}

// findHost finds a host by its name or one of its aliases; nil: there is none.
func (s *Server) findHost(name string) *host {
	name = cmp.Or(name, s.Config().Server.DefaultHost)
	same := func(other string) bool { return strings.EqualFold(other, name) }
	i := slices.IndexFunc(s.hosts, func(h *host) bool { return same(h.name) || slices.ContainsFunc(h.aliases, same) })
	if i < 0 {
		return nil
	}
	return s.hosts[i]
}

// failed names the applications that have failed, for the health check.
func (s *Server) failed() []string {
	var names []string
	for _, a := range s.Apps() {
		if a.State == deploy.Failed {
			names = append(names, a.Host+a.Path)
		}
	}
	return names
}

func (s *Server) newHost(cfg *config.Config, c *config.Host) (*host, error) {
	h := &host{name: c.Name, aliases: c.Aliases}
	o := deploy.Options{
		Name: c.Name, AppBase: cfg.Path(c.AppBase), XMLBase: cfg.XMLBase(c),
		WorkDir:         cfg.Path(filepath.Join(cfg.Server.WorkDir, cfg.Server.Engine, c.Name)),
		ContextDefaults: []string{cfg.Path("conf/context.toml"), cfg.Path("conf/context.xml"), filepath.Join(cfg.XMLBase(c), "context.xml.default")},
		GlobalFiles:     []string{cfg.Path(cfg.Server.WebDefaults)},
		NoAutoDeploy:    !c.AutoDeploy, NoDeployOnStartup: !c.DeployOnStartup, Interval: c.ScanInterval.D(),
		NoUnpack: !c.UnpackWARs, NoDeployXML: !c.DeployXML, CopyXML: c.CopyXML, DeployIgnore: c.DeployIgnore,
		UndeployOldVersions: c.UndeployOldVersions, Development: cfg.Server.Development,
		WaitTimeout: c.WaitTimeout.D(), DrainTimeout: c.DrainTimeout.D(), StartTimeout: c.StartTimeout.D(),
		ErrorReport: s.report(c.Name), Env: os.LookupEnv, Logger: s.log,
	}
	ready, err := s.applications(cfg, c, &o, h)
	if err != nil {
		return nil, err
	}
	if h.apps, err = deploy.New(o); err != nil {
		return nil, err
	}
	ready(h.apps)
	return h, nil
}

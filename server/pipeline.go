package server

import (
	"errors"
	"net/http"
	"reflect"
	"strings"
	"sync/atomic"
	"time"

	"github.com/serval-server/serval/server/config"
	"github.com/serval-server/serval/server/connector"
	"github.com/serval-server/serval/server/valves"
)

// pipeline is what requests pass before their host's applications. It is replaced as
// a whole when the configuration is read again.
type pipeline struct {
	handler http.Handler
	// inner is for requests that other nodes forward: the hosts without valves.
	inner http.Handler
	sets  []*valves.Set
	// reports are the error reporters of the hosts, by name.
	reports map[string]valves.Reporter
	// users counts requests inside, so that valves are closed after the last.
	users atomic.Int64
}

func (p *pipeline) close() error {
	var errs []error
	for i := len(p.sets) - 1; i >= 0; i-- {
		errs = append(errs, p.sets[i].Close())
	}
	return errors.Join(errs...)
}

// serve passes a request to the pipeline in force.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	p := s.enter()
	defer p.users.Add(-1)
	if r.ProtoMajor == 1 && s.leaving() {
		// The client's next request had better go elsewhere, and must not meet
		// the end of this connection.
		w.Header().Set("Connection", "close")
	}
	p.handler.ServeHTTP(w, r)
}

// enter counts a request in the pipeline in force.
func (s *Server) enter() *pipeline {
	for {
		p := s.line.Load()
		p.users.Add(1)
		if s.line.Load() == p {
			return p
		}
		p.users.Add(-1) // it was exchanged in between, and may be closed
	}
}

// exchange puts another pipeline in force, and closes the old one when its last
// request has ended.
func (s *Server) exchange(line *pipeline) {
	old := s.line.Swap(line)
	s.wait.Go(func() {
		for old.users.Load() > 0 && !s.stopping.Load() {
			time.Sleep(100 * time.Millisecond)
		}
		if err := old.close(); err != nil {
			s.log.Warn("closing valves", "error", err)
		}
	})
}

// report returns a function that reports errors as the pipeline in force does.
func (s *Server) report(hostName string) func(http.ResponseWriter, *http.Request, int, string, error) {
	return func(w http.ResponseWriter, r *http.Request, status int, message string, cause error) {
		s.line.Load().reports[hostName](w, r, status, message, cause)
	}
}

func (s *Server) newPipeline(cfg *config.Config) (*pipeline, error) {
	env := valves.Env{
		Path: cfg.Path, Logger: s.log, Server: "Serval/" + s.opt.Version, Development: cfg.Server.Development,
		App: accessLogApp, Failed: s.failed, Unready: s.unready, Custom: s.opt.Valves,
	}
	set, err := valves.New(&cfg.Valves, env)
	if err != nil {
		return nil, err
	}
	p := &pipeline{sets: []*valves.Set{set}, reports: map[string]valves.Reporter{}}
	names, inner := newHostTable(), newHostTable()
	env.Report = set.Report()
	for _, h := range s.hosts {
		var c config.Valves
		for i := range cfg.Hosts {
			if cfg.Hosts[i].Name == h.name {
				c = cfg.Hosts[i].Valves
			}
		}
		own, err := valves.New(&c, env)
		if err != nil {
			return nil, errors.Join(err, p.close())
		}
		p.sets = append(p.sets, own)
		p.reports[h.name] = own.Report()
		isDefault := strings.EqualFold(h.name, cfg.Server.DefaultHost)
		names.addHost(h, own.Handler(h.apps), isDefault)
		inner.addHost(h, h.apps, isDefault)
	}
	guard := connector.Guard(cfg.Limits, set.Report())
	p.handler, p.inner = set.Handler(guard(names)), guard(inner)
	return p, nil
}

// hostTable finds the virtual host of a request by its Host header.
type hostTable struct {
	exact    map[string]http.Handler
	wild     map[string]http.Handler // by the part after "*"
	fallback http.Handler
}

func newHostTable() *hostTable {
	return &hostTable{exact: map[string]http.Handler{}, wild: map[string]http.Handler{}}
}

// addHost adds a host with its aliases.
func (t *hostTable) addHost(host *host, h http.Handler, isDefault bool) {
	t.add(host.name, h)
	for _, a := range host.aliases {
		t.add(a, h)
	}
	if isDefault || t.fallback == nil {
		t.fallback = h
	}
}

func (t *hostTable) add(name string, h http.Handler) {
	name = strings.ToLower(name)
	if suffix, ok := strings.CutPrefix(name, "*"); ok {
		t.wild[suffix] = h
		return
	}
	t.exact[name] = h
}

// ServeHTTP passes the request to its host: the exact name, else the longest
// wildcard, else the default host.
func (t *hostTable) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	t.find(r.Host).ServeHTTP(w, r)
}

func (t *hostTable) find(name string) http.Handler {
	if i := strings.LastIndexByte(name, ':'); i >= 0 && !strings.HasSuffix(name, "]") {
		name = name[:i]
	}
	if h := t.exact[name]; h != nil {
		return h
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if h := t.exact[name]; h != nil {
		return h
	}
	if len(t.wild) > 0 {
		for i := 0; i < len(name); i++ {
			if name[i] == '.' && i > 0 {
				if h := t.wild[name[i:]]; h != nil {
					return h
				}
			}
		}
	}
	return t.fallback
}

// unchangeable names the sections that differ and that a running server cannot
// change.
func unchangeable(old, next *config.Config) []string {
	var names []string
	differ := func(name string, a, b any) {
		if !reflect.DeepEqual(a, b) {
			names = append(names, name)
		}
	}
	differ("server", old.Server, next.Server)
	differ("connectors", old.Connectors, next.Connectors)
	differ("hosts", bare(old.Hosts), bare(next.Hosts))
	differ("limits", timeouts(old.Limits), timeouts(next.Limits))
	return names
}

// bare are hosts without what can be changed.
func bare(hosts []config.Host) []config.Host {
	out := make([]config.Host, len(hosts))
	copy(out, hosts)
	for i := range out {
		out[i].Valves = config.Valves{}
	}
	return out
}

// timeouts are the limits that sockets were opened with.
func timeouts(l config.Limits) config.Limits {
	return config.Limits{
		MaxConnections: l.MaxConnections, MaxHeaderSize: l.MaxHeaderSize, MaxStreams: l.MaxStreams,
		HeaderTimeout: l.HeaderTimeout, WriteTimeout: l.WriteTimeout, IdleTimeout: l.IdleTimeout,
	}
}

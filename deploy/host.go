package deploy

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/serval-server/serval/deploy/archive"
)

// Host is one virtual host: it keeps the applications of an appBase deployed
// and answers their requests. Its methods can be called by several goroutines.
type Host struct {
	opts   Options
	ignore *regexp.Regexp
	limits archive.Limits
	global []string // files whose change reloads every application
	log    *slog.Logger

	// table is what requests are looked up in, replaced as a whole.
	table atomic.Pointer[table]

	ctx    context.Context // the host's life: ends when Stop begins
	cancel context.CancelFunc
	// endCtx ends when old generations are no longer to wait for their requests.
	endCtx    context.Context
	endCancel context.CancelFunc
	wg        sync.WaitGroup
	slots     chan struct{} // bounds how many applications are deployed at once

	scanning sync.Mutex // held during a look at the folders
	// seen are new or changed sources as the last scan saw them.
	seen map[Name]sight // guarded by scanning

	mu      sync.Mutex
	apps    map[Name]*app       // guarded by mu
	warned  map[string]struct{} // guarded by mu
	started bool                // guarded by mu
	stopped bool                // guarded by mu
	// first is done when what was there at the start has been deployed.
	first sync.WaitGroup
}

// New makes a Host. Nothing happens until Start.
func New(opts Options) (*Host, error) {
	opts, ignore, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	for _, path := range []*string{&opts.AppBase, &opts.XMLBase, &opts.WorkDir} {
		if *path == "" {
			continue
		}
		if *path, err = filepath.Abs(*path); err != nil {
			return nil, err
		}
	}
	h := &Host{
		opts: opts, ignore: ignore, log: opts.Logger.With("host", opts.Name),
		global: slices.Concat(opts.GlobalFiles, opts.ContextDefaults),
		slots:  make(chan struct{}, opts.Parallel),
		seen:   map[Name]sight{}, apps: map[Name]*app{}, warned: map[string]struct{}{},
	}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	h.endCtx, h.endCancel = context.WithCancel(context.Background())
	h.table.Store(&table{})
	return h, nil
}

// Name is the host's name.
func (h *Host) Name() string { return h.opts.Name }

// Start registers the bundles that are there, begins to deploy them and to
// scan, and returns. Requests for an application that has not started yet
// wait for it; Settled waits for all of them.
func (h *Host) Start(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	h.mu.Lock()
	if h.started || h.stopped {
		h.mu.Unlock()
		return fmt.Errorf("deploy: host %s has been started before", h.opts.Name)
	}
	h.started = true
	h.mu.Unlock()
	for _, dir := range []string{h.opts.AppBase, h.opts.WorkDir} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("host %s: %w", h.opts.Name, err)
		}
	}
	h.sweep()
	if !h.opts.NoDeployOnStartup {
		if err := h.deployFirst(); err != nil {
			return fmt.Errorf("host %s: %w", h.opts.Name, err)
		}
	}
	if !h.opts.NoAutoDeploy {
		h.wg.Go(h.loop)
	}
	return nil
}

// deployFirst deploys what is there: context files, zips and folders, each
// kind in the order of names.
func (h *Host) deployFirst() error {
	found, err := h.list()
	if err != nil {
		return err
	}
	rank := func(s sources) int {
		switch {
		case s.xml.exists:
			return 0
		case s.war.exists:
			return 1
		}
		return 2
	}
	names := make([]Name, 0, len(found))
	for name := range found {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b Name) int {
		if d := rank(found[a]) - rank(found[b]); d != 0 {
			return d
		}
		return compareNames(a, b)
	})
	for _, name := range names {
		a := h.register(name)
		h.job(a, &h.first, func(ctx context.Context) {
			src := h.settled(ctx, found[name])
			_ = h.renew(ctx, a, src, decision{action: actRedeploy, why: "the server starts"})
		})
	}
	return nil
}

// settled waits while a zip that was written just now may still be being
// copied: until two looks, an interval apart, have seen the same.
func (h *Host) settled(ctx context.Context, s sources) sources {
	const recent = 2 * time.Second
	age := h.opts.Now().Sub(time.Unix(0, s.war.mtime))
	for s.war.exists && age >= 0 && age < recent {
		select {
		case <-ctx.Done():
			return s
		case <-time.After(h.opts.Interval):
		}
		last := s.war
		if s.war = look(s.war.path); s.war == last {
			break
		}
	}
	return s
}

// Settled waits until what was there at the start has been deployed or has failed.
func (h *Host) Settled(ctx context.Context) error {
	done := make(chan struct{})
	h.wg.Go(func() { h.first.Wait(); close(done) })
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// register makes an application whose turn is taken. The caller holds no lock.
func (h *Host) register(name Name) *app {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.registerLocked(name)
}

func (h *Host) registerLocked(name Name) *app {
	a := newApp(name, h.log, h.opts.Now())
	a.turn <- struct{}{}
	h.apps[name] = a
	h.publishLocked()
	return a
}

// job runs f, which services a, whose turn the caller has taken, and gives the
// turn back. report, if not nil, is done afterwards.
func (h *Host) job(a *app, report *sync.WaitGroup, f func(ctx context.Context)) {
	if report != nil {
		report.Add(1)
	}
	h.wg.Go(func() {
		if report != nil {
			defer report.Done()
		}
		defer a.give()
		h.slots <- struct{}{}
		defer func() { <-h.slots }()
		f(h.ctx)
	})
}

// Stop ends the scan, waits for deployments under way, then for the requests
// of all applications until ctx ends, and stops them; their sessions are saved.
func (h *Host) Stop(ctx context.Context) error {
	h.mu.Lock()
	if h.stopped {
		h.mu.Unlock()
		return nil
	}
	h.stopped = true
	apps := h.appsLocked()
	h.mu.Unlock()
	h.cancel()
	defer context.AfterFunc(ctx, h.endCancel)()
	var wg sync.WaitGroup
	for _, a := range apps {
		wg.Go(func() {
			if a.take(context.WithoutCancel(ctx)) == nil {
				defer a.give()
				h.retire(ctx, a, SaveSessions)
				a.removed = true
			}
		})
	}
	wg.Wait()
	h.wg.Wait()
	h.endCancel()
	h.mu.Lock()
	clear(h.apps)
	h.publishLocked()
	h.mu.Unlock()
	return nil
}

func (h *Host) appsLocked() []*app {
	list := make([]*app, 0, len(h.apps))
	for _, a := range h.apps {
		list = append(list, a)
	}
	slices.SortFunc(list, func(a, b *app) int { return compareNames(a.name, b.name) })
	return list
}

func (h *Host) snapshot() []*app {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.appsLocked()
}

// Apps reports all applications, ordered by path and version.
func (h *Host) Apps() []AppInfo {
	apps := h.snapshot()
	infos := make([]AppInfo, len(apps))
	for i, a := range apps {
		infos[i] = a.info(h.opts.Name)
	}
	return infos
}

// warnOnce logs something that every scan would find again.
func (h *Host) warnOnce(key, message string, args ...any) {
	h.mu.Lock()
	_, known := h.warned[message+key]
	h.warned[message+key] = struct{}{}
	h.mu.Unlock()
	if !known {
		h.log.Warn(message, args...)
	}
}

package deploy

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// sight is what a scan saw of sources that it has not acted on: they are
// acted on when the next scan sees the same.
type sight struct {
	src sources
	// tree sums up the folder of a bundle that is not deployed yet, which
	// may be being copied.
	tree uint64
}

func (h *Host) sightOf(s sources) sight {
	v := sight{src: s}
	if s.dir.exists && !s.war.exists {
		v.tree = treeHash(s.dir.path)
	}
	return v
}

// loop scans until the host stops.
func (h *Host) loop() {
	ticker := time.NewTicker(h.opts.Interval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			h.scan(nil)
		case <-h.ctx.Done():
			return
		}
	}
}

// Scan looks at the folders once, as the background scan does at each
// interval, and returns when what it has begun is done.
func (h *Host) Scan() {
	var begun sync.WaitGroup
	h.scan(&begun)
	begun.Wait()
}

// scan looks at the folders once and begins to do what changes ask for. An
// application that is being serviced is left for the next time.
func (h *Host) scan(begun *sync.WaitGroup) {
	h.scanning.Lock()
	defer h.scanning.Unlock()
	found, err := h.list()
	if err != nil {
		h.warnOnce("", "the folders cannot be scanned", "error", err)
		return
	}
	apps := h.snapshot()
	known := make(map[Name]bool, len(apps))
	for _, a := range apps {
		known[a.name] = true
		h.scanApp(a, found[a.name], begun)
	}
	for name, src := range found {
		if !known[name] {
			h.scanNew(name, src, begun)
		}
	}
	for name := range h.seen {
		if _, there := found[name]; !there && !known[name] {
			delete(h.seen, name)
		}
	}
	if h.opts.UndeployOldVersions {
		h.scanVersions(apps, begun)
	}
}

// stable reports whether the last scan saw the same, and remembers the sight.
func (h *Host) stable(name Name, now sight) bool {
	if last, ok := h.seen[name]; ok && last == now {
		delete(h.seen, name)
		return true
	}
	h.seen[name] = now
	return false
}

// scanNew deploys sources that no application has, once they are stable.
func (h *Host) scanNew(name Name, src sources, begun *sync.WaitGroup) {
	if !h.stable(name, h.sightOf(src)) {
		return
	}
	h.mu.Lock()
	if h.stopped || h.apps[name] != nil {
		h.mu.Unlock()
		return
	}
	a := h.registerLocked(name)
	h.mu.Unlock()
	h.job(a, begun, func(ctx context.Context) {
		_ = h.renew(ctx, a, src, decision{action: actRedeploy, why: "new"})
	})
}

// scanApp finds out what has changed of a deployed application.
func (h *Host) scanApp(a *app, now sources, begun *sync.WaitGroup) {
	if !a.tryTake() {
		return
	}
	if a.removed {
		a.give()
		return
	}
	now = h.complete(a, now)
	d := decide(a.origin, a.tried, now)
	switch {
	case d.ignored != "":
		h.warnOnce(d.ignored, "file ignored: the application is deployed from elsewhere", "file", d.ignored, "app", a.name.Display())
		d = decision{}
	case d.action != actNone && !h.stable(a.name, h.sightOf(now)):
		a.give()
		return
	case d.action == actNone:
		delete(h.seen, a.name)
	}
	if d.action == actNone {
		if changed := a.watch.changed(false); changed != "" {
			d = decision{action: actReload, why: changed + " has changed"}
		}
	}
	if d.action == actNone {
		a.give()
		return
	}
	h.job(a, begun, func(ctx context.Context) { _ = h.carryOut(ctx, a, now, d) })
}

// complete fills in what the folders do not show: the paths of files that have
// gone, and the bundle outside.
func (h *Host) complete(a *app, now sources) sources {
	if now.xml.path == "" {
		now.xml.path = a.tried.xml.path
	}
	if now.war.path == "" {
		now.war.path = a.tried.war.path
	}
	if now.dir.path == "" {
		now.dir.path = a.tried.dir.path
	}
	if a.origin.docBase != "" {
		now.ext = look(a.origin.docBase)
	}
	return now
}

// scanVersions undeploys versions that have no sessions and no requests left
// while a newer one serves.
func (h *Host) scanVersions(apps []*app, begun *sync.WaitGroup) {
	for i, older := range apps {
		newer := false
		for _, b := range apps[i+1:] {
			newer = newer || b.name.Path == older.name.Path && b.current.Load() != nil && b.status.Load().state == Running
		}
		g := older.current.Load()
		if !newer || g == nil || g.requests() > 0 || g.app.Stats().Sessions > 0 || !older.tryTake() {
			continue
		}
		if older.removed {
			older.give()
			continue
		}
		h.job(older, begun, func(ctx context.Context) {
			_ = h.undeploy(ctx, older, "a newer version serves and it has no sessions left")
		})
	}
}

// undeploy stops an application and removes its files. If that fails, the
// next scan deploys what is left.
func (h *Host) undeploy(ctx context.Context, a *app, why string) error {
	a.log.Info("undeploying", "why", why)
	h.retire(ctx, a, DropSessions)
	src := a.tried
	errs := []error{h.remove(src.xml)}
	if a.origin.docBase == "" {
		errs = append(errs, h.remove(src.war))
	}
	if a.origin.docBase == "" || a.origin.unpacked {
		errs = append(errs, h.remove(src.dir))
	}
	h.forget(a)
	return errors.Join(errs...)
}

// errNotDeployed says that no application has a name.
func (h *Host) errNotDeployed(name Name) error {
	return fmt.Errorf("no application %s is deployed on host %s", name.Display(), h.opts.Name)
}

package deploy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"
)

// workDir is the scratch folder of a context.
func (h *Host) workDir(name Name) string { return filepath.Join(h.opts.WorkDir, name.BaseName()) }

// carryOut does what a decision says. The caller has the application's turn.
func (h *Host) carryOut(ctx context.Context, a *app, now sources, d decision) error {
	switch d.action {
	case actReload, actRedeploy:
		return h.renew(ctx, a, now, d)
	case actUndeploy:
		a.log.Info("undeploying", "why", d.why)
		h.retire(ctx, a, DropSessions)
		if d.dropDir && h.remove(now.dir) == nil {
			now.dir.stamp = stamp{}
		}
		if d.dropXML && h.remove(now.xml) == nil {
			now.xml.stamp = stamp{}
		}
		if now.lookInside(); now.gone() {
			h.forget(a)
			return nil
		}
		return h.renew(ctx, a, now, decision{action: actRedeploy, why: "other files of its name are left"})
	}
	return nil
}

// renew makes a new generation from the sources and exchanges it for the one
// that serves. An error leaves that one alone.
func (h *Host) renew(ctx context.Context, a *app, src sources, d decision) error {
	old := a.current.Load()
	state := Starting
	if old != nil {
		state = Reloading
	}
	a.setStatus(state, nil, h.opts.Now())
	began := h.opts.Now()
	ctx, cancel := context.WithTimeout(ctx, h.opts.StartTimeout)
	defer cancel()

	xmlWasThere := a.tried.xml.exists
	o, next, err := h.start(ctx, a, &src, old, d.unpack)
	a.origin = o.origin
	if o.replaced == "" {
		o.replaced = d.replaced
	}
	if err != nil {
		h.failed(a, src, o, err)
		return err
	}
	a.generations = next.number
	a.current.Store(next)
	a.setStatus(Running, nil, h.opts.Now())
	a.log.Info("deployed", "bundle", o.bundle, "generation", next.number, "why", d.why,
		"took", h.opts.Now().Sub(began).Round(time.Millisecond))
	h.dropSuperseded(&src, o, d, !xmlWasThere)
	a.tried = h.refresh(a, src, o)
	if old != nil {
		h.background(a, func() {
			h.end(h.endCtx, a, old, KeepSessions)
			h.dropReplaced(o.replaced)
		})
	} else {
		h.dropReplaced(o.replaced)
	}
	return nil
}

// start opens the bundle, makes the application and starts it.
func (h *Host) start(ctx context.Context, a *app, src *sources, old *generation, unpack bool) (*opened, *generation, error) {
	if err := os.MkdirAll(h.workDir(a.name), 0o755); err != nil {
		return &opened{}, nil, err
	}
	o, err := h.open(ctx, a, src, unpack)
	a.bundle.Store(&o.bundle)
	a.watch = newWatch(o.dir, h.global)
	if err != nil {
		return o, nil, err
	}
	next := newGeneration(a.generations + 1)
	next.bundle = o.closer
	launch := Launch{
		Name: a.name, Host: h.opts.Name, FS: o.fsys, Dir: o.dir, Bundle: o.bundle, Context: o.context, ContextDefaults: o.defaults,
		WorkDir: h.workDir(a.name), Development: h.opts.Development, Logger: a.log,
	}
	if old != nil {
		launch.Previous = old.app
	}
	traits, err := next.launch(ctx, h.opts.New, launch)
	if err != nil {
		return o, nil, errors.Join(err, o.closer.Close())
	}
	a.watch.restrict(o.dir, traits, h.opts.Development)
	return o, next, nil
}

// launch makes and starts the application. Code that is linked into the
// server may panic; that is the application's failure, not the server's.
func (g *generation) launch(ctx context.Context, factory Factory, launch Launch) (traits Traits, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the application panicked while it started: %v\n%s", p, debug.Stack())
		}
	}()
	if g.app, traits, err = factory(ctx, launch); err != nil {
		return traits, err
	}
	return traits, g.app.Start(ctx)
}

// failed records an attempt that came to nothing.
func (h *Host) failed(a *app, src sources, o *opened, err error) {
	serving := a.current.Load() != nil
	if serving {
		h.restore(o)
	} else {
		h.dropReplaced(o.replaced)
	}
	a.watch = newWatch(o.dir, h.global)
	a.watch.everything(o.dir)
	a.tried = h.refresh(a, src, o)
	a.setStatus(Failed, err, h.opts.Now())
	a.log.Error("deployment failed", "bundle", o.bundle, "still_serving", serving, "error", err)
}

// refresh looks again at what the deployment itself has changed. The rest
// stays as it was seen before, so that a change in between is not missed.
func (h *Host) refresh(a *app, src sources, o *opened) sources {
	if o.origin.unpacked {
		src.dir = look(filepath.Join(h.opts.AppBase, a.name.BaseName()))
		src.lookInside()
	}
	return src
}

// dropSuperseded deletes the files that a successful redeployment makes void.
func (h *Host) dropSuperseded(src *sources, o *opened, d decision, xmlIsNew bool) {
	dropDir := d.dropDir
	if o.origin.docBase != "" && xmlIsNew {
		dropDir = true
		if h.remove(src.war) == nil {
			src.war = artifact{}
		}
	}
	if dropDir && !o.origin.unpacked && o.dir != src.dir.path && h.remove(src.dir) == nil {
		src.dir = artifact{}
		src.lookInside()
	}
}

// retire takes the serving generation out of service, waits for its requests
// and stops it, and for those that are still ending.
func (h *Host) retire(ctx context.Context, a *app, fate SessionFate) {
	a.setStatus(Stopping, nil, h.opts.Now())
	if g := a.current.Swap(nil); g != nil {
		h.end(ctx, a, g, fate)
	}
	a.retired.Wait()
}

// end waits for the requests of a generation, for at most DrainTimeout and
// until ctx ends, and stops it.
func (h *Host) end(ctx context.Context, a *app, g *generation, fate SessionFate) {
	drainCtx, cancel := context.WithTimeout(ctx, h.opts.DrainTimeout)
	defer cancel()
	if left := g.drain(drainCtx); left > 0 {
		a.log.Warn("stopping although requests are open", "generation", g.number, "requests", left)
	}
	// The application is given time to stop also when nobody waits for its
	// requests any more.
	stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	if err := errors.Join(g.app.Stop(stopCtx, fate), g.bundle.Close()); err != nil {
		a.log.Warn("stopped with an error", "generation", g.number, "error", err)
	}
}

// stopTimeout bounds how long the code of an application may take to end.
const stopTimeout = 10 * time.Second

// background runs the end of an old generation; a.retired and the host wait for it.
func (h *Host) background(a *app, f func()) {
	h.wg.Add(1)
	a.retired.Add(1)
	go func() {
		defer h.wg.Done()
		defer a.retired.Done()
		f()
	}()
}

// forget takes an undeployed application off the host.
func (h *Host) forget(a *app) {
	a.removed = true
	h.mu.Lock()
	delete(h.apps, a.name)
	h.publishLocked()
	h.mu.Unlock()
	if err := os.RemoveAll(h.workDir(a.name)); err != nil {
		a.log.Warn("cannot delete the work folder", "error", err)
	}
	a.log.Info("undeployed")
}

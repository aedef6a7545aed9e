package webapp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/serval-server/serval/descriptor"
	"github.com/serval-server/serval/sessions"
	"github.com/serval-server/serval/webapp/servlet"
)

// stopAfterFailure bounds the undoing of a start that has failed.
const stopAfterFailure = 10 * time.Second

// Start starts the program, tells the context listeners, and initialises
// filters and servlets with load-on-startup (Servlet 6.1 §11.3.2, §6.2.1,
// §2.3.1). If anything fails, what has been started is stopped again, and the
// Context is of no more use.
func (c *Context) Start(ctx context.Context) (err error) {
	if c.state.Load() != stateNew {
		return errors.New("context has been started before")
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("application %s: %w", displayPath(c.path), err)
			c.state.Store(stateStopped)
			undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopAfterFailure)
			defer cancel()
			err = errors.Join(err, c.stopProgram(undo))
		}
	}()
	if err := c.startProgram(ctx); err != nil {
		return err
	}
	if err := c.bind(); err != nil {
		return err
	}
	if err := c.initContext(ctx); err != nil {
		return err
	}
	m, created, err := c.openSessions(ctx)
	if err != nil {
		return err
	}
	c.manager = m
	if err := c.initComponents(ctx); err != nil {
		if created {
			err = errors.Join(err, m.Close(ctx, true))
		}
		return err
	}
	if err := c.adoptSessions(ctx, created); err != nil {
		return err
	}
	if f := c.opts.OnSessions; f != nil {
		f(m)
	}
	c.started = time.Now()
	c.state.Store(stateRunning)
	return nil
}

func (c *Context) startProgram(ctx context.Context) error {
	if c.opts.Runtime == nil {
		return nil
	}
	rt := c.d.Runtime
	p, err := c.opts.Runtime.Start(ctx, Launch{
		Context: c.app, FS: c.opts.FS, Dir: c.opts.Dir, WorkDir: c.opts.WorkDir, Host: c.opts.Host,
		Settings: RuntimeSettings{
			Kind: string(rt.Kind), App: rt.App, Build: rt.Build, Memory: rt.Memory, MaxRequests: rt.MaxRequests,
			RequestTimeout: rt.RequestTimeout, StartTimeout: rt.StartTimeout, Env: environ(rt.Env),
		},
		Distributable: c.d.Distributable, Development: c.opts.Development, Logger: c.log,
	})
	if err != nil {
		return err
	}
	c.program, c.components = p, p.Components()
	return nil
}

func environ(list []descriptor.Param) (env []string) {
	for _, p := range list {
		env = append(env, p.Name+"="+p.Value)
	}
	return env
}

// bind finds out who answers for each servlet, filter and listener, and puts
// the filter mappings together. The error lists every class that nobody has.
func (c *Context) bind() error {
	own := c.shipped
	shipped := own.Components()
	if err := c.d.CheckClasses(func(kind descriptor.ComponentKind, class string) bool {
		return has(c.components, kind, class) || has(shipped, kind, class)
	}); err != nil {
		return err
	}
	pick := func(kind descriptor.ComponentKind, class string) Program {
		if c.program != nil && has(c.components, kind, class) {
			return c.program
		}
		return own
	}
	byName := map[string]*component{}
	for i := range c.d.Filters {
		f := &c.d.Filters[i]
		k := &component{
			def:     servlet.Definition{Name: f.Name, Class: f.Class, Params: descriptor.Params(f.InitParams)},
			program: pick(descriptor.FilterComponent, className(f.Class, f.Name)),
		}
		byName[f.Name] = k
		c.filters = append(c.filters, k)
	}
	for _, m := range c.d.FilterMappings {
		f := byName[m.Filter]
		if f == nil {
			return fmt.Errorf("%s: filter-mapping names the filter %q, which is not declared", m.Pos, m.Filter)
		}
		fm := filterMapping{filter: f, servlets: m.ServletNames, types: dispatchTypes(m.Dispatchers)}
		for _, p := range m.Patterns {
			fm.patterns = append(fm.patterns, p.URL)
		}
		c.filterMappings = append(c.filterMappings, fm)
	}
	for i := range c.d.Servlets {
		s := &c.d.Servlets[i]
		def := definition(s)
		w := &wrapper{c: c, enabled: !s.Disabled, onStart: -1}
		w.component = component{def: def, program: pick(descriptor.ServletComponent, className(def.Class, def.Name))}
		if s.LoadOnStartup != nil {
			w.onStart = *s.LoadOnStartup
		}
		for t := range w.paths {
			w.paths[t] = c.newChainSet(w, servlet.DispatcherType(t), false)
			w.names[t] = c.newChainSet(w, servlet.DispatcherType(t), true)
		}
		c.wrappers[s.Name] = w
		c.order = append(c.order, w)
	}
	return nil
}

func className(class, name string) string { return cmp.Or(class, name) }

// has reports that somebody offers a component.
func has(k servlet.Components, kind descriptor.ComponentKind, class string) bool {
	in := func(list []string) bool { _, ok := slices.BinarySearch(list, class); return ok }
	switch kind {
	case descriptor.ServletComponent:
		return in(k.Servlets)
	case descriptor.FilterComponent:
		return in(k.Filters)
	case descriptor.ListenerComponent:
		_, ok := k.Listeners[class]
		return ok
	case descriptor.PolicyComponent:
		return in(k.Policies)
	}
	return false
}

// initContext tells the context listeners, in the order of the descriptor.
func (c *Context) initContext(ctx context.Context) error {
	if c.program == nil {
		return nil
	}
	var names []string
	for _, l := range c.d.Listeners {
		if kinds, ok := c.components.Listeners[l.Class]; ok {
			names = append(names, l.Class)
			c.hearsRequests = c.hearsRequests || kinds&servlet.ListensRequest != 0
		}
	}
	policy := "" // all are told
	if c.d.Distributable {
		policy = c.d.Replication.NotificationPolicy
	}
	return c.program.InitContext(ctx, names, policy)
}

// initComponents initialises the filters in the order of the descriptor, then
// the servlets with load-on-startup, ascending and in the order of the
// descriptor. A servlet that fails does not fail the application unless
// failCtxIfServletStartFails says so (tomcat.md D4).
func (c *Context) initComponents(ctx context.Context) error {
	for _, f := range c.filters {
		if err := f.program.InitFilter(ctx, f.def); err != nil {
			return err
		}
	}
	eager := slices.DeleteFunc(slices.Clone(c.order), func(w *wrapper) bool { return w.onStart < 0 || !w.enabled })
	slices.SortStableFunc(eager, func(a, b *wrapper) int { return cmp.Compare(a.onStart, b.onStart) })
	for _, w := range eager {
		if err := w.init(ctx); err != nil {
			if isTrue(c.d.Context.FailOnServletStart) {
				return err
			}
			c.log.Error("servlet did not start; it is tried again with its first request", "servlet", w.def.Name, "error", err)
		}
	}
	return nil
}

// openSessions makes the session manager, or takes the previous generation's.
func (c *Context) openSessions(ctx context.Context) (m *sessions.Manager, created bool, err error) {
	if p := c.opts.Previous; p != nil && p.manager != nil {
		return p.manager, false, nil
	}
	o := c.sessionOptions()
	c.route = o.Route
	m, err = sessions.New(o)
	if err != nil {
		return nil, false, err
	}
	rep, err := m.Load(ctx)
	if err != nil {
		return nil, false, fmt.Errorf("loading sessions: %w", err)
	}
	if rep.Damage != nil {
		c.log.Error("saved sessions were damaged and have been set aside", "file", rep.SetAside, "loaded", rep.Sessions, "error", rep.Damage)
	} else if rep.Sessions > 0 {
		c.log.Info("sessions loaded", "count", rep.Sessions)
	}
	return m, true, nil
}

// adoptSessions lets the manager go on with this generation's listeners.
func (c *Context) adoptSessions(ctx context.Context, created bool) error {
	if created {
		c.manager.Start()
		return nil
	}
	o := c.sessionOptions()
	c.route = o.Route
	if err := c.manager.Rebind(ctx, o); err != nil {
		return fmt.Errorf("taking over the sessions: %w", err)
	}
	c.opts.Previous = nil
	return nil
}

// Stop ends the application: no more requests, sessions as fate says, servlets
// and filters destroyed, then the context listeners. The caller has drained it,
// or given up waiting. Only the first call has an effect.
func (c *Context) Stop(ctx context.Context, fate SessionFate) error {
	c.mu.Lock()
	again := c.stopped
	c.stopped = true
	c.mu.Unlock()
	if again {
		return nil
	}
	c.state.Store(stateStopped)
	var errs []error
	if c.manager != nil && fate != KeepSessions {
		if err := c.manager.Close(ctx, fate == SaveSessions); err != nil {
			errs = append(errs, fmt.Errorf("closing sessions: %w", err))
		}
	}
	errs = append(errs, c.stopProgram(ctx))
	return errors.Join(errs...)
}

func (c *Context) stopProgram(ctx context.Context) error {
	var err error
	if c.program != nil {
		err = c.program.Stop(ctx)
	}
	c.builtins.Destroy()
	return err
}

// NewInstanceProgram is a Program of an Instance in this process: what the
// linked runtime starts, and what the builtins are.
func NewInstanceProgram(in *servlet.Instance) Program { return instanceProgram{in} }

type instanceProgram struct{ in *servlet.Instance }

func (p instanceProgram) Components() servlet.Components { return p.in.Components() }

func (p instanceProgram) InitContext(_ context.Context, listeners []string, policy string) error {
	return p.in.InitContext(listeners, policy)
}

func (p instanceProgram) InitFilter(_ context.Context, d servlet.Definition) error {
	return p.in.InitFilter(d)
}

func (p instanceProgram) InitServlet(_ context.Context, d servlet.Definition) error {
	return p.in.InitServlet(d)
}

func (p instanceProgram) Segment(filters []string, servlet string, next http.Handler) (http.Handler, error) {
	return p.in.Segment(filters, servlet, next)
}

func (p instanceProgram) Notify(_ context.Context, e servlet.Event) error { return p.in.Notify(e) }

func (p instanceProgram) Stop(context.Context) error {
	p.in.Destroy()
	return nil
}

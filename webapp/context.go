package webapp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/serval-server/serval/descriptor"
	"github.com/serval-server/serval/sessions"
	"github.com/serval-server/serval/webapp/mapper"
	"github.com/serval-server/serval/webapp/servlet"
)

// Context is one running generation of an application. New checks and builds
// what can be without running any code of the bundle, Start runs it, ServeHTTP
// serves, Stop ends it. A Context cannot be started again.
type Context struct {
	opts Options
	d    *descriptor.WebApp
	log  *slog.Logger
	path string
	// escaped is path as it is written in addresses.
	escaped string

	app      *servlet.Context
	table    *mapper.Table
	security *security
	tracker  *sessions.Tracker
	errors   errorPages
	charset  string // what text without a charset is declared to be, "" for nothing
	// contentTypes are content types with the charset added, by those without:
	// values of headers, to be shared and not modified.
	contentTypes     sync.Map // string → []string
	contentTypeCount atomic.Int32

	builtins       *servlet.Instance
	shipped        Program // the builtins
	program        Program // nil: the bundle has no code
	components     servlet.Components
	filters        []*component
	filterMappings []filterMapping
	wrappers       map[string]*wrapper
	order          []*wrapper // in the descriptor's order
	hearsRequests  bool       // some listener wants to hear of requests
	manager        *sessions.Manager
	route          string // what ids of sessions end in, "" for nothing
	everyAccess    bool   // each request that uses its session is replicated
	started        time.Time

	state    atomic.Int32
	inFlight atomic.Int64

	mu      sync.Mutex
	idle    chan struct{} // guarded by mu; closed when nothing is in flight any more, nil if nobody waits
	stopped bool          // guarded by mu
}

// The states of a Context.
const (
	stateNew int32 = iota
	stateRunning
	stateStopped
)

// New makes a Context out of a valid descriptor. It runs no code of the bundle
// and has no side effects. The error lists everything that is wrong.
func New(o Options) (*Context, error) {
	if o.Descriptor == nil {
		o.Descriptor = descriptor.BuiltinDefaults()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.FS == nil {
		o.FS = noFiles{}
	}
	c := &Context{opts: o, d: o.Descriptor, log: o.Logger, path: o.Path, escaped: (&url.URL{Path: o.Path}).EscapedPath(), wrappers: map[string]*wrapper{}}
	c.app = servlet.NewContext(c.config())
	if o.Builtins == nil {
		o.Builtins = builtinApp(o.Development)
	}
	c.builtins = servlet.NewInstance(*o.Builtins, c.app)
	c.shipped = NewInstanceProgram(c.builtins)
	c.charset = c.d.ResponseEncoding
	c.everyAccess = c.d.Distributable && c.d.Replication.Trigger == descriptor.TriggerAccess && o.Sessions.Replicator != nil
	var errs []error
	var err error
	if c.table, err = c.newTable(); err != nil {
		errs = append(errs, err)
	}
	if c.security, err = newSecurity(c.d); err != nil {
		errs = append(errs, err)
	}
	if c.tracker, err = sessions.NewTracker(o.Path, c.d.SessionConfig, c.d.Context); err != nil {
		errs = append(errs, err)
	}
	c.errors = newErrorPages(c.d.ErrorPages, c.log)
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("application %s: %w", displayPath(o.Path), err)
	}
	return c, nil
}

func displayPath(p string) string {
	if p == "" {
		return "/"
	}
	return p
}

// App is the application as its own code sees it.
func (c *Context) App() *servlet.Context { return c.app }

// Descriptor is the merged model. It must not be modified.
func (c *Context) Descriptor() *descriptor.WebApp { return c.d }

// Sessions is the session manager; nil before Start.
func (c *Context) Sessions() *sessions.Manager { return c.manager }

// InFlight is how many requests are inside the application.
func (c *Context) InFlight() int { return int(c.inFlight.Load()) }

// Owns reports whether the request carries the id of a session of this
// application.
func (c *Context) Owns(r *http.Request) bool {
	if c.manager == nil {
		return false
	}
	for _, q := range c.tracker.ReadIDs(r) {
		if c.manager.Contains(q.ID) {
			return true
		}
	}
	return false
}

// Info is what listings show of a Context.
type Info struct {
	Path, Version, DisplayName string
	// Runtime is "linked", "worker" or "" for an application without code.
	Runtime   string
	WorkerPID int // 0: no process of its own
	Sessions  int
	InFlight  int
	Started   time.Time
}

// Info describes the Context as it is now.
func (c *Context) Info() Info {
	i := Info{Path: c.path, Version: c.opts.Version, DisplayName: c.d.DisplayName, InFlight: c.InFlight(), Started: c.started}
	if c.manager != nil {
		i.Sessions = c.manager.Stats().Active
	}
	if c.program != nil {
		i.Runtime = "linked"
		if p, ok := c.program.(Inspector); ok {
			i.Runtime, i.WorkerPID = "worker", p.ProcessID()
		}
	}
	return i
}

// enter counts a request in; false if the Context does not serve (any more).
func (c *Context) enter() bool {
	c.inFlight.Add(1)
	if c.state.Load() == stateRunning {
		return true
	}
	c.leave()
	return false
}

func (c *Context) leave() {
	if c.inFlight.Add(-1) > 0 {
		return
	}
	if c.state.Load() == stateRunning {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.idle != nil && c.inFlight.Load() == 0 {
		close(c.idle)
		c.idle = nil
	}
}

// Drain lets no more requests in (they are answered with 503) and waits until
// those that are inside have ended, or the context ends.
func (c *Context) Drain(ctx context.Context) error {
	c.state.CompareAndSwap(stateRunning, stateStopped)
	c.mu.Lock()
	if c.inFlight.Load() == 0 {
		c.mu.Unlock()
		return nil
	}
	if c.idle == nil {
		c.idle = make(chan struct{})
	}
	idle := c.idle
	c.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%d requests still run: %w", c.InFlight(), ctx.Err())
	}
}

package servlet

import (
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"
)

// ListenerKinds says which events a listener hears, as a set of bits. The bits
// travel between the server and a worker: append only.
type ListenerKinds uint16

// The kinds of listeners.
const (
	ListensContext ListenerKinds = 1 << iota
	ListensContextAttribute
	ListensRequest
	ListensRequestAttribute
	ListensSession
	ListensSessionID
	ListensSessionAttribute
)

// Components are the names that an App offers to its descriptor, sorted.
type Components struct {
	Servlets  []string
	Filters   []string
	Listeners map[string]ListenerKinds
	Policies  []string
	// Activation says that App.Attributes has values that are
	// ActivationListeners, Binding the same of BindingListeners.
	Activation, Binding bool
}

// Definition is a servlet or filter element of the descriptor, as far as the
// application's process needs it.
type Definition struct {
	Name   string // servlet-name or filter-name
	Class  string // the name in the App, "" means Name
	Params map[string]string
	// Multipart is a servlet's multipart-config, nil if it has none.
	Multipart *MultipartConfig
}

// MultipartConfig limits the form data with files that a servlet takes
// (Servlet 6.1 §14.4). A body that is over a limit fails to be read with an
// error that is *http.MaxBytesError; unhandled, it is answered with 413.
type MultipartConfig struct {
	Location          string // folder for temporary files, "" is the default
	MaxFileSize       int64  // bytes of one file; negative: no limit
	MaxRequestSize    int64  // bytes of the whole body; negative: no limit
	FileSizeThreshold int64  // bytes up to which a file is kept in memory
}

// Instance is an App that runs in this process, driven by a container: by calls
// when it is linked into the server, by frames in a worker. The order is
// InitContext, InitFilter for each filter, InitServlet for each servlet, then
// Segment, Notify and requests, at last Destroy. Segment, Notify and the
// handlers are safe for concurrent use.
type Instance struct {
	app     App
	context *Context
	told    int // context listeners that have been told of the start

	mu       sync.RWMutex
	filters  map[string]Filter       // guarded by mu; by name in the descriptor
	servlets map[string]http.Handler // guarded by mu
	order    []Destroyer             // guarded by mu; in order of initialisation
}

// NewInstance prepares an App to run as the given application.
func NewInstance(app App, c *Context) *Instance {
	for name, proto := range app.Attributes {
		c.types.remember(name, infoOf(reflect.TypeOf(proto)))
	}
	return &Instance{app: app, context: c, filters: map[string]Filter{}, servlets: map[string]http.Handler{}}
}

// Context is the application that the instance runs as.
func (in *Instance) Context() *Context { return in.context }

// Components are the names that the App offers.
func (in *Instance) Components() Components { return ComponentsOf(in.app) }

// ComponentsOf are the names that an App offers.
func ComponentsOf(app App) Components {
	c := Components{Listeners: make(map[string]ListenerKinds, len(app.Listeners))}
	c.Servlets = append(sortedKeys(app.Servlets), sortedKeys(app.NewServlets)...)
	c.Filters = append(sortedKeys(app.Filters), sortedKeys(app.NewFilters)...)
	slices.Sort(c.Servlets)
	slices.Sort(c.Filters)
	c.Policies = sortedKeys(app.Policies)
	for name, l := range app.Listeners {
		c.Listeners[name] = kindsOf(l)
	}
	for _, proto := range app.Attributes {
		if _, ok := listening[ActivationListener](proto); ok {
			c.Activation = true
		}
		if _, ok := listening[BindingListener](proto); ok {
			c.Binding = true
		}
	}
	return c
}

func kindsOf(l any) (k ListenerKinds) {
	set := func(ok bool, bit ListenerKinds) {
		if ok {
			k |= bit
		}
	}
	_, ok := l.(ContextListener)
	set(ok, ListensContext)
	_, ok = l.(ContextAttributeListener)
	set(ok, ListensContextAttribute)
	_, ok = l.(RequestListener)
	set(ok, ListensRequest)
	_, ok = l.(RequestAttributeListener)
	set(ok, ListensRequestAttribute)
	_, ok = l.(SessionListener)
	set(ok, ListensSession)
	_, ok = l.(SessionIDListener)
	set(ok, ListensSessionID)
	_, ok = l.(SessionAttributeListener)
	set(ok, ListensSessionAttribute)
	return k
}

// InitContext takes the listeners that the descriptor names, in its order, and
// tells the context listeners of the start. policy is the name of the session
// notification policy, the application's own or one that ships; "" for none. On an
// error the application must not start; Destroy is called all the same.
func (in *Instance) InitContext(listeners []string, policy string) error {
	l := &in.context.listeners
	for _, name := range listeners {
		v, ok := in.app.Listeners[name]
		if !ok {
			return fmt.Errorf("the application has no listener %q", name)
		}
		l.add(v)
	}
	if policy != "" {
		p, ok := in.app.policy(policy)
		if !ok {
			return fmt.Errorf("the application has no session notification policy %q", policy)
		}
		l.policy = p
	}
	var err error
	in.told, err = l.contextInitialized(in.context)
	return err
}

// InitFilter makes one filter of the descriptor. A filter that is made anew and
// is a Destroyer is destroyed at the end.
func (in *Instance) InitFilter(d Definition) (err error) {
	defer initPanic("filter", d.Name, &err)
	class := d.class()
	f, ok := in.app.Filters[class]
	if mk, isNew := in.app.NewFilters[class]; isNew {
		if f, err = mk(in.config(d)); err != nil {
			return fmt.Errorf("filter %q: %w", d.Name, err)
		}
		ok = true
	}
	if !ok || f == nil {
		return fmt.Errorf("filter %q: the application has no filter %q", d.Name, class)
	}
	in.mu.Lock()
	in.filters[d.Name] = f
	in.mu.Unlock()
	return nil
}

// InitServlet makes one servlet of the descriptor and initialises it, if it is
// an Initializer. The error may be an *Unavailable.
func (in *Instance) InitServlet(d Definition) (err error) {
	defer initPanic("servlet", d.Name, &err)
	class := d.class()
	h, ok := in.app.Servlets[class]
	if mk, isNew := in.app.NewServlets[class]; isNew {
		if h, err = mk(in.config(d)); err != nil {
			return fmt.Errorf("servlet %q: %w", d.Name, err)
		}
		ok = true
	}
	if !ok || h == nil {
		return fmt.Errorf("servlet %q: the application has no servlet %q", d.Name, class)
	}
	if i, ok := h.(Initializer); ok {
		if err := i.Init(in.config(d)); err != nil {
			return fmt.Errorf("servlet %q: %w", d.Name, err)
		}
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if x, ok := h.(Destroyer); ok {
		in.order = append(in.order, x)
	}
	in.servlets[d.Name] = tidy(h, d.Multipart)
	return nil
}

func (d Definition) class() string {
	if d.Class == "" {
		return d.Name
	}
	return d.Class
}

func (in *Instance) config(d Definition) *Config {
	return &Config{Name: d.Name, Params: d.Params, Context: in.context}
}

func initPanic(kind, name string, err *error) {
	if p := recover(); p != nil {
		if e, ok := p.(error); ok {
			*err = fmt.Errorf("%s %q: init panicked: %w", kind, name, e)
			return
		}
		*err = fmt.Errorf("%s %q: init panicked: %v", kind, name, p)
	}
}

// Segment is a part of a request's chain: the filters, by their names in the
// descriptor, around the servlet of that name, or, if it is "", around next,
// which is the rest of the chain.
func (in *Instance) Segment(filters []string, servlet string, next http.Handler) (http.Handler, error) {
	in.mu.RLock()
	defer in.mu.RUnlock()
	h := next
	if servlet != "" {
		h = in.servlets[servlet]
		if h == nil {
			return nil, fmt.Errorf("servlet %q is not initialised", servlet)
		}
	}
	if h == nil {
		return nil, errors.New("a segment without a servlet needs what comes next")
	}
	for _, name := range slices.Backward(filters) {
		f := in.filters[name]
		if f == nil {
			return nil, fmt.Errorf("filter %q is not initialised", name)
		}
		if h = f(h); h == nil {
			return nil, fmt.Errorf("filter %q returned no handler", name)
		}
	}
	return h, nil
}

// Destroy ends the instance: servlets in the reverse order of their
// initialisation, then the context listeners in reverse.
func (in *Instance) Destroy() {
	in.mu.Lock()
	order := in.order
	in.order = nil
	in.mu.Unlock()
	for _, d := range slices.Backward(order) {
		guard(in.context, "destroy "+strings.TrimPrefix(fmt.Sprintf("%T", d), "*"), d.Destroy)
	}
	in.context.listeners.contextDestroyed(in.context, in.told)
	in.told = 0
}

// DefaultEventDeadline is how long the listeners of a session event may take in
// a worker.
const DefaultEventDeadline = 5 * time.Second

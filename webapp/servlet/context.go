package servlet

import (
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"path"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"time"
)

// ContextConfig is what a Context is made from. The server fills it in from the
// bundle and its descriptor; a worker process from the server's first frame.
type ContextConfig struct {
	// Path is the context path: "" for the root application, else "/name".
	Path string
	// Version is the bundle's version ("2" of shop##2), "" if it has none.
	Version string
	// Name is the descriptor's display-name, "" if it has none.
	Name string
	// Params are the context's init parameters.
	Params map[string]string
	// FS is the bundle's file tree, WEB-INF included. Nil: no files.
	FS fs.FS
	// Dir is the same tree as a folder, "" if it is served out of a zip.
	Dir string
	// TempDir is a folder of this application alone, for its temporary files.
	TempDir string
	// Logger is where the application's log goes. Nil: nowhere.
	Logger *slog.Logger
	// MIME is the type of a file by its name's extension (lower case, no
	// dot), "" if unknown. Nil: none is known.
	MIME func(ext string) string
	// SessionTimeout is what a new session's MaxInactive is; zero or less: never.
	SessionTimeout time.Duration
	// Sessions are the application's rules for session attributes.
	Sessions SessionRules
	// RequestEncoding and ResponseEncoding are the descriptor's, "" if it
	// has none.
	RequestEncoding, ResponseEncoding string
	// LocaleEncodings are the descriptor's locale-encoding-mappings, by
	// locale ("de", "ja_JP").
	LocaleEncodings map[string]string
	// AbsoluteRedirects: Redirect sends absolute addresses
	// (useRelativeRedirects=false).
	AbsoluteRedirects bool
	// Servlets are the names that NamedDispatcher knows.
	Servlets []string
	// Lookup finds another application of the same host by a path that it
	// would serve (ServletContext.getContext). Nil: there is none in reach.
	Lookup func(path string) *Context
}

// SessionRules say how an application wants its session attributes treated.
type SessionRules struct {
	// SetOnly: what is changed in place and not Set is not looked for
	// (replication-trigger SET).
	SetOnly bool
	// ReportReads: Changes say which attributes were read
	// (replication-trigger SET_AND_GET).
	ReportReads bool
	// UnencodableLocal: a value that cannot be encoded is kept as SetLocal
	// does, with a warning, instead of being refused (non-serializable = "local").
	UnencodableLocal bool
	// Replicated: other nodes get what a request has changed. Values that
	// are ActivationListeners hear of it (cause REPLICATION), and policies are
	// asked with Status.Replicated.
	Replicated bool
	// KeepDecoded: requests of a session come one at a time, so that a
	// decoded value can be handed from one to the next (serialised access).
	KeepDecoded bool
}

// Context is the running application, as its code sees it (Servlet 6.1 §4). It
// is safe for concurrent use.
type Context struct {
	cfg       ContextConfig
	escaped   string // cfg.Path, percent-encoded
	servlets  map[string]bool
	listeners listenerSet
	types     typeMemory

	mu    sync.RWMutex
	attrs map[string]any // guarded by mu
}

// NewContext makes the Context of an application. It is for containers; an
// author gets one from ContextOf or from a Config.
func NewContext(cfg ContextConfig) *Context {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	c := &Context{cfg: cfg, escaped: escapePath(cfg.Path), servlets: make(map[string]bool, len(cfg.Servlets))}
	for _, s := range cfg.Servlets {
		c.servlets[s] = true
	}
	return c
}

// Config is what the Context was made from. Its maps must not be modified.
func (c *Context) Config() ContextConfig { return c.cfg }

// Path is the context path: "" for the root application, else "/name".
func (c *Context) Path() string { return c.cfg.Path }

// Version is the bundle's version, "" if it has none.
func (c *Context) Version() string { return c.cfg.Version }

// Name is the descriptor's display-name, "" if it has none.
func (c *Context) Name() string { return c.cfg.Name }

// InitParam is a context-param of the descriptor, "" if there is none.
func (c *Context) InitParam(name string) string { return c.cfg.Params[name] }

// InitParamNames are the names of all context-params, sorted.
func (c *Context) InitParamNames() []string { return sortedKeys(c.cfg.Params) }

// Logger is the application's logger.
func (c *Context) Logger() *slog.Logger { return c.cfg.Logger }

// TempDir is a folder for the application's temporary files
// (jakarta.servlet.context.tempdir), emptied when the application is undeployed.
func (c *Context) TempDir() string { return c.cfg.TempDir }

// SessionTimeout is what a new session's MaxInactive is; zero or less: never.
func (c *Context) SessionTimeout() time.Duration { return c.cfg.SessionTimeout }

// FS is the bundle's file tree, WEB-INF included. It is never nil.
func (c *Context) FS() fs.FS {
	if c.cfg.FS == nil {
		return noFiles{}
	}
	return c.cfg.FS
}

type noFiles struct{}

func (noFiles) Open(name string) (fs.File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

// RealPath is the file's name in the file system for a path of the application
// ("/WEB-INF/data.csv"), whether it exists or not. It is "" if the bundle is
// served out of a zip or the path leaves the bundle.
func (c *Context) RealPath(p string) string {
	if c.cfg.Dir == "" || !filepath.IsLocal(filepath.FromSlash("."+path.Clean("/"+p))) || strings.ContainsRune(p, 0) {
		return ""
	}
	if rel := path.Clean(strings.TrimLeft(p, "/")); rel == ".." || strings.HasPrefix(rel, "../") {
		return ""
	}
	return filepath.Join(c.cfg.Dir, filepath.FromSlash(path.Clean("/"+p)))
}

// MIMEType is the type of a file by the descriptor's mime-mappings and the
// server's, "" if its extension is unknown.
func (c *Context) MIMEType(name string) string {
	i := strings.LastIndexByte(name, '.')
	if i < 0 || c.cfg.MIME == nil || strings.ContainsRune(name[i:], '/') {
		return ""
	}
	return c.cfg.MIME(strings.ToLower(name[i+1:]))
}

// Attribute is a value that SetAttribute has put into the application, nil if
// there is none. With a worker, the attributes are the worker's own and end
// with it.
func (c *Context) Attribute(name string) any {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.attrs[name]
}

// AttributeNames are the names of all attributes, sorted.
func (c *Context) AttributeNames() []string {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return sortedKeys(c.attrs)
}

// SetAttribute puts a value into the application, for all its requests; nil
// removes it. Listeners are told afterwards.
func (c *Context) SetAttribute(name string, value any) {
	if value == nil {
		c.RemoveAttribute(name)
		return
	}
	c.mu.Lock()
	if c.attrs == nil {
		c.attrs = make(map[string]any)
	}
	old, had := c.attrs[name]
	c.attrs[name] = value
	c.mu.Unlock()
	if had {
		c.listeners.contextAttribute(c, attrReplaced, name, old)
		return
	}
	c.listeners.contextAttribute(c, attrAdded, name, value)
}

// RemoveAttribute takes a value out of the application; if there is none,
// nothing happens.
func (c *Context) RemoveAttribute(name string) {
	c.mu.Lock()
	old, had := c.attrs[name]
	delete(c.attrs, name)
	c.mu.Unlock()
	if had {
		c.listeners.contextAttribute(c, attrRemoved, name, old)
	}
}

// Dispatcher is a way to the resource at a path of this application, which
// begins with "/" and may carry a query string. It is nil if the path does not
// begin with "/" or leads out of the application (Servlet 6.1 §9.1).
func (c *Context) Dispatcher(target string) *Dispatcher {
	t, ok := parseTarget(c, target)
	if !ok {
		return nil
	}
	return &Dispatcher{target: t}
}

// NamedDispatcher is a way to the servlet of that name, nil if there is none.
// Filters mapped to paths do not run, and the request's paths stay what they are.
func (c *Context) NamedDispatcher(name string) *Dispatcher {
	if !c.servlets[name] {
		return nil
	}
	return &Dispatcher{target: Target{Context: c, Name: name}}
}

// Context is the application of the same host that would serve a path: this
// one itself, or another if this one may reach it (crossContext of its context
// descriptor). It is nil if there is none.
func (c *Context) Context(path string) *Context {
	switch {
	case path != "" && path[0] != '/':
		return nil
	case c.cfg.Lookup != nil:
		return c.cfg.Lookup(path)
	case strings.TrimSuffix(path, "/") == c.cfg.Path:
		return c
	}
	return nil
}

// Target is what a Dispatcher leads to.
type Target struct {
	Context *Context
	Path    string // as given, percent-encoded, without its query; "" with Name
	Query   string // without "?"
	Name    string // a servlet's name
}

// Dispatcher passes a request on to another resource of the application
// (Servlet 6.1 §9): a servlet, a page or a file.
type Dispatcher struct{ target Target }

// Target is what the dispatcher leads to.
func (d *Dispatcher) Target() Target { return d.target }

// Forward lets the target answer instead of the caller. What is in the
// response's buffer is dropped, headers stay. If the response is committed it
// returns ErrCommitted and nothing has happened. After Forward has returned,
// what the caller writes goes nowhere. What the target fails with is returned.
func (d *Dispatcher) Forward(w http.ResponseWriter, r *http.Request) error {
	return d.dispatch(w, r, Forward)
}

// Include writes the target's output into the caller's response. The target
// cannot change status or headers. What the target fails with is returned.
func (d *Dispatcher) Include(w http.ResponseWriter, r *http.Request) error {
	return d.dispatch(w, r, Include)
}

func (d *Dispatcher) dispatch(w http.ResponseWriter, r *http.Request, t DispatcherType) error {
	p := passOf(r)
	if p == nil {
		return fmt.Errorf("%s %s: %w", strings.ToLower(t.String()), d.target.Path, ErrNoContainer)
	}
	return p.Exchange.container.Dispatch(w, r, t, d.target)
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

package webapp

import (
	"context"
	"io/fs"
	"log/slog"
	"net/http"
	"time"

	"github.com/serval-server/serval/webapp/servlet"
)

// Runtime starts a bundle's program. It is implemented by runtime/linked (an
// App compiled into the server) and runtime/worker (a process of its own).
type Runtime interface {
	// Start makes the program ready to be initialised. The context bounds
	// the start (a compilation, a process), not the program's life. On an
	// error nothing is left behind.
	Start(ctx context.Context, launch Launch) (Program, error)
}

// Program is the code of one application, running. Its methods are called in
// the order Components, InitContext, InitFilter for each filter, InitServlet
// for each servlet (lazily for those without load-on-startup), then Segment and
// Notify and the handlers, by many goroutines at once, at last Stop.
//
// A program whose process is replaced while it runs does the initialisation
// again by itself.
type Program interface {
	// Components are the names that the program offers.
	Components() servlet.Components
	// InitContext names the listeners, in the descriptor's order, and the
	// session notification policy (the application's own or one that ships
	// with package servlet; "" for none), and tells the context listeners of
	// the start.
	InitContext(ctx context.Context, listeners []string, policy string) error
	// InitFilter makes a filter.
	InitFilter(ctx context.Context, d servlet.Definition) error
	// InitServlet makes a servlet; the error may be *servlet.Unavailable.
	InitServlet(ctx context.Context, d servlet.Definition) error
	// Segment is a handler for the filters (by their names in the
	// descriptor) around the servlet, or if that is "" around next, the
	// rest of the chain, which is then not nil. It is called when the chain
	// is put together, not per request. A request's servlet.Pass is in its
	// context; the handler may panic with what the application panicked
	// with.
	Segment(filters []string, servlet string, next http.Handler) (http.Handler, error)
	// Notify tells the listeners. The error of a RequestInitialized event
	// ends the request; of the others it says that nobody could be told.
	Notify(ctx context.Context, e servlet.Event) error
	// Stop destroys servlets, filters and listeners in reverse order and
	// ends the program. It returns when nothing of it runs any more; if
	// the context ends first, it is ended by force.
	Stop(ctx context.Context) error
}

// Inspector is a Program that can say more of itself, for listings.
type Inspector interface {
	// ProcessID is the worker's process id, 0 if it has none now.
	ProcessID() int
}

// Launch is what a Runtime starts a program with.
type Launch struct {
	// Context is the application as its code sees it. A linked program
	// uses it as it is; a worker makes its own from Context.Config.
	Context *servlet.Context
	// FS is the bundle, and Dir the same as a folder, "" if it is served
	// out of a zip.
	FS  fs.FS
	Dir string
	// WorkDir is a folder for this bundle's build products.
	WorkDir string
	// Host is the name of the virtual host.
	Host string
	// Settings are the descriptor's [runtime] table.
	Settings RuntimeSettings
	// Distributable says that the sessions are replicated.
	Distributable bool
	// Development says that its author is at work: failures may be shown.
	Development bool
	// Logger is the server's log for this application.
	Logger *slog.Logger
}

// RuntimeSettings limit and steer an application's program; zero values are
// the runtime's own defaults.
type RuntimeSettings struct {
	// Kind is "auto" (or ""), "linked" or "worker".
	Kind string
	// App names the linked App; "" is the context's name.
	App string
	// Build is what Go source is built to: "native" (or "") or "wasm".
	Build string
	// Memory is the most that a worker may use, in bytes; 0: no limit.
	Memory int64
	// MaxRequests is how many requests may be inside the program at once;
	// one more is answered with 503 and Retry-After. 0: the runtime's default.
	MaxRequests int
	// RequestTimeout ends a request that takes longer; 0: no limit.
	RequestTimeout time.Duration
	// StartTimeout bounds the program's start; 0: the runtime's default.
	StartTimeout time.Duration
	// Env is added to a worker's environment, as NAME=value.
	Env []string
}

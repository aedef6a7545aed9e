package webapp

import (
	"io/fs"
	"log/slog"
	"net/http"

	"github.com/serval-server/serval/descriptor"
	"github.com/serval-server/serval/sessions"
	"github.com/serval-server/serval/webapp/servlet"
)

// Options are what a Context is made from.
type Options struct {
	// Path is the context path, "" for the root application, else "/name".
	Path string
	// Version is the bundle's version, "" if it has none.
	Version string
	// Host is the name of the virtual host.
	Host string
	// FS is the bundle's file tree; nil is an empty one. Dir is the folder
	// that it is, "" if it is served out of a zip.
	FS  fs.FS
	Dir string
	// Descriptor is the merged model. Nil is descriptor.BuiltinDefaults.
	Descriptor *descriptor.WebApp
	// Runtime starts the bundle's program; nil if it has none.
	Runtime Runtime
	// Builtins replace the servlets and filters that ship with the server
	// (package builtin), for tests. A program's own component of the same
	// name comes before them. Nil: those that ship.
	Builtins *servlet.App
	// Sessions are the options of the session manager. App, Version,
	// Timeout, MaxActive, Serialized, Listener and Logger are filled in
	// from the other options and the descriptor where they are zero. Route
	// is dropped if the descriptor says use-jk = false.
	Sessions sessions.Options
	// Forwarder sends requests to their session's home in a cluster. Nil: all
	// are served here.
	Forwarder Forwarder
	// OnSessions is told of the session manager when it is ready, before the
	// first request of this generation: a cluster attaches itself to it. Nil:
	// nobody wants to know.
	OnSessions func(*sessions.Manager)
	// Previous is the generation that this one replaces, whose sessions it
	// goes on with; nil for none.
	Previous *Context
	// WorkDir is a folder for what the runtime builds, TempDir one for the
	// application's temporary files. Both exist.
	WorkDir, TempDir string
	// Development shows errors in the browser.
	Development bool
	// Authenticator finds out who a request comes from; nil: nobody can
	// log in, so that what needs a role is answered with 403.
	Authenticator Authenticator
	// Cross finds the application of the host that serves a path, for
	// applications with crossContext. Nil: there is none in reach.
	Cross func(path string) *Context
	// ErrorReport answers with the server's own error page. Nil: plain text.
	ErrorReport func(w http.ResponseWriter, r *http.Request, status int, message string, cause error)
	// RedirectPort is where requests go that must be encrypted
	// (transport-guarantee); 0 or less: they get 403. 443 is left out of
	// the address.
	RedirectPort int
	// Secure says whether a request came encrypted; nil: by its TLS field.
	Secure func(*http.Request) bool
	// AllowTrace lets TRACE requests through; else they are 405.
	AllowTrace bool
	// Logger takes the application's log; nil: it is discarded.
	Logger *slog.Logger
}

// SessionFate says what becomes of the sessions when a Context stops.
type SessionFate int

const (
	// KeepSessions leaves them to the next generation.
	KeepSessions SessionFate = iota
	// SaveSessions writes them to a file for the server's next start.
	SaveSessions
	// DropSessions ends them; their listeners are told.
	DropSessions
)

package deploy

import (
	"context"
	"io/fs"
	"log/slog"
	"net/http"

	"github.com/serval-server/serval/descriptor"
)

// Application is one generation of a deployed bundle, as this package sees it.
// The one that serves is made by a webapp.Context; tests make simpler ones.
type Application interface {
	http.Handler
	// Start starts the program and initialises listeners, filters and
	// servlets. After an error the Application is not used again, and it
	// has released what it held.
	Start(ctx context.Context) error
	// Stop destroys the application. The host has waited for its requests
	// before, or has given up waiting when ctx is already over.
	Stop(ctx context.Context, fate SessionFate) error
	// Owns reports whether the request carries a session that this
	// application knows. It is asked only where several versions of one
	// path are deployed.
	Owns(r *http.Request) bool
	// Stats reports what Apps shows. It is called at any time.
	Stats() Stats
}

// SessionFate says what becomes of the sessions when an application stops.
type SessionFate int

const (
	// KeepSessions is for when a later generation has taken them over.
	KeepSessions SessionFate = iota
	// SaveSessions is for when the server stops: they are loaded when it starts again.
	SaveSessions
	// DropSessions is for when the application is undeployed: they end, and their
	// listeners hear of it.
	DropSessions
)

// Stats are the figures of a running application.
type Stats struct {
	Sessions    int
	WorkerPID   int
	Runtime     string
	DisplayName string
}

// Launch is what a new generation is made from.
type Launch struct {
	Name Name
	// Host is the name of the host.
	Host string
	// FS holds the bundle's files; it can be used until the Application has
	// stopped. Dir is the folder that they are in, "" for a bundle that is
	// served from its zip.
	FS  fs.FS
	Dir string
	// Bundle is where the bundle lies, for positions in messages.
	Bundle string
	// Context is the context file from the xmlBase, which takes the place of
	// META-INF/context.xml, or nil if there is none.
	Context *descriptor.ContextFile
	// ContextDefaults are the default context files, the first counts most.
	ContextDefaults []*descriptor.ContextFile
	// WorkDir is the application's own scratch folder. It exists, and it is
	// the same for each generation.
	WorkDir string
	// Development asks for pages and sources to be looked at again, and for
	// errors to be shown in the browser.
	Development bool
	// Previous is the generation that this one will replace, nil for the
	// first. Its sessions are to be carried on with. It must not be kept: each
	// generation would hold on to all before it.
	Previous Application
	// Logger carries the application's name.
	Logger *slog.Logger
}

// Factory makes an Application from a bundle: it loads and validates the
// descriptor and binds the runtime, but runs no code of the bundle. An error
// describes everything that is wrong with the bundle.
type Factory func(ctx context.Context, launch Launch) (Application, Traits, error)

// Traits are what a bundle's descriptor says about its own deployment.
type Traits struct {
	// Reloadable: a change of the bundle's code reloads the application. Nil
	// means that the descriptor does not say: sources are then watched, and
	// finished programs are not.
	Reloadable *bool
	// Watched are further files whose change reloads the application: paths
	// within the bundle, or absolute ones.
	Watched []string
}

// Package linked is the runtime of applications that are compiled into the
// server: an App of package servlet, run by function calls in the server's own
// process. It is the fastest, and it is for trusted code: what such an
// application does wrong (a data race, an endless loop, too much memory) it does
// to the whole server.
//
// Whoever builds a server with applications of his own passes them by name:
//
//	rt := linked.New(map[string]servlet.App{"shop": shop.App})
//
// and the bundle's descriptor says which it is, by [runtime] app = "shop".
package linked

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/serval-server/serval/webapp"
	"github.com/serval-server/serval/webapp/servlet"
)

// Runtime starts linked applications. It is safe for concurrent use.
type Runtime struct{ apps map[string]servlet.App }

var _ webapp.Runtime = (*Runtime)(nil)

// New makes the runtime of the given applications, by name.
func New(apps map[string]servlet.App) *Runtime { return &Runtime{apps: maps.Clone(apps)} }

// Has reports whether there is an application of that name.
func (r *Runtime) Has(name string) bool {
	_, ok := r.apps[name]
	return ok
}

// Names are the names of the applications, sorted.
func (r *Runtime) Names() []string { return slices.Sorted(maps.Keys(r.apps)) }

// Start implements webapp.Runtime. The application is the one that the
// settings name, or else that of the context path's name ("ROOT" for the root
// application).
func (r *Runtime) Start(_ context.Context, l webapp.Launch) (webapp.Program, error) {
	name := l.Settings.App
	if name == "" {
		name = defaultName(l.Context.Path())
	}
	app, ok := r.apps[name]
	if !ok {
		have := strings.Join(r.Names(), ", ")
		if have == "" {
			have = "none"
		}
		return nil, fmt.Errorf("this server has no linked application %q; it has: %s", name, have)
	}
	return webapp.NewInstanceProgram(servlet.NewInstance(app, l.Context)), nil
}

func defaultName(path string) string {
	if path == "" {
		return "ROOT"
	}
	return strings.TrimPrefix(path, "/")
}

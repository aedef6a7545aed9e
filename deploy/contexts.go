package deploy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/serval-server/serval/descriptor"
	"github.com/serval-server/serval/sessions"
	"github.com/serval-server/serval/sessions/filestore"
	"github.com/serval-server/serval/webapp"
	"github.com/serval-server/serval/webapp/builtin/resources"
)

// Contexts makes applications that are webapp.Contexts: its New is the Factory
// of a server. The zero value makes applications without code.
type Contexts struct {
	// Linked runs applications that are compiled into the server, and
	// IsLinked says whether there is one of a name. Nil: there are none.
	Linked   webapp.Runtime
	IsLinked func(app string) bool
	// Worker runs the programs that bundles bring along. Nil: a bundle with
	// a program is refused.
	Worker webapp.Runtime

	// WebDefaults is the file of the defaults of every application
	// (conf/web.toml), read anew for each deployment. Missing or "": the
	// built-in defaults.
	WebDefaults string
	// Env resolves ${name} placeholders in descriptors, nil resolves none.
	Env func(name string) (string, bool)

	// Sessions are what the server says about session managers; what
	// concerns one application is filled in.
	Sessions sessions.Options
	// SessionsDir is the folder where sessions are kept while the server is
	// down, a file per context; "" is each context's work folder.
	SessionsDir string
	// Cluster keeps the sessions of distributable applications on other nodes
	// too. Nil: there is none, and they are kept here only.
	Cluster Cluster
	// Attributes are set on every application before it starts, for the
	// code and the pages that run in the server.
	Attributes map[string]any
	// Cross finds the running application of the host at a path, for
	// crossContext; usually [Host.Context].
	Cross func(path string) *webapp.Context

	// Authenticator, ErrorReport, RedirectPort, Secure and AllowTrace are
	// those of webapp.Options.
	Authenticator webapp.Authenticator
	ErrorReport   func(w http.ResponseWriter, r *http.Request, status int, message string, cause error)
	RedirectPort  int
	Secure        func(*http.Request) bool
	AllowTrace    bool
}

// sessionsFile is where a context's sessions are kept while the server is down,
// in its work folder (Tomcat's SESSIONS.ser), if there is no SessionsDir.
const sessionsFile = "sessions.saved"

// contextApp is an Application that is a webapp.Context.
type contextApp struct {
	*webapp.Context
	files   closers
	replica *replicaUse // nil: not in a cluster
}

var _ Application = (*contextApp)(nil)

// closers are closed in reverse order.
type closers []io.Closer

func (c closers) Close() error {
	var errs []error
	for i := len(c) - 1; i >= 0; i-- {
		errs = append(errs, c[i].Close())
	}
	return errors.Join(errs...)
}

// New is a Factory.
func (c *Contexts) New(ctx context.Context, l Launch) (Application, Traits, error) {
	model, err := c.load(l)
	if err != nil {
		return nil, Traits{}, err
	}
	traits := Traits{Reloadable: model.Context.Reloadable, Watched: model.Context.WatchedResources}
	runtime, err := c.runtime(model, l)
	if err != nil {
		return nil, traits, err
	}
	a := &contextApp{}
	if err := c.build(ctx, a, l, model, runtime); err != nil {
		return nil, traits, errors.Join(err, a.release(ctx))
	}
	for name, value := range c.Attributes {
		a.App().SetAttribute(name, value)
	}
	return a, traits, nil
}

// build puts the Context together. What it opens, release closes.
func (c *Contexts) build(ctx context.Context, a *contextApp, l Launch, model *descriptor.WebApp, runtime webapp.Runtime) error {
	opts := webapp.Options{
		Path: string(l.Name.Path), Version: string(l.Name.Version), Host: l.Host, Dir: l.Dir,
		Descriptor: model, Runtime: runtime, Sessions: c.Sessions,
		WorkDir: filepath.Join(l.WorkDir, "build"), TempDir: filepath.Join(l.WorkDir, "tmp"),
		Development: l.Development, Authenticator: c.Authenticator, Cross: c.Cross, ErrorReport: c.ErrorReport,
		RedirectPort: c.RedirectPort, Secure: c.Secure, AllowTrace: c.AllowTrace, Logger: l.Logger,
	}
	for _, dir := range []string{opts.WorkDir, opts.TempDir} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	base := l.FS
	if l.Dir != "" {
		dir, err := resources.OpenDir(l.Dir, model.Context.AllowLinking != nil && *model.Context.AllowLinking)
		if err != nil {
			return err
		}
		a.files = append(a.files, dir)
		base = dir
	}
	tree, err := resources.New(base)
	if err != nil {
		return fmt.Errorf("%s: libraries: %w", l.Bundle, err)
	}
	a.files = append(a.files, tree)
	opts.FS = tree
	opts.Sessions.File = filepath.Join(l.WorkDir, sessionsFile)
	if c.SessionsDir != "" {
		opts.Sessions.File = filepath.Join(c.SessionsDir, filepath.Base(l.WorkDir)+".sessions")
		if err := os.MkdirAll(c.SessionsDir, 0o750); err != nil {
			return err
		}
	}
	if p := model.Context.Manager.Pathname; p != nil && *p == "" {
		opts.Sessions.File = "" // the application does not want its sessions saved
	}
	if most := model.JBoss.MaxActiveSessions; most != nil && model.Context.Manager.MaxActiveSessions == nil {
		opts.Sessions.MaxActive = *most
	}
	passivation(&opts.Sessions, model, strings.TrimSuffix(cmp.Or(opts.Sessions.File, filepath.Join(l.WorkDir, sessionsFile)), ".sessions")+".passive")
	if previous, ok := l.Previous.(*contextApp); ok {
		opts.Previous = previous.Context
	}
	if a.replica, err = c.replicate(ctx, l, model, &opts); err != nil {
		return err
	}
	a.Context, err = webapp.New(opts)
	return err
}

// passivation has idle sessions go to files in a folder, if the descriptor says so
// (JBoss's passivation-config; else Tomcat's Manager with minIdleSwap or
// maxIdleSwap).
func passivation(o *sessions.Options, model *descriptor.WebApp, dir string) {
	least, most := model.JBoss.Passivation.MinIdle, model.JBoss.Passivation.MaxIdle
	if !model.JBoss.Passivation.Enabled {
		least, most = model.Context.Manager.MinIdleSwap, model.Context.Manager.MaxIdleSwap
	}
	o.MinIdle, o.MaxIdle = -1, 0
	if least != nil {
		o.MinIdle = *least
	}
	if most != nil {
		o.MaxIdle = max(*most, 0)
	}
	if o.MinIdle >= 0 || o.MaxIdle > 0 {
		o.OpenStore = func() (sessions.Store, error) { return filestore.Open(dir) }
	}
}

// load reads and validates the bundle's descriptors; its warnings are logged.
func (c *Contexts) load(l Launch) (*descriptor.WebApp, error) {
	opts := descriptor.LoadOptions{Context: l.Context, DefaultContexts: l.ContextDefaults, Env: c.Env, Prefix: l.Bundle + "/"}
	if data, ok, err := readIfThere(c.WebDefaults); err != nil {
		return nil, err
	} else if ok {
		defaults, diags := descriptor.ParseWeb(c.WebDefaults, data, c.Env)
		if err := diags.Err(); err != nil {
			return nil, fmt.Errorf("defaults of every application: %w", err)
		}
		opts.Defaults = defaults
	}
	model, diags := descriptor.Load(l.FS, opts)
	for _, d := range diags {
		if d.Severity != descriptor.SeverityError {
			l.Logger.Warn("descriptor: "+d.Message, "at", d.Pos.String())
		}
	}
	if root := model.JBoss.ContextRoot; root != "" && MakeName(root, "").Path != l.Name.Path {
		l.Logger.Warn("context-root has no effect: the bundle's name says where it is deployed",
			"at", model.JBoss.ContextRootPos.String(), "context_root", root, "name", l.Name.Display())
	}
	return model, diags.Err()
}

func readIfThere(path string) (data []byte, ok bool, err error) {
	if path == "" {
		return nil, false, nil
	}
	data, err = readBounded(os.DirFS(filepath.Dir(path)), filepath.Base(path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	return data, err == nil, err
}

// programs are where a bundle keeps a program of its own.
var programs = [...]string{"WEB-INF/bin", "WEB-INF/app.wasm", "WEB-INF/src"}

// runtime chooses what runs the application's code; nil if it has none.
func (c *Contexts) runtime(model *descriptor.WebApp, l Launch) (webapp.Runtime, error) {
	kind, app := model.Runtime.Kind, model.Runtime.App
	linked := app != "" && c.Linked != nil && c.IsLinked != nil && c.IsLinked(app)
	hasProgram := false
	for _, name := range programs {
		_, err := fs.Stat(l.FS, name)
		hasProgram = hasProgram || err == nil
	}
	switch {
	case kind == descriptor.RuntimeLinked && c.Linked == nil:
		return nil, fmt.Errorf("%s: no applications are linked into this server", model.Runtime.Pos)
	case kind == descriptor.RuntimeLinked, kind != descriptor.RuntimeWorker && linked:
		return c.Linked, nil
	case kind != descriptor.RuntimeWorker && !hasProgram:
		return nil, nil
	case c.Worker == nil:
		return nil, fmt.Errorf("%s has a program of its own, and this server runs none", l.Bundle)
	}
	return c.Worker, nil
}

// release gives up what build has opened.
func (a *contextApp) release(ctx context.Context) error {
	return errors.Join(a.replica.release(ctx), a.files.Close())
}

// Stop ends the Context and releases its files.
func (a *contextApp) Stop(ctx context.Context, fate SessionFate) error {
	return errors.Join(a.Context.Stop(ctx, webapp.SessionFate(fate)), a.release(ctx))
}

// Start starts the Context; one that does not start releases its files.
func (a *contextApp) Start(ctx context.Context) error {
	if err := a.Context.Start(ctx); err != nil {
		return errors.Join(err, a.release(context.WithoutCancel(ctx)))
	}
	return nil
}

// Stats are the Context's figures.
func (a *contextApp) Stats() Stats {
	i := a.Info()
	return Stats{Sessions: i.Sessions, WorkerPID: i.WorkerPID, Runtime: i.Runtime, DisplayName: i.DisplayName}
}

// Context returns the running Context that serves a path, the newest version,
// or nil. It is for requests that one application passes on to another.
func (h *Host) Context(path string) *webapp.Context {
	for _, v := range h.table.Load().Versions(path) {
		if g := v.App.current.Load(); g != nil {
			if a, ok := g.app.(*contextApp); ok {
				return a.Context
			}
		}
	}
	return nil
}

// Listing describes the applications for a welcome page: path ("" is the root
// application's), version, name (the display name) and state of each, sorted
// by path.
func (h *Host) Listing() []map[string]string {
	apps := h.Apps()
	list := make([]map[string]string, len(apps))
	for i, a := range apps {
		list[i] = map[string]string{"path": strings.TrimSuffix(a.Path, "/"), "version": a.Version, "name": a.DisplayName, "state": string(a.State)}
	}
	return list
}

package builtin

import (
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/serval-server/serval/webapp/builtin/filters"
	"github.com/serval-server/serval/webapp/builtin/mime"
	"github.com/serval-server/serval/webapp/builtin/pages"
	"github.com/serval-server/serval/webapp/builtin/static"
	"github.com/serval-server/serval/webapp/servlet"
)

// ServletConstructor makes a servlet from its name, its init parameters and the
// application it is in. A servlet that also is an io.Closer is closed when the
// application stops.
type ServletConstructor func(*servlet.Config) (http.Handler, error)

// FilterConstructor makes a filter from its init parameters.
type FilterConstructor = filters.Constructor

// Servlets are the servlets that ship, by the name for servlet-class.
var Servlets = map[string]ServletConstructor{
	"default": NewDefault,
	"gohtml":  NewPages,
}

// Filters are the filters that ship, by the name for filter-class.
var Filters = filters.All

// ServletNames and FilterNames are the names of both lists, sorted, for
// messages that say what there is.
func ServletNames() []string { return slices.Sorted(maps.Keys(Servlets)) }

// FilterNames are the names of Filters, sorted.
func FilterNames() []string { return slices.Sorted(maps.Keys(Filters)) }

// ServerInfo is what listings call the server.
const ServerInfo = "Serval"

// NewDefault makes the default servlet of an application: the files of its
// Context.FS, by their types of Context.MIMEType or else of package mime. If that
// tree is a resources.Writer (a folder that package resources has opened), the
// parameter readonly=false makes it writable.
func NewDefault(c *servlet.Config) (http.Handler, error) {
	cfg, err := static.ParseParams(c.Params)
	if err != nil {
		return nil, fmt.Errorf("servlet %s: %w", c.Name, err)
	}
	if len(cfg.Ignored) > 0 {
		c.Context.Logger().Warn("init parameters without effect", "servlet", c.Name, "params", cfg.Ignored)
	}
	return static.New(static.Options{
		FS:         c.Context.FS(),
		Config:     cfg,
		MIMEType:   mimeType(c.Context),
		Target:     target,
		Error:      sendError,
		Fail:       servlet.Fail,
		ServerInfo: ServerInfo,

		KeepContentType: keepContentType,
	}), nil
}

// mimeType asks the descriptor first and then the server's own list.
func mimeType(c *servlet.Context) func(name string) string {
	return func(name string) string {
		if t := c.MIMEType(name); t != "" {
			return t
		}
		return mime.ByName(name)
	}
}

// target reads what a request asks for out of its dispatch. The whole path
// counts, also where the servlet is mapped to /x/* (as Tomcat does).
func target(r *http.Request) static.Target {
	t := static.Target{
		Path:        servlet.ServletPath(r) + servlet.PathInfo(r),
		URI:         servlet.RequestURI(r),
		ContextPath: servlet.ContextPath(r),
	}
	switch servlet.DispatcherTypeOf(r) {
	case servlet.Forward:
		t.Kind = static.Forward
	case servlet.Error:
		t.Kind = static.Error
	case servlet.Include:
		t.Kind = static.Include
		if path, ok := includePath(r); ok {
			t.Path = path
		}
	}
	return t
}

// includePath is the path of the resource that an include names; false if a
// servlet is included by its name and so has the includer's path.
func includePath(r *http.Request) (string, bool) {
	sp, ok1 := servlet.Attribute(r, servlet.AttrIncludeServletPath).(string)
	pi, ok2 := servlet.Attribute(r, servlet.AttrIncludePathInfo).(string)
	return sp + pi, ok1 || ok2
}

// keepContentType tells the container's response, behind any wrappers.
func keepContentType(w http.ResponseWriter) {
	if k, ok := servlet.StateOf(w).(interface{ KeepContentType() }); ok {
		k.KeepContentType()
	}
}

func sendError(w http.ResponseWriter, r *http.Request, status int, message string) {
	// It fails only if the response is committed; then it is too late anyhow.
	_ = servlet.SendError(w, r, status, message)
}

// DevelopmentParam is the context-param that puts an application into
// development mode, where errors of its pages are shown with their source. The
// init-param development of the servlet comes before it.
const DevelopmentParam = "serval.development"

// NewPages makes the servlet for *.gohtml pages of an application.
func NewPages(c *servlet.Config) (http.Handler, error) {
	cfg, err := pages.ParseParams(c.Params)
	if err != nil {
		return nil, fmt.Errorf("servlet %s: %w", c.Name, err)
	}
	if _, set := c.Params["development"]; !set {
		cfg.Development = c.Context.InitParam(DevelopmentParam) == "true"
	}
	return pages.New(pages.Options{
		FS:     c.Context.FS(),
		Config: cfg,
		Path: func(r *http.Request) string {
			return target(r).Path
		},
	}), nil
}

package webapp

import (
	"io"
	"maps"
	"net/http"

	"github.com/serval-server/serval/webapp/builtin"
	"github.com/serval-server/serval/webapp/servlet"
)

// builtinApp is package builtin as an App, so that what ships runs like what an
// application brings. In development the pages show their errors in the browser,
// unless their servlet's init-param says otherwise.
func builtinApp(development bool) *servlet.App {
	app := &servlet.App{
		NewServlets: make(map[string]func(*servlet.Config) (http.Handler, error), len(builtin.Servlets)),
		NewFilters:  make(map[string]func(*servlet.Config) (servlet.Filter, error), len(builtin.Filters)),
	}
	for name, mk := range builtin.Servlets {
		app.NewServlets[name] = func(cfg *servlet.Config) (http.Handler, error) {
			if _, set := cfg.Params["development"]; development && !set && name == "gohtml" {
				own := *cfg
				own.Params = maps.Clone(cfg.Params)
				if own.Params == nil {
					own.Params = map[string]string{}
				}
				own.Params["development"] = "true"
				cfg = &own
			}
			h, err := mk(cfg)
			if c, ok := h.(io.Closer); ok && err == nil {
				return closing{h, c}, nil
			}
			return h, err
		}
	}
	for name, mk := range builtin.Filters {
		app.NewFilters[name] = func(cfg *servlet.Config) (servlet.Filter, error) {
			f, err := mk(cfg.Params)
			return f, err
		}
	}
	return app
}

// closing makes a Destroyer of a servlet that is an io.Closer.
type closing struct {
	http.Handler
	c io.Closer
}

func (c closing) Destroy() { _ = c.c.Close() }

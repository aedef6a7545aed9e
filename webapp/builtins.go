package webapp

import (
	"io"
	"net/http"

	"github.com/serval-server/serval/webapp/builtin"
	"github.com/serval-server/serval/webapp/servlet"
)

// builtinApp is package builtin as an App, so that what ships runs like what an
// application brings.
func builtinApp() *servlet.App {
	app := &servlet.App{
		NewServlets: make(map[string]func(*servlet.Config) (http.Handler, error), len(builtin.Servlets)),
		NewFilters:  make(map[string]func(*servlet.Config) (servlet.Filter, error), len(builtin.Filters)),
	}
	for name, mk := range builtin.Servlets {
		app.NewServlets[name] = func(cfg *servlet.Config) (http.Handler, error) {
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

package server

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"

	"github.com/serval-server/serval/deploy"
	"github.com/serval-server/serval/server/accesslog"
	"github.com/serval-server/serval/server/config"
	"github.com/serval-server/serval/sessions"
	"github.com/serval-server/serval/webapp/runtime/bundle"
	"github.com/serval-server/serval/webapp/runtime/linked"
	"github.com/serval-server/serval/webapp/servlet"
)

// applications sets what makes the applications of a host. The function that it
// returns is called with the host once that has been made.
func (s *Server) applications(cfg *config.Config, c *config.Host, o *deploy.Options, own *host) (func(*deploy.Host), error) {
	if s.opt.Factory != nil {
		o.New = s.opt.Factory(c)
		return func(*deploy.Host) {}, nil
	}
	programs, err := bundle.New(bundle.Options{
		SDKDir: cfg.Path(filepath.Join(cfg.Server.WorkDir, ".sdk")), Server: "serval/" + s.opt.Version,
	})
	if err != nil {
		return nil, err
	}
	contexts := &deploy.Contexts{
		Worker:       programs,
		Linked:       linked.New(s.opt.Linked),
		IsLinked:     func(name string) bool { _, ok := s.opt.Linked[name]; return ok },
		WebDefaults:  cfg.Path(cfg.Server.WebDefaults),
		Env:          os.LookupEnv,
		Sessions:     sessions.Options{Route: cfg.Server.Node},
		SessionsDir:  cfg.Path(filepath.Join(cfg.Server.DataDir, "sessions", cfg.Server.Engine, c.Name)),
		Attributes:   map[string]any{"serval.version": s.opt.Version, "serval.node": cfg.Server.Node},
		ErrorReport:  o.ErrorReport,
		RedirectPort: cfg.HTTPSPort(),
	}
	o.New, own.contexts = contexts.New, contexts
	return func(h *deploy.Host) {
		contexts.Attributes["serval.apps"] = h.Listing
		contexts.Cross = h.Context
	}, nil
}

// accessLogApp asks the application that served a request, for the access log.
func accessLogApp(r *http.Request) accesslog.App { return servedRequest{r} }

type servedRequest struct{ r *http.Request }

// SessionID implements accesslog.App.
func (s servedRequest) SessionID() string {
	if session := servlet.ExistingSession(s.r); session != nil {
		return session.ID()
	}
	return ""
}

// User implements accesslog.App. Nobody can log in yet.
func (s servedRequest) User() string { return "" }

// RequestAttribute implements accesslog.App.
func (s servedRequest) RequestAttribute(name string) string {
	return show(servlet.Attribute(s.r, name))
}

// SessionAttribute implements accesslog.App.
func (s servedRequest) SessionAttribute(name string) string {
	session := servlet.ExistingSession(s.r)
	if session == nil {
		return ""
	}
	v, err := servlet.Get[any](session, name)
	if err != nil {
		return ""
	}
	return show(v)
}

func show(v any) string {
	if v == nil {
		return ""
	}
	return fmt.Sprint(v)
}

package server

import (
	"context"
	"errors"
	"net/http"

	"github.com/serval-server/serval/deploy"
	"github.com/serval-server/serval/server/accesslog"
	"github.com/serval-server/serval/server/config"
	"github.com/serval-server/serval/webapp/servlet"
)

// applications sets what makes the applications of a host. The function that it
// returns is called with the host once that has been made.
func (s *Server) applications(_ *config.Config, c *config.Host, o *deploy.Options) (func(*deploy.Host), error) {
	if s.opt.Factory != nil {
		o.New = s.opt.Factory(c)
		return nil, nil
	}
	o.New = func(context.Context, deploy.Launch) (deploy.Application, deploy.Traits, error) {
		return nil, deploy.Traits{}, errors.New("not yet")
	}
	return nil, nil
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
func (s servedRequest) RequestAttribute(string) string { return "" }

// SessionAttribute implements accesslog.App.
func (s servedRequest) SessionAttribute(string) string { return "" }

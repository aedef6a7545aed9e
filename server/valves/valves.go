package valves

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"

	"github.com/go-chi/chi/v5"

	"github.com/serval-server/serval/server/accesslog"
	"github.com/serval-server/serval/server/config"
)

// Maker makes a user's valve from its table [valves.custom.NAME]. An error is the
// server's: it does not start.
type Maker func(table map[string]any, env Env) (func(http.Handler) http.Handler, error)

// Env is what valves may use of the server.
type Env struct {
	// Path resolves a file name of the configuration against the home.
	Path func(name string) string
	// Logger is never nil.
	Logger *slog.Logger
	// Server is the product's name and version, for error reports that show it.
	Server string
	// Development shows causes in error reports.
	Development bool
	// App asks the application about a request that it has served; nil if
	// there is nobody to ask.
	App func(r *http.Request) accesslog.App
	// Failed names the applications that have failed, for the health check.
	Failed func() []string
	// Unready names what keeps the server from taking requests (it stops, it
	// drains, it has not got its sessions yet), for the health check.
	Unready func() []string
	// Report answers with an error page. New sets it if it is nil.
	Report Reporter
	// Custom are the valves that were linked in.
	Custom map[string]Maker
}

// Set is a pipeline of valves.
type Set struct {
	chain  chi.Middlewares
	close  []func() error
	report Reporter
}

// Handler is the pipeline in front of next.
func (s *Set) Handler(next http.Handler) http.Handler { return chi.Chain(s.chain...).Handler(next) }

// Report is the reporter that is configured, or the one that Env had.
func (s *Set) Report() Reporter { return s.report }

// Close ends the valves, the last one first.
func (s *Set) Close() error {
	var errs []error
	for _, c := range slices.Backward(s.close) {
		errs = append(errs, c())
	}
	s.close = nil
	return errors.Join(errs...)
}

// New makes the valves that are configured and enabled.
func New(c *config.Valves, env Env) (*Set, error) {
	s := &Set{report: env.Report}
	if e := c.ErrorReport; e != nil && e.Enabled {
		s.report = newErrorReport(e, env).write
	}
	if s.report == nil {
		s.report = plainReport
	}
	env.Report = s.report
	if err := s.build(c, env); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Set) build(c *config.Valves, env Env) error {
	use := func(on bool, valve func() func(http.Handler) http.Handler) {
		if on {
			s.chain = append(s.chain, valve())
		}
	}
	use(c.RequestID != nil && c.RequestID.Enabled, func() func(http.Handler) http.Handler { return requestID(c.RequestID) })
	use(c.RemoteIP != nil && c.RemoteIP.Enabled, func() func(http.Handler) http.Handler { return remoteIP(c.RemoteIP) })
	if a := c.AccessLog; a != nil && a.Enabled {
		valve, closer, err := accessLog(a, env)
		if err != nil {
			return err
		}
		s.chain = append(s.chain, valve)
		s.close = append(s.close, closer)
	}
	if v := c.StuckRequests; v != nil && v.Enabled && v.Threshold > 0 {
		stuck := newStuckRequests(v.Threshold.D(), env.Logger)
		s.chain = append(s.chain, stuck.valve)
		s.close = append(s.close, stuck.close)
	}
	use(c.ErrorReport != nil && c.ErrorReport.Enabled, func() func(http.Handler) http.Handler { return recoverer(env) })
	use(c.Health != nil && c.Health.Enabled, func() func(http.Handler) http.Handler { return health(c.Health, env) })
	use(c.RemoteAddress != nil && c.RemoteAddress.Enabled, func() func(http.Handler) http.Handler { return remoteAddress(c.RemoteAddress, env) })
	if v := c.Compression; v != nil && v.Enabled {
		valve, err := compression(v)
		if err != nil {
			return err
		}
		s.chain = append(s.chain, valve)
	}
	return s.custom(c.Custom, env)
}

// custom adds the users' valves, in the order of their names.
func (s *Set) custom(tables map[string]map[string]any, env Env) error {
	names := make([]string, 0, len(tables))
	for name := range tables {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		maker := env.Custom[name]
		if maker == nil {
			return fmt.Errorf("valves.custom.%s: no valve of this name is linked into this server", name)
		}
		valve, err := maker(tables[name], env)
		if err != nil {
			return fmt.Errorf("valves.custom.%s: %w", name, err)
		}
		s.chain = append(s.chain, valve)
	}
	return nil
}

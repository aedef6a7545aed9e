package replay

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/serval-server/serval/bench/oracle/wire"
)

// Server is a running server that holds the applications of a recording.
type Server interface {
	// Addr is the address of the connector of a profile.
	Addr(profile string) string
	// RedirectPort is the port that requests are redirected to which must
	// come encrypted.
	RedirectPort() int
	// Deployed tells whether an application started.
	Deployed(host string, a *App) bool
	// Drain returns and clears the event log of an application.
	Drain(contextPath string) []string
	// Boom makes the listeners of an application throw at an event; "" disarms.
	Boom(contextPath, event string)
	// Restart stops the server and starts it again from the same home.
	// stopped is called between the two.
	Restart(ctx context.Context, stopped func()) error
	// Close stops the server and removes its home.
	Close() error
}

// Options of a run.
type Options struct {
	// Start starts a server for a recording.
	Start func(ctx context.Context, rec *Recording) (Server, error)
	// Parallel is the number of requests in flight, 16 if 0.
	Parallel int
}

// player replays one recording.
type player struct {
	*collector
	rec  *Recording
	opt  Options
	srv  Server
	slot *semaphore.Weighted
}

// Run replays a recording against a server of its own.
func Run(ctx context.Context, rec *Recording, opt Options) (*Result, error) {
	if opt.Parallel == 0 {
		opt.Parallel = 16
	}
	srv, err := opt.Start(ctx, rec)
	if err != nil {
		return nil, fmt.Errorf("%s: starting the server: %w", rec.Name, err)
	}
	p := &player{collector: newCollector(rec.Name), rec: rec, opt: opt, srv: srv, slot: semaphore.NewWeighted(int64(opt.Parallel))}
	p.deployments()
	play := map[form]func(context.Context) error{
		formMapping: p.mapping, formPaths: p.paths, formStatic: p.static, formDispatch: p.dispatch,
		formCookies: p.cookies, formSessions: p.sessions, formSecurity: p.security, formHTTP: p.http,
	}[rec.form]
	err = play(ctx)
	if cerr := srv.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", rec.Name, err)
	}
	return p.result(), nil
}

// deployments compares which applications started.
func (p *player) deployments() {
	for i, d := range p.rec.Deployments {
		for _, a := range d.Apps {
			if a.Deploy == "" {
				continue
			}
			a.got = "failed"
			if p.srv.Deployed(d.ID, a) {
				a.got = "ok"
			}
			k := p.add(-1000+i, fmt.Sprintf("%s %s start", d.ID, a.Dir()), appVars(a))
			k.text("deploy", a.Deploy, a.got)
		}
	}
}

func appVars(a *App) map[string]string {
	return map[string]string{
		"descriptor": deref(a.WebXML), "context": a.ContextXML, "app.path": a.ContextPath, "app.version": a.Version,
		"app.want": a.Deploy, "app.got": a.got,
	}
}

// do sends a request within the limit of requests in flight.
func (p *player) do(ctx context.Context, profile string, q *wire.Request) (*wire.Response, error) {
	if err := p.slot.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	defer p.slot.Release(1)
	return wire.Do(p.srv.Addr(profile), q)
}

// each runs f for 0…n-1 in parallel.
func (p *player) each(ctx context.Context, n int, f func(ctx context.Context, i int) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(p.opt.Parallel)
	for i := range n {
		g.Go(func() error { return f(ctx, i) })
	}
	return g.Wait()
}

// retry replays something that depends on real time once more if the first
// time showed a difference, so that a slow machine is not taken for one.
func (p *player) retry(key int, f func() error) error {
	if err := f(); err != nil || p.clean(key) {
		return err
	}
	p.drop(key)
	return f()
}

func seconds(f float64) time.Duration { return time.Duration(f * float64(time.Second)) }

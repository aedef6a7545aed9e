package deploy

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// app is one deployed context: a name, the generation that serves now, and
// what is known of the files that it comes from.
type app struct {
	name Name
	log  *slog.Logger

	// current is the generation that serves, nil if none does.
	current atomic.Pointer[generation]
	status  atomic.Pointer[status]
	// bundle is where the bundle of the latest attempt lies.
	bundle atomic.Pointer[string]

	// turn holds one token: who has it services the application, everybody
	// else leaves its files and generations alone (Tomcat's "serviced").
	turn chan struct{}

	// What follows belongs to the one whose turn it is.

	generations int
	origin      origin
	// tried is what the sources looked like at the latest attempt.
	tried sources
	// watch finds changes that ask for a reload.
	watch watch
	// retired waits for old generations to end.
	retired sync.WaitGroup
	removed bool // undeployed; the name may be taken by a new app
}

// status is an immutable snapshot.
type status struct {
	state State
	err   error
	since time.Time
	// over is closed when the next status is set.
	over chan struct{}
}

func newApp(name Name, log *slog.Logger, now time.Time) *app {
	a := &app{name: name, log: log.With("app", name.Display()), turn: make(chan struct{}, 1)}
	a.setStatus(Starting, nil, now)
	return a
}

// take waits for the turn.
func (a *app) take(ctx context.Context) error {
	select {
	case a.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// tryTake takes the turn if it is free.
func (a *app) tryTake() bool {
	select {
	case a.turn <- struct{}{}:
		return true
	default:
		return false
	}
}

func (a *app) give() { <-a.turn }

func (a *app) setStatus(state State, err error, now time.Time) {
	next := &status{state: state, err: err, since: now, over: make(chan struct{})}
	if last := a.status.Swap(next); last != nil {
		close(last.over)
	}
}

// info describes the application.
func (a *app) info(host string) AppInfo {
	st := a.status.Load()
	info := AppInfo{
		Host: host, Path: Name{Path: a.name.Path}.Display(), Version: string(a.name.Version),
		State: st.state, Since: st.since,
	}
	if st.err != nil {
		info.Error = st.err.Error()
	}
	if b := a.bundle.Load(); b != nil {
		info.Bundle = *b
	}
	if g := a.current.Load(); g != nil {
		stats := g.app.Stats()
		info.Serving, info.Generation = true, g.number
		info.Sessions, info.WorkerPID, info.Runtime = stats.Sessions, stats.WorkerPID, stats.Runtime
		info.DisplayName = stats.DisplayName
	}
	return info
}

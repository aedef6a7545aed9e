package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/serval-server/serval/webapp/servlet/wire"
)

// errStopped is why there is no process after Stop.
var errStopped = errors.New("the application has been stopped")

// startProcess starts a process, greets it and has it do again what the ones
// before it were asked to.
func (p *Program) startProcess(ctx context.Context) (*process, error) {
	ctx, cancel := context.WithTimeout(ctx, p.startTimeout())
	defer cancel()
	set := p.launch.Settings
	pr, rw, err := spawn(p.opts, environment(p.opts, set.Env, set.Memory), set.Memory, p.launch.Logger)
	if err != nil {
		return nil, err
	}
	cfg := wire.Config{
		Server: true, Window: p.opts.Window, MaxStreams: 4096,
		Accept:  func(s *wire.Stream, m wire.Msg) { acceptDispatch(pr, s, m) },
		Control: func(m wire.Msg) error { return p.control(m) },
	}
	err = pr.greet(ctx, rw, cfg, &p.welcome)
	if err != nil {
		err = pr.explain(err)
		pr.kill()
		pr.conn.Close(nil)
		<-pr.exited
		return nil, err
	}
	pr.wg.Add(1) // before the process can end: exited waits for it
	go func() {
		defer pr.wg.Done()
		_ = pr.conn.Run()
		// A worker without a connection is none.
		pr.kill()
	}()
	p.mu.Lock()
	inits := p.inits
	p.mu.Unlock()
	for _, f := range inits {
		if err := pr.initialise(ctx, f); err != nil {
			err = pr.explain(err)
			pr.close(ctx)
			return nil, fmt.Errorf("initialising the worker again: %w", err)
		}
	}
	return pr, nil
}

// explain adds how the process ended to an error of its connection.
func (pr *process) explain(err error) error {
	select {
	case <-pr.exited:
	case <-time.After(time.Second):
		return err
	}
	if r := pr.reason.Load(); r != nil {
		return fmt.Errorf("%w (%s)", err, *r)
	}
	if pr.err != nil {
		return fmt.Errorf("%w (the worker ended: %w; see its output in the log)", err, pr.err)
	}
	return fmt.Errorf("%w (the worker ended by itself)", err)
}

// control takes the frames of stream 0.
func (p *Program) control(m wire.Msg) error {
	defer m.Free()
	if m.Type != wire.TypeLog {
		return fmt.Errorf("unexpected %s", m.Type)
	}
	var l wire.Log
	if err := l.Decode(m.Payload); err != nil {
		return err
	}
	log := p.launch.Context.Logger()
	if !log.Enabled(context.Background(), slog.Level(l.Level)) {
		return nil
	}
	r := slog.NewRecord(time.Unix(0, l.Nanos), slog.Level(l.Level), l.Message, 0)
	for i := 0; i < len(l.Attrs); i += 2 {
		r.AddAttrs(slog.String(l.Attrs[i], l.Attrs[i+1]))
	}
	_ = log.Handler().Handle(context.Background(), r) // slog itself drops the error
	return nil
}

// set publishes the process that requests go to, or why there is none.
func (p *Program) set(pr *process, down error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.current.Store(pr)
	p.down = down
	switch {
	case pr != nil:
		p.since = time.Time{}
	case p.since.IsZero():
		p.since = time.Now()
	}
	close(p.changed)
	p.changed = make(chan struct{})
}

// usable is the process that requests go to, nil if there is none, or if it
// has died and that has only not been noticed yet.
func (p *Program) usable() *process {
	if pr := p.current.Load(); pr != nil && pr.conn.Alive() {
		return pr
	}
	return nil
}

// patience is how long an event may still wait for a process: Options.EventWait
// from when there was none any more, so that of the events of one outage all
// together wait no longer.
func (p *Program) patience() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.since.IsZero() {
		return p.opts.EventWait
	}
	return max(p.opts.EventWait-time.Since(p.since), 0)
}

// ready is the process that requests go to; it waits for a restart.
func (p *Program) ready(ctx context.Context) (*process, error) {
	for {
		p.mu.Lock()
		cur, down, changed := p.usable(), p.down, p.changed
		p.mu.Unlock()
		if cur != nil && cur.conn.Alive() {
			return cur, nil
		}
		if errors.Is(down, errStopped) {
			return nil, down
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("no worker: %w", errors.Join(down, context.Cause(ctx)))
		}
	}
}

// supervise watches a process and replaces it when it has ended.
func (p *Program) supervise(pr *process) {
	failures := 0
	for {
		began := time.Now()
		p.watch(pr)
		pr.conn.Close(nil)
		if p.stopped() {
			p.set(nil, errStopped)
			return
		}
		p.set(nil, p.explainEnd(pr))
		if time.Since(began) > time.Minute {
			failures = 0
		}
		for pr = nil; pr == nil; failures++ {
			if !p.pause(failures) {
				p.set(nil, errStopped)
				return
			}
			ctx, cancel := p.untilStopped()
			next, err := p.startProcess(ctx)
			cancel()
			if err != nil {
				p.launch.Logger.Error("worker did not start", "error", err, "attempt", failures+1)
				p.set(nil, err)
				continue
			}
			pr = next
		}
		p.restarts.Add(1)
		p.launch.Logger.Info("worker restarted", "pid", pr.pid, "restarts", p.restarts.Load())
		p.set(pr, nil)
	}
}

func (p *Program) explainEnd(pr *process) error {
	reason := "it ended"
	if r := pr.reason.Load(); r != nil {
		reason = *r
	} else if pr.err != nil {
		reason = pr.err.Error()
	}
	p.launch.Logger.Error("worker ended", "pid", pr.pid, "reason", reason)
	return fmt.Errorf("worker %d: %s", pr.pid, reason)
}

func (p *Program) stopped() bool {
	select {
	case <-p.stopping:
		return true
	default:
		return false
	}
}

func (p *Program) untilStopped() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		select {
		case <-p.stopping:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// pause waits before a restart, longer after each failure; false if the program
// was stopped meanwhile.
func (p *Program) pause(failures int) bool {
	if failures == 0 {
		return !p.stopped()
	}
	d := min(p.opts.Backoff<<min(failures-1, 20), DefaultBackoffMax)
	select {
	case <-time.After(d):
		return true
	case <-p.stopping:
		return false
	}
}

// watch returns when the process has ended. Meanwhile it sees to its memory and
// that it answers.
func (p *Program) watch(pr *process) {
	limit := p.launch.Settings.Memory
	every := p.opts.Ping
	if limit > 0 {
		every = min(every, 250*time.Millisecond)
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-pr.exited:
			return
		case <-tick.C:
		}
		if limit > 0 {
			if rss, err := residentMemory(pr.pid); err == nil && rss > limit {
				pr.end(fmt.Sprintf("killed: it used %d bytes of memory, %d are allowed", rss, limit))
				continue
			}
		}
		silent := time.Since(pr.conn.Heard())
		switch {
		case silent > 3*p.opts.Ping:
			pr.end(fmt.Sprintf("killed: it has not answered for %s", silent.Round(time.Second)))
		case silent > p.opts.Ping:
			pr.conn.Ping()
		}
	}
}

// Stop implements webapp.Program.
func (p *Program) Stop(ctx context.Context) error {
	p.stopOnce.Do(func() { close(p.stopping) })
	var err error
	if pr := p.current.Load(); pr != nil {
		err = pr.initialise(ctx, initFrame{what: "destroying the application", payload: (&wire.Init{Op: wire.InitDestroy}).Append(nil)})
		if errors.Is(err, wire.ErrClosed) {
			err = nil // it has died, as it was to
		}
		_ = pr.conn.SendControl(wire.TypeStop, wire.Frame{})
		pr.close(ctx)
	}
	p.wg.Wait()
	return err
}

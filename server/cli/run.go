package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/serval-server/serval/deploy"
	"github.com/serval-server/serval/server"
	"github.com/serval-server/serval/server/config"
)

// runCmd is serval run.
type runCmd struct {
	home
	HTTP  string   `name:"http" help:"Address of the first connector without TLS, such as :9090 or localhost:0." placeholder:"ADDR"`
	Node  string   `help:"Name of this node, which is the route of its session ids." placeholder:"NAME"`
	Set   []string `help:"Override any key of the configuration, such as limits.max-body-size=1MiB." placeholder:"KEY=VALUE" sep:"none"`
	PProf string   `name:"pprof" help:"Serve profiles for go tool pprof at this loopback address, such as localhost:6060." placeholder:"ADDR"`
}

func (c *runCmd) load(e *env) (*config.Config, error) {
	o := c.options(e)
	o.HTTP, o.Node, o.Sets = c.HTTP, c.Node, c.Set
	return config.Load(o)
}

// Run serves until a signal ends it.
func (c *runCmd) Run(e *env) error {
	calmTimers()
	began := time.Now()
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	cfg, err := c.load(e)
	if err != nil {
		return err
	}
	defer startGCPacer().stop()
	level := new(slog.LevelVar)
	text := cfg.Log.Format == "text" || cfg.Log.Format == "auto" && isTerminal(e.Stderr)
	log := newLogger(e.Stderr, level, text)
	s, err := server.New(cfg, server.Options{Linked: e.Linked, Valves: e.Valves, Version: e.Version, Logger: log, Level: level})
	if err != nil {
		return err
	}
	if c.PProf != "" {
		p, err := startProfiler(c.PProf, log)
		if err != nil {
			return err
		}
		defer p.stop()
	}
	if err := s.Start(e.ctx); err != nil {
		return err
	}
	settled := make(chan struct{})
	ctx, cancel := context.WithCancel(e.ctx)
	go func() {
		defer close(settled)
		if s.Settled(ctx) == nil {
			e.announce(s, log, text, time.Since(began))
		}
	}()
	err = c.attend(e, s, log, signals)
	cancel()
	<-settled
	return err
}

// attend answers signals until the server has ended.
func (c *runCmd) attend(e *env, s *server.Server, log *slog.Logger, signals <-chan os.Signal) error {
	for {
		select {
		case sig := <-signals:
			if sig == syscall.SIGHUP {
				c.reload(e, s, log)
				continue
			}
			return c.stop(s, log, signals, sig)
		case err := <-s.Aborted():
			log.Error("the server cannot go on", "error", err)
			return errors.Join(err, c.stop(s, log, signals, nil))
		case <-e.ctx.Done():
			return c.stop(s, log, signals, nil)
		}
	}
}

func (c *runCmd) reload(e *env, s *server.Server, log *slog.Logger) {
	if err := s.Reload(func() (*config.Config, error) { return c.load(e) }); err != nil {
		log.Error("the configuration has not been reloaded completely", "error", err)
		return
	}
	log.Info("configuration and certificates have been reloaded")
}

// stop drains the server. A second signal ends the process at once.
func (c *runCmd) stop(s *server.Server, log *slog.Logger, signals <-chan os.Signal, sig os.Signal) error {
	drain := s.Drained()
	log.Info("stopping", "signal", fmt.Sprint(sig), "wait_at_most", drain)
	ctx, cancel := context.WithTimeout(context.Background(), drain)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- s.Stop(ctx) }()
	for {
		select {
		case err := <-done:
			log.Info("stopped")
			return err
		case again := <-signals:
			if again != syscall.SIGHUP {
				return errors.New("ended by a second signal before open requests were answered")
			}
		}
	}
}

// newLogger makes the server's log: text for people, JSON for machines.
func newLogger(w io.Writer, level slog.Leveler, text bool) *slog.Logger {
	if !text {
		return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Value.Kind() == slog.KindDuration { // "1.5s" rather than nanoseconds
				a.Value = slog.StringValue(a.Value.Duration().String())
			}
			return a
		}}))
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && a.Key == slog.TimeKey {
			a.Value = slog.StringValue(a.Value.Time().Format("15:04:05.000"))
		}
		return a
	}}))
}

// isTerminal reports whether a person is likely to read what is written.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// announce says what a person wants to know when the server is ready: where it is,
// and what is there.
func (e *env) announce(s *server.Server, log *slog.Logger, text bool, took time.Duration) {
	apps := s.Apps()
	if !text {
		names := make([]string, 0, len(apps))
		for _, a := range apps {
			names = append(names, a.Path+versioned(a.Version)+" "+string(a.State))
		}
		log.Info("ready", "urls", s.URLs(), "apps", names, "took", took.Round(time.Millisecond), "version", e.Version)
		return
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n  Serval %s is ready after %s\n\n", e.Version, took.Round(time.Millisecond))
	urls := s.URLs()
	for _, u := range urls {
		fmt.Fprintf(&b, "  %s/\n", u)
	}
	b.WriteByte('\n')
	if len(apps) == 0 {
		fmt.Fprintf(&b, "  There is nothing in %s yet: copy a bundle there, or try `serval new hello`.\n", appBase(s.Config()))
	}
	for _, a := range apps {
		b.WriteString("  " + describeApp(urls[0], a) + "\n")
	}
	b.WriteByte('\n')
	_, _ = io.WriteString(e.Stdout, b.String()) // see printf
}

func appBase(c *config.Config) string { return c.Path(c.Hosts[0].AppBase) }

func versioned(v string) string {
	if v == "" {
		return ""
	}
	return "##" + v
}

// describeApp is one line of the announcement.
func describeApp(url string, a deploy.AppInfo) string {
	where := url + a.Path
	if a.Version != "" {
		where += " (version " + a.Version + ")"
	}
	line := fmt.Sprintf("%-9s %-44s %s", strings.ToLower(string(a.State)), where, a.DisplayName)
	if a.Error != "" {
		line += "\n            " + strings.ReplaceAll(strings.TrimSpace(a.Error), "\n", "\n            ")
	}
	return strings.TrimRight(line, " ")
}

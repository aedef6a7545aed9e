package worker_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/serval-server/serval/webapp"
	"github.com/serval-server/serval/webapp/runtime/worker"
	"github.com/serval-server/serval/webapp/servlet"
)

// eventApp is an application whose listener logs, or never returns.
func eventApp() servlet.App {
	return servlet.App{Listeners: map[string]any{"l": eventListener{}}}
}

type eventListener struct{}

func (eventListener) SessionCreated(e servlet.SessionEvent) {
	e.Context.Logger().Info("heard of it", "cause", e.Cause.String())
}

func (eventListener) SessionDestroyed(servlet.SessionEvent) { select {} }

// eventProgram starts the application without a Context; it is stopped at the test's end.
func eventProgram(t *testing.T, o worker.Options) (*worker.Program, *logBuffer) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	o.Command, o.Env = []string{exe}, append(o.Env, "WORKER_APP=events")
	rt, err := worker.New(o)
	if err != nil {
		t.Fatal(err)
	}
	log := new(logBuffer)
	logger := slog.New(slog.NewTextHandler(log, nil))
	p, err := rt.Start(t.Context(), webapp.Launch{Context: servlet.NewContext(servlet.ContextConfig{Logger: logger}), Dir: t.TempDir(), Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := p.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	if err := p.InitContext(t.Context(), []string{"l"}, servlet.IgnoreUndeployPolicyName); err != nil {
		t.Fatal(err)
	}
	return p.(*worker.Program), log
}

var used = servlet.Status{LocallyUsed: true}

// nothing is a session without attributes.
type nothing struct{ servlet.SessionBackend }

func (nothing) ID() string                 { return "x" }
func (nothing) IsNew() bool                { return true }
func (nothing) Created() time.Time         { return time.Now() }
func (nothing) LastAccessed() time.Time    { return time.Now() }
func (nothing) MaxInactive() time.Duration { return time.Hour }
func (nothing) Names() ([]string, error)   { return nil, nil }

// TestEventDeadline: listeners have so long and no longer; the policy is asked in the
// worker.
func TestEventDeadline(t *testing.T) {
	p, log := eventProgram(t, worker.Options{})
	e := servlet.Event{Kind: servlet.SessionDestroyed, Session: nothing{}, Cause: servlet.Timeout, Local: true, Status: used, Deadline: 50 * time.Millisecond}
	if err := p.Notify(t.Context(), e); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a listener that does not return: %v", err)
	}
	e.Cause, e.Deadline = servlet.Undeploy, time.Minute // the policy says no
	if err := p.Notify(t.Context(), e); err != nil {
		t.Errorf("a listener that is not to be told: %v", err)
	}
	e.Kind, e.Cause, e.Deadline = servlet.SessionCreated, servlet.Create, 0
	if err := p.Notify(t.Context(), e); err != nil || !strings.Contains(log.String(), "cause=CREATE") {
		t.Errorf("%v, log %q", err, log.String())
	}
}

// TestEventsWaitForRestart: an event waits for a worker that is being restarted, and
// is given up if none comes.
func TestEventsWaitForRestart(t *testing.T) {
	e := servlet.Event{Kind: servlet.SessionCreated, Session: nothing{}, Cause: servlet.Create, Local: true, Status: used}
	p, log := eventProgram(t, worker.Options{})
	kill(t, p)
	if err := p.Notify(t.Context(), e); err != nil || strings.Count(log.String(), "heard of it") != 1 {
		t.Errorf("over a restart: %v", err)
	}

	broken := filepath.Join(t.TempDir(), "broken")
	p, _ = eventProgram(t, worker.Options{EventWait: 100 * time.Millisecond, Backoff: 10 * time.Millisecond, Env: []string{"WORKER_FAILS=" + broken}})
	if err := os.WriteFile(broken, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	kill(t, p)
	if err := p.Notify(t.Context(), e); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "no worker") {
		t.Errorf("without a worker: %v", err)
	}
}

// kill ends the worker and waits until that has been noticed.
func kill(t *testing.T, p *worker.Program) {
	t.Helper()
	pid := p.ProcessID()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for p.ProcessID() == pid {
		time.Sleep(time.Millisecond)
	}
}

package webapp_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/serval-server/serval/sessions"
	"github.com/serval-server/serval/webapp"
	"github.com/serval-server/serval/webapp/servlet"
)

// TestAllocations bounds how often one request allocates inside a context, beyond
// what its handler does itself. It holds with the race detector too: the buffers
// that that has sync.Pool lose at random are half an allocation on average, and
// AllocsPerRun cuts fractions off.
func TestAllocations(t *testing.T) {
	for _, k := range []struct {
		path string
		want float64
		what string
	}{
		{"/bench/hello", 2, "the handler's header; the exchange"},
		{"/bench/count", 3, "the new value; the exchange, the view of the session"},
	} {
		for name, f := range map[string]webapp.Forwarder{"single": nil, "routed": homeForwarder{}} {
			c := benchContextWith(t, f)
			r := httptest.NewRequest(http.MethodGet, k.path, nil)
			for _, cookie := range get(c, "/bench/count").Cookies {
				r.AddCookie(cookie)
			}
			w := &sink{h: http.Header{}}
			serve := func() {
				clear(w.h)
				c.ServeHTTP(w, r)
			}
			for range 300 { // numbers up to 255 need no allocation as an interface
				serve()
			}
			if got := testing.AllocsPerRun(1000, serve); got > k.want {
				t.Errorf("%s, %s: %v allocations per request, want at most %v: %s", k.path, name, got, k.want, k.what)
			}
		}
	}
}

// waiter is a replicator whose receipts note with what context they are waited for.
type waiter struct {
	replicator
	ctx context.Context
}

func (r *waiter) Commit(*sessions.Delta) sessions.Receipt { return r }

func (r *waiter) Wait(ctx context.Context) error {
	r.ctx = ctx
	return ctx.Err()
}

// TestCommitOutlivesClient: what a request has changed is committed also if its
// client has gone, and what its context holds goes along.
func TestCommitOutlivesClient(t *testing.T) {
	type key struct{}
	rep := &waiter{}
	ctx, cancel := context.WithCancelCause(context.WithValue(t.Context(), key{}, "v"))
	a := one(func(_ http.ResponseWriter, r *http.Request) {
		if err := servlet.Set(servlet.SessionOf(r), "a", 1); err != nil {
			t.Error(err)
		}
		cancel(errors.New("gone"))
		if r.Context().Err() == nil {
			t.Error("the request's own context goes on")
		}
	})
	a.opts.Sessions.Replicator = rep
	c, _ := a.start(t)
	if res := do(c, httptest.NewRequestWithContext(ctx, http.MethodGet, "/s", nil)); res.StatusCode != http.StatusOK {
		t.Errorf("status %d", res.StatusCode)
	}
	got := rep.ctx
	if got == nil || got.Err() != nil || got.Done() != nil || context.Cause(got) != nil || got.Value(key{}) != "v" {
		t.Fatalf("context of the commit: %v", got)
	}
	if _, ok := got.Deadline(); ok {
		t.Error("the commit has a deadline")
	}
	child, stop := context.WithCancel(got)
	if child.Err() != nil {
		t.Errorf("a child of it has ended: %v", context.Cause(child))
	}
	stop()
	if !errors.Is(context.Cause(child), context.Canceled) {
		t.Errorf("a child's cause is its parent's: %v", context.Cause(child))
	}
}

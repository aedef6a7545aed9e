package cluster

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/serval-server/serval/sessions"
)

// Promises 1 and 2: what was acknowledged survives the death of its home, and is
// seen behind any balancer.
func TestFailover(t *testing.T) {
	for _, ack := range []Ack{AckOne, AckQuorum, AckAll} {
		cluster(t, Cache{Ack: ack}, AppConfig{}, "a b c", func(w *world) {
			a, b, c := w.nodes["a"], w.nodes["b"], w.nodes["c"]
			id := a.set("", "n=1")
			b.want(id, "n=1")
			id = a.set(id, "n=2", "m=1")
			a.kill()
			start := time.Now()
			b.want(id, "m=1 n=2")
			if took := time.Since(start); took > time.Second {
				t.Errorf("served after %v", took)
			}
			if w.home(id) != "b" || b.rec.has(sessions.SessionDidActivate, sessions.Failover) != 1 {
				t.Errorf("home %q, events %v", w.home(id), b.rec.events)
			}
			c.want(id, "m=1 n=2")
			id = c.set(id, "n=3", "m")
			b.want(id, "n=3")
			w.level()
		})
	}
}

// Two nodes die three seconds apart.
func TestTwoDeaths(t *testing.T) {
	cluster(t, Cache{}, AppConfig{}, "a b c", func(w *world) {
		var ids []sessions.ID
		for i := range 60 {
			ids = append(ids, w.nodes["a"].set("", fmt.Sprint("n=", i)))
		}
		w.nodes["a"].kill()
		for i := 0; i < 60; i += 2 {
			w.nodes["b"].set(ids[i], fmt.Sprint("m=", i))
		}
		time.Sleep(3 * time.Second)
		w.nodes["b"].kill()
		for i, id := range ids {
			if i%2 == 0 {
				w.nodes["c"].want(id, fmt.Sprintf("m=%d n=%d", i, i))
			} else {
				w.nodes["c"].want(id, fmt.Sprint("n=", i))
			}
		}
	})
}

// Promise 2, without a sticky balancer: no counter ever goes back.
func TestRoundRobin(t *testing.T) {
	for _, misroute := range []Misroute{MisrouteForward, MisrouteClaim} {
		cluster(t, Cache{Misroute: misroute}, AppConfig{}, "a b c", func(w *world) {
			var wg sync.WaitGroup
			for user := range 20 {
				wg.Go(func() {
					rnd := rand.New(rand.NewPCG(1, uint64(user)))
					nodes := []*testNode{w.nodes["a"], w.nodes["b"], w.nodes["c"]}
					var id sessions.ID
					for i := range 50 {
						n := nodes[rnd.IntN(3)]
						if i > 0 {
							if got, err := n.get(id); err != nil || got != fmt.Sprint("n=", i-1) {
								t.Errorf("%s: read %q %v after writing %d", misroute, got, err, i-1)
								return
							}
						}
						got, err := nodes[rnd.IntN(3)].trySet(id, fmt.Sprint("n=", i))
						if err != nil {
							t.Errorf("%s: write %d: %v", misroute, i, err)
							return
						}
						id = got
						time.Sleep(time.Duration(rnd.IntN(5)) * time.Millisecond)
					}
				})
			}
			wg.Wait()
			w.level()
			for _, n := range w.all() {
				if c := n.Status().Apps[0].Counters; c.Forks > 0 {
					t.Errorf("%s: %d forks at %s", misroute, c.Forks, n.name)
				}
			}
		})
	}
}

// Promise 3: an ended session is ended everywhere, whatever becomes of the nodes.
func TestNoResurrection(t *testing.T) {
	cluster(t, Cache{}, AppConfig{}, "a b c", func(w *world) {
		a, b, c := w.nodes["a"], w.nodes["b"], w.nodes["c"]
		id := a.set("", "n=1")
		w.level()
		w.net.cut("b", "c", true)
		w.net.cut("a", "c", true)
		time.Sleep(time.Second)
		if _, err := b.request(id, func(s *sessions.Session) error { return s.Invalidate(context.Background(), sessions.Invalidate) }); err != nil {
			t.Fatal(err)
		}
		a.want(id, "-")
		b.want(id, "-")
		w.net.cut("b", "c", false)
		w.net.cut("a", "c", false)
		w.until(15*time.Second, "c to hear of the end", func() bool { return w.copies(id) == 0 })
		a.kill()
		b.kill()
		time.Sleep(time.Minute)
		c.want(id, "-")
	})
}

// A changed id: the old one is unknown at once and for ever, everywhere.
func TestChangeID(t *testing.T) {
	cluster(t, Cache{}, AppConfig{}, "a b c", func(w *world) {
		a, b, c := w.nodes["a"], w.nodes["b"], w.nodes["c"]
		old := a.set("", "n=1")
		id, err := b.request(old, func(s *sessions.Session) error {
			if _, err := s.ChangeID(context.Background()); err != nil {
				return err
			}
			_, err := s.Commit(context.Background(), &sessions.Changes{Attributes: []sessions.Change{{Name: "user", Value: []byte("u")}}})
			return err
		})
		if err != nil || id.Real() == old.Real() {
			t.Fatal(id, err)
		}
		for _, n := range []*testNode{a, b, c} {
			n.want(old, "-")
			n.want(id, "n=1 user=u")
		}
		a.kill()
		b.want(old, "-")
		c.want(id, "n=1 user=u")
		w.level()
	})
}

// Promise 5: after a partition in which both sides served, all are equal, and what
// lost is counted.
func TestPartition(t *testing.T) {
	cluster(t, Cache{}, AppConfig{}, "a b c", func(w *world) {
		a, b, c := w.nodes["a"], w.nodes["b"], w.nodes["c"]
		var ids []sessions.ID
		for range 40 {
			ids = append(ids, a.set("", "n=0"))
		}
		w.level()
		w.net.cut("a", "b", true)
		w.net.cut("a", "c", true)
		time.Sleep(time.Second)
		for i, id := range ids {
			if i%2 == 0 {
				a.set(id, "n=a")
			}
			if i%4 == 0 {
				b.set(id, "n=b")
			}
		}
		time.Sleep(5 * time.Second)
		w.net.cut("a", "b", false)
		w.net.cut("a", "c", false)
		w.level()
		for i, id := range ids {
			want := "n=0"
			switch {
			case i%4 == 0:
				want = "n=b" // the later epoch
			case i%2 == 0:
				want = "n=a"
			}
			for _, n := range []*testNode{a, b, c} {
				n.want(id, want)
			}
		}
		forks := uint64(0)
		for _, n := range w.all() {
			forks += n.Status().Apps[0].Counters.Forks
		}
		if forks == 0 {
			t.Error("no fork was counted")
		}
	})
}

// With consistency = strict only one side of a partition serves, and loses nothing.
func TestStrict(t *testing.T) {
	cluster(t, Cache{Consistency: Strict}, AppConfig{}, "a b c", func(w *world) {
		a, b, c := w.nodes["a"], w.nodes["b"], w.nodes["c"]
		id := a.set("", "n=1")
		w.net.cut("a", "b", true)
		w.net.cut("a", "c", true)
		time.Sleep(time.Second)
		if _, err := a.trySet(id, "n=a"); !errors.Is(err, sessions.ErrUnavailable) && !errors.As(err, new(*sessions.ReplicationError)) {
			t.Errorf("the minority has written: %v", err)
		}
		b.set(id, "n=b")
		c.want(id, "n=b")
		w.net.cut("a", "b", false)
		w.net.cut("a", "c", false)
		w.level()
		w.until(10*time.Second, "a to serve what b wrote", func() bool { got, err := a.get(id); return err == nil && got == "n=b" })
	})
}

// Misrouted requests are forwarded; the second in a row brings the session here.
func TestConsent(t *testing.T) {
	cluster(t, Cache{}, AppConfig{}, "a b c", func(w *world) {
		a, b := w.nodes["a"], w.nodes["b"]
		id := a.set("", "n=1")
		b.want(id, "n=1")
		if w.home(id) != "a" {
			t.Fatal("one request has moved the session")
		}
		b.set(id, "n=2")
		w.until(time.Second, "the session to move", func() bool { return w.home(id) == "b" })
		b.want(id, "n=2")
		if a.rec.has(sessions.SessionWillPassivate, sessions.Failaway) != 1 || b.rec.has(sessions.SessionDidActivate, sessions.StateTransfer) != 1 {
			t.Errorf("events at a %v, at b %v", a.rec.events, b.rec.events)
		}
		if a.Status().Apps[0].Counters.Granted != 1 {
			t.Errorf("%+v", a.Status().Apps[0].Counters)
		}
		// Not while a request is using it.
		s, err := b.sm.Find(w.t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			a.want(id, "n=2")
			time.Sleep(500 * time.Millisecond)
		}
		if w.home(id) != "b" {
			t.Error("it has moved while a request was using it")
		}
		s.End()
	})
}

// Promise 6 and on_timeout: a peer that does not answer costs a request no more
// than ack_timeout, and nothing once it is known to be slow.
func TestAckTimeout(t *testing.T) {
	for _, on := range []OnTimeout{Degrade, Fail} {
		cluster(t, Cache{Ack: AckAll, AckTimeout: time.Second, OnTimeout: on}, AppConfig{}, "a b", func(w *world) {
			a, b := w.nodes["a"], w.nodes["b"]
			id := a.set("", "n=1")
			w.net.mute(b.end, true)
			start := time.Now()
			_, err := a.trySet(id, "n=2")
			if took := time.Since(start); took < time.Second || took > 1100*time.Millisecond {
				t.Errorf("%s: answered after %v", on, took)
			}
			var re *sessions.ReplicationError
			if on == Degrade && err != nil || on == Fail && (!errors.Is(err, sessions.ErrUnavailable) || !errors.As(err, &re) || !re.Timeout()) {
				t.Errorf("%s: %v", on, err)
			}
			a.end.in.Lagging(b.ID(), true)
			time.Sleep(100 * time.Millisecond)
			start = time.Now()
			a.set(id, "n=3")
			if took := time.Since(start); took > 10*time.Millisecond {
				t.Errorf("%s: a peer out of the ack set has cost %v", on, took)
			}
			if c := a.Status().Apps[0].Counters; on == Degrade && c.Degraded == 0 || on == Fail && c.Failed != 1 {
				t.Errorf("%s: %+v", on, c)
			}
			w.net.mute(b.end, false)
			a.end.in.Lagging(b.ID(), false)
			w.level()
		})
	}
}

// Promise 7: a rolling restart under load loses nothing and refuses nothing.
func TestRollingRestart(t *testing.T) {
	cluster(t, Cache{}, AppConfig{}, "a b c", func(w *world) {
		var stop atomic.Bool
		var wg sync.WaitGroup
		var mu sync.Mutex // the balancer's list
		balanced := []string{"a", "b", "c"}
		pick := func(i int) *testNode {
			mu.Lock()
			defer mu.Unlock()
			return w.node(balanced[i%len(balanced)])
		}
		for user := range 12 {
			wg.Go(func() {
				id, err := pick(user).trySet("", "n=0")
				for i := 1; err == nil && !stop.Load(); i++ {
					var got string
					if got, err = pick(user).get(id); err != nil || got != fmt.Sprint("n=", i-1) {
						t.Errorf("user %d read %q %v, wrote %d", user, got, err, i-1)
						return
					}
					id, err = pick(user).trySet(id, fmt.Sprint("n=", i))
					time.Sleep(time.Duration(user+1) * time.Millisecond)
				}
				if err != nil {
					t.Errorf("user %d: %v", user, err)
				}
			})
		}
		for _, name := range []string{"a", "b", "c"} {
			time.Sleep(100 * time.Millisecond)
			n := w.node(name)
			if err := n.Drain(w.t.Context(), nil); err != nil {
				t.Errorf("draining %s: %v", name, err)
			}
			if n.Ready() {
				t.Error("a drained node says that it is ready")
			}
			mu.Lock()
			balanced = nil
			for _, o := range []string{"a", "b", "c"} {
				if o != name {
					balanced = append(balanced, o)
				}
			}
			mu.Unlock()
			time.Sleep(50 * time.Millisecond) // requests that were given to it end
			if err := n.Drain(w.t.Context(), nil); err != nil {
				t.Errorf("draining %s: %v", name, err)
			}
			n.kill()
			w.start(name)
			w.ready()
			mu.Lock()
			balanced = []string{"a", "b", "c"}
			mu.Unlock()
		}
		stop.Store(true)
		wg.Wait()
		w.level()
	})
}

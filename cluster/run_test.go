package cluster

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/serval-server/serval/cluster/replica"
	"github.com/serval-server/serval/cluster/wire"
	"github.com/serval-server/serval/sessions"
)

// redeploy undeploys a node's application and deploys it again, perhaps before the
// others have noticed.
func (n *testNode) redeploy(noticed func() bool) {
	n.w.t.Helper()
	if err := n.dm.Close(n.w.t.Context()); err != nil {
		n.w.t.Fatal(err)
	}
	_ = n.sm.Close(context.Background(), false)
	if noticed != nil {
		n.w.until(time.Second, "the others to notice", noticed)
	}
	n.open()
	n.w.ready()
}

// TestRedeploy: an application that is deployed anew in the same process is not
// taken for its former run, which had copies of everything.
func TestRedeploy(t *testing.T) {
	for _, c := range []struct {
		name        string
		consistency Consistency
		noticed     bool
	}{{"at once", Available, false}, {"after a while", Available, true}, {"strict", Strict, false}} {
		t.Run(c.name, func(t *testing.T) {
			cluster(t, Cache{Ack: AckAll, Consistency: c.consistency}, AppConfig{}, "a b c", func(w *world) {
				a, b := w.node("a"), w.node("b")
				ids := map[sessions.ID]string{}
				for i := range 20 {
					n := []*testNode{a, b}[i%2]
					value := fmt.Sprintf("n=%d", i)
					ids[n.set("", value)] = value
				}
				for round := range 3 {
					var noticed func() bool
					if c.noticed {
						noticed = func() bool { return len(b.dm.app.targets()) == 1 }
					}
					a.redeploy(noticed)
					if a.dm.app.self() == a.ID() {
						t.Fatal("the new run has the number of the first one")
					}
					w.until(time.Second, "the new run to be known", func() bool {
						return b.dm.app.runOf(a.ID()) == a.dm.app.self() && b.dm.app.peerOf(a.dm.app.self()) == a.ID()
					})
					for id := range ids {
						if w.copies(id) != 3 {
							t.Fatalf("round %d: %d copies of a session, though all nodes are level", round, w.copies(id))
						}
					}
					id := a.set("", "new=1") // at home at a, in the new run
					ids[id] = "new=1"
					if b.want(id, "new=1"); w.home(id) != "a" {
						t.Errorf("home %q", w.home(id))
					}
				}
				w.node("c").kill()
				b.kill()
				if c.consistency == Strict {
					return // one of three
				}
				for id, value := range ids {
					a.want(id, value)
				}
			})
		})
	}
}

// TestSwitchedOffAndOn: copies that were given up are no copies.
func TestSwitchedOffAndOn(t *testing.T) {
	cluster(t, Cache{Ack: AckAll}, AppConfig{}, "a b", func(w *world) {
		a, b := w.node("a"), w.node("b")
		id := a.set("", "n=1")
		for range 2 {
			if err := a.SetReplication(t.Context(), shop, false); err != nil {
				t.Fatal(err)
			}
			w.until(time.Second, "the other to be off", func() bool { return !b.dm.app.on.Load() && a.dm.Alone() && b.dm.Alone() })
			a.set(id, "n=2")
			if err := a.SetReplication(t.Context(), shop, true); err != nil {
				t.Fatal(err)
			}
			// Sooner than digests are compared.
			w.until(digestEvery/4, "the other's copy", func() bool { return w.copies(id) == 2 && !b.dm.Alone() })
		}
		a.kill()
		b.want(id, "n=2")
	})
}

// TestFormerRun: what was said by, or to, a run that is over is not heard, and the
// number of a run must be nobody else's.
func TestFormerRun(t *testing.T) {
	cluster(t, Cache{}, AppConfig{}, "a b", func(w *world) {
		a, b := w.node("a"), w.node("b")
		app := a.dm.app
		first, was := app.number, a.ID()
		a.redeploy(nil)
		app = a.dm.app
		run := app.self()
		sh := app.shards[0]
		ours := b.dm.app.shards[0]
		for _, c := range []struct {
			what   string
			sh     *shard
			peer   replica.NodeID
			number uint32
			from   replica.NodeID
			ok     bool
		}{
			{"to the former run", sh, b.ID(), first, 0, false},
			{"to the new run", sh, b.ID(), first ^ run, b.ID(), true},
			{"from a run that nobody knows", sh, b.ID(), first ^ run ^ 77, 0, false},
			{"from the former run", ours, was, first, was, true}, // it is itself, and gone
			{"from the new run", ours, was, first ^ run, run, true},
			{"from another run", ours, was, first ^ 77, 0, false},
		} {
			c.sh.mu.Lock()
			from, ok := c.sh.senderLocked(c.peer, c.number)
			c.sh.mu.Unlock()
			if ok != c.ok || ok && from != c.from {
				t.Errorf("%s: from %d, %v", c.what, from, ok)
			}
		}
		if got := b.addressee(was, first^run); got != b.dm.app {
			t.Errorf("a message of the new run is for %v", got)
		}
		if got := b.addressee(was, first^77); got != nil {
			t.Errorf("a message of nobody is for %v", got)
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, taken := range []replica.NodeID{was, b.ID()} {
			if _, ok := b.memberOf(b.dm.app, was, wire.App{Number: first, Key: string(shop), On: true, Run: taken}); ok {
				t.Errorf("a run may have the number %d of a process", taken)
			}
		}
	})
}

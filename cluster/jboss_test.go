package cluster

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/serval-server/serval/descriptor"
	"github.com/serval-server/serval/sessions"
)

// Scenarios of JBoss's own tests, ../shared/reference/jboss.md §9 by their numbers.

// 16 to 18, 21: with max-unreplicated-interval a mere access is told when the last
// word is older than that; 0: each; negative: only with changes; above the timeout:
// as 0; left out: the shorter of 60 s and a quarter of the timeout.
func TestMaxUnreplicatedInterval(t *testing.T) {
	const s = time.Second
	interval := func(d time.Duration) *time.Duration { return &d }
	for _, test := range []struct {
		name     string
		interval *time.Duration
		timeout  time.Duration
		after    time.Duration // since the last word
		told     bool
	}{
		{"each", interval(0), 10 * time.Minute, s, true},
		{"1 s, before", interval(s), 10 * time.Minute, s / 2, false},
		{"1 s, after", interval(s), 10 * time.Minute, s + s/20, true},
		{"never", interval(-s), 10 * time.Minute, 5 * time.Minute, false},
		{"above the timeout", interval(time.Hour), 10 * time.Minute, s, true},
		{"left out, before", nil, 10 * time.Minute, 59 * s, false},
		{"left out, after", nil, 10 * time.Minute, 61 * s, true},
		{"left out, short timeout, before", nil, 40 * s, 9 * s, false},
		{"left out, short timeout, after", nil, 40 * s, 11 * s, true},
	} {
		app := AppConfig{Timeout: test.timeout, Replication: &descriptor.Replication{MaxUnreplicatedInterval: test.interval}}
		cluster(t, Cache{}, app, "a b", func(w *world) {
			id := w.nodes["a"].set("", "n=1")
			time.Sleep(test.after)
			w.nodes["a"].want(id, "n=1")
			time.Sleep(20 * time.Millisecond) // of virtual time: a touch is not waited for
			age := w.nodes["b"].age(id)
			if told := age < test.after; told != test.told {
				t.Errorf("%s: the other node takes the session for idle since %v", test.name, age)
			}
			w.nodes["a"].set(id, "n=2")
			if age := w.nodes["b"].age(id); age > time.Second {
				t.Errorf("%s: idle for %v after a change", test.name, age)
			}
		})
	}
}

// age is how long a session has not been used, as far as the node knows.
func (n *testNode) age(id sessions.ID) time.Duration {
	sid, _ := realID(id)
	sh := n.dm.app.shard(sid)
	now := sh.lock()
	defer sh.unlock()
	return sh.node.Age(now, sid)
}

// 27: with four nodes and two owners, a session that is ended by a request at
// another owner is gone; one that is counted at an owner, at another node, and at an
// owner again loses no increment.
func TestDistributionOverFourNodes(t *testing.T) {
	for _, misroute := range []Misroute{MisrouteForward, MisrouteClaim} {
		cluster(t, Cache{Mode: ModeDIST, Owners: 2, Misroute: misroute}, AppConfig{}, "a b c d", func(w *world) {
			id := w.nodes["a"].set("", "n=0")
			if got := w.copies(id); got != 2 {
				t.Errorf("%d copies", got)
			}
			for i, name := range []string{"a", "b", "b", "a", "c", "c", "d", "d", "a", "b"} {
				w.nodes[name].want(id, fmt.Sprint("n=", i))
				id = w.nodes[name].set(id, fmt.Sprint("n=", i+1))
			}
			old := id
			if _, err := w.nodes["c"].request(id, func(s *sessions.Session) error {
				return s.Invalidate(context.Background(), sessions.Invalidate)
			}); err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"a", "b", "c", "d"} {
				w.nodes[name].want(old, "-")
			}
		})
	}
}

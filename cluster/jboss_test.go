package cluster

import (
	"context"
	"fmt"
	"testing"

	"github.com/serval-server/serval/sessions"
)

// Scenarios of JBoss's own tests, ../shared/reference/jboss.md §9 by their numbers.

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

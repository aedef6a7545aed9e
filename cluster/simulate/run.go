package main

import (
	"fmt"
	"math/rand/v2"

	"github.com/serval-server/serval/cluster/replica"
)

// simulate runs the history of one seed, perhaps with a planted bug.
func simulate(seed uint64, b *bug, keep bool) *world {
	w := &world{seed: seed, rng: rand.New(rand.NewPCG(seed, 1)), reqs: map[uint64]*request{}, keep: keep, stats: newCounters(), bug: b}
	w.book = newBook(w)
	drawPlan(w)
	for i := range w.plan.hosts {
		h := &host{name: fmt.Sprintf("n%d", i+1), zone: fmt.Sprintf("z%d", i%2)}
		if w.rng.IntN(3) == 0 {
			h.skew = w.rng.Int64N(7200_000) - 3600_000
			w.stats.add("clock offset")
		}
		w.nodes = append(w.nodes, h)
	}
	for _, h := range w.nodes {
		w.start(h)
	}
	w.startClients()
	w.after(w.faults.every, w.trouble)
	w.run(w.plan.busy)
	if w.broken == nil {
		w.settle()
	}
	return w
}

// brief leaves the long parts of a message out of the history.
func brief(m replica.Message) string {
	switch m := m.(type) {
	case *replica.Update:
		return fmt.Sprintf("{%s %v base %v dot %v %v}", m.Delta.ID, m.Reign, m.Delta.Base, m.Delta.Dot, m.Delta.Life.Kind)
	case replica.Copy:
		return fmt.Sprintf("{%s %v heads %v %v}", m.State.ID, m.Reign, m.State.Heads, m.State.Life.Kind)
	case replica.Promise:
		return fmt.Sprintf("{%s %v known %v}", m.ID, m.Reign, m.State != nil)
	case replica.Digest, replica.Homes:
		return "{}"
	case replica.Grant:
		return fmt.Sprintf("{%s %v}", m.State.ID, m.Reign)
	}
	return fmt.Sprintf("%+v", m)
}

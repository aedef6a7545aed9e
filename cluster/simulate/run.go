package main

import (
	"fmt"
	"math/rand/v2"

	"github.com/serval-server/serval/cluster/replica"
)

// simulate runs the history of one seed, perhaps with a planted bug.
func simulate(seed uint64, b *bug, keep bool) *world {
	w := &world{seed: seed, rng: rand.New(rand.NewPCG(seed, 1)), reqs: map[uint64]*request{}, runs: map[replica.NodeID]bool{}, keep: keep, stats: newCounters(), bug: b}
	w.book = newBook(w)
	drawPlan(w)
	if b != nil && b.plan != nil {
		b.plan(w)
	}
	for i := range w.plan.hosts {
		h := &host{index: i, name: fmt.Sprintf("n%d", i+1), zone: fmt.Sprintf("z%d", i%2)}
		w.drawClock(h)
		w.nodes = append(w.nodes, h)
	}
	for i, h := range w.nodes {
		if i < w.plan.hosts-w.plan.late {
			w.start(h)
			continue
		}
		w.after(w.between(0, w.plan.busy), func() {
			w.stats.add("joiner")
			w.start(h)
		})
	}
	w.startClients()
	w.after(w.faults.every, w.trouble)
	if w.faults.redeploy {
		w.after(w.between(w.faults.every, 2*w.faults.every), w.redeploys)
	}
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
		return fmt.Sprintf("Update{%s %v base %v dot %v %v}", m.Delta.ID, m.Reign, m.Delta.Base, m.Delta.Dot, m.Delta.Life.Kind)
	case replica.Copy:
		return fmt.Sprintf("Copy{%s %v heads %v %v}", m.State.ID, m.Reign, m.State.Heads, m.State.Life.Kind)
	case replica.Promise:
		return fmt.Sprintf("Promise{%s %v known %v}", m.ID, m.Reign, m.State != nil)
	case replica.Digest, replica.Homes:
		return fmt.Sprintf("%T{}", m)
	case replica.Grant:
		return fmt.Sprintf("Grant{%s %v}", m.State.ID, m.Reign)
	}
	return fmt.Sprintf("%T%+v", m, m)
}

package main

import (
	"time"

	"github.com/serval-server/serval/cluster/replica"
)

// redeploys deploys the application anew on one host after the other. The process
// and its connections stay: what the former run has said is still on its way, and
// so is what was said to it.
func (w *world) redeploys() {
	if w.quiet {
		return
	}
	if h := w.nodes[w.rng.IntN(len(w.nodes))]; h.up && !h.paused && !h.leaving {
		w.redeploy(h)
	}
	w.after(w.between(w.faults.every/2, w.faults.every*2), w.redeploys)
}

// redeploy ends the application on a host without a hand-over, which is the worst
// case, and begins it again soon. What it knew is gone.
func (w *world) redeploy(h *host) {
	w.stats.add("redeploy")
	w.logf("%s undeploys", h.name)
	former, same := h.id, w.bug != nil && w.bug.sameRun
	h.up, w.book.crashed[former], w.book.gone = false, true, w.now
	for _, p := range w.nodes {
		if p == h || !p.up || same || w.net.cut[h.index][p.index] > 0 || w.chance(0.1) {
			continue
		}
		// It hears that the run is over, or only of the next one.
		w.later(p, w.between(0, 50*time.Millisecond), func(n *replica.Node) {
			n.Crashed(w.local(p), former)
			if p.view[h.index] == former {
				p.view[h.index] = 0
				w.showView(p)
			}
		})
	}
	w.after(w.between(0, 400*time.Millisecond), func() {
		if h.up || h.left {
			return
		}
		if !same {
			w.nextID++
			h.id = w.nextID
			w.runs[h.id] = true
		}
		w.begin(h)
	})
}

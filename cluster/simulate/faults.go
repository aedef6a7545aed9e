package main

import (
	"time"

	"github.com/serval-server/serval/cluster/replica"
)

// trouble makes one fault, and the next one later.
func (w *world) trouble() {
	if w.quiet {
		return
	}
	h := w.nodes[w.rng.IntN(len(w.nodes))]
	f := &w.faults
	switch k := w.rng.IntN(8); {
	case k == 0 && f.crash && h.up:
		w.crash(h)
	case k == 1 && f.pause && h.up && !h.paused:
		w.pause(h)
	case k == 2 && f.partition:
		w.partition()
	case k == 3 && f.drain && h.up && !h.paused && !h.leaving:
		w.drain(h)
	case k == 4:
		w.slowDown(h)
	case k == 5 && f.config:
		w.reconfigure()
	case k == 6 && w.net.streams && f.loss:
		w.disconnect(h, w.nodes[w.rng.IntN(len(w.nodes))])
	case k == 7 && f.jump:
		w.stats.add("clock jump")
		h.skew += w.rng.Int64N(7200_000) - 3600_000
	}
	w.after(w.between(f.every/4, f.every*2), w.trouble)
}

func (w *world) slowDown(h *host) {
	if w.net.slow != nil {
		w.net.slowed = w.now
	}
	w.net.slow = nil
	if w.chance(0.3) {
		w.net.slow = h
		w.stats.add("slow host")
	}
}

// crash ends a host's node; the memory is gone. Peers that are connected see
// the connection close, most of the time.
func (w *world) crash(h *host) {
	w.stats.add("crash")
	w.logf("%s crashes", h.name)
	w.book.crashed[h.id] = true
	w.stop(h, 0.9)
	w.restartLater(h)
}

// stop ends a host's node, which each peer notices with a probability.
func (w *world) stop(h *host, notice float64) {
	h.up, w.book.gone = false, w.now
	for _, p := range w.nodes {
		if p == h || !p.up {
			continue
		}
		if w.net.cut[h.index][p.index] == 0 && w.chance(notice) {
			w.notice(p, h, h.id, 5*time.Millisecond)
		}
	}
}

func (w *world) restartLater(h *host) {
	if w.chance(w.faults.forever) {
		w.stats.add("gone for ever")
		h.left = true
		return
	}
	w.after(w.between(50*time.Millisecond, 6*time.Second), func() {
		if !h.up && !h.left {
			w.start(h)
		}
	})
}

func (w *world) pause(h *host) {
	w.stats.add("pause")
	w.logf("%s pauses", h.name)
	h.paused = true
	id := h.id
	w.after(w.between(50*time.Millisecond, 8*time.Second), func() { w.resume(h, id) })
}

func (w *world) resume(h *host, id replica.NodeID) {
	if !h.paused || h.id != id {
		return
	}
	w.logf("%s goes on", h.name)
	h.paused = false
	h.woke = w.now
	for i := range h.heard {
		h.heard[i] = w.now
	}
	backlog := h.backlog
	h.backlog = nil
	if w.bug == nil || !w.bug.noPause {
		h.node.Tick(w.local(h)) // the first thing that a node does when it runs again
		w.effects(h)
	}
	for _, do := range backlog {
		do()
	}
}

// partition cuts a random set of links, one way or both, for a while.
func (w *world) partition() {
	w.stats.add("partition")
	side := make([]bool, len(w.nodes))
	for i := range side {
		side[i] = w.chance(0.5)
	}
	oneWay := w.chance(0.3)
	if oneWay {
		w.stats.add("one-way partition")
	}
	bridge := -1
	if w.chance(0.2) {
		bridge = w.rng.IntN(len(w.nodes)) // it hears both sides
		w.stats.add("bridge partition")
	}
	var links [][2]*host
	for i, a := range w.nodes {
		for j, b := range w.nodes {
			if side[i] && !side[j] && i != bridge && j != bridge {
				links = append(links, [2]*host{a, b})
				if !oneWay {
					links = append(links, [2]*host{b, a})
				}
			}
		}
	}
	w.cutLinks(links, 1)
	w.after(w.between(100*time.Millisecond, 10*time.Second), func() {
		if !w.quiet {
			w.cutLinks(links, -1)
		}
	})
}

// cutLinks cuts links, or with -1 mends them.
func (w *world) cutLinks(links [][2]*host, by int) {
	for _, l := range links {
		w.net.cut[l[0].index][l[1].index] += by
		l[0].stopped, l[1].stopped = w.now, w.now
		if w.keep {
			w.logf("link %s -> %s is cut %d times", l[0].name, l[1].name, w.net.cut[l[0].index][l[1].index])
		}
	}
}

// drain makes a node leave in good order: it hands its sessions over, then goes.
func (w *world) drain(h *host) {
	w.logf("%s drains", h.name)
	h.leaving = true
	w.drainOn(h, h.id, 0)
}

func (w *world) drainOn(h *host, id replica.NodeID, tries int) {
	if !h.up || h.id != id {
		return
	}
	if h.paused {
		w.after(40*time.Millisecond, func() { w.drainOn(h, id, tries) })
		return
	}
	h.node.Drain(w.local(h))
	w.effects(h)
	hasty := w.bug != nil && w.bug.noWait
	if !hasty && (h.node.Homes() > 0 || w.unsent(h)) && tries < 100 {
		w.after(40*time.Millisecond, func() { w.drainOn(h, id, tries+1) })
		return
	}
	if tries >= 100 {
		w.stats.add("drain gave up")
		w.crash(h)
		return
	}
	w.stats.add("drain")
	if hasty {
		w.book.leaves(h)
		w.stop(h, 1)
		w.restartLater(h)
		return
	}
	// Its last grants are on the way: a leave waits for them.
	w.after(500*time.Millisecond, func() {
		if !h.up || h.id != id || h.paused {
			h.leaving = h.leaving && h.paused && h.id == id
			return
		}
		if !w.net.streams || h.node.Homes() > 0 || w.unsent(h) {
			w.crash(h)
			return
		}
		w.logf("%s leaves", h.name)
		w.book.leaves(h)
		w.stop(h, 1)
		w.restartLater(h)
	})
}

// unsent says whether messages of a host are still under way.
func (w *world) unsent(h *host) bool {
	for _, p := range w.nodes {
		if l := &w.net.link[h.index][p.index]; p != h && p.up && len(l.queue)+len(l.flying) > 0 {
			return true
		}
	}
	return false
}

// reconfigure changes what all nodes are told, one after the other.
func (w *world) reconfigure() {
	w.stats.add("config changed")
	drawConfig(w)
	w.logf("config %+v", w.cfg)
	for _, h := range w.nodes {
		if h.up {
			w.later(h, w.between(0, time.Second), func(n *replica.Node) {
				n.SetConfig(w.local(h), w.configFor(h))
			})
		}
	}
}

package main

import (
	"time"

	"github.com/serval-server/serval/cluster/replica"
)

// faults is how much goes wrong in one run; a seed draws it.
type faults struct {
	every                          time.Duration // between two faults
	detect                         time.Duration // until a silent peer leaves the view
	alarm                          float64       // the chance, per tick and peer, of a false alarm
	crash, pause, partition, drain bool
}

// plan is the shape of one run.
type plan struct {
	hosts, sessions int
	busy            time.Duration // with faults and requests
	think           time.Duration
	misroute        float64
}

func drawPlan(w *world) {
	r := w.rng
	w.plan = plan{
		hosts: 2 + r.IntN(6), sessions: 1 + r.IntN(8),
		busy:     time.Duration(5+r.IntN(20)) * time.Second,
		think:    time.Duration(20+r.IntN(400)) * time.Millisecond,
		misroute: []float64{0, 0.02, 0.2, 1}[r.IntN(4)],
	}
	w.cfg = replica.Config{
		Owners: []int{0, 0, 2, 3}[r.IntN(4)], Ack: replica.AckPolicy(r.IntN(4)),
		AckTimeout: 2 * time.Second, Retry: 100 * time.Millisecond,
		MaxIdle: 12 * time.Second, Grace: 4 * time.Second, AdoptAfter: 2 * time.Second,
		Touch: 3 * time.Second, DeadTTL: 60 * time.Second, DigestEvery: time.Second, FailOnTimeout: r.IntN(2) == 0,
	}
	if r.IntN(3) == 0 {
		w.cfg.Strict = true
		w.cfg.Owners = []int{0, 3}[r.IntN(2)]
		w.plan.hosts = max(3, w.plan.hosts)
	}
	w.faults = faults{
		every:  time.Duration(300+r.IntN(4000)) * time.Millisecond,
		detect: time.Duration(300+r.IntN(2200)) * time.Millisecond,
		crash:  r.IntN(2) == 0, pause: r.IntN(2) == 0, partition: r.IntN(2) == 0, drain: r.IntN(3) == 0,
	}
	if r.IntN(4) == 0 {
		w.faults.alarm = 0.002
	}
	w.net = network{cut: map[[2]string]bool{}}
	if r.IntN(2) == 0 {
		w.net.drop = r.Float64() * 0.3
	}
	if r.IntN(2) == 0 {
		w.net.dup = r.Float64() * 0.05
	}
	w.net.jitter = []time.Duration{0, 20 * time.Millisecond, 200 * time.Millisecond}[r.IntN(3)]
	if r.IntN(3) == 0 {
		w.net.spike = 0.005
	}
}

// trouble makes one fault, and the next one later.
func (w *world) trouble() {
	if w.quiet {
		return
	}
	h := w.nodes[w.rng.IntN(len(w.nodes))]
	switch k := w.rng.IntN(5); {
	case k == 0 && w.faults.crash && h.up:
		w.crash(h)
	case k == 1 && w.faults.pause && h.up && !h.paused:
		w.pause(h)
	case k == 2 && w.faults.partition:
		w.partition()
	case k == 3 && w.faults.drain && h.up && !h.paused:
		w.drain(h, h.id, 0)
	case k == 4:
		w.net.slow = ""
		if w.chance(0.3) {
			w.net.slow = h.name
			w.stats.add("slow host")
		}
	}
	w.after(w.between(w.faults.every/4, w.faults.every*2), w.trouble)
}

// crash ends a host's node; the memory is gone. Peers that are connected see
// the connection close, most of the time.
func (w *world) crash(h *host) {
	w.stats.add("crash")
	w.logf("%s crashes", h.name)
	id := h.id
	w.book.crashed[id] = true
	h.up = false
	for _, p := range w.nodes {
		if p != h && p.up && !w.net.cut[[2]string{h.name, p.name}] && w.chance(0.9) {
			pid := p.id
			w.after(5*time.Millisecond, func() {
				w.step(p, pid, func(*replica.Node) {
					if p.view[h.name] == id {
						delete(p.view, h.name)
						w.showView(p)
					}
				})
			})
		}
	}
	w.after(w.between(50*time.Millisecond, 6*time.Second), func() {
		if !h.up {
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
	for name := range h.heard {
		h.heard[name] = w.now
	}
	backlog := h.backlog
	h.backlog = nil
	if w.bug == nil || !w.bug.noPause {
		h.node.Tick(w.now) // the first thing that a node does when it runs again
		w.effects(h)
	}
	for _, do := range backlog {
		do()
	}
}

// partition cuts a random set of links, one way or both, for a while.
func (w *world) partition() {
	w.stats.add("partition")
	side := map[string]bool{}
	for _, h := range w.nodes {
		side[h.name] = w.chance(0.5)
	}
	oneWay := w.chance(0.3)
	if oneWay {
		w.stats.add("one-way partition")
	}
	var links [][2]string
	for _, a := range w.nodes {
		for _, b := range w.nodes {
			if side[a.name] && !side[b.name] {
				links = append(links, [2]string{a.name, b.name})
				if !oneWay {
					links = append(links, [2]string{b.name, a.name})
				}
			}
		}
	}
	for _, l := range links {
		w.net.cut[l] = true
		w.byName(l[0]).stopped, w.byName(l[1]).stopped = w.now, w.now
	}
	w.logf("cut %v", links)
	w.after(w.between(100*time.Millisecond, 10*time.Second), func() {
		for _, l := range links {
			delete(w.net.cut, l)
			w.byName(l[0]).stopped, w.byName(l[1]).stopped = w.now, w.now
		}
		w.logf("healed %v", links)
	})
}

// drain hands a host's sessions over, then restarts it.
func (w *world) drain(h *host, id replica.NodeID, tries int) {
	if !h.up || h.id != id || h.paused {
		return
	}
	h.node.Drain(w.now)
	w.effects(h)
	if h.node.Homes() > 0 && tries < 50 {
		w.after(40*time.Millisecond, func() { w.drain(h, id, tries+1) })
		return
	}
	w.stats.add("drain")
	// Its last grants are on the way: a leave waits for them.
	w.after(500*time.Millisecond, func() {
		if h.up && h.id == id && !h.paused {
			w.crash(h)
		}
	})
}

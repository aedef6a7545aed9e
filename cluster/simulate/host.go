package main

import (
	"time"

	"github.com/serval-server/serval/cluster/replica"
)

// host is a machine: it has a name and runs, at most times, a node.
type host struct {
	index   int
	name    string
	zone    string
	node    *replica.Node // of the latest incarnation; nil before the first
	id      replica.NodeID
	cfg     replica.Config // what the node should do
	up      bool
	paused  bool
	leaving bool
	left    bool          // for good
	stopped time.Duration // when it was last paused or cut off
	viewed  time.Duration // when its view last changed
	woke    time.Duration // when it last went on after a pause
	doubted time.Duration // when another one last took it for gone by mistake or it another one, or they saw each other again after that
	looked  time.Duration // when its copies were last compared with what they were
	clock   clock
	skew    int64            // of its wall clock, in ms
	backlog []func()         // what happened to it while it was paused
	view    []replica.NodeID // by index of the host; 0: not in it
	heard   []time.Duration
	found   []time.Duration // by index of the host: when, having once been paused, it last took it into its view
	checked []mark          // by number of the session
	promise map[replica.SessionID]replica.Reign
	lagging map[replica.NodeID]bool      // what the node was told
	homes   map[replica.SessionID]uint64 // at home, for all that the node has said: the fingerprint that was served
	started time.Duration
	level   bool // it has said that it has all it should have
	busy    bool // its effects are being carried out
	todo    []replica.Effect
}

// clock is a host's own monotonic clock: it starts anywhere, and is not exact.
type clock struct {
	origin time.Duration
	rate   float64
}

// local is the time by the host's own clock.
func (w *world) local(h *host) time.Duration {
	return h.clock.origin + time.Duration(float64(w.now)*h.clock.rate)
}

// wall is the host's wall clock in milliseconds, wrong as it is.
func (w *world) wall(h *host) uint64 {
	return uint64(int64(w.now/time.Millisecond) + h.skew + 1<<32)
}

// drawClock gives a host clocks of its own.
func (w *world) drawClock(h *host) {
	h.clock = clock{origin: time.Duration(w.rng.Int64N(int64(time.Hour))), rate: 1}
	if w.rng.IntN(3) == 0 {
		h.skew = w.rng.Int64N(7200_000) - 3600_000
		w.stats.add("clock offset")
	}
	if w.rng.IntN(3) == 0 {
		h.clock.rate = 0.99 + 0.02*w.rng.Float64()
		w.stats.add("clock drift")
	}
}

// start runs a new incarnation on a host.
func (w *world) start(h *host) {
	w.nextID++
	if w.bug == nil || !w.bug.sameID || h.id == 0 {
		h.id = w.nextID
	}
	for _, p := range w.nodes {
		w.net.fresh(h, p)
	}
	w.begin(h)
}

// begin runs the application on a host, with what links it has.
func (w *world) begin(h *host) {
	h.node = replica.NewNode(w.configFor(h), replica.Member{ID: h.id, Name: h.name, Zone: h.zone}, w.local(h))
	h.up, h.paused, h.leaving, h.backlog = true, false, false, nil
	h.view, h.heard = make([]replica.NodeID, len(w.nodes)), make([]time.Duration, len(w.nodes))
	h.found = make([]time.Duration, len(w.nodes))
	h.lagging, h.busy, h.checked = map[replica.NodeID]bool{}, false, nil
	h.homes, h.started, h.level = map[replica.SessionID]uint64{}, w.now, false
	h.promise = map[replica.SessionID]replica.Reign{}
	w.logf("%s starts as node %d", h.name, h.id)
	w.tick(h, h.id)
}

// configFor is what the node on a host is told.
func (w *world) configFor(h *host) replica.Config {
	cfg := w.cfg
	cfg.Self = h.id
	if w.bug != nil && w.bug.noPause {
		cfg.Pause = time.Hour
	}
	h.cfg = cfg // whatever the bug makes of it
	if w.bug != nil && w.bug.config != nil {
		w.bug.config(h, &cfg)
	}
	return cfg
}

func (w *world) tick(h *host, id replica.NodeID) {
	if !h.up || h.id != id {
		return
	}
	if !h.paused {
		w.watch(h)
		h.node.Wall(w.wall(h))
		h.node.Tick(w.local(h))
		w.effects(h)
		if !h.level && h.node.Level() {
			h.level = true
			w.stats.add("level")
			w.book.levelled(h)
		}
	}
	every := 40 * time.Millisecond
	if w.quiet {
		every = 100 * time.Millisecond
	}
	w.after(every, func() { w.tick(h, id) })
}

// step runs what happens at a host, or keeps it until the host is awake.
func (w *world) step(h *host, id replica.NodeID, do func(n *replica.Node)) {
	if !h.up || h.id != id {
		return
	}
	if h.paused {
		h.backlog = append(h.backlog, func() { w.step(h, id, do) })
		return
	}
	do(h.node)
	w.effects(h)
}

// effects carries out what a node asks for, and looks at what it did. What that
// brings about comes after it, in order.
func (w *world) effects(h *host) {
	if h.busy {
		return
	}
	h.busy = true
	for list := h.node.Take(); len(list) > 0; list = h.node.Take() {
		h.todo = h.todo[:0]
		for _, e := range list {
			h.todo = append(h.todo, owned(e))
		}
		for _, e := range h.todo {
			if w.bug == nil || w.bug.effect == nil || w.bug.effect(e) {
				w.effect(h, e)
			}
		}
	}
	h.busy = false
	if w.now-h.looked >= 400*time.Millisecond {
		h.looked = w.now
		w.book.look(h)
	}
}

// owned is an effect that outlives the node's next call.
func owned(e replica.Effect) replica.Effect {
	if s, ok := e.(replica.Send); ok {
		s.Message = replica.Own(s.Message)
		return s
	}
	return e
}

func (w *world) effect(h *host, e replica.Effect) {
	switch e := e.(type) {
	case replica.Send:
		w.transmit(h, e)
	case replica.Answer:
		w.answered(h, e)
	case replica.Released:
		w.released(h, e)
	case replica.Overdue:
		w.stats.add("overdue")
		w.logf("%s finds %s overdue", h.name, e.ID)
		w.book.expired(h, e.ID)
		h.node.End(w.local(h), 0, e.ID, replica.Expired)
		if s := h.node.State(e.ID); s != nil && s.Life.Kind == replica.Dead {
			w.stats.add("expired")
			w.book.record(e.ID).expired++
		}
	case replica.Lost:
		w.stats.add("lost")
		delete(h.homes, e.ID)
		w.logf("%s loses %s to %d", h.name, e.ID, e.Home)
	case replica.Refreshed:
		w.stats.add("refreshed")
		delete(h.homes, e.ID)
	case replica.Claimed:
		w.stats.add("claimed")
		delete(h.homes, e.ID)
		w.book.claimed(e.ID, e.Reign)
		w.logf("%s claims %s as %v", h.name, e.ID, e.Reign)
	case replica.Forked:
		w.stats.add("forked")
		w.book.forked[e.ID] = true
	}
}

// later schedules something that happens to one incarnation.
func (w *world) later(h *host, d time.Duration, do func(n *replica.Node)) {
	id := h.id
	w.after(d, func() { w.step(h, id, do) })
}

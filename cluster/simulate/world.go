package main

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/serval-server/serval/cluster/replica"
)

// world is one simulated cluster: nodes, the network between them, clients and
// the clock. All randomness comes from one generator, and all that happens
// passes through one queue, so a seed is a history.
type world struct {
	seed    uint64
	rng     *rand.Rand
	now     time.Duration
	queue   queue
	seq     int
	nodes   []*host
	net     network
	cfg     replica.Config
	faults  faults
	clients []*client
	book    *book
	plan    plan
	bug     *bug
	nextID  replica.NodeID
	nextReq uint64
	reqs    map[uint64]*request
	trace   []string
	keep    bool
	quiet   bool // no more faults, no more requests
	events  int
	stats   *counters
	broken  error
}

// host is a machine: it has a name and runs, at most times, a node.
type host struct {
	name    string
	zone    string
	node    *replica.Node
	id      replica.NodeID
	up      bool
	paused  bool
	stopped time.Duration // when it was last paused or cut off
	woke    time.Duration // when it last went on after a pause
	looked  time.Duration // when its copies were last compared with what they were
	skew    int64         // of its wall clock, in ms
	backlog []func()      // what happened to it while it was paused
	view    map[string]replica.NodeID
	heard   map[string]time.Duration
	checked map[replica.SessionID]*replica.State
	promise map[replica.SessionID]replica.Reign
}

// maxEvents is more than any run needs that does not go round in circles.
const maxEvents = 300_000

type event struct {
	at  time.Duration
	seq int
	do  func()
}

type queue []event

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].seq < q[j].seq
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(event)) }
func (q *queue) Pop() any {
	old := *q
	e := old[len(old)-1]
	*q = old[:len(old)-1]
	return e
}

// after schedules something.
func (w *world) after(d time.Duration, do func()) {
	w.seq++
	heap.Push(&w.queue, event{w.now + d, w.seq, do})
}

// fail records the first violation of an invariant.
func (w *world) fail(format string, args ...any) {
	if w.broken == nil {
		w.broken = fmt.Errorf("at %v: "+format, append([]any{w.now}, args...)...)
		w.logf("VIOLATION %v", w.broken)
	}
}

func (w *world) logf(format string, args ...any) {
	if w.keep {
		w.trace = append(w.trace, fmt.Sprintf("%9.3fs ", w.now.Seconds())+fmt.Sprintf(format, args...))
	}
}

// run lets the world go on until a time, or until something is violated.
func (w *world) run(until time.Duration) {
	for len(w.queue) > 0 && w.queue[0].at <= until && w.broken == nil {
		e := heap.Pop(&w.queue).(event)
		w.now = e.at
		if w.events++; w.events > maxEvents {
			w.fail("livelock: %d events", w.events)
		}
		e.do()
	}
	w.now = max(w.now, until)
}

// chance is true with a probability.
func (w *world) chance(p float64) bool { return w.rng.Float64() < p }

// between draws a duration, most often a short one.
func (w *world) between(lo, hi time.Duration) time.Duration {
	f := w.rng.Float64()
	return lo + time.Duration(f*f*float64(hi-lo))
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

// effects carries out what a node asks for, and looks at what it did.
func (w *world) effects(h *host) {
	again := false
	for _, e := range slices.Clone(h.node.Take()) {
		switch e := e.(type) {
		case replica.Send:
			w.transmit(h, e)
		case replica.Answer:
			w.answered(h, e)
		case replica.Released:
			w.released(h, e)
		case replica.Overdue:
			w.stats.add("expired")
			w.book.expired(h, e)
			h.node.End(w.now, 0, e.ID, replica.Expired)
			again = true
		case replica.Claimed:
			w.stats.add("claimed")
			w.logf("%s claims %s as %v", h.name, e.ID, e.Reign)
		case replica.Forked:
			w.stats.add("forked")
			w.book.forked[e.ID] = true
		}
	}
	if again {
		w.effects(h)
		return
	}
	if w.now-h.looked >= 400*time.Millisecond {
		h.looked = w.now
		w.book.look(h)
	}
}

func (w *world) hostOf(id replica.NodeID) *host {
	for _, h := range w.nodes {
		if h.id == id {
			return h
		}
	}
	return nil
}

// start runs a new incarnation on a host.
func (w *world) start(h *host) {
	w.nextID++
	if w.bug == nil || !w.bug.sameID || h.id == 0 {
		h.id = w.nextID
	}
	cfg := w.cfg
	cfg.Self = h.id
	if w.bug != nil && w.bug.config != nil {
		w.bug.config(h, &cfg)
	}
	h.node = replica.NewNode(cfg, replica.Member{ID: h.id, Name: h.name, Zone: h.zone}, w.now)
	h.up, h.paused, h.backlog = true, false, nil
	h.view, h.heard = map[string]replica.NodeID{}, map[string]time.Duration{}
	h.checked, h.promise = map[replica.SessionID]*replica.State{}, map[replica.SessionID]replica.Reign{}
	w.logf("%s starts as node %d", h.name, h.id)
	w.tick(h, h.id)
}

func (w *world) tick(h *host, id replica.NodeID) {
	if !h.up || h.id != id {
		return
	}
	if !h.paused {
		w.watch(h)
		h.node.Wall(uint64(int64(w.now/time.Millisecond) + h.skew + 1<<32))
		h.node.Tick(w.now)
		w.effects(h)
	}
	w.after(40*time.Millisecond, func() { w.tick(h, id) })
}

package main

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/serval-server/serval/cluster/replica"
	"github.com/serval-server/serval/cluster/wire"
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
	cfg     replica.Config // what the nodes of this run are told, now
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
	encoded struct { // the latest update that was encoded
		update *replica.Update
		item   *wire.Item
	}
}

// maxEvents is more than any run needs that does not go round in circles.
const maxEvents = 400_000

// event is something that happens at a time; those of one time happen in the
// order in which they were scheduled.
type event struct {
	at  time.Duration
	seq int
	do  func()
}

func (e event) before(o event) bool { return e.at < o.at || e.at == o.at && e.seq < o.seq }

// queue is a heap of events, the next one first.
type queue []event

func (q *queue) push(e event) {
	*q = append(*q, e)
	h := *q
	for i := len(h) - 1; i > 0; {
		up := (i - 1) / 2
		if !h[i].before(h[up]) {
			return
		}
		h[i], h[up] = h[up], h[i]
		i = up
	}
}

func (q *queue) pop() event {
	h := *q
	first, last := h[0], len(h)-1
	h[0], h[last] = h[last], event{}
	h = h[:last]
	*q = h
	for i := 0; ; {
		least := i
		for c := 2*i + 1; c <= 2*i+2 && c < last; c++ {
			if h[c].before(h[least]) {
				least = c
			}
		}
		if least == i {
			return first
		}
		h[i], h[least] = h[least], h[i]
		i = least
	}
}

// after schedules something.
func (w *world) after(d time.Duration, do func()) {
	w.seq++
	w.queue.push(event{w.now + d, w.seq, do})
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
		e := w.queue.pop()
		w.now = e.at
		if w.events++; w.events > maxEvents {
			w.fail("livelock: %d events", w.events)
		}
		e.do()
	}
	w.now = max(w.now, until)
}

// chance is true with a probability.
func (w *world) chance(p float64) bool { return p > 0 && w.rng.Float64() < p }

// between draws a duration, most often a short one.
func (w *world) between(lo, hi time.Duration) time.Duration {
	f := w.rng.Float64()
	return lo + time.Duration(f*f*float64(hi-lo))
}

// hostOf is the host that an incarnation runs on; nil if it has ended.
func (w *world) hostOf(id replica.NodeID) *host {
	for _, h := range w.nodes {
		if h.id == id && h.up {
			return h
		}
	}
	return nil
}

package main

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/serval-server/serval/cluster/replica"
	"github.com/serval-server/serval/cluster/simulate/agenda"
	"github.com/serval-server/serval/cluster/wire"
)

// world is one simulated cluster: nodes, the network between them, clients and
// the clock. All randomness comes from one generator, and all that happens
// passes through one queue, so a seed is a history.
type world struct {
	seed    uint64
	rng     *rand.Rand
	now     time.Duration
	agenda  agenda.Agenda
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
	runs    map[replica.NodeID]bool // those that are not the first ones of their processes
	encoded struct {                // the latest update that was encoded
		update *replica.Update
		number uint32
		item   *wire.Item
	}
}

// maxEvents is more than any run needs that does not go round in circles.
const maxEvents = 400_000

// after schedules something.
func (w *world) after(d time.Duration, do func()) {
	w.agenda.Add(w.now+d, do)
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
	for w.broken == nil {
		if at, ok := w.agenda.Next(); !ok || at > until {
			break
		}
		at, do := w.agenda.Take()
		w.now = at
		if w.events++; w.events > maxEvents {
			w.fail("livelock: %d events", w.events)
		}
		do()
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

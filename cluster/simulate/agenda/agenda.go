// Package agenda is the clock of a simulation: what will happen, in the order
// of the times at which it does. Things of the same time happen in the order in
// which they were put down, so that one history follows from one seed.
//
// Both simulations stand on it: the one that looks for broken promises (package
// simulate) and the one that counts what large clusters cost. Nothing runs by
// itself: whoever drives a simulation puts down functions with their times, and
// takes them off one by one; time is that of the one taken last, and jumps. It is
// not safe for concurrent use, for a simulated cluster has one goroutine only, and
// whatever looks like waiting in it is a function put down for later.
package agenda

import "time"

// Agenda holds what is still to happen. The zero value is empty and ready.
type Agenda struct {
	heap []event
	seq  uint64
}

type event struct {
	at  time.Duration
	seq uint64
	do  func()
}

func (e event) before(o event) bool { return e.at < o.at || e.at == o.at && e.seq < o.seq }

// Add puts something down for a time.
func (a *Agenda) Add(at time.Duration, do func()) {
	a.seq++
	a.heap = append(a.heap, event{at, a.seq, do})
	h := a.heap
	for i := len(h) - 1; i > 0; {
		up := (i - 1) / 2
		if !h[i].before(h[up]) {
			return
		}
		h[i], h[up] = h[up], h[i]
		i = up
	}
}

// Next is the time of what happens next; false if there is nothing.
func (a *Agenda) Next() (time.Duration, bool) {
	if len(a.heap) == 0 {
		return 0, false
	}
	return a.heap[0].at, true
}

// Take takes out what happens next. There must be something.
func (a *Agenda) Take() (time.Duration, func()) {
	h := a.heap
	first, last := h[0], len(h)-1
	h[0], h[last] = h[last], event{}
	h = h[:last]
	a.heap = h
	for i := 0; ; {
		least := i
		for c := 2*i + 1; c <= 2*i+2 && c < last; c++ {
			if h[c].before(h[least]) {
				least = c
			}
		}
		if least == i {
			return first.at, first.do
		}
		h[i], h[least] = h[least], h[i]
		i = least
	}
}

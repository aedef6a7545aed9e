package main

import (
	"time"

	"github.com/serval-server/serval/cluster/replica"
)

// maxHosts is the size of the largest simulated cluster.
const maxHosts = 7

// network is what can go wrong between the hosts. It has two manners: in one,
// every message fends for itself (lost, doubled, overtaken); in the other it
// goes through a connection that keeps the order and loses nothing but, when it
// breaks, all that was under way, as the real transport does.
type network struct {
	cut     [maxHosts][maxHosts]int // from, to: nothing gets through while > 0
	link    [maxHosts][maxHosts]link
	streams bool
	wire    bool          // streams: messages are encoded, and decoded again
	bound   int           // streams: messages under way per link, then the peer is lagging
	idle    time.Duration // streams: silence after which a connection is broken
	drop    float64
	dup     float64
	jitter  time.Duration
	spike   float64 // the chance of a delay of up to 5 s
	slow    *host   // a host to and from which all takes 50 times as long
	slowed  time.Duration
	jammed  time.Duration // streams: when the last batch comes that is longer under way than the grace
	choked  time.Duration // streams: when a message was last dropped for want of room in a queue
}

// transmit sends a message, as badly as the network is just now.
func (w *world) transmit(h *host, s replica.Send) {
	to := w.hostOf(s.To)
	if to == nil {
		return
	}
	msg := s.Message
	if w.bug != nil && w.bug.message != nil {
		if msg = w.bug.message(w, h, to, msg); msg == nil {
			return
		}
	}
	w.book.sent(h, to, msg)
	if w.net.streams {
		w.enqueue(h, to, msg)
		return
	}
	if w.net.cut[h.index][to.index] > 0 || !w.quiet && w.chance(w.net.drop) {
		w.stats.add("dropped")
		return
	}
	copies := 1
	if !w.quiet && w.chance(w.net.dup) {
		copies = 2
		w.stats.add("duplicated")
	}
	from, id := h.id, to.id
	for range copies {
		w.after(w.delay(h, to), func() { w.deliver(h.name, from, to, id, msg) })
	}
}

// deliver hands a message to a node.
func (w *world) deliver(name string, from replica.NodeID, to *host, id replica.NodeID, msg replica.Message) {
	if to.paused {
		msg = replica.Own(msg)
	}
	w.step(to, id, func(n *replica.Node) {
		if w.keep {
			w.logf("%s -> %s %s", name, to.name, brief(msg))
		}
		w.stats.message(msg)
		n.Receive(w.local(to), from, msg)
		w.book.received(to, msg)
	})
}

func (w *world) delay(h, to *host) time.Duration {
	d := w.between(200*time.Microsecond, time.Millisecond+w.net.jitter)
	if w.quiet {
		return d
	}
	if w.net.slow == h || w.net.slow == to {
		d *= 50
	}
	if w.chance(w.net.spike) {
		w.stats.add("delay spike")
		d += w.between(0, 5*time.Second)
	}
	return d
}

// reachable says whether two hosts hear each other.
func (w *world) reachable(a, b *host) bool {
	return a.up && b.up && !a.paused && !b.paused &&
		w.net.cut[a.index][b.index] == 0 && w.net.cut[b.index][a.index] == 0
}

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
	bound   int           // streams: messages under way per link, then the peer is lagging
	idle    time.Duration // streams: silence after which a connection is broken
	drop    float64
	dup     float64
	jitter  time.Duration
	spike   float64 // the chance of a delay of up to 5 s
	slow    *host   // a host to and from which all takes 50 times as long
	slowed  time.Duration
}

// link is one direction of a connection.
type link struct {
	open   bool
	age    int // counts the connections
	queue  []parcel
	behind bool // overflowed: the peer is lagging until the queue is empty
}

type parcel struct {
	at  time.Duration
	msg replica.Message
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

// enqueue puts a message at the end of a link's queue. One that has too much
// under way drops what comes, and its peer is lagging, until it is empty.
func (w *world) enqueue(h, to *host, msg replica.Message) {
	l := &w.net.link[h.index][to.index]
	switch {
	case !l.open, l.behind:
		w.stats.add("dropped")
		return
	case len(l.queue) >= w.net.bound:
		w.stats.add("queue full")
		w.logf("%s: the queue to %s is full", h.name, to.name)
		l.behind = true
		w.setLagging(h, to, true)
		return
	}
	p := parcel{w.now + w.delay(h, to), msg}
	if n := len(l.queue); n > 0 {
		p.at = max(p.at, l.queue[n-1].at)
	}
	l.queue = append(l.queue, p)
	if len(l.queue) == 1 {
		w.pump(h, to, p.at-w.now)
	}
}

// pump delivers the first message of a link after a while, then the next ones.
func (w *world) pump(h, to *host, d time.Duration) {
	l := &w.net.link[h.index][to.index]
	age, from, id := l.age, h.id, to.id
	w.after(d, func() {
		if l.age != age || len(l.queue) == 0 {
			return
		}
		if w.net.cut[h.index][to.index] > 0 || to.paused {
			w.pump(h, to, 20*time.Millisecond)
			return
		}
		p := l.queue[0]
		l.queue = l.queue[1:]
		w.deliver(h.name, from, to, id, p.msg)
		if l.age != age {
			return
		}
		if len(l.queue) > 0 {
			w.pump(h, to, max(0, l.queue[0].at-w.now))
		} else if l.behind {
			l.behind = false
			w.setLagging(h, to, false)
		}
	})
}

// setLagging tells a node that a peer does not keep up, or does so again.
func (w *world) setLagging(h, p *host, lagging bool) {
	id := p.id
	w.later(h, 0, func(n *replica.Node) {
		w.logf("%s takes %s for lagging: %v", h.name, p.name, lagging)
		h.lagging[p.index] = lagging && p.id == id
		n.Lagging(w.local(h), id, lagging)
		if !lagging {
			n.Reset(w.local(h), id)
		}
	})
}

// fresh is what links are like to and from a node that has just started.
func (n *network) fresh(h, p *host) {
	for _, l := range []*link{&n.link[h.index][p.index], &n.link[p.index][h.index]} {
		*l = link{age: l.age + 1}
	}
}

// disconnect breaks the connection of two hosts: what is under way is lost.
func (w *world) disconnect(a, b *host) {
	if !w.net.link[a.index][b.index].open {
		return
	}
	w.stats.add("link lost")
	w.logf("the connection of %s and %s breaks", a.name, b.name)
	behind := [2]bool{w.net.link[a.index][b.index].behind, w.net.link[b.index][a.index].behind}
	w.net.fresh(a, b)
	for i, ends := range [2][2]*host{{a, b}, {b, a}} {
		h, p := ends[0], ends[1]
		if behind[i] {
			w.setLagging(h, p, false)
		}
		w.later(h, w.between(0, 50*time.Millisecond), func(n *replica.Node) { n.Reset(w.local(h), p.id) })
	}
}

// connect opens the connection of two hosts that hear each other.
func (w *world) connect(a, b *host) {
	for _, ends := range [2][2]*host{{a, b}, {b, a}} {
		h, p := ends[0], ends[1]
		w.net.link[h.index][p.index].open = true
		w.later(h, 0, func(n *replica.Node) { n.Reset(w.local(h), p.id) })
	}
}

package main

import (
	"time"

	"github.com/serval-server/serval/cluster/replica"
	"github.com/serval-server/serval/cluster/wire"
)

// link is one end of a connection. As the real transport does, it sends all that
// has queued up as one batch, and the next one when that has been processed.
type link struct {
	open   bool
	age    int // counts the connections
	queue  []parcel
	flying []parcel // the batch under way
	bytes  []byte   // the same, encoded
	late   bool     // the batch under way has met a delay spike, and what queues up waits for it
	behind bool     // overflowed: the peer is lagging until the queue is empty
	out    *wire.Encoder
	in     *wire.Decoder
}

// parcel is a message between two runs of the application. The links outlive them.
type parcel struct {
	from, to replica.NodeID
	msg      replica.Message
}

// number is that of the application between two runs, as the servers have it.
func (w *world) number(from, to replica.NodeID) uint32 {
	n := uint32(simulated)
	for _, id := range []replica.NodeID{from, to} {
		if w.runs[id] {
			n ^= id
		}
	}
	return n
}

// enqueue puts a message at the end of a link's queue. One that has too much
// under way drops what comes, and its peer is lagging, until it is empty.
func (w *world) enqueue(h, to *host, msg replica.Message) {
	l := &w.net.link[h.index][to.index]
	switch {
	case !l.open, l.behind:
		if l.behind {
			w.net.choked = w.now
		}
		w.stats.add("dropped")
		return
	case len(l.queue) >= w.net.bound:
		w.stats.add("queue full")
		w.logf("%s: the queue to %s is full", h.name, to.name)
		l.behind, w.net.choked = true, w.now
		h.stopped, to.stopped = w.now, w.now // they do not hear each other now
		w.setLagging(h, to, true)
		return
	}
	l.queue = append(l.queue, parcel{h.id, to.id, msg})
	if len(l.flying) == 0 {
		w.launch(h, to, l)
	}
}

// launch sends what has queued up.
func (w *world) launch(h, to *host, l *link) {
	l.flying, l.queue = l.queue, l.flying[:0]
	l.bytes = nil
	if w.net.wire {
		items := make([]*wire.Item, len(l.flying))
		for i, p := range l.flying {
			items[i] = w.item(w.number(p.from, p.to), p.msg)
		}
		l.bytes = l.out.AppendBatch(nil, items)
		w.stats.n["wire bytes"] += len(l.bytes)
	}
	d := w.delay(h, to)
	l.late = d > time.Second
	if d > w.cfg.Grace {
		w.net.jammed = max(w.net.jammed, w.now+d)
	}
	w.pump(h, to, d)
}

// item encodes a message; an update only once for all its receivers.
func (w *world) item(number uint32, m replica.Message) *wire.Item {
	if u, ok := m.(*replica.Update); ok {
		if u != w.encoded.update || number != w.encoded.number {
			w.encoded.update, w.encoded.number, w.encoded.item = u, number, wire.NewItem(number, 0, m, false)
		}
		return w.encoded.item
	}
	return wire.NewItem(number, 0, m, w.chance(0.1))
}

// simulated is the number of the application.
const simulated = 7

// pump delivers the batch of a link after a while, then sends the next one.
func (w *world) pump(h, to *host, d time.Duration) {
	l := &w.net.link[h.index][to.index]
	age := l.age
	w.after(d, func() {
		if l.age != age {
			return
		}
		if w.net.cut[h.index][to.index] > 0 || to.paused {
			w.pump(h, to, 20*time.Millisecond)
			return
		}
		w.land(h, to, l)
		switch {
		case l.age != age:
		case len(l.queue) > 0:
			w.launch(h, to, l)
		default:
			l.flying = l.flying[:0]
			if l.behind {
				l.behind = false
				w.setLagging(h, to, false)
			}
		}
	})
}

// land hands the messages of a batch to their receiver.
func (w *world) land(h, to *host, l *link) {
	if !w.net.wire {
		for _, p := range l.flying {
			w.deliver(h.name, p.from, to, p.to, p.msg)
		}
		return
	}
	w.stats.add("batch")
	between := map[uint32]parcel{}
	for _, p := range l.flying {
		between[w.number(p.from, p.to)] = p
	}
	count := 0
	in := w.net.link[to.index][h.index].in
	err := in.Batch(l.bytes, func(number uint32, _ uint8, m replica.Message) error {
		count++
		p := between[number]
		w.deliver(h.name, p.from, to, p.to, m)
		return nil
	})
	if err != nil || count != len(l.flying) {
		w.fail("wire: %d of %d messages of a batch of %s: %v", count, len(l.flying), h.name, err)
	}
}

// setLagging tells a node that a peer does not keep up, or does so again.
func (w *world) setLagging(h, p *host, lagging bool) {
	id := p.id
	w.later(h, 0, func(n *replica.Node) {
		w.logf("%s takes %s for lagging: %v", h.name, p.name, lagging)
		h.lagging[id] = lagging
		n.Lagging(w.local(h), id, lagging)
		if !lagging {
			w.reset(h, id)
		}
	})
}

// reset tells a node that what was under way to a peer is lost.
func (w *world) reset(h *host, peer replica.NodeID) {
	if w.bug == nil || !w.bug.noReset {
		h.node.Reset(w.local(h), peer)
	}
}

// fresh is what links are like to and from a node that has just started.
func (n *network) fresh(h, p *host) {
	for _, l := range []*link{&n.link[h.index][p.index], &n.link[p.index][h.index]} {
		*l = link{age: l.age + 1}
		if n.wire {
			l.out, l.in = wire.NewLane()
		}
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
		w.later(h, w.between(0, 50*time.Millisecond), func(n *replica.Node) { w.reset(h, p.id) })
	}
}

// connect opens the connection of two hosts that hear each other.
func (w *world) connect(a, b *host) {
	for _, ends := range [2][2]*host{{a, b}, {b, a}} {
		h, p := ends[0], ends[1]
		w.net.link[h.index][p.index].open = true
		w.later(h, 0, func(n *replica.Node) { w.reset(h, p.id) })
	}
}

package main

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/serval-server/serval/cluster/replica"
)

// client is a browser with one session at a time.
type client struct {
	name   int
	id     replica.SessionID // "" before the first answer
	at     *host
	serial int
	last   *change // the last change that was acknowledged to it
}

// request is one request on its way.
type request struct {
	client *client
	number uint64
	id     replica.SessionID
	host   *host // where it is now
	node   replica.NodeID
	began  time.Duration
	hops   int
	over   bool
	extra  bool // the client sent the next one without waiting for it
}

func (w *world) startClients() {
	for i := range w.plan.sessions {
		c := &client{name: i}
		w.clients = append(w.clients, c)
		w.after(w.between(0, time.Second), func() { w.click(c) })
	}
}

// click sends the client's next request.
func (w *world) click(c *client) {
	if w.quiet {
		return
	}
	if c.at == nil || !c.at.up || c.at.leaving && w.chance(0.5) || w.chance(w.plan.misroute) {
		c.at = w.nodes[w.rng.IntN(len(w.nodes))]
		if c.id != "" {
			w.stats.add("misrouted")
		}
	}
	w.nextReq++
	r := &request{client: c, number: w.nextReq, id: c.id, began: w.now}
	w.reqs[r.number] = r
	if w.chance(0.1) {
		r.extra = true
		w.after(w.think(), func() { w.click(c) })
		w.stats.add("concurrent request")
	} else {
		w.after(4*time.Second, func() { w.done(r, false) })
	}
	w.arrive(r, c.at)
}

func (w *world) think() time.Duration {
	if w.chance(0.01) {
		w.stats.add("idle client")
		return w.cfg.MaxIdle + w.between(0, 2*w.cfg.MaxIdle)
	}
	return w.between(0, 2*w.plan.think)
}

// done ends a request; the client goes on after a while, elsewhere if it failed.
func (w *world) done(r *request, ok bool) {
	if r.over {
		return
	}
	r.over = true
	delete(w.reqs, r.number)
	if !ok {
		r.client.at = nil
		w.stats.add("failed request")
	}
	if !r.extra {
		w.after(w.think(), func() { w.click(r.client) })
	}
}

// arrive brings a request to a host.
func (w *world) arrive(r *request, h *host) {
	if !h.up {
		w.done(r, false)
		return
	}
	r.host, r.node = h, h.id
	w.step(h, h.id, func(n *replica.Node) {
		if r.id == "" {
			w.create(r)
			return
		}
		if r.hops == 0 && w.chance(0.5) && n.TryServe(w.local(h), r.id) {
			w.stats.add("served at once")
			w.serve(h, r)
			return
		}
		n.Request(w.local(h), r.number, r.id, r.hops)
	})
}

// create makes a new session for the client, where the request is.
func (w *world) create(r *request) {
	c := r.client
	c.serial++
	id := w.newID(replica.SessionID(fmt.Sprintf("%08x", w.rng.Uint32())), fmt.Sprintf("-%d.%d", c.name, c.serial))
	c.id, c.last = id, nil
	r.id = id
	r.host.node.Create(w.local(r.host), id)
	w.stats.add("created")
	w.book.created(id, r.host)
	w.write(r.host, r)
}

// newID is a session's first id or its next one: its name is easier to read than
// the form of the servers, which is shorter on the wire. None is given twice: a rename
// that failed may have left what it made.
func (w *world) newID(id replica.SessionID, name string) replica.SessionID {
	if !w.plan.real {
		next := id + replica.SessionID(name)
		for w.book.bySID[next] != nil {
			next += replica.SessionID(name)
		}
		return next
	}
	raw := make([]byte, 18)
	for i := range raw {
		raw[i] = byte(w.rng.Uint32())
	}
	return id[:8] + replica.SessionID(base64.RawURLEncoding.EncodeToString(raw))
}

// answered takes a node's verdict on a request.
func (w *world) answered(h *host, a replica.Answer) {
	r := w.reqs[a.Request]
	if r == nil || r.over || r.host != h {
		return
	}
	switch a.Verdict {
	case replica.Serve:
		w.serve(h, r)
	case replica.Forward:
		w.stats.add("forwarded")
		to := w.hostOf(a.Home)
		if to == nil || w.net.cut[h.index][to.index] > 0 {
			w.done(r, false)
			return
		}
		r.hops++
		w.after(w.delay(h, to), func() { w.arrive(r, to) })
	case replica.Unknown:
		w.stats.add("unknown")
		w.book.unknown(h, r)
		if r.client.id == r.id {
			r.client.id, r.client.last = "", nil
		}
		w.done(r, true)
	case replica.Refuse:
		w.done(r, false)
	}
}

// slowest is how long the application takes at most.
const slowest = 400 * time.Millisecond

// serve lets the application have a request, which may take its time.
func (w *world) serve(h *host, r *request) {
	w.stats.add("served")
	w.book.serve(h, r)
	if w.chance(w.plan.linger) {
		w.stats.add("slow application")
		w.later(h, w.between(0, slowest), func(*replica.Node) { w.act(h, r) })
		return
	}
	w.act(h, r)
}

// act is the application: it reads, and perhaps changes something.
func (w *world) act(h *host, r *request) {
	if r.over {
		return
	}
	switch k := w.rng.IntN(40); {
	case k < 15:
		w.stats.add("read")
		w.done(r, true)
	case k == 38 && r.client.id == r.id:
		w.stats.add("invalidate")
		ch := w.book.change(r, h)
		w.book.ends(ch, "")
		h.node.End(w.local(h), r.number, r.id, replica.Invalidated)
	case k == 39 && r.client.id == r.id:
		w.stats.add("rename")
		ch := w.book.change(r, h)
		w.book.ends(ch, w.newID(r.id, "'"))
		h.node.Rename(w.local(h), r.number, r.id, ch.newID)
	default:
		w.write(h, r)
	}
	w.effects(h)
}

// write sets two attributes to the same value, or one that comes and goes: no
// copy may ever show one of the two without the other.
func (w *world) write(h *host, r *request) {
	ch := w.book.change(r, h)
	v := replica.Value{Bytes: w.value(ch)}
	ops := []replica.Op{{Key: "x", Value: v}, {Key: "y", Value: v}}
	if w.chance(0.3) {
		ops = append(ops, replica.Op{Key: "z", Value: v, Remove: w.chance(0.5)})
	}
	before := w.book.headOf(h, r.id)
	h.node.Commit(w.local(h), r.number, r.id, ops)
	w.book.committed(h, ch, before)
}

// value is what a change writes: most of a long one stays the same.
func (w *world) value(ch *change) []byte {
	v := make([]byte, 0, w.plan.value+16)
	for i := 0; len(v) < w.plan.value; i++ {
		v = fmt.Appendf(v, "%s has %d; ", ch.id, i*i)
	}
	at := 0
	if len(v) > 0 {
		at = ch.number * 97 % len(v)
	}
	return slices.Insert(v, at, []byte(strconv.Itoa(ch.number))...)
}

// released takes the news that a change's request may be answered.
func (w *world) released(h *host, e replica.Released) {
	ch := w.book.open[e.Write]
	if ch == nil || ch.at != h.id {
		return
	}
	delete(w.book.open, e.Write)
	r := ch.request
	switch {
	case e.Failed:
		w.stats.add("write failed")
		w.book.failed(ch)
	case e.Degraded:
		w.stats.add("write degraded")
		w.book.acknowledged(h, ch, true)
	default:
		w.stats.add("write acknowledged")
		w.book.acknowledged(h, ch, false)
	}
	c := r.client
	if !e.Failed && c.id == r.id {
		c.last = ch
		if ch.end {
			c.id, c.last = ch.newID, nil
			if ch.newID != "" {
				c.last = ch
			}
		}
	} else if e.Failed && ch.end && c.id == r.id {
		// It may or may not have happened: the client logs in again.
		c.id, c.last = "", nil
	}
	w.done(r, !e.Failed)
}

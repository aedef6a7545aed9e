package main

import (
	"maps"
	"slices"
	"time"

	"github.com/serval-server/serval/cluster/replica"
)

// book keeps what has truly happened, and holds the nodes against it: the
// invariants I1 to I13 of the design.
type book struct {
	w       *world
	changes []*change
	bySID   map[replica.SessionID][]*change
	open    map[uint64]*change
	dots    map[dotKey]*change
	crashed map[replica.NodeID]bool
	forked  map[replica.SessionID]bool
	served  map[replica.SessionID]time.Duration
	server  map[replica.SessionID]*host // where it was last served
}

type dotKey struct {
	id  replica.SessionID
	dot replica.Dot
}

// change is one change that a request made.
type change struct {
	number  int
	request *request
	id      replica.SessionID
	at      replica.NodeID
	dot     replica.Dot
	end     bool
	newID   replica.SessionID
	acked   bool
	ackedAt time.Duration
	began   time.Duration
	degrade bool
	holders []replica.NodeID // the nodes that had it when it was acknowledged
}

func newBook(w *world) *book {
	return &book{
		w: w, bySID: map[replica.SessionID][]*change{}, open: map[uint64]*change{}, dots: map[dotKey]*change{},
		crashed: map[replica.NodeID]bool{}, forked: map[replica.SessionID]bool{}, served: map[replica.SessionID]time.Duration{},
		server: map[replica.SessionID]*host{},
	}
}

func (b *book) change(r *request, h *host) *change {
	ch := &change{number: len(b.changes) + 1, request: r, id: r.id, at: h.id, began: b.w.now}
	b.changes = append(b.changes, ch)
	b.bySID[r.id] = append(b.bySID[r.id], ch)
	b.open[r.number] = ch
	return ch
}

// committed looks at a change just made: its dot is new (I4a), and in the
// strict profile it builds on all that was acknowledged before (I4b).
func (b *book) committed(h *host, ch *change) {
	s := h.node.State(ch.id)
	if s == nil || s.Life.Kind != replica.Live || len(s.Heads) != 1 || s.Heads[0].Node != h.id {
		return // refused: Released says so
	}
	ch.dot = s.Heads[0]
	key := dotKey{ch.id, ch.dot}
	if b.dots[key] != nil {
		b.w.fail("I4: dot %v of %s was given twice", ch.dot, ch.id)
	}
	b.dots[key] = ch
}

// has says whether a copy includes a change.
func (b *book) has(s *replica.State, ch *change) bool {
	switch {
	case s == nil:
		return false
	case ch.end:
		return s.Life.Kind != replica.Live
	case s.Life.Kind != replica.Live:
		return true // it was dropped with the session
	}
	return s.Seen.Covers(ch.dot)
}

func (b *book) acknowledged(ch *change, degraded bool) {
	ch.acked, ch.ackedAt, ch.degrade = true, b.w.now, degraded
	for _, h := range b.w.nodes {
		if h.up && b.has(h.node.State(ch.id), ch) {
			ch.holders = append(ch.holders, h.id)
		}
	}
	if len(ch.holders) < 2 && !degraded && b.w.cfg.Ack != replica.AckNone && len(b.w.nodes) > 1 && !b.anyCrashed() {
		b.w.fail("I1b: change %d of %s was acknowledged, but only %v have it", ch.number, ch.id, ch.holders)
	}
	if ch.newID != "" && !degraded && b.w.cfg.Ack != replica.AckNone && !b.anyCrashed() && b.countKnown(ch.newID) < 2 {
		b.w.fail("I10: change %d of %s to %s was acknowledged, but the new id is at home only", ch.number, ch.id, ch.newID)
	}
	if b.w.cfg.Strict {
		b.strictOrder(ch)
	}
}

func (b *book) countKnown(id replica.SessionID) (count int) {
	for _, h := range b.w.nodes {
		if h.up && h.node.State(id) != nil {
			count++
		}
	}
	return count
}

func (b *book) anyCrashed() bool { return len(b.crashed) > 0 }

// strictOrder: of two acknowledged changes, the one that began after the other
// was acknowledged includes it.
func (b *book) strictOrder(ch *change) {
	h := b.w.hostOf(ch.at)
	if h == nil || ch.end {
		return
	}
	s := h.node.State(ch.id)
	for _, old := range b.bySID[ch.id] {
		if old != ch && old.acked && old.ackedAt < ch.began && !old.end && b.survives(old) && !b.has(s, old) {
			b.w.fail("I4b: change %d of %s was acknowledged without change %d", ch.number, ch.id, old.number)
		}
	}
}

// survives says whether one of those that had the change has never crashed.
func (b *book) survives(ch *change) bool {
	return slices.ContainsFunc(ch.holders, func(id replica.NodeID) bool { return !b.crashed[id] })
}

// within says whether a surviving holder of the change has been reachable from
// h for a while, so that h has no excuse for not knowing of it.
func (b *book) within(h *host, ch *change) bool {
	const settled = 4 * time.Second
	if b.w.now-h.stopped < settled || b.w.net.slow != "" {
		return false
	}
	if at := b.w.hostOf(ch.at); at != nil && at != h && !b.w.cfg.Strict && !b.w.reachable(h, at) {
		// Cut off from the home that made the change: with the available
		// profile both may serve, even if a third node hears both of them.
		return false
	}
	for _, id := range ch.holders {
		p := b.w.hostOf(id)
		if p == nil || !b.has(p.node.State(ch.id), ch) {
			continue // gone, or released because all owners had it
		}
		if p == h {
			return true
		}
		if b.crashed[id] || b.w.now-p.stopped < settled || !b.w.reachable(h, p) {
			continue
		}
		// A node that has just gone on after a pause may be out of the others'
		// views, and must ask them before it serves anything.
		if h.view[p.name] == id && (p.view[h.name] == h.id || b.w.now-h.woke < 20*time.Millisecond) {
			return true
		}
	}
	return false
}

// serve looks at a request that is about to be served: its client's last
// acknowledged change is there (I7, I8), and the session has not ended (I9, I10).
func (b *book) serve(h *host, r *request) {
	b.served[r.id], b.server[r.id] = b.w.now, h
	s := h.node.State(r.id)
	b.atomic(h, s)
	for _, ch := range b.bySID[r.id] {
		if ch.end && ch.acked && ch.ackedAt < b.w.now && b.within(h, ch) {
			b.w.fail("I9: %s serves %s, which ended with change %d", h.name, r.id, ch.number)
		}
	}
	if last := r.client.last; last != nil && last.id == r.id && !b.has(s, last) && b.within(h, last) {
		b.w.fail("I7: %s serves %s without change %d (%v) that its client was told of", h.name, r.id, last.number, last.dot)
	}
}

// unknown looks at a refusal to know a session: it must have ended.
func (b *book) unknown(h *host, r *request) {
	last := r.client.last
	if last == nil || last.id != r.id || last.end || !b.survives(last) || !b.within(h, last) {
		return
	}
	for _, ch := range b.bySID[r.id] {
		if ch.end {
			return
		}
	}
	if used, ok := b.served[r.id]; ok && b.w.now-used > b.w.cfg.MaxIdle/2 {
		return // expired, or about to
	}
	b.w.fail("I7: %s does not know %s, of which its client was told change %d", h.name, r.id, last.number)
}

// atomic: x and y are always written together (I6).
func (b *book) atomic(h *host, s *replica.State) {
	if s == nil || s.Life.Kind != replica.Live {
		return
	}
	x, okx := s.Get("x")
	y, oky := s.Get("y")
	if okx != oky || x.Dot != y.Dot || !x.Value.Equal(y.Value) {
		b.w.fail("I6: %s shows half of a change of %s: x %v, y %v", h.name, s.ID, x.Dot, y.Dot)
	}
}

// expired looks at a home's expiry: nobody has used the session (I11).
func (b *book) expired(h *host, e replica.Overdue) {
	if used, ok := b.served[e.ID]; ok && b.w.now-used < b.w.cfg.MaxIdle-time.Second && !b.forked[e.ID] {
		// Beyond a partition nobody can know of the use: two components, two
		// expiries (a claimer waits for its grace, though).
		apart := b.server[e.ID] != nil && b.server[e.ID] != h && !b.w.reachable(h, b.server[e.ID])
		if b.w.now-h.stopped > 4*time.Second && !apart {
			b.w.fail("I11: %s expired %s %v after its last request", h.name, e.ID, b.w.now-used)
		}
	}
}

// sent looks at what a node says: it keeps its promises (I5).
func (b *book) sent(h *host, s replica.Send) {
	switch m := s.Message.(type) {
	case replica.Promise:
		if m.Reign.Compare(h.promise[m.ID]) > 0 {
			h.promise[m.ID] = m.Reign
		}
	case replica.Ack:
		if st := h.node.State(m.ID); m.Reign.Compare(h.promise[m.ID]) < 0 && (st == nil || st.Life.Kind == replica.Live) {
			b.w.fail("I5: %s acknowledges reign %v of %s, having promised %v", h.name, m.Reign, m.ID, h.promise[m.ID])
		}
	}
}

// look compares a node's copies with what they were a while ago: they only grow
// (I1a), unless the node has released one.
func (b *book) look(h *host) {
	for _, id := range slices.Sorted(maps.Keys(b.bySID)) {
		was, now := h.checked[id], h.node.State(id)
		if now == nil {
			delete(h.checked, id)
			continue
		}
		switch {
		case was == nil:
		case was.Life.Kind > now.Life.Kind:
			b.w.fail("I9: %s brought %s back from %v", h.name, id, was.Life.Kind)
		case now.Life.Kind == replica.Live && !now.Seen.Includes(was.Seen):
			b.w.fail("I1a: the copy of %s at %s has shrunk", id, h.name)
		}
		h.checked[id] = &replica.State{Life: now.Life, Seen: slices.Clone(now.Seen)}
	}
}

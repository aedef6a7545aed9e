package main

import (
	"slices"
	"time"

	"github.com/serval-server/serval/cluster/replica"
)

// book keeps what has truly happened, and holds the nodes against it: the
// invariants I1 to I13 of the design.
type book struct {
	w        *world
	sessions []*record // in the order of their beginning
	bySID    map[replica.SessionID]*record
	changes  int
	open     map[uint64]*change
	crashed  map[replica.NodeID]bool
	gone     time.Duration // when a node last crashed or left
	forked   map[replica.SessionID]bool
	contents map[uint64]uint64                                        // by fingerprint of a copy: what it holds
	sets     map[replica.SessionID]map[replica.Reign]replica.OwnerSet // strict: all that were announced
}

// record is what is known of one session.
type record struct {
	number  int
	id      replica.SessionID
	changes []*change
	open    []*change // not yet answered
	dots    map[replica.Dot]bool
	served  time.Duration                    // when it was last served
	server  *host                            // and where
	ends    bool                             // a request has tried to end it
	claimed time.Duration                    // when a node last became its home
	reigns  map[replica.NodeID]replica.Reign // by home: the last that it took over
	expired int                              // how often a home has expired it
	due     bool                             // and it was right to: nobody had used it
	was     *record                          // the session that has become it by another id
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
	had     []replica.NodeID // the nodes that ever had it before that
	prompt  []*host          // owners that had no excuse for acknowledging late
}

func newBook(w *world) *book {
	return &book{
		w: w, bySID: map[replica.SessionID]*record{}, open: map[uint64]*change{},
		crashed: map[replica.NodeID]bool{}, forked: map[replica.SessionID]bool{}, contents: map[uint64]uint64{},
		sets: map[replica.SessionID]map[replica.Reign]replica.OwnerSet{},
	}
}

func (b *book) record(id replica.SessionID) *record {
	r := b.bySID[id]
	if r == nil {
		r = &record{number: len(b.sessions), id: id, dots: map[replica.Dot]bool{}, reigns: map[replica.NodeID]replica.Reign{}, served: b.w.now}
		b.sessions, b.bySID[id] = append(b.sessions, r), r
	}
	return r
}

func (b *book) created(id replica.SessionID, h *host) {
	r := b.record(id)
	r.served, r.server = b.w.now, h
}

// claimed notes that a session has another home.
func (b *book) claimed(id replica.SessionID, reign replica.Reign) {
	r := b.record(id)
	r.claimed, r.reigns[reign.Home] = b.w.now, reign
}

// change begins one; what it is, End and Rename say afterwards.
func (b *book) change(r *request, h *host) *change {
	b.changes++
	ch := &change{number: b.changes, request: r, id: r.id, at: h.id, began: b.w.now, had: []replica.NodeID{h.id}}
	rec := b.record(r.id)
	rec.changes, rec.open = append(rec.changes, ch), append(rec.open, ch)
	b.open[r.number] = ch
	b.expectPrompt(h, ch)
	return ch
}

// ends notes that a change is the end of its session, perhaps under another id.
func (b *book) ends(ch *change, newID replica.SessionID) {
	ch.end, ch.newID = true, newID
	b.bySID[ch.id].ends = true
	if newID != "" {
		r := b.record(newID)
		r.was = b.bySID[ch.id]
		r.served, r.server = b.w.now, b.w.hostOf(ch.at)
	}
}

// headOf is the version of a node's copy; zero if it has none, or is forked.
func (b *book) headOf(h *host, id replica.SessionID) replica.Dot {
	if s := h.node.State(id); s != nil && s.Life.Kind == replica.Live && len(s.Heads) == 1 {
		return s.Heads[0]
	}
	return replica.Dot{}
}

// committed looks at a change just made to a copy that had a version before: its
// dot is new (I4a).
func (b *book) committed(h *host, ch *change, before replica.Dot) {
	now := b.headOf(h, ch.id)
	if now == before || now.Node != h.id {
		b.refused(h, ch.id)
		return // Released says so
	}
	h.homes[ch.id] = h.node.State(ch.id).Sum()
	ch.dot = now
	r := b.bySID[ch.id]
	if r.dots[ch.dot] {
		b.w.fail("I4: dot %v of %s was given twice", ch.dot, ch.id)
	}
	r.dots[ch.dot] = true
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

// received notes which open changes a node has after a message.
func (b *book) received(h *host, m replica.Message) {
	var id replica.SessionID
	switch m := m.(type) {
	case *replica.Update:
		if id = m.Delta.ID; m.Successor != nil {
			b.holds(h, m.Successor.ID) // changes of it may have been waiting for it
		}
	case replica.Copy:
		id = m.State.ID
	case replica.Promise:
		id = m.ID
	case replica.Grant:
		id = m.State.ID
	case replica.Release:
		b.released(h, m.ID)
		return
	default:
		return
	}
	b.holds(h, id)
}

// holds notes which of the open changes of a session a host has now.
func (b *book) holds(h *host, id replica.SessionID) {
	r := b.bySID[id]
	if r == nil {
		return
	}
	if r.was != nil {
		b.holds(h, r.was.id) // what a session has become may come after its end
	}
	if len(r.open) == 0 {
		return
	}
	s := h.node.State(id)
	for _, ch := range r.open {
		if b.has(s, ch) && (ch.newID == "" || h.node.State(ch.newID) != nil) && !slices.Contains(ch.had, h.id) {
			ch.had = append(ch.had, h.id)
		}
	}
}

// failed notes a change of which its client was told that it may be lost.
func (b *book) failed(ch *change) { b.close(ch) }

func (b *book) close(ch *change) {
	r := b.bySID[ch.id]
	r.open = slices.DeleteFunc(r.open, func(o *change) bool { return o == ch })
}

// acknowledged looks at a change whose client is told that it is safe: enough
// owners have it (I1b), it came in time (I12), and in the strict profile it
// includes what was acknowledged before (I4b).
func (b *book) acknowledged(h *host, ch *change, degraded bool) {
	b.close(ch)
	ch.acked, ch.ackedAt, ch.degrade = true, b.w.now, degraded
	for _, p := range b.w.nodes {
		if !p.up {
			continue
		}
		// Where the session has ended by another's word, on a side of a cut that had heard
		// of no use, the change was dropped, and is not held.
		if s := p.node.State(ch.id); b.has(s, ch) && (ch.end || s.Life.Kind == replica.Live) {
			ch.holders = append(ch.holders, p.id)
		}
	}
	if !degraded {
		b.enough(h, ch)
	}
	b.wasPrompt(h, ch)
	if b.w.cfg.Strict {
		b.strictOrder(ch)
	}
}

// enough: what was not called degraded is as safe as the policy says.
func (b *book) enough(h *host, ch *change) {
	owners := replica.Owners(ch.id, h.id, h.cfg.Owners, b.w.membersAt(h))
	need, others := 0, len(owners)-1
	switch h.cfg.Ack {
	case replica.AckOne:
		need = 1
	case replica.AckQuorum:
		need = (others+1)/2 + 1 - 1
	case replica.AckAll:
		need = others
		for _, o := range owners {
			if !slices.Contains(ch.had, o) && !h.finds(o) {
				b.w.fail("I1b: change %d of %s was acknowledged by all, but %d does not have it", ch.number, ch.id, o)
			}
		}
	}
	if len(ch.had)-1 < need && h.cfg.Ack != replica.AckAll {
		b.w.fail("I1b: change %d of %s was acknowledged, but only %v of %v have it", ch.number, ch.id, ch.had, owners)
	}
}

// strictOrder: of two acknowledged changes, the one that began after the other
// was acknowledged includes it.
func (b *book) strictOrder(ch *change) {
	h := b.w.hostOf(ch.at)
	if h == nil || ch.end {
		return
	}
	s := h.node.State(ch.id)
	for _, old := range b.bySID[ch.id].changes {
		if old != ch && old.acked && old.ackedAt < ch.began && !old.end && b.survives(old) && !b.has(s, old) {
			b.w.fail("I4b: change %d of %s was acknowledged without change %d", ch.number, ch.id, old.number)
		}
	}
}

// survives says whether one of those that had the change has never crashed.
func (b *book) survives(ch *change) bool {
	return slices.ContainsFunc(ch.holders, func(id replica.NodeID) bool { return !b.crashed[id] })
}

// leaves: a node that goes in good order takes nothing with it that was
// acknowledged and that nobody else has, unless those that it has handed it to
// have died since, and it does not know yet.
func (b *book) leaves(h *host) {
	h.up = false
	unaware := slices.ContainsFunc(h.view, func(id replica.NodeID) bool { return id != 0 && b.w.hostOf(id) == nil })
	for _, r := range b.sessions {
		if !unaware {
			b.spare(h, r, "goes")
		}
		if s := h.node.State(r.id); s != nil && s.Life.Kind == replica.Live {
			b.passOn(h, r)
		}
	}
	b.crashed[h.id] = true
}

// sent looks at what a node says: it keeps its promises (I5).
func (b *book) sent(h, to *host, m replica.Message) {
	switch m := m.(type) {
	case *replica.Update:
		b.announced(m.Delta.ID, m.Sets...)
		if m.Successor != nil {
			b.announced(m.Successor.ID, m.Sets...)
		}
	case replica.Claim:
		b.announced(m.ID, replica.OwnerSet{Reign: m.Reign, Nodes: m.Nodes})
	case replica.Release:
		if r := b.bySID[m.ID]; r != nil && to.node.State(m.ID) != nil && slices.Equal(to.node.State(m.ID).Heads, m.Heads) {
			b.spare(to, r, "is told to forget it")
		}
	case replica.Grant:
		b.announced(m.State.ID, m.Sets...)
	case replica.Copy:
		b.announced(m.State.ID, m.Sets...)
	case replica.Promise:
		if m.Reign.Compare(h.promise[m.ID]) > 0 {
			h.promise[m.ID] = m.Reign
		}
	case replica.Ack:
		if m.Reign.Compare(h.promise[m.ID]) >= 0 {
			return
		}
		if st := h.node.State(m.ID); st == nil || st.Life.Kind == replica.Live {
			b.w.fail("I5: %s acknowledges reign %v of %s to %s, having promised %v", h.name, m.Reign, m.ID, to.name, h.promise[m.ID])
		}
	}
}

// announced notes who has to hold a session in which reign.
func (b *book) announced(id replica.SessionID, sets ...replica.OwnerSet) {
	for _, set := range sets {
		if len(set.Nodes) == 0 {
			continue
		}
		if b.sets[id] == nil {
			b.sets[id] = map[replica.Reign]replica.OwnerSet{}
		}
		b.sets[id][set.Reign] = set
	}
}

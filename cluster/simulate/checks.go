package main

import (
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/serval-server/serval/cluster/replica"
)

// settled is how long views, and the news that travels by them, may take after
// a partition or a pause: a fault detector's time, and some digests.
const settled = 4 * time.Second

// calm says whether a host has had no trouble for a while.
func (b *book) calm(h *host) bool { return b.w.now-h.woke >= settled && b.linked(h) }

// linked is calm, but for a pause of its own: a node that goes on after one has to make
// sure of what it has before it serves anything.
func (b *book) linked(h *host) bool {
	return b.w.now-h.stopped >= settled && b.w.net.slow != h && (b.w.net.slowed == 0 || b.w.now-b.w.net.slowed >= 3*settled)
}

// fresh says whether a host's node has begun while others were at work, and of
// late: some see it and some do not yet, and two of them may both be home.
func (b *book) fresh(h *host) bool { return h.started > 0 && b.w.now-h.started < settled }

// within says whether a surviving holder of the change has been reachable from
// h for a while, so that h has no excuse for not knowing of it.
func (b *book) within(h *host, ch *change) bool {
	doubted := func(p *host) bool { return p.doubted > 0 && b.w.now-p.doubted < b.w.cfg.DigestEvery }
	if !b.linked(h) || b.w.net.slow != nil || b.fresh(h) || doubted(h) {
		return false
	}
	if len(ch.holders) == 1 && slices.ContainsFunc(b.w.nodes, doubted) {
		return false // nobody else had it, and a claimer may have taken that one for dead
	}
	if at := b.w.hostOf(ch.at); at != nil && at != h && !b.w.cfg.Strict && (!b.w.reachable(h, at) || b.fresh(at)) {
		// Cut off from the home that made the change, or not yet in sight of it: with
		// the available profile both may serve, even if a third node hears both of them.
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
		if l := &b.w.net.link[p.index][h.index]; l.late && len(l.flying) > 0 {
			continue // it has told h, perhaps
		}
		if b.crashed[id] || !b.calm(p) || b.fresh(p) || !b.w.reachable(h, p) || b.justFound(h, p) || b.bridged(h, p, ch) {
			continue
		}
		// A node that has just gone on after a pause may be out of the others'
		// views, and must ask them before it serves anything.
		if h.sees(p) && (p.sees(h) || b.w.now-h.woke < 20*time.Millisecond) {
			return true
		}
	}
	return false
}

// justFound says whether a host that was paused has found a peer only now that was not in
// its view when it went on. It had taken it for gone for good reason, beyond a cut, and the
// time that its view needs after one stood still with it. After the pause it had nobody to
// ask, and is home of what it had, as one side of two: the peer's changes join within a
// digest's time of the meeting.
func (b *book) justFound(h, p *host) bool {
	at := h.found[p.index]
	return at > h.woke && b.w.now-at < b.w.cfg.DigestEvery
}

// bridged says whether a host is home by a later reign than a holder of the change knows
// of, and another home of the session is beyond a cut from the holder, but not from all
// others: with the available profile both sides may write the session, and hand it on, and
// who hears both obeys the last one, and takes its copy. The sides' changes join when the
// cut is mended, not before.
func (b *book) bridged(h, p *host, ch *change) bool {
	id := ch.id
	if b.w.cfg.Strict || h.node.Reign(id).Compare(p.node.Reign(id)) <= 0 {
		return false
	}
	bridge := func(q *host) bool {
		return slices.ContainsFunc(b.w.nodes, func(o *host) bool { return o != q && (o == h || b.w.reachable(h, o)) && b.w.reachable(o, q) })
	}
	return slices.ContainsFunc(b.w.nodes, func(q *host) bool {
		if q == h || !q.up || b.w.reachable(q, p) || !bridge(q) {
			return false
		}
		_, claimed := b.bySID[id].reigns[q.id]
		return claimed && !b.has(q.node.State(id), ch)
	})
}

// serve looks at a request that is about to be served: its client's last
// acknowledged change is there (I7, I8), and the session has not ended (I9, I10).
func (b *book) serve(h *host, r *request) {
	rec := b.record(r.id)
	rec.served, rec.server = b.w.now, h
	s := h.node.State(r.id)
	b.atomic(h, s)
	b.current(h, r.id)
	for _, ch := range rec.changes[max(0, len(rec.changes)-32):] {
		switch {
		case !ch.acked || ch.ackedAt >= r.began:
		case ch.end && b.within(h, ch):
			b.w.fail("I9: %s serves %s, which ended with change %d", h.name, r.id, ch.number)
		case !ch.end && !b.has(s, ch) && b.within(h, ch):
			b.w.fail("I7: %s serves %s without change %d (%v) that its client was told of", h.name, r.id, ch.number, ch.dot)
		}
	}
}

// current: what the application has of a session at home is what the node has,
// unless the node has said that it changed (Refreshed, Lost, Claimed).
func (b *book) current(h *host, id replica.SessionID) {
	s := h.node.State(id)
	if s == nil || s.Life.Kind != replica.Live {
		return
	}
	sum := s.Sum()
	if was, ok := h.homes[id]; ok && was != sum {
		b.w.fail("I7: the copy of %s at %s has changed, and nobody was told", id, h.name)
	}
	h.homes[id] = sum
}

// refused looks at a change that a node would not make: it has said that it is
// no longer the home, or has just gone on after a pause and is making sure.
func (b *book) refused(h *host, id replica.SessionID) {
	if h.woke > 0 && b.w.now-h.woke < settled {
		return
	}
	s := h.node.State(id)
	if _, ok := h.homes[id]; ok && s != nil && s.Life.Kind == replica.Live {
		b.w.fail("I5: %s refuses a change of %s, and has not said that it is no longer its home", h.name, id)
	}
}

// levelled looks at a node that says that it has all it should have: what was
// acknowledged a while ago, of the sessions that it owns and whose homes live.
func (b *book) levelled(h *host) {
	for _, p := range b.w.nodes {
		if p != h && p.up && (!b.calm(p) || p.started > h.started || !b.healthy(h, p)) {
			return // it may not have heard of all
		}
	}
	known := b.gone + b.w.faults.detect // when all have seen who went last
	if b.w.faults.config || !b.calm(h) || b.gone >= h.started || b.gone > 0 && known >= h.started {
		return // it may own more than it did when it asked
	}
	b.w.stats.add("level checked")
	members := b.w.membersAt(h)
	for _, r := range b.sessions {
		for _, p := range b.w.nodes {
			if p == h || !p.up || r.claimed >= h.started || !slices.Contains(replica.Owners(r.id, p.id, b.w.cfg.Owners, members), h.id) ||
				!slices.Contains(replica.Owners(r.id, p.id, b.w.cfg.Owners, b.w.membersAt(p)), h.id) {
				continue
			}
			if s, ok := b.inOffice(p, r.id); ok && !b.inDoubt(p, r.id) {
				b.lacks(h, r, s)
			}
		}
	}
}

// inOffice returns the living copy of a home that has served the session, and
// has not said since that it is no longer its home.
func (b *book) inOffice(p *host, id replica.SessionID) (*replica.State, bool) {
	if !p.up || p.node.Reign(id).Home != p.id {
		return nil, false
	}
	s := p.node.State(id)
	_, served := p.homes[id]
	return s, served && s != nil && s.Life.Kind == replica.Live
}

// inDoubt says whether, in the strict profile, a home has asked the owners for a new
// reign, or promised one, and does not know yet what has come of it. Where too few of
// them are there to say so, that may last; the session is not served meanwhile, and no
// joiner waits for it.
func (b *book) inDoubt(p *host, id replica.SessionID) bool {
	sets := p.node.Sets(id)
	return len(sets) > 0 && sets[len(sets)-1].Reign.Compare(p.node.Reign(id)) > 0
}

// lacks: a joiner has what a home has, of what was acknowledged before it came.
func (b *book) lacks(h *host, r *record, home *replica.State) {
	for _, ch := range r.changes {
		if ch.acked && ch.ackedAt < h.started && b.has(home, ch) && !b.has(h.node.State(r.id), ch) {
			b.w.fail("I3: %s says it is level, but lacks change %d of %s", h.name, ch.number, r.id)
		}
	}
}

// unknown looks at a refusal to know a session: it must have ended.
func (b *book) unknown(h *host, r *request) {
	last, rec := r.client.last, b.bySID[r.id]
	if last == nil || last.id != r.id || last.end || rec.ends || !b.survives(last) || !b.within(h, last) {
		return
	}
	if !slices.ContainsFunc(rec.changes, func(ch *change) bool { return ch.acked && ch.ackedAt <= r.began }) {
		return // asked for before the client can have heard of it: a search finds what there was
	}
	if b.w.now-rec.served > b.w.cfg.MaxIdle*3/4 {
		return // expired, or about to
	}
	if rec.expired > 0 && rec.due {
		// It ended when nobody had used it for its time. That another home, which was
		// paused meanwhile and knows nobody to ask, serves it once more does not bring it back.
		return
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
func (b *book) expired(h *host, id replica.SessionID) {
	rec := b.record(id)
	rec.due = b.w.now-rec.served >= b.w.cfg.MaxIdle*98/100-slowest
	if rec.due || b.forked[id] {
		return
	}
	// Beyond a partition nobody can know of the use: two components, two
	// expiries (a claimer waits for its grace, though); nor from one that took the
	// others for gone by mistake.
	mistaken := rec.server != nil && rec.server.doubted > 0 && b.w.now-rec.server.doubted < b.w.cfg.DigestEvery
	apart := rec.server != nil && rec.server != h && (mistaken || !b.w.reachable(h, rec.server))
	// Nor of one whose home has died at once, or before a cut was mended or others went on
	// after a pause; nor, if uses are not told without changes, of any whose home has died,
	// or was one of two, on two sides of a cut.
	died := rec.server != nil && (!rec.server.up || rec.server.started > rec.served)
	twice := rec.server != nil && rec.server != h && b.w.faults.partition
	atOnce := died && (rec.server.up && rec.server.started-rec.served < settled || !rec.server.up && b.gone-rec.served < settled)
	unheard := atOnce || b.w.faults.partition || b.w.faults.pause || b.w.cfg.Touch < 0
	untold := died && unheard || twice && b.w.cfg.Touch < 0
	if b.calm(h) && !apart && !untold {
		b.w.fail("I11: %s expired %s %v after its last request", h.name, id, b.w.now-rec.served)
	}
}

// mark is what a node's copy of a session was like a while ago.
type mark struct {
	known    bool
	released bool // since then, the home has allowed the node to forget it
	kind     replica.Kind
	heads    []replica.Dot
	seen     replica.Context
}

func (h *host) mark(r *record) *mark {
	for len(h.checked) <= r.number {
		h.checked = append(h.checked, mark{})
	}
	return &h.checked[r.number]
}

// released notes that a node has been allowed to forget a session: it may begin
// anew, with an older copy. What it had, others have.
func (b *book) released(h *host, id replica.SessionID) {
	r := b.bySID[id]
	if r == nil {
		return
	}
	*h.mark(r) = mark{released: true}
	if h.node.State(id) == nil {
		b.passOn(h, r)
	}
}

// passOn notes that a node no longer answers for what it had: those that have it
// now do.
func (b *book) passOn(h *host, r *record) {
	for _, ch := range r.changes {
		i := slices.Index(ch.holders, h.id)
		if !ch.acked || i < 0 {
			continue
		}
		ch.holders = slices.Delete(ch.holders, i, i+1)
		for _, p := range b.w.nodes {
			if p.up && b.has(p.node.State(r.id), ch) && !slices.Contains(ch.holders, p.id) {
				ch.holders = append(ch.holders, p.id)
			}
		}
	}
}

// spare: a node that is told to forget a session, or that goes, has nothing that
// was acknowledged and that nobody else has.
func (b *book) spare(h *host, r *record, why string) {
	s := h.node.State(r.id)
	if s == nil || s.Life.Kind != replica.Live || len(b.w.membersAt(h)) == 1 {
		return
	}
	for _, ch := range r.changes {
		others := func(p *host) bool { return p != h && p.up && b.has(p.node.State(r.id), ch) }
		if ch.acked && b.has(s, ch) && !slices.ContainsFunc(b.w.nodes, others) {
			b.w.fail("I1: %s %s with the only copy of change %d of %s", h.name, why, ch.number, r.id)
		}
	}
}

// look compares a node's copies with what they were a while ago: they only grow
// (I1a), unless the node was told to forget one or it is too old, and copies of
// the same version hold the same (I2).
func (b *book) look(h *host) {
	for _, r := range b.sessions {
		was, now := h.mark(r), h.node.State(r.id)
		if now == nil {
			if was.known && was.kind == replica.Live && !r.ends && b.w.cfg.Touch >= 0 && b.w.now-r.served < b.w.cfg.MaxIdle*97/100 {
				b.w.fail("I1a: %s has forgotten %s, used %v ago", h.name, r.id, b.w.now-r.served)
			}
			*was = mark{}
			continue
		}
		if was.known && was.kind == now.Life.Kind && slices.Equal(was.heads, now.Heads) {
			continue
		}
		switch {
		case was.kind > now.Life.Kind:
			b.w.fail("I9: %s brought %s back from %v", h.name, r.id, was.kind)
		case now.Life.Kind == replica.Live && !now.Seen.Includes(was.seen):
			b.w.fail("I1a: the copy of %s at %s has shrunk", r.id, h.name)
		}
		*was = mark{known: true, kind: now.Life.Kind, heads: append(was.heads[:0], now.Heads...), seen: now.Seen.Union(nil)}
		sum, content := now.Sum(), contentOf(now)
		if other, ok := b.contents[sum]; ok && other != content {
			b.w.fail("I2: %s has %s in the same version as another, with another content", h.name, r.id)
		}
		b.contents[sum] = content
	}
}

// contentOf stands for all that a copy holds.
func contentOf(s *replica.State) uint64 {
	d := xxhash.New()
	for _, r := range s.Registers {
		for _, v := range r.Versions {
			_, _ = d.WriteString(r.Key + v.Dot.String())
			_, _ = d.Write(v.Value.Bytes)
		}
	}
	return d.Sum64()
}

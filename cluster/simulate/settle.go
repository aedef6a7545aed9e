package main

import (
	"slices"
	"time"

	"github.com/serval-server/serval/cluster/replica"
)

// settle ends the faults and the requests, waits, and looks at what is left.
func (w *world) settle() {
	w.quiet = true
	w.net.cut = [maxHosts][maxHosts]int{}
	w.net.slow = nil
	for _, h := range w.nodes {
		if h.paused {
			w.resume(h, h.id)
		}
		if !h.up && !h.left {
			w.start(h)
		}
		h.leaving = false
		h.stopped = w.now
	}
	// Views heal, open writes end, digests go round all pairs.
	w.run(w.now + 6*time.Second + w.cfg.DigestEvery*time.Duration(2*len(w.nodes)))
	if w.broken == nil {
		w.book.converged()
	}
	for try := 0; w.broken != nil && (try < 4 || try < 40 && w.copying()); try++ {
		// Sessions go on expiring, now this one, now that: what looks like a
		// difference may be an end on its way. One that stays is none. Nor is a
		// copy missing that comes by a window of one, after hundreds of others.
		w.broken = nil
		w.run(w.now + time.Second)
		w.book.converged()
	}
	if w.broken == nil && w.cfg.MaxIdle > time.Minute && w.seed%4 != 0 {
		return // to wait for the end of all sessions takes longer than all the rest
	}
	if w.broken == nil {
		w.run(w.now + 2*(w.cfg.MaxIdle+w.cfg.Grace) + w.cfg.AdoptAfter)
	}
	if w.broken == nil {
		w.book.allExpired()
	}
}

// copying says whether a node still looks for who must have a copy of what.
func (w *world) copying() bool {
	return w.cfg.Window == 1 && slices.ContainsFunc(w.nodes, func(h *host) bool { return h.up && h.node.Copying() })
}

// converged: all owners are equal (I2, I3), and nothing that was acknowledged
// is missing (I1); what ended stays ended (I9), under one id at most (I10).
func (b *book) converged() {
	for _, r := range b.sessions {
		first, reign := b.home(r.id)
		b.ownersEqual(r.id, first, reign)
		if first != nil && first.Life.Kind == replica.Live && !(b.w.cfg.Strict && b.hopeless(r.id)) {
			b.overtaken(r, first)
		}
		for _, ch := range r.changes {
			if !ch.acked || !b.survives(ch) {
				continue
			}
			if first == nil {
				if b.w.now-r.served < b.w.cfg.MaxIdle/2 {
					b.w.fail("I1: %s is gone everywhere, with acknowledged change %d", r.id, ch.number)
				}
				continue
			}
			if b.w.cfg.Strict && b.hopeless(r.id) {
				if !slices.ContainsFunc(b.w.nodes, func(h *host) bool { return h.up && b.has(h.node.State(r.id), ch) }) {
					b.w.fail("I1: acknowledged change %d (%v) of %s is lost", ch.number, ch.dot, r.id)
				}
				continue
			}
			if !b.has(first, ch) {
				b.w.fail("I1: acknowledged change %d (%v) of %s is lost", ch.number, ch.dot, r.id)
			}
			if ch.newID != "" && len(b.crashed) == 0 && first.Life.Kind == replica.Renamed && first.Life.NewID == ch.newID && b.nowhere(ch.newID) && b.w.now-ch.ackedAt < b.w.cfg.MaxIdle/2 {
				b.w.fail("I10: %s became %s, which is nowhere", r.id, ch.newID)
			}
		}
	}
}

// home is the copy that counts: the home's, or else that of any node that obeys
// the latest reign.
func (b *book) home(id replica.SessionID) (first *replica.State, reign replica.Reign) {
	for _, h := range b.w.nodes {
		if !h.up {
			continue
		}
		s := h.node.State(id)
		if s == nil {
			continue
		}
		b.atomic(h, s)
		r := h.node.Reign(id)
		switch c := r.Compare(reign); {
		case first == nil, c > 0, c == 0 && (r.Home == h.id || s.Life.Kind > first.Life.Kind):
			first, reign = s, r
		}
	}
	return first, reign
}

func (b *book) nowhere(id replica.SessionID) bool {
	return !slices.ContainsFunc(b.w.nodes, func(h *host) bool { return h.up && h.node.State(id) != nil })
}

func (b *book) ownersEqual(id replica.SessionID, want *replica.State, reign replica.Reign) {
	if want == nil {
		return
	}
	if b.w.cfg.Strict && b.hopeless(id) {
		// The copies that are left answer 503 until they are too old (I11).
		return
	}
	var members []replica.Member
	for _, h := range b.w.nodes {
		if h.up {
			members = append(members, replica.Member{ID: h.id, Name: h.name, Zone: h.zone})
		}
	}
	homeless := !slices.ContainsFunc(members, func(m replica.Member) bool { return m.ID == reign.Home })
	for _, o := range replica.Owners(id, reign.Home, b.w.cfg.Owners, members) {
		h := b.w.hostOf(o)
		got := h.node.State(id)
		if got == nil {
			if want.Life.Kind == replica.Live {
				b.w.fail("I3: owner %s has no copy of %s (reign %v)", h.name, id, reign)
			}
			continue
		}
		if homeless && got.Life.Kind == replica.Dead && want.Life.Kind == replica.Dead {
			continue // two halves have ended it, and who compares copies is gone: the end is the same
		}
		if !got.SameAs(want) {
			b.w.fail("I3: owners differ on %s: %s has %v %v, another %v %v", id, h.name, got.Life.Kind, got.Heads, want.Life.Kind, want.Heads)
		} else if contentOf(got) != contentOf(want) {
			b.w.fail("I2: %s has %s in the same version as another, with another content", h.name, id)
		}
	}
}

// hopeless says whether, in the strict profile, nobody can claim a session any
// more: of a set of nodes that had to hold it, most have crashed.
func (b *book) hopeless(id replica.SessionID) bool {
	for _, set := range b.sets[id] {
		lives := 0
		for _, o := range set.Nodes {
			if !b.crashed[o] && b.w.hostOf(o) != nil {
				lives++
			}
		}
		if lives < len(set.Nodes)/2+1 {
			return true
		}
	}
	return false
}

// allExpired: what nobody uses ends, everywhere (I11).
func (b *book) allExpired() {
	for _, h := range b.w.nodes {
		if !h.up {
			continue
		}
		for _, r := range b.sessions {
			if s := h.node.State(r.id); s != nil && s.Life.Kind == replica.Live {
				b.w.fail("I11: %s still has %s, last used %v ago", h.name, r.id, b.w.now-r.served)
			}
		}
	}
	for _, r := range b.sessions {
		b.endedOnce(r)
	}
}

// endedOnce: a session that nobody has ended was expired by a home, for its
// listeners want to know, and by one only while nothing went wrong. A home that must
// have its reign confirmed first has three graces until the copies are too old: for
// what is under way before it, for its question and for the answer. Where one of them
// took longer than a grace, the copies may have gone by their age; and so where the
// queues were too short for the questions of all that expire at once.
func (b *book) endedOnce(r *record) {
	f, n := b.w.faults, b.w.net
	well := !f.crash && !f.pause && !f.partition && !f.drain && f.alarm == 0 && n.drop == 0 && n.spike == 0
	safe := slices.ContainsFunc(r.changes, func(ch *change) bool { return ch.acked && b.survives(ch) })
	switch {
	case r.expired > 1 && well:
		b.w.fail("I11: %s was expired %d times", r.id, r.expired)
	case r.expired == 0 && !r.ends && safe && max(n.jammed, n.choked) < r.served+b.w.cfg.MaxIdle && !(b.w.cfg.Strict && b.hopeless(r.id)):
		b.w.fail("I11: %s has vanished, and no home has expired it", r.id)
	}
}

// overtaken: what is shown is not older than what was acknowledged later, unless
// a fork was counted.
func (b *book) overtaken(r *record, s *replica.State) {
	x, ok := s.Get("x")
	if !ok || b.forked[r.id] {
		return
	}
	i := slices.IndexFunc(r.changes, func(ch *change) bool { return ch.dot == x.Dot })
	if i < 0 || !r.changes[i].acked {
		return
	}
	for _, ch := range r.changes {
		if ch.acked && !ch.end && ch.began > r.changes[i].ackedAt && b.survives(ch) {
			b.w.fail("I1: %s shows change %d though change %d came after it, and no fork was counted", r.id, r.changes[i].number, ch.number)
		}
	}
}

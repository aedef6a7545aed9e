package replica

import (
	"maps"
	"slices"
	"time"
)

// Tick does what time brings about: it sends again what was not answered, ends
// sessions, claims those of dead homes, and compares copies with a peer. It
// wants to be called every 10 to 50 ms; a longer gap counts as a pause.
func (n *Node) Tick(now time.Duration) {
	n.at(now)
	if n.now-n.ticked >= n.cfg.Pause {
		// Stopped, and perhaps taken for dead: a request is served only after
		// the owners have confirmed the reign.
		n.resumed = n.now
	}
	n.ticked = n.now
	for _, id := range slices.Sorted(maps.Keys(n.active)) {
		if s := n.sessions[id]; s == nil || n.tickActive(s) {
			delete(n.active, id)
		}
	}
	if n.now >= n.sweepAt {
		n.sweepAt = n.now + sweepEvery
		for _, id := range slices.Sorted(maps.Keys(n.sessions)) {
			n.sweep(n.sessions[id])
		}
	}
	if n.now >= n.digestAt {
		n.digestAt = n.now + n.cfg.DigestEvery
		n.sendDigest()
	}
}

// sweepEvery is how often all sessions are looked at for their age.
const sweepEvery = 500 * time.Millisecond

// tickActive looks after one session's open business; true if there is none.
func (n *Node) tickActive(s *session) (done bool) {
	if s.claim != nil && n.now-s.claim.sent >= n.cfg.Retry {
		n.sendClaims(s)
	}
	n.endDoubt(s)
	n.tickGrant(s)
	n.askAgain(s)
	n.expireWrites(s)
	if n.isHome(s) {
		if n.resync(s) {
			n.release(s)
			return len(s.writes) == 0 && s.claim == nil && s.search == nil
		}
		return false
	}
	return len(s.writes) == 0 && s.claim == nil && s.search == nil && !n.handing(s)
}

// sweep ends, adopts and forgets.
func (n *Node) sweep(s *session) {
	idle := n.now - s.used
	n.offer(s)
	switch {
	case s.Life.Kind != Live:
		if n.now-s.endedAt > n.cfg.DeadTTL && len(s.writes) == 0 {
			n.forget(s)
		}
	case !s.Known():
		if idle > n.cfg.DeadTTL && s.claim == nil && s.search == nil {
			n.forget(s)
		}
	case n.isHome(s) && s.claim == nil:
		if idle > n.patienceWith(s) && len(s.writes) == 0 {
			n.endIdle(s)
		}
	case idle > n.tooOld():
		// Nobody is home, and too few of its owners are left to claim it. A
		// copy that no home vouches for ends by its age alone.
		n.answer(s, Answer{Verdict: Unknown})
		n.drop(s)
	case s.claim != nil:
	case n.orphaned(s):
		n.startClaim(s)
	case n.overdue(s) && idle > n.cfg.MaxIdle+2*n.cfg.Grace && n.firstOwner(s):
		// A claim was begun and never ended: nobody is home. End it here.
		n.startClaim(s)
	case n.overdue(s) && n.now-s.asked >= n.cfg.DigestEvery:
		// Long unused, and its home has not said what became of it.
		s.asked = n.now
		if to := n.authority(s); to != 0 {
			n.send(to, Need{s.ID})
		}
	}
}

// offer shows a copy that is not this node's to keep to the session's home, again
// and again until the home has all that it includes and releases it: the last
// word of a former home must not be lost with a message.
func (n *Node) offer(s *session) {
	home := n.believedHome(s)
	if !s.Known() || s.released || s.claim != nil || home == n.cfg.Self || !n.alive(home) || n.now-s.offered < n.cfg.DigestEvery ||
		slices.Contains(n.ownersOf(s), n.cfg.Self) && s.reign == s.promised {
		return
	}
	s.offered = n.now
	n.send(home, Listing{Entries: []Fingerprint{{s.ID, s.Sum()}}})
}

// patienceWith is how long a session at home may be idle. One that was claimed
// without a request may have been used since its last touch, or be in use
// beyond a partition, so it gets the touch interval and the grace on top.
func (n *Node) patienceWith(s *session) time.Duration {
	if s.adopted {
		return n.cfg.MaxIdle + n.cfg.MaxIdle/touchesPerIdle + n.cfg.Grace
	}
	return n.cfg.MaxIdle
}

// tooOld is the idle time at which a copy is forgotten whose home is silent:
// long after any home or claimer would have expired it.
func (n *Node) tooOld() time.Duration { return n.cfg.MaxIdle + 4*n.cfg.Grace }

// authority is the node that knows what became of a session: its home, or the
// first of its owners once the home is gone. Zero if there is none but this one.
func (n *Node) authority(s *session) NodeID {
	if home := n.believedHome(s); home != n.cfg.Self && n.alive(home) {
		return home
	}
	if others := n.others(s); len(others) > 0 {
		return others[0]
	}
	return 0
}

// overdue reports whether a copy should have heard of its session's end.
func (n *Node) overdue(s *session) bool {
	return !n.isHome(s) && s.claim == nil && n.now-s.used > n.cfg.MaxIdle+n.cfg.Grace
}

// endIdle has a session at home expired; after a pause only once the owners have
// confirmed that this still is its home.
func (n *Node) endIdle(s *session) {
	if s.confirmed < n.resumed {
		n.startClaim(s)
		return
	}
	n.emit(Overdue{s.ID})
}

// orphaned reports whether the session's home has been gone for so long that
// this node is the one to claim it: its first owner soonest, the others later
// by their rank, for those before them may have no copy.
func (n *Node) orphaned(s *session) bool {
	home := n.believedHome(s)
	if n.alive(home) && home != n.cfg.Self {
		return false
	}
	at, ok := n.gone[home]
	if !ok {
		at = n.now
		n.gone[home] = at
	}
	rank := slices.Index(Owners(s.ID, 0, 0, n.members), n.cfg.Self)
	return n.now-at >= n.cfg.AdoptAfter*time.Duration(1+rank)
}

// firstOwner reports whether this node comes first among the session's owners,
// its home apart.
func (n *Node) firstOwner(s *session) bool {
	owners := Owners(s.ID, 0, n.cfg.Owners, n.members)
	return len(owners) > 0 && owners[0] == n.cfg.Self
}

func (n *Node) viewChanged(s *session) {
	if c := s.claim; c != nil {
		for _, id := range sortedKeys(c.promised) {
			if !c.promised[id] && !n.alive(id) && n.now >= c.doubt {
				delete(c.promised, id)
			}
		}
		for _, id := range n.scope(s.ID) {
			if _, asked := c.promised[id]; !asked && id != n.cfg.Self {
				c.promised[id] = false // back again: a tick asks it
			}
		}
		n.finishClaim(s)
	}
	if q := s.search; q != nil {
		for _, id := range sortedKeys(q.open) {
			if !n.alive(id) {
				delete(q.open, id)
			}
		}
		for _, id := range n.scope(s.ID) {
			if id != n.cfg.Self && !q.asked[id] {
				q.asked[id], q.open[id] = true, true
				n.send(id, WhoHas{s.ID})
			}
		}
		n.finishSearch(s)
	}
	if n.isHome(s) && n.sessions[s.ID] == s {
		n.active[s.ID] = true // new owners, or fewer to wait for
		n.settle(s)
	}
}

// Drain hands every session that is at home here to another owner, those of a
// home that has just gone included. Requests are forwarded from then on. It is
// called again until Homes is 0.
func (n *Node) Drain(now time.Duration) {
	n.at(now)
	for _, id := range slices.Sorted(maps.Keys(n.sessions)) {
		s := n.sessions[id]
		if s.Life.Kind != Live || s.claim != nil || len(s.writes) > 0 {
			continue
		}
		if n.homeless(s) {
			n.startClaim(s)
		}
		if others := n.others(s); n.isHome(s) && s.claim == nil && len(others) > 0 {
			n.grant(s, others[0])
		}
	}
}

// homeless reports whether this node has a copy whose home is gone.
func (n *Node) homeless(s *session) bool {
	return s.Known() && !n.isHome(s) && !n.alive(n.believedHome(s))
}

// Homes is the number of living sessions at home here, of those whose home has
// gone, and of those that were granted to a node which has not confirmed it.
func (n *Node) Homes() int {
	c := 0
	for _, s := range n.sessions {
		if s.Life.Kind == Live && s.Known() && (n.isHome(s) || n.handing(s) || n.homeless(s) || s.claim != nil) {
			c++
		}
	}
	return c
}

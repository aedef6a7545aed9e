package replica

import (
	"maps"
	"slices"
	"time"
)

// Tick does what time brings about: it sends again what was not answered, has
// sessions ended, claims those of dead homes, and compares copies with a peer. It
// wants to be called every 10 to 50 ms; a longer gap counts as a pause. What is
// left of a large piece of work is done with the next ticks.
func (n *Node) Tick(now time.Duration) {
	n.at(now)
	n.ticked = n.now
	for range n.cfg.Budget {
		i := n.nextDue()
		if i == 0 {
			break
		}
		n.tend(n.roused(i, n.slotAt(i)))
	}
	n.stepParcels()
	n.stepPass()
	n.stepLevel()
	n.sendDigest()
	n.prune()
}

// pruneEvery is how often what is known of nodes that are gone is looked through.
const pruneEvery = time.Minute

// prune forgets nodes that have been gone for so long that no session is theirs.
func (n *Node) prune() {
	if n.now < n.pruneAt {
		return
	}
	n.pruneAt = n.now + pruneEvery
	for id, at := range n.gone {
		if n.now-at > n.cfg.DeadTTL && n.now-n.strays[id] > n.cfg.DeadTTL {
			delete(n.gone, id)
			delete(n.strays, id)
			delete(n.former, id)
		}
	}
	maps.DeleteFunc(n.dead, func(_ NodeID, at time.Duration) bool { return n.now-at > n.cfg.DeadTTL })
	n.recount()
}

// tend looks after a session that is due.
func (n *Node) tend(s *session) {
	n.urge(s)
	if n.isHome(s) && s.claim == nil {
		if level, _ := n.resync(s); level {
			n.release(s)
			n.renew(s)
		}
	}
	next := n.age(s)
	if s.slot.hot == 0 {
		return // forgotten
	}
	n.note(s)
	if !n.packable(s) || n.isHome(s) && !n.settled(s) || !s.Known() || n.cfg.Pack < 0 {
		n.schedule(s.number, s.slot, next)
		return
	}
	if at := n.packsAt(s); n.now < at {
		n.schedule(s.number, s.slot, min(at, next))
		return
	}
	n.unschedule(s.slot)
	n.schedule(s.number, s.slot, next)
	n.pack(s)
}

// urgentRetry bounds Config.Retry for questions that requests wait for: they are
// small, and the answer may have been dropped by a peer that took this node for
// lagging, of which this node does not hear.
const urgentRetry = 250 * time.Millisecond

func (n *Node) urgent() time.Duration { return min(n.cfg.Retry, urgentRetry) }

// urge sees to those that wait for the session.
func (n *Node) urge(s *session) {
	if c := s.claim; c != nil && n.now-c.sent >= n.claimAgain(c) {
		n.sendClaims(s)
		n.finishClaim(s) // what was too few may be enough, with the time
	}
	n.endDoubt(s)
	n.regrant(s)
	n.askAgain(s)
	n.expireWrites(s)
	n.askParked(s)
	if s.asking != 0 && n.now >= s.asking {
		n.refused(s, n.homeHint(s))
	}
}

// homeHint is where a session is at home, by a copy or by hearsay.
func (n *Node) homeHint(s *session) NodeID {
	if s.Known() || s.hint.Home == 0 {
		return n.believedHome(s)
	}
	return s.hint.Home
}

// packsAt is when an unpacked session is to be packed if nobody needs it before.
func (n *Node) packsAt(s *session) time.Duration {
	return max(s.fresh, s.slot.used) + max(n.cfg.Pack, 0)
}

// dueOf is when a tick must look at a session, as far as the last event says it.
func (n *Node) dueOf(s *session) time.Duration {
	due := never
	if at := n.packsAt(s); at > n.now {
		due = at
	}
	if len(s.writes) > 0 {
		due = min(due, s.writes[0].deadline)
	}
	if c := s.claim; c != nil {
		due = min(due, c.sent+n.claimAgain(c))
		if c.doubt > n.now {
			due = min(due, c.doubt)
		}
	}
	if q := s.search; q != nil {
		due = min(due, max(q.began+n.cfg.Locate, n.now), q.sent+n.urgent(), q.deadline)
	}
	if n.handing(s) {
		due = min(due, s.handedAt+n.urgent())
	}
	if s.asking != 0 {
		due = min(due, s.asking)
	}
	if len(s.parked) > 0 {
		due = min(due, s.parkedAt)
	}
	if s.reign.Home == n.cfg.Self {
		due = min(due, n.resyncDue(s))
	}
	return due
}

// resyncDue is when an owner is to get a copy again.
func (n *Node) resyncDue(s *session) time.Duration {
	due := never
	for i := range s.peers {
		p := &s.peers[i]
		if q := n.peer(p.node); !p.owed || q == nil || q.lagging || !n.isOwner(s, p.node) {
			continue
		}
		if p.sent == notSent {
			due = min(due, n.now+stallRetry)
		} else {
			due = min(due, p.sent+n.cfg.Retry)
		}
	}
	return due
}

// age ends, adopts and forgets. It returns when time will change anything next.
func (n *Node) age(s *session) (next time.Duration) {
	idle := n.now - s.slot.used
	next = n.offer(s)
	switch {
	case s.Life.Kind != Live:
		return min(next, n.ageEnded(s))
	case !s.Known():
		return min(next, n.ageUnknown(s, idle))
	case n.isHome(s) && s.claim == nil:
		return min(next, n.ageHome(s, idle))
	}
	return min(next, n.ageBackup(s, idle))
}

func (n *Node) ageEnded(s *session) time.Duration {
	gone, old := s.endedAt+s.keep, s.endedAt+s.keep/4*3
	switch {
	case n.now > gone && len(s.writes) == 0:
		n.forget(s)
		return never
	case n.now > old:
		s.slot.flags |= slotOld
		return gone + wheelTick
	}
	return old + wheelTick
}

// emptyTTL is how long a session of which nothing was ever known is kept.
const emptyTTL = 2 * hintTime

func (n *Node) ageUnknown(s *session, idle time.Duration) time.Duration {
	ttl := n.cfg.DeadTTL
	if s.promised == (Reign{}) {
		ttl = emptyTTL
	}
	if idle > ttl && s.claim == nil && s.search == nil && s.asking == 0 {
		n.forget(s)
		return never
	}
	return max(s.slot.used+ttl, n.now) + wheelTick
}

// overdueAgain is how often the caller is told of a session to be ended.
const overdueAgain = 2 * time.Second

// ageHome has an idle session at home ended; after a pause only once the owners
// have confirmed that this still is its home.
func (n *Node) ageHome(s *session, idle time.Duration) time.Duration {
	p := n.patience(s)
	switch {
	case idle <= p:
		return s.slot.used + p + wheelTick
	case len(s.writes) > 0 || s.overdue != 0 && n.now-s.overdue < overdueAgain:
	case s.confirmed < n.resumed:
		n.startClaim(s)
	default:
		s.overdue = n.now
		n.emit(Overdue{s.ID})
	}
	return n.now + overdueAgain
}

// maxAdopting is how many sessions of dead homes are claimed at once.
const maxAdopting = 256

// ageBackup looks after a copy whose home is elsewhere.
func (n *Node) ageBackup(s *session, idle time.Duration) time.Duration {
	timeout := n.timeout(s)
	patience := n.backupPatience(timeout)
	switch {
	case idle > n.tooOld(timeout):
		// Nobody is home, and too few of its owners are left to claim it. A
		// copy that no home vouches for ends by its age alone.
		n.answer(s, Answer{Verdict: Unknown})
		n.drop(s)
		return n.now + n.cfg.DeadTTL
	case s.claim != nil:
		return max(s.slot.used+n.tooOld(timeout), n.now) + wheelTick
	case n.orphaned(s), idle > patience+n.cfg.Grace && n.firstOwner(s):
		// Its home is gone; or a claim was begun and never ended.
		if n.adopting >= maxAdopting {
			return n.now + stallRetry
		}
		n.startClaim(s)
		return n.now + n.cfg.Retry
	case idle > patience && n.now-s.asked >= n.cfg.DigestEvery:
		// Long unused, and its home has not said what became of it.
		s.asked = n.now
		if to := n.authority(s); to != 0 {
			n.send(to, Need{s.ID})
		}
	}
	next := max(s.slot.used+patience, s.asked+n.cfg.DigestEvery)
	for _, at := range []time.Duration{s.slot.used + patience + n.cfg.Grace, s.slot.used + n.tooOld(timeout)} {
		if at > n.now {
			next = min(next, at)
		}
	}
	if home := n.believedHome(s); home == n.cfg.Self || !n.alive(home) {
		next = min(next, n.now+n.cfg.AdoptAfter/4)
	}
	return max(next, n.now) + wheelTick
}

// offer shows a copy that is not this node's to keep to the session's home, again
// and again until the home has all that it includes and releases it: the last
// word of a former home must not be lost with a message. Word of an end whose home has
// gone is for the owners. It returns when to do so again.
func (n *Node) offer(s *session) time.Duration {
	home := n.believedHome(s)
	if !s.Known() || s.released || s.claim != nil || home == n.cfg.Self || s.reign == s.promised && n.isOwner(s, n.cfg.Self) {
		return never
	}
	if !n.alive(home) {
		if home = n.authority(s); s.Life.Kind == Live || home == 0 {
			return never // an orphan, to be claimed
		}
	}
	if n.now-s.offered >= n.cfg.DigestEvery || s.offered == 0 {
		s.offered = n.now
		n.send(home, Listing{Entries: []Fingerprint{{s.ID, s.sumNow()}}})
	}
	return s.offered + n.cfg.DigestEvery
}

// authority is the node that knows what became of a session: its home, or the
// first of its owners once the home is gone. Zero if there is none but this one.
func (n *Node) authority(s *session) NodeID {
	if home := n.believedHome(s); home != n.cfg.Self && n.alive(home) {
		return home
	}
	for _, o := range Owners(s.ID, s.reign.Home, n.cfg.Owners, n.members) {
		if o != n.cfg.Self {
			return o
		}
	}
	return 0
}

// isOverdue reports whether a copy should have heard of its session's end.
func (n *Node) isOverdue(s *session) bool {
	return !n.isHome(s) && s.claim == nil && n.now-s.slot.used > n.backupPatience(n.timeout(s))
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
	if n.now-at < n.cfg.AdoptAfter {
		return false
	}
	order := Owners(s.ID, 0, 0, n.members)
	return n.now-at >= n.cfg.AdoptAfter*time.Duration(1+slices.Index(order, n.cfg.Self))
}

// firstOwner reports whether this node comes first among the session's owners,
// its home apart.
func (n *Node) firstOwner(s *session) bool {
	owners := Owners(s.ID, 0, n.cfg.Owners, n.members)
	return len(owners) > 0 && owners[0] == n.cfg.Self
}

package replica

import (
	"slices"
	"time"
)

// How the other owners get what they lack. A home sends each change at once; the
// rest, whole copies after a change of the view, after a loss, or for a node that
// is new, goes by resync. Where nobody waits for it, it keeps to a window of
// unacknowledged copies for each peer, so that live traffic is not starved.

// stallRetry is when a session whose copy did not fit the window tries again.
const stallRetry = 50 * time.Millisecond

// resync sends the whole copy to the owners that have not said that they are
// level. It reports whether all are, and whether a window was full.
func (n *Node) resync(s *session) (level, stalled bool) {
	for i := range s.peers {
		if p := &s.peers[i]; p.bulk && !n.isOwner(s, p.node) {
			n.bulkDone(p) // sent no more, and another session may wait for the room
		}
	}
	level = true
	for _, o := range n.ownersFor(s) {
		if o == n.cfg.Self || s.levelAt(o) {
			continue
		}
		level = false
		q := n.peer(o)
		if q == nil || q.lagging {
			continue
		}
		p := s.peerFor(o)
		if p.owed && n.now-p.sent < n.cfg.Retry {
			if !p.bulk && p.acked.IsZero() {
				// A change has taken it there, perhaps: whoever has all must have it.
				q.bulk++
				p.bulk = true
			}
			continue
		}
		bulk := len(s.writes) == 0 && len(s.waiting) == 0
		if !p.bulk {
			if bulk && q.bulk >= n.cfg.Window {
				p.owed, p.sent, stalled = true, notSent, true
				continue
			}
			// Urgent copies count too: whoever has all (Level) must have them.
			q.bulk++
			p.bulk = true
		}
		n.emit(Send{To: o, Message: n.copyOf(s), Bulk: bulk})
		p.owed, p.sent, p.slow = true, n.now, bulk
	}
	return level, stalled
}

// outdated has a session sent to its owners that has just got at its home what it did
// not make itself: whatever they have acknowledged, or will, may be without it.
func (n *Node) outdated(s *session) {
	for i := range s.peers {
		s.peers[i].owed, s.peers[i].sent = true, notSent
	}
	n.soon(s)
}

// bulkDone takes a copy out of its peer's window.
func (n *Node) bulkDone(p *peerCopy) {
	if !p.bulk {
		return
	}
	p.bulk = false
	if q := n.peer(p.node); q != nil {
		q.bulk = max(0, q.bulk-1)
	}
}

// recount makes the windows what the sessions say, should a copy have been lost
// track of: a window that never empties would stop all transfers to its peer.
func (n *Node) recount() {
	for _, q := range n.peers {
		q.bulk = len(q.parcels.sent)
	}
	for _, s := range n.hot {
		if s == nil {
			continue
		}
		for i := range s.peers {
			if q := n.peer(s.peers[i].node); q != nil && s.peers[i].bulk {
				q.bulk++
			}
		}
	}
}

// release tells those who hold a copy without being owners to forget it.
func (n *Node) release(s *session) {
	s.peers = slices.DeleteFunc(s.peers, func(p peerCopy) bool {
		if n.isOwner(s, p.node) {
			return false
		}
		if n.alive(p.node) {
			n.send(p.node, Release{s.ID, s.reign, slices.Clone(s.Heads)})
		}
		n.bulkDone(&p)
		return true
	})
}

// settled reports whether a session at home needs nothing sent, but to those that
// lag, and nobody to be released.
func (n *Node) settled(s *session) bool {
	for i := range s.peers {
		if !n.isOwner(s, s.peers[i].node) {
			return false
		}
	}
	for _, o := range n.ownersFor(s) {
		if o != n.cfg.Self && !s.levelAt(o) && !n.lagging(o) {
			return false
		}
	}
	return true
}

// pass is a walk through all sessions, a few with each tick.
type pass struct {
	left uint32 // slots
	at   uint32 // the last one that was visited
}

// startPass has all sessions visited from now on.
func (n *Node) startPass() {
	n.pass.left = n.used
}

// Copying reports whether sessions are still to be looked at for who must have a
// copy of them.
func (n *Node) Copying() bool { return n.pass.left > 0 }

// Owing reports whether others lack copies that they must have, as far as this node
// knows: they are still to be made, or wait to be acknowledged. Peers that lag do not
// count, for nothing is sent to them.
func (n *Node) Owing() bool {
	return n.Copying() || slices.ContainsFunc(n.peers, func(p *peer) bool { return p.bulk > 0 && !p.lagging })
}

// visitsPerCopy is how many sessions may be visited for one that is copied.
const visitsPerCopy = 8

// stepPass goes on with the walk.
func (n *Node) stepPass() {
	if n.pass.left == 0 {
		return
	}
	sent, copies := len(n.out), n.cfg.Budget*2/3 // they are dearer than looks
	for visits := n.cfg.Budget * visitsPerCopy; n.pass.left > 0 && visits > 0 && len(n.out)-sent < copies; visits-- {
		next := n.pass.at + 1
		if next > n.used {
			next = 1
		}
		if sl := n.slotAt(next); sl.flags&slotTaken != 0 && !n.visit(next, sl) {
			return // a window is full
		}
		n.pass.at = next
		n.pass.left--
	}
	if n.pass.left == 0 {
		for _, p := range n.peers {
			n.sendHomes(p)
			p.tell = false
		}
	}
}

// passesOver is visit for what needs no look inside: a packed copy of a session
// whose home is alive, where all nodes are owners.
func (n *Node) passesOver(sl *slot) bool {
	if sl.flags&slotPacked == 0 || sl.flags&slotHome != 0 || !n.allOwn() || sl.home == n.cfg.Self || !n.alive(sl.home) ||
		n.arena.Bytes(sl.ref)[0]&packPromised != 0 {
		return false
	}
	n.tally(sl, nil, sl.home, sl.sum)
	return true
}

// visit brings one session up to date with the view: who must have a copy gets
// one, and the digests count it anew.
func (n *Node) visit(i uint32, sl *slot) bool {
	if n.passesOver(sl) {
		return true
	}
	if done, stalled := n.visitPacked(i, sl); done {
		return !stalled
	}
	s := n.look(sl)
	if sl.hot == 0 {
		n.tally(sl, s, sl.home, sl.sum)
	}
	if n.isHome(s) && s.Known() {
		n.tellHome(Has{s.ID, s.reign})
	}
	if n.isHome(s) && s.claim == nil {
		if n.settled(s) && !n.worn(s) {
			if sl.hot != 0 {
				n.note(s)
			}
			return true
		}
		if sl.hot == 0 {
			n.unpackedAs(i, sl, s, n.now-max(n.cfg.Pack, 0))
		}
		level, stalled := n.resync(s)
		if level {
			n.release(s)
			n.renew(s)
		}
		n.note(s)
		return !stalled
	}
	if sl.hot != 0 {
		n.note(s)
	}
	if home := n.believedHome(s); home != n.cfg.Self && !n.alive(home) {
		if n.handing(s) {
			n.soon(s)
		}
		n.schedule(i, sl, n.now+n.cfg.AdoptAfter) // an orphan, perhaps
	} else if !n.isOwner(s, n.cfg.Self) {
		n.schedule(i, sl, n.now)
	}
	return true
}

// Reset says that the connection to a peer was lost, and with it perhaps what
// was on its way: all that the peer has not acknowledged is sent again.
func (n *Node) Reset(now time.Duration, peer NodeID) {
	n.at(now)
	n.disturbed()
	if q := n.peer(peer); q != nil {
		n.unpackParcels(q, n.now)
	}
	for _, s := range n.hot {
		if s == nil {
			continue
		}
		if p := s.peer(peer); p != nil && p.owed {
			p.sent = notSent
			n.soon(s)
		}
		if c := s.claim; c != nil {
			c.sent = notSent
			n.soon(s)
		}
		if q := s.search; q != nil {
			q.sent = notSent
			n.soon(s)
		}
		if len(s.parked) > 0 {
			s.parkedAt = n.now
			n.soon(s)
		}
	}
	if n.level.told[peer] {
		return
	}
	n.level.askAt = n.now
}

// Lagging says that a peer is too far behind to be waited for, or no longer so.
// Nothing is sent to it meanwhile; what it missed is sent when it is back.
func (n *Node) Lagging(now time.Duration, peer NodeID, lagging bool) {
	n.at(now)
	p := n.peer(peer)
	if p == nil || p.lagging == lagging {
		return
	}
	p.lagging = lagging
	if !lagging {
		n.startPass()
		n.Reset(now, peer)
		return
	}
	for _, s := range slices.Clone(n.open) {
		if s.openAt != 0 {
			n.settle(s)
			n.note(s)
		}
	}
}

package replica

import (
	"time"
)

// grant makes another node the home, which begins its reign at once, or in the
// strict profile or after a pause claims it. It is said again until the new home has spoken as
// such, for until then nobody may be home.
func (n *Node) grant(s *session, to NodeID) {
	r := Reign{s.reign.Epoch + 1, to}
	s.reign, s.promised, s.handed = r, r, r
	n.clearPeers(s)
	n.lose(s, to)
	n.sendGrant(s)
}

func (n *Node) sendGrant(s *session) {
	s.handedAt = n.now
	n.emit(Send{
		To: s.handed.Home, Message: Grant{s.handed, s.State.Clone(), n.setsOf(s), n.now - s.slot.used},
		Bulk: n.now-s.slot.used > time.Second,
	})
}

// handing reports whether a grant of this node's waits to be heard.
func (n *Node) handing(s *session) bool {
	return s.handed != (Reign{}) && s.handed == s.promised && s.Life.Kind == Live && s.Known()
}

// regrant repeats a grant, or takes it back when the new home has gone.
func (n *Node) regrant(s *session) {
	switch {
	case !n.handing(s) || s.claim != nil:
	case !n.alive(s.handed.Home):
		s.handed = Reign{}
		n.startClaim(s)
	case n.now-s.handedAt >= n.urgent():
		n.sendGrant(s)
	}
}

// heard notes that the home speaks as such.
func (s *session) heard(from NodeID, r Reign) {
	if r == s.handed && from == r.Home {
		s.handed = Reign{}
	}
}

func (n *Node) onGrant(from NodeID, m Grant) {
	s := n.get(m.State.ID)
	n.takeGrant(from, s, m)
	n.note(s)
}

func (n *Node) takeGrant(from NodeID, s *session, m Grant) {
	n.merge(s, Copy{State: m.State, Sets: m.Sets, Idle: m.Idle})
	switch {
	case s.Life.Kind != Live:
		n.send(from, n.copyOf(s))
		return
	case m.Reign.Compare(s.promised) < 0:
		n.send(from, Fenced{s.ID, s.promised})
		return
	case m.Reign == s.promised && n.isHome(s):
		n.confirm(s, from)
		return
	case n.cfg.Strict && s.claim != nil && m.Reign == s.promised:
		return
	}
	for _, set := range m.Sets {
		addSet(s, set)
	}
	n.dropClaim(s)
	s.asking, s.handed = 0, Reign{}
	if n.cfg.Strict || n.justResumed() {
		// The home's consent is not that of its owners: beyond a partition a
		// majority of them may be about to promise another one. And what waited
		// while this node stood still may have been taken back since.
		s.promised = m.Reign
		n.startClaim(s)
		return
	}
	s.reign, s.promised = m.Reign, m.Reign
	n.clearPeers(s)
	if s.Forked() && !m.State.Forked() {
		// What the other home had came before, with a promise for a claim that
		// has been overtaken by the grant.
		n.emit(Forked{s.ID, len(s.Heads) - 1})
	}
	n.confirm(s, from)
	n.begin(s)
}

// confirm tells the former home that its grant was heard: the next tick sends it
// a copy, or if it is no owner any more releases it.
func (n *Node) confirm(s *session, former NodeID) {
	if p := s.peer(former); p != nil {
		n.bulkDone(p)
		*p = peerCopy{node: former}
	}
	s.noteCopy(former)
	n.soon(s)
}

// Drain hands sessions that are at home here to another owner, as many as the
// budget allows, those of a home that has just gone included. Requests are
// forwarded from then on. It is called again, every 10 ms or so, until Homes is 0.
func (n *Node) Drain(now time.Duration) {
	n.at(now)
	left := n.cfg.Budget
	for i := uint32(1); i <= n.used && left > 0; i++ {
		sl := n.slotAt(i)
		if sl.sum == 0 || n.restsElsewhere(sl) || sl.flags&slotHome == 0 && sl.hot != 0 && n.alive(sl.home) && !n.homeless(n.hot[sl.hot-1]) {
			continue
		}
		s := n.roused(i, sl)
		if s.Life.Kind != Live || s.claim != nil || len(s.writes) > 0 {
			continue
		}
		if n.homeless(s) {
			n.startClaim(s)
			left--
		}
		if to := n.authority(s); n.isHome(s) && s.claim == nil && to != 0 {
			n.grant(s, to)
			left--
		}
		n.note(s)
	}
}

// restsElsewhere reports, without unpacking it, that a packed session is at home at
// another node that is alive, and that nobody else was promised to become its home.
func (n *Node) restsElsewhere(sl *slot) bool {
	return sl.hot == 0 && sl.flags&slotHome == 0 && sl.home != n.cfg.Self && n.alive(sl.home) && n.arena.Bytes(sl.ref)[0]&packPromised == 0
}

// homeless reports whether this node has a copy whose home is gone.
func (n *Node) homeless(s *session) bool {
	return s.Known() && !n.isHome(s) && !n.alive(n.believedHome(s))
}

// Homes is the number of living sessions at home here, of those whose home has
// gone, and of those that were granted to a node which has not confirmed it. It
// looks at all sessions: it is for a drain, not for each request.
func (n *Node) Homes() int {
	c := 0
	for i := uint32(1); i <= n.used; i++ {
		sl := n.slotAt(i)
		switch {
		case sl.sum == 0:
		case sl.flags&slotHome != 0:
			c++
		case n.restsElsewhere(sl):
		default:
			if s := n.look(sl); s.Life.Kind == Live && (n.handing(s) || n.homeless(s) || s.claim != nil) {
				c++
			}
		}
	}
	return c
}

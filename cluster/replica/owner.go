package replica

import (
	"slices"
	"time"
)

// Receive takes a message from another node.
func (n *Node) Receive(now time.Duration, from NodeID, m Message) {
	n.at(now)
	if !n.alive(from) {
		n.stray(from)
	}
	switch m := m.(type) {
	case *Update:
		n.onUpdate(from, m)
	case Copy:
		n.onCopy(from, m)
	case Touch:
		if s := n.sessions[m.ID]; s != nil && n.obey(s, m.Reign) {
			s.used = n.now
		}
	case Ack:
		n.onAck(from, m)
	case Fenced:
		n.onFenced(from, m)
	case Need:
		n.onNeed(from, m)
	case Claim:
		n.onClaim(from, m)
	case Promise:
		n.onPromise(from, m)
	case Grant:
		n.onGrant(from, m)
	case Ask:
		n.onAsk(from, m)
	case WhoHas:
		n.send(from, Has{m.ID, n.knownReign(m.ID)})
	case Has:
		n.onHas(from, m)
	case Release:
		n.onRelease(from, m)
	case Homes:
		n.onHomes(from, m)
	case Level:
		n.onLevel(from, m)
	case Digest:
		n.onDigest(from, m)
	case Listing:
		n.onListing(from, m)
	}
}

// stray notes a message from a node that is not in the view: it left it by
// mistake, or is not in it yet, and may be a home all the same.
func (n *Node) stray(from NodeID) {
	if _, ok := n.gone[from]; !ok {
		n.gone[from] = n.now
	}
	n.strays[from] = n.now
}

func (n *Node) onNeed(from NodeID, m Need) {
	if s := n.sessions[m.ID]; s != nil && s.Known() {
		n.send(from, n.copyOf(s))
		return
	}
	n.send(from, Has{ID: m.ID})
}

// obey takes note of a reign; false if the node has promised a later one.
func (n *Node) obey(s *session, r Reign) bool {
	if r.Compare(s.promised) < 0 {
		return false
	}
	if s.claim != nil && r.Compare(s.claim.reign) > 0 {
		n.abandon(s, r.Home)
	}
	s.promised = r
	if r.Compare(s.reign) > 0 {
		s.reign = r
		s.acked, s.sent = nil, nil
	}
	return true
}

func (n *Node) onUpdate(from NodeID, m *Update) {
	s := n.get(m.Delta.ID)
	if s.Life.Kind != Live && m.Delta.Life.Kind == Live {
		n.send(from, n.copyOf(s))
		return
	}
	if !n.obey(s, m.Reign) {
		n.send(from, Fenced{s.ID, s.promised})
		return
	}
	s.used = n.now
	s.heard(from, m.Reign)
	if m.Sets != nil {
		s.sets = slices.Clone(m.Sets)
	}
	out := Gap // a patch that does not fit is as good as a change that is missing
	if d, err := m.Delta.resolve(s.State, n.cfg.Unpatch); err == nil {
		out = s.Apply(d)
	}
	switch out {
	case Gap:
		n.send(from, Need{s.ID})
		return
	case Applied:
		if s.Life.Kind != Live {
			s.endedAt = n.now
		}
	}
	if m.Successor != nil {
		t := n.get(m.Successor.ID)
		if n.merge(t, Copy{State: m.Successor, Sets: m.Sets}); n.obey(t, m.Reign) {
			t.sets = slices.Clone(m.Sets)
		}
	}
	n.send(from, Ack{s.ID, m.Reign, m.Delta.Dot, s.Sum()})
}

// onLevel notes that a peer has sent all it had, or tells it the same.
func (n *Node) onLevel(from NodeID, m Level) {
	if m.Ask {
		n.send(from, Level{})
	}
}

// copyOf is what this node has of a session, as a message.
func (n *Node) copyOf(s *session) Copy {
	since := s.used
	if s.Life.Kind != Live {
		since = s.endedAt
	}
	return Copy{s.reign, s.State.Clone(), slices.Clone(s.sets), n.now - since}
}

// merge joins a copy that came from elsewhere.
func (n *Node) merge(s *session, m Copy) Joined {
	if !m.State.Known() {
		return Joined{} // forgotten by its sender: nothing to learn, not even of a use
	}
	if at := n.now - m.Idle; !s.Known() || at > s.used {
		s.used = at
	}
	if len(s.sets) == 0 {
		s.sets = slices.Clone(m.Sets) // no copy without knowing who else must have one
	}
	j := s.Join(m.State)
	if j.Changed && s.Life.Kind != Live {
		s.endedAt = n.now - m.Idle // all forget it at about the same time
	}
	if j.Forked && n.isHome(s) {
		n.emit(Forked{s.ID, j.Shadowed})
	}
	return j
}

func (n *Node) onCopy(from NodeID, m Copy) {
	s := n.get(m.State.ID)
	if !s.Known() && m.State.Life.Kind == Live && from != m.Reign.Home && m.Idle > n.tooOld() {
		return // another backup's, which will soon forget it
	}
	j := n.merge(s, m)
	if j.Changed && n.isHome(s) {
		n.active[s.ID] = true // the owners may not have it: a tick tells them
	}
	if j.Changed && s.Life.Kind == Renamed && n.State(s.Life.NewID) == nil {
		n.send(from, Need{s.Life.NewID})
	}
	if !n.obey(s, m.Reign) {
		if from == m.Reign.Home {
			n.send(from, Fenced{s.ID, s.promised})
		}
		return
	}
	if from != m.Reign.Home {
		return
	}
	s.heard(from, m.Reign)
	if m.Sets != nil {
		s.sets = slices.Clone(m.Sets)
	}
	if m.Reign.Home != n.cfg.Self {
		n.releaseCovered(s, m.State)
	}
	if s.Life.Kind == Renamed && n.State(s.Life.NewID) == nil && m.Idle < n.cfg.AckTimeout {
		return // half of a rename is none: what it became has been asked for
	}
	latest := (&session{State: m.State}).latest()
	n.send(from, Ack{s.ID, m.Reign, latest, s.Sum()})
	if !s.SameAs(m.State) {
		n.send(from, n.copyOf(s))
	}
}

// releaseCovered answers the requests of a former home's writes that the new
// home's copy includes: another owner has them now. Where more than one other
// must have them, nobody knows that they do: the answer is degraded, or in the
// strict profile does not come before the time is up.
func (n *Node) releaseCovered(s *session, theirs *State) {
	for !n.cfg.Strict && len(s.writes) > 0 && (theirs.Life.Kind != Live || theirs.Seen.Covers(s.writes[0].dot)) {
		n.emit(Released{Write: s.writes[0].id, Degraded: n.cfg.Ack == AckQuorum || n.cfg.Ack == AckAll})
		s.writes = s.writes[1:]
	}
}

// onRelease forgets a session that is no longer this node's to keep.
func (n *Node) onRelease(from NodeID, m Release) {
	s := n.sessions[m.ID]
	if s == nil || s.reign != m.Reign || s.promised != m.Reign || from != m.Reign.Home || s.claim != nil || len(s.waiting) > 0 {
		return
	}
	s.heard(from, m.Reign)
	switch {
	case !s.Known(): // forgotten already
	case s.Life.Kind != Live:
		// Kept for its time: a copy that is still on its way must not revive it.
		s.released = true
	case !slices.Equal(s.Heads, m.Heads):
		n.send(from, n.copyOf(s))
	default:
		n.drop(s)
	}
}

// drop forgets a copy, but keeps the promise for a while, and the owner set that
// was promised: a stale message or copy must not find them gone.
func (n *Node) drop(s *session) {
	s.State, s.used = &State{ID: s.ID}, n.now
	s.acked, s.sent, s.claim = nil, nil, nil
	delete(n.active, s.ID)
}

func (n *Node) forget(s *session) {
	delete(n.sessions, s.ID)
	delete(n.active, s.ID)
}

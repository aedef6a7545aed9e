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
		n.onTouch(m)
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
	if i, sl := n.find(m.ID); i != 0 {
		if s := n.look(sl); s.Known() {
			n.send(from, n.copyOf(s))
			return
		}
	}
	n.send(from, Has{ID: m.ID})
}

// onTouch notes a use at home. Most sessions of which it tells are packed, and
// stay so.
func (n *Node) onTouch(m Touch) {
	i, sl := n.find(m.ID)
	if i == 0 {
		return
	}
	if sl.flags&slotPacked != 0 {
		r := reader{b: n.arena.Bytes(sl.ref)}
		if f := r.byte(); f&(packPromised|packMine) == 0 && r.reign() == m.Reign {
			sl.used = n.now
			return
		}
	}
	s := n.unpacked(i, sl)
	n.obey(s, m.Reign)
	if s.Life.Kind == Live {
		sl.used = n.now // in whatever reign: somebody was served
	}
	n.note(s)
}

// obey takes note of a reign; false if the node has promised a later one.
func (n *Node) obey(s *session, r Reign) bool {
	if r.Compare(s.promised) < 0 {
		return false
	}
	if r == s.promised && r == s.reign {
		return true
	}
	if r.Home == n.cfg.Self {
		// Hearsay of a reign of one's own: a grant that is on its way, or a
		// claim that is not won yet. It does not begin by that.
		if s.claim == nil {
			s.promised = r
		}
		return true
	}
	if s.claim != nil && r.Compare(s.claim.reign) > 0 {
		n.abandon(s, r.Home)
	}
	s.promised = r
	if r.Compare(s.reign) > 0 {
		s.reign = r
		n.clearPeers(s)
	}
	n.lose(s, r.Home)
	return true
}

func (n *Node) onUpdate(from NodeID, m *Update) {
	s := n.get(m.Delta.ID)
	n.update(from, s, m)
	n.note(s)
}

func (n *Node) update(from NodeID, s *session, m *Update) {
	if s.Life.Kind != Live && m.Delta.Life.Kind == Live {
		n.send(from, n.copyOf(s))
		return
	}
	if !n.obey(s, m.Reign) {
		n.send(from, Fenced{s.ID, s.promised})
		return
	}
	s.slot.used, s.fresh = n.now, n.now
	s.heard(from, m.Reign)
	out, dot := n.apply(s, m), m.Delta.Dot
	if out == Gap {
		n.park(from, s, m)
		return
	}
	if m.Successor != nil {
		n.succeed(from, m) // also where the end has come another way
	}
	if out == Applied && len(s.parked) > 0 {
		dot = MaxDot(dot, n.unpark(s))
	}
	n.send(from, Ack{s.ID, m.Reign, dot, s.sumNow()})
}

// apply makes an update's changes if the copy is what they build on.
func (n *Node) apply(s *session, m *Update) Outcome {
	d, err := m.Delta.resolve(s.State, n.cfg.Unpatch)
	if err != nil {
		return Gap // a patch that does not fit is as good as a change that is missing
	}
	keep := s.keep
	if d.Life.Kind != Live && s.Life.Kind == Live {
		keep = n.keepDead(s)
	}
	out := s.Apply(d)
	if out == Applied {
		if d.Life.Kind != Live {
			n.ended(s, 0, keep)
		}
		if m.Sets != nil {
			s.sets = slices.Clone(m.Sets)
		}
	}
	return out
}

// succeed takes what a renamed session has become.
func (n *Node) succeed(from NodeID, m *Update) {
	t := n.get(m.Successor.ID)
	n.merge(t, Copy{State: m.Successor, Sets: m.Sets})
	if n.obey(t, m.Reign) {
		if m.Sets != nil {
			t.sets = slices.Clone(m.Sets)
		}
		n.send(from, Ack{t.ID, m.Reign, m.Successor.latest(), t.sumNow()})
	}
	n.note(t)
}

const (
	maxParked = 64
	// parkTime is how long a change waits for those that it builds on before
	// they are asked for: they are on their way, as a rule.
	parkTime = 20 * time.Millisecond
)

// park keeps a change that came too early.
func (n *Node) park(from NodeID, s *session, m *Update) {
	fits := slices.Equal(s.Heads, m.Delta.Base) // but a patch in it does not
	if fits || len(s.parked) >= maxParked {
		n.send(from, Need{s.ID})
		return
	}
	if len(s.parked) == 0 {
		s.parkedAt = n.now + parkTime
	}
	if !slices.ContainsFunc(s.parked, func(p *Update) bool { return p.Delta.Dot == m.Delta.Dot }) {
		s.parked = append(s.parked, m)
	}
}

// unpark applies what was waiting for the changes that have just come, and drops
// what came by another way or is out of date. It returns the highest dot.
func (n *Node) unpark(s *session) (last Dot) {
	for again := true; again; {
		again = false
		keep := s.parked[:0]
		for _, m := range s.parked {
			switch {
			case m.Reign.Compare(s.promised) < 0 || s.Life.Kind != Live:
			case again:
				keep = append(keep, m)
			default:
				out := n.apply(s, m)
				if out == Applied {
					again, last = true, m.Delta.Dot
				} else if out == Gap {
					keep = append(keep, m)
				}
			}
		}
		clear(s.parked[len(keep):])
		s.parked = keep
	}
	if len(s.parked) == 0 {
		s.parked = nil
	}
	return last
}

// askParked asks for what parked changes wait for.
func (n *Node) askParked(s *session) {
	if len(s.parked) == 0 || n.now < s.parkedAt {
		return
	}
	s.parkedAt = n.now + n.cfg.Retry
	if home := s.promised.Home; n.alive(home) {
		n.send(home, Need{s.ID})
		return
	}
	s.parked = nil // what they wait for is lost, or comes with a claim
}

// copyOf is what this node has of a session, as a message.
func (n *Node) copyOf(s *session) Copy {
	since := s.slot.used
	if s.Life.Kind != Live {
		since = s.endedAt
	}
	return Copy{Reign: s.reign, State: s.State.Clone(), Sets: n.setsOf(s), Idle: n.now - since}
}

// merge joins a copy that came from elsewhere.
func (n *Node) merge(s *session, m Copy) Joined {
	if !m.State.Known() {
		return Joined{} // forgotten by its sender: nothing to learn, not even of a use
	}
	if at := n.now - m.Idle; !s.Known() || at > s.slot.used {
		s.slot.used = at
	}
	for _, set := range m.Sets {
		addSet(s, set) // no copy without knowing who else must have one
	}
	live, keep := s.Life.Kind == Live, s.keep
	if live && m.State.Life.Kind != Live {
		keep = n.keepDead(s)
	}
	j := s.Join(m.State)
	if !j.Changed {
		return j
	}
	if s.Life.Kind != Live {
		n.ended(s, m.Idle, keep) // all forget it at about the same time
		n.lose(s, 0)
	}
	if s.mine {
		n.emit(Refreshed{s.ID})
	}
	if n.isHome(s) {
		n.outdated(s)
	}
	if j.Forked && (n.isHome(s) || n.handing(s)) {
		// Who is about to become the home finds the fork in the next grant, and
		// takes it for counted.
		n.emit(Forked{s.ID, j.Shadowed})
	}
	if len(s.parked) > 0 {
		if dot := n.unpark(s); !dot.IsZero() && n.alive(s.reign.Home) && s.reign.Home != n.cfg.Self {
			n.send(s.reign.Home, Ack{s.ID, s.reign, dot, s.sumNow()})
		}
	}
	return j
}

func (n *Node) onCopy(from NodeID, m Copy) {
	i, sl := n.find(m.State.ID)
	if m.State.Life.Kind == Live && from != m.Reign.Home && (i == 0 || sl.sum == 0) && m.Idle > n.tooOld(n.timeout(&session{State: m.State})) {
		return // another backup's, which will soon forget it
	}
	if i == 0 && n.takeAtRest(from, m) {
		return
	}
	m = m.own()
	s := n.get(m.State.ID)
	if i == 0 {
		s.fresh = n.now - max(n.cfg.Pack, 0) // most copies are of sessions at rest
		n.soon(s)
	}
	n.takeCopy(from, s, m)
	n.note(s)
}

func (n *Node) takeCopy(from NodeID, s *session, m Copy) {
	if m.Idle < n.cfg.Pack {
		s.fresh = n.now
	}
	if j := n.merge(s, m); j.Changed && s.Life.Kind == Renamed && n.State(s.Life.NewID) == nil {
		n.send(from, Need{s.Life.NewID})
	}
	if !n.obey(s, m.Reign) {
		n.send(from, Fenced{s.ID, s.promised}) // home or not: its copy is to find the home
		n.correct(from, s, m.State)
		return
	}
	if from != m.Reign.Home {
		n.correct(from, s, m.State)
		return
	}
	s.heard(from, m.Reign)
	if m.Sets != nil {
		takeSets(s, m.Sets)
	}
	if m.Reign.Home != n.cfg.Self {
		n.releaseCovered(s, m.State)
	}
	if s.Life.Kind == Renamed && m.Idle < 2*n.cfg.AckTimeout && n.State(s.Life.NewID) == nil {
		// Half of a rename is none: what it became has been asked for. (Twice, for its
		// home may see that the time is over with its next tick only.)
		return
	}
	n.send(from, Ack{s.ID, m.Reign, m.State.latest(), s.sumNow()})
	if m.State.Known() && !s.SameAs(m.State) {
		n.send(from, n.copyOf(s))
	}
}

// correct sends the copy of the home, or of one that wants to be it and perhaps
// cannot, to a node that has less; and word of an end, which counts whoever has it.
func (n *Node) correct(from NodeID, s *session, theirs *State) {
	over := s.Life.Kind != Live && theirs.Life.Kind == Live
	if (over || n.believedHome(s) == n.cfg.Self) && !s.SameAs(theirs) {
		n.send(from, n.copyOf(s))
	}
}

// releaseCovered answers the requests of a former home's writes that the new
// home's copy includes: another owner has them now. Where more than one other
// must have them, nobody knows that they do: the answer is degraded, or does not
// come before the time is up where that is no answer.
func (n *Node) releaseCovered(s *session, theirs *State) {
	several := n.cfg.Ack == AckQuorum || n.cfg.Ack == AckAll
	if n.cfg.Strict || several && n.cfg.FailOnTimeout || theirs.Life.Kind != Live && n.halfRenamed(s) {
		return
	}
	for len(s.writes) > 0 && (theirs.Life.Kind != Live || theirs.Seen.Covers(s.writes[0].dot)) {
		n.emit(Released{Write: s.writes[0].id, Degraded: several})
		s.writes = slices.Delete(s.writes, 0, 1)
	}
}

// onRelease forgets a session that is no longer this node's to keep.
func (n *Node) onRelease(from NodeID, m Release) {
	s := n.lookup(m.ID)
	if s != nil && m.Reign.Compare(s.promised) < 0 {
		n.send(from, Fenced{s.ID, s.promised}) // it was overtaken while it claimed
	}
	if s == nil || s.promised != m.Reign || from != m.Reign.Home || s.claim != nil || len(s.waiting) > 0 {
		return
	}
	n.obey(s, m.Reign)
	s.heard(from, m.Reign)
	switch {
	case !s.Known(): // forgotten already
	case s.Life.Kind != Live && len(m.Heads) > 0:
		n.send(from, n.copyOf(s)) // it lives there: word of its end was lost
	case s.Life.Kind != Live:
		// Kept for its time: a copy that is still on its way must not revive it.
		s.released = true
	case !slices.Equal(s.Heads, m.Heads):
		n.send(from, n.copyOf(s))
	default:
		n.drop(s)
		s.hint, s.hintUntil, s.hintView = m.Reign, n.now+hintTime, n.view
	}
	n.note(s)
}

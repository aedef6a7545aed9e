package replica

import (
	"slices"
	"time"
)

// Create makes this node the home of a new session. Nothing is sent before the
// first Commit.
func (n *Node) Create(now time.Duration, id SessionID) {
	n.at(now)
	s := n.get(id)
	if s.Known() || s.promised.Epoch > 0 {
		return // no new session: ids are not given twice
	}
	s.reign = Reign{Epoch: 1, Home: n.cfg.Self}
	s.promised, s.confirmed, s.slot.used, s.mine = s.reign, n.now, n.now, true
	if n.cfg.Strict {
		s.sets = []OwnerSet{{Reign: s.reign, Nodes: n.placed(s), First: true}}
	}
	n.note(s)
}

// writable returns a living session that is at home here; if it is none, the
// write's request is told so.
func (n *Node) writable(write uint64, id SessionID) *session {
	s := n.lookup(id)
	if s == nil || !n.isHome(s) || s.Life.Kind != Live {
		n.emit(Released{Write: write, Failed: true})
		return nil
	}
	return s
}

// Commit makes the changes of one request that Serve was the verdict on.
// Released tells when the request may be answered; of a session that is not at
// home here any more, that it must be refused. The ops are n's from then on.
func (n *Node) Commit(now time.Duration, id uint64, sid SessionID, ops []Op) {
	n.at(now)
	s := n.writable(id, sid)
	if s == nil {
		return
	}
	u := &Update{Reign: s.reign}
	if !s.Known() && n.cfg.Strict {
		u.Sets = slices.Clone(s.sets)
	}
	for i := range ops {
		if v, ok := s.Get(ops[i].Key); ok {
			ops[i].Old = v.Value
		}
	}
	u.Delta = Delta{ID: s.ID, Base: u.baseOf(s.Heads), Dot: n.nextDot(s), Ops: ops}
	s.apply(u.Delta)
	n.replicate(s, id, u)
}

// baseOf copies the heads that an update builds on.
func (u *Update) baseOf(heads []Dot) []Dot { return append(u.base[:0:len(u.base)], heads...) }

// End ends a session at home. One that has not been confirmed since the node was
// stopped does not expire before it is: it may be in use elsewhere.
func (n *Node) End(now time.Duration, id uint64, sid SessionID, reason Reason) {
	n.at(now)
	s := n.writable(id, sid)
	if s == nil {
		return
	}
	if reason == Expired && s.confirmed < n.resumed {
		n.startClaim(s)
		n.note(s)
		n.emit(Released{Write: id, Failed: true})
		return
	}
	keep := n.keepDead(s)
	d := s.State.End(Life{Kind: Dead, Dot: n.nextDot(s), Reason: reason})
	n.ended(s, 0, keep)
	s.mine = false
	n.replicate(s, id, &Update{Reign: s.reign, Delta: d})
}

// Rename gives a session at home a new id: the old one ends, and the content
// lives on under the new one, in one step everywhere.
func (n *Node) Rename(now time.Duration, id uint64, sid, newID SessionID) {
	n.at(now)
	s := n.writable(id, sid)
	if s == nil {
		return
	}
	next := s.State.Clone()
	next.ID = newID
	dot := n.nextDot(s)
	// The new id is a session of its own: its first version is new too.
	_ = next.Write(dot, nil)
	t := n.get(newID)
	promised, sets := s.inherit()
	t.State, t.reign, t.confirmed, t.sets = next, s.reign, s.confirmed, sets
	t.mine, t.slot.used, t.fresh = true, n.now, n.now
	if t.promised.Compare(promised) < 0 {
		t.promised = promised
	}
	keep := n.keepDead(s)
	d := s.State.End(Life{Kind: Renamed, Dot: dot, NewID: newID})
	n.ended(s, 0, keep)
	s.mine = false
	// The owners get it with the end of the old one.
	for _, o := range n.ownersFor(t) {
		if o != n.cfg.Self {
			*t.peerFor(o) = peerCopy{node: o, owed: true, sent: n.now}
		}
	}
	n.soon(t)
	n.note(t)
	n.replicate(s, id, &Update{Reign: s.reign, Delta: d, Successor: next.Clone(), Sets: slices.Clone(t.sets)})
}

// replicate sends a change to the other owners and waits for their acks.
func (n *Node) replicate(s *session, id uint64, u *Update) {
	s.slot.used, s.touched, s.fresh = n.now, n.now, n.now
	w := write{id: id, dot: u.Delta.Dot, deadline: n.now + n.cfg.AckTimeout}
	if u.Successor != nil {
		w.next = u.Successor.ID
	}
	s.writes = append(s.writes, w)
	for _, o := range n.ownersFor(s) {
		if o == n.cfg.Self {
			continue
		}
		p := s.peer(o)
		switch {
		case n.lagging(o):
			p = s.peerFor(o)
			p.sent = notSent
		case len(u.Delta.Base) == 0 || u.Delta.Life.Kind != Live || p.canFollow():
			n.send(o, u)
			p = s.peerFor(o)
			p.sent = n.now
		default:
			// It has nothing that the change could build on, or not yet.
			n.send(o, n.copyOf(s))
			p = s.peerFor(o)
			p.sent, p.slow = n.now, false
		}
		p.owed = true
	}
	n.settle(s)
	n.note(s)
}

// canFollow reports whether the node has what a change builds on, or will have when the
// change comes.
func (p *peerCopy) canFollow() bool {
	return p != nil && (!p.owed && !p.acked.IsZero() || p.owed && !p.slow && p.sent != notSent)
}

func (n *Node) onAck(from NodeID, m Ack) {
	if n.delivered(from, m) {
		return
	}
	s := n.lookup(m.ID)
	if s == nil || m.Reign != s.reign || s.reign.Home != n.cfg.Self {
		return
	}
	p := s.peerFor(from)
	p.acked = MaxDot(p.acked, m.Dot)
	if m.Sum == s.sumNow() {
		p.owed, p.slow = false, false // level: nothing to send again
		if latest := s.latest(); p.acked.Compare(latest) > 0 {
			p.acked = latest // it had a change with a higher dot, over which the end has come
		}
		n.bulkDone(p)
		if len(s.peers) >= len(n.ownersFor(s)) || s.Life.Kind != Live || n.packsAt(s) <= n.now {
			n.soon(s) // others may forget the session; or it may be packed now
		}
	}
	n.settle(s)
	n.otherHalf(from, s)
	n.note(s)
}

// noteCopy notes that a node has a copy, of whatever age.
func (s *session) noteCopy(of NodeID) { s.peerFor(of) }

// settle releases the writes that have their acks. A home that has heard of a later
// reign waits for word from there: the next home may lack what others of its own
// reign have.
func (n *Node) settle(s *session) {
	if s.reign.Home != n.cfg.Self || s.promised.Home != n.cfg.Self {
		return
	}
	if last := len(s.sets) - 1; n.cfg.Strict && last > 0 && s.sets[last].Reign == s.reign && n.majorityHas(s, s.sets[last].Nodes, s.latest()) {
		n.succeedSets(s)
	}
	k := 0
	for ; k < len(s.writes); k++ {
		done, degraded := n.acknowledged(s, s.writes[k].dot)
		if !done {
			break
		}
		n.emit(Released{Write: s.writes[k].id, Degraded: degraded})
	}
	s.writes = slices.Delete(s.writes, 0, k)
}

// acknowledged says whether the policy is satisfied. A peer that lags is not
// waited for; if no other owner at all has the change, or no majority of all where
// the policy wants one, it counts as degraded.
func (n *Node) acknowledged(s *session, dot Dot) (done, degraded bool) {
	have, all, active := 0, 0, 0 // other owners; active ones do not lag, or have it all the same
	for _, o := range n.ownersFor(s) {
		if o == n.cfg.Self {
			continue
		}
		all++
		if dot.Compare(s.ackedBy(o)) <= 0 {
			have++
			active++
		} else if !n.lagging(o) {
			active++
		}
	}
	if n.cfg.Strict {
		for _, set := range s.sets {
			if !n.majorityHas(s, set.Nodes, dot) {
				return false, false
			}
		}
	}
	degraded = have == 0
	switch n.cfg.Ack {
	case AckNone:
		return true, false
	case AckAll:
		return have == active, degraded
	case AckQuorum:
		return have+1 >= (active+1)/2+1, have+1 < (all+1)/2+1
	}
	return have >= 1 || active == 0, degraded
}

func (n *Node) majorityHas(s *session, nodes []NodeID, dot Dot) bool {
	have := 0
	for _, o := range nodes {
		if o == n.cfg.Self || dot.Compare(s.ackedBy(o)) <= 0 {
			have++
		}
	}
	return have >= n.majorityOf(nodes)
}

// expireWrites answers the requests whose acks did not come in time.
func (n *Node) expireWrites(s *session) {
	k := 0
	for ; k < len(s.writes) && s.writes[k].deadline <= n.now; k++ {
		fail := n.cfg.FailOnTimeout || n.cfg.Strict || s.reign.Home != n.cfg.Self || s.promised.Home != n.cfg.Self
		n.emit(Released{Write: s.writes[k].id, Degraded: !fail, Failed: fail})
	}
	s.writes = slices.Delete(s.writes, 0, k)
}

package replica

import (
	"maps"
	"slices"
	"time"
)

// write is a change that waits for its acks.
type write struct {
	id       uint64
	dot      Dot
	deadline time.Duration
}

// Create makes this node the home of a new session. Nothing is sent before the
// first Commit.
func (n *Node) Create(now time.Duration, id SessionID) {
	n.at(now)
	s := n.get(id)
	s.reign = Reign{Epoch: 1, Home: n.cfg.Self}
	s.promised, s.confirmed, s.used = s.reign, n.now, n.now
	s.sets = []OwnerSet{{s.reign, n.ownersOf(s)}}
}

// Commit makes the changes of one request that Serve was the verdict on.
// Released tells when the request may be answered. The ops are n's from then on.
func (n *Node) Commit(now time.Duration, id uint64, sid SessionID, ops []Op) {
	n.at(now)
	s := n.sessions[sid]
	if s == nil || !n.isHome(s) || s.Life.Kind != Live {
		n.emit(Released{Write: id, Failed: true})
		return
	}
	fresh := !s.Known()
	for i := range ops {
		if v, ok := s.Get(ops[i].Key); ok {
			ops[i].Old = v.Value
		}
	}
	u := &Update{Reign: s.reign, Delta: s.Write(n.nextDot(s), ops)}
	if fresh && n.cfg.Strict {
		u.Sets = slices.Clone(s.sets)
	}
	n.replicate(s, id, u)
}

// End ends a session at home.
func (n *Node) End(now time.Duration, id uint64, sid SessionID, reason Reason) {
	n.at(now)
	s := n.sessions[sid]
	if s == nil || !n.isHome(s) || s.Life.Kind != Live {
		n.emit(Released{Write: id, Failed: true})
		return
	}
	d := s.State.End(Life{Kind: Dead, Dot: n.nextDot(s), Reason: reason})
	s.endedAt = n.now
	n.replicate(s, id, &Update{Reign: s.reign, Delta: d})
}

// Rename gives a session at home a new id: the old one ends, and the content
// lives on under the new one, in one step everywhere.
func (n *Node) Rename(now time.Duration, id uint64, sid, newID SessionID) {
	n.at(now)
	s := n.sessions[sid]
	if s == nil || !n.isHome(s) || s.Life.Kind != Live {
		n.emit(Released{Write: id, Failed: true})
		return
	}
	next := s.State.Clone()
	next.ID = newID
	dot := n.nextDot(s)
	// The new id is a session of its own: its first version is new too.
	_ = next.Write(dot, nil)
	t := n.get(newID)
	t.State, t.reign, t.confirmed, t.used, t.sets = next, s.reign, s.confirmed, s.used, slices.Clone(s.sets)
	if t.promised.Compare(s.promised) < 0 {
		t.promised = s.promised
	}
	d := s.State.End(Life{Kind: Renamed, Dot: dot, NewID: newID})
	s.endedAt = n.now
	n.active[newID] = true
	n.replicate(s, id, &Update{Reign: s.reign, Delta: d, Successor: next.Clone(), Sets: slices.Clone(t.sets)})
}

// replicate sends a change to the other owners and waits for their acks.
func (n *Node) replicate(s *session, id uint64, u *Update) {
	s.used, s.touched = n.now, n.now
	s.writes = append(s.writes, &write{id, u.Delta.Dot, n.now + n.cfg.AckTimeout})
	for _, o := range n.others(s) {
		n.send(o, u)
		s.markSent(o, n.now)
	}
	n.active[s.ID] = true
	n.settle(s)
}

func (s *session) markSent(o NodeID, now time.Duration) {
	if s.sent == nil {
		s.sent = map[NodeID]time.Duration{}
	}
	s.sent[o] = now
}

func (n *Node) onAck(from NodeID, m Ack) {
	s := n.sessions[m.ID]
	if s == nil || m.Reign != s.reign || s.reign.Home != n.cfg.Self {
		return
	}
	s.noteCopy(from)
	s.acked[from] = MaxDot(s.acked[from], m.Dot)
	if m.Sum == s.Sum() {
		delete(s.sent, from) // level: nothing to send again
	}
	if !slices.Contains(n.others(s), from) {
		n.active[s.ID] = true // it may forget the session: a tick tells it
	}
	n.settle(s)
}

// noteCopy notes that a node has a copy, of whatever age.
func (s *session) noteCopy(of NodeID) {
	if s.acked == nil {
		s.acked = map[NodeID]Dot{}
	}
	s.acked[of] = MaxDot(s.acked[of], Dot{})
}

// settle releases the writes that have their acks.
func (n *Node) settle(s *session) {
	if s.reign.Home != n.cfg.Self {
		return
	}
	if n.cfg.Strict && len(s.sets) > 1 && n.majorityHas(s, s.sets[len(s.sets)-1].Nodes, s.latest()) {
		// The new owners have all there is: the earlier ones are needed no more.
		s.sets = s.sets[len(s.sets)-1:]
	}
	for len(s.writes) > 0 {
		w := s.writes[0]
		done, degraded := n.acknowledged(s, w.dot)
		if !done {
			return
		}
		s.writes = s.writes[1:]
		n.emit(Released{Write: w.id, Degraded: degraded})
	}
}

// latest is the change that stands for all that the copy includes.
func (s *session) latest() Dot {
	if s.Life.Kind != Live || len(s.Heads) == 0 {
		return s.Life.Dot
	}
	return s.Heads[len(s.Heads)-1]
}

func (n *Node) acknowledged(s *session, dot Dot) (done, degraded bool) {
	others := n.others(s)
	have := 0
	for _, o := range others {
		if dot.Compare(s.acked[o]) <= 0 {
			have++
		}
	}
	if n.cfg.Strict {
		for _, set := range s.sets {
			if !n.majorityHas(s, set.Nodes, dot) {
				return false, false
			}
		}
	}
	switch n.cfg.Ack {
	case AckNone:
		return true, false
	case AckAll:
		return have == len(others), len(others) == 0
	case AckQuorum:
		return have+1 >= (len(others)+1)/2+1, len(others) == 0
	}
	return have >= 1 || len(others) == 0, len(others) == 0
}

func (n *Node) majorityHas(s *session, nodes []NodeID, dot Dot) bool {
	have := 0
	for _, o := range nodes {
		if o == n.cfg.Self || dot.Compare(s.acked[o]) <= 0 {
			have++
		}
	}
	return have >= len(nodes)/2+1
}

// resync sends the whole copy to the owners that have not said that they are
// level, and tells nodes that are owners no more that they may forget it.
// It reports whether there is nothing left to do.
func (n *Node) resync(s *session) (level bool) {
	level = true
	for _, o := range n.others(s) {
		at, owed := s.sent[o]
		if !owed && s.acked[o] == s.latest() {
			continue
		}
		level = false
		if !owed || n.now-at >= n.cfg.Retry {
			n.send(o, n.copyOf(s))
			s.markSent(o, n.now)
		}
	}
	return level
}

// release tells those who hold a copy without being owners to forget it.
func (n *Node) release(s *session) {
	others := n.others(s)
	for _, o := range slices.Sorted(maps.Keys(s.acked)) {
		if !slices.Contains(others, o) {
			if n.alive(o) {
				n.send(o, Release{s.ID, s.reign, slices.Clone(s.Heads)})
			}
			delete(s.acked, o)
			delete(s.sent, o)
		}
	}
}

// expireWrites answers the requests whose acks did not come in time.
func (n *Node) expireWrites(s *session) {
	for len(s.writes) > 0 && s.writes[0].deadline <= n.now {
		w := s.writes[0]
		s.writes = s.writes[1:]
		fail := n.cfg.FailOnTimeout || n.cfg.Strict || s.reign.Home != n.cfg.Self
		n.emit(Released{Write: w.id, Degraded: !fail, Failed: fail})
	}
}

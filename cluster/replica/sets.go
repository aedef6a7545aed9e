package replica

import (
	"slices"
	"time"
)

// Owner sets, of the strict profile. Each reign announces who must hold the session,
// and a claim needs a majority of each set that is not yet done with. A node that is
// known to be over is replaced by nobody (0) in the sets, which tell others of it
// wherever they go: who has started since cannot know.

// majorityOf is how many of an owner set must agree in the strict profile: a
// majority, or all whose memory is not known to be lost if those are fewer. Then
// everyone who can still have a change, or a promise, is among them, so that two
// majorities meet as before; and a set that some of its nodes have left for ever
// does not keep its session from being served. It is one at least.
//
// Fewer than a majority do not suffice while a node is out of sight that may be
// alive: those who are over may have promised it a later reign before they went,
// and nobody who is left here knows.
func (n *Node) majorityOf(nodes []NodeID) int {
	left, most := 0, len(nodes)/2+1
	for _, id := range nodes {
		if !n.isOver(id) {
			left++
		}
	}
	if left < most && n.outOfSight() {
		return most
	}
	return max(1, min(most, left))
}

// sightAfter is for how long after a pause a node's view may be of before it: nodes that
// have come meanwhile may be missing, until membership has brought the news.
const sightAfter = 5 * time.Second

// outOfSight reports whether a node that was in the view has left it, and is not known
// to be over; or whether there may be one that is not in the view yet.
func (n *Node) outOfSight() bool {
	if n.resumed > 0 && n.now-n.resumed < sightAfter {
		return true
	}
	for id := range n.former {
		if !n.isOver(id) {
			return true
		}
	}
	return false
}

// isOver reports whether an incarnation of a node is known to be no more: its
// process was seen to end, or the node of its name is there as another one.
func (n *Node) isOver(id NodeID) bool {
	if id == 0 || n.isDead(id) {
		return true
	}
	name, known := n.former[id]
	return known && slices.ContainsFunc(n.members, func(m Member) bool { return m.Name == name && m.ID != id })
}

func (n *Node) majoritiesPromised(s *session) bool {
	if len(s.sets) < 2 {
		return false // whose majority?
	}
	n.markSets(s)
	for _, set := range s.sets {
		if set.Reign == s.claim.reign {
			continue
		}
		have := 0
		for _, id := range set.Nodes {
			if id == n.cfg.Self || s.claim.promised[id] {
				have++
			}
		}
		if have < n.majorityOf(set.Nodes) {
			return false
		}
	}
	return true
}

// setsOf are the owner sets of a session, for a message.
func (n *Node) setsOf(s *session) []OwnerSet {
	n.markSets(s)
	return slices.Clone(s.sets)
}

// markSets replaces nodes that are over by nobody. The slices of nodes are shared
// with messages, and replaced.
func (n *Node) markSets(s *session) {
	for i := range s.sets {
		set := &s.sets[i]
		for j, id := range set.Nodes {
			if id != 0 && n.isOver(id) {
				set.strike(j)
			}
		}
	}
}

func (o *OwnerSet) strike(j int) {
	o.Nodes = slices.Clone(o.Nodes)
	o.Nodes[j] = 0
}

// succeedSets ends the time of the earlier owners, since the new ones have all there
// is. Whoever has promised anything is told: it would ask for the earlier owners'
// majority when this home has gone, and they may have gone by then too.
func (n *Node) succeedSets(s *session) {
	last := s.sets[len(s.sets)-1]
	last.First = true
	s.sets = []OwnerSet{last}
	for i := range s.peers {
		if to := s.peers[i].node; n.alive(to) && !n.lagging(to) {
			n.send(to, Copy{Reign: s.reign, State: &State{ID: s.ID}, Sets: slices.Clone(s.sets), Idle: n.now - s.slot.used})
		}
	}
}

// addSet notes an owner set, or what else is known of it, and forgets those that are
// done with.
func addSet(s *session, set OwnerSet) {
	i := slices.IndexFunc(s.sets, func(o OwnerSet) bool { return o.Reign == set.Reign })
	if i < 0 {
		s.sets = append(s.sets, set)
		slices.SortFunc(s.sets, func(a, b OwnerSet) int { return a.Reign.Compare(b.Reign) })
	} else {
		o := &s.sets[i]
		o.First = o.First || set.First
		for j, id := range set.Nodes {
			if id == 0 && j < len(o.Nodes) && o.Nodes[j] != 0 {
				o.strike(j)
			}
		}
	}
	for i := len(s.sets) - 1; i > 0; i-- {
		if s.sets[i].First {
			s.sets = slices.Clone(s.sets[i:])
			break
		}
	}
}

// takeSets takes the owner sets that the home tells, but for what is known since: a
// copy that could wait may come after the word that the earlier owners are done with.
func takeSets(s *session, sets []OwnerSet) {
	old := s.sets
	s.sets = slices.Clone(sets)
	for _, o := range old {
		if slices.ContainsFunc(sets, func(set OwnerSet) bool { return set.Reign == o.Reign }) {
			addSet(s, o)
		}
	}
}

// Sets are the owner sets of a session that still count, as far as this node knows;
// nil if there are none. They must not be modified.
func (n *Node) Sets(id SessionID) []OwnerSet {
	i, sl := n.find(id)
	if i == 0 {
		return nil
	}
	return n.look(sl).sets
}

package replica

import "slices"

// A set of owners wears out: each of its nodes that starts again comes back without
// its memory, and once all have, nobody is left whose promise would tell a claimer
// that it is the only one; and where nodes come, others are the owners. So a home whose
// owners have all there is, but are not those of its set any more, claims its own session:
// the next reign's set are the nodes that have it now. It goes on serving meanwhile. (A
// node that is out of sight is not replaced: it may be back soon.)

// renewing reports whether the home itself claims the session.
func (s *session) renewing() bool {
	return s.claim != nil && s.claim.renew && s.promised == s.claim.reign
}

// worn reports whether a session at home needs another owner set, and can have it.
func (n *Node) worn(s *session) bool {
	if !n.cfg.Strict || len(s.sets) != 1 || s.Life.Kind != Live || s.claim != nil || len(s.writes) > 0 || s.confirmed < n.resumed {
		return false
	}
	nodes := s.sets[0].Nodes
	owners := n.placed(s)
	replaced := func(id NodeID) bool { return n.isOver(id) || n.alive(id) && !slices.Contains(owners, id) }
	if !slices.ContainsFunc(nodes, replaced) || slices.ContainsFunc(owners, n.isOver) {
		return false
	}
	have := 0
	for _, id := range nodes {
		if n.alive(id) {
			have++
		}
	}
	return have >= n.majorityOf(nodes)
}

// renew begins a new reign of the home that is, if its owner set is worn: all owners
// are level.
func (n *Node) renew(s *session) {
	switch {
	case !n.worn(s):
	case n.adopting >= maxAdopting:
		n.schedule(s.number, s.slot, n.now+stallRetry)
	default:
		n.startClaimAs(s, true)
	}
}

// renewed is what follows from a home's claim. The session may have been changed or
// ended meanwhile: its owners refuse that in the reign that was, and get it now.
func (n *Node) renewed(s *session, c *claim) {
	s.reign, s.promised, s.confirmed = c.reign, c.reign, n.now
	n.clearPeers(s)
	for _, id := range c.holders {
		s.noteCopy(id)
	}
	n.resync(s)
	v := Serve
	if s.Life.Kind != Live {
		v = Unknown
	}
	n.answer(s, Answer{Verdict: v})
	n.settle(s)
}

// inherit are the owner sets of what a session at home becomes by another id: that of
// a reign which has not begun is none.
func (s *session) inherit() (Reign, []OwnerSet) {
	if !s.renewing() {
		return s.promised, slices.Clone(s.sets)
	}
	return s.reign, slices.DeleteFunc(slices.Clone(s.sets), func(o OwnerSet) bool { return o.Reign == s.claim.reign })
}

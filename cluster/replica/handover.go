package replica

import "time"

// HandOver makes another node the home of a session, by the caller's decision: it
// drains the node, and no request uses the session. False: it is not at home here,
// or its last change is still on its way, and nothing has happened.
func (n *Node) HandOver(now time.Duration, id SessionID, to NodeID) bool {
	n.at(now)
	s := n.lookup(id)
	if s == nil || !n.mayGrant(s, to) {
		return false
	}
	n.grant(s, to)
	n.note(s)
	return true
}

// mayGrant reports whether a session can be handed to a node: it is at home here,
// and nobody waits for a change of it.
func (n *Node) mayGrant(s *session, to NodeID) bool {
	return n.isHome(s) && s.claim == nil && s.Life.Kind == Live && s.Known() && len(s.writes) == 0 && n.reachable(to)
}

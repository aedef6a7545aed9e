package replica

import "time"

// HandOver makes another node the home of a session, by the caller's decision: it
// drains the node, and no request uses the session. False: it is not at home here,
// or its last change is still on its way, and nothing has happened.
func (n *Node) HandOver(now time.Duration, id SessionID, to NodeID) bool {
	n.at(now)
	if !n.alive(to) {
		return false
	}
	n.Receive(now, to, Ask{id})
	return n.Reign(id).Home == to
}

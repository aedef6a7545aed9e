package replica

import "time"

// Age is for how long a session has not been used, as far as this node knows;
// after its end, since then. It is 0 for a session that the node does not know.
func (n *Node) Age(now time.Duration, id SessionID) time.Duration {
	n.at(now)
	s := n.sessions[id]
	switch {
	case s == nil:
		return 0
	case s.Life.Kind != Live:
		return n.now - s.endedAt
	}
	return n.now - s.used
}

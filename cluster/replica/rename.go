package replica

// A rename is one change of two sessions: the old id ends, and the new one has the
// content. An owner that acknowledges the end has both. The next home of the old id,
// which has its end from a copy, may not have the new one yet: until it has, its word
// of the end does not answer the requests that wait for the change.

// ending is the end of a renamed session, as the home of a later reign has it.
type ending struct {
	id    SessionID
	reign Reign
}

// halfRenamed reports whether the last of a session's changes that wait is a rename
// whose new id the session's home is not known to have; if so, that node's next
// acknowledgement of the new id looks at them again.
func (n *Node) halfRenamed(s *session) bool {
	if len(s.writes) == 0 {
		return false
	}
	w := s.writes[len(s.writes)-1]
	if w.next == "" {
		return false
	}
	t := n.lookup(w.next)
	if t == nil || t.reign.Home != n.cfg.Self || w.dot.Compare(t.ackedBy(s.reign.Home)) <= 0 {
		return false // where it is at home elsewhere, another node has it
	}
	t.half = &ending{s.ID, s.reign}
	return true
}

// otherHalf answers the requests that waited for a node to have what a session has
// become, besides its end.
func (n *Node) otherHalf(from NodeID, t *session) {
	half := t.half
	if half == nil || from != half.reign.Home {
		return
	}
	t.half = nil
	if s := n.lookup(half.id); s != nil && s.reign == half.reign && s.Life.Kind != Live {
		n.releaseCovered(s, s.State)
		n.note(s)
	}
}

package replica

import "time"

// level is how far a joining node has come: each member that was there has sent
// it what it is home of, and told it so.
type level struct {
	done  bool
	told  map[NodeID]bool
	askAt time.Duration
}

// levelAsk is how often a joining node asks who has sent all.
const levelAsk = 250 * time.Millisecond

// viewed begins with the first view.
func (l *level) viewed(n *Node) {
	if !l.done && l.told == nil {
		l.told, l.askAt = map[NodeID]bool{}, n.now
	}
	n.stepLevel()
}

// Level reports whether this node has all it should have: each member that was
// there when it came has told it so. A node that is alone is level at once, but
// none is before its first View.
func (n *Node) Level() bool { return n.level.done }

// stepLevel asks those who have not told yet, and tells those who ask. A session whose home
// claims it anew is copied after that, so that is waited for, unless it hangs: nobody has
// the majority that it needs, and nobody is served.
func (n *Node) stepLevel() {
	if n.pass.left == 0 {
		for _, p := range n.peers {
			if p.asked != 0 && p.bulk == 0 && !p.lagging && (n.renewing == 0 || n.now-p.asked >= n.cfg.AckTimeout) {
				p.asked = 0
				n.send(p.id, Level{})
			}
		}
	}
	l := &n.level
	if l.done || l.told == nil {
		return
	}
	missing := false
	ask := n.now >= l.askAt
	for _, p := range n.peers {
		if l.told[p.id] {
			continue
		}
		missing = true
		if ask {
			n.send(p.id, Level{Ask: true})
		}
	}
	if ask {
		l.askAt = n.now + levelAsk
	}
	if missing {
		return
	}
	*l = level{done: true}
	for _, p := range n.peers {
		n.digestWith(p) // sessions whose home is dead come from other owners
	}
}

// onLevel notes that a peer has sent all it had, or that it wants to hear so.
func (n *Node) onLevel(from NodeID, m Level) {
	p := n.peer(from)
	switch {
	case p == nil:
	case m.Ask:
		p.fresh = true
		if p.asked == 0 {
			p.asked = max(n.now, 1)
		}
	case n.level.told != nil:
		n.level.told[from] = true
	}
}

package replica

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// search is the question who has a session that this node does not know.
type search struct {
	open     map[NodeID]bool // asked, not yet answered
	asked    map[NodeID]bool
	best     Reign
	began    time.Duration
	sent     time.Duration
	deadline time.Duration
}

// patience is how many times Locate a search goes on asking those that do not
// answer, before it refuses the request: not to hear is not to know that there
// is no session.
const patience = 50

// hintTime is for how long what a search found is believed, in the same view.
const hintTime = time.Second

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

func (n *Node) startSearch(s *session) {
	if s.search != nil || s.claim != nil {
		return
	}
	s.search = &search{open: map[NodeID]bool{}, asked: map[NodeID]bool{}, began: n.now, sent: n.now, deadline: n.now + patience*n.cfg.Locate}
	for _, id := range n.scope(s.ID) {
		if id != n.cfg.Self {
			s.search.open[id], s.search.asked[id] = true, true
			n.send(id, WhoHas{s.ID})
		}
	}
	n.finishSearch(s)
}

// searchView asks those who have come, and waits no more for those who are gone.
func (n *Node) searchView(s *session) {
	q := s.search
	if q == nil {
		return
	}
	for _, id := range sortedKeys(q.open) {
		if !n.alive(id) {
			delete(q.open, id)
		}
	}
	for _, id := range n.scope(s.ID) {
		if id != n.cfg.Self && !q.asked[id] {
			q.asked[id], q.open[id] = true, true
			n.send(id, WhoHas{s.ID})
		}
	}
	n.finishSearch(s)
}

func (n *Node) onHas(from NodeID, m Has) {
	s := n.lookup(m.ID)
	if s == nil {
		return
	}
	n.has(from, s, m)
	n.note(s)
}

func (n *Node) has(from NodeID, s *session, m Has) {
	if s.asking != 0 && s.search == nil {
		n.refused(s, m.Reign.Home)
		return
	}
	if s.search == nil {
		if from == n.believedHome(s) && m.Reign == (Reign{}) && n.isOverdue(s) {
			n.drop(s) // forgotten where it would be known, and too old to live
		}
		return
	}
	delete(s.search.open, from)
	if m.Reign.Compare(s.search.best) > 0 {
		s.search.best = m.Reign
	}
	n.finishSearch(s)
}

// askAgain repeats the question to those that have not answered.
func (n *Node) askAgain(s *session) {
	q := s.search
	if q == nil {
		return
	}
	n.finishSearch(s)
	if s.search == nil || n.now-q.sent < n.urgent() {
		return
	}
	q.sent = n.now
	for _, id := range sortedKeys(q.open) {
		n.send(id, WhoHas{s.ID})
	}
}

// ignorance is the verdict on a session that nobody in view knows. If this node
// had it once, and its home has left the view of late, its owners may be back
// soon: to say that it does not exist would make the user start anew.
func (n *Node) ignorance(s *session) Verdict {
	home := s.promised.Home
	if at, gone := n.gone[home]; gone && home != 0 && s.Life.Kind == Live && n.now-at < 3*n.cfg.AdoptAfter {
		return Refuse
	}
	return Unknown
}

// finishSearch ends a search that knows enough.
func (n *Node) finishSearch(s *session) {
	q := s.search
	if q == nil {
		return
	}
	found := q.best != (Reign{}) && n.now-q.began >= n.cfg.Locate
	if len(q.open) > 0 && !found && !s.Known() {
		if n.now >= q.deadline {
			s.search = nil
			n.answer(s, Answer{Verdict: Refuse})
		}
		return
	}
	s.search = nil
	s.hint, s.hintUntil, s.hintView = q.best, n.now+hintTime, n.view
	known := s.Known() // it may have come meanwhile
	switch {
	case s.Life.Kind != Live || !known && q.best == (Reign{}):
		n.answer(s, Answer{Verdict: n.ignorance(s)})
	case n.isHome(s):
		n.answer(s, Answer{Verdict: Serve})
	case q.best.Home != n.cfg.Self && n.alive(q.best.Home):
		n.answer(s, Answer{Verdict: Forward, Home: q.best.Home})
	default:
		if q.best.Compare(s.promised) > 0 {
			s.promised = q.best
		}
		n.startClaim(s)
	}
}

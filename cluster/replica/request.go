package replica

import (
	"time"
)

// maxHops is how often a request is forwarded at most.
const maxHops = 2

// Request asks what to do with a request for a session. hops is how often the
// request has been forwarded. The Answer may come with a later event.
func (n *Node) Request(now time.Duration, req uint64, id SessionID, hops int) {
	n.at(now)
	s := n.lookup(id)
	switch {
	case s == nil || !s.Known() && !n.isHome(s):
		if s = n.unknown(req, id, s, hops); s == nil {
			return
		}
	case s.Life.Kind != Live:
		n.emit(Answer{Request: req, Verdict: Unknown})
	case n.isHome(s) && s.confirmed >= n.resumed:
		if s.forwarded++; hops == 0 {
			s.forwarded = 0
		}
		n.touch(s)
		n.emit(Answer{Request: req, Verdict: Serve})
	case n.reachable(n.believedHome(s)) && s.claim == nil && hops < maxHops:
		n.misroute(s, req, hops, n.believedHome(s))
	default:
		s.waiting = append(s.waiting, req)
		if s.asking == 0 || n.reachable(n.believedHome(s)) {
			n.startClaim(s)
		}
	}
	n.note(s)
}

// reachable reports whether a request can be forwarded to a node.
func (n *Node) reachable(home NodeID) bool { return home != n.cfg.Self && n.alive(home) }

// maxSearches is how many searches may be open: anybody can make up ids.
const maxSearches = 8192

// unknown is Request for a session of which this node has no copy. What the last
// search found holds for a second. It returns nil if it has kept nothing.
func (n *Node) unknown(req uint64, id SessionID, s *session, hops int) *session {
	if s != nil && n.now < s.hintUntil && s.hintView == n.view && s.search == nil && s.claim == nil {
		if s.hint == (Reign{}) {
			n.emit(Answer{Request: req, Verdict: n.ignorance(s)})
			return s
		}
		if n.reachable(s.hint.Home) && hops < maxHops {
			n.misroute(s, req, hops, s.hint.Home)
			return s
		}
	}
	if len(n.open) >= maxSearches {
		n.emit(Answer{Request: req, Verdict: Refuse})
		return s
	}
	s = n.get(id)
	s.waiting = append(s.waiting, req)
	n.startSearch(s)
	return s
}

// misroute answers a request for a session that is at home elsewhere: it is
// forwarded. If the balancer has moved the user, this node asks for the session,
// and the request waits for the answer.
func (n *Node) misroute(s *session, req uint64, hops int, home NodeID) {
	s.fresh = n.now
	if hops == 0 {
		s.misrouted++
	}
	switch {
	case s.asking != 0:
	case hops == 0 && (n.cfg.MisrouteClaim || n.cfg.Misroutes > 0 && s.misrouted >= n.cfg.Misroutes):
		s.asking = n.now + askPatience*n.cfg.Locate
		s.misrouted = 0
		n.send(home, Ask{s.ID})
	default:
		n.emit(Answer{Request: req, Verdict: Forward, Home: home})
		return
	}
	s.waiting = append(s.waiting, req)
}

const (
	// askPatience is for how many times Locate an Ask is waited for.
	askPatience = 5
	// refusedAsk is how many requests more it takes until a home is asked again
	// that has refused: it has its own requests for the session.
	refusedAsk = 16
)

// onAsk hands the session to a node that has had several of its requests, if no
// other request came here in between.
func (n *Node) onAsk(from NodeID, m Ask) {
	s := n.lookup(m.ID)
	if s == nil {
		n.send(from, Has{ID: m.ID})
		return
	}
	if n.mayGrant(s, from) && (n.cfg.MisrouteClaim || s.forwarded >= n.cfg.Misroutes-1) {
		n.grant(s, from)
	} else {
		s.forwarded-- // the request that comes now says nothing of other nodes
		n.send(from, Has{s.ID, s.promised})
	}
	n.note(s)
}

// refused ends the waiting for an Ask: the requests are forwarded.
func (n *Node) refused(s *session, home NodeID) {
	s.asking, s.misrouted = 0, -refusedAsk
	if n.reachable(home) {
		n.answer(s, Answer{Verdict: Forward, Home: home})
	} else if len(s.waiting) > 0 && s.claim == nil && s.search == nil {
		n.startClaim(s)
	}
}

// begin starts this node's reign, which it has obtained.
func (n *Node) begin(s *session) {
	s.confirmed, s.forwarded, s.misrouted = n.now, 0, 0
	if s.adopted = len(s.waiting) == 0; !s.adopted {
		s.slot.used, s.fresh = n.now, n.now
	}
	if !s.mine {
		s.mine = true
		n.emit(Claimed{s.ID, s.reign})
	}
	n.resync(s)
	n.answer(s, Answer{Verdict: Serve})
	n.settle(s)
}

// TryServe is Request for the common case that the session is at home here and
// may be served: true, and the use is noted. It is for requests that came here
// by themselves, not for forwarded ones. False decides nothing: ask Request. No
// Answer follows; other effects may, and can wait for the next Take.
func (n *Node) TryServe(now time.Duration, id SessionID) bool {
	n.at(now)
	i, sl := n.find(id)
	if i == 0 || sl.flags&slotHome == 0 {
		return false
	}
	if sl.flags&slotPacked != 0 && n.servePacked(sl) {
		return true
	}
	s := n.unpacked(i, sl)
	if s.confirmed < n.resumed {
		return false
	}
	s.forwarded = 0
	n.touch(s)
	return true
}

// servePacked is TryServe for a packed session whose owners need not hear of it.
func (n *Node) servePacked(sl *slot) bool {
	b := n.arena.Bytes(sl.ref)
	if b[0]&packTimed == 0 {
		return false
	}
	r := reader{b: b[packTimes:]}
	confirmed, touched, interval := time.Duration(r.u64()), time.Duration(r.u64()), time.Duration(r.u32())*time.Millisecond
	if confirmed < n.resumed || n.now-touched >= interval {
		return false
	}
	b[0] &^= packAdopted
	sl.used = n.now
	return true
}

// touch notes a use of a session at home. The other owners hear of it only now
// and then: they wait as much longer before they take it for idle.
func (n *Node) touch(s *session) {
	s.slot.used, s.adopted, s.fresh, s.overdue = n.now, false, n.now, 0
	if n.cfg.Touch < 0 || !s.Known() || n.cfg.Touch > 0 && n.now-s.touched < n.touchEvery(n.timeout(s)) {
		return
	}
	s.touched = n.now
	for _, o := range n.ownersFor(s) {
		if o != n.cfg.Self && !n.lagging(o) {
			n.send(o, Touch{s.ID, s.reign})
		}
	}
}

// believedHome is where a request is likely to be served.
func (n *Node) believedHome(s *session) NodeID { return s.promised.Home }

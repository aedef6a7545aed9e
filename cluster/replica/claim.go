package replica

import (
	"slices"
	"time"
)

// claim is a home's office being taken: the promises that have come.
type claim struct {
	reign    Reign
	former   NodeID          // the home that is to be replaced, as far as is known
	promised map[NodeID]bool // false: asked, not yet answered
	holders  []NodeID        // those who have a copy, owners or not
	// doubt is until when to wait for a former home that is not in the view
	// but in another's: two homes for want of a second would be worse.
	doubt time.Duration
	sent  time.Duration
}

// benefit is how long a home that only others see is waited for.
const benefit = time.Second

// askAll is the size of cluster up to which a claim asks every node; beyond it
// the first claimScope nodes by Rank, which hold all copies unless that many
// nodes came and went at once.
const (
	askAll     = 8
	claimScope = 4 // times the number of owners
)

// Request asks what to do with a request for a session. hops is how often the
// request has been forwarded. The Answer may come with a later event.
func (n *Node) Request(now time.Duration, req uint64, id SessionID, hops int) {
	n.at(now)
	s := n.sessions[id]
	switch {
	case s == nil || !s.Known() && !n.isHome(s):
		s = n.get(id)
		s.waiting = append(s.waiting, req)
		n.startSearch(s)
	case s.Life.Kind != Live:
		n.emit(Answer{Request: req, Verdict: Unknown})
	case n.isHome(s) && s.confirmed >= n.resumed:
		s.misrouted = 0
		n.touch(s)
		n.emit(Answer{Request: req, Verdict: Serve})
	case n.believedHome(s) != n.cfg.Self && n.alive(n.believedHome(s)) && s.claim == nil && hops < 2:
		n.emit(Answer{Request: req, Verdict: Forward, Home: n.believedHome(s)})
	default:
		s.waiting = append(s.waiting, req)
		n.startClaim(s)
	}
}

// touch notes a use of a session at home. The other owners hear of it only now
// and then: they wait as much longer before they take it for idle.
func (n *Node) touch(s *session) {
	s.used, s.adopted = n.now, false
	if n.now-s.touched < n.cfg.MaxIdle/touchesPerIdle {
		return
	}
	s.touched = n.now
	for _, o := range n.others(s) {
		n.send(o, Touch{s.ID, s.reign})
	}
}

// touchesPerIdle is how many touches a session sends in a session timeout at most.
const touchesPerIdle = 4

// believedHome is where a request is likely to be served.
func (n *Node) believedHome(s *session) NodeID { return s.promised.Home }

func (n *Node) knownReign(id SessionID) Reign {
	if s := n.sessions[id]; s != nil && s.Known() {
		return s.promised
	}
	return Reign{}
}

func (n *Node) scope(id SessionID) []NodeID {
	if len(n.members) <= askAll || n.cfg.Owners <= 0 {
		return ids(n.members)
	}
	ranked := Rank(id, n.members)
	return ids(ranked[:min(len(ranked), max(askAll, claimScope*n.cfg.Owners))])
}

func (n *Node) startClaim(s *session) {
	if s.claim != nil {
		return
	}
	c := &claim{reign: Reign{max(s.reign.Epoch, s.promised.Epoch) + 1, n.cfg.Self}, former: s.reign.Home, promised: map[NodeID]bool{}, sent: n.now}
	for _, id := range append(n.scope(s.ID), s.reign.Home) {
		if id != n.cfg.Self && n.alive(id) {
			c.promised[id] = false
		}
	}
	for _, home := range []NodeID{s.reign.Home, s.promised.Home} {
		if at, ok := n.strays[home]; ok && n.now-at < benefit && !n.alive(home) {
			c.promised[home], c.doubt = false, n.now+benefit
		}
	}
	if c.former == 0 {
		c.former = s.promised.Home
	}
	s.claim = c
	s.promised = c.reign
	if n.cfg.Strict {
		s.sets = append(s.sets, OwnerSet{c.reign, Owners(s.ID, n.cfg.Self, n.cfg.Owners, n.members)})
	}
	n.active[s.ID] = true
	n.sendClaims(s)
	n.finishClaim(s)
}

func (n *Node) sendClaims(s *session) {
	c := s.claim
	c.sent = n.now
	m := Claim{ID: s.ID, Reign: c.reign, Former: c.former}
	if n.cfg.Strict {
		m.Nodes = s.sets[len(s.sets)-1].Nodes
	}
	for _, id := range sortedKeys(c.promised) {
		if !c.promised[id] {
			n.send(id, m)
		}
	}
}

func (n *Node) onClaim(from NodeID, m Claim) {
	s := n.get(m.ID)
	if m.Reign.Compare(s.promised) < 0 {
		n.send(from, Fenced{m.ID, s.promised})
		return
	}
	if s.claim != nil && m.Reign.Compare(s.claim.reign) > 0 {
		n.abandon(s, m.Reign.Home)
	}
	p := Promise{ID: m.ID, Reign: m.Reign, Sets: slices.Clone(s.sets)}
	home := m.Former
	if s.reign.Epoch > 0 {
		home = s.reign.Home
	}
	if home != from && home != n.cfg.Self && n.alive(home) {
		p.Alive = home
		n.send(home, Fenced{m.ID, m.Reign}) // the claimer may not reach it
	}
	s.promised = m.Reign
	if n.cfg.Strict {
		addSet(s, OwnerSet{m.Reign, m.Nodes})
	}
	if s.Known() {
		p.State, p.Idle = s.State.Clone(), n.now-s.used
	}
	n.send(from, p)
}

func addSet(s *session, set OwnerSet) {
	if !slices.ContainsFunc(s.sets, func(o OwnerSet) bool { return o.Reign == set.Reign }) {
		s.sets = append(s.sets, set)
		slices.SortFunc(s.sets, func(a, b OwnerSet) int { return a.Reign.Compare(b.Reign) })
	}
}

func (n *Node) onPromise(from NodeID, m Promise) {
	s := n.get(m.ID)
	if m.State != nil {
		n.merge(s, Copy{State: m.State, Sets: m.Sets, Idle: m.Idle})
	}
	if s.claim == nil || s.claim.reign != m.Reign {
		return
	}
	if _, asked := s.claim.promised[from]; asked {
		s.claim.promised[from] = true
	}
	if _, asked := s.claim.promised[m.Alive]; m.Alive != 0 && m.Alive != n.cfg.Self && !asked && s.claim.doubt == 0 {
		s.claim.promised[m.Alive] = false
		s.claim.doubt = n.now + benefit
		n.sendClaims(s)
	}
	if m.State != nil {
		s.claim.holders = append(s.claim.holders, from)
	}
	for _, set := range m.Sets {
		addSet(s, set)
	}
	n.finishClaim(s)
}

// finishClaim makes this node the home if the promises suffice: all live nodes
// that were asked; in the strict profile a majority of each earlier owner set.
func (n *Node) finishClaim(s *session) {
	c := s.claim
	if c == nil {
		return
	}
	for _, ok := range c.promised {
		if !ok {
			return
		}
	}
	if n.cfg.Strict && !n.majoritiesPromised(s) {
		return
	}
	s.claim = nil
	if !s.Known() || s.Life.Kind != Live {
		n.answer(s, Answer{Verdict: Unknown})
		return
	}
	s.reign, s.promised = c.reign, c.reign
	s.acked, s.sent = map[NodeID]Dot{}, nil
	for _, id := range c.holders {
		s.acked[id] = Dot{} // to be levelled, or released
	}
	s.confirmed = n.now
	if s.adopted = len(s.waiting) == 0; !s.adopted {
		s.used = n.now
	}
	if s.Forked() {
		n.emit(Forked{s.ID, len(s.Heads) - 1})
	}
	n.emit(Claimed{s.ID, s.reign})
	n.active[s.ID] = true
	n.resync(s)
	n.answer(s, Answer{Verdict: Serve})
	n.settle(s)
}

// endDoubt stops waiting for a former home that only others see.
func (n *Node) endDoubt(s *session) {
	c := s.claim
	if c == nil || c.doubt == 0 || n.now < c.doubt {
		return
	}
	for _, id := range sortedKeys(c.promised) {
		if !c.promised[id] && !n.alive(id) {
			delete(c.promised, id)
		}
	}
	n.finishClaim(s)
}

func (n *Node) majoritiesPromised(s *session) bool {
	if len(s.sets) < 2 {
		return false // whose majority?
	}
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
		if have < len(set.Nodes)/2+1 {
			return false
		}
	}
	return true
}

// answer gives the verdict to all requests that wait for the session.
func (n *Node) answer(s *session, a Answer) {
	for _, req := range s.waiting {
		a.Request = req
		n.emit(a)
	}
	s.waiting = nil
}

// abandon gives up a claim or a search in favour of another node.
func (n *Node) abandon(s *session, home NodeID) {
	s.claim = nil
	n.answer(s, Answer{Verdict: Forward, Home: home})
}

// onFenced is the news of a later reign. If its home is alive, requests go
// there; else this node claims anew, above it.
func (n *Node) onFenced(from NodeID, m Fenced) {
	s := n.sessions[m.ID]
	if s == nil || m.Reign.Compare(s.promised) <= 0 {
		return
	}
	wasHome := s.reign.Home == n.cfg.Self
	claiming := s.claim != nil
	s.claim = nil
	s.promised = m.Reign
	if wasHome && s.Known() && n.alive(m.Reign.Home) {
		// What only this node has is joined there.
		n.send(m.Reign.Home, n.copyOf(s))
	}
	switch {
	case !claiming:
	case m.Reign.Home != n.cfg.Self && n.alive(m.Reign.Home):
		n.abandon(s, m.Reign.Home)
	default:
		n.startClaim(s)
	}
}

// onAsk hands the session to a node that has had several of its requests.
func (n *Node) onAsk(from NodeID, m Ask) {
	if s := n.sessions[m.ID]; s != nil && n.isHome(s) && s.Life.Kind == Live && len(s.writes) == 0 {
		n.grant(s, from)
	}
}

// grant makes another node the home. It is said again until the new home has
// spoken as such, for until then nobody may be home.
func (n *Node) grant(s *session, to NodeID) {
	r := Reign{s.reign.Epoch + 1, to}
	if n.cfg.Strict {
		addSet(s, OwnerSet{r, Owners(s.ID, to, n.cfg.Owners, n.members)})
	}
	s.reign, s.promised, s.handed = r, r, r
	s.acked, s.sent = nil, nil
	n.active[s.ID] = true
	n.sendGrant(s)
}

func (n *Node) sendGrant(s *session) {
	s.handedAt = n.now
	n.send(s.handed.Home, Grant{s.handed, s.State.Clone(), slices.Clone(s.sets), n.now - s.used})
}

// handing reports whether a grant of this node's waits to be heard.
func (n *Node) handing(s *session) bool {
	return s.handed != (Reign{}) && s.handed == s.promised && s.Life.Kind == Live && s.Known()
}

// tickGrant repeats a grant, or takes it back when the new home has gone.
func (n *Node) tickGrant(s *session) {
	switch {
	case !n.handing(s) || s.claim != nil:
	case !n.alive(s.handed.Home):
		s.handed = Reign{}
		n.startClaim(s)
	case n.now-s.handedAt >= n.cfg.Retry:
		n.sendGrant(s)
	}
}

// heard notes that the home speaks as such.
func (s *session) heard(from NodeID, r Reign) {
	if r == s.handed && from == r.Home {
		s.handed = Reign{}
	}
}

func (n *Node) onGrant(from NodeID, m Grant) {
	s := n.get(m.State.ID)
	n.merge(s, Copy{State: m.State, Sets: m.Sets, Idle: m.Idle})
	switch {
	case s.Life.Kind != Live:
		n.send(from, n.copyOf(s))
		return
	case m.Reign.Compare(s.promised) < 0:
		n.send(from, Fenced{s.ID, s.promised})
		return
	case m.Reign == s.promised && n.isHome(s):
		n.confirm(s, from)
		return
	case m.Reign == s.promised:
		return
	}
	for _, set := range m.Sets {
		addSet(s, set)
	}
	s.claim = nil
	s.reign, s.promised = m.Reign, m.Reign
	s.acked, s.sent = nil, nil
	s.confirmed, s.adopted = n.now, true
	n.emit(Claimed{s.ID, s.reign})
	n.confirm(s, from)
	n.resync(s)
	n.answer(s, Answer{Verdict: Serve})
}

// confirm tells the former home that its grant was heard: the next tick sends it
// a copy, or if it is no owner any more releases it.
func (n *Node) confirm(s *session, former NodeID) {
	delete(s.acked, former)
	delete(s.sent, former)
	s.noteCopy(former)
	n.active[s.ID] = true
}

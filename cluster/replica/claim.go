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
	began time.Duration
	sent  time.Duration
	idle  bool // begun without a request: it counts in adopting
	renew bool // by the home itself, which goes on being it
	again int  // how many before it, without a pause, were overtaken by nodes that are out of sight
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

func (n *Node) knownReign(id SessionID) Reign {
	if i, sl := n.find(id); i != 0 {
		if s := n.look(sl); s.Known() {
			return s.promised
		}
	}
	return Reign{}
}

func (n *Node) scope(id SessionID) []NodeID {
	if len(n.members) <= askAll || n.cfg.Owners <= 0 {
		return n.ids
	}
	ranked := Rank(id, n.members)
	return ids(ranked[:min(len(ranked), max(askAll, claimScope*n.cfg.Owners))])
}

func (n *Node) startClaim(s *session) {
	if s.claim == nil {
		n.startClaimAs(s, false)
	}
}

func (n *Node) startClaimAs(s *session, renew bool) {
	c := &claim{renew: renew, reign: Reign{max(s.reign.Epoch, s.promised.Epoch, s.Epoch()) + 1, n.cfg.Self}, former: s.reign.Home, promised: map[NodeID]bool{}, began: n.now, sent: n.now}
	for _, id := range append(slices.Clone(n.scope(s.ID)), s.reign.Home) {
		if id != n.cfg.Self && n.alive(id) {
			c.promised[id] = false
		}
	}
	for _, home := range []NodeID{s.reign.Home, s.promised.Home} {
		if n.near(home) && !n.alive(home) {
			c.promised[home], c.doubt = false, n.now+benefit
		}
	}
	if c.former == 0 {
		c.former = s.promised.Home
	}
	if c.idle = len(s.waiting) == 0; c.idle {
		n.adopting++
	}
	if renew {
		n.renewing++
	}
	s.claim, s.fresh = c, n.now
	s.promised = c.reign
	if n.cfg.Strict {
		s.sets = append(s.sets, OwnerSet{Reign: c.reign, Nodes: Owners(s.ID, n.cfg.Self, n.cfg.Owners, n.members)})
	}
	n.sendClaims(s)
	n.finishClaim(s)
}

// near reports whether a node is in the view, or has just been heard of though it is not:
// it may be back from a pause, which the view does not know yet.
func (n *Node) near(id NodeID) bool {
	at, stray := n.strays[id]
	return n.alive(id) || stray && n.now-at < benefit && !n.isDead(id)
}

// maxDuel is how often a claim is begun anew at once because one of a node that is out of
// sight has overtaken it. Then that one gets its turn: the two do not hear each other, and
// those who hear both would be told of a new reign, and in the strict profile of another
// owner set, with each round trip.
const maxDuel = 3

// claimAfter is startClaim for a claim that was overtaken, the again-th in a row. What no
// request waits for a tick claims, if it still is an orphan.
func (n *Node) claimAfter(s *session, again int) {
	if again <= maxDuel {
		n.startClaim(s)
		if s.claim != nil {
			s.claim.again = again
		}
	} else if len(s.waiting) > 0 {
		s.asking = n.now + urgentRetry
	}
}

func (n *Node) isDead(id NodeID) bool { _, dead := n.dead[id]; return dead }

// dropClaim gives up a claim, whatever comes of it.
func (n *Node) dropClaim(s *session) {
	if s.claim != nil && s.claim.idle {
		n.adopting--
	}
	if s.claim != nil && s.claim.renew {
		n.renewing--
	}
	s.claim = nil
}

// claimView asks those who have come, and waits no more for those who are gone.
func (n *Node) claimView(s *session) {
	c := s.claim
	if c == nil {
		return
	}
	for _, id := range sortedKeys(c.promised) {
		if !c.promised[id] && !n.alive(id) && (n.now >= c.doubt || n.isDead(id)) {
			delete(c.promised, id)
		}
	}
	for _, id := range n.scope(s.ID) {
		if _, asked := c.promised[id]; !asked && id != n.cfg.Self {
			c.promised[id], c.sent = false, notSent // back again: a tick asks it
		}
	}
	n.finishClaim(s)
}

func (n *Node) sendClaims(s *session) {
	c := s.claim
	c.sent = n.now
	m := Claim{ID: s.ID, Reign: c.reign, Former: c.former, Sum: s.sumNow()}
	if n.cfg.Strict {
		m.Nodes = s.sets[len(s.sets)-1].Nodes
	}
	all := c.complete()
	for _, id := range sortedKeys(c.promised) {
		if all || !c.promised[id] {
			n.send(id, m)
		}
	}
}

// complete reports whether all that were asked have promised.
func (c *claim) complete() bool {
	for _, ok := range c.promised {
		if !ok {
			return false
		}
	}
	return true
}

// stuckRetry is when those who have promised are asked again, because they do not
// suffice: they may have learned meanwhile that an owner is over.
const stuckRetry = 2 * time.Second

// claimAgain is after which time a claim is said again.
func (n *Node) claimAgain(c *claim) time.Duration {
	if c.complete() {
		return stuckRetry
	}
	return n.urgent()
}

func (n *Node) onClaim(from NodeID, m Claim) {
	s := n.get(m.ID)
	n.promise(from, s, m)
	n.note(s)
}

func (n *Node) promise(from NodeID, s *session, m Claim) {
	if m.Reign.Compare(s.promised) < 0 {
		n.send(from, Fenced{m.ID, s.promised})
		return
	}
	if s.claim != nil && m.Reign.Compare(s.claim.reign) > 0 {
		n.abandon(s, m.Reign.Home)
	}
	p := Promise{ID: m.ID, Reign: m.Reign, Sets: n.setsOf(s)}
	home := m.Former
	if s.reign.Epoch > 0 {
		home = s.reign.Home
	}
	if home != from && home != n.cfg.Self && n.near(home) {
		p.Alive = home
		n.send(home, Fenced{m.ID, m.Reign}) // the claimer may not reach it
	}
	if rival := s.promised.Home; rival != from && rival != home && rival != n.cfg.Self && n.near(rival) {
		n.send(rival, Fenced{m.ID, m.Reign}) // it may still be waiting for others' promises
	}
	s.promised, s.fresh = m.Reign, n.now
	n.lose(s, m.Reign.Home)
	n.doubtful(s)
	if n.cfg.Strict {
		addSet(s, OwnerSet{Reign: m.Reign, Nodes: m.Nodes})
	}
	if s.Known() {
		p.Idle = n.now - s.slot.used
		if p.Same = m.Sum == s.sumNow(); !p.Same {
			p.State = s.State.Clone()
		}
	}
	n.send(from, p)
}

func (n *Node) onPromise(from NodeID, m Promise) {
	s := n.get(m.ID)
	n.promisedBy(from, s, m)
	n.note(s)
}

func (n *Node) promisedBy(from NodeID, s *session, m Promise) {
	if m.State != nil {
		n.merge(s, Copy{State: m.State, Sets: m.Sets, Idle: m.Idle})
	} else if m.Same {
		s.slot.used = max(s.slot.used, n.now-m.Idle)
	}
	if s.claim == nil || s.claim.reign != m.Reign {
		return
	}
	if _, asked := s.claim.promised[from]; asked {
		s.claim.promised[from] = true
	}
	if _, asked := s.claim.promised[m.Alive]; m.Alive != 0 && m.Alive != n.cfg.Self && !asked && (s.claim.doubt == 0 || n.now < s.claim.doubt) && !n.isDead(m.Alive) {
		// One that is named like this may know of a later home, and name that.
		s.claim.promised[m.Alive] = false
		s.claim.doubt = n.now + benefit
		n.sendClaims(s)
	}
	if m.State != nil || m.Same {
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
	if c.began < n.resumed {
		// The promises of before a pause may have been overtaken while it lasted.
		n.dropClaim(s)
		n.startClaimAs(s, c.renew)
		return
	}
	if !c.complete() && !c.renew { // a home has all there is
		return
	}
	if n.cfg.Strict && !n.majoritiesPromised(s) {
		return
	}
	n.dropClaim(s)
	if c.renew {
		n.renewed(s, c)
		return
	}
	if !s.Known() || s.Life.Kind != Live {
		n.answer(s, Answer{Verdict: Unknown})
		return
	}
	s.reign, s.promised = c.reign, c.reign
	n.clearPeers(s)
	for _, id := range c.holders {
		s.noteCopy(id) // to be levelled, or released
	}
	if s.Forked() {
		n.emit(Forked{s.ID, len(s.Heads) - 1})
	}
	n.begin(s)
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

// doubtful has a tick look at a session that was promised to another node, if that one
// has not become its home by then: its claim may have come to nothing, and it does not
// tell all who have a copy.
func (n *Node) doubtful(s *session) {
	n.schedule(s.number, s.slot, n.now+n.cfg.DigestEvery)
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
	n.dropClaim(s)
	n.answer(s, Answer{Verdict: Forward, Home: home})
}

// onFenced is the news of a later reign. If its home is alive, requests go
// there; else this node claims anew, above it. Whoever is behind is told so.
func (n *Node) onFenced(from NodeID, m Fenced) {
	s := n.lookup(m.ID)
	if s == nil {
		return
	}
	switch c := m.Reign.Compare(s.promised); {
	case c > 0:
		n.fenced(s, m)
		n.note(s)
	case c < 0:
		n.send(from, Fenced{m.ID, s.promised})
	}
}

func (n *Node) fenced(s *session, m Fenced) {
	wasHome := s.reign.Home == n.cfg.Self
	claiming, again := s.claim != nil, 1
	if claiming {
		again += s.claim.again
	}
	n.dropClaim(s)
	s.promised = m.Reign
	n.lose(s, m.Reign.Home)
	if !n.alive(m.Reign.Home) {
		n.soon(s) // an orphan, of which no other view will tell
	}
	n.doubtful(s)
	if wasHome && s.Known() && n.alive(m.Reign.Home) {
		// What only this node has is joined there.
		n.send(m.Reign.Home, n.copyOf(s))
	}
	switch {
	case !claiming:
	case m.Reign.Home != n.cfg.Self && n.alive(m.Reign.Home):
		n.abandon(s, m.Reign.Home)
	default:
		n.claimAfter(s, again)
	}
}

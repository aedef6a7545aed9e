package replica

import (
	"slices"
	"time"
)

// session is an unpacked session: a node's copy, and what it knows beside it.
type session struct {
	*State
	slot      *slot
	number    uint32        // of the slot
	openAt    int           // place in Node.open + 1; 0: nobody waits for anything
	idHash    uint64        // see hashID; 0: not yet known
	reign     Reign         // the latest that this node has obeyed
	promised  Reign         // the latest that it has promised; never before reign
	confirmed time.Duration // when this node, as home, last made sure of its reign
	touched   time.Duration // when the owners were last told of a use
	fresh     time.Duration // when it was last needed unpacked
	endedAt   time.Duration
	keep      time.Duration // for how long the end is remembered
	asked     time.Duration // when the home was last asked for word of it
	offered   time.Duration // when the home was last shown a copy that is not ours to keep
	overdue   time.Duration // when the caller was last told that it is
	mine      bool          // the caller takes it for at home here
	handed    Reign         // the reign that this node has granted to another one
	handedAt  time.Duration // when it last said so
	adopted   bool          // at home: claimed, and not used since
	released  bool          // it is kept for its time only: the home knows that it ended
	writes    []write       // at home: waiting for acks, oldest first
	half      *ending       // at home: of the id that it had, whose changes wait for others to have this one
	peers     []peerCopy    // at home: what the other nodes have
	claim     *claim
	search    *search
	waiting   []uint64      // requests that wait for the claim, the search or the asking
	parked    []*Update     // changes that came before those that they build on
	parkedAt  time.Duration // when the missing ones are asked for (again)
	misrouted int           // requests in a row that should have gone to the home
	forwarded int           // at home: requests in a row that came from other nodes
	asking    time.Duration // until when an Ask is waited for; 0: there is none
	hint      Reign         // what the last search found
	hintUntil time.Duration
	hintView  uint64
	owners    []NodeID // see ownersOf
	ownersOf  ownersKey
	sets      []OwnerSet // strict: a claim needs a majority of each
}

type ownersKey struct {
	view uint64
	home NodeID
}

// write is a change that waits for its acks.
type write struct {
	id       uint64
	dot      Dot
	deadline time.Duration
	next     SessionID // of a rename: the new id
}

// peerCopy is what the home knows of another node's copy.
type peerCopy struct {
	node  NodeID
	owed  bool // something was sent, or could not be, and is not known to have made it level
	bulk  bool // it counts in the window of the peer
	slow  bool // the last copy was left to wait behind live traffic, and changes would overtake it
	acked Dot  // the latest change that it has said to have
	sent  time.Duration
}

// notSent is the time of what could not be sent yet.
const notSent = -never

// peer returns what is known of a node's copy; nil if there is none.
func (s *session) peer(id NodeID) *peerCopy {
	for i := range s.peers {
		if s.peers[i].node == id {
			return &s.peers[i]
		}
	}
	return nil
}

// peerFor is peer for one that may be new. It is good until the next call.
func (s *session) peerFor(id NodeID) *peerCopy {
	if p := s.peer(id); p != nil {
		return p
	}
	s.peers = append(s.peers, peerCopy{node: id})
	return &s.peers[len(s.peers)-1]
}

// ackedBy is the latest change that a node has said to have.
func (s *session) ackedBy(id NodeID) Dot {
	if p := s.peer(id); p != nil {
		return p.acked
	}
	return Dot{}
}

// latest is the change that stands for all that the copy includes.
func (s *State) latest() Dot {
	if s.Life.Kind != Live || len(s.Heads) == 0 {
		return s.Life.Dot
	}
	return s.Heads[len(s.Heads)-1]
}

// levelAt reports whether a node is known to have all that the copy has.
func (s *session) levelAt(id NodeID) bool {
	p := s.peer(id)
	return p != nil && !p.owed && p.acked == s.latest()
}

// sumNow is the copy's fingerprint; 0 if nothing is known.
func (s *session) sumNow() uint64 {
	if !s.Known() {
		return 0
	}
	if s.idHash == 0 {
		s.idHash = hashID(s.ID)
	}
	return s.sumFrom(s.idHash)
}

// busy reports whether somebody waits for the session.
func (s *session) busy() bool {
	return len(s.writes) > 0 || s.claim != nil || s.search != nil || len(s.waiting) > 0
}

// lookup returns a session, unpacked; nil if the node has nothing of it.
func (n *Node) lookup(id SessionID) *session {
	i, sl := n.find(id)
	if i == 0 {
		return nil
	}
	return n.unpacked(i, sl)
}

// get returns a session, which is a new one if the node has nothing of it.
func (n *Node) get(id SessionID) *session {
	if s := n.lookup(id); s != nil {
		return s
	}
	made := &struct {
		session
		State
	}{}
	s := &made.session
	s.State, s.fresh = &made.State, n.now
	s.ID = id
	n.enter(s)
	n.heat(s)
	s.slot.used = n.now
	return s
}

// note brings what the node keeps of all sessions up to date with one that an
// event has changed. Each event ends with it.
func (n *Node) note(s *session) {
	if s.slot.flags&slotTaken == 0 || s.slot.hot == 0 || n.hot[s.slot.hot-1] != s {
		return // forgotten by the event
	}
	home := n.isHome(s)
	if !home {
		for i := range s.peers {
			n.bulkDone(&s.peers[i]) // its acknowledgement will not come, or not count
		}
	}
	if home = home && s.Life.Kind == Live; home != (s.slot.flags&slotHome != 0) {
		s.slot.flags ^= slotHome
		if home {
			n.homes++
		} else {
			n.homes--
		}
	}
	sum := s.sumNow()
	if (sum != s.slot.sum || s.reign.Home != s.slot.home) && n.packsAt(s) <= n.now {
		n.soon(s) // what time will do to it is to be found out anew
	}
	n.tally(s.slot, s, s.reign.Home, sum)
	if busy := s.busy(); busy != (s.openAt != 0) {
		n.setOpen(s, busy)
	}
	n.schedule(s.number, s.slot, n.dueOf(s))
}

// setOpen keeps the list of the sessions that somebody waits for.
func (n *Node) setOpen(s *session, open bool) {
	if open {
		n.open = append(n.open, s)
		s.openAt = len(n.open)
		return
	}
	last := n.open[len(n.open)-1]
	n.open[s.openAt-1], last.openAt = last, s.openAt
	n.open = n.open[:len(n.open)-1]
	s.openAt = 0
}

// soon has the next Tick look at a session.
func (n *Node) soon(s *session) { n.schedule(s.number, s.slot, n.now) }

// drop forgets a copy, but keeps the promise for a while, and the owner set that
// was promised: a stale message or copy must not find them gone.
func (n *Node) drop(s *session) {
	n.lose(s, 0)
	s.State, s.slot.used = &State{ID: s.ID}, n.now
	n.clearPeers(s)
	n.dropClaim(s)
	s.parked, s.hintUntil = nil, 0
}

// forget forgets all of a session.
func (n *Node) forget(s *session) {
	n.clearPeers(s)
	n.tally(s.slot, s, s.reign.Home, 0)
	if s.slot.flags&slotHome != 0 {
		n.homes--
	}
	if s.openAt != 0 {
		n.setOpen(s, false)
	}
	n.unschedule(s.slot)
	n.remove(s)
}

// clearPeers forgets what is known of the others' copies.
func (n *Node) clearPeers(s *session) {
	for i := range s.peers {
		n.bulkDone(&s.peers[i])
	}
	s.peers = nil
}

// lose tells the caller that a session is at home elsewhere, once.
func (n *Node) lose(s *session, home NodeID) {
	if s.mine {
		s.mine = false
		n.emit(Lost{s.ID, home})
	}
}

// ended notes that the copy has ended, which was alive before: keep is what
// keepDead said then.
func (n *Node) ended(s *session, since, keep time.Duration) {
	s.endedAt, s.keep = n.now-since, keep
	s.parked = nil
}

// ownersFor are the session's live owners, whom the home keeps up to date; the list must
// not be changed. In the strict profile those who were its owners are among them until
// they have been replaced in the sets that must agree.
func (n *Node) ownersFor(s *session) []NodeID {
	owners := n.placed(s)
	if !n.cfg.Strict || n.allOwn() {
		return owners
	}
	for _, set := range s.sets {
		for _, id := range set.Nodes {
			if n.alive(id) && !slices.Contains(owners, id) {
				owners = append(slices.Clip(owners), id)
			}
		}
	}
	return owners
}

// placed are the live nodes that should be the session's owners. The list is kept until
// the view or the home changes.
func (n *Node) placed(s *session) []NodeID {
	if n.allOwn() {
		return n.ids
	}
	if key := (ownersKey{n.view, s.reign.Home}); s.ownersOf != key {
		s.owners = Owners(s.ID, s.reign.Home, n.cfg.Owners, n.members)
		s.ownersOf = key
	}
	return s.owners
}

// allOwn reports whether each member is an owner of each session.
func (n *Node) allOwn() bool { return n.cfg.Owners <= 0 || n.cfg.Owners >= len(n.members) }

// isOwner reports whether a node is one of the session's live owners.
func (n *Node) isOwner(s *session, id NodeID) bool {
	return slices.Contains(n.ownersFor(s), id)
}

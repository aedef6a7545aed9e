package replica

import (
	"runtime"
	"slices"
	"time"

	"github.com/serval-server/serval/sessions/arena"
)

// Node is the protocol of one node, or of one shard of its sessions: events go
// in by its methods, Effects come out of Take. It is not safe for concurrent
// use. Time is what the caller says it is, a monotonic duration since any
// origin; a Node never asks.
type Node struct {
	table
	cfg      Config
	now      time.Duration
	ticked   time.Duration
	resumed  time.Duration // the sessions confirmed before it must be confirmed again
	clock    uint64
	members  []Member                 // sorted by ID, this node among them
	ids      []NodeID                 // theirs
	peers    []*peer                  // the members but this node, sorted by ID
	view     uint64                   // counts the views
	gone     map[NodeID]time.Duration // since when
	strays   map[NodeID]time.Duration // last message from one that is not in the view
	former   map[NodeID]string        // names of those in gone that were in the view once
	dead     map[NodeID]time.Duration // since when; those whose process has ended for certain
	pruneAt  time.Duration
	homes    int
	open     []*session // those that somebody waits for
	wheel    wheel
	pass     pass
	digests  digests
	level    level
	adopting int // claims without a request
	renewing int // claims by the home itself
	names    names
	packed   []byte  // for pack
	passing  session // for takeAtRest and copyPacked
	rooms    rooms   // of the copies that Take has not returned yet
	unplaced slot    // for takeAtRest
	out      []Effect
}

// peer is another member, as this node sees it.
type peer struct {
	id      NodeID
	lagging bool
	bulk    int           // copies on their way that can wait
	asked   time.Duration // since when it wants to be told when it is level; 0: it does not
	back    time.Duration // when it came into the view, again or as one unheard of; 0: it knows what is at home here
	first   bool          // it was unheard of
	fresh   bool          // it has asked for Level: it has come without copies
	tell    bool          // the walk that is under way collects homes for it
	homes   []Has
	parcels parcels
}

// noRef names no packed session.
var noRef arena.Ref

// NewNode returns a Node that knows only itself.
func NewNode(cfg Config, self Member, now time.Duration) *Node {
	cfg = cfg.withDefaults()
	n := &Node{
		table: newTable(), cfg: cfg, now: now, ticked: now, members: []Member{self}, ids: []NodeID{self.ID},
		gone: map[NodeID]time.Duration{}, strays: map[NodeID]time.Duration{}, dead: map[NodeID]time.Duration{}, former: map[NodeID]string{},
	}
	n.wheel.done = int64(now / wheelTick)
	n.digests.at = now + cfg.DigestEvery
	n.digests.gen = 1
	// The packed sessions are no memory of the collector's.
	runtime.AddCleanup(n, func(a *arena.Arena) { a.Release() }, n.arena)
	return n
}

// keptEffects is how many effects the list has room for that is used again.
const keptEffects = 64

// Take returns the effects since the last call, in order. The slice is used again,
// and so are lent copies: they are the caller's until its next call of any method of n.
func (n *Node) Take() []Effect {
	out := n.out
	n.out = n.out[:0]
	n.rooms.taken(n.pass.left > 0)
	if cap(n.out) > keptEffects {
		n.out = nil // or it would hold what it had last, copies above all
	}
	return out
}

func (n *Node) emit(e Effect)                 { n.out = append(n.out, e) }
func (n *Node) send(to NodeID, m Message)     { n.emit(Send{To: to, Message: m}) }
func (n *Node) sendBulk(to NodeID, m Message) { n.emit(Send{To: to, Message: m, Bulk: true}) }
func (n *Node) alive(id NodeID) bool          { return n.member(id) >= 0 }

// isHome reports whether a session is at home here. A home that renews its reign stays
// one meanwhile.
func (n *Node) isHome(s *session) bool {
	return s.reign.Home == n.cfg.Self && (s.promised == s.reign || s.renewing())
}

func (n *Node) member(id NodeID) int {
	i, ok := slices.BinarySearch(n.ids, id)
	if !ok {
		return -1
	}
	return i
}

// peer returns what this node sees of another member; nil if it is none.
func (n *Node) peer(id NodeID) *peer {
	i, ok := slices.BinarySearchFunc(n.peers, id, func(p *peer, id NodeID) int { return int(int64(p.id) - int64(id)) })
	if !ok {
		return nil
	}
	return n.peers[i]
}

// lagging reports whether a member is not to be waited for, nor sent to.
func (n *Node) lagging(id NodeID) bool {
	p := n.peer(id)
	return p != nil && p.lagging
}

// at sets the time of the event that follows. If the last event is too long ago
// the node was stopped, and perhaps taken for dead: a request is served only
// after the owners have confirmed the reign.
func (n *Node) at(now time.Duration) {
	n.now = max(n.now, now)
	if n.now-n.ticked >= n.cfg.Pause {
		n.resumed, n.ticked = n.now, n.now
		n.disturbed()
	}
}

// justResumed reports whether what comes now may have waited while the node stood
// still. A pause is also how long it may take to read what waited.
func (n *Node) justResumed() bool { return n.resumed > 0 && n.now-n.resumed < n.cfg.Pause }

// nextDot is this node's next version of s. It follows every dot of the copy: what is
// acknowledged after it includes it. Copies of a later epoch than the reign's may have
// come by ways that do not tell reigns.
func (n *Node) nextDot(s *session) Dot {
	n.clock = max(n.clock, s.Clock()) + 1
	return Dot{Epoch: max(s.reign.Epoch, s.Epoch()), Node: n.cfg.Self, Clock: n.clock}
}

// Wall moves the node's hybrid clock up to a physical one, in milliseconds.
func (n *Node) Wall(ms uint64) { n.clock = max(n.clock, ms<<16) }

// Crashed says that a node's process has ended for certain, and its memory with it:
// no claim waits for word of it, whoever still takes it for alive. The view has to
// tell of it too.
func (n *Node) Crashed(now time.Duration, id NodeID) {
	n.at(now)
	n.dead[id] = n.now
}

// View sets the live members. Those that are gone are waited for no more.
func (n *Node) View(now time.Duration, members []Member) {
	n.at(now)
	members = slices.SortedFunc(slices.Values(members), func(a, b Member) int { return int(int64(a.ID) - int64(b.ID)) })
	for _, m := range n.members {
		if !slices.Contains(members, m) {
			n.gone[m.ID], n.former[m.ID] = now, m.Name
		}
	}
	var peers []*peer
	for _, m := range members {
		if m.ID == n.cfg.Self {
			continue
		}
		p := n.peer(m.ID)
		if p == nil {
			p = &peer{id: m.ID, back: max(now, 1), first: true}
		}
		if _, was := n.gone[m.ID]; was {
			delete(n.gone, m.ID)
			delete(n.strays, m.ID)
			delete(n.former, m.ID)
			delete(n.dead, m.ID)
			p.back, p.first, p.tell = max(now, 1), false, true
		}
		peers = append(peers, p)
	}
	n.members, n.ids, n.peers = members, ids(members), peers
	n.viewChanged()
}

// SetConfig changes how the node behaves. Self stays.
func (n *Node) SetConfig(now time.Duration, cfg Config) {
	n.at(now)
	cfg.Self = n.cfg.Self
	n.cfg = cfg.withDefaults()
	n.viewChanged()
}

// viewChanged makes all of what another view or another configuration says.
// Whom somebody waits for comes first, the rest with the next ticks.
func (n *Node) viewChanged() {
	n.view++
	n.disturbed()
	n.digests.reset()
	n.level.viewed(n)
	n.startPass()
	for _, s := range slices.Clone(n.open) {
		if s.openAt != 0 {
			n.openChanged(s)
			n.note(s)
		}
	}
}

// openChanged looks after a session that somebody waits for in a new view.
func (n *Node) openChanged(s *session) {
	if s.asking != 0 && !n.alive(n.believedHome(s)) {
		s.asking = 0
		n.startClaim(s)
	}
	n.claimView(s)
	n.searchView(s)
	if n.isHome(s) {
		n.resync(s)
		n.settle(s)
	}
	n.regrant(s)
}

// State returns this node's copy of a session, nil if it has none. It must not
// be modified, and not be kept beyond the next call of any method of n.
func (n *Node) State(id SessionID) *State {
	i, sl := n.find(id)
	if i == 0 {
		return nil
	}
	s := n.look(sl)
	if !s.Known() {
		return nil
	}
	return s.State
}

// look returns the session in a slot without unpacking it for good.
func (n *Node) look(sl *slot) *session {
	if sl.hot != 0 {
		return n.hot[sl.hot-1]
	}
	return n.peek(sl)
}

// Owners are the live nodes that should have a copy of the session, as far as this
// node knows; nil if it does not know the session. The slice must not be modified.
func (n *Node) Owners(id SessionID) []NodeID {
	i, sl := n.find(id)
	if i == 0 {
		return nil
	}
	return n.placed(n.look(sl))
}

// Reign is what this node knows of the session's home.
func (n *Node) Reign(id SessionID) Reign {
	i, sl := n.find(id)
	if i == 0 {
		return Reign{}
	}
	return n.look(sl).reign
}

// Age is for how long a session has not been used, as far as this node knows;
// after its end, since then. It is 0 for a session that the node does not know.
func (n *Node) Age(now time.Duration, id SessionID) time.Duration {
	n.at(now)
	i, sl := n.find(id)
	if i == 0 {
		return 0
	}
	if s := n.look(sl); s.Life.Kind != Live {
		return n.now - s.endedAt
	}
	return n.now - sl.used
}

// Len is the number of sessions that the node knows something of, and how many
// of them are packed.
func (n *Node) Len() (all, packed int) {
	return n.table.count, n.table.count - (len(n.hot) - len(n.spare))
}

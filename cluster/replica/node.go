package replica

import (
	"maps"
	"slices"
	"time"
)

// AckPolicy says how many other owners must have a change before its request
// is answered.
type AckPolicy uint8

// The ack policies.
const (
	AckOne    AckPolicy = iota // any one other owner
	AckNone                    // none
	AckQuorum                  // a majority of the owners, the home included
	AckAll                     // every live owner
)

// Config is how a Node behaves. All nodes of a cluster must agree on Owners
// and Strict.
type Config struct {
	// Self is this incarnation's index.
	Self NodeID
	// Owners is how many nodes hold each session; 0: all (REPL).
	Owners int
	// Ack is the ack policy.
	Ack AckPolicy
	// Strict lets a claim succeed only with promises of a majority of the
	// owners that the session had, so that two sides of a partition never
	// both write; it needs Owners of 3 or more, or 0.
	Strict bool
	// AckTimeout is how long a change waits for its acks before its request
	// is answered all the same (degraded) or refused. Default 2 s.
	AckTimeout time.Duration
	// FailOnTimeout refuses instead.
	FailOnTimeout bool
	// Retry is when an unanswered message is sent again. Default 5 s: a
	// transport that loses nothing while it is connected needs no repetition
	// but Reset's. One that loses messages wants some 100 ms.
	Retry time.Duration
	// Pause is the gap between two ticks from which on the node takes itself
	// for one that was stopped, and makes sure of its sessions before it
	// serves them again. Default 500 ms.
	Pause time.Duration
	// MaxIdle is the session timeout, Grace what a backup adds to it.
	// Defaults 30 min and 30 s.
	MaxIdle, Grace time.Duration
	// Idle returns the timeout of one session, by its copy: zero or less for
	// never. All nodes must agree on it. Nil: MaxIdle for all. The copy is
	// lent for the call.
	Idle func(*State) time.Duration
	// Touch is how old the last word of a session's use may be until the other
	// owners hear of the next one; at most a quarter of the session's timeout
	// counts. 0: they hear of each; less: only with other changes.
	Touch time.Duration
	// Unpatch makes the value of an Op that came as a patch. It must not
	// change what it is given. Nil: no Op may carry one.
	Unpatch func(old Value, patch []byte) (Value, error)
	// MisrouteClaim lets a node ask for a session with the first request for
	// it that should have gone to another node. Otherwise it asks with the
	// Misroutes-th in a row (default 2; less than 0: never), and forwards.
	MisrouteClaim bool
	Misroutes     int
	// Budget is how many sessions a Tick looks at, at most, for each of its
	// tasks. Default 512.
	Budget int
	// AdoptAfter is how long a dead home's sessions wait for a request
	// before their first owner claims them. Default 10 s.
	AdoptAfter time.Duration
	// DeadTTL is how long an ended session is remembered. Default
	// MaxIdle + Grace + 60 s.
	DeadTTL time.Duration
	// DigestEvery is how often copies are compared with a peer. Default 10 s.
	DigestEvery time.Duration
	// Locate is how long an answer to WhoHas is waited for. Default 20 ms.
	Locate time.Duration
}

func (c Config) withDefaults() Config {
	set := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	set(&c.AckTimeout, 2*time.Second)
	set(&c.Retry, 5*time.Second)
	set(&c.Pause, 500*time.Millisecond)
	set(&c.MaxIdle, 30*time.Minute)
	set(&c.Grace, 30*time.Second)
	set(&c.AdoptAfter, 10*time.Second)
	set(&c.DeadTTL, c.MaxIdle+c.Grace+time.Minute)
	set(&c.DigestEvery, 10*time.Second)
	set(&c.Locate, 20*time.Millisecond)
	if c.Misroutes == 0 {
		c.Misroutes = 2
	}
	if c.Budget <= 0 {
		c.Budget = 512
	}
	return c
}

// Node is the protocol of one node: events go in by its methods, Effects come
// out of Take. It is not safe for concurrent use. Time is what the caller says
// it is, a monotonic duration since any origin; a Node never asks.
type Node struct {
	cfg      Config
	now      time.Duration
	ticked   time.Duration
	resumed  time.Duration // the sessions confirmed before it must be confirmed again
	clock    uint64
	members  []Member                 // sorted by ID, this node among them
	view     uint64                   // counts the views
	gone     map[NodeID]time.Duration // since when
	back     map[NodeID]time.Duration // when it was in the view again
	strays   map[NodeID]time.Duration // last message from one that is not in the view
	sessions map[SessionID]*session
	active   map[SessionID]bool // those that a Tick must look at
	sweepAt  time.Duration
	lagging  map[NodeID]bool
	digestAt time.Duration
	digestTo int
	out      []Effect
}

// session is what a node knows of a session beside its copy.
type session struct {
	*State
	reign      Reign         // the latest that this node has obeyed
	promised   Reign         // the latest that it has promised; never before reign
	confirmed  time.Duration // when this node, as home, last made sure of its reign
	used       time.Duration // last request at home, or word of one from there
	touched    time.Duration // when the owners were last told of a use
	endedAt    time.Duration
	adopted    bool           // at home: claimed, and not used since
	handed     Reign          // the reign that this node has granted to another one
	handedAt   time.Duration  // when it last said so
	asked      time.Duration  // when the home was last asked for word of it
	offered    time.Duration  // when the home was last shown a copy that is not ours to keep
	released   bool           // it is kept for its time only: the home knows that it ended
	writes     []*write       // at home: waiting for acks, oldest first
	acked      map[NodeID]Dot // at home: the latest change that each owner has
	sent       map[NodeID]time.Duration
	claim      *claim
	waiting    []uint64 // requests that wait for the claim or the search
	search     *search
	misrouted  int
	owners     []NodeID // see ownersOf
	ownersView uint64
	ownersHome NodeID
	sets       []OwnerSet // strict: a claim needs a majority of each
}

// NewNode returns a Node that knows only itself.
func NewNode(cfg Config, self Member, now time.Duration) *Node {
	cfg = cfg.withDefaults()
	return &Node{
		cfg: cfg, now: now, ticked: now, members: []Member{self},
		gone: map[NodeID]time.Duration{}, back: map[NodeID]time.Duration{}, strays: map[NodeID]time.Duration{}, lagging: map[NodeID]bool{},
		sessions: map[SessionID]*session{}, active: map[SessionID]bool{},
		digestAt: now + cfg.DigestEvery,
	}
}

// Effect is something the caller must do.
type Effect interface{ effect() }

// Send asks for a message to be sent.
type Send struct {
	To      NodeID
	Message Message
	Bulk    bool // it can wait: part of a transfer that live traffic goes before
}

// Verdict says what to do with a request.
type Verdict uint8

// The verdicts.
const (
	Serve   Verdict = iota // here, now
	Forward                // at Answer.Home
	Unknown                // the session does not exist, or no longer
	Refuse                 // it cannot be decided now: 503
)

// Answer is the verdict on a request.
type Answer struct {
	Request uint64
	Verdict Verdict
	Home    NodeID
}

// Released says that a write's request may be answered.
type Released struct {
	Write    uint64
	Degraded bool // fewer owners have it than was asked for
	Failed   bool // it may be lost: refuse the request
}

// Overdue says that a session at home here has been idle for longer than its
// timeout. The caller ends it with End, for the reason Expired, or finds it in
// use and calls TryServe or Request. It is said again until it does either.
type Overdue struct{ ID SessionID }

// Lost says that a session that was at home here no longer is: Home is its next
// home as far as is known. Home is 0 if the session has ended elsewhere.
type Lost struct {
	ID   SessionID
	Home NodeID
}

// Refreshed says that the copy of a session at home here has taken in changes
// from elsewhere: what the caller has made of it is out of date.
type Refreshed struct{ ID SessionID }

// Claimed says that this node has become a session's home after another one's
// death, pause or leave.
type Claimed struct {
	ID    SessionID
	Reign Reign
}

// Forked says that a join brought together changes of two homes.
type Forked struct {
	ID       SessionID
	Shadowed int
}

func (Send) effect()      {}
func (Answer) effect()    {}
func (Released) effect()  {}
func (Overdue) effect()   {}
func (Lost) effect()      {}
func (Refreshed) effect() {}
func (Claimed) effect()   {}
func (Forked) effect()    {}

// Take returns the effects since the last call, in order. The slice is used
// again: it is the caller's until its next call of any method of n.
func (n *Node) Take() []Effect {
	out := n.out
	n.out = nil
	return out
}

func (n *Node) emit(e Effect)             { n.out = append(n.out, e) }
func (n *Node) send(to NodeID, m Message) { n.emit(Send{To: to, Message: m}) }
func (n *Node) alive(id NodeID) bool      { return n.member(id) >= 0 }
func (n *Node) isHome(s *session) bool    { return s.reign.Home == n.cfg.Self && s.promised == s.reign }

// ownersOf are the session's live owners; the list must not be changed. It is
// kept until the view or the home changes.
func (n *Node) ownersOf(s *session) []NodeID {
	if s.owners == nil || s.ownersView != n.view || s.ownersHome != s.reign.Home {
		s.owners = Owners(s.ID, s.reign.Home, n.cfg.Owners, n.members)
		s.ownersView, s.ownersHome = n.view, s.reign.Home
	}
	return s.owners
}

func (n *Node) member(id NodeID) int {
	return slices.IndexFunc(n.members, func(m Member) bool { return m.ID == id })
}

// others are the session's live owners but this node.
func (n *Node) others(s *session) []NodeID {
	return slices.DeleteFunc(slices.Clone(n.ownersOf(s)), func(id NodeID) bool { return id == n.cfg.Self })
}

// at sets the time of the event that follows.
func (n *Node) at(now time.Duration) { n.now = max(n.now, now) }

// nextDot is this node's next version in the reign of s.
func (n *Node) nextDot(s *session) Dot {
	n.clock = max(n.clock, s.Clock()) + 1
	return Dot{Epoch: s.reign.Epoch, Node: n.cfg.Self, Clock: n.clock}
}

// Wall moves the node's hybrid clock up to a physical one, in milliseconds.
func (n *Node) Wall(ms uint64) { n.clock = max(n.clock, ms<<16) }

func (n *Node) get(id SessionID) *session {
	s := n.sessions[id]
	if s == nil {
		s = &session{State: &State{ID: id}, used: n.now}
		n.sessions[id] = s
	}
	return s
}

// View sets the live members. Those that are gone are waited for no more.
func (n *Node) View(now time.Duration, members []Member) {
	n.at(now)
	members = slices.SortedFunc(slices.Values(members), func(a, b Member) int { return int(a.ID) - int(b.ID) })
	for _, m := range n.members {
		if !slices.Contains(members, m) {
			n.gone[m.ID] = now
		}
	}
	for _, m := range members {
		if _, was := n.gone[m.ID]; was {
			delete(n.gone, m.ID)
			delete(n.strays, m.ID)
			n.back[m.ID] = now
			n.sendHomes(m.ID)
		}
	}
	n.members = members
	n.view++
	for _, id := range slices.Sorted(maps.Keys(n.sessions)) {
		n.viewChanged(n.sessions[id])
	}
}

// State returns this node's copy of a session, nil if it has none. It must not
// be modified.
func (n *Node) State(id SessionID) *State {
	if s := n.sessions[id]; s != nil && s.Known() {
		return s.State
	}
	return nil
}

// Owners are the live nodes that should have a copy of the session, as far as this
// node knows; nil if it does not know the session. The slice must not be modified.
func (n *Node) Owners(id SessionID) []NodeID {
	if s := n.sessions[id]; s != nil {
		return n.ownersOf(s)
	}
	return nil
}

// Reign is what this node knows of the session's home.
func (n *Node) Reign(id SessionID) Reign {
	if s := n.sessions[id]; s != nil {
		return s.reign
	}
	return Reign{}
}

// SetConfig changes how the node behaves. Self stays.
func (n *Node) SetConfig(now time.Duration, cfg Config) {
	n.at(now)
	cfg.Self = n.cfg.Self
	n.cfg = cfg.withDefaults()
	n.View(now, n.members)
}

// TryServe is Request for the common case that the session is at home here and
// may be served: true, and the use is noted. It is for requests that came here
// by themselves, not for forwarded ones. False decides nothing: ask Request. No
// Answer follows; other effects may, and can wait for the next Take.
func (n *Node) TryServe(now time.Duration, id SessionID) bool {
	n.at(now)
	s := n.sessions[id]
	if s == nil || s.Life.Kind != Live || !n.isHome(s) || s.confirmed < n.resumed {
		return false
	}
	s.misrouted = 0
	n.touch(s)
	return true
}

// Reset says that the connection to a peer was lost, and with it perhaps what
// was on its way: all that the peer has not acknowledged is sent again.
func (n *Node) Reset(now time.Duration, peer NodeID) {
	n.at(now)
	for _, s := range n.sessions {
		if _, ok := s.sent[peer]; ok {
			s.sent[peer] = n.now - n.cfg.Retry
			n.active[s.ID] = true
		}
	}
}

// Lagging says that a peer is too far behind to be waited for, or no longer so.
// Nothing is sent to it meanwhile; what it missed is sent when it is back.
func (n *Node) Lagging(now time.Duration, peer NodeID, lagging bool) {
	n.at(now)
	if lagging {
		n.lagging[peer] = true
	} else {
		delete(n.lagging, peer)
	}
	for _, id := range slices.Sorted(maps.Keys(n.sessions)) {
		n.settle(n.sessions[id])
	}
}

// Level reports whether this node has all it should have: each member that was
// there when it came has told it so. A node that is alone is level at once, but
// none is before its first View.
func (n *Node) Level() bool { return n.view > 0 }

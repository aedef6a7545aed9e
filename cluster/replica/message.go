package replica

import (
	"cmp"
	"time"
)

// NodeID is the index of one incarnation of a node: a process that starts
// again with empty memory gets another one. Zero is nobody.
type NodeID = uint32

// Reign says who is a session's home, from one claim to the next. Of two
// claims of the same epoch, which only a partition can bring about, the one of
// the higher node prevails when they meet. The zero Reign precedes all others.
type Reign struct {
	Epoch uint32
	Home  NodeID
}

// Compare orders reigns by epoch, then home.
func (r Reign) Compare(o Reign) int {
	return cmp.Or(cmp.Compare(r.Epoch, o.Epoch), cmp.Compare(r.Home, o.Home))
}

// Message is what nodes tell each other. A message may be lost, delayed,
// reordered or delivered twice: each is safe at any time.
type Message interface{ session() SessionID }

// Update carries one request's changes from the home to an owner. If the
// request changed the session's id, Successor is the copy under the new id. It
// travels as a pointer, the same one to all owners: nobody may change it.
type Update struct {
	Reign     Reign
	Delta     Delta
	Successor *State
	Sets      []OwnerSet // of a new session, in the strict profile

	base [1]Dot // where Delta.Base is, as a rule
}

// Copy carries a whole copy, to be joined. Reign is what its sender believes;
// only the home's own copies are acknowledged.
type Copy struct {
	Reign Reign
	State *State
	Sets  []OwnerSet
	Idle  time.Duration // since the session's last use or its end, as the sender knows
	// Lent: State and all that it refers to, but strings, is used again for the next
	// message. Receive keeps nothing of it; who takes the message from a Node has it
	// until its next call of any method of that Node, or calls Own. A transfer is of
	// many thousands of copies, most of which are needed for a moment.
	Lent bool
}

// Own returns a message that may be kept: what was lent is copied.
func Own(m Message) Message {
	if c, ok := m.(Copy); ok && c.Lent {
		return c.own()
	}
	return m
}

func (m Copy) own() Copy {
	if m.Lent {
		m.State, m.Lent = m.State.own(), false
	}
	return m
}

// OwnerSet is who had to hold a session in a reign. In the strict profile a
// change is safe when a majority of the set has it.
type OwnerSet struct {
	Reign Reign
	Nodes []NodeID // 0 for one whose memory is known to be lost
	First bool     // a majority of it has all there is: the sets of earlier reigns are done with
}

// Touch says that the session has been used at home.
type Touch struct {
	ID    SessionID
	Reign Reign
}

// Ack says that the sender's copy includes the change, and so all earlier ones
// of that reign. Sum is the copy's fingerprint.
type Ack struct {
	ID    SessionID
	Reign Reign
	Dot   Dot
	Sum   uint64
}

// Fenced says that the receiver's reign is over: the sender has promised, or
// knows of, a later one.
type Fenced struct {
	ID    SessionID
	Reign Reign
}

// Need asks for a Copy.
type Need struct{ ID SessionID }

// Claim asks an owner to promise: never again to acknowledge an earlier reign.
type Claim struct {
	ID    SessionID
	Reign Reign
	Nodes []NodeID // strict: the owner set of the new reign
	// Former is the home that is to be replaced, by what the claimer knows:
	// who sees it alive says so, with or without a copy of its own.
	Former NodeID
	Sum    uint64 // of the claimer's copy; 0: it has none
}

// Promise answers a Claim with what the owner has; State is nil if nothing.
type Promise struct {
	ID    SessionID
	Reign Reign
	State *State
	Sets  []OwnerSet
	// Alive is the former home, if the sender takes it for alive: the
	// claimer may be the only one who does not hear of it.
	Alive NodeID
	Idle  time.Duration
	Same  bool // the sender's copy is the claimer's, so State is left out
}

// Grant makes the receiver the session's home: the home hands it over.
type Grant struct {
	Reign Reign
	State *State
	Sets  []OwnerSet
	Idle  time.Duration
}

// Ask asks the home to grant the session to the sender.
type Ask struct{ ID SessionID }

// WhoHas asks for the reign of a session that the sender does not know.
type WhoHas struct{ ID SessionID }

// Has answers WhoHas; a zero Reign means that the sender knows nothing.
type Has struct {
	ID    SessionID
	Reign Reign
}

// Release tells a node that is no longer an owner that all owners have what it
// has: it may forget the session.
type Release struct {
	ID    SessionID
	Reign Reign
	Heads []Dot
}

// Homes tells a node that was out of sight for a while which sessions are at
// home here: both may have claimed one meanwhile, with other owners each.
type Homes struct{ Entries []Has }

// Level tells a node that the sender has sent it all that it should have of the
// sessions at home at the sender, and that all of it was acknowledged; with Ask
// it asks the receiver to say so, once it can.
type Level struct{ Ask bool }

// Digest carries, per segment, the sum of the fingerprints of the sessions that
// both sides should have.
type Digest struct{ Sums []uint64 }

// Listing answers a Digest: the sessions of the segments that differ.
type Listing struct {
	Segments []int
	Entries  []Fingerprint // sorted by ID
}

// Fingerprint says in short which changes a copy includes.
type Fingerprint struct {
	ID  SessionID
	Sum uint64
}

func (m *Update) session() SessionID { return m.Delta.ID }
func (m Copy) session() SessionID    { return m.State.ID }
func (m Touch) session() SessionID   { return m.ID }
func (m Ack) session() SessionID     { return m.ID }
func (m Fenced) session() SessionID  { return m.ID }
func (m Need) session() SessionID    { return m.ID }
func (m Claim) session() SessionID   { return m.ID }
func (m Promise) session() SessionID { return m.ID }
func (m Grant) session() SessionID   { return m.State.ID }
func (m Ask) session() SessionID     { return m.ID }
func (m WhoHas) session() SessionID  { return m.ID }
func (m Has) session() SessionID     { return m.ID }
func (m Release) session() SessionID { return m.ID }
func (Homes) session() SessionID     { return "" }
func (Level) session() SessionID     { return "" }
func (Digest) session() SessionID    { return "" }
func (Listing) session() SessionID   { return "" }

package sessions

import (
	"context"
	"time"
)

// Attribute is a committed attribute. Value is deterministic CBOR and must not
// be modified by whoever receives it.
type Attribute struct {
	Name  string
	Value []byte
	// Dot is the version of the commit that stored the value.
	Dot Dot
}

// Change is one attribute that a request has set or removed.
type Change struct {
	Name   string
	Value  []byte // deterministic CBOR; kept, so it must not be modified afterwards
	Remove bool   // the attribute is gone; Value is ignored
}

// Changes are what one request has changed in a session since its last commit
// point. But for the values they are the caller's again when Commit returns.
type Changes struct {
	// Attributes are the sets and removals, in any order. If a name comes
	// twice, the later change holds.
	Attributes []Change
	// Read are the names that were read; they go into the Delta, for the
	// replication triggers that ask.
	Read []string
	// MaxInactive, if not nil, is how long the session may be idle from now
	// on; zero or less is for ever.
	MaxInactive *time.Duration
}

// Delta is all that one commit changed in one session, to be applied elsewhere
// as a whole or not at all. Whoever receives it must not modify it.
type Delta struct {
	App AppKey
	ID  ID // without route
	// Previous is the id that the session had before, without route, if it
	// was changed since the last Delta; else "".
	Previous ID
	// Created says that no Delta of this session went before: Set then is all
	// that it has, and CreatedAt and Version are news to the receiver.
	Created   bool
	CreatedAt time.Time
	Version   string // the bundle's version that the session belongs to
	// Base is the session's version before the commit (zero: none) and Dot
	// the one after it. They are equal if the commit changed nothing: such a
	// Delta announces a new session or id, or says that the session was used.
	Base, Dot Dot
	// Set are the attributes that the commit has set, sorted by name; their
	// dots are Dot, but for those that a Created session had already.
	Set []Attribute
	// Removed are the names of those it has removed, sorted.
	Removed []string
	// Read are the names that the request has read.
	Read []string
	// Accessed is when the session was used last, by the wall clock.
	Accessed time.Time
	// MaxInactive is how long the session may be idle; zero or less for ever.
	MaxInactive time.Duration
	// Dead says that the session has ended, for the reason of Cause.
	Dead  bool
	Cause Cause
}

// Snapshot is a whole session, as a Store keeps it or a Replicator finds it.
type Snapshot struct {
	ID          ID     // without route
	Version     string // the bundle's version that the session belongs to
	Head        Dot    // of the last commit; zero: none
	Created     time.Time
	Accessed    time.Time // when the last request that used it ended
	MaxInactive time.Duration
	// New says that no request with this id has ended yet.
	New bool
	// Cause is why a Replicator gives the session to this node: Failover, or
	// StateTransfer if a living node has handed it over. Anything else counts
	// as Failover. Stores leave it zero.
	Cause      Cause
	Attributes []Attribute // sorted by name
}

// Expired reports whether the session had been idle for too long at that time.
func (s *Snapshot) Expired(now time.Time) bool {
	return s.MaxInactive > 0 && now.Sub(s.Accessed) >= s.MaxInactive
}

// Store keeps sessions outside of memory: passivated ones, or copies. Ids are
// without route. Conformance is tested by package sessions/storetest. A Store
// is safe for concurrent use, also of one id.
type Store interface {
	// Load returns the session, or an error that is [ErrNotFound]. What
	// cannot be read is an error that is not ErrNotFound.
	Load(ctx context.Context, id ID) (*Snapshot, error)
	// Save stores the session in place of what was stored under its id. A
	// failed Save leaves that as it was.
	Save(ctx context.Context, s *Snapshot) error
	// Delete removes the session; it is no error if there is none.
	Delete(ctx context.Context, id ID) error
	// Walk calls f with each stored session, in any order, without its
	// attributes, until f returns false. What cannot be read is left out.
	// Sessions that are saved or deleted meanwhile may be left out or not.
	Walk(ctx context.Context, f func(*Snapshot) bool) error
}

package servlet

import "time"

// Version is the version of one attribute, given by the server to all that one
// commit changed. It has the shape of the session package's dot, so that one
// converts to the other. An author's code only ever passes it on.
type Version struct {
	Epoch uint32
	Node  uint32
	Clock uint64
}

// Value is an attribute as the container keeps it: deterministic CBOR and its
// version. Bytes must not be modified by whoever receives it.
type Value struct {
	Bytes   []byte
	Version Version
}

// SessionBackend is the container's side of one session within one request.
// The Session that an author holds is a view over it. It is implemented by the
// server and, in a worker process, by frames to the server. Its methods may be
// called by several goroutines at once. What has been invalidated, by this
// request or by another, answers with an error that is ErrInvalid.
type SessionBackend interface {
	// ID is the session's id as the client knows it, with the route if any.
	ID() string
	// IsNew reports that the client has not yet sent the id back.
	IsNew() bool
	// Created is when the session was made.
	Created() time.Time
	// LastAccessed is when the session's previous request ended.
	LastAccessed() time.Time
	// MaxInactive is the idle time after which the session ends; zero or
	// less means never.
	MaxInactive() time.Duration
	// Names are the names of the committed attributes, in any order.
	Names() ([]string, error)
	// Load returns a committed attribute; false if there is none.
	Load(name string) (Value, bool, error)
	// Commit takes what the request has changed since the last Commit. It
	// returns when the changes are as safe as the application asked for, and
	// keeps nothing of them but the values.
	Commit(*Changes) error
	// CompareAndSwap stores the value if the attribute's version still is
	// base (the zero Version: if it does not exist). It returns the version
	// stored, or, when swapped is false, the present value and whether
	// there is one. It takes effect at once, not at the next Commit.
	CompareAndSwap(name string, base Version, value []byte) (swapped bool, now Value, exists bool, err error)
	// Invalidate ends the session.
	Invalidate() error
	// ChangeID gives the session a new id and returns it.
	ChangeID() (string, error)
	// Local returns a value that SetLocal has put on this node, nil if none.
	Local(name string) any
	// SetLocal keeps a value beside the session, on this node and in this
	// process only; nil removes it.
	SetLocal(name string, value any)
}

// Change is one attribute that a request has set or removed.
type Change struct {
	Name   string
	Value  []byte // deterministic CBOR; unused if Removed
	Remove bool   // the attribute is gone
}

// Changes are what one request has changed in a session since its last commit
// point. They say what differs; the server alone gives them a version.
type Changes struct {
	// Attributes are the sets and removals, sorted by name.
	Attributes []Change
	// Read are the names that were read, sorted. The replication triggers
	// SET_AND_GET and SET_AND_NON_PRIMITIVE_GET want to know.
	Read []string
	// MaxInactive is set if the request has set it; zero or less is never.
	MaxInactive *time.Duration
}

// Empty reports that there is nothing to commit. A read alone is something.
func (c *Changes) Empty() bool {
	return len(c.Attributes) == 0 && len(c.Read) == 0 && c.MaxInactive == nil
}

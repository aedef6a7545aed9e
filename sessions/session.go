package sessions

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"
)

// phase is how far a session has come.
type phase uint8

const (
	valid  phase = iota
	ending       // listeners hear of its end; readable, not seen by new requests
	ended
	moved // another node is its home; readable, not seen by new requests
)

// Session is one session while it is in use. It is safe for concurrent use.
type Session struct {
	m  *Manager
	sh *shard

	slot uint32 // guarded by sh.mu; 0: not in the shard's tables any more
	refs int    // guarded by sh.mu
	hot  int    // guarded by sh.mu; its place in the ring of sessions used last, from 1; 0: none

	mu           sync.Mutex
	phase        phase          // guarded by mu
	key          key            // guarded by mu
	id           ID             // guarded by mu; key's, without route; "" until it is asked for
	state                       // guarded by mu
	maxIdle      int64          // guarded by mu; ns
	thisAccessed int64          // guarded by mu; ns
	lastAccessed int64          // guarded by mu; ns
	isNew        bool           // guarded by mu
	unsent       bool           // guarded by mu; no Delta of it was made
	renamed      bool           // guarded by mu; previous is to go into the next Delta
	saved        bool           // guarded by mu; it comes from a file, and no Delta of it was made since
	away         bool           // guarded by mu; its listeners were told that it is replicated
	previous     key            // guarded by mu
	local        map[string]any // guarded by mu
	turn         chan struct{}  // guarded by mu; holds one token while locked
}

// access notes that a request has begun to use the session. It returns whether its
// listeners are to hear that it is back from having been replicated (JBoss).
func (s *Session) access(now int64) (back bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.thisAccessed = now
	back, s.away = s.away, false
	return back
}

// idleSince is when idle time began, by the manager's rule.
func (s *Session) idleSince(o *Options) int64 {
	if o.LastAccessAtStart {
		return s.lastAccessed
	}
	return s.thisAccessed
}

// Begin says that one more user holds the session; each Begin, Create and Find
// has an End. It is not an access.
func (s *Session) Begin() {
	s.sh.mu.Lock()
	s.refs++
	s.sh.mu.Unlock()
}

// End says that a request is done with the session, which it must not use any
// more. Idle time counts from now on (from the request's start with
// LastAccessAtStart), and the session is not new any more.
func (s *Session) End() {
	sh, o := s.sh, s.m.options()
	now := s.m.now()
	sh.mu.Lock()
	defer sh.mu.Unlock()
	s.mu.Lock()
	s.isNew = false
	if o.LastAccessAtStart {
		s.lastAccessed, s.thisAccessed = s.thisAccessed, now
	} else {
		s.lastAccessed, s.thisAccessed = now, now
	}
	since := s.idleSince(o)
	s.mu.Unlock()
	if s.slot != 0 {
		sh.slots.at(s.slot).idleSince = since
		sh.usedLocked(s.slot)
	}
	sh.unpinLocked(s)
}

// release drops a reference of the manager's own, which is not an access.
func (s *Session) release() {
	s.sh.mu.Lock()
	defer s.sh.mu.Unlock()
	s.sh.unpinLocked(s)
}

// ID returns the id with this node's route.
func (s *Session) ID() ID {
	route := s.m.options().Route
	s.mu.Lock()
	defer s.mu.Unlock()
	if route == "" {
		return s.idLocked()
	}
	return s.key.id(route)
}

// idLocked is the id without a route, made once. The caller holds s.mu.
func (s *Session) idLocked() ID {
	if s.id == "" {
		s.id = s.key.id("")
	}
	return s.id
}

// IsNew reports that no request with this id has ended yet: the client has not
// joined the session (Servlet 6.1 §7.2).
func (s *Session) IsNew() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.isNew
}

// Valid reports that the session has not ended, nor begun to.
func (s *Session) Valid() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.phase == valid
}

// refusal is why a session cannot be changed. The caller holds s.mu.
func (s *Session) refusal() error {
	if s.phase == moved {
		return ErrMoved
	}
	return ErrInvalid
}

// Created is when the session was made, to the millisecond.
func (s *Session) Created() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.UnixMilli(s.created)
}

// LastAccessed is when its previous request ended (began, with
// LastAccessAtStart); in the first request, when it was made.
func (s *Session) LastAccessed() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.m.wall(s.lastAccessed)
}

// MaxInactive is how long it may be idle; zero or less for ever.
func (s *Session) MaxInactive() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Duration(s.maxIdle)
}

// Version is the bundle's version that the session belongs to.
func (s *Session) Version() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.version
}

// Names returns the names of its attributes, sorted. The error is ErrInvalid if
// the session has ended.
func (s *Session) Names() ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase == ended {
		return nil, ErrInvalid
	}
	names := make([]string, len(s.attrs))
	for i := range s.attrs {
		names[i] = s.attrs[i].Name
	}
	return names, nil
}

// Attribute returns a committed attribute; false if there is none. The error is
// ErrInvalid if the session has ended.
func (s *Session) Attribute(name string) (Attribute, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase == ended {
		return Attribute{}, false, ErrInvalid
	}
	i, ok := s.search(name)
	if !ok {
		return Attribute{}, false, nil
	}
	return s.attrs[i], true, nil
}

func (s *state) search(name string) (int, bool) {
	return slices.BinarySearchFunc(s.attrs, name, func(a Attribute, name string) int { return strings.Compare(a.Name, name) })
}

// ChangeID gives the session a new id with the same placement, for instance at
// login, and returns it. The old one is unknown from then on. Other nodes hear of
// it with the next Commit or Announce. The error is ErrInvalid or ErrMoved.
func (s *Session) ChangeID(ctx context.Context) (ID, error) {
	o := s.m.options()
	s.sh.mu.Lock()
	s.mu.Lock()
	if s.phase != valid || s.slot == 0 {
		err := s.refusal()
		s.mu.Unlock()
		s.sh.mu.Unlock()
		return "", err
	}
	old := s.key
	s.key, s.id = old.renewed(), ""
	delete(s.sh.index, old)
	s.sh.index[s.key] = s.slot
	s.sh.slots.at(s.slot).key = s.key
	if !s.renamed && !s.unsent {
		s.renamed, s.previous = true, old
		s.sh.overLocked(old)
	}
	id := s.key.id(o.Route)
	s.mu.Unlock()
	s.sh.mu.Unlock()
	s.m.notify(ctx, Event{Kind: SessionIDChanged, Session: s, OldID: old.id(o.Route), Cause: Modify})
	return id, nil
}

// errUnlocked is a programmer's error.
var errUnlocked = errors.New("sessions: Unlock of a session that is not locked")

// Lock waits until it has the session for itself among those who call Lock
// (serialised access), in the order of the calls. It does not nest. The error is
// the context's.
func (s *Session) Lock(ctx context.Context) error {
	s.mu.Lock()
	if s.turn == nil {
		s.turn = make(chan struct{}, 1)
	}
	turn := s.turn
	s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Unlock ends what Lock began.
func (s *Session) Unlock() {
	s.mu.Lock()
	turn := s.turn
	s.mu.Unlock()
	select {
	case <-turn:
	default:
		panic(errUnlocked)
	}
}

// Local returns a value that SetLocal has put here, nil if none.
func (s *Session) Local(name string) any {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.local[name]
}

// SetLocal keeps a value beside the session in this process; nil removes it. It
// is neither replicated nor stored, and a session with such values is neither
// packed nor passivated, so that they stay for as long as it lives here.
func (s *Session) SetLocal(name string, value any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.phase == ended:
	case value == nil:
		delete(s.local, name)
	case s.local == nil:
		s.local = map[string]any{name: value}
	default:
		s.local[name] = value
	}
}

// snapshotLocked copies the session; values are shared. The caller holds s.mu.
func (s *Session) snapshotLocked(idleSince int64) *Snapshot {
	return &Snapshot{
		ID: s.key.id(""), Version: s.version, Head: s.head, New: s.isNew, MaxInactive: time.Duration(s.maxIdle),
		Created: time.UnixMilli(s.created), Accessed: s.m.wall(idleSince), Attributes: slices.Clone(s.attrs),
	}
}

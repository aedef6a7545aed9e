package sessions

import (
	"context"
	"errors"
	"time"
)

// Session is one session while it is in use. It is safe for concurrent use.
type Session struct{ m *Manager }

// Begin says that one more user holds the session; each Begin, Create and Find
// has an End.
func (s *Session) Begin() {}

// End says that a user is done. The session must not be used by him any more.
func (s *Session) End() {}

// ID returns the id with this node's route.
func (s *Session) ID() ID { return "" }

// IsNew reports that no request with this id has ended yet.
func (s *Session) IsNew() bool { return false }

// Created is when the session was made.
func (s *Session) Created() time.Time { return time.Time{} }

// LastAccessed is when its previous request ended.
func (s *Session) LastAccessed() time.Time { return time.Time{} }

// MaxInactive is how long it may be idle; zero or less for ever.
func (s *Session) MaxInactive() time.Duration { return 0 }

// Version is the bundle's version that the session belongs to.
func (s *Session) Version() string { return "" }

// Names returns the names of its attributes, sorted.
func (s *Session) Names() ([]string, error) { return nil, errors.ErrUnsupported }

// Attribute returns a committed attribute; false if there is none.
func (s *Session) Attribute(name string) (Attribute, bool, error) {
	return Attribute{}, false, errors.ErrUnsupported
}

// Commit makes changes visible, all at once, and replicates them. It returns
// the session's version with them.
func (s *Session) Commit(ctx context.Context, c *Changes) (Dot, error) {
	return Dot{}, errors.ErrUnsupported
}

// CompareAndSwap stores a value if the attribute's version still is base (the
// zero Dot: if it does not exist). It returns the attribute as it is now; exists
// is false if there is none.
func (s *Session) CompareAndSwap(ctx context.Context, name string, base Dot, value []byte) (swapped bool, now Attribute, exists bool, err error) {
	return false, Attribute{}, false, errors.ErrUnsupported
}

// Invalidate ends the session.
func (s *Session) Invalidate(ctx context.Context, cause Cause) error { return errors.ErrUnsupported }

// ChangeID gives the session a new id.
func (s *Session) ChangeID(ctx context.Context) (ID, error) { return "", errors.ErrUnsupported }

// Lock waits for its turn to have the session alone (serialised access).
func (s *Session) Lock(ctx context.Context) error { return errors.ErrUnsupported }

// Unlock ends what Lock began.
func (s *Session) Unlock() {}

// Local returns a value that SetLocal has put here, nil if none.
func (s *Session) Local(name string) any { return nil }

// SetLocal keeps a value beside the session in this process; nil removes it.
func (s *Session) SetLocal(name string, value any) {}

package servlettest

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/serval-server/serval/webapp/servlet"
)

// Session is a session in memory: a servlet.SessionBackend for tests. It is safe
// for concurrent use. The zero value is not ready; see NewSession.
type Session struct {
	mu      sync.Mutex
	id      string                   // guarded by mu
	isNew   bool                     // guarded by mu
	idle    time.Duration            // guarded by mu
	over    bool                     // guarded by mu
	clock   uint64                   // guarded by mu
	values  map[string]servlet.Value // guarded by mu
	local   map[string]any           // guarded by mu
	commits []servlet.Changes        // guarded by mu
	created time.Time
	// ended is called once when the session is invalidated.
	ended func(*Session)
}

var _ servlet.SessionBackend = (*Session)(nil)

// NewSession makes a session that has just been created.
func NewSession(id string) *Session {
	return &Session{id: id, isNew: true, idle: 30 * time.Minute, values: map[string]servlet.Value{}, local: map[string]any{}, created: time.Now()}
}

// ID implements servlet.SessionBackend.
func (s *Session) ID() string { s.mu.Lock(); defer s.mu.Unlock(); return s.id }

// IsNew implements servlet.SessionBackend.
func (s *Session) IsNew() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.isNew }

// Created implements servlet.SessionBackend.
func (s *Session) Created() time.Time { return s.created }

// LastAccessed implements servlet.SessionBackend; it is when the session was made.
func (s *Session) LastAccessed() time.Time { return s.created }

// MaxInactive implements servlet.SessionBackend.
func (s *Session) MaxInactive() time.Duration { s.mu.Lock(); defer s.mu.Unlock(); return s.idle }

// Names implements servlet.SessionBackend. It also works after the end, for
// listeners.
func (s *Session) Names() ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := make([]string, 0, len(s.values))
	for n := range s.values {
		names = append(names, n)
	}
	slices.Sort(names)
	return names, nil
}

// Load implements servlet.SessionBackend. It also works after the end, for
// listeners.
func (s *Session) Load(name string) (servlet.Value, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.values[name]
	return v, ok, nil
}

// Commit implements servlet.SessionBackend.
func (s *Session) Commit(ch *servlet.Changes) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return servlet.ErrInvalid
	}
	s.commits = append(s.commits, servlet.Changes{Attributes: slices.Clone(ch.Attributes), Read: slices.Clone(ch.Read), MaxInactive: ch.MaxInactive})
	s.clock++
	for _, c := range ch.Attributes {
		if c.Remove {
			delete(s.values, c.Name)
			continue
		}
		s.values[c.Name] = servlet.Value{Bytes: c.Value, Version: servlet.Version{Clock: s.clock}}
	}
	if ch.MaxInactive != nil {
		s.idle = *ch.MaxInactive
	}
	return nil
}

// Commits are all the changes that have been committed, in order.
func (s *Session) Commits() []servlet.Changes {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.commits)
}

// CompareAndSwap implements servlet.SessionBackend.
func (s *Session) CompareAndSwap(name string, base servlet.Version, value []byte) (bool, servlet.Value, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return false, servlet.Value{}, false, servlet.ErrInvalid
	}
	now, ok := s.values[name]
	if now.Version != base {
		return false, now, ok, nil
	}
	s.clock++
	now = servlet.Value{Bytes: value, Version: servlet.Version{Clock: s.clock}}
	s.values[name] = now
	return true, now, true, nil
}

// Invalidate implements servlet.SessionBackend.
func (s *Session) Invalidate() error {
	s.mu.Lock()
	if s.over {
		s.mu.Unlock()
		return servlet.ErrInvalid
	}
	s.over = true
	s.mu.Unlock()
	if s.ended != nil {
		s.ended(s)
	}
	return nil
}

// ChangeID implements servlet.SessionBackend.
func (s *Session) ChangeID() (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return "", servlet.ErrInvalid
	}
	s.id = fmt.Sprintf("%s-%d", s.id, s.clock)
	return s.id, nil
}

// Local implements servlet.SessionBackend.
func (s *Session) Local(name string) any { s.mu.Lock(); defer s.mu.Unlock(); return s.local[name] }

// SetLocal implements servlet.SessionBackend.
func (s *Session) SetLocal(name string, value any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if value == nil {
		delete(s.local, name)
		return
	}
	s.local[name] = value
}

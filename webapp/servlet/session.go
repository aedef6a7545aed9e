package servlet

import (
	"sort"
	"sync"
	"time"
)

// Session is a user's session as one request sees it: a view over what the
// server keeps. What the request reads, it decodes into copies of its own; what
// it has changed becomes visible to other requests at the next commit point
// (the end of the request, the response's first flush, Barrier), all at once;
// per attribute, the last commit wins. It is safe for concurrent use.
//
// Attributes are read and written by Get, Set, Remove and Update.
type Session struct {
	context *Context
	backend SessionBackend

	mu          sync.Mutex
	entries     entries        // guarded by mu
	changes     Changes        // guarded by mu; of the commit that is under way
	few         [2]Change      // guarded by mu; where the attributes of changes begin
	staged      *Changes       // guarded by mu; see Stage; then there are no entries
	maxInactive *time.Duration // guarded by mu; what this request has set
	detached    bool           // guarded by mu; see Detach
	over        bool           // guarded by mu; invalidated by this request
	told        bool           // guarded by mu; its values have heard that it is replicated
	frozen      bool           // a session that is told of in an event: nothing can be changed
}

// NewSession makes a view over a backend, for one request. It is for
// containers and tests; an author calls SessionOf.
func NewSession(c *Context, b SessionBackend) *Session {
	return &Session{context: c, backend: b}
}

// Backend is what the view looks at.
func (s *Session) Backend() SessionBackend { return s.backend }

// Context is the application of the session.
func (s *Session) Context() *Context { return s.context }

// ID is the session's id.
func (s *Session) ID() string { return s.backend.ID() }

// IsNew reports that the client has not yet sent the id back.
func (s *Session) IsNew() bool { return s.backend.IsNew() }

// Created is when the session was made.
func (s *Session) Created() time.Time { return s.backend.Created() }

// LastAccessed is when the session's previous request ended.
func (s *Session) LastAccessed() time.Time { return s.backend.LastAccessed() }

// MaxInactive is the idle time after which the session ends; zero or less: never.
func (s *Session) MaxInactive() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.maxInactive != nil {
		return *s.maxInactive
	}
	return s.backend.MaxInactive()
}

// SetMaxInactive sets the idle time after which the session ends; zero or less:
// never.
func (s *Session) SetMaxInactive(d time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.writableLocked(); err != nil {
		return err
	}
	s.maxInactive = &d
	return nil
}

// Names are the names of the attributes, sorted, with what this request has set
// and without what it has removed.
func (s *Session) Names() ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return nil, ErrInvalid
	}
	if err := s.unstageLocked(); err != nil {
		return nil, err
	}
	return s.presentLocked()
}

// namesLocked is Names; none if they cannot be had.
func (s *Session) namesLocked() []string {
	names, err := s.presentLocked()
	if err != nil {
		return nil
	}
	return names
}

func (s *Session) presentLocked() ([]string, error) {
	stored, err := s.backend.Names()
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(stored)+1)
	for _, n := range stored {
		if e := s.entries.find(n); e == nil || e.present() {
			names = append(names, n)
		}
	}
	for _, e := range s.entries.list {
		if e.present() && !e.exists {
			names = append(names, e.name)
		}
	}
	sort.Strings(names)
	return uniq(names), nil
}

func uniq(sorted []string) []string {
	out := sorted[:0]
	for i, s := range sorted {
		if i == 0 || s != sorted[i-1] {
			out = append(out, s)
		}
	}
	return out
}

// Invalidate ends the session, for all requests. Listeners are told. What this
// request has changed and not committed is dropped.
func (s *Session) Invalidate() error {
	s.mu.Lock()
	if err := s.writableLocked(); err != nil {
		s.mu.Unlock()
		return err
	}
	s.mu.Unlock()
	// What the request has set is told of its end with the rest: commit it,
	// so that the listeners of the session's end see what the request saw.
	if err := s.Commit(); err != nil {
		return err
	}
	err := s.backend.Invalidate()
	s.mu.Lock()
	s.over = true
	s.mu.Unlock()
	return err
}

// ChangeID gives the session a new id, as one does when a user logs in, and
// returns it. The client gets the new cookie with the response.
func (s *Session) ChangeID() (string, error) {
	s.mu.Lock()
	err := s.writableLocked()
	s.mu.Unlock()
	if err != nil {
		return "", err
	}
	return s.backend.ChangeID()
}

// ended reports that this request has invalidated the session.
func (s *Session) ended() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.over
}

func (s *Session) writableLocked() error {
	if s.over || s.frozen {
		return ErrInvalid
	}
	return nil
}

package servlet

import (
	"slices"
	"sync"
	"time"

	"github.com/serval-server/serval/webapp/servlet/wire"
)

// remoteSession is a session of the server's, within one request of a worker.
type remoteSession struct {
	sc *scope

	mu      sync.Mutex
	id      string        // guarded by mu
	info    wire.Session  // Attrs is nil
	max     time.Duration // guarded by mu
	attrs   []wire.Attr   // guarded by mu; few, so searched in order
	few     [2]wire.Attr  // where attrs begins
	invalid bool          // guarded by mu
	// collect, if set, gets the changes that Commit is given, to travel with
	// the response instead of a call of their own.
	collect *wire.Changes // guarded by mu
}

var _ SessionBackend = (*remoteSession)(nil)

// init makes it what a message says. It is empty before.
func (s *remoteSession) init(sc *scope, m *wire.Session) {
	s.sc, s.id, s.info, s.max = sc, m.ID, *m, m.MaxInactive
	s.info.Attrs = nil
	s.attrs = append(s.few[:0], m.Attrs...)
	for i := range s.attrs {
		a := &s.attrs[i]
		switch a.Mode {
		case wire.Inline:
			a.Value = append([]byte{}, a.Value...) // the frame's memory is used again
		case wire.InlineKeep:
			a.Value = append([]byte{}, a.Value...)
			sc.w.held.keep(a.Token, a.Value)
			a.Mode = wire.Inline
		case wire.Held, wire.OnDemand:
		}
	}
}

// findLocked is the attribute of that name, nil if there is none.
func (s *remoteSession) findLocked(name string) *wire.Attr {
	for i := range s.attrs {
		if s.attrs[i].Name == name {
			return &s.attrs[i]
		}
	}
	return nil
}

func (s *remoteSession) putLocked(a wire.Attr) {
	if old := s.findLocked(a.Name); old != nil {
		*old = a
		return
	}
	s.attrs = append(s.attrs, a)
}

func (s *remoteSession) removeLocked(name string) {
	s.attrs = slices.DeleteFunc(s.attrs, func(a wire.Attr) bool { return a.Name == name })
}

// ID implements SessionBackend.
func (s *remoteSession) ID() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.id
}

// IsNew implements SessionBackend.
func (s *remoteSession) IsNew() bool { return s.info.New }

// Created implements SessionBackend.
func (s *remoteSession) Created() time.Time { return s.info.Created }

// LastAccessed implements SessionBackend.
func (s *remoteSession) LastAccessed() time.Time { return s.info.LastAccessed }

// MaxInactive implements SessionBackend.
func (s *remoteSession) MaxInactive() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.max
}

// Names implements SessionBackend.
func (s *remoteSession) Names() ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.invalid {
		return nil, ErrInvalid
	}
	names := make([]string, 0, len(s.attrs))
	for i := range s.attrs {
		names = append(names, s.attrs[i].Name)
	}
	return names, nil
}

// Load implements SessionBackend.
func (s *remoteSession) Load(name string) (Value, bool, error) {
	s.mu.Lock()
	if s.invalid {
		s.mu.Unlock()
		return Value{}, false, ErrInvalid
	}
	a := s.findLocked(name)
	if a == nil {
		s.mu.Unlock()
		return Value{}, false, nil
	}
	v := Value{Version: Version(a.Version), Bytes: a.Value}
	if a.Mode == wire.Held {
		if v.Bytes = s.sc.w.held.get(a.Token); v.Bytes != nil {
			a.Mode, a.Value = wire.Inline, v.Bytes
		}
	}
	mode := a.Mode
	s.mu.Unlock()
	if mode == wire.Inline {
		return v, true, nil
	}
	return s.fetch(name)
}

// fetch asks the server for a value that did not come with the request.
func (s *remoteSession) fetch(name string) (Value, bool, error) {
	r, err := s.sc.call(&wire.Call{Op: wire.OpLoad, Name: name})
	if err != nil {
		return Value{}, false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !r.Flag {
		s.removeLocked(name)
		return Value{}, false, nil
	}
	if r.Value == nil {
		r.Value = []byte{}
	}
	if r.Token != 0 {
		s.sc.w.held.keep(r.Token, r.Value)
	}
	s.putLocked(wire.Attr{Name: name, Version: r.Version, Value: r.Value})
	return Value{Bytes: r.Value, Version: Version(r.Version)}, true, nil
}

// Commit implements SessionBackend.
func (s *remoteSession) Commit(ch *Changes) error {
	s.mu.Lock()
	into := s.collect
	out := into
	if out == nil {
		out = new(wire.Changes)
	}
	for _, c := range ch.Attributes {
		w := wire.Change{Name: c.Name, Remove: c.Remove, Value: c.Value}
		if c.Remove {
			s.removeLocked(c.Name)
		} else {
			if len(c.Value) >= keepMin {
				w.Token = s.sc.w.held.keep(0, c.Value)
			}
			// Its version is the server's to say: loaded if asked for.
			s.putLocked(wire.Attr{Name: c.Name, Mode: wire.OnDemand})
		}
		out.Attrs = append(out.Attrs, w)
	}
	out.Read = append(out.Read, ch.Read...)
	if ch.MaxInactive != nil {
		out.HasMaxInactive, out.MaxInactive, s.max = true, *ch.MaxInactive, *ch.MaxInactive
	}
	s.mu.Unlock()
	if into != nil {
		return nil
	}
	_, err := s.sc.call(&wire.Call{Op: wire.OpCommit, Changes: out})
	return err
}

// CompareAndSwap implements SessionBackend.
func (s *remoteSession) CompareAndSwap(name string, base Version, value []byte) (bool, Value, bool, error) {
	r, err := s.sc.call(&wire.Call{Op: wire.OpSwap, Name: name, Version: wire.Version(base), Value: value})
	if err != nil {
		return false, Value{}, false, err
	}
	now := Value{Bytes: r.Value, Version: Version(r.Version)}
	exists := r.Exists
	if r.Flag {
		now.Bytes, exists = value, true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if exists {
		s.putLocked(wire.Attr{Name: name, Version: r.Version, Value: now.Bytes})
	} else {
		s.removeLocked(name)
	}
	return r.Flag, now, exists, nil
}

// Invalidate implements SessionBackend.
func (s *remoteSession) Invalidate() error {
	_, err := s.sc.call(&wire.Call{Op: wire.OpInvalidate})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.invalid = true
	s.sc.w.locals.drop(s.id)
	return err
}

// ChangeID implements SessionBackend.
func (s *remoteSession) ChangeID() (string, error) {
	r, err := s.sc.call(&wire.Call{Op: wire.OpChangeID})
	if err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sc.w.locals.move(s.id, r.Text)
	s.id = r.Text
	return s.id, nil
}

// Local implements SessionBackend.
func (s *remoteSession) Local(name string) any { return s.sc.w.locals.get(s.ID(), name) }

// SetLocal implements SessionBackend.
func (s *remoteSession) SetLocal(name string, v any) { s.sc.w.locals.set(s.ID(), name, v) }

// ended reports that this request has invalidated the session.
func (s *remoteSession) ended() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.invalid
}

func (s *remoteSession) collectInto(ch *wire.Changes) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.collect = ch
}

package servlet

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// fold brings bytes up to date with value, so that another type can be decoded.
func (e *entry) fold() error {
	if e.value == nil || e.local || !e.mutable && !e.stale {
		return nil
	}
	b, err := encode(e.value)
	if err != nil {
		return err
	}
	if e.stale || !e.sameAs(b) {
		e.bytes, e.dirty, e.removed = b, true, false
	}
	e.stale = false
	return nil
}

// sameAs reports that b, encoded from value, says no more than e.bytes did: it
// is equal, or it is what the old bytes decode to in the type of today (a field
// that the struct has gained or lost since is not a change).
func (e *entry) sameAs(b []byte) bool {
	if bytes.Equal(b, e.bytes) {
		return true
	}
	if e.typ == nil || e.bytes == nil {
		return false
	}
	again, err := e.typ.recode(e.bytes)
	return err == nil && bytes.Equal(b, again)
}

// Commit hands what the request has changed since the last commit point to the
// backend. It is for containers; an author's code calls Barrier. It does
// nothing after Invalidate.
func (s *Session) Commit() error {
	if s.context.cfg.Sessions.Replicated && s.context.types.active.Load() {
		s.tellReplication()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over || s.frozen {
		return nil
	}
	if ch := s.staged; ch != nil {
		s.staged = nil // nothing else is known of the session
		s.changes = Changes{Attributes: ch.Attributes, MaxInactive: s.maxInactive}
		s.maxInactive = nil
		return s.commitLocked()
	}
	s.changes = Changes{Attributes: s.few[:0]}
	s.changesLocked(&s.changes)
	return s.commitLocked()
}

// commitLocked hands changes to the backend, which keeps nothing of the room for
// them.
func (s *Session) commitLocked() (err error) {
	if !s.changes.Empty() {
		err = s.backend.Commit(&s.changes)
	}
	s.changes, s.few = Changes{}, [2]Change{}
	return err
}

// changesLocked takes the changes out of the view, which goes on with what it
// holds as the new base.
func (s *Session) changesLocked(ch *Changes) {
	ch.MaxInactive = s.maxInactive
	var bad error
	for _, e := range s.entries.list {
		name := e.name
		if e.read && s.context.cfg.Sessions.ReportReads {
			e.read = false
			ch.Read = append(ch.Read, name)
		}
		if err := e.fold(); err != nil {
			// One value that has become impossible to encode never
			// costs the others.
			bad = errors.Join(bad, fmt.Errorf("session attribute %q: %w", name, err))
			continue
		}
		if !e.dirty {
			continue
		}
		e.dirty = false
		switch {
		case e.removed:
			if e.exists {
				ch.Attributes = append(ch.Attributes, Change{Name: name, Remove: true})
			}
			e.exists, e.removed, e.base, e.bytes = false, false, Value{}, nil
		default:
			ch.Attributes = append(ch.Attributes, Change{Name: name, Value: e.bytes})
			e.exists = true
		}
	}
	s.maxInactive = nil
	s.handOnLocked()
	slices.Sort(ch.Read)
	slices.SortFunc(ch.Attributes, func(a, b Change) int { return cmp.Compare(a.Name, b.Name) })
	if bad != nil {
		s.context.cfg.Logger.Error("session attribute was not stored", "error", bad)
	}
}

// Detach ends the exclusive use of the session (serialised access) while its
// request goes on: from here on nothing that the request has decoded is handed
// to others. It is for containers, when a connection is taken over.
func (s *Session) Detach() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.detached = true
	if !s.context.cfg.Sessions.KeepDecoded {
		return
	}
	for _, e := range s.entries.list {
		s.backend.SetLocal(decodedValue+e.name, nil)
	}
}

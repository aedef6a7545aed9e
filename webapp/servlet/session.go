package servlet

import (
	"bytes"
	"errors"
	"fmt"
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
	entries     map[string]*entry // guarded by mu
	maxInactive *time.Duration    // guarded by mu; what this request has set
	over        bool              // guarded by mu; invalidated by this request
	frozen      bool              // a session that is told of in an event: nothing can be changed
}

// entry is one attribute within one request.
type entry struct {
	base    Value // what the backend has; nil Bytes if it does not exist
	exists  bool  // base exists
	bytes   []byte
	dirty   bool // set or removed by this request, not yet committed
	removed bool
	read    bool
	// value is what the author holds: the value decoded from bytes, or the
	// one that was set. Nil if nobody has asked.
	value any
	// mutable says that the author can change value without calling Set, so
	// that it is encoded again at a commit point.
	mutable bool
	// stale says that bytes have yet to be made from value.
	stale bool
	typ   *typeInfo
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
	stored, err := s.backend.Names()
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(stored)+1)
	for _, n := range stored {
		if e := s.entries[n]; e == nil || e.present() {
			names = append(names, n)
		}
	}
	for n, e := range s.entries {
		if e.dirty && e.present() && !e.exists {
			names = append(names, n)
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

// present reports that the request sees the attribute.
func (e *entry) present() bool {
	if e.dirty {
		return !e.removed
	}
	return e.exists
}

// entryLocked is the request's entry for a name, loaded once.
func (s *Session) entryLocked(name string) (*entry, error) {
	if s.over {
		return nil, ErrInvalid
	}
	if e := s.entries[name]; e != nil {
		return e, nil
	}
	v, ok, err := s.backend.Load(name)
	if err != nil {
		return nil, fmt.Errorf("session attribute %q: %w", name, err)
	}
	e := &entry{base: v, exists: ok, bytes: v.Bytes}
	if s.entries == nil {
		s.entries = make(map[string]*entry, 4)
	}
	s.entries[name] = e
	return e, nil
}

// Get is the session's attribute, decoded as a T: the request's own copy. What
// it holds by reference (a map, a slice, a pointer) can be changed in place, and
// the change is found at the commit point, without a call of Set; what is
// changed in a copied struct or number needs one. Asking again in the same
// request gives the same value. If there is no such attribute the error is
// ErrNoAttribute; one that cannot be decoded as a T is an error that says so.
func Get[T any](s *Session, name string) (T, error) {
	var zero T
	s.mu.Lock()
	defer s.mu.Unlock()
	e, err := s.entryLocked(name)
	if err != nil {
		return zero, err
	}
	if !e.present() {
		return zero, ErrNoAttribute
	}
	e.read = true
	if v, ok := e.value.(T); ok && (e.typ == nil || e.typ == typeOf[T]()) {
		return v, nil
	}
	if err := e.fold(); err != nil {
		return zero, fmt.Errorf("session attribute %q: %w", name, err)
	}
	v, err := decodeAs[T](e.bytes)
	if err != nil {
		return zero, fmt.Errorf("session attribute %q: %w", name, err)
	}
	e.typ = typeOf[T]()
	e.value, e.mutable = v, e.typ.mutable
	s.context.types.remember(name, e.typ)
	return v, nil
}

// fold brings bytes up to date with value, so that another type can be decoded.
func (e *entry) fold() error {
	if e.value == nil || !e.mutable && !e.stale {
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

// Set sets an attribute of the session; a nil value removes it. The value must
// be one that can be encoded (numbers, strings, times, structs with exported
// fields, slices, maps, pointers to them); for others, such as functions and
// channels, it returns an error and nothing has changed, see SetLocal for them.
// The value is the request's own until the commit point, where it is encoded.
func Set[T any](s *Session, name string, value T) error {
	if isNil(value) {
		return Remove(s, name)
	}
	info := typeOf[T]()
	if info.iface {
		info = typeOfValue(value)
	}
	ev := s.bindingEvent(name)
	bound(s.context, value, ev)

	s.mu.Lock()
	old, had, err := s.setLocked(name, value, info)
	s.mu.Unlock()
	if err != nil {
		unbound(s.context, value, ev)
		return err
	}
	s.context.types.remember(name, info)
	if had {
		unbound(s.context, old(), ev)
		s.context.listeners.sessionAttribute(s.context, attrReplaced, s.attributeEvent(name, value, old))
		return nil
	}
	s.context.listeners.sessionAttribute(s.context, attrAdded, s.attributeEvent(name, value, nil))
	return nil
}

// setLocked stores the value and returns a function for the one before it.
func (s *Session) setLocked(name string, value any, info *typeInfo) (old func() any, had bool, err error) {
	if err := s.writableLocked(); err != nil {
		return nil, false, err
	}
	if name == "" {
		return nil, false, errors.New("session attribute: a name must not be empty")
	}
	var encoded []byte
	stale := info.safe
	if !stale {
		if encoded, err = encode(value); err != nil {
			return nil, false, fmt.Errorf("session attribute %q: %w", name, err)
		}
	}
	e, err := s.entryLocked(name)
	if err != nil {
		return nil, false, err
	}
	if had = e.present(); had {
		old = s.oldValue(name, e)
	}
	e.value, e.typ, e.mutable = value, info, info.mutable
	e.dirty, e.removed, e.stale = true, false, stale
	if !stale {
		e.bytes = encoded
	}
	return old, had, nil
}

// oldValue remembers what the entry holds, to be decoded only if a listener
// asks for it.
func (s *Session) oldValue(name string, e *entry) func() any {
	if e.value != nil {
		v := e.value
		return func() any { return v }
	}
	b := e.bytes
	return func() any { return s.context.types.decode(name, b) }
}

// Remove removes an attribute of the session; if there is none, nothing happens.
func Remove(s *Session, name string) error {
	s.mu.Lock()
	if err := s.writableLocked(); err != nil {
		s.mu.Unlock()
		return err
	}
	e, err := s.entryLocked(name)
	if err != nil || !e.present() {
		s.mu.Unlock()
		return err
	}
	old := s.oldValue(name, e)
	*e = entry{base: e.base, exists: e.exists, read: e.read, dirty: true, removed: true}
	s.mu.Unlock()
	unbound(s.context, old(), s.bindingEvent(name))
	s.context.listeners.sessionAttribute(s.context, attrRemoved, s.attributeEvent(name, nil, old))
	return nil
}

// SetLocal keeps a value beside the session, on this node and in this process
// only: it is never encoded, never replicated, and gone after a restart. Nil
// removes it. All requests of the session share the value itself.
func SetLocal(s *Session, name string, value any) { s.backend.SetLocal(name, value) }

// GetLocal is a value that SetLocal has put there; false if there is none of
// that type.
func GetLocal[T any](s *Session, name string) (T, bool) {
	v, ok := s.backend.Local(name).(T)
	return v, ok
}

// Update changes an attribute atomically: f gets its present value (false and
// the zero value if there is none) and returns the new one, which is stored only
// if no other request has changed the attribute meanwhile; else f is called
// again with what that one has stored. So f must have no effect but its result.
// An error of f ends Update and nothing has changed. The change is visible to
// other requests at once and cannot be taken back.
func Update[T any](s *Session, name string, f func(value T, exists bool) (T, error)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.writableLocked(); err != nil {
		return err
	}
	e, err := s.entryLocked(name)
	if err != nil {
		return err
	}
	if e.dirty || e.mutable {
		if err := e.fold(); err != nil {
			return fmt.Errorf("session attribute %q: %w", name, err)
		}
	}
	info := typeOf[T]()
	present, exists := e.bytes, e.present()
	if !e.dirty {
		v, ok, err := s.backend.Load(name)
		if err != nil {
			return fmt.Errorf("session attribute %q: %w", name, err)
		}
		e.base, e.exists = v, ok
		present, exists = v.Bytes, ok
	}
	for {
		next, b, err := applyUpdate(f, present, exists)
		if err != nil {
			return fmt.Errorf("session attribute %q: %w", name, err)
		}
		swapped, now, ok, err := s.backend.CompareAndSwap(name, e.base.Version, b)
		if err != nil {
			return fmt.Errorf("session attribute %q: %w", name, err)
		}
		if swapped {
			*e = entry{base: Value{Bytes: b, Version: now.Version}, exists: true, bytes: b, value: next, typ: info, mutable: info.mutable, read: e.read}
			s.context.types.remember(name, info)
			return nil
		}
		e.base, e.exists = now, ok
		present, exists = now.Bytes, ok
	}
}

// applyUpdate decodes, calls f and encodes.
func applyUpdate[T any](f func(T, bool) (T, error), present []byte, exists bool) (next T, b []byte, err error) {
	var v T
	if exists {
		if v, err = decodeAs[T](present); err != nil {
			return next, nil, err
		}
	}
	if next, err = f(v, exists); err != nil {
		return next, nil, err
	}
	b, err = encode(next)
	return next, b, err
}

// Commit hands what the request has changed since the last commit point to the
// backend. It is for containers; an author's code calls Barrier. It does
// nothing after Invalidate.
func (s *Session) Commit() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over || s.frozen {
		return nil
	}
	ch, err := s.changesLocked()
	if err != nil {
		return err
	}
	if ch.Empty() {
		return nil
	}
	return s.backend.Commit(&ch)
}

// changesLocked takes the changes out of the view, which goes on with what it
// holds as the new base.
func (s *Session) changesLocked() (Changes, error) {
	ch := Changes{MaxInactive: s.maxInactive}
	var bad error
	for name, e := range s.entries {
		if e.read {
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
		case e.removed && e.exists:
			ch.Attributes = append(ch.Attributes, Change{Name: name, Remove: true})
			e.exists, e.removed, e.base, e.bytes = false, false, Value{}, nil
		case e.removed:
			e.removed, e.bytes = false, nil
		default:
			ch.Attributes = append(ch.Attributes, Change{Name: name, Value: e.bytes})
			e.exists = true
		}
	}
	s.maxInactive = nil
	sort.Strings(ch.Read)
	sort.Slice(ch.Attributes, func(i, j int) bool { return ch.Attributes[i].Name < ch.Attributes[j].Name })
	if bad != nil {
		s.context.cfg.Logger.Error("session attribute was not stored", "error", bad)
	}
	return ch, nil
}

// Stage puts changes that another process has made within this request (a
// filter in a worker, say) into the view, as if they had been made here.
func (s *Session) Stage(ch *Changes) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.writableLocked(); err != nil {
		return err
	}
	for _, c := range ch.Attributes {
		e, err := s.entryLocked(c.Name)
		if err != nil {
			return err
		}
		*e = entry{base: e.base, exists: e.exists, read: e.read, dirty: true, removed: c.Remove, bytes: c.Value}
	}
	for _, n := range ch.Read {
		e, err := s.entryLocked(n)
		if err != nil {
			return err
		}
		e.read = true
	}
	if ch.MaxInactive != nil {
		s.maxInactive = ch.MaxInactive
	}
	return nil
}

package servlet

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
)

// entry is one attribute within one request.
type entry struct {
	name    string
	base    Value // what the backend has; nil Bytes if it does not exist
	exists  bool  // base exists
	bytes   []byte
	dirty   bool // set or removed by this request, not yet committed
	removed bool
	read    bool
	// value is what the author holds: the value decoded from bytes, or the
	// one that was set. Nil if nobody has asked; see held.
	value any
	// mutable says that the author can change value without calling Set, so
	// that it is encoded again at a commit point.
	mutable bool
	// stale says that bytes have yet to be made from value.
	stale bool
	// local: the value cannot be encoded and is kept beside the session.
	local bool
	typ   *typeInfo
	// met: the context has been told that the attribute is of that type.
	met *typeInfo
}

// entries are the attributes that a request has met, in that order: few, as a
// rule, so that they are searched one by one and no map is made for them.
type entries struct {
	list   []*entry
	first  [2]*entry         // where list begins
	room   entry             // what the first of list points to
	byName map[string]*entry // nil up to fewEntries
}

// fewEntries is up to how many entries are searched one by one.
const fewEntries = 16

// find is the entry of that name, nil if there is none.
func (es *entries) find(name string) *entry {
	if es.byName != nil {
		return es.byName[name]
	}
	for _, e := range es.list {
		if e.name == name {
			return e
		}
	}
	return nil
}

// add adds an entry of a name that is not there yet.
func (es *entries) add(name string) *entry {
	e := &es.room
	if es.list == nil {
		es.list = es.first[:0]
	} else {
		e = new(entry)
	}
	e.name = name
	es.list = append(es.list, e)
	switch {
	case es.byName != nil:
		es.byName[e.name] = e
	case len(es.list) > fewEntries:
		es.byName = make(map[string]*entry, 2*len(es.list))
		for _, e := range es.list {
			es.byName[e.name] = e
		}
	}
	return e
}

// held is what the author holds, nil for nothing. A plain value is not kept, as a
// rule: to decode it again costs less than the allocation to hold it in an
// interface.
func (e *entry) held() any {
	if e.value != nil || e.typ == nil || !e.typ.plain {
		return e.value
	}
	v := reflect.New(e.typ.typ)
	if into := v.Interface(); !decodeScalar(e.bytes, into) && decMode.Unmarshal(e.bytes, into) != nil {
		return nil
	}
	return v.Elem().Interface()
}

// meet tells the context of the type that the attribute has been met with, if
// anybody may have to be shown a value of that type.
func (e *entry) meet(c *Context, info *typeInfo) {
	if e.met == info {
		return
	}
	e.met = info
	if info.listens || c.types.listen.Load() || len(c.listeners.sessionAttrs) > 0 {
		c.types.remember(e.name, info)
	}
}

// The names under which values are kept beside a session for the package's own
// purposes. No attribute has such a name.
const (
	localValue   = "\x00local\x00"   // values that cannot be encoded
	decodedValue = "\x00decoded\x00" // values decoded by the request before
)

// decoded is a value that one request hands to the next (KeepDecoded).
type decoded struct {
	bytes []byte
	value any
	typ   *typeInfo
}

// present reports that the request sees the attribute.
func (e *entry) present() bool {
	if e.local {
		return true
	}
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
	if err := s.unstageLocked(); err != nil {
		return nil, err
	}
	if e := s.entries.find(name); e != nil {
		return e, nil
	}
	v, ok, err := s.backend.Load(name)
	if err != nil {
		return nil, fmt.Errorf("session attribute %q: %w", name, err)
	}
	e := s.entries.add(name)
	e.base, e.exists, e.bytes = v, ok, v.Bytes
	if !ok && s.context.cfg.Sessions.UnencodableLocal {
		e.value = s.backend.Local(localValue + name)
		e.local = e.value != nil
	}
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
	e.read = true
	if !e.present() {
		return zero, ErrNoAttribute
	}
	info := typeOf[T]()
	held := e.value
	if info.iface {
		held = e.held()
	}
	if v, ok := held.(T); ok && (e.typ == info || e.local || info.iface) {
		return v, nil
	}
	if e.local {
		return zero, fmt.Errorf("session attribute %q: it is a %T, not a %T", name, e.value, zero)
	}
	if err := e.fold(); err != nil {
		return zero, fmt.Errorf("session attribute %q: %w", name, err)
	}
	v, kept := handedOn[T](s, name, e, info)
	if !kept {
		if v, err = decodeAs[T](e.bytes); err != nil {
			return zero, fmt.Errorf("session attribute %q: %w", name, err)
		}
	}
	e.value, e.typ = nil, info
	if !info.plain {
		e.value = v
	}
	e.mutable = info.mutable && !s.context.cfg.Sessions.SetOnly
	e.meet(s.context, info)
	return v, nil
}

// handedOn is the value that the request before has decoded, if it still is what
// the session has.
func handedOn[T any](s *Session, name string, e *entry, info *typeInfo) (T, bool) {
	var zero T
	if !s.context.cfg.Sessions.KeepDecoded || !info.mutable || s.detached {
		return zero, false
	}
	d, ok := s.backend.Local(decodedValue + name).(*decoded)
	if !ok || d.typ != info || !bytes.Equal(d.bytes, e.bytes) {
		return zero, false
	}
	v, ok := d.value.(T)
	return v, ok
}

// handOnLocked keeps what this request has decoded for the next.
func (s *Session) handOnLocked() {
	if !s.context.cfg.Sessions.KeepDecoded || s.detached {
		return
	}
	for _, e := range s.entries.list {
		if e.value != nil && e.typ != nil && e.typ.mutable && e.present() && !e.local && !e.stale {
			s.backend.SetLocal(decodedValue+e.name, &decoded{bytes: e.bytes, value: e.value, typ: e.typ})
		}
	}
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
	plain := info.plain
	if info.iface {
		info = typeOfValue(value)
	}
	// Nobody listens, as a rule; then nothing is decoded to be shown around.
	listened := info.listens || s.context.types.listens(name) || len(s.context.listeners.sessionAttrs) > 0
	if plain && !listened {
		encoded, _ := encodeScalar(value)
		return s.setPlain(name, encoded, info)
	}
	if listened {
		bound(s.context, value, s.bindingEvent(name))
	}
	s.mu.Lock()
	old, had, err := s.setLocked(name, value, info, listened)
	s.mu.Unlock()
	switch {
	case err == nil:
		if listened {
			s.tellSet(name, value, old, had)
		}
	case listened:
		unbound(s.context, value, s.bindingEvent(name))
	}
	return err
}

// setPlain stores a plain value of which nobody is told.
func (s *Session) setPlain(name string, encoded []byte, info *typeInfo) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, err := s.settableLocked(name)
	if err != nil {
		return err
	}
	s.dropLocal(name, e)
	e.value, e.typ, e.mutable, e.bytes = nil, info, false, encoded
	e.dirty, e.removed, e.stale = true, false, false
	e.meet(s.context, info)
	return nil
}

// settableLocked is the entry that a value is to be stored in.
func (s *Session) settableLocked(name string) (*entry, error) {
	if err := s.writableLocked(); err != nil {
		return nil, err
	}
	if name == "" {
		return nil, errors.New("session attribute: a name must not be empty")
	}
	return s.entryLocked(name)
}

// tellSet tells the value that has been replaced, and those who listen.
func (s *Session) tellSet(name string, value any, old func() any, had bool) {
	if !had {
		s.context.listeners.sessionAttribute(s.context, attrAdded, s.attributeEvent(name, value, nil))
		return
	}
	unbound(s.context, old(), s.bindingEvent(name))
	s.context.listeners.sessionAttribute(s.context, attrReplaced, s.attributeEvent(name, value, old))
}

// setLocked stores the value and returns a function for the one before it, if
// somebody listens.
func (s *Session) setLocked(name string, value any, info *typeInfo, listened bool) (old func() any, had bool, err error) {
	var encoded []byte
	stale := info.safe
	e, err := s.settableLocked(name)
	if err != nil {
		return nil, false, err
	}
	if had = e.present(); had && listened {
		old = s.oldValue(name, e)
	}
	if !stale {
		if encoded, err = encode(value); err != nil {
			if s.context.cfg.Sessions.UnencodableLocal {
				s.keepLocal(name, e, value, err)
				e.meet(s.context, info)
				return old, had, nil
			}
			return nil, false, fmt.Errorf("session attribute %q: %w", name, err)
		}
	}
	s.dropLocal(name, e)
	e.value, e.typ, e.mutable = value, info, info.mutable && !s.context.cfg.Sessions.SetOnly
	e.dirty, e.removed, e.stale = true, false, stale
	if !stale {
		e.bytes = encoded
	}
	e.meet(s.context, info)
	return old, had, nil
}

// keepLocal keeps a value that cannot be encoded beside the session, on this
// node. What was stored under its name is removed.
func (s *Session) keepLocal(name string, e *entry, value any, why error) {
	s.context.types.warnOnce(s.context, name, value, why)
	s.backend.SetLocal(localValue+name, value)
	*e = entry{name: name, base: e.base, exists: e.exists, read: e.read, dirty: e.exists, removed: e.exists, local: true, value: value}
}

func (s *Session) dropLocal(name string, e *entry) {
	if e.local {
		s.backend.SetLocal(localValue+name, nil)
		e.local = false
	}
}

// oldValue remembers what the entry holds, to be decoded only if a listener
// asks for it.
func (s *Session) oldValue(name string, e *entry) func() any {
	if v := e.held(); v != nil {
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
	s.dropLocal(name, e)
	*e = entry{name: name, base: e.base, exists: e.exists, read: e.read, dirty: true, removed: true}
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
	base, present, exists, err := s.beginUpdate(name)
	for err == nil {
		var next T
		var b []byte
		if next, b, err = applyUpdate(f, present, exists); err != nil {
			break
		}
		var swapped, stored bool
		var now Value
		if swapped, now, stored, err = s.backend.CompareAndSwap(name, base, b); err != nil {
			break
		}
		if swapped {
			s.endUpdate(name, Value{Bytes: b, Version: now.Version}, next, typeOf[T](), present, exists)
			return nil
		}
		base, present, exists = now.Version, now.Bytes, stored
	}
	return fmt.Errorf("session attribute %q: %w", name, err)
}

// beginUpdate is what Update starts from: what this request has set, or else
// what is stored now.
func (s *Session) beginUpdate(name string) (base Version, present []byte, exists bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.writableLocked(); err != nil {
		return base, nil, false, err
	}
	e, err := s.entryLocked(name)
	if err != nil {
		return base, nil, false, err
	}
	if e.local {
		return base, nil, false, errors.New("a value that cannot be encoded cannot be updated")
	}
	if err := e.fold(); err != nil {
		return base, nil, false, err
	}
	if e.dirty {
		return e.base.Version, e.bytes, e.present(), nil
	}
	e.base, e.exists, err = s.backend.Load(name)
	return e.base.Version, e.base.Bytes, e.exists, err
}

// endUpdate makes what has been stored the request's own view, and tells.
func (s *Session) endUpdate(name string, v Value, value any, info *typeInfo, before []byte, had bool) {
	s.mu.Lock()
	e := s.entries.find(name)
	*e = entry{name: name, base: v, exists: true, bytes: v.Bytes, value: value, typ: info, mutable: info.mutable && !s.context.cfg.Sessions.SetOnly, read: e.read}
	s.mu.Unlock()
	s.context.types.remember(name, info)
	old := func() any { return s.context.types.decode(name, before) }
	if !had {
		s.context.listeners.sessionAttribute(s.context, attrAdded, s.attributeEvent(name, value, nil))
		return
	}
	s.context.listeners.sessionAttribute(s.context, attrReplaced, s.attributeEvent(name, value, old))
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

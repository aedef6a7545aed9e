package replica

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
)

// SessionID names a session in the cluster, without its route.
type SessionID string

// Kind says whether a session lives, in the lattice's order.
type Kind uint8

// A session's kinds. Each absorbs those before it.
const (
	Live    Kind = iota // the session may be used
	Renamed             // its id was changed; it lives on under Life.NewID
	Dead                // it was invalidated or has expired
)

func (k Kind) String() string { return [...]string{"live", "renamed", "dead"}[k] }

// Reason says how a session died.
type Reason uint8

// The reasons of a death.
const (
	Invalidated Reason = iota // the application ended it
	Expired                   // it was idle for too long
	Undeployed                // its application was removed
)

// Life is how a session stands. The zero value is a living one.
type Life struct {
	Kind   Kind
	Dot    Dot       // of the change that ended it; zero while it lives
	Reason Reason    // of a Dead session
	NewID  SessionID // of a Renamed session
}

func (l Life) compare(o Life) int {
	return cmp.Or(cmp.Compare(l.Kind, o.Kind), l.Dot.Compare(o.Dot))
}

// Value is what a register holds: Bytes, or, where the whole attribute map of a
// session is one register (granularity SESSION), Map. A Value is never changed
// once it is in a State.
type Value struct {
	Bytes []byte
	Map   map[string][]byte
}

// Equal reports whether two values are the same.
func (v Value) Equal(o Value) bool {
	return bytes.Equal(v.Bytes, o.Bytes) && maps.EqualFunc(v.Map, o.Map, bytes.Equal)
}

// Version is one value of a register and the dot of the request that wrote it.
type Version struct {
	Dot   Dot
	Value Value
}

// Register is a named value of a session: an attribute, a field of one, or all
// of them, as the application's granularity says. It holds one version, or
// after a fork each one that no later write has replaced, highest dot first.
type Register struct {
	Key      string
	Versions []Version
}

// State is one node's copy of one session. The zero value with an ID is the
// bottom of the lattice: a session of which nothing is known. A State is not
// safe for concurrent use; Clone makes an independent copy.
type State struct {
	ID        SessionID
	Life      Life
	Heads     []Dot      // the changes that no later one covers: one, more after a fork
	Seen      Context    // all changes that this copy includes
	Registers []Register // sorted by key
}

// Clone returns a copy that shares only values, which never change.
func (s *State) Clone() *State {
	if s.small() {
		r := &roomy{State: *s}
		r.Heads = append(r.heads[:0:1], s.Heads...)
		r.Seen = append(r.seen[:0:1], s.Seen...)
		r.Registers = append(r.registers[:0:roomyRegisters], s.Registers...)
		for i := range r.Registers {
			v := &r.Registers[i].Versions
			r.versions[i] = (*v)[0]
			*v = r.versions[i : i+1 : i+1]
		}
		return &r.State
	}
	c := *s
	c.Heads = slices.Clone(s.Heads)
	c.Seen = slices.Clone(s.Seen)
	c.Registers = slices.Clone(s.Registers)
	for i := range c.Registers {
		c.Registers[i].Versions = slices.Clone(c.Registers[i].Versions)
	}
	return &c
}

// own returns a copy that shares nothing but strings.
func (s *State) own() *State {
	c := s.Clone()
	for i := range c.Registers {
		for j := range c.Registers[i].Versions {
			v := &c.Registers[i].Versions[j].Value
			*v = v.own()
		}
	}
	return c
}

// own is a value of one piece of memory, that is nobody else's.
func (v Value) own() Value {
	out := Value{Bytes: slices.Clone(v.Bytes)}
	if v.Map == nil {
		return out
	}
	size := 0
	for _, e := range v.Map {
		size += len(e)
	}
	room := make([]byte, 0, size)
	out.Map = make(map[string][]byte, len(v.Map))
	for k, e := range v.Map {
		if e != nil {
			room = append(room, e...)
			e = room[len(room)-len(e) : len(room) : len(room)]
		}
		out.Map[k] = e
	}
	return out
}

// roomyRegisters are metadata and, at granularity SESSION, the attributes.
const roomyRegisters = 2

// roomy is a State with room for what most have, so that one allocation makes
// all of a copy.
type roomy struct {
	State
	heads     [1]Dot
	seen      [1]Dot
	registers [roomyRegisters]Register
	versions  [roomyRegisters]Version
}

// small reports whether a copy of s fits a roomy one.
func (s *State) small() bool {
	return len(s.Heads) == 1 && len(s.Seen) == 1 && len(s.Registers) > 0 && len(s.Registers) <= roomyRegisters &&
		!slices.ContainsFunc(s.Registers, func(r Register) bool { return len(r.Versions) != 1 })
}

// Known reports whether anything is known of the session.
func (s *State) Known() bool { return s.Life.Kind != Live || len(s.Heads) > 0 }

// Forked reports whether two nodes wrote the session without knowing of each
// other and no later write has joined them.
func (s *State) Forked() bool { return len(s.Heads) > 1 }

// Get returns the register's value with the highest dot.
func (s *State) Get(key string) (Version, bool) {
	i, ok := s.find(key)
	if !ok {
		return Version{}, false
	}
	return s.Registers[i].Versions[0], true
}

// Epoch is the highest epoch among the changes that the copy includes.
func (s *State) Epoch() uint32 {
	e := s.Life.Dot.Epoch
	for _, h := range s.Heads {
		e = max(e, h.Epoch)
	}
	return e
}

// Clock is the highest clock that the copy includes; a writer's next dot must
// have a higher one.
func (s *State) Clock() uint64 {
	c := s.Life.Dot.Clock
	for _, d := range s.Seen {
		c = max(c, d.Clock)
	}
	return c
}

// SameAs reports whether both copies include the same changes. Heads and life
// say it: a dot stands for all that its writer had seen.
func (s *State) SameAs(o *State) bool {
	return s.Life == o.Life && slices.Equal(s.Heads, o.Heads)
}

func (s *State) find(key string) (int, bool) {
	return slices.BinarySearchFunc(s.Registers, key, func(r Register, k string) int { return cmp.Compare(r.Key, k) })
}

// end drops the content of a session that no longer lives.
func (s *State) end(l Life) {
	s.Life = l
	s.Heads, s.Seen, s.Registers = nil, nil, nil
}

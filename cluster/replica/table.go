package replica

import (
	"hash/maphash"
	"time"

	"github.com/serval-server/serval/sessions/arena"
)

// slot is what a node knows of each session without unpacking it. It holds no
// pointer, so that the collector does not look at a million idle sessions.
type slot struct {
	used  time.Duration // last request at home, or word of one from there
	due   time.Duration // when a Tick looks at it; in the wheel if bucket is not 0
	sum   uint64        // fingerprint of the copy; 0: nothing is known
	hash  uint32        // of the id, in the index
	ref   arena.Ref     // of a packed session
	chain uint32        // the next one in the index with this hash, or the next free slot
	hot   uint32        // place in the table of unpacked sessions + 1; 0: packed or free
	prev  uint32        // neighbours in the wheel
	next  uint32
	home  NodeID // the reign's
	gen   uint32 // of the digests that sum is part of
	where uint16 // bucket of the wheel + 1
	seg   uint8
	flags slotFlags
}

type slotFlags uint8

const (
	slotTaken   slotFlags = 1 << iota
	slotHome              // it lives, at home here
	slotCounted           // sum is part of the digests of gen
	slotOld               // it ended so long ago that it counts in none
	slotPacked            // ref says where
)

const slotChunk = 256

// table holds all sessions of a node by number, from 1, and finds them by id.
// Numbers go by the order of events alone, so that a walk is the same each time.
type table struct {
	seed   maphash.Seed
	chunks []*[slotChunk]slot
	used   uint32 // slots ever used
	count  int    // sessions
	free   uint32
	index  []uint32 // chains of slots by hash
	hot    []*session
	spare  []uint32 // free places in hot
	arena  *arena.Arena
}

func newTable() table {
	return table{seed: maphash.MakeSeed(), index: make([]uint32, 64), arena: &arena.Arena{}}
}

func (t *table) slotAt(i uint32) *slot { return &t.chunks[(i-1)/slotChunk][(i-1)%slotChunk] }

func (t *table) hashOf(id SessionID) uint32 { return uint32(maphash.String(t.seed, string(id))) }

// find returns the number and the slot of a session; 0 if there is none.
func (t *table) find(id SessionID) (uint32, *slot) {
	h := t.hashOf(id)
	for i := t.index[h&uint32(len(t.index)-1)]; i != 0; {
		s := t.slotAt(i)
		if s.hash == h && t.isID(s, id) {
			return i, s
		}
		i = s.chain
	}
	return 0, nil
}

func (t *table) isID(s *slot, id SessionID) bool {
	if s.hot != 0 {
		return t.hot[s.hot-1].ID == id
	}
	return string(packedID(t.arena.Bytes(s.ref))) == string(id)
}

func (t *table) idOf(s *slot) SessionID {
	if s.hot != 0 {
		return t.hot[s.hot-1].ID
	}
	return SessionID(packedID(t.arena.Bytes(s.ref)))
}

// place makes a slot for a session that is not there yet. The slot is neither that
// of an unpacked nor of a packed session until the caller makes it one.
func (t *table) place(s *session) uint32 {
	if t.count >= len(t.index) {
		t.grow()
	}
	i := t.free
	if i != 0 {
		t.free = t.slotAt(i).chain
	} else {
		if int(t.used) == len(t.chunks)*slotChunk {
			t.chunks = append(t.chunks, new([slotChunk]slot))
		}
		t.used++
		i = t.used
	}
	sl := t.slotAt(i)
	*sl = slot{hash: t.hashOf(s.ID), seg: uint8(s.ID.Segment()), flags: slotTaken}
	b := &t.index[sl.hash&uint32(len(t.index)-1)]
	sl.chain, *b = *b, i
	t.count++
	s.slot, s.number = sl, i
	return i
}

// heat notes that a session is unpacked.
func (t *table) heat(s *session) {
	if k := len(t.spare); k > 0 {
		s.slot.hot = t.spare[k-1]
		t.spare = t.spare[:k-1]
		t.hot[s.slot.hot-1] = s
		return
	}
	t.hot = append(t.hot, s)
	s.slot.hot = uint32(len(t.hot))
}

// keptHot is for how many unpacked sessions a node keeps room.
const keptHot = 1024

// cool notes that a session is unpacked no more.
func (t *table) cool(s *session) {
	t.hot[s.slot.hot-1] = nil
	t.spare = append(t.spare, s.slot.hot)
	s.slot.hot = 0
	if len(t.spare) == len(t.hot) {
		t.hot, t.spare = t.hot[:0], t.spare[:0]
		if cap(t.hot) > keptHot {
			t.hot, t.spare = nil, nil
		}
	}
}

// remove forgets a session, which must be unpacked and out of the wheel.
func (t *table) remove(s *session) {
	t.cool(s)
	b := &t.index[s.slot.hash&uint32(len(t.index)-1)]
	for *b != s.number {
		b = &t.slotAt(*b).chain
	}
	*b = s.slot.chain
	*s.slot = slot{chain: t.free}
	t.free = s.number
	t.count--
}

func (t *table) grow() {
	t.index = make([]uint32, 2*len(t.index))
	for i := uint32(1); i <= t.used; i++ {
		if s := t.slotAt(i); s.flags&slotTaken != 0 {
			b := &t.index[s.hash&uint32(len(t.index)-1)]
			s.chain, *b = *b, i
		}
	}
}

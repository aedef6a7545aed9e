package sessions

import (
	"encoding/binary"
	"sync"

	"github.com/serval-server/serval/sessions/arena"
)

const (
	shards = 16
	// maxScratch bounds the buffer that a shard keeps for packing.
	maxScratch = 64 << 10
)

// shard holds the sessions whose first placement byte chooses it. A change of the
// id keeps a session in its shard.
type shard struct {
	m *Manager

	mu     sync.Mutex
	closed bool                 // guarded by mu
	index  map[key]uint32       // guarded by mu; slots of visible sessions
	slots  slots                // guarded by mu
	arena  arena.Arena          // guarded by mu
	live   map[uint32]*Session  // guarded by mu; by slot
	wheel  wheel                // guarded by mu
	lru    list                 // guarded by mu; in memory, used last at the end; only with a Store
	hot    []*Session           // guarded by mu; a ring of the sessions used last
	turn   int                  // guarded by mu; the place in hot that is used next
	moving map[key]*moveSession // guarded by mu; on their way from or to elsewhere
	// over are keys that nobody finds here any more, of which the Replicator
	// has yet to be told: it would still find them. Only with a Replicator.
	over map[key]struct{} // guarded by mu
	buf  []byte           // guarded by mu; for packing
}

// moveSession is a session that is being loaded or passivated. Others wait.
type moveSession struct{ done chan struct{} }

func newShard(m *Manager, hot int) *shard {
	return &shard{
		m: m, index: make(map[key]uint32), live: make(map[uint32]*Session),
		moving: make(map[key]*moveSession), hot: make([]*Session, hot),
	}
}

// overLocked makes a key one that is not to be found, until told is called.
func (sh *shard) overLocked(k key) {
	if sh.m.options().Replicator == nil {
		return
	}
	if sh.over == nil {
		sh.over = make(map[key]struct{})
	}
	sh.over[k] = struct{}{}
}

// told says that the Replicator has been told of the end of a key.
func (sh *shard) told(k key) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	delete(sh.over, k)
}

// pinLocked returns the slot's session with one more reference. Packed sessions
// are unpacked. It must not be passive.
func (sh *shard) pinLocked(i uint32) *Session {
	sl := sh.slots.at(i)
	if sl.place == live {
		s := sh.live[i]
		s.refs++
		return s
	}
	s := sh.unpackLocked(i)
	s.refs = 1
	return s
}

func (sh *shard) unpackLocked(i uint32) *Session {
	sl := sh.slots.at(i)
	s := &Session{m: sh.m, sh: sh, slot: i, key: sl.key, maxIdle: sl.maxIdle}
	s.readPacked(sh.arena.Bytes(sl.ref), sl.idleSince)
	sh.arena.Free(sl.ref)
	sl.ref, sl.place = arena.Ref{}, live
	sh.live[i] = s
	sh.m.counts.unpacked.Add(1)
	return s
}

// unpinLocked drops a reference. The last one makes room among the hot sessions
// by packing the one that has been there for longest.
func (sh *shard) unpinLocked(s *Session) {
	s.refs--
	if s.refs > 0 || s.slot == 0 || sh.closed {
		return
	}
	if len(sh.hot) == 0 {
		sh.packLocked(s)
		return
	}
	if s.hot != 0 {
		return
	}
	old := sh.hot[sh.turn]
	sh.hot[sh.turn], s.hot = s, sh.turn+1
	sh.turn = (sh.turn + 1) % len(sh.hot)
	if old != nil {
		old.hot = 0
		if old.refs == 0 && old.slot != 0 {
			sh.packLocked(old)
		}
	}
}

// packLocked moves an unused session into the arena. One with local values stays:
// they cannot be packed.
func (sh *shard) packLocked(s *Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.local) > 0 || s.phase != valid {
		return
	}
	sl := sh.slots.at(s.slot)
	sh.buf = s.appendPacked(sh.buf[:0], sl.idleSince)
	ref, block, err := sh.arena.Alloc(len(sh.buf))
	if err != nil { // no memory to be had: it stays where it is
		sh.m.log().Error("idle session stays unpacked", "error", err)
		return
	}
	copy(block, sh.buf)
	if cap(sh.buf) > maxScratch {
		sh.buf = nil
	}
	sl.ref, sl.place = ref, packed
	delete(sh.live, s.slot)
	// A pointer that somebody kept beyond End stays harmless.
	s.slot = 0
}

// coolLocked takes a session that leaves memory out of the ring, which would hold it.
func (sh *shard) coolLocked(s *Session) {
	if s.hot != 0 {
		sh.hot[s.hot-1], s.hot = nil, 0
	}
}

// insertLocked gives a session a slot and makes it visible.
func (sh *shard) insertLocked(k key, idleSince, maxIdle int64) uint32 {
	i := sh.slots.take()
	sl := sh.slots.at(i)
	sl.key, sl.idleSince, sl.maxIdle, sl.place = k, idleSince, maxIdle, live
	sh.index[k] = i
	sh.scheduleLocked(i)
	return i
}

// dropLocked forgets a slot, and what it holds in memory.
func (sh *shard) dropLocked(i uint32) {
	sl := sh.slots.at(i)
	if sh.index[sl.key] == i {
		delete(sh.index, sl.key)
	}
	switch sl.place {
	case packed:
		sh.arena.Free(sl.ref)
	case live:
		s := sh.live[i]
		delete(sh.live, i)
		sh.coolLocked(s)
		s.slot = 0
	}
	sh.wheel.remove(&sh.slots, i)
	sh.unlistLocked(i)
	sh.slots.give(i)
}

// scheduleLocked puts the slot into the wheel by its deadline, if it has one.
func (sh *shard) scheduleLocked(i uint32) {
	sh.wheel.remove(&sh.slots, i)
	sl := sh.slots.at(i)
	o := sh.m.options()
	var at int64
	if sl.maxIdle > 0 {
		at = sl.idleSince + sl.maxIdle
	}
	if o.MaxIdle > 0 && o.Store != nil && sl.place != passive {
		// Strictly longer than MaxIdle.
		if p := sl.idleSince + int64(o.MaxIdle) + 1; at == 0 || p < at {
			at = p
		}
	}
	if at != 0 {
		sh.wheel.add(&sh.slots, i, at)
	}
}

// usedLocked notes that a session was used just now.
func (sh *shard) usedLocked(i uint32) {
	if sh.m.options().Store == nil {
		return
	}
	sh.unlistLocked(i)
	sh.slots.at(i).listed = true
	sh.lru.pushBack(&sh.slots, lruList, i)
}

func (sh *shard) unlistLocked(i uint32) {
	if sl := sh.slots.at(i); sl.listed {
		sh.lru.remove(&sh.slots, lruList, i)
		sl.listed = false
	}
}

// busyLocked reports whether a request uses the slot's session.
func (sh *shard) busyLocked(i uint32) bool {
	return sh.slots.at(i).place == live && sh.live[i].refs > 0
}

func (sh *shard) expiredLocked(i uint32, now int64) bool {
	sl := sh.slots.at(i)
	return sl.maxIdle > 0 && now-sl.idleSince >= sl.maxIdle && !sh.busyLocked(i)
}

// createdLocked returns when the slot's session was made, in Unix milliseconds,
// unpacking as little as possible; 0 for a passive one.
func (sh *shard) createdLocked(i uint32) int64 {
	sl := sh.slots.at(i)
	switch sl.place {
	case live:
		return sh.live[i].created
	case packed:
		r := reader{b: sh.arena.Bytes(sl.ref)}
		readHeader(&r)
		return r.varint("time of creation")
	}
	return 0
}

// Flags of a packed session.
const (
	flagNew      = 1 << iota // no request has ended
	flagUnsent               // no Delta of it was made
	flagPrevious             // its former id follows
	flagAway                 // Session.away
	flagSaved                // Session.saved
)

// header is what comes before the state in packed memory.
type header struct {
	flags    byte
	previous key
	last     int64 // idleSince - lastAccessed
	this     int64 // thisAccessed - idleSince
}

func readHeader(r *reader) (h header) {
	if b := r.bytes(1, "flags"); b != nil {
		h.flags = b[0]
	}
	h.last, h.this = r.varint("last access"), r.varint("access")
	if h.flags&flagPrevious != 0 {
		copy(h.previous[:], r.bytes(keyBytes, "former id"))
	}
	return h
}

// flags are what is kept of a session beside its state and its former id, which
// flagPrevious says that there is. The caller holds s.mu.
func (s *Session) flags() (flags byte) {
	for _, f := range [...]struct {
		on   bool
		flag byte
	}{{s.isNew, flagNew}, {s.unsent, flagUnsent}, {s.renamed, flagPrevious}, {s.away, flagAway}, {s.saved, flagSaved}} {
		if f.on {
			flags |= f.flag
		}
	}
	return flags
}

func (s *Session) setFlags(flags byte) {
	s.isNew, s.unsent, s.renamed = flags&flagNew != 0, flags&flagUnsent != 0, flags&flagPrevious != 0
	s.away, s.saved = flags&flagAway != 0, flags&flagSaved != 0
}

// appendPacked encodes what packed memory keeps. The caller holds s.mu.
func (s *Session) appendPacked(b []byte, idleSince int64) []byte {
	b = append(b, s.flags())
	b = binary.AppendVarint(b, idleSince-s.lastAccessed)
	b = binary.AppendVarint(b, s.thisAccessed-idleSince)
	if s.renamed {
		b = append(b, s.previous[:]...)
	}
	return appendState(b, &s.state, &s.m.names)
}

// readPacked is the reverse. What it reads was written by this process.
func (s *Session) readPacked(b []byte, idleSince int64) {
	r := reader{b: b, names: &s.m.names}
	h := readHeader(&r)
	s.setFlags(h.flags)
	s.previous = h.previous
	s.lastAccessed, s.thisAccessed = idleSince-h.last, idleSince+h.this
	s.state = r.state()
	if r.err != nil {
		panic("sessions: packed session does not decode: " + r.err.Error())
	}
}

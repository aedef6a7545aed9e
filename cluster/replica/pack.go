package replica

import (
	"encoding/binary"
	"math"
	"time"
)

// A packed session is a block of the arena: a fixed part that some events need
// without unpacking it, the id, and the rest.
//
//	0  flags
//	1  epoch and home of the reign
//	   with packTimed: confirmed, touched, and the touch interval in ms (4 bytes)
//	   length of the id, which follows
const (
	packReign = 1
	packTimes = 9
	timesSize = 20
	// maxPackedID is how long an id may be.
	maxPackedID = 255
)

// The flags of a packed session.
const (
	packMine = 1 << iota
	packAdopted
	packReleased
	packEnded
	packPromised // another reign was promised than obeyed
	packOneHead  // Heads and Seen are the same single dot
	packAsked    // the home was asked for word of it, or shown it
	packTimed    // confirmed and touched are there: most copies have neither
)

// packIDAt is where the length of the id is.
func packIDAt(b []byte) int {
	if b[0]&packTimed != 0 {
		return packTimes + timesSize
	}
	return packTimes
}

// packedID returns the id within a packed session.
func packedID(b []byte) []byte {
	at := packIDAt(b)
	l, k := binary.Uvarint(b[at:])
	return b[at+k:][:l]
}

func (n *Node) packable(s *session) bool {
	return !s.busy() && !n.handing(s) && len(s.parked) == 0 && s.asking == 0 && len(s.ID) <= maxPackedID
}

// pack puts a session that nobody needs just now into the arena. What is lost by
// it costs a question more.
func (n *Node) pack(s *session) {
	n.packed = n.appendPacked(n.packed[:0], s)
	ref, b, err := n.arena.Alloc(len(n.packed))
	if err != nil {
		return // no memory to be had: it stays as it is
	}
	copy(b, n.packed)
	n.clearPeers(s)
	s.slot.ref = ref
	s.slot.flags |= slotPacked
	n.cool(s)
	if cap(n.packed) > 64<<10 {
		n.packed = nil
	}
}

func (n *Node) appendPacked(b []byte, s *session) []byte {
	var f byte
	set := func(on bool, bit byte) {
		if on {
			f |= bit
		}
	}
	set(s.mine, packMine)
	set(s.adopted, packAdopted)
	set(s.released, packReleased)
	set(s.Life.Kind != Live, packEnded)
	set(s.promised != s.reign, packPromised)
	set(s.asked != 0 || s.offered != 0, packAsked)
	oneHead := len(s.Heads) == 1 && len(s.Seen) == 1 && s.Heads[0] == s.Seen[0]
	set(oneHead, packOneHead)
	timed := s.mine || s.confirmed != 0 || s.touched != 0
	set(timed, packTimed)
	b = append(b, f)
	b = appendReign(b, s.reign)
	if timed {
		b = binary.LittleEndian.AppendUint64(b, uint64(s.confirmed))
		b = binary.LittleEndian.AppendUint64(b, uint64(s.touched))
		b = binary.LittleEndian.AppendUint32(b, n.packedInterval(s))
	}
	b = appendString(b, string(s.ID))
	if s.promised != s.reign {
		b = appendReign(b, s.promised)
	}
	if f&packAsked != 0 {
		b = binary.AppendVarint(binary.AppendVarint(b, int64(s.asked)), int64(s.offered))
	}
	if s.Life.Kind != Live {
		b = append(b, byte(s.Life.Kind), byte(s.Life.Reason))
		b = appendDot(b, s.Life.Dot)
		b = appendString(b, string(s.Life.NewID))
		b = binary.AppendVarint(b, int64(s.endedAt))
		b = binary.AppendVarint(b, int64(s.keep))
	} else if oneHead {
		b = appendDot(b, s.Heads[0])
	} else {
		b = appendDots(appendDots(b, s.Heads), s.Seen)
	}
	b = n.appendPeers(b, s)
	b = appendSets(b, s.sets)
	return n.appendRegisters(b, s)
}

// packedInterval is for how long after the last touch a request needs none.
func (n *Node) packedInterval(s *session) uint32 {
	switch {
	case s.Life.Kind != Live || !s.mine:
		return 0
	case n.cfg.Touch < 0:
		return math.MaxUint32
	}
	return uint32(min(n.touchEvery(n.timeout(s))/time.Millisecond, math.MaxUint32))
}

// appendPeers keeps who is level; whoever else has a copy is found out again. At
// home there is room for those that are not, and for one more: a joiner.
func (n *Node) appendPeers(b []byte, s *session) []byte {
	k := 0
	for i := range s.peers {
		if !s.peers[i].owed && s.peers[i].acked == s.latest() {
			k++
		}
	}
	room := k
	if n.isHome(s) && s.Life.Kind == Live {
		room = max(k, len(n.peers)+1)
	}
	room = min(room, math.MaxUint16)
	if b = binary.AppendUvarint(b, uint64(room)); room == 0 {
		return b
	}
	k = min(k, room)
	b = binary.LittleEndian.AppendUint16(b, uint16(k))
	for i := range s.peers {
		if !s.peers[i].owed && s.peers[i].acked == s.latest() && k > 0 {
			b = binary.LittleEndian.AppendUint32(b, s.peers[i].node)
			k--
			room--
		}
	}
	for range room {
		b = binary.LittleEndian.AppendUint32(b, 0)
	}
	return b
}

func appendSets(b []byte, sets []OwnerSet) []byte {
	b = binary.AppendUvarint(b, uint64(len(sets)))
	for _, set := range sets {
		b = appendReign(b, set.Reign)
		nodes := uint64(len(set.Nodes)) << 1
		if set.First {
			nodes |= 1
		}
		b = binary.AppendUvarint(b, nodes)
		for _, id := range set.Nodes {
			b = binary.LittleEndian.AppendUint32(b, id)
		}
	}
	return b
}

func (n *Node) appendRegisters(b []byte, s *session) []byte {
	b = binary.AppendUvarint(b, uint64(len(s.Registers)))
	total := 0
	for i := range s.Registers {
		total += len(s.Registers[i].Versions)
	}
	b = binary.AppendUvarint(b, uint64(total))
	latest := s.latest()
	for i := range s.Registers {
		r := &s.Registers[i]
		b = n.names.append(b, r.Key)
		b = binary.AppendUvarint(b, uint64(len(r.Versions)))
		for j := range r.Versions {
			v := &r.Versions[j]
			if v.Dot == latest {
				b = append(b, 0)
			} else {
				b = appendDot(append(b, 1), v.Dot)
			}
			b = n.appendValue(b, v.Value)
		}
	}
	return b
}

func (n *Node) appendValue(b []byte, v Value) []byte {
	b = appendBytes(b, v.Bytes)
	if v.Map == nil {
		return append(b, 0)
	}
	b = binary.AppendUvarint(b, uint64(len(v.Map))+1)
	for k, e := range v.Map {
		b = appendBytes(n.names.append(b, k), e)
	}
	return b
}

func appendReign(b []byte, r Reign) []byte {
	return binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(b, r.Epoch), r.Home)
}

func appendDot(b []byte, d Dot) []byte {
	b = binary.AppendUvarint(b, uint64(d.Epoch))
	b = binary.LittleEndian.AppendUint32(b, d.Node)
	return binary.LittleEndian.AppendUint64(b, d.Clock)
}

func appendDots(b []byte, list []Dot) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	for _, d := range list {
		b = appendDot(b, d)
	}
	return b
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// appendBytes tells no bytes from none at all.
func appendBytes(b, v []byte) []byte {
	if v == nil {
		return append(b, 0)
	}
	return append(binary.AppendUvarint(b, uint64(len(v))+1), v...)
}

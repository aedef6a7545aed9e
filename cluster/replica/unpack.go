package replica

import (
	"encoding/binary"
	"slices"
	"time"
)

// unpacked returns the session in a slot, which is unpacked for it if need be.
func (n *Node) unpacked(i uint32, sl *slot) *session {
	if sl.hot != 0 {
		return n.hot[sl.hot-1]
	}
	s := n.peek(sl)
	n.unpackedAs(i, sl, s, n.now)
	return s
}

// unpackedAs puts what peek has made in the place of the packed session.
func (n *Node) unpackedAs(i uint32, sl *slot, s *session, fresh time.Duration) {
	s.number, s.fresh = i, fresh
	n.arena.Free(sl.ref)
	sl.ref, sl.flags = noRef, sl.flags&^slotPacked
	n.heat(s)
	n.schedule(i, sl, max(fresh, n.now)+max(n.cfg.Pack, 0)) // again, once it is not needed
	n.openParcels(s)
}

// roused is unpacked for a look that is no use: it may be packed at once again.
func (n *Node) roused(i uint32, sl *slot) *session {
	if sl.hot != 0 {
		return n.hot[sl.hot-1]
	}
	s := n.unpacked(i, sl)
	s.fresh = n.now - max(n.cfg.Pack, 0)
	return s
}

// unpackedState is room for the copy of a session that is unpacked.
type unpackedState struct {
	State
	dots      [2]Dot
	registers [roomyRegisters]Register
	versions  [roomyRegisters]Version
}

// peek makes a session of a packed one and leaves the packed one where it is.
func (n *Node) peek(sl *slot) *session {
	made := &struct {
		session
		unpackedState
	}{}
	// One copy of the block for all values: they live and die together, mostly.
	n.fill(&made.session, &made.unpackedState, sl, reader{b: slices.Clone(n.arena.Bytes(sl.ref)), names: &n.names})
	return &made.session
}

// fill makes s, which is empty, what is packed in a slot, of which r reads a copy that
// it may keep.
func (n *Node) fill(s *session, made *unpackedState, sl *slot, r reader) {
	s.State, s.slot = &made.State, sl
	f := r.byte()
	s.mine, s.adopted, s.released = f&packMine != 0, f&packAdopted != 0, f&packReleased != 0
	s.reign = r.reign()
	if f&packTimed != 0 {
		s.confirmed, s.touched = time.Duration(r.u64()), time.Duration(r.u64())
		r.u32()
	}
	s.ID = SessionID(r.bytes(int(r.uvarint())))
	s.promised = s.reign
	if f&packPromised != 0 {
		s.promised = r.reign()
	}
	if f&packAsked != 0 {
		s.asked, s.offered = time.Duration(r.varint()), time.Duration(r.varint())
	}
	switch {
	case f&packEnded != 0:
		s.Life.Kind, s.Life.Reason = Kind(r.byte()), Reason(r.byte())
		s.Life.Dot = r.dot()
		s.Life.NewID = SessionID(r.bytes(int(r.uvarint())))
		s.endedAt, s.keep = time.Duration(r.varint()), time.Duration(r.varint())
	case f&packOneHead != 0:
		both := &made.dots
		both[0] = r.dot()
		both[1] = both[0]
		s.Heads, s.Seen = both[:1:1], both[1:]
	default:
		s.Heads, s.Seen = r.dots(), r.dots()
	}
	n.fillPeers(s, &r)
	s.sets = r.sets()
	s.Registers = r.registers(made.registers[:], made.versions[:], s.latest())
}

func (n *Node) fillPeers(s *session, r *reader) {
	room := int(r.uvarint())
	if room == 0 {
		return
	}
	k := int(r.u16())
	s.peers = slices.Grow(s.peers[:0], max(k, len(n.peers)))
	for range k {
		s.peers = append(s.peers, peerCopy{node: r.u32(), acked: s.latest()})
	}
	r.bytes(4 * (room - k))
}

// reader reads what pack has written; it is never given anything else.
type reader struct {
	b      []byte
	names  *names
	values map[string][]byte // for the first value that is a map; nil: a new one
}

func (r *reader) byte() byte {
	v := r.b[0]
	r.b = r.b[1:]
	return v
}

func (r *reader) u16() uint16 {
	v := binary.LittleEndian.Uint16(r.b)
	r.b = r.b[2:]
	return v
}

func (r *reader) u32() uint32 {
	v := binary.LittleEndian.Uint32(r.b)
	r.b = r.b[4:]
	return v
}

func (r *reader) u64() uint64 {
	v := binary.LittleEndian.Uint64(r.b)
	r.b = r.b[8:]
	return v
}

func (r *reader) uvarint() uint64 {
	v, k := binary.Uvarint(r.b)
	r.b = r.b[k:]
	return v
}

func (r *reader) varint() int64 {
	v, k := binary.Varint(r.b)
	r.b = r.b[k:]
	return v
}

// bytes returns the next bytes, which nobody must append to.
func (r *reader) bytes(n int) []byte {
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

// value is bytes for what may be nil.
func (r *reader) value() []byte {
	if n := int(r.uvarint()); n > 0 {
		return r.bytes(n - 1)
	}
	return nil
}

func (r *reader) reign() Reign { return Reign{Epoch: r.u32(), Home: r.u32()} }

func (r *reader) dot() Dot {
	return Dot{Epoch: uint32(r.uvarint()), Node: r.u32(), Clock: r.u64()}
}

func (r *reader) dots() []Dot {
	n := int(r.uvarint())
	if n == 0 {
		return nil
	}
	list := make([]Dot, n)
	for i := range list {
		list[i] = r.dot()
	}
	return list
}

func (r *reader) sets() []OwnerSet {
	n := int(r.uvarint())
	if n == 0 {
		return nil
	}
	list := make([]OwnerSet, n)
	for i := range list {
		list[i].Reign = r.reign()
		nodes := r.uvarint()
		list[i].Nodes, list[i].First = make([]NodeID, nodes>>1), nodes&1 != 0
		for j := range list[i].Nodes {
			list[i].Nodes[j] = r.u32()
		}
	}
	return list
}

// registers reads them into list and versions if there is room for all.
func (r *reader) registers(list []Register, versions []Version, latest Dot) []Register {
	n, total := int(r.uvarint()), int(r.uvarint())
	if n == 0 {
		return nil
	}
	if n > len(list) || total > len(versions) {
		list, versions = make([]Register, n), make([]Version, total)
	}
	list = list[:n]
	for i := range list {
		list[i].Key = r.names.read(r)
		k := int(r.uvarint())
		list[i].Versions, versions = versions[:k:k], versions[k:]
		for j := range list[i].Versions {
			v := &list[i].Versions[j]
			v.Dot = latest
			if r.byte() != 0 {
				v.Dot = r.dot()
			}
			v.Value = r.versionValue()
		}
	}
	return list
}

func (r *reader) versionValue() Value {
	v := Value{Bytes: r.value()}
	if n := int(r.uvarint()); n > 0 {
		if v.Map, r.values = r.values, nil; v.Map == nil {
			v.Map = make(map[string][]byte, n-1)
		}
		for range n - 1 {
			k := r.names.read(r)
			v.Map[k] = r.value()
		}
	}
	return v
}

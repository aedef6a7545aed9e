package replica

import (
	"encoding/binary"
	"time"
)

// A transfer, to a joiner above all, sends copies of many packed sessions. Where
// all nodes are owners these stay packed meanwhile: of each copy its peer keeps the
// session's number and the time, no more, and its acknowledgement is noted in the
// packed session. Whatever else happens to the session unpacks it, and makes the
// parcel what it would have been without all this: a peerCopy that is owed.

// parcels are the copies of packed sessions that are on their way to a peer. Each
// counts in the peer's window.
type parcels struct {
	sent  map[uint32]time.Duration // when, by the session's number
	order []parcel                 // oldest first, with some that have arrived
}

type parcel struct {
	number uint32
	at     time.Duration
}

func (p *parcels) add(number uint32, at time.Duration) {
	if p.sent == nil {
		p.sent = map[uint32]time.Duration{}
	}
	p.sent[number] = at
	p.order = append(p.order, parcel{number, at})
}

// remove takes a parcel out; false if there is none.
func (p *parcels) remove(number uint32) (at time.Duration, ok bool) {
	if at, ok = p.sent[number]; ok {
		if delete(p.sent, number); len(p.sent) == 0 {
			p.order = nil
		}
	}
	return at, ok
}

// visitPacked is visit for a packed session at home, where all nodes are owners. It
// reports false, and has done nothing, if it is not as plain as that.
func (n *Node) visitPacked(i uint32, sl *slot) (done, stalled bool) {
	if sl.flags&(slotPacked|slotHome) != slotPacked|slotHome || !n.allOwn() {
		return false, false
	}
	level, _ := packedPeers(n.arena.Bytes(sl.ref))
	for b := level; len(b) > 0; b = b[4:] {
		if !n.alive(binary.LittleEndian.Uint32(b)) {
			return false, false // it has to be released
		}
	}
	n.tally(sl, nil, sl.home, sl.sum)
	n.tellPacked(sl)
	if len(level) == 4*len(n.peers) {
		return true, false
	}
	var made Message
	for _, q := range n.peers {
		if _, under := q.parcels.sent[i]; under || q.lagging || hasPeer(level, q.id) {
			continue
		}
		if q.bulk >= n.cfg.Window {
			stalled = true
			continue
		}
		if made == nil {
			made = n.copyPacked(sl)
		}
		n.sendBulk(q.id, made)
		q.bulk++
		q.parcels.add(i, n.now)
	}
	return true, stalled
}

// tellPacked is tellHome for a packed session.
func (n *Node) tellPacked(sl *slot) {
	for _, p := range n.peers {
		if p.tell {
			b := n.arena.Bytes(sl.ref)
			n.tellHome(Has{SessionID(packedID(b)), packedReign(b)})
			return
		}
	}
}

// copyPacked is copyOf for a packed session. Its State is lent.
func (n *Node) copyPacked(sl *slot) Copy {
	s, room := &n.passing, n.rooms.next()
	*s = session{peers: s.peers[:0]}
	room.block = append(room.block, n.arena.Bytes(sl.ref)...)
	n.fill(s, &room.unpackedState, sl, reader{b: room.block, names: &n.names, values: room.values})
	defer func() { s.State = nil }() // keep nothing of the message
	return Copy{Reign: s.reign, State: &room.State, Sets: s.sets, Idle: n.now - sl.used, Lent: true}
}

// rooms are the States of lent copies, for as long as a transfer takes.
type rooms struct {
	list []*room
	used int // by messages that are not taken yet
}

// room is what a lent State is made of: it, the block that was packed, and a map for
// its values.
type room struct {
	unpackedState
	block  []byte
	values map[string][]byte
}

// A room that has grown beyond these is not used again.
const (
	maxRoomBlock  = 16 << 10 // bytes
	maxRoomValues = 64
)

// next is an empty room.
func (r *rooms) next() *room {
	if r.used == len(r.list) {
		r.list = append(r.list, nil)
	}
	old := r.list[r.used]
	if old == nil || cap(old.block) > maxRoomBlock || len(old.values) > maxRoomValues {
		old = &room{values: map[string][]byte{}}
		r.list[r.used] = old
	}
	r.used++
	clear(old.values)
	*old = room{block: old.block[:0], values: old.values}
	return old
}

// taken says that the messages are the caller's until its next call.
func (r *rooms) taken(more bool) {
	r.used = 0
	if !more {
		r.list = nil
	}
}

// delivered notes that a peer has got a parcel and is level by it. It reports
// false, and has done nothing, if the acknowledgement says anything else.
func (n *Node) delivered(from NodeID, m Ack) bool {
	q := n.peer(from)
	if q == nil || len(q.parcels.sent) == 0 {
		return false
	}
	i, sl := n.find(m.ID)
	if i == 0 || sl.flags&(slotPacked|slotHome) != slotPacked|slotHome || sl.sum != m.Sum || !n.allOwn() {
		return false
	}
	if _, ok := q.parcels.sent[i]; !ok || packedReign(n.arena.Bytes(sl.ref)) != m.Reign || !n.addPackedPeer(sl, from) {
		return false
	}
	q.parcels.remove(i)
	q.bulk = max(0, q.bulk-1)
	return true
}

// openParcels gives a session that is being unpacked what is on its way of it.
func (n *Node) openParcels(s *session) {
	for _, q := range n.peers {
		if at, ok := q.parcels.remove(s.number); ok {
			p := s.peerFor(q.id)
			p.owed, p.bulk, p.slow, p.sent = true, true, true, at
			n.schedule(s.number, s.slot, at+n.cfg.Retry)
		}
	}
}

// stepParcels sees to the parcels that should have arrived: their sessions are
// unpacked, and go on as any that is owed.
func (n *Node) stepParcels() {
	for _, q := range n.peers {
		n.unpackParcels(q, n.now-n.cfg.Retry)
	}
}

// unpackParcels unpacks the sessions whose copies were sent to a peer by then.
func (n *Node) unpackParcels(q *peer, by time.Duration) {
	for len(q.parcels.order) > 0 && q.parcels.order[0].at <= by {
		p := q.parcels.order[0]
		q.parcels.order = q.parcels.order[1:]
		if at, ok := q.parcels.sent[p.number]; ok && at == p.at {
			n.note(n.roused(p.number, n.slotAt(p.number)))
		}
	}
}

// packedReign is the reign of a packed session.
func packedReign(b []byte) Reign {
	r := reader{b: b[packReign:]}
	return r.reign()
}

// packedPeers returns the part of a packed session at home which lists the peers that are level, and where their number is; the part's capacity is for those
// that may become it.
func packedPeers(b []byte) (level, count []byte) {
	f := b[0]
	r := reader{b: b[packIDAt(b):]}
	r.bytes(int(r.uvarint()))
	if f&packAsked != 0 {
		r.varint()
		r.varint()
	}
	if f&packOneHead != 0 {
		r.dot()
	} else {
		r.dots()
		r.dots()
	}
	room := int(r.uvarint())
	if room == 0 {
		return nil, nil
	}
	count = r.bytes(2)
	return r.b[: 4*int(binary.LittleEndian.Uint16(count)) : 4*room], count
}

// addPackedPeer notes that a peer is level; false if there is no room for it.
func (n *Node) addPackedPeer(sl *slot, id NodeID) bool {
	level, count := packedPeers(n.arena.Bytes(sl.ref))
	switch {
	case hasPeer(level, id):
		return true
	case len(level) == cap(level):
		return false
	}
	binary.LittleEndian.AppendUint32(level, id)
	binary.LittleEndian.PutUint16(count, uint16(len(level)/4+1))
	return true
}

func hasPeer(level []byte, id NodeID) bool {
	for ; len(level) > 0; level = level[4:] {
		if binary.LittleEndian.Uint32(level) == id {
			return true
		}
	}
	return false
}

package wire

import (
	"encoding/binary"
	"time"

	"github.com/serval-server/serval/cluster/replica"
)

func appendFixed(b []byte, v uint64) []byte { return binary.LittleEndian.AppendUint64(b, v) }

// dotOf is what the first dot of a body is written relative to: the home has
// most likely written it.
func dotOf(r replica.Reign) replica.Dot { return replica.Dot{Epoch: r.Epoch, Node: r.Home} }

// appendAge writes how long something is ago, to the millisecond.
func appendAge(b []byte, d time.Duration) []byte {
	return appendUvarint(b, uint64(max(d, 0).Milliseconds()))
}

func (r *reader) age() time.Duration {
	at := r.off
	const most = uint64(1<<63-1) / uint64(time.Millisecond)
	v := r.uvarint("age")
	if v > most {
		r.fail("age", at)
		return 0
	}
	return time.Duration(v) * time.Millisecond
}

func appendNodes(b []byte, nodes []replica.NodeID) []byte {
	b = appendUvarint(b, uint64(len(nodes)))
	for _, n := range nodes {
		b = appendUvarint(b, uint64(n))
	}
	return b
}

func (r *reader) nodes() []replica.NodeID {
	n := r.count(1, "number of nodes")
	if n == 0 {
		return nil
	}
	out := make([]replica.NodeID, n)
	for i := range out {
		out[i] = r.uint32("node")
	}
	return out
}

func appendSets(b []byte, sets []replica.OwnerSet) []byte {
	b = appendUvarint(b, uint64(len(sets)))
	for _, s := range sets {
		first := byte(0)
		if s.First {
			first = 1
		}
		b = appendNodes(append(appendReign(b, s.Reign), first), s.Nodes)
	}
	return b
}

func (r *reader) sets() []replica.OwnerSet {
	n := r.count(4, "number of owner sets")
	if n == 0 {
		return nil
	}
	out := make([]replica.OwnerSet, n)
	for i := range out {
		out[i] = replica.OwnerSet{Reign: r.reign(), First: r.bool("first owner set"), Nodes: r.nodes()}
	}
	return out
}

// appendDots writes dots, each relative to the one before.
func appendDots(b []byte, dots []replica.Dot, prev replica.Dot) []byte {
	b = appendUvarint(b, uint64(len(dots)))
	for _, d := range dots {
		b = appendDot(b, d, prev)
		prev = d
	}
	return b
}

// dots reads what appendDots wrote, into room if it fits.
func (r *reader) dots(room []replica.Dot, prev replica.Dot) []replica.Dot {
	n := r.count(1, "number of dots")
	if n == 0 {
		return nil
	}
	out := room
	if n != len(room) {
		out = make([]replica.Dot, n)
	}
	for i := range out {
		out[i] = r.dot(prev)
		prev = out[i]
	}
	return out
}

// appendLife writes how a session stands: its kind, and unless it lives the dot,
// the reason or the new id.
func appendLife(b []byte, l replica.Life, prev replica.Dot) []byte {
	b = append(b, byte(l.Kind))
	if l.Kind == replica.Live {
		return b
	}
	b = appendDot(b, l.Dot, prev)
	if l.Kind == replica.Renamed {
		return appendID(b, l.NewID)
	}
	return append(b, byte(l.Reason))
}

func (r *reader) life(prev replica.Dot) replica.Life {
	at := r.off
	l := replica.Life{Kind: replica.Kind(r.byte("kind of life"))}
	switch l.Kind {
	case replica.Live:
		return l
	case replica.Renamed:
		l.Dot = r.dot(prev)
		l.NewID = r.id()
	case replica.Dead:
		l.Dot = r.dot(prev)
		l.Reason = replica.Reason(r.byte("reason of a death"))
	default:
		r.fail("kind of life", at)
	}
	return l
}

// appendState writes a copy without its id: life, heads, context, registers with
// their versions. Dots are relative to the one before, those of versions to the
// first head.
func appendState(b []byte, s *replica.State, reign replica.Reign) []byte {
	prev := dotOf(reign)
	b = appendLife(b, s.Life, prev)
	b = appendDots(b, s.Heads, prev)
	if len(s.Heads) > 0 {
		prev = s.Heads[0]
	}
	b = appendContext(b, s.Seen, prev)
	b = appendUvarint(b, uint64(len(s.Registers)))
	for i := range s.Registers {
		g := &s.Registers[i]
		b = appendString(b, g.Key)
		b = appendUvarint(b, uint64(len(g.Versions)))
		for _, v := range g.Versions {
			b = appendDot(b, v.Dot, prev)
			if v.Value.Map != nil {
				b = appendUvarint(b, uint64(mapSize(v.Value.Map))<<formBits|uint64(formMap))
				b = appendMap(b, v.Value.Map)
			} else {
				b = appendForm(b, formRaw, v.Value.Bytes)
			}
		}
	}
	return b
}

// stateSize is about how many bytes appendState appends, and seldom less.
func stateSize(s *replica.State) int {
	const dot = 16
	n := 8 + dot*(1+len(s.Heads)+len(s.Seen))
	for i := range s.Registers {
		g := &s.Registers[i]
		n += 4 + len(g.Key)
		for j := range g.Versions {
			v := &g.Versions[j].Value
			n += dot + len(v.Bytes)
			if v.Map != nil {
				n += mapSize(v.Map)
			}
		}
	}
	return n
}

// appendContext writes a context's dots.
func appendContext(b []byte, c replica.Context, prev replica.Dot) []byte {
	b = appendUvarint(b, uint64(len(c)))
	for _, d := range c {
		b = appendDot(b, d, prev)
	}
	return b
}

// context reads a context, into room if it fits. Its dots are in the order of
// their writers.
func (r *reader) context(room []replica.Dot, prev replica.Dot) replica.Context {
	n := r.count(1, "number of writers")
	if n == 0 {
		return nil
	}
	c := replica.Context(room)
	if n != len(room) {
		c = make(replica.Context, n)
	}
	for i := range c {
		at := r.off
		c[i] = r.dot(prev)
		if i > 0 && c[i].Node <= c[i-1].Node {
			r.fail("order of writers", at)
		}
	}
	return c
}

// smallState is a copy with room for what most have, so that one allocation makes
// all but its values.
type smallState struct {
	state     replica.State
	heads     [1]replica.Dot
	seen      [1]replica.Dot
	registers [2]replica.Register
	versions  [2]replica.Version
}

// room is what a lent copy is made of: besides its State a map for its values, and the
// names that were read last, which are the next copy's too, as a rule.
type room struct {
	state  smallState
	values map[string][]byte
	taken  bool // values, by the first value that is a map
	names  map[string]string
}

// A map of a room that has grown beyond it is not used again.
const maxRoomValues = 64

// empty makes the room ready for the next copy.
func (m *room) empty() *room {
	if m.values == nil || len(m.values) > maxRoomValues {
		m.values = make(map[string][]byte)
	}
	clear(m.values)
	m.state, m.taken = smallState{}, false
	return m
}

// entries is a map for n entries of a value.
func (m *room) entries(n int) map[string][]byte {
	if m == nil || m.taken {
		return make(map[string][]byte, n)
	}
	m.taken = true
	return m.values
}

// name is the bytes as a string.
func (m *room) name(b []byte) string {
	if s, ok := m.names[string(b)]; ok {
		return s
	}
	s := string(b)
	if len(s) > maxName {
		return s
	}
	if m.names == nil || len(m.names) >= maxRoomValues {
		m.names = make(map[string]string)
	}
	m.names[s] = s
	return s
}

// state reads a copy, into r's room if it has one.
func (r *reader) state(id replica.SessionID, reign replica.Reign) *replica.State {
	var room *smallState
	if r.room != nil {
		room = &r.room.state
	} else {
		room = &smallState{}
	}
	s := &room.state
	s.ID = id
	prev := dotOf(reign)
	s.Life = r.life(prev)
	s.Heads = r.dots(room.heads[:], prev)
	if len(s.Heads) > 0 {
		prev = s.Heads[0]
	}
	s.Seen = r.context(room.seen[:], prev)
	n := r.count(2, "number of registers")
	if n == 0 {
		return s
	}
	if s.Registers = room.registers[:0]; n > len(room.registers) {
		s.Registers = make([]replica.Register, 0, n)
	}
	versions := room.versions[:]
	for i := range n {
		at := r.off
		g := replica.Register{Key: r.text("name of a register"), Versions: r.versions(versions, prev)}
		versions = versions[min(len(g.Versions), len(versions)):]
		if i > 0 && s.Registers[i-1].Key >= g.Key {
			r.fail("order of registers", at)
		}
		if r.err != nil {
			return s
		}
		s.Registers = append(s.Registers, g)
	}
	return s
}

// versions reads a register's versions, into room if they fit; there is at least
// one, and they go down.
func (r *reader) versions(room []replica.Version, prev replica.Dot) []replica.Version {
	at := r.off
	n := r.count(2, "number of versions")
	if n == 0 {
		r.fail("number of versions", at)
		return nil
	}
	out := room[:min(n, len(room)):min(n, len(room))]
	if n > len(room) {
		out = make([]replica.Version, n)
	}
	for i := range out {
		at = r.off
		d := r.dot(prev)
		if i > 0 && d.Compare(out[i-1].Dot) >= 0 {
			r.fail("order of versions", at)
		}
		f, data := r.form()
		out[i] = replica.Version{Dot: d, Value: r.value(f, data, at)}
		if r.err != nil {
			return nil
		}
	}
	return out
}

func appendHomes(b []byte, list []replica.Has) []byte {
	b = appendUvarint(b, uint64(len(list)))
	for _, h := range list {
		b = appendReign(appendID(b, h.ID), h.Reign)
	}
	return b
}

func (r *reader) homes() []replica.Has {
	n := r.count(3, "number of sessions")
	out := make([]replica.Has, n)
	for i := range out {
		out[i] = replica.Has{ID: r.id(), Reign: r.reign()}
	}
	return out
}

func appendListing(b []byte, l replica.Listing) []byte {
	b = appendUvarint(b, uint64(len(l.Segments)))
	for _, s := range l.Segments {
		b = appendUvarint(b, uint64(s))
	}
	b = appendUvarint(b, uint64(len(l.Entries)))
	for _, f := range l.Entries {
		b = appendFixed(appendID(b, f.ID), f.Sum)
	}
	return b
}

func (r *reader) listing() replica.Listing {
	var l replica.Listing
	if n := r.count(1, "number of segments"); n > 0 {
		l.Segments = make([]int, n)
	}
	for i := range l.Segments {
		at := r.off
		v := r.uvarint("segment")
		if v >= replica.Segments {
			r.fail("segment", at)
		}
		l.Segments[i] = int(v)
	}
	l.Entries = make([]replica.Fingerprint, r.count(9, "number of sessions"))
	for i := range l.Entries {
		l.Entries[i] = replica.Fingerprint{ID: r.id(), Sum: r.uint64("fingerprint")}
	}
	return l
}

func (r *reader) digest() replica.Digest {
	out := replica.Digest{Sums: make([]uint64, r.count(8, "number of sums"))}
	for i := range out.Sums {
		out.Sums[i] = r.uint64("sum")
	}
	return out
}

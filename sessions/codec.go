package sessions

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// ErrDamaged means that stored bytes are not what was stored.
var ErrDamaged = errors.New("damaged session data")

// state is what packed memory, the session file and stores all keep of a session.
type state struct {
	created int64 // Unix milliseconds
	version string
	head    Dot
	attrs   []Attribute // sorted by name
}

// appendState encodes a state. With names, names go in as their numbers and the
// result can be read only with the same names.
//
//	created(zigzag ms) version:name head:epoch,node,clock count
//	count times: name, 0 | 1,epoch,node,clock | 2+(head.clock-clock), length, value
//	name: number, or 0,length,bytes
//
// All numbers are varints. The short form of a version says that epoch and node
// are the head's; most attributes take one byte for it.
func appendState(b []byte, s *state, names *interner) []byte {
	b = binary.AppendVarint(b, s.created)
	b = appendName(b, s.version, names)
	b = appendDot(b, s.head)
	b = binary.AppendUvarint(b, uint64(len(s.attrs)))
	for i := range s.attrs {
		a := &s.attrs[i]
		b = appendName(b, a.Name, names)
		back := s.head.Clock - a.Dot.Clock
		switch {
		case a.Dot.IsZero():
			b = append(b, 0)
		case a.Dot.Epoch != s.head.Epoch || a.Dot.Node != s.head.Node || a.Dot.Clock > s.head.Clock || back > math.MaxUint64-2:
			b = appendDot(append(b, 1), a.Dot)
		default:
			b = binary.AppendUvarint(b, back+2)
		}
		b = binary.AppendUvarint(b, uint64(len(a.Value)))
		b = append(b, a.Value...)
	}
	return b
}

func appendDot(b []byte, d Dot) []byte {
	b = binary.AppendUvarint(b, uint64(d.Epoch))
	b = binary.AppendUvarint(b, uint64(d.Node))
	return binary.AppendUvarint(b, d.Clock)
}

func appendName(b []byte, name string, names *interner) []byte {
	if names != nil {
		if i := names.number(name); i != 0 {
			return binary.AppendUvarint(b, uint64(i))
		}
	}
	b = append(b, 0)
	b = binary.AppendUvarint(b, uint64(len(name)))
	return append(b, name...)
}

// reader reads what the append functions wrote. The first thing that is wrong
// stays in err; everything after it reads as zero. It never allocates more than
// the input is long.
type reader struct {
	b     []byte
	names *interner
	err   error
}

func (r *reader) fail(what string) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", ErrDamaged, what)
	}
	r.b = nil
}

func (r *reader) uvarint(what string) uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail(what)
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) varint(what string) int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail(what)
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) uint32(what string) uint32 {
	v := r.uvarint(what)
	if v > math.MaxUint32 {
		r.fail(what)
	}
	return uint32(v)
}

// bytes returns the next n bytes of the input itself.
func (r *reader) bytes(n uint64, what string) []byte {
	if n > uint64(len(r.b)) {
		r.fail(what)
		return nil
	}
	out := r.b[:n:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) dot() Dot {
	return Dot{Epoch: r.uint32("epoch"), Node: r.uint32("node"), Clock: r.uvarint("clock")}
}

func (r *reader) name() string {
	i := r.uint32("name")
	if i == 0 {
		return string(r.bytes(r.uvarint("length of a name"), "name"))
	}
	if r.names == nil {
		r.fail("number of a name")
		return ""
	}
	name, ok := r.names.name(i)
	if !ok {
		r.fail("number of a name")
	}
	return name
}

func (r *reader) attributeDot(head Dot) Dot {
	switch form := r.uvarint("version of an attribute"); {
	case form == 0:
		return Dot{}
	case form == 1:
		return r.dot()
	case form-2 > head.Clock:
		r.fail("version of an attribute")
		return Dot{}
	default:
		return Dot{Epoch: head.Epoch, Node: head.Node, Clock: head.Clock - (form - 2)}
	}
}

// state reads a state. Its values are one copy of the input's, so that the input
// may be reused.
func (r *reader) state() state {
	s := state{created: r.varint("time of creation"), version: r.name(), head: r.dot()}
	count := r.uvarint("number of attributes")
	// An attribute takes at least four bytes.
	if count > uint64(len(r.b)/4)+1 {
		r.fail("number of attributes")
	}
	if r.err != nil || count == 0 {
		return s
	}
	values := make([]byte, 0, len(r.b))
	s.attrs = make([]Attribute, 0, count)
	for range count {
		a := Attribute{Name: r.name(), Dot: r.attributeDot(s.head)}
		v := r.bytes(r.uvarint("length of a value"), "value")
		if n := len(s.attrs); n > 0 && s.attrs[n-1].Name >= a.Name {
			r.fail("order of attributes")
		}
		if r.err != nil {
			return state{}
		}
		at := len(values)
		values = append(values, v...)
		a.Value = values[at:len(values):len(values)]
		s.attrs = append(s.attrs, a)
	}
	return s
}

// AppendSnapshot encodes a session for a Store, with everything but a checksum.
func AppendSnapshot(b []byte, s *Snapshot) ([]byte, error) {
	k, ok := parseKey(s.ID.Real())
	if !ok {
		return b, fmt.Errorf("session id %.40q is not one of this server's", s.ID)
	}
	b = append(b, k[:]...)
	b = binary.AppendVarint(b, s.Accessed.UnixMilli())
	b = binary.AppendVarint(b, int64(s.MaxInactive))
	flags := byte(0)
	if s.New {
		flags = 1
	}
	b = append(b, flags)
	st := state{created: s.Created.UnixMilli(), version: s.Version, head: s.Head, attrs: s.Attributes}
	if !slices.IsSortedFunc(st.attrs, byName) {
		st.attrs = slices.SortedFunc(slices.Values(st.attrs), byName)
	}
	return appendState(b, &st, nil), nil
}

// ParseSnapshot decodes what AppendSnapshot encoded. The error is ErrDamaged. The
// input may be reused afterwards.
func ParseSnapshot(b []byte) (*Snapshot, error) {
	r := reader{b: b}
	var k key
	copy(k[:], r.bytes(keyBytes, "id"))
	accessed := r.varint("time of access")
	idle := r.varint("idle time")
	flags := r.bytes(1, "flags")
	if r.err == nil && flags[0] > 1 {
		r.fail("flags")
	}
	st := r.state()
	if r.err == nil && len(r.b) > 0 {
		r.fail("bytes after the last attribute")
	}
	if r.err != nil {
		return nil, r.err
	}
	return &Snapshot{
		ID: k.id(""), Version: st.version, Head: st.head, New: flags[0] == 1,
		Created: time.UnixMilli(st.created), Accessed: time.UnixMilli(accessed),
		MaxInactive: time.Duration(idle), Attributes: st.attrs,
	}, nil
}

func byName(a, b Attribute) int { return strings.Compare(a.Name, b.Name) }

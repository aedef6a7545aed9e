package wire

import (
	"math/bits"
	"slices"

	"github.com/klauspost/compress/s2"

	"github.com/serval-server/serval/cluster/replica"
)

const (
	// patchMin is from which length on a value is sent as its difference
	// from the one before; a shorter one is not worth the receiver's while.
	patchMin = 512
	// packMin is from which length on a value or a body is compressed.
	packMin = 512
	// maxValue is how long a value or a packed body may be, uncompressed.
	maxValue = 64 << 20
	// MaxInflate is how many times its length compressed bytes may say that
	// they take: more is an error before anything is allocated. What could
	// be written shorter is padded by the sender.
	MaxInflate = 32
)

// form is how a value is written: the low three bits of its length.
type form uint8

const (
	formRaw    form = iota
	formRemove      // the register or entry is removed
	formPatch       // see Patch
	formPacked
	formMap       // granularity SESSION: names and values
	formMapPacked // the same, compressed
	formEnd
	formBits = 3
	formMask = 1<<formBits - 1
)

// encodeValue writes an op's value in the shortest of the ways that are worth
// their time. What goes in bulk is left to the batch to compress.
func encodeValue(op *replica.Op, bulk bool) (form, []byte) {
	switch {
	case op.Remove:
		return formRemove, nil
	case op.Patch != nil:
		return formPatch, op.Patch
	case op.Value.Map != nil:
		if op.Old.Map != nil {
			if p, ok := Patch(op.Old, op.Value); ok {
				return formPatch, p
			}
		}
		b := appendMap(nil, op.Value.Map)
		if p, ok := pack(b); ok && !bulk {
			return formMapPacked, p
		}
		return formMap, b
	case len(op.Value.Bytes) < min(patchMin, packMin):
		return formRaw, op.Value.Bytes
	}
	if len(op.Value.Bytes) >= patchMin && len(op.Old.Bytes) > 0 {
		if p, ok := Patch(op.Old, op.Value); ok {
			return formPatch, p
		}
	}
	if !bulk {
		if p, ok := pack(op.Value.Bytes); ok {
			return formPacked, p
		}
	}
	return formRaw, op.Value.Bytes
}

func appendForm(b []byte, f form, data []byte) []byte {
	b = appendUvarint(b, uint64(len(data))<<formBits|uint64(f))
	return append(b, data...)
}

// form reads what appendForm wrote; data is of the input itself.
func (r *reader) form() (form, []byte) {
	at := r.off
	v := r.uvarint("length of a value")
	f := form(v & formMask)
	if f >= formEnd {
		r.fail("form of a value", at)
		return formRaw, nil
	}
	return f, r.take(v>>formBits, "value")
}

// value decodes a value in one of the forms that stand alone. It copies, unless what
// is read is lent.
func (r *reader) value(f form, data []byte, at int) replica.Value {
	if r.room == nil && (f == formRaw || f == formMap) {
		data = slices.Clone(data)
	}
	switch f {
	case formRaw:
		return replica.Value{Bytes: data}
	case formPacked:
		return replica.Value{Bytes: r.unpack(data, at)}
	case formMap:
		return replica.Value{Map: r.entries(data, at)}
	case formMapPacked:
		return replica.Value{Map: r.entries(r.unpack(data, at), at)}
	}
	r.fail("form of a value", at)
	return replica.Value{}
}

// appendMap writes a map's entries, sorted by name.
func appendMap(b []byte, m map[string][]byte) []byte {
	b = appendUvarint(b, uint64(len(m)))
	var room [16]string
	names := room[:0]
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		b = appendString(appendString(b, name), m[name])
	}
	return b
}

// mapSize is how many bytes appendMap appends.
func mapSize(m map[string][]byte) int {
	n := sizeUvarint(uint64(len(m)))
	for name, v := range m {
		n += sizeUvarint(uint64(len(name))) + len(name) + sizeUvarint(uint64(len(v))) + len(v)
	}
	return n
}

// sizeUvarint is how many bytes appendUvarint appends.
func sizeUvarint(v uint64) int { return (bits.Len64(v|1) + 6) / 7 }

// entries decodes a map. Its values are parts of data.
func (r *reader) entries(data []byte, at int) map[string][]byte {
	in := newReader(data)
	in.room = r.room
	n := in.count(2, "number of entries")
	m := r.room.entries(n)
	for range n {
		name := in.text("name of an entry")
		if _, twice := m[name]; twice {
			in.fail("name of an entry", in.off)
		}
		m[name] = in.sized("value of an entry")
	}
	if in.err != nil {
		r.fail("map", at)
		return nil
	}
	return m
}

// pack compresses a value or a body: length of the block, length of what it
// holds, block, padding. It reports whether that is worth it.
func pack(b []byte) ([]byte, bool) {
	if len(b) < packMin || len(b) > maxValue {
		return nil, false
	}
	block := s2.Encode(nil, b)
	if len(block) > len(b)-len(b)/8 {
		return nil, false
	}
	out := make([]byte, 0, max(len(block)+10, len(b)/MaxInflate+1))
	out = appendUvarint(out, uint64(len(block)))
	out = appendUvarint(out, uint64(len(b)))
	out = append(out, block...)
	if missing := (len(b)+MaxInflate-1)/MaxInflate - len(out); missing > 0 {
		out = append(out, make([]byte, missing)...)
	}
	return out, true
}

// unpack is what was packed.
func (r *reader) unpack(data []byte, at int) []byte {
	in := newReader(data)
	size := in.uvarint("length of a block")
	raw := in.uvarint("length of a value")
	if in.err == nil && raw > min(maxValue, uint64(len(data))*MaxInflate) {
		in.fail("length of a value", at)
	}
	block := in.take(size, "block")
	if in.err == nil {
		if n, err := s2.DecodedLen(block); err != nil || uint64(n) != raw {
			in.fail("block", at)
		}
	}
	if in.err != nil {
		r.fail("compressed value", at)
		return nil
	}
	out, err := s2.Decode(make([]byte, raw), block)
	if err != nil {
		r.fail("compressed value", at)
		return nil
	}
	return out
}

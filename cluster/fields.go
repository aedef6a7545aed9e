package cluster

import (
	"bytes"
	"encoding/binary"
)

// Granularity FIELD takes values apart that encode as CBOR maps (RFC 8949 §3.1,
// major type 5), in the deterministic form that package servlet writes: definite
// lengths, keys in bytewise order. A value of any other form is kept whole, so
// that putting the fields together again gives the very same bytes.

// maxFields is how many fields a value is taken apart into; one with more stays
// whole, for each field costs a register.
const maxFields = 512

// maxDepth is how deeply a value may be nested to be taken apart.
const maxDepth = 32

// field is one entry of a CBOR map, both parts as they are encoded.
type field struct{ key, value []byte }

// splitFields takes a value apart. False: it stays whole.
func splitFields(b []byte) ([]field, bool) {
	major, count, rest, ok := cborHead(b)
	if !ok || major != cborMap || count > maxFields {
		return nil, false
	}
	out := make([]field, 0, count)
	for range count {
		after, ok := cborSkip(rest, maxDepth)
		if !ok {
			return nil, false
		}
		key := rest[:len(rest)-len(after)]
		rest = after
		if after, ok = cborSkip(rest, maxDepth); !ok {
			return nil, false
		}
		if n := len(out); n > 0 && bytes.Compare(out[n-1].key, key) >= 0 {
			return nil, false
		}
		out = append(out, field{key, rest[:len(rest)-len(after)]})
		rest = after
	}
	if len(rest) != 0 || !bytes.HasPrefix(b, appendMapHead(nil, len(out))) {
		return nil, false
	}
	return out, true
}

// joinFields is the reverse. The fields come in the order of their keys.
func joinFields(fields []field) []byte {
	size := 9
	for _, f := range fields {
		size += len(f.key) + len(f.value)
	}
	b := appendMapHead(make([]byte, 0, size), len(fields))
	for _, f := range fields {
		b = append(b, f.key...)
		b = append(b, f.value...)
	}
	return b
}

// The major types of CBOR.
const (
	cborBytes  = 2
	cborText   = 3
	cborArray  = 4
	cborMap    = 5
	cborTag    = 6
	cborSimple = 7
)

// appendMapHead appends the head of a map, in its shortest form.
func appendMapHead(b []byte, n int) []byte {
	switch {
	case n < 24:
		return append(b, cborMap<<5|byte(n))
	case n < 1<<8:
		return append(b, cborMap<<5|24, byte(n))
	}
	return binary.BigEndian.AppendUint16(append(b, cborMap<<5|25), uint16(n))
}

// cborHead reads the head of an item. Indefinite lengths are refused.
func cborHead(b []byte) (major byte, n uint64, rest []byte, ok bool) {
	if len(b) == 0 {
		return 0, 0, nil, false
	}
	major, info := b[0]>>5, b[0]&31
	b = b[1:]
	if info < 24 {
		return major, uint64(info), b, true
	}
	size := 1 << (info - 24)
	if info > 27 || len(b) < size {
		return 0, 0, nil, false
	}
	for _, c := range b[:size] {
		n = n<<8 | uint64(c)
	}
	return major, n, b[size:], true
}

// cborSkip returns what follows the first item.
func cborSkip(b []byte, depth int) (rest []byte, ok bool) {
	major, n, b, ok := cborHead(b)
	if !ok || depth == 0 {
		return nil, false
	}
	items := uint64(0)
	switch major {
	case cborBytes, cborText:
		if n > uint64(len(b)) {
			return nil, false
		}
		return b[n:], true
	case cborArray:
		items = n
	case cborMap:
		items = 2 * n
	case cborTag:
		items = 1
	}
	if items > uint64(len(b)) { // each takes a byte at least
		return nil, false
	}
	for range items {
		if b, ok = cborSkip(b, depth-1); !ok {
			return nil, false
		}
	}
	return b, true
}

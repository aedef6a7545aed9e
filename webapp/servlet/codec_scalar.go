package servlet

import (
	"encoding/binary"
	"math"
)

// Numbers, truth values, texts and byte strings are most of what sessions hold.
// They are encoded and decoded here without reflection, which costs ten times as
// much and more in WebAssembly; the bytes are the same as encMode's.

// The major types of CBOR that scalars have (RFC 8949 §3.1), as first bytes.
const (
	majorUnsigned = 0x00
	majorNegative = 0x20
	majorBytes    = 0x40
	majorText     = 0x60
	cborFalse     = 0xf4
	cborTrue      = 0xf5
)

// encodeScalar encodes a value of one of the types that it knows.
func encodeScalar(value any) ([]byte, bool) {
	switch v := value.(type) {
	case int:
		return appendInt(nil, int64(v)), true
	case int64:
		return appendInt(nil, v), true
	case int32:
		return appendInt(nil, int64(v)), true
	case uint:
		return appendHead(nil, majorUnsigned, uint64(v)), true
	case uint64:
		return appendHead(nil, majorUnsigned, v), true
	case uint32:
		return appendHead(nil, majorUnsigned, uint64(v)), true
	case bool:
		if v {
			return []byte{cborTrue}, true
		}
		return []byte{cborFalse}, true
	case string:
		return append(appendHead(make([]byte, 0, len(v)+9), majorText, uint64(len(v))), v...), true
	case []byte:
		if v != nil { // nil is CBOR's null
			return append(appendHead(make([]byte, 0, len(v)+9), majorBytes, uint64(len(v))), v...), true
		}
	}
	return nil, false
}

func appendInt(b []byte, v int64) []byte {
	if v < 0 {
		return appendHead(b, majorNegative, ^uint64(v))
	}
	return appendHead(b, majorUnsigned, uint64(v))
}

// appendHead writes the shortest head for n, as core deterministic CBOR wants it.
func appendHead(b []byte, major byte, n uint64) []byte {
	switch {
	case n < 24:
		return append(b, major|byte(n))
	case n <= math.MaxUint8:
		return append(b, major|24, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(b, major|25), uint16(n))
	case n <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(b, major|26), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(b, major|27), n)
}

// decodeScalar decodes into what into points to, if that is of a type that it
// knows and holds what is encoded. If not, the general decoder says why.
func decodeScalar(data []byte, into any) bool {
	switch v := into.(type) {
	case *int:
		n, ok := readInt(data)
		if ok = ok && int64(int(n)) == n; ok {
			*v = int(n)
		}
		return ok
	case *int64:
		n, ok := readInt(data)
		if ok {
			*v = n
		}
		return ok
	case *bool:
		ok := len(data) == 1 && (data[0] == cborTrue || data[0] == cborFalse)
		if ok {
			*v = data[0] == cborTrue
		}
		return ok
	case *string:
		text, ok := readBytes(data, majorText)
		if ok {
			*v = string(text)
		}
		return ok
	case *[]byte:
		text, ok := readBytes(data, majorBytes)
		if ok {
			*v = append([]byte{}, text...)
		}
		return ok
	}
	return false
}

func readInt(data []byte) (int64, bool) {
	major, n, rest, ok := readHead(data)
	switch {
	case !ok || len(rest) > 0 || n > math.MaxInt64:
	case major == majorUnsigned:
		return int64(n), true
	case major == majorNegative:
		return ^int64(n), true
	}
	return 0, false
}

func readBytes(data []byte, want byte) ([]byte, bool) {
	major, n, rest, ok := readHead(data)
	return rest, ok && major == want && n == uint64(len(rest))
}

// readHead reads the head of one item.
func readHead(data []byte) (major byte, n uint64, rest []byte, ok bool) {
	if len(data) == 0 {
		return 0, 0, nil, false
	}
	major, info := data[0]&0xe0, data[0]&0x1f
	if info < 24 {
		return major, uint64(info), data[1:], true
	}
	size := 1 << (info - 24)
	if info > 27 || len(data) < 1+size {
		return 0, 0, nil, false
	}
	for _, c := range data[1 : 1+size] {
		n = n<<8 | uint64(c)
	}
	return major, n, data[1+size:], true
}

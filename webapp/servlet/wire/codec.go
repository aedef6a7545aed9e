package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"time"
)

// ErrMalformed is what every Decode error wraps.
var ErrMalformed = errors.New("wire: malformed payload")

// The primitives, appended to a payload: unsigned varints as in encoding/binary
// (LEB128), signed ones zigzag, strings and byte strings with their length
// before them, lists with their count before them.

func appendUint(b []byte, v uint64) []byte { return binary.AppendUvarint(b, v) }
func appendInt(b []byte, v int64) []byte   { return binary.AppendVarint(b, v) }

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendBytes(b, s []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendStrings(b []byte, list []string) []byte {
	b = appendUint(b, uint64(len(list)))
	for _, s := range list {
		b = appendString(b, s)
	}
	return b
}

func appendMap(b []byte, m map[string]string) []byte {
	b = appendUint(b, uint64(len(m)))
	for _, k := range sortedKeys(m) {
		b = appendString(appendString(b, k), m[k])
	}
	return b
}

// appendTime writes milliseconds since 1970; the zero time is 0.
func appendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return appendInt(b, 0)
	}
	return appendInt(b, t.UnixMilli())
}

// appendHeaders writes the count of fields, then a name and a value for each.
// A name with several values is written once for each.
func appendHeaders(b []byte, h http.Header) []byte {
	const short = 0x7f // the largest count of one byte
	at, n := len(b), 0
	b = append(b, 0)
	for k, vv := range h {
		for _, v := range vv {
			b = appendString(appendString(b, k), v)
		}
		n += len(vv)
	}
	if n > short {
		var count [binary.MaxVarintLen64]byte
		return slices.Replace(b, at, at+1, count[:binary.PutUvarint(count[:], uint64(n))]...)
	}
	b[at] = byte(n)
	return b
}

// Decoder reads primitives off a payload. The first error sticks: whatever is
// read after it is zero, so that a message checks once, at its end. Strings are
// cut from one copy of the payload, byte strings are part of the payload.
type Decoder struct {
	b   []byte
	s   string // the same bytes, made once by the first string
	off int    // of b in what was given
	err error
}

// NewDecoder reads from b, which must stay as it is while the decoder is used.
func NewDecoder(b []byte) *Decoder { return &Decoder{b: b} }

// Err is the first error, nil if there was none.
func (d *Decoder) Err() error { return d.err }

// Rest is what has not been read.
func (d *Decoder) Rest() []byte {
	if d.err != nil {
		return nil
	}
	return d.b[d.off:]
}

func (d *Decoder) fail(what string) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s at byte %d of %d", ErrMalformed, what, d.off, len(d.b))
	}
}

// Uint reads an unsigned varint.
func (d *Decoder) Uint() uint64 {
	if d.err != nil {
		return 0
	}
	if d.off < len(d.b) && d.b[d.off] < 0x80 {
		d.off++
		return uint64(d.b[d.off-1])
	}
	v, n := binary.Uvarint(d.b[d.off:])
	if n <= 0 {
		d.fail("bad varint")
		return 0
	}
	d.off += n
	return v
}

// Uint32 reads an unsigned varint that must fit in 32 bits.
func (d *Decoder) Uint32() uint32 {
	v := d.Uint()
	if v > math.MaxUint32 {
		d.fail("number above 32 bits")
		return 0
	}
	return uint32(v)
}

// Int reads a signed (zigzag) varint.
func (d *Decoder) Int() int64 {
	u := d.Uint()
	return int64(u>>1) ^ -int64(u&1)
}

// Byte reads one byte.
func (d *Decoder) Byte() byte {
	if d.err != nil || d.off >= len(d.b) {
		d.fail("missing byte")
		return 0
	}
	d.off++
	return d.b[d.off-1]
}

// Bool reads one byte that must be 0 or 1.
func (d *Decoder) Bool() bool {
	v := d.Byte()
	if v > 1 {
		d.fail("bad boolean")
	}
	return v == 1
}

// span reads a length and returns where the bytes are.
func (d *Decoder) span() (int, int, bool) {
	n := d.Uint()
	if d.err != nil {
		return 0, 0, false
	}
	if n > uint64(len(d.b)-d.off) {
		d.fail("length beyond the payload")
		return 0, 0, false
	}
	from := d.off
	d.off += int(n)
	return from, d.off, true
}

// Bytes reads a byte string, which is part of the payload.
func (d *Decoder) Bytes() []byte {
	from, to, ok := d.span()
	if !ok {
		return nil
	}
	return d.b[from:to:to]
}

// String reads a string.
func (d *Decoder) String() string {
	var from, to int
	if at := d.off + 1; d.err == nil && at <= len(d.b) && int(d.b[d.off]) <= min(0x7f, len(d.b)-at) {
		from, to = at, at+int(d.b[d.off]) // its length is one byte, as most are
		d.off = to
	} else {
		from, to, _ = d.span()
	}
	if from == to {
		return ""
	}
	if d.s == "" {
		d.s = string(d.b)
	}
	return d.s[from:to]
}

// ownString reads a string that shares no memory with the others, for what
// outlives the message.
func (d *Decoder) ownString() string { return string(d.Bytes()) }

// count reads the length of a list whose elements take at least size bytes
// each, so that a list is never allocated that cannot be there.
func (d *Decoder) count(size int) int {
	n := d.Uint()
	if d.err == nil && n > uint64((len(d.b)-d.off)/size) {
		d.fail("count beyond the payload")
	}
	if d.err != nil {
		return 0
	}
	return int(n)
}

// Strings reads a list of strings; an empty one is nil.
func (d *Decoder) Strings() []string {
	n := d.count(1)
	if n == 0 {
		return nil
	}
	list := make([]string, 0, n)
	for range n {
		list = append(list, d.String())
	}
	return list
}

// Map reads pairs of strings; no pairs are nil.
func (d *Decoder) Map() map[string]string {
	n := d.count(2)
	if n == 0 {
		return nil
	}
	m := make(map[string]string, n)
	for range n {
		k := d.String()
		m[k] = d.String()
	}
	return m
}

// Time reads a time in milliseconds; 0 is the zero time.
func (d *Decoder) Time() time.Time {
	v := d.Int()
	if v == 0 {
		return time.Time{}
	}
	return time.UnixMilli(v)
}

// Headers reads header fields. Names are expected in canonical form, as
// net/http has them, and put into it if they are not. It is never nil.
func (d *Decoder) Headers() http.Header { return d.headers(nil) }

// headers is Headers, and uses the map h again if it is not nil.
func (d *Decoder) headers(h http.Header) http.Header {
	n := d.count(2)
	if h == nil {
		h = make(http.Header, n)
	}
	clear(h)
	values := make([]string, n) // one array for the first value of each name
	for i := range n {
		name, value := d.String(), d.String()
		if d.err != nil {
			break
		}
		if !canonical(name) {
			name = http.CanonicalHeaderKey(name)
		}
		if old := h[name]; old != nil {
			h[name] = append(old, value)
			continue
		}
		values[i] = value
		h[name] = values[i : i+1 : i+1]
	}
	return h
}

// canonical reports whether a header name is as http.CanonicalHeaderKey would
// make it, for letters, digits and dashes; others take the slow path.
func canonical(name string) bool {
	upper := true
	for i := range len(name) {
		c := name[i]
		switch {
		case c == '-':
			upper = true
			continue
		case c >= '0' && c <= '9':
		case upper && c >= 'A' && c <= 'Z':
		case !upper && c >= 'a' && c <= 'z':
		default:
			return false
		}
		upper = false
	}
	return name != ""
}

// finish checks that nothing is left over.
func (d *Decoder) finish() error {
	if d.err == nil && d.off != len(d.b) {
		d.fail("bytes left over")
	}
	return d.err
}

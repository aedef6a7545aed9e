package wire

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"

	"github.com/serval-server/serval/cluster/replica"
)

// An Error says what is wrong with bytes that came from another node, and where.
type Error struct {
	What   string // what was being read
	Offset int    // of its first byte, in what was given to the decoder (inflated if it was compressed)
}

func (e *Error) Error() string { return fmt.Sprintf("bad %s at byte %d", e.What, e.Offset) }

// appendUvarint is binary.AppendUvarint with a short way for one byte.
func appendUvarint(b []byte, v uint64) []byte {
	if v < 0x80 {
		return append(b, byte(v))
	}
	return binary.AppendUvarint(b, v)
}

func appendString[S ~string | ~[]byte](b []byte, s S) []byte {
	return append(appendUvarint(b, uint64(len(s))), s...)
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

func zigzag(v int64) uint64   { return uint64(v)<<1 ^ uint64(v>>63) }
func unzigzag(u uint64) int64 { return int64(u>>1) ^ -int64(u&1) }

// reader reads b[off:end]. The first thing that is wrong stays in err;
// everything after it reads as zero.
type reader struct {
	b        []byte
	off, end int
	err      error
	room     *room // what is read is lent: it goes there, or stays where it is; nil: it is copied
}

func newReader(b []byte) reader { return reader{b: b, end: len(b)} }

func (r *reader) fail(what string, at int) {
	if r.err == nil {
		r.err = &Error{what, at}
	}
	r.off = r.end
}

func (r *reader) left() int { return r.end - r.off }

func (r *reader) uvarint(what string) uint64 {
	if r.off < r.end && r.b[r.off] < 0x80 {
		r.off++
		return uint64(r.b[r.off-1])
	}
	v, n := binary.Uvarint(r.b[r.off:r.end])
	if n <= 0 {
		r.fail(what, r.off)
		return 0
	}
	r.off += n
	return v
}

func (r *reader) uint32(what string) uint32 {
	at := r.off
	v := r.uvarint(what)
	if v > math.MaxUint32 {
		r.fail(what, at)
		return 0
	}
	return uint32(v)
}

func (r *reader) byte(what string) byte {
	if r.off >= r.end {
		r.fail(what, r.off)
		return 0
	}
	r.off++
	return r.b[r.off-1]
}

func (r *reader) bool(what string) bool {
	at := r.off
	v := r.byte(what)
	if v > 1 {
		r.fail(what, at)
	}
	return v == 1
}

func (r *reader) uint64(what string) uint64 {
	if b := r.take(8, what); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// take returns the next n bytes of the input itself.
func (r *reader) take(n uint64, what string) []byte {
	if n > uint64(r.left()) {
		r.fail(what, r.off)
		return nil
	}
	b := r.b[r.off : r.off+int(n) : r.off+int(n)]
	r.off += int(n)
	return b
}

// sized returns the bytes that follow their own length, of the input itself.
func (r *reader) sized(what string) []byte { return r.take(r.uvarint(what), what) }

func (r *reader) string(what string) string { return string(r.sized(what)) }

// text is string for what is the same time and again.
func (r *reader) text(what string) string {
	b := r.sized(what)
	if r.room != nil {
		return r.room.name(b)
	}
	return string(b)
}

// count reads the number of entries that follow, of at least size bytes each, so
// that nothing is allocated for entries that cannot be there.
func (r *reader) count(size int, what string) int {
	at := r.off
	n := r.uvarint(what)
	if n > uint64(r.left()/size) {
		r.fail(what, at)
		return 0
	}
	return int(n)
}

// clockShift is how many low bits of a clock count within one millisecond; it
// only makes numbers short, any clock can be written.
const clockShift = 16

// appendDot writes a dot relative to another one: how many milliseconds are
// between them, whether the writer and its epoch are the same, and the count
// within the millisecond.
func appendDot(b []byte, d, prev replica.Dot) []byte {
	const mask = 1<<clockShift - 1
	v := zigzag(int64(d.Clock>>clockShift)-int64(prev.Clock>>clockShift)) << 2
	other := d.Epoch != prev.Epoch || d.Node != prev.Node
	if other {
		v |= 1
	}
	if d.Clock&mask != 0 {
		v |= 2
	}
	b = appendUvarint(b, v)
	if other {
		b = appendUvarint(b, uint64(d.Epoch))
		b = appendUvarint(b, uint64(d.Node))
	}
	if d.Clock&mask != 0 {
		b = appendUvarint(b, d.Clock&mask)
	}
	return b
}

func (r *reader) dot(prev replica.Dot) replica.Dot {
	const mask = 1<<clockShift - 1
	at := r.off
	v := r.uvarint("dot")
	d := replica.Dot{Epoch: prev.Epoch, Node: prev.Node}
	if v&1 != 0 {
		d.Epoch, d.Node = r.uint32("epoch of a dot"), r.uint32("node of a dot")
	}
	ms := int64(prev.Clock>>clockShift) + unzigzag(v>>2)
	if ms < 0 || ms > math.MaxInt64>>(clockShift-1) {
		r.fail("clock of a dot", at)
		return replica.Dot{}
	}
	d.Clock = uint64(ms) << clockShift
	if v&2 != 0 {
		at = r.off
		low := r.uvarint("clock of a dot")
		if low == 0 || low > mask {
			r.fail("clock of a dot", at)
			return replica.Dot{}
		}
		d.Clock |= low
	}
	return d
}

func appendReign(b []byte, r replica.Reign) []byte {
	b = appendUvarint(b, uint64(r.Epoch))
	return appendUvarint(b, uint64(r.Home))
}

func (r *reader) reign() replica.Reign {
	return replica.Reign{Epoch: r.uint32("epoch of a reign"), Home: r.uint32("home of a reign")}
}

// Session ids of the servers' form are written as the bytes that they encode.
const (
	idBytes = 24
	idChars = 32
	// maxID bounds ids of another form.
	maxID = 1 << 10
)

var idEncoding = base64.RawURLEncoding.Strict()

// packID is the id's bytes, if it has the servers' form.
func packID(id replica.SessionID) (raw [idBytes]byte, ok bool) {
	if len(id) != idChars {
		return raw, false
	}
	for i := range idChars {
		if c := id[i]; c == '\n' || c == '\r' { // the decoder would skip them
			return raw, false
		}
	}
	n, err := idEncoding.Decode(raw[:], []byte(id))
	return raw, err == nil && n == idBytes
}

func unpackID(raw []byte) replica.SessionID {
	var text [idChars]byte
	idEncoding.Encode(text[:], raw)
	return replica.SessionID(text[:])
}

// appendID writes an id inside of a body: 0 and the bytes of one of the servers'
// form, else its length + 1 and itself.
func appendID(b []byte, id replica.SessionID) []byte {
	if raw, ok := packID(id); ok {
		return append(append(b, 0), raw[:]...)
	}
	return append(appendUvarint(b, uint64(len(id))+1), id...)
}

func (r *reader) id() replica.SessionID {
	at := r.off
	n := r.uvarint("session id")
	if n == 0 {
		if raw := r.take(idBytes, "session id"); raw != nil {
			return unpackID(raw)
		}
		return ""
	}
	if n-1 > maxID {
		r.fail("session id", at)
		return ""
	}
	return replica.SessionID(r.take(n-1, "session id"))
}

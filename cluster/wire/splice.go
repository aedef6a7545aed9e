package wire

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"sync"
)

// A splice makes a new value of an old one by commands: a number whose low two
// bits say what to do and whose other bits are a length, then
//
//	literal  the bytes
//	here     nothing: copy from where the last command ended in the old value
//	there    the distance from there to the copy's source, zigzag
//
// A literal moves the place in the old value as if it replaced as many bytes. When
// the commands end before the result is as long as it is said to be, its end is
// the end of the old value.
const (
	spliceLiteral = iota
	spliceHere
	spliceThere
	spliceBits = 2
)

const (
	// block is how many bytes of the old value are found again wherever they
	// are; it is also the least step of the index of them.
	block     = 16
	blockBits = 14 // of the hash at most: half as many blocks are kept
	// near is how far around a place the old value is searched for short
	// matches (words of a text, keys of an encoding) as well.
	near     = 2 << 10
	nearBits = 11
	nearMin  = 5 // bytes of a short match: a command takes three
)

// splicer finds what two values have in common.
type splicer struct {
	out      []byte
	old, new []byte
	place    int // in old: where the last command ended
	blocks   [1 << blockBits]uint32
	shift    int // of a hash: blocks has 1<<(64-shift) entries in use
	words    [1 << nearBits]uint32
	// words has the old value's [from, to).
	from, to int
}

var splicers = sync.Pool{New: func() any { return new(splicer) }}

// appendSplice appends the commands that make a value of the old one.
func appendSplice(b, old, now []byte) []byte {
	head := commonPrefix(old, now)
	tail := commonSuffix(old[head:], now[head:])
	s := splicers.Get().(*splicer)
	s.out, s.old, s.new, s.place, s.from, s.to = b, old, now, 0, 0, 0
	s.copy(0, head)
	s.middle(head, len(old)-tail, len(now)-tail)
	b = s.out
	s.out, s.old, s.new = nil, nil, nil
	splicers.Put(s)
	return b
}

// middle writes new[at:newEnd], of which old[at:oldEnd] is what remains to be
// compared.
func (s *splicer) middle(at, oldEnd, newEnd int) {
	lit := at
	if min(oldEnd, newEnd)-at >= 2*block {
		s.index(at, oldEnd)
		for i := at; i+block <= newEnd; {
			from := s.find(i)
			if from < 0 {
				i++
				continue
			}
			for i > lit && from > 0 && s.old[from-1] == s.new[i-1] {
				i, from = i-1, from-1
			}
			n := block + commonPrefix(s.old[from+block:], s.new[i+block:newEnd])
			s.literal(lit, i)
			s.copy(from, n)
			i += n
			lit = i
		}
	}
	s.literal(lit, newEnd)
}

func (s *splicer) hash(b []byte) uint64 {
	x, y := binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])
	return (x*0x9E3779B185EBCA87 ^ bits.RotateLeft64(y, 29)) * 0xC2B2AE3D27D4EB4F >> s.shift
}

// index takes note of the blocks of old[from:to], of as many as there is room for.
func (s *splicer) index(from, to int) {
	step := max(block, (to-from)>>(blockBits-1))
	size := min(blockBits, bits.Len(uint((to-from)/step))+1)
	s.shift = 64 - size
	clear(s.blocks[:1<<size])
	for i := from; i+block <= to; i += step {
		s.blocks[s.hash(s.old[i:])] = uint32(i) + 1
	}
}

// find is where in old the block at new[i] is; -1 if it is not known.
func (s *splicer) find(i int) int {
	from := int(s.blocks[s.hash(s.new[i:])]) - 1
	if from < 0 || !bytes.Equal(s.old[from:from+block], s.new[i:i+block]) {
		return -1
	}
	return from
}

// literal writes new[from:to], with the words of it that are near in the old
// value as copies.
func (s *splicer) literal(from, to int) {
	if to-from < 2*nearMin {
		s.plain(from, to)
		return
	}
	s.indexNear(s.place)
	lit := from
	for i := from; i+nearMin <= to; {
		at := int(s.words[hash4(s.new[i:])]) - 1
		if at < s.from || at+nearMin > s.to || binary.LittleEndian.Uint32(s.old[at:]) != binary.LittleEndian.Uint32(s.new[i:]) {
			i++
			continue
		}
		for i > lit && at > 0 && s.old[at-1] == s.new[i-1] {
			i, at = i-1, at-1
		}
		n := 4 + commonPrefix(s.old[at+4:], s.new[i+4:to])
		if n < nearMin {
			i++
			continue
		}
		s.plain(lit, i)
		s.copy(at, n)
		i += n
		lit = i
	}
	s.plain(lit, to)
}

func hash4(b []byte) uint32 {
	return binary.LittleEndian.Uint32(b) * 0x9E3779B1 >> (32 - nearBits)
}

// indexNear takes note of every second place around one of the old value, unless
// that is done.
func (s *splicer) indexNear(at int) {
	at = min(at, len(s.old))
	if s.to > 0 && at >= s.from && at <= s.to {
		return
	}
	clear(s.words[:])
	s.from, s.to = max(0, at-near), min(len(s.old), at+near)
	for i := s.from; i+4 <= s.to; i += 2 {
		s.words[hash4(s.old[i:])] = uint32(i) + 1
	}
}

func (s *splicer) plain(from, to int) {
	if from < to {
		s.out = appendUvarint(s.out, uint64(to-from)<<spliceBits) // spliceLiteral
		s.out = append(s.out, s.new[from:to]...)
		s.place += to - from
	}
}

func (s *splicer) copy(from, n int) {
	switch {
	case n == 0:
		return
	case from == s.place:
		s.out = appendUvarint(s.out, uint64(n)<<spliceBits|spliceHere)
	default:
		s.out = appendUvarint(s.out, uint64(n)<<spliceBits|spliceThere)
		s.out = appendUvarint(s.out, zigzag(int64(from-s.place)))
	}
	s.place = from + n
}

// applySplice appends to out what the commands make of old, size bytes in all.
func applySplice(out, old []byte, size int, r *reader) ([]byte, error) {
	place := 0
	for r.left() > 0 {
		at := r.off
		v := r.uvarint("command")
		n := v >> spliceBits
		if n > uint64(size-len(out)) {
			r.fail("length of a command", at)
			break
		}
		switch v & (1<<spliceBits - 1) {
		case spliceLiteral:
			out = append(out, r.take(n, "literal")...)
			place += int(n)
			continue
		case spliceThere:
			d := unzigzag(r.uvarint("distance"))
			if d < int64(-place) || d > int64(len(old)-place) {
				r.fail("distance", at)
			}
			place += int(d)
		case spliceHere:
		default:
			r.fail("command", at)
		}
		if r.err != nil || place > len(old) || n > uint64(len(old)-place) {
			r.fail("copy", at)
			break
		}
		out = append(out, old[place:place+int(n)]...)
		place += int(n)
	}
	if r.err != nil {
		return nil, r.err
	}
	tail := size - len(out)
	if tail > len(old) {
		return nil, &Error{"end of the result", r.off}
	}
	return append(out, old[len(old)-tail:]...), nil
}

// commonPrefix is how many bytes a and b begin with in common.
func commonPrefix(a, b []byte) int {
	n := min(len(a), len(b))
	i := 0
	// Long equal stretches are compared by the runtime's vector code.
	for i+256 <= n && string(a[i:i+256]) == string(b[i:i+256]) {
		i += 256
	}
	for i+8 <= n {
		if x := binary.LittleEndian.Uint64(a[i:]) ^ binary.LittleEndian.Uint64(b[i:]); x != 0 {
			return i + bits.TrailingZeros64(x)/8
		}
		i += 8
	}
	for i < n && a[i] == b[i] {
		i++
	}
	return i
}

// commonSuffix is how many bytes a and b end with in common.
func commonSuffix(a, b []byte) int {
	n := min(len(a), len(b))
	a, b = a[len(a)-n:], b[len(b)-n:]
	i := n
	for i >= 256 && string(a[i-256:i]) == string(b[i-256:i]) {
		i -= 256
	}
	for i >= 8 {
		if x := binary.LittleEndian.Uint64(a[i-8:]) ^ binary.LittleEndian.Uint64(b[i-8:]); x != 0 {
			return n - i + bits.LeadingZeros64(x)/8
		}
		i -= 8
	}
	for i > 0 && a[i-1] == b[i-1] {
		i--
	}
	return n - i
}

package wire

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/bits"
	"sync"
)

// A splice makes a new value of an old one by commands, which follow a place in
// the old value. A command's first byte says in its low two bits what to do:
//
//	literal  a number whose other bits are a length, then the bytes
//	here     a number as well: copy that many bytes from the place
//	there    the same, then the distance from the place to the source, zigzag
//	near     two bytes in all: three bits of length, from nearMin on, and eleven
//	         of distance, from -nearReach on
//
// Here and there leave the place where the copy ended; literal and near move it
// as if they replaced as many bytes of the old value: the words of a new text are
// taken from around the old one, and what follows it is still here. When the
// commands end before the result is as long as it is said to be, its end is the
// end of the old value.
const (
	spliceLiteral = iota
	spliceHere
	spliceThere
	spliceNear
	spliceBits = 2
	spliceMask = 1<<spliceBits - 1
)

const (
	// block is how many bytes of the old value are found again wherever they
	// are; it is also the least step of the index of them.
	block     = 16
	blockBits = 14 // of the hash at most: half as many blocks are kept

	// farMin is the least length of a match of blocks that have moved: what is
	// told from there costs more than it saves otherwise.
	farMin = 3 * block

	nearMin   = 4
	nearMax   = nearMin + 7
	nearReach = 1 << 10
	nearShift = 5 // of the distance in the two bytes
	nearBits  = 12
	// thereMin is the least length of a match that is told from there if
	// blocks do not show it: there and back take eight bytes.
	thereMin = 24
)

// splicer finds what two values have in common.
type splicer struct {
	out      []byte
	old, new []byte
	place    int // in old: where the last command ended
	blocks   [1 << blockBits]uint32
	shift    int // of a hash: blocks has 1<<(64-shift) entries in use
	// words has where in old[from:to] four bytes are, from from on and plus
	// one: what is near the places that literals were at.
	words    [1 << nearBits]uint16
	from, to int
}

var splicers = sync.Pool{New: func() any { return new(splicer) }}

// appendSplice appends the commands that make a value of the old one.
func appendSplice(b, old, now []byte) []byte {
	head := commonPrefix(old, now)
	tail := commonSuffix(old[head:], now[head:])
	s := splicers.Get().(*splicer)
	s.out, s.old, s.new, s.place, s.from, s.to = b, old, now, 0, 0, -1
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
			n := commonPrefix(s.old[from:], s.new[i:newEnd])
			if n < farMin && from != s.place+i-lit {
				i += n - block + 1 // words that happen to follow each other: near will do
				continue
			}
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
	lit := from
	for i := from; i+nearMin < to; {
		s.indexNear(s.place + i - lit)
		at := s.from + int(s.words[hash4(s.new[i:])]) - 1
		if at < s.from || binary.LittleEndian.Uint32(s.old[at:]) != binary.LittleEndian.Uint32(s.new[i:]) {
			i++
			continue
		}
		n := nearMin + commonPrefix(s.old[at+nearMin:], s.new[i+nearMin:to])
		found := i
		for i > lit && at > 0 && s.old[at-1] == s.new[i-1] {
			i, at, n = i-1, at-1, n+1
		}
		distance := at - (s.place + i - lit)
		near := distance >= -nearReach && distance < nearReach && n <= 2*nearMax
		if !near && n < thereMin {
			i = found + 1
			continue
		}
		s.plain(lit, i)
		if near {
			s.near(distance, n)
		} else {
			s.copy(at, n)
		}
		i += n
		lit = i
	}
	s.plain(lit, to)
}

func hash4(b []byte) uint32 {
	return binary.LittleEndian.Uint32(b) * 0x9E3779B1 >> (32 - nearBits)
}

// indexNear takes note of what is near a place in the old value: of what is new
// there, if the place has moved on a little.
func (s *splicer) indexNear(place int) {
	from, to := max(0, min(place, len(s.old))-nearReach), min(len(s.old), place+nearReach)-nearMin
	at := s.to
	if from < s.from || from > s.to || to-s.from >= math.MaxUint16 {
		clear(s.words[:])
		s.from, at = from, from
	}
	for i := at; i < to; i++ {
		s.words[hash4(s.old[i:])] = uint16(i - s.from + 1)
	}
	s.to = max(at, to)
}

// near writes a copy from nearby, which moves the place as a literal does.
func (s *splicer) near(distance, n int) {
	s.place += n
	for n > 0 {
		m := min(n, nearMax)
		if rest := n - m; rest > 0 && rest < nearMin {
			m -= nearMin - rest
		}
		v := spliceNear | (m-nearMin)<<spliceBits | (distance+nearReach)<<nearShift
		s.out = append(s.out, byte(v), byte(v>>8))
		n -= m
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
		if r.b[at]&spliceMask == spliceNear {
			v := r.take(2, "command")
			if v == nil {
				break
			}
			n, distance := nearMin+int(v[0]>>spliceBits&7), int(v[0]>>nearShift|v[1]<<3)|int(v[1]>>5)<<8
			from := place + distance - nearReach
			if from < 0 || from+n > len(old) || n > size-len(out) {
				r.fail("copy", at)
				break
			}
			out = append(out, old[from:from+n]...)
			place += n
			continue
		}
		v := r.uvarint("command")
		n := v >> spliceBits
		if n > uint64(size-len(out)) {
			r.fail("length of a command", at)
			break
		}
		switch v & spliceMask {
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

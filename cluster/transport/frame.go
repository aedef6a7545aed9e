package transport

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// A lane's stream is a sequence of frames: an unsigned varint, whose two lowest
// bits are flags and whose others are the length of the body; then the body,
// one batch of package wire, or nothing.
const (
	flagGated = 1 << 0 // the body wants to be acknowledged
	flagAck   = 1 << 1 // acknowledges the receiver's oldest batch on this lane

	ackOnly = flagAck // the whole of a frame that does nothing else
	maxHead = binary.MaxVarintLen64
)

// maxFrame is the longest body that this node takes. Config.MaxBatch bounds
// what it makes, unless a single item is longer.
const maxFrame = 32 << 20

// errMalformed is what an authenticated peer's bytes cause that make no sense.
var errMalformed = errors.New("malformed frame")

// head is what stands before a frame's body.
type head struct{ gated, ack bool }

// putHead writes the head at the end of b and returns where it starts.
func putHead(b []byte, length int, gated, ack bool) int {
	v := uint64(length) << 2
	if gated {
		v |= flagGated
	}
	if ack {
		v |= flagAck
	}
	var tmp [maxHead]byte
	n := binary.PutUvarint(tmp[:], v)
	return len(b) - copy(b[len(b)-n:], tmp[:n])
}

// frameReader cuts a stream into frames. Its buffer grows with what arrives,
// never with what a head promises.
type frameReader struct {
	r          io.Reader
	max        int
	buf        []byte
	start, end int // of what was read and not yet returned
}

const (
	readBuffer = 16 << 10
	keepBuffer = 1 << 20 // a larger buffer is given back after use
)

// next returns a frame. Its body is valid until the next call.
func (f *frameReader) next() (head, []byte, error) {
	if f.start == f.end && len(f.buf) > keepBuffer {
		f.buf, f.start, f.end = nil, 0, 0
	}
	for {
		v, n := binary.Uvarint(f.buf[f.start:f.end])
		if n < 0 || n > maxHead || n == 0 && f.end-f.start >= maxHead {
			return head{}, nil, fmt.Errorf("%w: length is no varint of at most %d bytes", errMalformed, maxHead)
		}
		if n > 0 {
			if v>>2 > uint64(f.max) {
				return head{}, nil, fmt.Errorf("%w: body of %d bytes, at most %d allowed", errMalformed, v>>2, f.max)
			}
			f.start += n
			body, err := f.body(int(v >> 2))
			return head{gated: v&flagGated != 0, ack: v&flagAck != 0}, body, err
		}
		if err := f.fill(); err != nil {
			if errors.Is(err, io.EOF) && f.end > f.start {
				err = io.ErrUnexpectedEOF
			}
			return head{}, nil, err
		}
	}
}

func (f *frameReader) body(n int) ([]byte, error) {
	for f.end-f.start < n {
		if err := f.fill(); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
	b := f.buf[f.start : f.start+n : f.start+n]
	f.start += n
	return b, nil
}

// fill reads more, at least one byte.
func (f *frameReader) fill() error {
	if f.start == f.end {
		f.start, f.end = 0, 0
	}
	if f.end == len(f.buf) {
		if f.start > len(f.buf)/2 {
			f.end = copy(f.buf, f.buf[f.start:f.end])
		} else {
			bigger := make([]byte, max(readBuffer, 2*len(f.buf)))
			f.end = copy(bigger, f.buf[f.start:f.end])
			f.buf = bigger
		}
		f.start = 0
	}
	n, err := f.r.Read(f.buf[f.end:])
	f.end += n
	if n > 0 {
		return nil
	}
	if err == nil {
		return io.ErrNoProgress
	}
	return err
}

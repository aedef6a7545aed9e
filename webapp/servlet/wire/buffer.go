package wire

import "sync"

// The payloads of frames live in pooled buffers of three sizes: heads of small
// requests, heads of large ones, and a full piece of a body behind its head.
var classes = [...]int{1 << 10, 8 << 10, MaxData + 4<<10}

var pools [len(classes)]sync.Pool

// buffer is a slice with the pool it belongs to; class -1 belongs to none.
type buffer struct {
	b     []byte
	class int
}

// getBuffer returns a buffer whose slice has length n.
func getBuffer(n int) *buffer {
	for i, size := range classes {
		if n > size {
			continue
		}
		if p, _ := pools[i].Get().(*buffer); p != nil {
			p.b = p.b[:n]
			return p
		}
		return &buffer{b: make([]byte, n, size), class: i}
	}
	return &buffer{b: make([]byte, n), class: -1}
}

func (p *buffer) free() {
	if p != nil && p.class >= 0 {
		pools[p.class].Put(p)
	}
}

// Msg is a frame that was received. Its payload is valid until Free.
type Msg struct {
	Type    Type
	Flags   Flags
	Payload []byte
	buf     *buffer
}

// End reports that the sender's direction of the stream ends with the frame.
func (m *Msg) End() bool { return m.Flags&FlagEnd != 0 || m.Type == TypeEnd }

// isBody reports a frame that is under the stream's window. An empty Data is
// not, so that there cannot be any number of them.
func (m *Msg) isBody() bool { return m.Type == TypeData && len(m.Payload) > 0 }

// Free gives the payload's memory back. Nothing that was decoded from it as
// bytes may be used afterwards; strings may.
func (m *Msg) Free() {
	m.buf.free()
	m.buf, m.Payload = nil, nil
}

// Frame is a frame in the making. Take one with NewFrame, append a message to
// Payload, hand it to Send. It is given back by Send.
type Frame struct{ buf *buffer }

// NewFrame returns an empty frame.
func NewFrame() Frame {
	p := getBuffer(HeaderLen)
	return Frame{buf: p}
}

// Bytes is the frame so far, with room for its header in front, to be appended
// to; the result goes to Set.
func (f Frame) Bytes() []byte { return f.buf.b }

// Set stores what Append has returned for Bytes.
func (f Frame) Set(b []byte) Frame {
	if cap(b) != cap(f.buf.b) {
		f.buf.free()
		return Frame{buf: &buffer{b: b, class: -1}}
	}
	f.buf.b = b
	return f
}

// Len is the length of the payload so far.
func (f Frame) Len() int { return len(f.buf.b) - HeaderLen }

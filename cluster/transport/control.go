package transport

import (
	"bufio"
	"fmt"
	"sync"

	"github.com/quic-go/quic-go"

	"github.com/serval-server/serval/cluster/wire"
)

// maxControl is how many bytes of control frames may wait for a peer.
const maxControl = 8 << 20

// control is the stream of frames beside the lanes.
type control struct {
	link   *link
	stream *quic.Stream
	r      *bufio.Reader
	more   chan struct{}

	mu  sync.Mutex
	buf []byte // guarded by mu: what waits
}

func newControl(l *link, s *quic.Stream, r *bufio.Reader) *control {
	s.SetPriority(0, false) // before the lanes
	return &control{link: l, stream: s, r: r, more: make(chan struct{}, 1)}
}

// send queues a frame.
func (c *control) send(f wire.Frame) {
	c.mu.Lock()
	c.buf = wire.AppendFrame(c.buf, f)
	full := len(c.buf) > maxControl
	c.mu.Unlock()
	if full {
		c.link.close(fmt.Errorf("control stream: more than %d bytes wait", maxControl))
		return
	}
	select {
	case c.more <- struct{}{}:
	default:
	}
}

func (c *control) writer() {
	for {
		select {
		case <-c.link.ctx.Done():
			return
		case <-c.more:
		}
		c.mu.Lock()
		b := c.buf
		c.buf = nil
		c.mu.Unlock()
		if _, err := c.stream.Write(b); err != nil {
			c.link.close(fmt.Errorf("control stream: %w", err))
			return
		}
	}
}

func (c *control) reader() {
	for {
		f, err := wire.ReadFrame(c.r)
		if err != nil {
			c.link.close(fmt.Errorf("control stream: %w", err))
			return
		}
		c.link.t.h.Control(c.link.id, f)
	}
}

package transport

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/serval-server/serval/cluster/replica"
)

// Stream is a stream of a link as a net.Conn; see OpenStream.
type Stream struct {
	*quic.Stream
	conn *quic.Conn
	peer Peer

	mu    sync.Mutex
	first []byte // guarded by mu: goes before what is written first
}

var _ net.Conn = (*Stream)(nil)

// LocalAddr is the UDP address of this end.
func (s *Stream) LocalAddr() net.Addr { return s.conn.LocalAddr() }

// RemoteAddr is the UDP address of the peer.
func (s *Stream) RemoteAddr() net.Addr { return s.conn.RemoteAddr() }

// Write writes to the stream.
func (s *Stream) Write(b []byte) (int, error) {
	s.mu.Lock()
	first := s.first
	s.first = nil
	s.mu.Unlock()
	if first == nil {
		return s.Stream.Write(b)
	}
	n, err := s.Stream.Write(append(first, b...))
	return max(n-len(first), 0), err
}

// CloseWrite ends the writing direction: the peer reads io.EOF.
func (s *Stream) CloseWrite() error {
	if _, err := s.Write(nil); err != nil {
		return err
	}
	return s.Stream.Close()
}

// Close ends both directions. What was written still arrives.
func (s *Stream) Close() error {
	err := s.CloseWrite()
	s.CancelRead(0)
	return err
}

// PeerOf is the peer at the other end of a connection that OpenStream or
// Streams returned.
func PeerOf(c net.Conn) (Peer, bool) {
	s, ok := c.(*Stream)
	if !ok {
		return Peer{}, false
	}
	return s.peer, true
}

// OpenStream opens a stream to the peer for a forwarded request: its Streams
// listener accepts it when something is written. The connection is a *Stream.
// The context bounds the opening only.
func (t *Transport) OpenStream(ctx context.Context, to replica.NodeID) (net.Conn, error) {
	l := t.up(to)
	if l == nil {
		return nil, ErrNotConnected
	}
	return l.openStream(ctx, streamRequest)
}

func (l *link) openStream(ctx context.Context, kind byte) (*Stream, error) {
	s, err := l.bulk.OpenStreamSync(ctx)
	if err != nil {
		return nil, err
	}
	// Somebody waits for these, and for the bulk lane nobody.
	s.SetPriority(urgent, true)
	return &Stream{Stream: s, conn: l.bulk, peer: l.p.snapshot(), first: []byte{kind}}, nil
}

// urgent is before quic-go's default urgency, which the bulk lane has.
const urgent = 1

// takeStream gives a stream that the peer has opened to those who want it.
func (t *Transport) takeStream(l *link, s *quic.Stream) {
	var kind [1]byte
	_ = s.SetReadDeadline(time.Now().Add(t.cfg.HandshakeTimeout))
	if _, err := s.Read(kind[:]); err != nil {
		s.CancelRead(0)
		s.CancelWrite(0)
		return
	}
	_ = s.SetReadDeadline(time.Time{})
	s.SetPriority(urgent, true)
	c := &Stream{Stream: s, conn: l.bulk, peer: l.p.snapshot()}
	ok := false
	switch {
	case kind[0] == streamRequest && l.id != 0:
		ok = t.streams.put(c)
	case kind[0] == streamGossip:
		ok = t.gossip.put(c)
	}
	if !ok {
		c.CancelRead(0)
		c.CancelWrite(0)
	}
}

// streamListener hands out the streams that peers have opened.
type streamListener struct {
	t      *Transport
	c      chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newStreamListener(t *Transport) *streamListener {
	return &streamListener{t: t, c: make(chan net.Conn, 64), closed: make(chan struct{})}
}

// put waits for somebody to accept.
func (s *streamListener) put(c *Stream) bool {
	select {
	case s.c <- c:
		return true
	case <-s.closed:
	case <-c.conn.Context().Done():
	}
	return false
}

// Accept waits for the next stream.
func (s *streamListener) Accept() (net.Conn, error) {
	select {
	case c := <-s.c:
		return c, nil
	case <-s.closed:
		return nil, net.ErrClosed
	}
}

// Close has streams refused.
func (s *streamListener) Close() error {
	s.once.Do(func() { close(s.closed) })
	return nil
}

// Addr is the address of the transport's UDP port.
func (s *streamListener) Addr() net.Addr { return s.t.sock.packets.LocalAddr() }

package transport

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/serval-server/serval/cluster/wire"
)

// The first byte of each stream says what it is for. Append only.
const (
	streamControl byte = iota + 1 // then the link's number, 8 bytes; Hello
	streamLane                    // then the lane's index
	streamRequest                 // forwarded requests
	streamGossip                  // membership
)

// ready follows the acceptor's Hello on the live control stream when all
// streams have come; only then anything else is sent.
const ready = 0x52

// errOther: a node that has the peer's name or address is another incarnation.
var errOther = errors.New("another incarnation is there")

func (t *Transport) hello(bulk bool) wire.Hello {
	s := t.cfg.Self
	return wire.Hello{
		MinVersion: wire.MinVersion, MaxVersion: wire.Version,
		Node: s.ID, Cluster: t.cfg.Cluster, Name: s.Name, Zone: s.Zone, Build: t.cfg.Build,
		Lanes: uint8(t.cfg.Lanes), Bulk: bulk, MaxBatch: maxFrame,
	}
}

// checkHello decides whether the peer may stay. It has a certificate of the
// cluster already.
func (t *Transport) checkHello(c *quic.Conn, h wire.Hello) error {
	name, err := t.cfg.PeerName(c.ConnectionState().TLS)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", errRefused, err)
	case h.Name != name:
		return fmt.Errorf("%w: it says that it is %q, its certificate is %q's", errRefused, h.Name, name)
	case h.Cluster != t.cfg.Cluster:
		return fmt.Errorf("%w: it is of cluster %q, this one is %q", errRefused, h.Cluster, t.cfg.Cluster)
	case h.Node == 0 || h.Node == t.cfg.Self.ID:
		return fmt.Errorf("%w: node number %d", errRefused, h.Node)
	}
	if _, err := wire.Negotiate(t.hello(false), h); err != nil {
		return fmt.Errorf("%w: %w", errRefused, err)
	}
	return nil
}

// writeHello starts a control stream, or answers on one (num 0).
func (t *Transport) writeHello(s *quic.Stream, num uint64, bulk bool) error {
	var b []byte
	if num != 0 {
		b = binary.BigEndian.AppendUint64(append(b, streamControl), num)
	}
	_, err := s.Write(wire.AppendFrame(b, t.hello(bulk)))
	return err
}

func readHello(r *bufio.Reader) (wire.Hello, error) {
	f, err := wire.ReadFrame(r)
	if err != nil {
		return wire.Hello{}, err
	}
	h, ok := f.(wire.Hello)
	if !ok {
		return wire.Hello{}, fmt.Errorf("%w: the first frame is %T, not a hello", errMalformed, f)
	}
	return h, nil
}

// dial makes a link and serves it until it ends.
func (x *peer) dial() error {
	p := x.snapshot()
	l := newLink(x, p.ID, rand.Uint64()|1, true)
	if _, ok := x.offer(l); !ok {
		return errDuplicate
	}
	defer x.retire(l)
	ctx, cancel := context.WithTimeout(l.ctx, 2*x.t.cfg.HandshakeTimeout)
	err := l.dial(ctx, p)
	cancel()
	if err != nil {
		err = reason(err)
		l.close(err)
		l.hangUp(err)
		if errors.Is(err, errOther) {
			x.crash()
		}
		return err
	}
	l.run(x.snapshot())
	return nil
}

// dial opens both connections and their streams, and waits for the acceptor.
func (l *link) dial(ctx context.Context, p Peer) error {
	addr, err := net.ResolveUDPAddr("udp", p.Address)
	if err != nil {
		return err
	}
	var s *quic.Stream
	var r *bufio.Reader
	var h wire.Hello
	if l.live, s, r, h, err = l.dialConn(ctx, addr, false); err != nil {
		return err
	}
	if h.Node != p.ID {
		return fmt.Errorf("%w: number %d instead of %d", errOther, h.Node, p.ID)
	}
	if err := l.greet(h); err != nil {
		return err
	}
	l.control = newControl(l, s, r)
	var streams []*quic.Stream
	var readers []*bufio.Reader
	for i := range min(l.t.cfg.Lanes, max(int(h.Lanes), 1)) {
		s, err := openStream(ctx, l.live, streamLane, byte(i))
		if err != nil {
			return err
		}
		streams, readers = append(streams, s), append(readers, bufio.NewReaderSize(s, 16))
	}
	b := &attached{}
	if b.conn, _, _, _, err = l.dialConn(ctx, addr, true); err != nil {
		return err
	}
	l.bulk = b.conn
	if b.lane, err = openStream(ctx, b.conn, streamLane, 0); err != nil {
		return err
	}
	b.r = bufio.NewReaderSize(b.lane, 16)
	l.addLanes(streams, readers, b)
	defer deadline(ctx, s)()
	switch c, err := r.ReadByte(); {
	case err != nil:
		return fmt.Errorf("waiting for the peer to be ready: %w", err)
	case c != ready:
		return fmt.Errorf("%w: %#x instead of ready", errMalformed, c)
	}
	return nil
}

// dialConn opens one connection and exchanges hellos on its control stream.
func (l *link) dialConn(ctx context.Context, addr net.Addr, bulk bool) (c *quic.Conn, s *quic.Stream, r *bufio.Reader, h wire.Hello, err error) {
	if c, err = l.t.quic.Dial(ctx, addr, clientTLS(l.t.cfg.TLS, protoPeer), l.t.cfg.quic()); err != nil {
		return
	}
	defer func() {
		if err != nil {
			code, text := closeCode(err)
			_ = c.CloseWithError(code, text)
		}
	}()
	if s, err = c.OpenStreamSync(ctx); err != nil {
		return
	}
	defer deadline(ctx, s)()
	if err = l.t.writeHello(s, l.num, bulk); err != nil {
		return
	}
	r = bufio.NewReader(s)
	if h, err = readHello(r); err != nil {
		err = fmt.Errorf("reading the peer's hello: %w", err)
		return
	}
	err = l.t.checkHello(c, h)
	return
}

// greet takes what the peer says of itself. Its name is in its certificate; its
// number is not, so a node could say another's.
func (l *link) greet(h wire.Hello) error {
	l.maxItem = max(int(h.MaxBatch)-64<<10, 64<<10)
	l.p.mu.Lock()
	defer l.p.mu.Unlock()
	if is := l.p.info.Name; is != "" && is != h.Name {
		return fmt.Errorf("%w: number %d is %q's, not %q's", errRefused, h.Node, is, h.Name)
	}
	l.p.info.Zone, l.p.info.Name = h.Zone, h.Name
	return nil
}

// openStream opens a stream and writes its first bytes.
func openStream(ctx context.Context, c *quic.Conn, first ...byte) (*quic.Stream, error) {
	s, err := c.OpenStreamSync(ctx)
	if err != nil {
		return nil, err
	}
	_, err = s.Write(first)
	return s, err
}

// deadline ends reads and writes of a stream with the context, until the
// function that it returns is called.
func deadline(ctx context.Context, s *quic.Stream) (end func()) {
	if d, ok := ctx.Deadline(); ok {
		_ = s.SetDeadline(d)
	}
	stop := context.AfterFunc(ctx, func() { _ = s.SetDeadline(time.Unix(1, 0)) })
	return func() {
		if stop() {
			_ = s.SetDeadline(time.Time{})
		}
	}
}

// acceptLoop takes connections whose handshake is complete.
func (t *Transport) acceptLoop() {
	for {
		c, err := t.listener.Accept(t.ctx)
		if err != nil {
			return
		}
		t.door.done(c)
		t.wg.Go(func() { t.serve(c) })
	}
}

// serve serves an accepted connection until it ends.
func (t *Transport) serve(c *quic.Conn) {
	if c.ConnectionState().TLS.NegotiatedProtocol == protoGossip {
		t.gossip.serve(c)
		return
	}
	ctx, cancel := context.WithTimeout(t.ctx, 2*t.cfg.HandshakeTimeout)
	err := t.greetConn(ctx, cancel, c)
	cancel()
	if err == nil {
		return
	}
	err = reason(err)
	if errors.Is(err, errMalformed) {
		t.malformed.Add(1)
	}
	if !errors.Is(err, errDuplicate) {
		t.log.Warn("a peer was turned away", "address", c.RemoteAddr().String(), "error", err)
	}
	code, text := closeCode(err)
	_ = c.CloseWithError(code, text)
}

// greetConn reads the hello of an accepted connection and makes it part of a
// link. A live connection is served here; then is called when the link works.
func (t *Transport) greetConn(ctx context.Context, then func(), c *quic.Conn) error {
	s, err := c.AcceptStream(ctx)
	if err != nil {
		return err
	}
	end := deadline(ctx, s)
	defer func() { end() }()
	var first [9]byte
	r := bufio.NewReader(s)
	if _, err := io.ReadFull(r, first[:]); err != nil {
		return err
	}
	if first[0] != streamControl {
		return fmt.Errorf("%w: the first stream is of kind %d", errMalformed, first[0])
	}
	num := binary.BigEndian.Uint64(first[1:])
	h, err := readHello(r)
	if err != nil {
		return fmt.Errorf("reading the peer's hello: %w", err)
	}
	if err := t.checkHello(c, h); err != nil {
		return err
	}
	if h.Bulk {
		return t.attachBulk(ctx, c, s, h, num)
	}
	x, l, gone, err := t.adopt(c, h, num)
	if err != nil {
		return err
	}
	defer x.retire(l)
	err = l.acceptStreams(ctx, s, r, h, gone)
	if err != nil {
		err = reason(err)
		l.close(err)
		l.hangUp(err)
		l.give(nil)
		return err
	}
	end()
	end = func() {}
	then()
	l.run(x.snapshot())
	return nil
}

// adopt makes a link of an accepted live connection.
func (t *Transport) adopt(c *quic.Conn, h wire.Hello, num uint64) (*peer, *link, <-chan struct{}, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closing {
		return nil, nil, nil, ErrClosed
	}
	x := t.peerLocked(Peer{ID: h.Node, Name: h.Name, Zone: h.Zone, Address: c.RemoteAddr().String()})
	l := newLink(x, h.Node, num, false)
	l.live = c
	if err := l.greet(h); err != nil {
		return nil, nil, nil, err
	}
	gone, ok := x.offer(l)
	if !ok {
		return nil, nil, nil, errDuplicate
	}
	return x, l, gone, nil
}

// acceptStreams answers the hello, takes the lanes and the bulk connection, and
// tells the dialer when all is there and the link before is gone.
func (l *link) acceptStreams(ctx context.Context, s *quic.Stream, r *bufio.Reader, h wire.Hello, gone <-chan struct{}) error {
	if err := l.t.writeHello(s, 0, false); err != nil {
		return err
	}
	l.control = newControl(l, s, r)
	n := min(l.t.cfg.Lanes, max(int(h.Lanes), 1))
	streams, readers := make([]*quic.Stream, n), make([]*bufio.Reader, n)
	for range n {
		s, r, i, err := acceptLane(ctx, l.live)
		if err != nil {
			return err
		}
		if int(i) >= n || streams[i] != nil {
			return fmt.Errorf("%w: lane %d of %d", errMalformed, i, n)
		}
		streams[i], readers[i] = s, r
	}
	var b *attached
	select {
	case b = <-l.bulkUp:
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-l.ctx.Done():
		return context.Cause(l.ctx)
	case <-l.live.Context().Done():
		return context.Cause(l.live.Context())
	}
	l.addLanes(streams, readers, b)
	if gone != nil {
		select {
		case <-gone:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	_, err := s.Write([]byte{ready})
	return err
}

func acceptLane(ctx context.Context, c *quic.Conn) (*quic.Stream, *bufio.Reader, byte, error) {
	s, err := c.AcceptStream(ctx)
	if err != nil {
		return nil, nil, 0, err
	}
	defer deadline(ctx, s)()
	r := bufio.NewReaderSize(s, 16)
	var first [2]byte
	if _, err := io.ReadFull(r, first[:]); err != nil {
		return nil, nil, 0, err
	}
	if first[0] != streamLane {
		return nil, nil, 0, fmt.Errorf("%w: stream of kind %d instead of a lane", errMalformed, first[0])
	}
	return s, r, first[1], nil
}

// attachBulk gives a bulk connection to the link that it belongs to.
func (t *Transport) attachBulk(ctx context.Context, c *quic.Conn, s *quic.Stream, h wire.Hello, num uint64) error {
	l := t.linkOf(h.Node)
	if l == nil {
		return fmt.Errorf("%w: bulk connection without a link", errMalformed)
	}
	if l.num != num || l.dialed {
		return fmt.Errorf("%w: bulk connection of another link", errMalformed)
	}
	if err := t.writeHello(s, 0, true); err != nil {
		return err
	}
	lane, r, _, err := acceptLane(ctx, c)
	if err != nil {
		return err
	}
	select {
	case l.bulkUp <- &attached{conn: c, lane: lane, r: r}:
		if l.ctx.Err() != nil {
			return context.Cause(l.ctx) // it came too late
		}
		return nil
	default:
		return fmt.Errorf("%w: second bulk connection", errMalformed)
	}
}

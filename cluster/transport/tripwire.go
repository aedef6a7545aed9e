package transport

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"

	"github.com/serval-server/serval/cluster/replica"
)

// The tripwire of a link is a TCP connection on which nothing is said but who
// both are: the kernel of a node whose process dies closes it at once, while
// QUIC would notice only by silence. Each end says goodbye before it closes it
// on purpose. An end that finds it closed without that asks the other's port
// again: if nobody listens there, or another incarnation, the process is gone.
// If the same incarnation answers, somebody has cut a connection, no more.

const (
	wireHello = "serval tripwire\n" // then the sender's and the receiver's number and the link's
	wireSize  = len(wireHello) + 4 + 4 + 8
	goodbye   = 'q'
)

// How often and for how long a broken tripwire's other end is asked.
const (
	redials      = 20
	redialPause  = 10 * time.Millisecond
	redialLimit  = time.Second
	tripwireBack = 5 * time.Second // between attempts to have one at all
)

// guard keeps the tripwire of a link. The dialer of the link dials it too.
func (l *link) guard(p Peer) {
	if l.t.sock.tcp == nil {
		return
	}
	for {
		c := l.nextTrip(p)
		if c == nil || !l.hold(p, c) {
			break
		}
		if !l.pause(redialPause) {
			break
		}
	}
	l.give(nil)
}

// nextTrip waits for a tripwire or dials one; nil if the link ends.
func (l *link) nextTrip(p Peer) net.Conn {
	if !l.dialed {
		select {
		case c := <-l.trip:
			return c
		case <-l.ctx.Done():
			return nil
		}
	}
	for {
		c, err := l.dialTrip(l.ctx, p, l.num)
		if err == nil {
			return c
		}
		l.t.log.Debug("no tripwire", "peer", p.Name, "error", err)
		if !l.pause(tripwireBack) {
			return nil
		}
	}
}

// pause waits for d; it returns false if the link ends.
func (l *link) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-l.ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// hold watches a tripwire until it breaks or the link ends. It returns true if
// the link shall have another one.
func (l *link) hold(p Peer, c net.Conn) bool {
	defer c.Close()
	l.wire.Store(&c)
	defer l.wire.Store(nil)
	stop := context.AfterFunc(l.ctx, func() {
		sayGoodbye(c)
		_ = c.SetReadDeadline(time.Unix(1, 0))
	})
	defer stop()
	var b [1]byte
	n, err := c.Read(b[:])
	switch {
	case l.ctx.Err() != nil:
		return false
	case n == 1 && b[0] == goodbye:
		// The QUIC connection says why, or has not come through.
		return l.pause(redialLimit)
	case n == 1:
		l.close(fmt.Errorf("%w: %#x on the tripwire", errMalformed, b[0]))
		return false
	}
	l.t.log.Debug("tripwire is broken", "peer", p.Name, "error", err)
	if !l.deadAt(p) {
		return true
	}
	l.p.crash()
	l.close(ErrCrashed)
	return false
}

// sayGoodbye tells the other end that this one closes the tripwire on purpose.
// The byte fits in the socket's buffer: the limit is for a machine that is busy.
func sayGoodbye(c net.Conn) {
	_ = c.SetWriteDeadline(time.Now().Add(redialLimit))
	_, _ = c.Write([]byte{goodbye})
}

// deadAt reports whether the peer's process is gone for sure: nothing listens
// at its port, or another incarnation does. While the kernel takes a process
// apart, its listener may still be there for a moment; so it asks some times.
func (l *link) deadAt(p Peer) bool {
	ctx, cancel := context.WithTimeout(l.ctx, redialLimit)
	defer cancel()
	for range redials {
		c, err := l.dialTrip(ctx, p, 0)
		switch {
		case err == nil:
			c.Close()
			return false
		case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, errOther):
			// A node that leaves says so before it closes its port: it may still
			// be on its way through this node.
			return l.pause(redialPause)
		}
		timer := time.NewTimer(redialPause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return false
		case <-timer.C:
		}
	}
	return false
}

// Refuses reports that for certain no node listens at an address: its host is there and
// refuses the TCP connection. A node listens for tripwires before it does anything else.
func (t *Transport) Refuses(ctx context.Context, addr string) bool {
	if t.sock.tcp == nil {
		return false // others may have none either
	}
	ctx, cancel := context.WithTimeout(ctx, t.cfg.HandshakeTimeout)
	defer cancel()
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return errors.Is(err, syscall.ECONNREFUSED)
	}
	_ = c.Close()
	return false
}

// dialTrip opens a tripwire to the peer and makes sure who is there. With num
// zero it only asks that.
func (l *link) dialTrip(ctx context.Context, p Peer, num uint64) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, l.t.cfg.HandshakeTimeout)
	defer cancel()
	d := net.Dialer{KeepAliveConfig: keepAlive}
	raw, err := d.DialContext(ctx, "tcp", p.Address)
	if err != nil {
		return nil, err
	}
	c := tls.Client(raw, clientTLS(l.t.cfg.TLS, protoTripwire))
	if err := l.greetTrip(ctx, c, num); err != nil {
		raw.Close()
		return nil, err
	}
	return c, nil
}

func (l *link) greetTrip(ctx context.Context, c *tls.Conn, num uint64) error {
	if err := c.HandshakeContext(ctx); err != nil {
		return err
	}
	t, _ := ctx.Deadline()
	_ = c.SetDeadline(t)
	if _, err := c.Write(tripHello(l.t.cfg.Self.ID, l.id, num)); err != nil {
		return err
	}
	from, to, n, err := readTripHello(c)
	switch {
	case err != nil:
		return err
	case from != l.id:
		return fmt.Errorf("%w: number %d instead of %d", errOther, from, l.id)
	case to != l.t.cfg.Self.ID || n != num:
		return fmt.Errorf("%w: the answer is for another link", errMalformed)
	}
	return c.SetDeadline(time.Time{})
}

// give hands a tripwire to guard in place of one that it has not taken yet; nil
// only takes that back. It is closed if the link has ended, and the other end, for
// which it is a tripwire already, is told so.
func (l *link) give(c net.Conn) {
	for {
		select {
		case old := <-l.trip:
			if l.ctx.Err() != nil {
				sayGoodbye(old)
			}
			old.Close()
			continue
		default:
		}
		if c == nil {
			return
		}
		select {
		case l.trip <- c:
			c = nil
			if l.ctx.Err() == nil {
				return
			}
		default:
		}
	}
}

func tripHello(from, to replica.NodeID, num uint64) []byte {
	b := append(make([]byte, 0, wireSize), wireHello...)
	b = binary.BigEndian.AppendUint32(b, from)
	b = binary.BigEndian.AppendUint32(b, to)
	return binary.BigEndian.AppendUint64(b, num)
}

func readTripHello(r io.Reader) (from, to replica.NodeID, num uint64, err error) {
	var b [wireSize]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return 0, 0, 0, err
	}
	if string(b[:len(wireHello)]) != wireHello {
		return 0, 0, 0, fmt.Errorf("%w: no tripwire", errMalformed)
	}
	n := b[len(wireHello):]
	return binary.BigEndian.Uint32(n), binary.BigEndian.Uint32(n[4:]), binary.BigEndian.Uint64(n[8:]), nil
}

// keepAlive finds out within some seconds that a host is gone.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 2 * time.Second, Count: 3}

// tripwireLoop accepts tripwires.
func (t *Transport) tripwireLoop() {
	conf := serverTLS(t.cfg.TLS, protoTripwire)
	for {
		c, err := t.sock.tcp.Accept()
		if err != nil {
			if t.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			// Too many open files, say: it may get better.
			timer := time.NewTimer(redialPause)
			select {
			case <-t.ctx.Done():
				timer.Stop()
				return
			case <-timer.C:
			}
			continue
		}
		leave, err := t.door.enter(c.RemoteAddr(), true)
		if err != nil {
			c.Close()
			continue
		}
		t.wg.Go(func() {
			defer leave()
			if err := t.takeTrip(tls.Server(c, conf)); err != nil {
				c.Close()
				t.log.Debug("tripwire refused", "address", c.RemoteAddr().String(), "error", err)
			}
		})
	}
}

// takeTrip gives an accepted tripwire to its link. It answers in any case, so
// that the dialer learns which incarnation this is.
func (t *Transport) takeTrip(c *tls.Conn) error {
	ctx, cancel := context.WithTimeout(t.ctx, t.cfg.HandshakeTimeout)
	defer cancel()
	if err := c.HandshakeContext(ctx); err != nil {
		return err
	}
	d, _ := ctx.Deadline()
	_ = c.SetDeadline(d)
	aborted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)); close(aborted) })
	defer stop()
	from, to, num, err := readTripHello(c)
	if err != nil {
		return err
	}
	if _, err := c.Write(tripHello(t.cfg.Self.ID, from, num)); err != nil {
		return err
	}
	if !stop() {
		<-aborted
	}
	_ = c.SetDeadline(time.Time{})
	l := t.linkOf(from)
	if to != t.cfg.Self.ID || l == nil || l.num != num {
		if t.ctx.Err() != nil {
			sayGoodbye(c) // it finds nobody at this port when it asks again
		}
		return errors.New("asked who is here, or for a link that is not") // the dialer knows now
	}
	l.give(c)
	return nil
}

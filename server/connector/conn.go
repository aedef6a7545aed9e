package connector

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// listener bounds the number of open connections, and watches their deadlines.
type listener struct {
	net.Listener
	slots   chan struct{} // nil for no limit
	timeout time.Duration // for what is written; 0 for none
	// headLimit makes the connections plainConns with this limit, if not 0.
	headLimit int64
	done      chan struct{}
	once      sync.Once
	sweeper   sync.WaitGroup
	over      chan struct{}
	opened    time.Time    // what the times of its connections count from
	clock     atomic.Int64 // the sweeper's time, in ns since opened

	mu    sync.Mutex
	conns map[*conn]struct{} // guarded by mu
}

// sweep is how often deadlines are looked at. One that is more than twice as far
// away may so come late by as much, and costs no timer: net/http moves deadlines
// six times per request, which is as much work as parsing a small one.
const sweep = 500 * time.Millisecond

func newListener(l net.Listener, maxConns int, writeTimeout time.Duration) *listener {
	n := &listener{
		Listener: l, timeout: writeTimeout, done: make(chan struct{}), over: make(chan struct{}),
		conns: map[*conn]struct{}{}, opened: time.Now(),
	}
	if maxConns > 0 {
		n.slots = make(chan struct{}, maxConns)
	}
	n.sweeper.Go(n.watch)
	return n
}

// watch ends what is beyond its deadline, until finish.
func (l *listener) watch() {
	tick := time.NewTicker(sweep)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			now := int64(time.Since(l.opened))
			l.clock.Store(now)
			l.mu.Lock()
			for c := range l.conns {
				c.read.sweep(now, l.opened, c.Conn.SetReadDeadline)
				c.write.sweep(now, l.opened, c.Conn.SetWriteDeadline)
				c.presence.sweep(now, c.Conn)
			}
			l.mu.Unlock()
		case <-l.over:
			return
		}
	}
}

// finish ends the watch, when no connection is left that matters.
func (l *listener) finish() {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.over:
	default:
		close(l.over)
	}
}

// Accept waits for a slot first, so that connections beyond the limit wait in the
// system's queue.
func (l *listener) Accept() (net.Conn, error) {
	if l.slots != nil {
		select {
		case l.slots <- struct{}{}:
		case <-l.done:
			return nil, net.ErrClosed
		}
	}
	inner, err := l.Listener.Accept()
	if err != nil {
		l.free()
		return nil, err
	}
	c := &conn{Conn: inner, listener: l}
	l.mu.Lock()
	l.conns[c] = struct{}{}
	l.mu.Unlock()
	if l.headLimit > 0 {
		return &plainConn{conn: c, limit: l.headLimit}, nil
	}
	return c, nil
}

func (l *listener) free() {
	if l.slots != nil {
		<-l.slots
	}
}

// Close implements net.Listener. Open connections stay, and are watched.
func (l *listener) Close() error {
	l.once.Do(func() { close(l.done) })
	return l.Listener.Close()
}

// conn is a connection whose client must take what is written to it within the
// listener's timeout, however much that is, and whose deadlines are cheap to move.
type conn struct {
	net.Conn
	listener *listener
	once     sync.Once
	read     deadline
	write    deadline
	presence presence
}

// deadline is a moment until which the sweeper leaves a connection alone.
type deadline struct {
	mu  sync.Mutex
	at  int64 // guarded by mu: in ns since opened; 0 for none
	set bool  // guarded by mu: the connection below has a deadline
}

// move sets the deadline: by a timer of the connection's if it is near or past, by
// the sweeper else.
func (d *deadline) move(t, opened time.Time, below func(time.Time) error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at = 0
	if !t.IsZero() {
		if time.Until(t) < 2*sweep {
			d.set = true
			return below(t)
		}
		d.at = int64(t.Sub(opened))
	}
	if d.set {
		d.set = false
		return below(time.Time{})
	}
	return nil
}

// sweep ends what the connection waits for if the deadline has passed.
func (d *deadline) sweep(now int64, past time.Time, below func(time.Time) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.at == 0 || now < d.at {
		return
	}
	d.at, d.set = 0, true
	_ = below(past) // it fails for a connection that is closed
}

// SetReadDeadline implements net.Conn.
func (c *conn) SetReadDeadline(t time.Time) error {
	return c.read.move(t, c.listener.opened, c.Conn.SetReadDeadline)
}

// SetWriteDeadline implements net.Conn.
func (c *conn) SetWriteDeadline(t time.Time) error {
	return c.write.move(t, c.listener.opened, c.Conn.SetWriteDeadline)
}

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.once.Do(func() {
		l := c.listener
		l.mu.Lock()
		delete(l.conns, c)
		l.mu.Unlock()
		c.presence.forget()
		l.free()
	})
	return c.Conn.Close()
}

// CloseWrite lets net/http end its side first, so that a client which is still
// sending can read why it is refused.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// allow gives the client time to take what is written next. It reports whether
// there is a limit, which disallow ends.
func (c *conn) allow() (bool, error) {
	timeout := c.listener.timeout
	switch {
	case timeout <= 0:
		return false, nil
	case timeout < 4*sweep: // the sweeper's clock is too coarse
		return true, c.SetWriteDeadline(time.Now().Add(timeout))
	}
	c.write.mu.Lock()
	c.write.at = c.listener.clock.Load() + int64(timeout+sweep)
	c.write.mu.Unlock()
	return true, nil
}

// disallow ends the limit that allow has set: a connection may be idle for longer.
func (c *conn) disallow() {
	c.write.mu.Lock()
	c.write.at = 0
	c.write.mu.Unlock()
}

// Write implements net.Conn.
func (c *conn) Write(p []byte) (int, error) {
	limited, err := c.allow()
	if err != nil {
		return 0, err
	}
	n, err := c.Conn.Write(p)
	if limited {
		c.disallow()
	}
	return n, err
}

// chunk is how much of a file is handed to the kernel under one deadline: at the
// default timeout of 30 s, a client must take some 35 kB a second.
const chunk = 1 << 20

// ReadFrom implements io.ReaderFrom, so that net/http has files sent by the kernel.
func (c *conn) ReadFrom(src io.Reader) (int64, error) {
	rf, ok := c.Conn.(io.ReaderFrom)
	if !ok {
		return io.Copy(struct{ io.Writer }{c}, src)
	}
	limited, ok := src.(*io.LimitedReader)
	if !ok {
		limited = &io.LimitedReader{R: src, N: 1<<63 - 1}
	}
	defer c.disallow()
	var total int64
	for limited.N > 0 {
		if _, err := c.allow(); err != nil {
			return total, err
		}
		part := &io.LimitedReader{R: limited.R, N: min(limited.N, chunk)}
		n, err := rf.ReadFrom(part)
		total += n
		limited.N -= n
		if err != nil || part.N > 0 {
			return total, err
		}
	}
	return total, nil
}

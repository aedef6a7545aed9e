package servlet

import (
	"context"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/serval-server/serval/webapp/servlet/wire"
)

// hijacked is the client's connection that a handler has taken over (a
// WebSocket, say), carried as Data in both directions of its stream.
type hijacked struct {
	s      *wire.Stream
	remote string

	read  deadline
	write deadline

	mu   sync.Mutex // one reader at a time
	msg  wire.Msg   // guarded by mu
	rest []byte     // guarded by mu; part of msg
	eof  bool       // guarded by mu

	once sync.Once
	done chan struct{} // closed by Close
}

func newHijacked(c *call) *hijacked {
	h := &hijacked{s: c.s, remote: c.remote, done: make(chan struct{})}
	h.read.init()
	h.write.init()
	c.owned = h
	return h
}

// Read implements net.Conn.
func (h *hijacked) Read(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for len(h.rest) == 0 {
		if h.eof {
			return 0, io.EOF
		}
		m, err := h.s.Recv(h.read.context())
		if err != nil {
			return 0, h.read.explain(err)
		}
		h.eof = m.End()
		if m.Type != wire.TypeData {
			m.Free()
			continue
		}
		h.msg, h.rest = m, m.Payload
	}
	n := copy(p, h.rest)
	if h.rest = h.rest[n:]; len(h.rest) == 0 {
		size := len(h.msg.Payload)
		h.msg.Free()
		return n, h.s.Consumed(size)
	}
	return n, nil
}

// Write implements net.Conn.
func (h *hijacked) Write(p []byte) (int, error) {
	select {
	case <-h.done:
		return 0, net.ErrClosed
	default:
	}
	if err := h.s.SendData(h.write.context(), wire.FlagFlush, p); err != nil {
		return 0, h.write.explain(err)
	}
	return len(p), nil
}

// Close implements net.Conn.
func (h *hijacked) Close() error {
	h.once.Do(func() {
		_ = h.s.Send(wire.TypeEnd, wire.FlagEnd, frameOf(&wire.Response{}))
		h.read.set(time.Unix(1, 0))
		h.write.set(time.Unix(1, 0))
		close(h.done)
	})
	return nil
}

// wait waits until the application has closed the connection, or the server's
// connection has ended.
func (h *hijacked) wait() {
	select {
	case <-h.done:
	case <-h.s.Conn().Done():
	}
}

// LocalAddr implements net.Conn.
func (h *hijacked) LocalAddr() net.Addr { return clientAddr("") }

// RemoteAddr implements net.Conn; it is the client's.
func (h *hijacked) RemoteAddr() net.Addr { return clientAddr(h.remote) }

// SetDeadline implements net.Conn.
func (h *hijacked) SetDeadline(t time.Time) error {
	h.read.set(t)
	h.write.set(t)
	return nil
}

// SetReadDeadline implements net.Conn.
func (h *hijacked) SetReadDeadline(t time.Time) error { h.read.set(t); return nil }

// SetWriteDeadline implements net.Conn.
func (h *hijacked) SetWriteDeadline(t time.Time) error { h.write.set(t); return nil }

type clientAddr string

func (clientAddr) Network() string  { return "tcp" }
func (a clientAddr) String() string { return string(a) }

// deadline is a context that ends at a time which can be moved.
type deadline struct {
	mu     sync.Mutex
	ctx    context.Context         // guarded by mu
	cancel context.CancelCauseFunc // guarded by mu
	timer  *time.Timer             // guarded by mu
}

func (d *deadline) init() {
	d.ctx, d.cancel = context.WithCancelCause(context.Background())
}

func (d *deadline) context() context.Context {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ctx
}

func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	if d.ctx.Err() != nil {
		d.ctx, d.cancel = context.WithCancelCause(context.Background())
	}
	if t.IsZero() {
		return
	}
	cancel := d.cancel
	if wait := time.Until(t); wait > 0 {
		d.timer = time.AfterFunc(wait, func() { cancel(os.ErrDeadlineExceeded) })
		return
	}
	cancel(os.ErrDeadlineExceeded)
}

// explain turns a context's end into what net.Conn returns.
func (d *deadline) explain(err error) error {
	if err == os.ErrDeadlineExceeded {
		return &net.OpError{Op: "read", Net: "tcp", Err: os.ErrDeadlineExceeded}
	}
	return err
}

package wire

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// ErrClosed is what the operations of a Conn and its streams return after the
// connection has ended; errors.Is finds it under the reason.
var ErrClosed = errors.New("wire: connection closed")

const (
	// DefaultMaxStreams is Config.MaxStreams if that is 0.
	DefaultMaxStreams = 1 << 16
	// maxQueued is how many frames may wait in a stream beside the body's.
	maxQueued = 1024
	// maxQueuedBytes is how many bytes of such frames may wait in all streams.
	maxQueuedBytes = 64 << 20
)

// Config is what a Conn is made with.
type Config struct {
	// Server says that this side opens the odd streams.
	Server bool
	// Window is the credit of each direction of a stream, in bytes; 0 is
	// DefaultWindow. Both sides must have the same.
	Window int
	// MaxStreams is how many streams the peer may have open at once; 0 is
	// DefaultMaxStreams.
	MaxStreams int
	// Accept is called for a stream that the peer opens, with the frame
	// that opened it, by the goroutine that reads: it must not block. Nil
	// refuses streams.
	Accept func(*Stream, Msg)
	// Pump says that no goroutine runs Run: whoever waits for the peer
	// reads, and handles what comes, until it has what it waits for. Each
	// frame is written at once. Heard says nothing.
	Pump bool
	// ReadFrame, if set, reads instead of the connection's Read: a whole
	// frame into p. It returns the frame's length; if p is too short for it,
	// the frame stays to be read again.
	ReadFrame func(p []byte) (int, error)
	// NextID, if set, gives the numbers of streams that this side opens.
	NextID func() uint32
	// Control is called for the frames of stream 0 except Ping and Pong, by
	// the goroutine that reads. Nil refuses them.
	Control func(Msg) error
}

// Conn is one end of a worker's connection. Handshake first, then Run reads
// until the end.
type Conn struct {
	rw  io.ReadWriteCloser
	br  *bufio.Reader // nil with Config.ReadFrame
	out *Outbox
	cfg Config

	stepping bool         // a goroutine is in Read; only one does, or with Pump there is one thread
	heard    atomic.Int64 // when the peer was last heard of, in Unix nanoseconds
	over     atomic.Bool  // err is set
	queued   atomic.Int64 // bytes that wait in streams and are under no window

	mu       sync.Mutex
	streams  map[uint32]*Stream // guarded by mu
	next     uint32             // guarded by mu; the next stream this side opens
	accepted int                // guarded by mu; open streams of the peer
	err      error              // guarded by mu; why the connection has ended
	done     chan struct{}      // closed with err set
}

// NewConn makes a connection over rw, which it owns from now on.
func NewConn(rw io.ReadWriteCloser, cfg Config) *Conn {
	c := &Conn{
		rw: rw, out: NewOutbox(rw), cfg: cfg,
		streams: make(map[uint32]*Stream), next: 2, done: make(chan struct{}),
	}
	if cfg.Server {
		c.next = 1
	}
	if cfg.ReadFrame == nil {
		c.br = bufio.NewReaderSize(rw, 64<<10)
	}
	c.out.alone = cfg.Pump
	if c.cfg.Window <= 0 {
		c.cfg.Window = DefaultWindow
	}
	if c.cfg.MaxStreams <= 0 {
		c.cfg.MaxStreams = DefaultMaxStreams
	}
	c.heard.Store(time.Now().UnixNano())
	return c
}

// SetWindow replaces the window before the first stream is opened.
func (c *Conn) SetWindow(n int) {
	if n > 0 {
		c.cfg.Window = n
	}
}

// Done is closed when the connection has ended; Err then says why.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Err is why the connection has ended, or cannot be written to any more; nil
// while it can be used. It wraps ErrClosed.
func (c *Conn) Err() error {
	c.mu.Lock()
	err := c.err
	c.mu.Unlock()
	if err == nil {
		err = c.out.failure()
	}
	return err
}

// Alive reports that the connection has not ended.
func (c *Conn) Alive() bool { return !c.over.Load() }

// Heard is when a frame of the peer last arrived.
func (c *Conn) Heard() time.Time { return time.Unix(0, c.heard.Load()) }

// Open begins a stream with a frame; the payload is m's.
func (c *Conn) Open(t Type, f Flags, m Frame) (*Stream, error) {
	return c.OpenWith(t, f, m, nil, nil)
}

// OpenWith is Open with a value for Owner, and calls ready with the stream, if
// it is not nil, before the frame is sent, so before anything can arrive for it.
func (c *Conn) OpenWith(t Type, f Flags, m Frame, owner any, ready func(*Stream)) (*Stream, error) {
	s := newStream(c)
	s.owner = owner
	c.mu.Lock()
	if c.err != nil {
		defer c.mu.Unlock()
		return nil, c.err
	}
	s.id = c.nextLocked()
	c.streams[s.id] = s
	c.mu.Unlock()
	if ready != nil {
		ready(s)
	}
	if err := s.Send(t, f, m); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Owner is what OpenWith was given for an open stream, nil if there is no such
// stream.
func (c *Conn) Owner(stream uint32) any {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.streams[stream]; s != nil {
		return s.owner
	}
	return nil
}

// nextLocked is the number of the next stream that this side opens.
func (c *Conn) nextLocked() uint32 {
	if c.cfg.NextID != nil {
		return c.cfg.NextID()
	}
	for c.streams[c.next] != nil || c.next == 0 {
		c.next += 2 // wrapped round onto one that is still open
	}
	id := c.next
	c.next += 2
	return id
}

// Wait waits for a token in ready, for ctx, or for the end of the connection.
func (c *Conn) Wait(ctx context.Context, ready <-chan struct{}) error {
	if c.cfg.Pump {
		return c.pump(ctx, ready)
	}
	select {
	case <-ready:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-c.done:
		return c.Err()
	}
}

func (c *Conn) pump(ctx context.Context, ready <-chan struct{}) error {
	for {
		select {
		case <-ready:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		default:
		}
		if c.stepping {
			// Another goroutine reads: let it (there is one thread).
			runtime.Gosched()
			continue
		}
		if err := c.Step(); err != nil {
			return err
		}
	}
}

// Step reads one frame and handles it. It is what Run does again and again.
func (c *Conn) Step() error {
	c.stepping = true
	h, m, err := c.Read(MaxPayload)
	c.stepping = false
	if err == nil {
		if !c.cfg.Pump { // a guest would ask its host for the time
			c.heard.Store(time.Now().UnixNano())
		}
		err = c.route(h, m)
	}
	if err != nil {
		c.Close(err)
		return c.Err()
	}
	return nil
}

// SendControl sends a frame of stream 0.
func (c *Conn) SendControl(t Type, m Frame) error { return c.send(t, 0, 0, m) }

// Ping asks the peer to say something; Heard tells when it did. It never waits.
func (c *Conn) Ping() {
	f := NewFrame()
	putHeader(f.buf.b, Header{Type: TypePing})
	c.out.trySend(f.buf.b)
	f.buf.free()
}

func (c *Conn) send(t Type, f Flags, stream uint32, m Frame) error {
	if m.buf == nil {
		m = NewFrame()
	}
	n := m.Len()
	if n > MaxPayload {
		return fmt.Errorf("wire: %s frame of %d bytes, at most %d are allowed", t, n, MaxPayload)
	}
	putHeader(m.buf.b, Header{Length: uint32(n), Type: t, Flags: f, Stream: stream})
	err := c.out.Send(m.buf.b)
	m.buf.free()
	if err != nil {
		if e := c.Err(); e != nil {
			return e
		}
	}
	return err
}

// Read returns the next frame of any stream, for the greeting before Run. limit
// is the longest payload that is accepted.
func (c *Conn) Read(limit int) (Header, Msg, error) {
	if c.cfg.ReadFrame != nil {
		return c.readFrame(limit)
	}
	head, err := c.br.Peek(HeaderLen)
	if err != nil {
		if len(head) > 0 && errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return Header{}, Msg{}, err
	}
	h, err := ParseHeader(head)
	if err != nil {
		return h, Msg{}, err
	}
	if err := h.within(limit); err != nil {
		return h, Msg{}, err
	}
	_, _ = c.br.Discard(HeaderLen) // they are buffered
	m := Msg{Type: h.Type, Flags: h.Flags}
	if m.buf, err = c.readPayload(int(h.Length)); err != nil {
		return h, Msg{}, err
	}
	m.Payload = m.buf.b
	return h, m, nil
}

// readFrame is Read with Config.ReadFrame.
func (c *Conn) readFrame(limit int) (Header, Msg, error) {
	p := getBuffer(classes[0])
	n, err := c.cfg.ReadFrame(p.b)
	if err == nil && n > len(p.b) {
		p.free()
		if n > HeaderLen+MaxPayload {
			return Header{}, Msg{}, fmt.Errorf("wire: frame of %d bytes, at most %d are allowed", n, HeaderLen+MaxPayload)
		}
		p = getBuffer(n)
		n, err = c.cfg.ReadFrame(p.b)
	}
	if err != nil {
		return Header{}, Msg{}, err
	}
	p.b = p.b[:n]
	h, payload, whole, err := ParseFrame(p.b)
	if err == nil && (whole == 0 || whole != n) {
		err = fmt.Errorf("wire: %d bytes are not one frame", n)
	}
	if err == nil {
		err = h.within(limit)
	}
	return h, Msg{Type: h.Type, Flags: h.Flags, Payload: payload, buf: p}, err
}

// readPayload reads n bytes, and allocates for a large n only as they arrive.
func (c *Conn) readPayload(n int) (*buffer, error) {
	const step = 1 << 20
	p := getBuffer(min(n, step))
	if _, err := io.ReadFull(c.br, p.b); err != nil {
		return nil, unexpected(err)
	}
	for len(p.b) < n {
		from := len(p.b)
		p.b = append(p.b, make([]byte, min(n-from, max(step, from)))...)
		if _, err := io.ReadFull(c.br, p.b[from:]); err != nil {
			return nil, unexpected(err)
		}
	}
	return p, nil
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Run reads frames until the connection ends, ends it, and returns why. The
// error of a peer that closed the connection between two frames is io.EOF.
func (c *Conn) Run() error {
	for {
		if err := c.Step(); err != nil {
			return err
		}
	}
}

// route brings a frame to whom it is for. An error is a peer's that breaks the
// protocol.
func (c *Conn) route(h Header, m Msg) error {
	if h.Stream == 0 {
		return c.routeControl(m)
	}
	if h.Type.opens() {
		return c.accept(h, m)
	}
	c.mu.Lock()
	s := c.streams[h.Stream]
	c.mu.Unlock()
	if s == nil {
		// The stream has ended here; the peer did not know yet.
		m.Free()
		return nil
	}
	return s.receive(m)
}

func (c *Conn) accept(h Header, m Msg) error {
	if (h.Stream%2 == 1) == c.cfg.Server {
		return fmt.Errorf("wire: %s opens stream %d, which is not the peer's to open", h.Type, h.Stream)
	}
	if c.cfg.Accept == nil {
		return fmt.Errorf("wire: unexpected %s", h.Type)
	}
	s := newStream(c)
	s.id, s.theirs = h.Stream, true
	c.mu.Lock()
	if c.streams[s.id] != nil {
		c.mu.Unlock()
		return fmt.Errorf("wire: %s opens stream %d, which is open", h.Type, h.Stream)
	}
	c.accepted++
	n := c.accepted
	c.streams[s.id] = s
	c.mu.Unlock()
	if n > c.cfg.MaxStreams {
		return fmt.Errorf("wire: more than %d streams are open", c.cfg.MaxStreams)
	}
	c.cfg.Accept(s, m)
	return nil
}

func (c *Conn) routeControl(m Msg) error {
	switch m.Type {
	case TypePing:
		f := NewFrame()
		f = f.Set(append(f.Bytes(), m.Payload[:min(len(m.Payload), 64)]...))
		putHeader(f.buf.b, Header{Length: uint32(f.Len()), Type: TypePong})
		c.out.trySend(f.buf.b)
		f.buf.free()
		m.Free()
		return nil
	case TypePong:
		m.Free()
		return nil
	}
	if c.cfg.Control == nil {
		return fmt.Errorf("wire: unexpected %s on stream 0", m.Type)
	}
	return c.cfg.Control(m)
}

// Close ends the connection and all its streams. The first reason counts. It
// waits for goroutines that are writing.
func (c *Conn) Close(reason error) {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return
	}
	if reason == nil {
		c.err = ErrClosed
	} else {
		c.err = fmt.Errorf("%w: %w", ErrClosed, reason)
	}
	c.over.Store(true)
	err := c.err
	streams := make([]*Stream, 0, len(c.streams))
	for _, s := range c.streams {
		streams = append(streams, s)
	}
	c.mu.Unlock()
	_ = c.rw.Close() // what it would say is less than the reason
	for _, s := range streams {
		s.fail(err)
	}
	close(c.done)
	c.out.Close(err)
}

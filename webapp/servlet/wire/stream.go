package wire

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// Stream is one conversation within a connection: a request, an event, an
// initialisation or a dispatch. It ends when the side that did not open it has
// sent a frame with FlagEnd (or End); the opener's FlagEnd only ends the body
// that it sends. Whoever uses a Stream calls Close at last.
//
// Body bytes (Data) are under a credit window: SendData waits for credit, and
// the receiver grants it with Consumed when the bytes have gone on. All other
// frames are few, and limited in number.
type Stream struct {
	c      *Conn
	id     uint32
	theirs bool // opened by the peer
	owner  any  // see Conn.Owner

	handler Handler // see Handle

	mu     sync.Mutex
	queue  []Msg         // guarded by mu
	head   int           // guarded by mu; first element of queue
	other  int           // guarded by mu; frames in queue that are not Data
	credit int           // guarded by mu; body bytes that may be sent
	room   int           // guarded by mu; body bytes that may be received
	owed   int           // guarded by mu; consumed, but not yet granted
	asked  bool          // guarded by mu; the peer wants the body that this side sends
	err    error         // guarded by mu
	ready  chan struct{} // one token: queue, asked or err has changed; made under mu by the first who waits
	grant  chan struct{} // one token: credit or err has changed; made under mu by the first who waits
}

func newStream(c *Conn) *Stream {
	return &Stream{c: c, credit: c.cfg.Window, room: c.cfg.Window}
}

// ID is the stream's number.
func (s *Stream) ID() uint32 { return s.id }

// Conn is the connection that the stream is a part of.
func (s *Stream) Conn() *Conn { return s.c }

// Handler is told of some things that happen to a stream, by the goroutine that
// reads, so its methods must not block.
type Handler interface {
	// Canceled is called for a Cancel.
	Canceled()
	// Replied is called for a Reply, which it frees.
	Replied(Msg)
	// Failed is called when the connection ends while the stream is open.
	Failed(error)
}

// Handle sets the stream's handler. Without one, Cancel and Reply go into the
// queue. It is called in Accept, before anything else can arrive.
func (s *Stream) Handle(h Handler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handler = h
}

// Send sends a frame other than Data.
func (s *Stream) Send(t Type, f Flags, m Frame) error { return s.c.send(t, f, s.id, m) }

// SendData sends body bytes, in as many frames as needed, waiting for credit.
// The flags go with the last one; no bytes with FlagEnd or FlagFlush are an
// empty frame.
func (s *Stream) SendData(ctx context.Context, f Flags, p []byte) error {
	for {
		n, err := s.reserve(ctx, min(len(p), MaxData))
		if err != nil {
			return err
		}
		flags := Flags(0)
		if n == len(p) {
			flags = f
		}
		frame := NewFrame()
		frame = frame.Set(append(frame.Bytes(), p[:n]...))
		if err := s.Send(TypeData, flags, frame); err != nil {
			return err
		}
		if p = p[n:]; len(p) == 0 {
			return nil
		}
	}
}

// reserve takes up to want bytes of credit; it waits for at least one.
func (s *Stream) reserve(ctx context.Context, want int) (int, error) {
	for {
		s.mu.Lock()
		n := min(want, s.credit)
		if s.err != nil {
			defer s.mu.Unlock()
			return 0, s.err
		}
		if n > 0 || want == 0 {
			s.credit -= n
			s.mu.Unlock()
			return n, nil
		}
		if s.grant == nil {
			s.grant = make(chan struct{}, 1)
		}
		grant := s.grant
		s.mu.Unlock()
		if err := s.c.Wait(ctx, grant); err != nil {
			return 0, err
		}
	}
}

// Credit is how many body bytes may be sent now.
func (s *Stream) Credit() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.credit
}

// Spend takes n bytes of credit for a body that goes with a Response's head,
// and reports whether there were as many.
func (s *Stream) Spend(n int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.credit < n {
		return false
	}
	s.credit -= n
	return true
}

// Consumed says that n body bytes have been used up, so that the peer may send
// as many more. Small amounts are saved up.
func (s *Stream) Consumed(n int) error {
	s.mu.Lock()
	s.owed += n
	owed := s.owed
	if owed < s.c.cfg.Window/4 || owed == 0 {
		s.mu.Unlock()
		return nil
	}
	s.owed = 0
	s.room += owed
	s.mu.Unlock()
	f := NewFrame()
	return s.Send(TypeWindow, 0, f.Set(appendUint(f.Bytes(), uint64(owed))))
}

// Ask tells the peer that the body which it has to send is wanted now. It is a
// Window of 0 bytes: who sends a request's body does not read it from the client
// before somebody wants it (RFC 9110 §10.1.1, Expect: 100-continue).
func (s *Stream) Ask() error {
	f := NewFrame()
	return s.Send(TypeWindow, 0, f.Set(appendUint(f.Bytes(), 0)))
}

// Asked reports whether the peer has asked for the body. When it does, Ready
// gets a token.
func (s *Stream) Asked() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// Cancel tells the peer that its answer is no longer wanted. It never waits.
func (s *Stream) Cancel() {
	f := NewFrame()
	putHeader(f.buf.b, Header{Type: TypeCancel, Stream: s.id})
	s.c.out.trySend(f.buf.b)
	f.buf.free()
}

// Recv returns the next frame of the stream. Window frames are not among them,
// nor what Handle has taken. The error is the connection's end or ctx's cause.
func (s *Stream) Recv(ctx context.Context) (Msg, error) {
	for {
		if m, ok, err := s.TryRecv(); ok || err != nil {
			return m, err
		}
		if err := s.c.Wait(ctx, s.Ready()); err != nil && !errors.Is(err, ErrClosed) {
			return Msg{}, err
		}
	}
}

// TryRecv is Recv without waiting; ok is false if there is no frame.
func (s *Stream) TryRecv() (m Msg, ok bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.head < len(s.queue) {
		m = s.queue[s.head]
		s.queue[s.head] = Msg{}
		s.head++
		if s.head == len(s.queue) {
			s.queue, s.head = s.queue[:0], 0
		}
		if !m.isBody() {
			s.other--
			s.c.queued.Add(-int64(len(m.Payload)))
		}
		return m, true, nil
	}
	return Msg{}, false, s.err
}

// Ready has a token when something may have arrived since the last TryRecv.
func (s *Stream) Ready() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ready == nil {
		s.ready = make(chan struct{}, 1)
		if s.head < len(s.queue) || s.asked || s.err != nil {
			s.ready <- struct{}{}
		}
	}
	return s.ready
}

// errEnded is what is left to say of a stream after Close.
var errEnded = errors.New("wire: the stream is closed")

// Close takes the stream out of the connection's table and frees what is in its
// queue. What the peer still sends for it is dropped.
func (s *Stream) Close() {
	c := s.c
	c.mu.Lock()
	if c.streams[s.id] == s {
		delete(c.streams, s.id)
		if s.theirs {
			c.accepted--
		}
	}
	c.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := s.head; i < len(s.queue); i++ {
		if m := &s.queue[i]; !m.isBody() {
			c.queued.Add(-int64(len(m.Payload)))
		}
		s.queue[i].Free()
	}
	s.queue, s.head, s.other = nil, 0, 0
	if s.err == nil {
		s.err = errEnded
	}
}

// receive takes a frame from the goroutine that reads.
func (s *Stream) receive(m Msg) error {
	switch m.Type {
	case TypeWindow:
		return s.receiveWindow(m)
	case TypeCancel:
		if s.handler != nil {
			m.Free()
			s.handler.Canceled()
			return nil
		}
	case TypeReply:
		if s.handler != nil {
			s.handler.Replied(m)
			return nil
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		m.Free()
		return nil
	}
	if m.isBody() {
		if s.room -= len(m.Payload); s.room < 0 {
			return fmt.Errorf("wire: stream %d was sent %d bytes more than its window", s.id, -s.room)
		}
		if s.joinLocked(m) {
			return nil
		}
	} else if err := s.countLocked(m); err != nil {
		return err
	}
	s.queue = append(s.queue, m)
	signal(s.ready)
	return nil
}

// countLocked keeps frames that are under no window within bounds.
func (s *Stream) countLocked(m Msg) error {
	if s.other++; s.other > maxQueued {
		return fmt.Errorf("wire: more than %d frames wait in stream %d", maxQueued, s.id)
	}
	if s.c.queued.Add(int64(len(m.Payload))) > maxQueuedBytes {
		return fmt.Errorf("wire: more than %d bytes of frames wait", maxQueuedBytes)
	}
	return nil
}

// joinLocked adds a piece of a body to the one that waits last, if there is
// room in its buffer, so that many small pieces do not cost a buffer each.
func (s *Stream) joinLocked(m Msg) bool {
	if s.head == len(s.queue) {
		return false
	}
	last := &s.queue[len(s.queue)-1]
	if !last.isBody() || last.Flags&FlagEnd != 0 || cap(last.buf.b)-len(last.buf.b) < len(m.Payload) {
		return false
	}
	last.buf.b = append(last.buf.b, m.Payload...)
	last.Payload = last.buf.b
	last.Flags |= m.Flags
	m.Free()
	return true
}

func (s *Stream) receiveWindow(m Msg) error {
	d := NewDecoder(m.Payload)
	n := d.Uint()
	err := d.finish()
	m.Free()
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if n == 0 {
		s.asked = true
		signal(s.ready)
		return nil
	}
	if n > uint64(s.c.cfg.Window) || s.credit+int(n) > s.c.cfg.Window {
		return fmt.Errorf("wire: stream %d was granted more than its window", s.id)
	}
	s.credit += int(n)
	signal(s.grant)
	return nil
}

// fail ends the stream because the connection has ended.
func (s *Stream) fail(err error) {
	s.mu.Lock()
	if s.err == nil {
		s.err = err
	}
	signal(s.ready)
	signal(s.grant)
	h := s.handler
	s.mu.Unlock()
	if h != nil {
		h.Failed(err)
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

package wire

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
)

// pair returns two ends that run, and ends them with the test.
func pair(t *testing.T, server, worker Config) (*Conn, *Conn) {
	t.Helper()
	a, b := net.Pipe()
	server.Server = true
	s, w := NewConn(a, server), NewConn(b, worker)
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.Run() })
	wg.Go(func() { _ = w.Run() })
	t.Cleanup(func() {
		s.Close(nil)
		w.Close(nil)
		wg.Wait()
	})
	return s, w
}

func frameOf(p string) Frame {
	f := NewFrame()
	return f.Set(append(f.Bytes(), p...))
}

func TestOneFrameEachWay(t *testing.T) {
	s, _ := pair(t, Config{}, Config{Accept: func(st *Stream, m Msg) {
		go func() {
			defer st.Close()
			_ = st.Send(TypeResponse, FlagEnd, frameOf("echo "+string(m.Payload)))
			m.Free()
		}()
	}})
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			st, err := s.Open(TypeInvoke, FlagEnd, frameOf("hello"))
			if err != nil {
				t.Error(err)
				return
			}
			defer st.Close()
			m, err := st.Recv(t.Context())
			if err != nil || string(m.Payload) != "echo hello" || !m.End() {
				t.Errorf("%q %v", m.Payload, err)
			}
			m.Free()
		})
	}
	wg.Wait()
}

func TestSlowReaderBoundsTheWriter(t *testing.T) {
	const window, total = 64 << 10, 1 << 20
	sent := make(chan error, 1)
	stalled := make(chan struct{})
	var once sync.Once
	s, _ := pair(t, Config{Window: window}, Config{Window: window, Accept: func(st *Stream, m Msg) {
		m.Free()
		go func() {
			body := bytes.Repeat([]byte("x"), 16<<10)
			var err error
			for n := 0; n < total && err == nil; n += len(body) {
				if st.Credit() == 0 {
					once.Do(func() { close(stalled) })
				}
				err = st.SendData(context.Background(), 0, body)
			}
			if err == nil {
				err = st.SendData(context.Background(), FlagEnd, nil)
			}
			sent <- err
		}()
	}})
	st, err := s.Open(TypeInvoke, FlagEnd, NewFrame())
	if err != nil {
		t.Fatal(err)
	}
	<-stalled // the writer waits although nobody has read
	got := 0
	for {
		m, err := st.Recv(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got += len(m.Payload)
		end, n := m.End(), len(m.Payload)
		m.Free()
		if err := st.Consumed(n); err != nil {
			t.Fatal(err)
		}
		if end {
			break
		}
	}
	if err := <-sent; err != nil || got != total {
		t.Fatalf("%d bytes of %d, %v", got, total, err)
	}
}

func TestPeerBeyondItsWindowLosesTheConnection(t *testing.T) {
	a, b := net.Pipe()
	c := NewConn(a, Config{Server: true, Window: 1024})
	ended := make(chan error, 1)
	go func() { ended <- c.Run() }()
	go func() { _, _ = io.Copy(io.Discard, b) }()
	if _, err := c.Open(TypeInvoke, FlagEnd, NewFrame()); err != nil {
		t.Fatal(err)
	}
	_, _ = b.Write(AppendFrame(nil, TypeData, 0, 1, make([]byte, 1025)))
	if err := <-ended; !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
	_ = b.Close()
}

func TestBadFramesEndTheConnection(t *testing.T) {
	for name, frame := range map[string][]byte{
		"too long":        {255, 255, 255, 255, 33, 0, 0, 0, 0, 1},
		"not its parity":  AppendFrame(nil, TypeDispatch, 0, 3, nil),
		"not accepted":    AppendFrame(nil, TypeDispatch, 0, 2, nil),
		"control":         AppendFrame(nil, TypeLog, 0, 0, nil),
		"opens twice":     AppendFrame(nil, TypeDispatch, 0, 1, nil),
		"cut":             {0, 0, 0, 9, 33, 0},
		"window overflow": AppendFrame(nil, TypeWindow, 0, 1, []byte{1}),
		"bad window":      AppendFrame(nil, TypeWindow, 0, 1, nil),
	} {
		t.Run(name, func(t *testing.T) {
			a, b := net.Pipe()
			c := NewConn(a, Config{Server: true})
			ended := make(chan error, 1)
			go func() { ended <- c.Run() }()
			go func() { _, _ = io.Copy(io.Discard, b) }()
			st, err := c.Open(TypeInvoke, FlagEnd, NewFrame())
			if err != nil {
				t.Fatal(err)
			}
			_, _ = b.Write(frame)
			_ = b.Close()
			if err := <-ended; !errors.Is(err, ErrClosed) || err == nil {
				t.Fatal(err)
			}
			if _, err := st.Recv(t.Context()); !errors.Is(err, ErrClosed) {
				t.Fatal("the stream goes on:", err)
			}
		})
	}
}

func TestStaleFramesAreDropped(t *testing.T) {
	s, w := pair(t, Config{}, Config{Accept: func(st *Stream, m Msg) { m.Free() }})
	st, err := s.Open(TypeInvoke, FlagEnd, NewFrame())
	if err != nil {
		t.Fatal(err)
	}
	st.Close()
	for _, typ := range []Type{TypeData, TypeWindow, TypeCall, TypeEnd} {
		if err := w.send(typ, 0, st.ID(), frameOf("late")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Open(TypeInvoke, FlagEnd, NewFrame()); err != nil || s.Err() != nil {
		t.Fatal(err, s.Err())
	}
}

// FuzzConn: whatever a peer sends, the connection ends without a panic and
// its streams end with it.
func FuzzConn(f *testing.F) {
	f.Add(AppendFrame(nil, TypeResponse, FlagEnd, 1, (&Response{Status: 200}).Append(nil)))
	f.Add(AppendFrame(AppendFrame(nil, TypeData, 0, 1, []byte("x")), TypeWindow, 0, 1, []byte{5}))
	f.Add(AppendFrame(nil, TypeDispatch, 0, 2, (&Dispatch{Parent: 1, Path: "/"}).Append(nil)))
	f.Fuzz(func(t *testing.T, data []byte) {
		rw := &script{Reader: bytes.NewReader(data)}
		c := NewConn(rw, Config{Server: true, Accept: func(s *Stream, m Msg) { m.Free() }, Control: func(m Msg) error { m.Free(); return nil }})
		st, err := c.Open(TypeInvoke, 0, NewFrame())
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Run(); !errors.Is(err, ErrClosed) {
			t.Fatal(err)
		}
		for {
			m, err := st.Recv(context.Background())
			if err != nil {
				break
			}
			m.Free()
		}
		st.Close()
		if n := c.queued.Load(); n < 0 {
			t.Fatalf("%d bytes are accounted for", n)
		}
	})
}

type script struct{ io.Reader }

func (*script) Write(p []byte) (int, error) { return len(p), nil }
func (*script) Close() error                { return nil }

func BenchmarkRoundTrip(b *testing.B) {
	x, y := net.Pipe()
	s := NewConn(x, Config{Server: true})
	w := NewConn(y, Config{Accept: func(st *Stream, m Msg) {
		go func() {
			m.Free()
			_ = st.Send(TypeResponse, FlagEnd, frameOf("ok"))
			st.Close()
		}()
	}})
	go func() { _ = s.Run() }()
	go func() { _ = w.Run() }()
	defer s.Close(nil)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			st, err := s.Open(TypeInvoke, FlagEnd, frameOf("request"))
			if err != nil {
				b.Error(err)
				return
			}
			m, err := st.Recv(context.Background())
			if err != nil {
				b.Error(err)
				return
			}
			m.Free()
			st.Close()
		}
	})
}

// What a guest reads, its host gives it a frame at a time.
func TestReadFrame(t *testing.T) {
	long := bytes.Repeat([]byte("x"), 3*classes[0])
	for _, c := range []struct {
		name  string
		frame []byte
		want  string // the payload; "" is an error
	}{
		{"short", AppendFrame(nil, TypeInvoke, 0, 1, []byte("hello")), "hello"},
		{"longer than the first buffer", AppendFrame(nil, TypeInvoke, 0, 1, long), string(long)},
		{"longer than its payload", append(AppendFrame(nil, TypeInvoke, 0, 1, []byte("hello")), 0), ""},
		{"cut", AppendFrame(nil, TypeInvoke, 0, 1, []byte("hello"))[:HeaderLen+2], ""},
		{"nothing", nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got string
			conn := NewConn(discard{}, Config{
				Pump:      true,
				ReadFrame: func(p []byte) (int, error) { copy(p, c.frame); return len(c.frame), nil },
				Accept:    func(s *Stream, m Msg) { got = string(m.Payload); m.Free(); s.Close() },
			})
			if err := conn.Step(); (err == nil) != (c.want != "") || got != c.want {
				t.Errorf("%d bytes, error %v; want %d bytes", len(got), err, len(c.want))
			}
		})
	}
}

// discard takes what is written and has nothing to read.
type discard struct{}

func (discard) Read([]byte) (int, error)    { return 0, io.EOF }
func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) Close() error                { return nil }

// Whoever waits for the first time sees what has come before.
func TestReadyHasATokenForWhatHasCome(t *testing.T) {
	s := newStream(NewConn(discard{}, Config{}))
	s.queue = append(s.queue, Msg{Type: TypeEnd})
	select {
	case <-s.Ready():
	default:
		t.Error("a frame waits, and nothing is ready")
	}
	if _, ok, _ := s.TryRecv(); !ok {
		t.Error("the frame is not there")
	}
	select {
	case <-s.Ready():
		t.Error("nothing waits, and something is ready")
	default:
	}
}

func TestHeaderCountOfMoreThanOneByte(t *testing.T) {
	h := map[string][]string{"Many": make([]string, 300), "One": {"x"}}
	if got := NewDecoder(appendHeaders([]byte{}, h)).Headers(); len(got["Many"]) != 300 || got.Get("One") != "x" {
		t.Errorf("got %d values and %q", len(got["Many"]), got.Get("One"))
	}
}

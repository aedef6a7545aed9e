package conformance

import (
	"strings"
	"sync"
	"time"

	"github.com/serval-server/serval/webapp/servlet/wire"
)

// greeting: what HELLO says is what the suite needs, and a PING is answered.
func (p *peer) greeting() {
	for _, name := range []string{"hello", "count", "read"} {
		if !p.offers(name) {
			p.t.Errorf("HELLO does not offer a servlet %q", name)
		}
	}
	before := p.conn.Heard()
	p.conn.Ping()
	for end := time.Now().Add(patience); !p.conn.Heard().After(before); {
		if time.Now().After(end) {
			p.t.Fatal("PING was not answered")
		}
		time.Sleep(time.Millisecond)
	}
}

// requests: one frame each way, again and again.
func (p *peer) requests() {
	for range 20 {
		p.wantText(p.get("hello", "", nil), "hello")
	}
}

// sessions: a session is made when there is none; what a request has changed
// comes with its answer; what the server sends is what the application sees.
func (p *peer) sessions() {
	a := p.get("count", "", nil)
	p.wantText(a, "1")
	p.wantChange(a, []byte{1})
	s := &wire.Session{
		ID: "known", Created: time.Now(), LastAccessed: time.Now(), MaxInactive: time.Hour,
		Attrs: []wire.Attr{
			{Name: "a", Version: wire.Version{Epoch: 1, Node: 1, Clock: 1}, Value: []byte{0x61, 'x'}},
			{Name: "large", Version: wire.Version{Epoch: 1, Node: 1, Clock: 1}, Mode: wire.OnDemand},
			{Name: "n", Version: wire.Version{Epoch: 1, Node: 2, Clock: 1 << 60}, Value: []byte{0x18, 99}},
		},
	}
	a = p.get("count", "", s)
	p.wantText(a, "100")
	p.wantChange(a, []byte{0x18, 100})
}

func (p *peer) wantChange(a answer, value []byte) {
	p.t.Helper()
	if a.Changes == nil {
		p.t.Fatal("the answer has no changes")
	}
	for _, c := range a.Changes.Attrs {
		if c.Name == "n" && !c.Remove && string(c.Value) == string(value) {
			return
		}
	}
	p.t.Fatalf("changes %+v, want n = % x", a.Changes.Attrs, value)
}

// bodies: with the INVOKE, in DATA frames when asked for, ended by a flag or by
// END, and empty.
func (p *peer) bodies() {
	m := p.invocation("read", "")
	m.Request.Method, m.Request.ContentLength, m.Body = "POST", 5, []byte("12345")
	p.wantText(p.collect(p.open(wire.TypeInvoke, wire.FlagEnd, m), nil), "5")
	p.wantText(p.get("read", "", nil), "0")
	for _, byFlag := range []bool{true, false} {
		m := p.invocation("read", "")
		m.Request.Method, m.Request.ContentLength = "POST", -1
		s := p.open(wire.TypeInvoke, 0, m)
		p.awaitAsked(s)
		if err := s.SendData(p.context(), 0, make([]byte, 1000)); err != nil {
			p.t.Fatal(err)
		}
		if byFlag {
			if err := s.SendData(p.context(), wire.FlagEnd, make([]byte, 234)); err != nil {
				p.t.Fatal(err)
			}
			p.wantText(p.collect(s, nil), "1234")
			continue
		}
		if err := s.Send(wire.TypeEnd, wire.FlagEnd, frame(&wire.Response{})); err != nil {
			p.t.Fatal(err)
		}
		p.wantText(p.collect(s, nil), "1000")
	}
}

func (p *peer) awaitAsked(s *wire.Stream) {
	p.t.Helper()
	for end := time.Now().Add(patience); !s.Asked(); {
		if time.Now().After(end) {
			p.t.Fatal("the worker did not ask for the body (WINDOW 0)")
		}
		time.Sleep(time.Millisecond)
	}
}

// windows: a body of many windows goes up, which needs credit; and comes down,
// within the credit (the connection ends if it is exceeded).
func (p *peer) windows() {
	m := p.invocation("read", "")
	m.Request.Method, m.Request.ContentLength = "POST", 10*window
	s := p.open(wire.TypeInvoke, 0, m)
	p.awaitAsked(s)
	if err := s.SendData(p.context(), wire.FlagEnd, make([]byte, 10*window)); err != nil {
		p.t.Fatalf("sending 10 windows: %v", err)
	}
	p.wantText(p.collect(s, nil), number(10*window))
	if !p.offers("big") {
		return
	}
	a := p.get("big", number(10*window), nil)
	if len(a.body) != 10*window {
		p.t.Fatalf("got %d bytes, want %d", len(a.body), 10*window)
	}
	// Nobody takes this one; others are served all the same.
	p.open(wire.TypeInvoke, wire.FlagEnd, p.invocation("big", number(10*window)))
	p.wantText(p.get("hello", "", nil), "hello")
}

// staleFrames: what belongs to a stream that is over does no harm.
func (p *peer) staleFrames() {
	s := p.open(wire.TypeInvoke, wire.FlagEnd, p.invocation("hello", ""))
	p.wantText(p.collect(s, nil), "hello")
	s.Cancel()
	if err := s.SendData(p.context(), wire.FlagEnd, []byte("late")); err != nil {
		p.t.Fatal(err)
	}
	p.wantText(p.get("hello", "", nil), "hello")
}

// unknownThings: a segment that was never made is a failure of the request
// alone; extensions are ignored.
func (p *peer) unknownThings() {
	m := p.invocation("hello", "")
	m.Segment = 1 << 20
	a := p.collect(p.open(wire.TypeInvoke, wire.FlagEnd, m), nil)
	if a.Failure == nil {
		p.t.Error("a segment that was never made answered")
	}
	m = p.invocation("hello", "")
	m.Extra = []wire.Named{{Name: "x-of-the-future", Value: []byte("1")}}
	p.wantText(p.collect(p.open(wire.TypeInvoke, wire.FlagEnd, m), nil), "hello")
}

// concurrency: many requests at once, each with its own answer.
func (p *peer) concurrency() {
	var wg sync.WaitGroup
	streams := make([]*wire.Stream, 50)
	for i := range streams {
		m := p.invocation("read", "")
		m.Body = []byte(strings.Repeat("x", i))
		m.Request.ContentLength = int64(i)
		streams[i] = p.open(wire.TypeInvoke, wire.FlagEnd, m)
	}
	answers := make([]string, len(streams))
	for i, s := range streams {
		wg.Go(func() {
			m, err := s.Recv(p.context())
			if err != nil {
				return
			}
			var r wire.Response
			if r.Decode(m.Payload) == nil {
				answers[i] = string(r.Body)
			}
			m.Free()
		})
	}
	wg.Wait()
	for i, a := range answers {
		if a != number(i) {
			p.t.Errorf("request %d was answered with %q", i, a)
		}
	}
}

// end: a worker ends with its connection, with status 0.
func (p *peer) end() {
	p.init(&wire.Init{Op: wire.InitDestroy})
	if err := p.conn.SendControl(wire.TypeStop, wire.Frame{}); err != nil {
		p.t.Fatal(err)
	}
	p.conn.Close(nil)
	select {
	case err := <-p.p.Exited:
		if err != nil {
			p.t.Errorf("the worker ended with %v, want status 0", err)
		}
	case <-time.After(patience):
		p.t.Error("the worker did not end with its connection")
	}
}

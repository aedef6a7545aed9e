package transport

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"testing"

	"github.com/serval-server/serval/cluster/replica"
	"github.com/serval-server/serval/cluster/wire"
)

func TestUpdatesAndAcks(t *testing.T) {
	a, b := pair(t, nil)
	const sessions, each = 50, 20
	for n := 1; n <= each; n++ {
		for i := range sessions {
			a.Send(2, item(1, i, n, []byte{1, byte(n)}))
			b.Send(1, item(2, sessions+i, n, []byte{2, byte(n)}))
		}
	}
	for _, n := range []*node{a, b} {
		n.wait(t, "updates and acknowledgements", func() bool { return n.count == sessions*each && n.ackCount == sessions*each })
	}
	eventually(t, "counting", func() bool { return a.Stats().Peers[0].MessagesIn == 2*sessions*each })
	s := a.Stats().Peers[0]
	if s.MessagesOut != 2*sessions*each || s.MessagesIn != 2*sessions*each || s.BatchesOut >= s.MessagesOut || s.Dropped != 0 || s.Reconnects != 0 {
		t.Errorf("statistics %+v", s)
	}
	if s.Queue != 0 || s.RTT == 0 || !s.Connected || s.PacketsOut == 0 || s.BytesIn == 0 {
		t.Errorf("statistics %+v", s)
	}
}

func TestLanesAndBulk(t *testing.T) {
	a, b := pair(t, func(c *Config, n *node) {
		c.Lanes = 4
		if c.Self.ID == 2 {
			c.Lanes = 3
		}
	})
	big := bytes.Repeat([]byte("0123456789abcdef"), 64<<10) // one batch of its own
	for i := range 64 {
		u, _ := update(1, i, 1, append([]byte{byte(i)}, big[:i*1000]...))
		a.Send(2, wire.NewItem(testApp, 0, u, i%2 == 0))
	}
	u, _ := update(1, 1000, 1, big)
	a.Send(2, wire.NewItem(testApp, 0, u, false))
	u, _ = update(1, 1001, 1, big)
	a.Send(2, wire.NewItem(testApp, 0, u, true))
	a.wait(t, "acknowledgements", func() bool { return a.ackCount == 66 })
	if n := len(a.up2(t, 2).lanes); n != 3 {
		t.Errorf("%d lanes, want the smaller number of both, 3", n)
	}
	_ = b
}

func (n *node) up2(t *testing.T, id replica.NodeID) *link {
	t.Helper()
	l := n.Transport.up(id)
	if l == nil {
		t.Fatal("no link")
	}
	return l
}

func TestControl(t *testing.T) {
	got := make(chan wire.Frame, 4)
	a, b := pair(t, func(c *Config, n *node) { n.control = func(f wire.Frame) { got <- f } })
	if !a.Transport.Control(2, wire.Ping{Seq: 42}) || !b.Transport.Control(1, wire.Leaving{Reason: "drained"}) {
		t.Fatal("not connected")
	}
	for range 2 {
		switch f := (<-got).(type) {
		case wire.Ping:
			if f.Seq != 42 {
				t.Errorf("%+v", f)
			}
		case wire.Leaving:
			if f.Reason != "drained" {
				t.Errorf("%+v", f)
			}
		default:
			t.Errorf("%T", f)
		}
	}
	if a.Transport.Control(3, wire.Ping{}) {
		t.Error("a frame to nobody was taken")
	}
}

func TestStreams(t *testing.T) {
	a, b := pair(t, nil)
	go func() {
		for {
			c, err := b.Streams().Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	if _, err := a.OpenStream(context.Background(), 9); !errors.Is(err, ErrNotConnected) {
		t.Errorf("stream to nobody: %v", err)
	}
	for range 50 {
		c, err := a.OpenStream(context.Background(), 2)
		if err != nil {
			t.Fatal(err)
		}
		if p, ok := PeerOf(c); !ok || p.Name != "b" {
			t.Errorf("peer %+v", p)
		}
		want := bytes.Repeat([]byte("serval"), 10000)
		go func() {
			_, _ = c.Write(want)
			_ = c.(interface{ CloseWrite() error }).CloseWrite()
		}()
		got, err := io.ReadAll(c)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%d bytes came back, error %v", len(got), err)
		}
		c.Close()
	}
	if _, ok := PeerOf(&net.TCPConn{}); ok {
		t.Error("a TCP connection has a peer")
	}
}

func TestCloseSaysGoodbye(t *testing.T) {
	a, b := pair(t, nil)
	for i := range 100 {
		b.Send(1, item(2, i, 1, []byte("last words")))
	}
	b.stop(t)
	a.wait(t, "goodbye", func() bool { return a.up[2] == 0 })
	if !errors.Is(a.reasons[0], ErrLeft) || a.crashed[2] != 0 || a.count != 100 {
		t.Errorf("reasons %v, crashed %v, %d updates", a.reasons, a.crashed, a.count)
	}
	if !errors.Is(b.reasons[0], ErrClosed) {
		t.Errorf("reasons %v", b.reasons)
	}
}

package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/serval-server/serval/cluster/replica"
	"github.com/serval-server/serval/cluster/wire"
)

// cut breaks the link under its users, as a network does.
func (n *node) cut(t *testing.T, id replica.NodeID) {
	t.Helper()
	_ = n.up2(t, id).live.CloseWithError(codeFailed, "cut by the test")
}

func TestReconnect(t *testing.T) {
	a, b := pair(t, nil)
	for round := 2; round <= 4; round++ {
		n := []*node{a, b}[round%2]
		n.cut(t, 3-n.id)
		for _, n := range []*node{a, b} {
			n.wait(t, "new link", func() bool { return n.connected == round && n.up[3-n.id] == 1 })
		}
		// What is sent now starts with new tables on both sides.
		a.Send(2, item(1, round, 1, []byte("hello again")))
		a.wait(t, "acknowledgement", func() bool { return a.ackCount == round-1 })
	}
	if s := a.Stats().Peers[0]; s.Reconnects != 3 || s.MessagesOut != 3 {
		t.Errorf("statistics %+v", s)
	}
	if a.crashed[2]+b.crashed[1] != 0 {
		t.Error("a cut link is no crash")
	}
}

// TestNothingLostWhileConnected: all that was sent after Connected, on a link
// that stays, arrives, from any number of goroutines and in order per session.
func TestNothingLostWhileConnected(t *testing.T) {
	a, b := pair(t, func(c *Config, _ *node) { c.Lanes = 2 })
	const senders, each = 8, 400
	var wg sync.WaitGroup
	for s := range senders {
		wg.Go(func() {
			for n := 1; n <= each; n++ {
				a.Send(2, item(1, s, n, []byte(fmt.Sprint(s, n))))
				b.Send(1, item(2, 100+s, n, []byte(fmt.Sprint(s, n))))
			}
		})
	}
	wg.Wait()
	for _, n := range []*node{a, b} {
		n.wait(t, "everything", func() bool { return n.count == senders*each && n.ackCount == senders*each })
	}
}

// TestAcknowledgedOnlyWhenApplied is invariant I14: while the Handler has not
// received all of a batch, the sender hears nothing of it, and sends no more.
func TestAcknowledgedOnlyWhenApplied(t *testing.T) {
	inside, release := make(chan replica.Message, 100), make(chan struct{})
	a, b := pair(t, func(c *Config, n *node) {
		c.AckDeadline = time.Hour
		if c.Self.ID == 2 {
			n.receive = func(from replica.NodeID, m replica.Message) {
				inside <- m
				<-release
				n.Send(from, ackOf(m.(*replica.Update), 0))
			}
		}
	})
	defer sync.OnceFunc(func() { close(release) })()
	a.Send(2, item(1, 1, 1, []byte("first")))
	<-inside // the batch is being applied
	for i := 2; i <= 20; i++ {
		a.Send(2, item(1, i, 1, []byte("later")))
	}
	ln := a.up2(t, 2).lanes[0]
	if acked, flying := ln.progress(); acked != 0 || !flying {
		t.Errorf("%d batches are acknowledged before one was applied", acked)
	}
	b.mu.Lock()
	if b.count != 1 {
		t.Errorf("%d updates came, want only the first batch", b.count)
	}
	b.mu.Unlock()
	if a.Transport.Queued(2) == 0 {
		t.Error("nothing is queued behind an unacknowledged batch")
	}
	release <- struct{}{}
	for range 19 {
		<-inside
		release <- struct{}{}
	}
	a.wait(t, "acknowledgements", func() bool { return a.ackCount == 20 })
	if s := a.Stats().Peers[0]; s.BatchesOut != 2 {
		t.Errorf("%d batches, want the first and one of all that queued behind it", s.BatchesOut)
	}
}

func TestSlowPeerLagsAndCatchesUp(t *testing.T) {
	release := make(chan struct{})
	a, b := pair(t, func(c *Config, n *node) {
		c.AckDeadline = 40 * time.Millisecond
		if c.Self.ID == 2 {
			n.receive = func(from replica.NodeID, m replica.Message) {
				<-release
				n.Send(from, ackOf(m.(*replica.Update), 0))
			}
		}
	})
	free := sync.OnceFunc(func() { close(release) })
	defer free()
	a.Send(2, item(1, 1, 1, []byte("stuck")))
	a.wait(t, "lagging", func() bool { return a.lagging[2] })
	for i := range 100 {
		a.Send(2, item(1, i+2, 1, []byte("dropped")))
	}
	if q := a.Transport.Queued(2); q != 0 {
		t.Errorf("%d bytes wait for a peer that lags", q)
	}
	free()
	a.wait(t, "catching up", func() bool { return !a.lagging[2] && a.lags == 1 })
	a.Send(2, item(1, 500, 1, []byte("after")))
	b.wait(t, "the update after", func() bool { return b.got[sessionID(500)] == 1 })
	if s := a.Stats().Peers[0]; s.Dropped != 100 || s.Reconnects != 0 {
		t.Errorf("statistics %+v", s)
	}
}

func TestQueueIsBounded(t *testing.T) {
	release := make(chan struct{})
	const most = 1 << 20
	a, b := pair(t, func(c *Config, n *node) {
		c.AckDeadline = time.Hour
		c.MaxQueue = most
		c.MaxBatch = 64 << 10
		if c.Self.ID == 2 {
			n.receive = func(replica.NodeID, replica.Message) { <-release }
		}
	})
	free := sync.OnceFunc(func() { close(release) })
	defer free()
	value := make([]byte, 10<<10)
	for i := range value {
		value[i] = byte(i * i >> 3)
	}
	for i := range 3000 {
		u, _ := update(1, i, 1, value)
		a.Send(2, wire.NewItem(testApp, 0, u, i%2 == 0))
		if q := a.Transport.Queued(2); q > most+64<<10 {
			t.Fatalf("%d bytes are queued, %d allowed", q, most)
		}
	}
	a.wait(t, "lagging", func() bool { return a.lagging[2] })
	free()
	a.wait(t, "catching up", func() bool { return !a.lagging[2] })
	b.wait(t, "what had left", func() bool { return b.count > 0 })
	if s := a.Stats().Peers[0]; s.Dropped == 0 || int(s.MessagesOut) >= 3000 {
		t.Errorf("statistics %+v", s)
	}
}

// TestBulkWindow: what is on the way on the bulk lane and not processed is
// bounded, and does not hold up the live lanes.
func TestBulkWindow(t *testing.T) {
	inside, release := make(chan struct{}, 1000), make(chan struct{})
	a, b := pair(t, func(c *Config, n *node) {
		c.MaxBatch, c.BulkWindow = 8<<10, 32<<10
		if c.Self.ID == 2 {
			n.receive = func(from replica.NodeID, m replica.Message) {
				if u := m.(*replica.Update); len(u.Delta.Ops[0].Value.Bytes) > 100 {
					inside <- struct{}{}
					<-release
				}
			}
		}
	})
	free := sync.OnceFunc(func() { close(release) })
	defer free()
	for i := range 200 {
		value := make([]byte, 4<<10) // of its own: an item keeps it
		value[0] = byte(i)
		u, _ := update(1, i, 1, value)
		a.Send(2, wire.NewItem(testApp, 0, u, true))
	}
	<-inside
	a.Send(2, item(1, 1000, 1, []byte("live")))
	b.wait(t, "a live update beside bulk", func() bool { return b.got[sessionID(1000)] == 1 })
	bulk := a.up2(t, 2).bulkLane
	bulk.mu.Lock()
	if bulk.inFlight > 32<<10+16<<10 {
		t.Errorf("%d bytes on the way, the window is %d", bulk.inFlight, 32<<10)
	}
	bulk.mu.Unlock()
	free()
	b.wait(t, "all of bulk", func() bool { return b.count == 201 })
}

func TestForget(t *testing.T) {
	a, b := pair(t, nil)
	b.Forget(1)
	a.Forget(2)
	for _, n := range []*node{a, b} {
		n.wait(t, "end of the link", func() bool { return n.up[3-n.id] == 0 })
		if !errors.Is(n.reasons[0], ErrForgotten) {
			t.Errorf("reason %v", n.reasons[0])
		}
	}
	a.Send(2, item(1, 1, 1, nil)) // to nobody
	b.Dial(a.self())
	a.wait(t, "link that the other wants", func() bool { return a.up[2] == 1 })
}

func TestUnknownPeerIsAccepted(t *testing.T) {
	ca := newAuthority(t)
	a, b := start(t, ca, 1, "a", nil), start(t, ca, 2, "b", func(c *Config, _ *node) { c.Self.Zone = "east" })
	b.Dial(a.self()) // the one with the higher number, and a knows nothing of b
	a.wait(t, "link", func() bool { return a.up[2] == 1 })
	if p := a.Stats().Peers[0].Peer; p.Name != "b" || p.Zone != "east" || p.Address != b.Addr() {
		t.Errorf("peer %+v", p)
	}
	b.stop(t)
	a.wait(t, "goodbye", func() bool { return a.up[2] == 0 })
	eventually(t, "forgetting who was not asked for", func() bool { return len(a.Stats().Peers) == 0 })
}

// TestSimultaneousDial: both dial at the same moment, again and again; one link
// comes of it.
func TestSimultaneousDial(t *testing.T) {
	ca := newAuthority(t)
	a, b := start(t, ca, 1, "a", nil), start(t, ca, 2, "b", nil)
	for round := 1; round <= 5; round++ {
		a.mu.Lock()
		seenA := a.connected
		a.mu.Unlock()
		var wg sync.WaitGroup
		for _, n := range []*node{a, b} {
			other := map[*node]*node{a: b, b: a}[n]
			n.Transport.mu.Lock()
			x := n.peerLocked(other.self())
			n.Transport.mu.Unlock()
			wg.Go(func() { _ = x.dial() }) // serves the link if it becomes one
		}
		a.wait(t, "link", func() bool { return a.connected > seenA && a.up[2] == 1 })
		b.wait(t, "link", func() bool { return b.up[1] == 1 })
		a.Send(2, item(1, round, 1, []byte("x")))
		a.wait(t, "acknowledgement", func() bool { return a.ackCount == round })
		a.Forget(2)
		a.Transport.up(2).closeIf(ErrForgotten)
		wg.Wait()
		for _, n := range []*node{a, b} {
			n.wait(t, "end", func() bool { return n.up[3-n.id] == 0 })
		}
	}
}

// closeIf closes a link that may be gone.
func (l *link) closeIf(err error) {
	if l != nil {
		l.close(err)
	}
}

func TestOtherIncarnation(t *testing.T) {
	ca := newAuthority(t)
	a := start(t, ca, 1, "a", nil)
	b := start(t, ca, 7, "b", nil)
	old := b.self()
	old.ID = 2 // who was there before
	a.Dial(old)
	a.wait(t, "crash of the former incarnation", func() bool { return a.crashed[2] == 1 })
	if a.connected != 0 {
		t.Error("connected to the wrong one")
	}
}

// TestRestartWithoutTripwire: where TCP does not come through, a process that has
// started again says that the connections of the one before are void.
func TestRestartWithoutTripwire(t *testing.T) {
	ca := newAuthority(t)
	conf := ca.tls(t, "b")
	cert := &conf.Certificates[0]
	conf.Certificates = nil // as package identity has it
	conf.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return cert, nil }
	conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }
	on := func(addr string) (net.PacketConn, func(*Config, *node)) {
		udp, err := net.ListenPacket("udp", addr)
		if err != nil {
			t.Fatal(err)
		}
		return udp, func(c *Config, _ *node) { c.PacketConn, c.TLS = udp, conf }
	}
	a := start(t, ca, 1, "a", nil)
	udp, change := on("127.0.0.1:0")
	b := start(t, ca, 2, "b", change)
	a.Dial(b.self())
	a.wait(t, "link", func() bool { return a.up[2] == 1 })
	udp.Close() // no goodbye
	_, change = on(b.Addr())
	start(t, ca, 3, "b", change)
	for i := 0; ; i++ {
		a.Send(2, item(1, i, 1, []byte("are you there?")))
		a.mu.Lock()
		gone := len(a.reasons) > 0
		a.mu.Unlock()
		if gone {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	var reset *quic.StatelessResetError
	if !errors.As(a.reasons[0], &reset) {
		t.Errorf("reason %v", a.reasons[0])
	}
	a.wait(t, "the former incarnation's end", func() bool { return a.crashed[2] == 1 })
}

func TestCloseWithoutPeers(t *testing.T) {
	ca := newAuthority(t)
	a := start(t, ca, 1, "a", nil)
	a.Dial(Peer{ID: 9, Name: "nobody", Address: "127.0.0.1:1"})
	a.Dial(Peer{ID: 1, Name: "a", Address: a.Addr()}) // itself
	a.Dial(Peer{})
	if err := a.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if err := a.Close(context.Background()); err != nil {
		t.Error("second close:", err)
	}
	a.Dial(Peer{ID: 9, Name: "nobody", Address: "127.0.0.1:1"})
	if _, err := a.Streams().Accept(); err == nil {
		t.Error("accepted after close")
	}
}

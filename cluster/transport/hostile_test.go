package transport

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/serval-server/serval/cluster/wire"
)

// stranger dials a node with whatever TLS configuration.
func stranger(t *testing.T, n *node, conf *tls.Config) (*quic.Conn, error) {
	t.Helper()
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tr := &quic.Transport{Conn: udp}
	t.Cleanup(func() { _ = tr.Close(); _ = udp.Close() })
	addr, err := net.ResolveUDPAddr("udp", n.Addr())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := tr.Dial(ctx, addr, conf, &quic.Config{})
	if err == nil {
		t.Cleanup(func() { _ = c.CloseWithError(0, "") })
	}
	return c, err
}

// closed waits until the node has closed the connection and returns why.
func closed(t *testing.T, c *quic.Conn) error {
	t.Helper()
	select {
	case <-c.Context().Done():
		return context.Cause(c.Context())
	case <-time.After(patience):
		t.Fatal("the connection stays open")
		return nil
	}
}

func TestStrangersGetNowhere(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	a := start(t, ca, 1, "a", nil)
	trusting := func(c *tls.Config) *tls.Config {
		c.InsecureSkipVerify = true
		c.NextProtos = []string{protoPeer}
		return c
	}
	for name, conf := range map[string]*tls.Config{
		"no certificate":  trusting(&tls.Config{}),
		"another CA's":    trusting(other.tls(t, "b")),
		"no protocol":     {InsecureSkipVerify: true, Certificates: ca.tls(t, "b").Certificates, NextProtos: []string{"h3"}},
		"only TLS 1.2":    {InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12, NextProtos: []string{protoPeer}},
		"gossip, no cert": {InsecureSkipVerify: true, NextProtos: []string{protoGossip}},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := stranger(t, a, conf)
			if err == nil {
				err = closed(t, c) // the client is done before the server has seen its certificate
			}
			var te *quic.TransportError
			if !errors.As(err, &te) && !strings.Contains(err.Error(), "tls") {
				t.Errorf("error %v", err)
			}
		})
	}
	t.Run("node of another CA", func(t *testing.T) {
		b := start(t, other, 2, "b", nil)
		b.Dial(a.self())
		x := b.Transport.peer(1)
		if err := x.dial(); err == nil || errors.Is(err, errDuplicate) {
			// The loop may be dialing; then its error is as good.
			eventually(t, "giving up", func() bool { return !x.linked() })
		}
		if a.connected+b.connected != 0 {
			t.Error("connected")
		}
	})
	if s := a.Stats(); len(s.Peers) != 0 {
		t.Errorf("peers %+v", s.Peers)
	}
}

// TestHellosThatAreRefused: the certificate is good, what is said is not.
func TestHellosThatAreRefused(t *testing.T) {
	ca := newAuthority(t)
	a := start(t, ca, 1, "a", nil)
	good := wire.Hello{MinVersion: wire.MinVersion, MaxVersion: wire.Version, Node: 2, Cluster: "test", Name: "b", Lanes: 1, MaxBatch: maxFrame}
	hello := func(change func(*wire.Hello)) []byte {
		h := good
		change(&h)
		return wire.AppendFrame(append([]byte{streamControl}, 0, 0, 0, 0, 0, 0, 0, 1), h)
	}
	for name, c := range map[string]struct {
		first []byte
		code  quic.ApplicationErrorCode
		text  string
	}{
		"another name":       {hello(func(h *wire.Hello) { h.Name = "c" }), codeRefused, `its certificate is "b"'s`},
		"another cluster":    {hello(func(h *wire.Hello) { h.Cluster = "prod" }), codeRefused, `cluster "prod"`},
		"later versions":     {hello(func(h *wire.Hello) { h.MinVersion, h.MaxVersion = wire.Version+1, wire.Version+2 }), codeRefused, "version"},
		"no number":          {hello(func(h *wire.Hello) { h.Node = 0 }), codeRefused, "node number 0"},
		"this node's number": {hello(func(h *wire.Hello) { h.Node = 1 }), codeRefused, "node number 1"},
		"bulk alone":         {hello(func(h *wire.Hello) { h.Bulk = true }), codeMalformed, "without a link"},
		"not a hello":        {wire.AppendFrame([]byte{streamControl, 0, 0, 0, 0, 0, 0, 0, 1}, wire.Ping{Seq: 1}), codeMalformed, "not a hello"},
		"another stream":     {[]byte("GET / HTTP/1.1\r\n\r\n"), codeMalformed, "kind 71"},
		"long frame":         {append(hello(func(*wire.Hello) {})[:10], 0xff, 0xff, 0xff, 0xff, 0x7f), 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := stranger(t, a, clientTLS(ca.tls(t, "b"), protoPeer))
			if err != nil {
				t.Fatal(err)
			}
			s, err := conn.OpenStream()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Write(c.first); err != nil {
				t.Fatal(err)
			}
			var e *quic.ApplicationError
			if err := closed(t, conn); !errors.As(err, &e) || !e.Remote {
				t.Fatalf("error %v", err)
			}
			if c.code != 0 && e.ErrorCode != c.code || !strings.Contains(e.ErrorMessage, c.text) {
				t.Errorf("closed with %d %q, want %d and %q", e.ErrorCode, e.ErrorMessage, c.code, c.text)
			}
		})
	}
	a.note(func() {
		if a.connected != 0 {
			t.Error("connected")
		}
	})
	t.Run("another's number", func(t *testing.T) {
		b := start(t, ca, 2, "b", nil)
		a.Dial(b.self())
		a.wait(t, "link", func() bool { return a.up[2] == 1 })
		liar := start(t, ca, 2, "liar", nil)
		liar.Dial(a.self())
		eventually(t, "being turned away", func() bool { return liar.Transport.peer(1) != nil && !liar.Transport.peer(1).linked() })
		a.note(func() {
			if a.connected != 1 || a.up[2] != 1 {
				t.Errorf("%d links, reasons %v", a.connected, a.reasons)
			}
		})
		liar.note(func() {
			if liar.connected != 0 {
				t.Errorf("the liar has %d links", liar.connected)
			}
		})
	})
}

// TestSilentStrangers: who has a certificate and says nothing is shown the door.
func TestSilentStrangers(t *testing.T) {
	ca := newAuthority(t)
	a := start(t, ca, 1, "a", func(c *Config, _ *node) { c.HandshakeTimeout = 50 * time.Millisecond })
	conn, err := stranger(t, a, clientTLS(ca.tls(t, "b"), protoPeer))
	if err != nil {
		t.Fatal(err)
	}
	_ = closed(t, conn)
	tcp, err := net.Dial("tcp", a.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	_ = tcp.SetReadDeadline(time.Now().Add(patience))
	if _, err := io.Copy(io.Discard, tcp); errors.Is(err, context.DeadlineExceeded) {
		t.Error("the connection stays open")
	}
}

// TestMalformedFrames: an authenticated peer that sends nonsense loses its
// link, with an error that says why; nothing else happens.
func TestMalformedFrames(t *testing.T) {
	a, b := pair(t, nil)
	frame := func(flags uint64, body string) []byte {
		return append(binary.AppendUvarint(nil, uint64(len(body))<<2|flags), body...)
	}
	round := 0
	for name, c := range map[string]struct {
		where func(*link) *quic.Stream
		bytes []byte
	}{
		"endless length":     {lane0, bytes.Repeat([]byte{0xff}, 20)},
		"length over limit":  {lane0, binary.AppendUvarint(nil, (maxFrame+1)<<2)},
		"unasked ack":        {lane0, []byte{ackOnly}},
		"nonsense in batch":  {lane0, frame(flagGated, "\xff\xff\xff\xff nonsense")},
		"nonsense on bulk":   {func(l *link) *quic.Stream { return l.bulkLane.stream }, frame(flagGated, "\xff\xff\xff\xff")},
		"nonsense, control":  {func(l *link) *quic.Stream { return l.control.stream }, bytes.Repeat([]byte{0xff}, 64)},
		"frame cut off, end": {lane0, []byte{200, 1, 1}},
	} {
		round++
		s := c.where(b.up2(t, 1))
		if _, err := s.Write(c.bytes); err != nil {
			t.Fatal(name, err)
		}
		_ = s.Close()
		a.wait(t, name+": end of the link", func() bool { return len(a.reasons) >= round })
		a.wait(t, name+": new link", func() bool { return a.up[2] == 1 && a.connected == round+1 })
		b.wait(t, name+": new link", func() bool { return b.up[1] == 1 && b.connected == round+1 })
		if err := a.reasons[round-1]; name != "frame cut off, end" && !strings.Contains(name, "control") && !errors.Is(err, errMalformed) {
			t.Errorf("%s: reason %v", name, err)
		}
		a.Send(2, item(1, round, 1, []byte("still well")))
		a.wait(t, name+": acknowledgement", func() bool { return a.ackCount == round })
	}
	if a.Stats().Malformed == 0 {
		t.Error("nothing is counted as malformed")
	}
}

func lane0(l *link) *quic.Stream { return l.lanes[0].stream }

// TestGarbageOnThePort: datagrams and connections of strangers leave a link alone.
func TestGarbageOnThePort(t *testing.T) {
	a, b := pair(t, func(c *Config, _ *node) { c.HandshakeTimeout = 200 * time.Millisecond })
	udp, err := net.Dial("udp", a.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	junk := make([]byte, 1400)
	for i := range 2000 {
		_, _ = rand.Read(junk)
		switch i % 4 {
		case 0:
			junk[0] = gossipByte
		case 1:
			junk[0] = 0xc0 // an Initial of QUIC version 1, as far as it goes
			binary.BigEndian.PutUint32(junk[1:], 1)
		case 2:
			junk[0] = 0x40
		}
		_, _ = udp.Write(junk[:1+i%1400])
	}
	for i := range 50 {
		tcp, err := net.Dial("tcp", a.Addr())
		if err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			_, _ = tcp.Write(junk)
		}
		tcp.Close()
	}
	// A handshake that stops in the middle, and one whose hello is nonsense.
	half, err := net.Dial("tcp", a.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer half.Close()
	_, _ = half.Write([]byte{22, 3, 1, 0, 200, 1})
	for i := range 20 {
		a.Send(2, item(1, i, 1, []byte("x")))
		b.Send(1, item(2, 100+i, 1, []byte("x")))
	}
	for _, n := range []*node{a, b} {
		n.wait(t, "the same link", func() bool { return n.ackCount == 20 && n.connected == 1 && len(n.crashed) == 0 })
	}
}

func TestNonsenseOnTripwire(t *testing.T) {
	ca := newAuthority(t)
	a := start(t, ca, 1, "a", nil)
	for _, hello := range [][]byte{bytes.Repeat([]byte{'x'}, wireSize), tripHello(2, 1, 99), tripHello(2, 77, 0)} {
		c, err := tls.Dial("tcp", a.Addr(), clientTLS(ca.tls(t, "b"), protoTripwire))
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(patience))
		if _, err := c.Write(hello); err != nil {
			t.Fatal(err)
		}
		answer, _ := io.ReadAll(bufio.NewReader(c))
		if hello[0] == 'x' {
			if len(answer) > 0 {
				t.Errorf("answer to nonsense: %q", answer)
			}
		} else if from, to, _, err := readTripHello(bytes.NewReader(answer)); err != nil || from != 1 || to != 2 {
			t.Errorf("answer %q: from %d to %d, error %v", answer, from, to, err)
		}
		c.Close()
	}
}

// TestHandshakesAreLimited: what has not shown a certificate takes a place, and
// there are only so many.
func TestHandshakesAreLimited(t *testing.T) {
	ca := newAuthority(t)
	a := start(t, ca, 1, "a", func(c *Config, _ *node) { c.MaxHandshakes, c.HandshakeTimeout = 4, time.Hour })
	var idle []net.Conn
	for range 4 {
		c, err := net.Dial("tcp", a.Addr())
		if err != nil {
			t.Fatal(err)
		}
		idle = append(idle, c)
	}
	eventually(t, "taking all places", func() bool { return a.door.busy(nil) })
	c, err := net.Dial("tcp", a.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetReadDeadline(time.Now().Add(patience))
	if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the fifth is not turned away: %v", err)
	}
	if _, err := stranger(t, a, clientTLS(ca.tls(t, "b"), protoPeer)); err == nil {
		t.Error("QUIC does not count")
	}
	for _, c := range idle {
		c.Close()
	}
	// A second packet of the hello that was refused may have taken a place since.
	eventually(t, "giving places back", func() bool { return !a.door.busy(nil) })
	if _, err := stranger(t, a, clientTLS(ca.tls(t, "b"), protoPeer)); err != nil {
		t.Error("nobody gets in any more:", err)
	}
	if a.Stats().Refused < 2 {
		t.Errorf("%d refused", a.Stats().Refused)
	}
}

// TestHandshakesGiveBack: who is known takes no place any more, long before the
// time for handshakes is over.
func TestHandshakesGiveBack(t *testing.T) {
	ca := newAuthority(t)
	a := start(t, ca, 1, "a", func(c *Config, _ *node) { c.HandshakeTimeout = time.Hour })
	for range 3 {
		if _, err := stranger(t, a, clientTLS(ca.tls(t, "b"), protoPeer)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "giving the last place back", func() bool { a.door.mu.Lock(); defer a.door.mu.Unlock(); return a.door.flying == 0 })
}

func TestAdmission(t *testing.T) {
	now := time.Unix(1000, 0)
	d := newAdmission(1 << 20)
	d.now = func() time.Time { return now }
	from := func(i int) net.Addr {
		return &net.UDPAddr{IP: net.IPv4(10, byte(i>>16), byte(i>>8), byte(i))}
	}
	passed := func(a net.Addr, tries int) (n int) {
		for range tries {
			if leave, err := d.enter(a, true); err == nil {
				n++
				leave()
				leave() // twice is as good as once
			}
		}
		return n
	}
	if n := passed(from(1), 1000); n != addressBurst {
		t.Errorf("%d handshakes at once, want %d", n, addressBurst)
	}
	if n := passed(&net.TCPAddr{IP: net.ParseIP("::ffff:10.0.0.1")}, 10); n != 0 {
		t.Errorf("%d more by another notation", n)
	}
	if n := passed(from(2), 1); n != 1 {
		t.Error("another address suffers")
	}
	now = now.Add(time.Second)
	if n := passed(from(1), 1000); n != addressRate {
		t.Errorf("%d handshakes a second later, want %d", n, addressRate)
	}
	for i := range 2 * maxAddresses {
		passed(from(i+10), 1)
	}
	if len(d.buckets) > maxAddresses {
		t.Errorf("%d addresses are remembered", len(d.buckets))
	}
	now = now.Add(time.Minute)
	if n := passed(from(1<<20), 1); n != 1 || len(d.buckets) != 1 {
		t.Errorf("after a minute: %d passed, %d remembered", n, len(d.buckets))
	}
	if leave, err := d.enter(from(1), false); err != nil {
		t.Error("an address that may be anybody's was held to its rate")
	} else {
		leave()
	}
	if d.flying != 0 {
		t.Errorf("%d in flight", d.flying)
	}
}

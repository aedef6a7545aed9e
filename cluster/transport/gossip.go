package transport

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/quic-go/quic-go"
)

// gossipByte is before each of membership's packets: the two highest bits of a
// QUIC packet's first byte are never both zero (RFC 9000 §17.2, §17.3).
const gossipByte = 0x01

const (
	gossipQueue  = 1024 // packets that wait for membership; more are dropped
	maxPacket    = 1500
	gossipConns  = 64 // connections to nodes that are not linked (yet)
	gossipStream = 16 // streams that wait for membership
)

// gossip is memberlist's transport on the same port. Packets are datagrams
// beside QUIC's, which memberlist encrypts; streams are those of the bulk
// connection of a link or, to an address that is not linked, of a connection of
// their own that ends when it is idle.
type gossip struct {
	t       *Transport
	packets chan *memberlist.Packet
	streams chan net.Conn

	addrs                     sync.Map // string to *net.UDPAddr
	known                     atomic.Int64
	in, out, dropped, foreign atomic.Uint64

	mu    sync.Mutex
	conns map[string]*quic.Conn // guarded by mu
}

var _ memberlist.NodeAwareTransport = (*gossip)(nil)

func newGossip(t *Transport) *gossip {
	return &gossip{
		t: t, packets: make(chan *memberlist.Packet, gossipQueue), streams: make(chan net.Conn, gossipStream),
		conns: map[string]*quic.Conn{},
	}
}

// readLoop takes packets off QUIC's short queue.
func (g *gossip) readLoop() {
	buf := make([]byte, maxPacket)
	for {
		n, from, err := g.t.quic.ReadNonQUICPacket(g.t.ctx, buf)
		if err != nil {
			return
		}
		if n < 2 || buf[0] != gossipByte {
			g.foreign.Add(1)
			continue
		}
		p := &memberlist.Packet{Buf: append([]byte(nil), buf[1:n]...), From: from, Timestamp: time.Now()}
		select {
		case g.packets <- p:
			g.in.Add(1)
		default:
			g.dropped.Add(1)
		}
	}
}

// FinalAdvertiseAddr is the transport's address, unless memberlist was
// configured with another one.
func (g *gossip) FinalAdvertiseAddr(ip string, port int) (net.IP, int, error) {
	self, err := net.ResolveUDPAddr("udp", g.t.Addr())
	if err != nil {
		return nil, 0, err
	}
	if ip == "" {
		return self.IP, self.Port, nil
	}
	a := net.ParseIP(ip)
	if a == nil {
		return nil, 0, fmt.Errorf("%q is no IP address", ip)
	}
	if port == 0 {
		port = self.Port
	}
	return a, port, nil
}

// WriteTo sends a packet.
func (g *gossip) WriteTo(b []byte, addr string) (time.Time, error) {
	a, err := g.resolve(addr)
	if err != nil {
		return time.Time{}, err
	}
	g.out.Add(1)
	_, err = g.t.quic.WriteTo(append(append(make([]byte, 0, len(b)+1), gossipByte), b...), a)
	return time.Now(), err
}

// WriteToAddress sends a packet.
func (g *gossip) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	return g.WriteTo(b, a.Addr)
}

// resolve remembers addresses, which memberlist passes as text.
func (g *gossip) resolve(addr string) (*net.UDPAddr, error) {
	if a, ok := g.addrs.Load(addr); ok {
		return a.(*net.UDPAddr), nil
	}
	a, err := net.ResolveUDPAddr("udp", addr)
	if err != nil {
		return nil, err
	}
	if _, _, err := net.SplitHostPort(addr); err == nil && a.String() == addr { // names may change
		if g.known.Add(1) > maxAddresses {
			g.addrs.Clear()
			g.known.Store(0)
		}
		g.addrs.Store(addr, a)
	}
	return a, nil
}

// PacketCh is where packets arrive.
func (g *gossip) PacketCh() <-chan *memberlist.Packet { return g.packets }

// StreamCh is where streams arrive.
func (g *gossip) StreamCh() <-chan net.Conn { return g.streams }

// DialTimeout opens a stream to whatever node has that address.
func (g *gossip) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return g.dial(addr, "", timeout)
}

// DialAddressTimeout opens a stream to a node, if it is known which: memberlist
// calls nodes by name and number, NAME#NUMBER.
func (g *gossip) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	name, _, _ := strings.Cut(a.Name, "#")
	return g.dial(a.Addr, name, timeout)
}

// dial opens a stream to an address where the node of that name is; empty if
// any will do.
func (g *gossip) dial(addr, name string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(g.t.ctx, timeout)
	defer cancel()
	a, err := net.ResolveUDPAddr("udp", addr)
	if err != nil {
		return nil, err
	}
	for _, x := range *g.t.peers.Load() {
		if l := x.up.Load(); l != nil && l.bulk.RemoteAddr().String() == a.String() && (name == "" || x.name() == name) {
			return l.openStream(ctx, streamGossip)
		}
	}
	c, err := g.conn(ctx, a)
	if err != nil {
		return nil, err
	}
	if is, err := g.t.cfg.PeerName(c.ConnectionState().TLS); name != "" && (err != nil || is != name) {
		return nil, fmt.Errorf("%s is the address of %q, not of %q", addr, is, name)
	}
	s, err := c.OpenStreamSync(ctx)
	if err != nil {
		return nil, err
	}
	return &Stream{Stream: s, conn: c, first: []byte{streamGossip}}, nil
}

// conn is a connection of membership's own.
func (g *gossip) conn(ctx context.Context, a *net.UDPAddr) (*quic.Conn, error) {
	key := a.String()
	g.mu.Lock()
	for k, c := range g.conns {
		if c.Context().Err() != nil {
			delete(g.conns, k)
		}
	}
	c, n := g.conns[key], len(g.conns)
	g.mu.Unlock()
	switch {
	case c != nil:
		return c, nil
	case n >= gossipConns:
		return nil, fmt.Errorf("more than %d connections of membership", gossipConns)
	}
	conf := g.t.cfg.quic()
	conf.KeepAlivePeriod = 0
	c, err := g.t.quic.Dial(ctx, a, clientTLS(g.t.cfg.TLS, protoGossip), conf)
	if err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.conns[key] = c
	return c, nil
}

// serve takes the streams of a connection of membership's own.
func (g *gossip) serve(c *quic.Conn) {
	var wg sync.WaitGroup
	defer wg.Wait()
	defer func() { _ = c.CloseWithError(codeClosed, "") }()
	l := &link{bulk: c, p: &peer{info: Peer{Address: c.RemoteAddr().String()}}}
	for {
		s, err := c.AcceptStream(g.t.ctx)
		if err != nil {
			return
		}
		wg.Go(func() { g.t.takeStream(l, s) })
	}
}

// put gives a stream to membership if it takes it soon.
func (g *gossip) put(s *Stream) bool {
	select {
	case g.streams <- s:
		return true
	default:
		g.dropped.Add(1)
		return false
	}
}

// Shutdown does nothing: the transport closes the port.
func (g *gossip) Shutdown() error { return nil }

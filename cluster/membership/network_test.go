package membership

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/memberlist"
)

// network is a network in memory, whose links can be cut.
type network struct {
	mu   sync.Mutex
	at   map[string]*endpoint
	cuts map[[2]string]bool // from, to
}

// endpoint is a node's transport.
type endpoint struct {
	net     *network
	addr    netip.AddrPort
	packets chan *memberlist.Packet
	streams chan net.Conn
	once    sync.Once
}

func newNetwork() *network { return &network{at: map[string]*endpoint{}, cuts: map[[2]string]bool{}} }

func (n *network) open(addr string) *endpoint {
	e := &endpoint{net: n, addr: netip.MustParseAddrPort(addr), packets: make(chan *memberlist.Packet, 1024), streams: make(chan net.Conn, 64)}
	n.mu.Lock()
	n.at[addr] = e
	n.mu.Unlock()
	return e
}

// cut cuts or mends the links between an address and others, in both directions.
func (n *network) cut(cut bool, addr string, others ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, o := range others {
		n.cuts[[2]string{addr, o}], n.cuts[[2]string{o, addr}] = cut, cut
	}
}

func (n *network) peer(from, to string) *endpoint {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cuts[[2]string{from, to}] {
		return nil
	}
	return n.at[to]
}

func (e *endpoint) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return e.addr.Addr().AsSlice(), int(e.addr.Port()), nil
}

func (e *endpoint) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	now := time.Now()
	if p := e.net.peer(e.addr.String(), a.Addr); p != nil {
		if len(b) > 1200 {
			return now, fmt.Errorf("a packet of %d bytes", len(b))
		}
		select {
		case p.packets <- &memberlist.Packet{Buf: append([]byte(nil), b...), From: net.UDPAddrFromAddrPort(e.addr), Timestamp: now}:
		default: // as UDP
		}
	}
	return now, nil
}

func (e *endpoint) WriteTo(b []byte, addr string) (time.Time, error) {
	return e.WriteToAddress(b, memberlist.Address{Addr: addr})
}

func (e *endpoint) PacketCh() <-chan *memberlist.Packet { return e.packets }
func (e *endpoint) StreamCh() <-chan net.Conn           { return e.streams }

func (e *endpoint) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	p := e.net.peer(e.addr.String(), a.Addr)
	if p == nil {
		time.Sleep(timeout)
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: context.DeadlineExceeded}
	}
	ours, theirs := net.Pipe()
	p.streams <- theirs
	return ours, nil
}

func (e *endpoint) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return e.DialAddressTimeout(memberlist.Address{Addr: addr}, timeout)
}

// Shutdown is what a process's end is to the others: silence.
func (e *endpoint) Shutdown() error {
	e.once.Do(func() {
		e.net.mu.Lock()
		if e.net.at[e.addr.String()] == e {
			delete(e.net.at, e.addr.String())
		}
		e.net.mu.Unlock()
	})
	return nil
}

// group is a cluster in a test. Node i has the name ni and the address 10.0.0.i:14000.
type group struct {
	t     *testing.T
	net   *network
	nodes map[int]*Membership
	next  uint32
	log   *slog.Logger
}

// inBubble runs a test in virtual time.
func inBubble(t *testing.T, f func(t *testing.T, g *group)) {
	synctest.Test(t, func(t *testing.T) {
		g := &group{t: t, net: newNetwork(), nodes: map[int]*Membership{}, log: slog.New(slog.DiscardHandler)}
		defer func() {
			for _, m := range g.nodes {
				m.Close()
			}
			time.Sleep(10 * time.Second) // memberlist's last probes and streams time out
		}()
		f(t, g)
	})
}

func address(i int) string { return fmt.Sprintf("10.0.0.%d:14000", i) }

func addresses(list ...int) (out []string) {
	for _, i := range list {
		out = append(out, address(i))
	}
	return out
}

// config is that of node i at its own or another address; its seeds are the nodes
// 1 and 2.
func (g *group) config(i, at int) Config {
	g.next++
	return Config{
		Self:  Node{ID: g.next, Name: fmt.Sprintf("n%d", i), Address: address(at)},
		Seeds: []string{address(1), address(2)}, Transport: g.net.open(address(at)),
		Key: make([]byte, 32), Logger: g.log,
	}
}

func (g *group) start(list ...int) {
	g.t.Helper()
	for _, i := range list {
		m, err := Start(g.config(i, i))
		if err != nil {
			g.t.Fatal(err)
		}
		g.nodes[i] = m
	}
}

// kill ends a node without a word.
func (g *group) kill(i int) {
	g.nodes[i].Close()
	delete(g.nodes, i)
}

// names are the names in a node's view, as one text.
func names(v *View) (out string) {
	for _, n := range v.Members {
		out += n.Name + " "
	}
	return out
}

// settle waits until the nodes of the list have each other in their views and nobody
// else, and returns how long that took.
func (g *group) settle(within time.Duration, list ...int) time.Duration {
	g.t.Helper()
	began := time.Now()
	want := ""
	for _, i := range list {
		want += fmt.Sprintf("n%d ", i)
	}
	for {
		good := true
		for _, i := range list {
			good = good && names(g.nodes[i].View()) == want
		}
		if good {
			return time.Since(began)
		}
		if time.Since(began) > within {
			for _, i := range list {
				g.t.Errorf("n%d has %s, want %s", i, names(g.nodes[i].View()), want)
			}
			g.t.FailNow()
		}
		time.Sleep(10 * time.Millisecond) // of virtual time
	}
}

// await waits until node i has that process of n3 in its view.
func (g *group) await(within time.Duration, i int, n3 uint32) {
	g.t.Helper()
	for end := time.Now().Add(within); ; time.Sleep(time.Millisecond) {
		n, ok := g.nodes[i].View().Named("n3")
		if ok && n.ID == n3 {
			return
		}
		if time.Now().After(end) {
			g.t.Fatalf("n%d has n3 as %+v, want %d", i, n, n3)
		}
	}
}

var errNoSuchHost = errors.New("no such host")

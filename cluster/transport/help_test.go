package transport

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"sync"
	"testing"
	"time"

	"github.com/serval-server/serval/cluster/replica"
	"github.com/serval-server/serval/cluster/wire"
)

// patience is how long tests wait for what must happen. No test asserts a time.
const patience = 15 * time.Second

// authority is a test's CA.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	if c, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return &authority{c, key}
}

// tls is the configuration of a node with that name.
func (a *authority) tls(t testing.TB, name string) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		RootCAs:      pool, ClientCAs: pool,
	}
}

// node is a transport that notes what it is told and acknowledges updates.
type node struct {
	*Transport
	id replica.NodeID

	receive func(from replica.NodeID, m replica.Message) // instead of acknowledging, if set
	control func(f wire.Frame)

	mu        sync.Mutex
	cond      *sync.Cond
	up        map[replica.NodeID]int // Connected less Disconnected
	connected int
	reasons   []error
	lagging   map[replica.NodeID]bool
	lags      int
	crashed   map[replica.NodeID]int
	got       map[replica.SessionID]uint64 // updates: the last time of the dot
	count     int                          // of updates
	acked     map[replica.Dot]bool
	ackCount  int
	wrong     []string // calls that must not have come
}

const testApp = 7

func newNode() *node {
	n := &node{
		up: map[replica.NodeID]int{}, lagging: map[replica.NodeID]bool{}, crashed: map[replica.NodeID]int{},
		got: map[replica.SessionID]uint64{}, acked: map[replica.Dot]bool{},
	}
	n.cond = sync.NewCond(&n.mu)
	return n
}

// start makes a node; change may alter its configuration.
func start(t testing.TB, ca *authority, id replica.NodeID, name string, change func(*Config, *node)) *node {
	t.Helper()
	n := newNode()
	n.id = id
	cfg := Config{
		Self: Peer{ID: id, Name: name}, Cluster: "test", TLS: ca.tls(t, name), Listen: "127.0.0.1:0",
		AckDeadline: time.Hour, // a busy machine is no slow peer
	}
	if change != nil {
		change(&cfg, n)
	}
	tr, err := New(cfg, n)
	if err != nil {
		t.Fatal(err)
	}
	n.Transport = tr
	t.Cleanup(func() { n.stop(t) })
	return n
}

func (n *node) stop(t testing.TB) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := n.Close(ctx); err != nil && !errors.Is(err, ErrClosed) {
		t.Error("close:", err)
	}
}

// peerOf is how others know the node.
func (n *node) self() Peer { return Peer{ID: n.id, Name: n.cfg.Self.Name, Address: n.Addr()} }

// pair makes two nodes that are linked.
func pair(t testing.TB, change func(*Config, *node)) (a, b *node) {
	t.Helper()
	ca := newAuthority(t)
	a, b = start(t, ca, 1, "a", change), start(t, ca, 2, "b", change)
	a.Dial(b.self())
	b.Dial(a.self())
	a.wait(t, "link", func() bool { return a.up[2] == 1 })
	b.wait(t, "link", func() bool { return b.up[1] == 1 })
	return a, b
}

// wait waits for a condition on what the node was told.
func (n *node) wait(t testing.TB, what string, f func() bool) {
	t.Helper()
	timer := time.AfterFunc(patience, func() { n.mu.Lock(); defer n.mu.Unlock(); n.cond.Broadcast() })
	defer timer.Stop()
	limit := time.Now().Add(patience)
	n.mu.Lock()
	defer n.mu.Unlock()
	for !f() {
		if time.Now().After(limit) {
			t.Fatalf("waited in vain for: %s (up %v, lagging %v, crashed %v, %d updates, %d acks, reasons %v)%s",
				what, n.up, n.lagging, n.crashed, n.count, n.ackCount, n.reasons, n.lanes())
		}
		n.cond.Wait()
	}
	for _, w := range n.wrong {
		t.Error(w)
	}
}

func (n *node) note(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f()
	n.cond.Broadcast()
}

func (n *node) Connected(p Peer) {
	n.note(func() {
		n.connected++
		if n.up[p.ID]++; n.up[p.ID] > 1 {
			n.wrong = append(n.wrong, "connected twice")
		}
	})
}

func (n *node) Disconnected(id replica.NodeID, err error) {
	n.note(func() {
		n.up[id]--
		n.lagging[id] = false
		n.reasons = append(n.reasons, err)
	})
}

func (n *node) Lagging(id replica.NodeID, l bool) {
	n.note(func() {
		if n.lagging[id] == l {
			n.wrong = append(n.wrong, "lagging is told twice")
		}
		n.lagging[id] = l
		if l {
			n.lags++
		}
	})
}

func (n *node) Crashed(id replica.NodeID) { n.note(func() { n.crashed[id]++ }) }
func (n *node) BatchEnd(replica.NodeID)   {}

func (n *node) Control(_ replica.NodeID, f wire.Frame) {
	if n.control != nil {
		n.control(f)
	}
}

func (n *node) Receive(from replica.NodeID, _ uint32, shard uint8, m replica.Message) {
	n.note(func() {
		if n.up[from] != 1 {
			n.wrong = append(n.wrong, "received from a peer that is not connected")
		}
		switch m := m.(type) {
		case *replica.Update:
			if m.Delta.Dot.Clock <= n.got[m.Delta.ID] && n.receive == nil {
				n.wrong = append(n.wrong, "updates of a session out of order")
			}
			n.got[m.Delta.ID] = m.Delta.Dot.Clock
			n.count++
		case replica.Ack:
			n.acked[m.Dot] = true
			n.ackCount++
		}
	})
	if n.receive != nil {
		n.receive(from, m)
		return
	}
	if u, ok := m.(*replica.Update); ok {
		n.Send(from, ackOf(u, shard))
	}
}

// ackOf acknowledges an update as an owner does whose copy is this change.
func ackOf(u *replica.Update, shard uint8) *wire.Item {
	s := replica.State{ID: u.Delta.ID, Heads: []replica.Dot{u.Delta.Dot}}
	return wire.NewItem(testApp, shard, replica.Ack{ID: u.Delta.ID, Reign: u.Reign, Dot: u.Delta.Dot, Sum: s.Sum()}, false)
}

// sessionID is the i-th session.
func sessionID(i int) replica.SessionID {
	var b [24]byte
	binary.BigEndian.PutUint64(b[:], uint64(i)*0x9e3779b97f4a7c15)
	binary.BigEndian.PutUint64(b[8:], uint64(i))
	return replica.SessionID(base64.RawURLEncoding.EncodeToString(b[:]))
}

// update is the n-th change of session i, at home on node home.
func update(home replica.NodeID, i, n int, value []byte) (*replica.Update, replica.Dot) {
	dot := replica.Dot{Epoch: 1, Clock: uint64(n), Node: home}
	u := &replica.Update{Reign: replica.Reign{Epoch: 1, Home: home}, Delta: replica.Delta{
		ID: sessionID(i), Dot: dot, Ops: []replica.Op{{Key: "acount", Value: replica.Value{Bytes: value}}},
	}}
	if n > 1 {
		u.Delta.Base = []replica.Dot{{Epoch: 1, Clock: uint64(n - 1), Node: home}}
	}
	return u, dot
}

// item is an update ready to be sent.
func item(home replica.NodeID, i, n int, value []byte) *wire.Item {
	u, _ := update(home, i, n, value)
	return wire.NewItem(testApp, uint8(i)&7, u, false)
}

// eventually waits for a condition that nobody is told of.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	for limit := time.Now().Add(patience); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("waited in vain for: %s", what)
		}
	}
}

// lanes is the state of all lanes, for people.
func (n *node) lanes() (s string) {
	for _, x := range *n.peers.Load() {
		if l := x.up.Load(); l != nil {
			l.each(func(ln *lane) {
				ln.mu.Lock()
				defer ln.mu.Unlock()
				s += fmt.Sprintf("\nlane to %d: %d items, %d acks, busy %v, receiving %v, %d owed, on the way %v, %+v",
					l.id, ln.queue.len(), len(ln.queue.acks), ln.busy, ln.receiving, ln.owed, ln.flight, ln.counts)
			})
		}
	}
	return s
}

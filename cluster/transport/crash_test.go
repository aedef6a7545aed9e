package transport

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"testing"
)

const victimEnv = "SERVAL_TRANSPORT_TEST_VICTIM"

// victimPlan is what the process that is to be killed is told.
type victimPlan struct {
	ID          uint32
	Name        string
	Roots, Cert []byte // DER
	Key         []byte // PKCS 8
	Peer        Peer
}

// victim is that process's main: it links to the peer and waits for its end.
func victim() {
	var p victimPlan
	if err := json.NewDecoder(os.Stdin).Decode(&p); err != nil {
		fmt.Println("plan:", err)
		return
	}
	root, err1 := x509.ParseCertificate(p.Roots)
	key, err2 := x509.ParsePKCS8PrivateKey(p.Key)
	if err := errors.Join(err1, err2); err != nil {
		fmt.Println("plan:", err)
		return
	}
	pool := x509.NewCertPool()
	pool.AddCert(root)
	tr, err := New(Config{
		Self: Peer{ID: p.ID, Name: p.Name}, Cluster: "test", Listen: "127.0.0.1:0",
		TLS: &tls.Config{RootCAs: pool, ClientCAs: pool, Certificates: []tls.Certificate{{Certificate: [][]byte{p.Cert}, PrivateKey: key}}},
	}, newNode())
	if err != nil {
		fmt.Println("start:", err)
		return
	}
	tr.Dial(p.Peer)
	fmt.Println(tr.Addr())
	_, _ = io.Copy(io.Discard, os.Stdin) // until the parent goes
	_ = tr.Close(context.Background())
}

// startVictim starts the process and returns how others know it.
func startVictim(t *testing.T, ca *authority, id uint32, peer Peer) (Peer, *exec.Cmd, io.Closer) {
	t.Helper()
	name := fmt.Sprint("victim", id)
	c := ca.tls(t, name).Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey.(*ecdsa.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), victimEnv+"=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if err := json.NewEncoder(in).Encode(victimPlan{ID: id, Name: name, Roots: ca.cert.Raw, Cert: c.Certificate[0], Key: key, Peer: peer}); err != nil {
		t.Fatal(err)
	}
	addr, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	addr = addr[:len(addr)-1]
	if _, _, err := net.SplitHostPort(addr); err != nil {
		t.Fatalf("the victim says %q", addr)
	}
	return Peer{ID: id, Name: name, Address: addr}, cmd, in
}

// waitTripwire waits until the link has a tripwire, which is not told to anybody.
func (n *node) waitTripwire(t *testing.T, id uint32) {
	t.Helper()
	l := n.up2(t, id)
	eventually(t, "tripwire", func() bool { return l.wire.Load() != nil })
}

// TestKilledProcess: a process that is killed is known to have crashed before
// QUIC has noticed anything; with either node as the one that dials.
func TestKilledProcess(t *testing.T) {
	for _, id := range []uint32{1, 9} {
		t.Run(fmt.Sprint("number ", id), func(t *testing.T) {
			ca := newAuthority(t)
			a := start(t, ca, 5, "a", nil)
			p, cmd, _ := startVictim(t, ca, id, a.self())
			a.Dial(p)
			a.wait(t, "link", func() bool { return a.up[id] == 1 })
			a.waitTripwire(t, id)
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			a.wait(t, "crash", func() bool { return a.crashed[id] == 1 && a.up[id] == 0 })
			if !errors.Is(a.reasons[0], ErrCrashed) { // and not QUIC's idle timeout, which is the only other way
				t.Errorf("reason %v", a.reasons)
			}
		})
	}
}

// TestEndedProcess: a process that says goodbye has not crashed.
func TestEndedProcess(t *testing.T) {
	ca := newAuthority(t)
	a := start(t, ca, 5, "a", nil)
	p, cmd, in := startVictim(t, ca, 6, a.self())
	a.Dial(p)
	a.wait(t, "link", func() bool { return a.up[6] == 1 })
	a.waitTripwire(t, 6)
	in.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	a.wait(t, "goodbye", func() bool { return a.up[6] == 0 })
	if !errors.Is(a.reasons[0], ErrLeft) || a.crashed[6] != 0 {
		t.Errorf("reasons %v, crashed %v", a.reasons, a.crashed)
	}
}

// TestCutWhileLeaving: a tripwire is cut just when the peer leaves, and who asks the
// peer's port again finds it closed. It has left all the same.
func TestCutWhileLeaving(t *testing.T) {
	for range 10 {
		a, b := pair(t, nil)
		a.waitTripwire(t, 2)
		b.waitTripwire(t, 1)
		cut := (*a.up2(t, 2).wire.Load()).(*tls.Conn).NetConn()
		closed := make(chan error)
		go func() { closed <- b.Close(context.Background()) }()
		cut.Close()
		a.wait(t, "goodbye", func() bool { return a.up[2] == 0 })
		if !errors.Is(a.reasons[0], ErrLeft) || a.crashed[2] != 0 {
			t.Errorf("reasons %v, crashed %v", a.reasons, a.crashed)
		}
		if err := <-closed; err != nil {
			t.Error(err)
		}
	}
}

// TestLateTripwire: a tripwire that comes while its link ends is not closed without
// a goodbye; the other end would take that for a crash.
func TestLateTripwire(t *testing.T) {
	ca := newAuthority(t)
	a := start(t, ca, 1, "a", nil)
	for range 20 {
		l := newLink(&peer{t: a.Transport}, 2, 1, false)
		here, there := net.Pipe()
		l.give(here)
		l.close(ErrClosed)
		guarded := make(chan struct{})
		go func() { l.guard(Peer{ID: 2}); close(guarded) }()
		b, err := io.ReadAll(there)
		if string(b) != string([]byte{goodbye}) {
			t.Fatalf("%q, %v", b, err)
		}
		there.Close()
		<-guarded
	}
}

// TestResetIsNoCrash: somebody cuts the tripwire; it is replaced, and the link
// stays.
func TestResetIsNoCrash(t *testing.T) {
	a, b := pair(t, nil)
	for range 3 {
		for _, n := range []*node{a, b} {
			n.waitTripwire(t, 3-n.id)
		}
		l := a.up2(t, 2)
		cut := l.wire.Load()
		raw := (*cut).(*tls.Conn).NetConn().(*net.TCPConn)
		_ = raw.SetLinger(0) // a reset, not an end
		_ = raw.Close()
		eventually(t, "another tripwire", func() bool { w := l.wire.Load(); return w != nil && w != cut })
	}
	for _, n := range []*node{a, b} {
		n.wait(t, "the same link", func() bool { return n.connected == 1 && n.up[3-n.id] == 1 && len(n.crashed) == 0 })
	}
}

// TestRefuses: a port at which nobody listens is told from one at which a node does,
// and from a host that says nothing.
func TestRefuses(t *testing.T) {
	tr := start(t, newAuthority(t), 1, "a", nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free := l.Addr().String()
	_ = l.Close()
	if tr.Refuses(t.Context(), tr.Addr()) {
		t.Error("a node refuses")
	}
	if !tr.Refuses(t.Context(), free) {
		t.Error("a port at which nobody listens does not refuse")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if tr.Refuses(ctx, free) {
		t.Error("it is certain without having asked")
	}
}

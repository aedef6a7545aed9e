package cluster

import (
	"context"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/serval-server/serval/cluster/identity"
	"github.com/serval-server/serval/descriptor"
	"github.com/serval-server/serval/sessions"
)

// realWorld is a cluster over QUIC on loopback.
func realWorld(t *testing.T, cache Cache, app AppConfig, names ...string) *world {
	t.Helper()
	if cache.Name == "" {
		cache.Name = DefaultCache
	}
	app.Key = shop
	w := &world{t: t, net: newMemory(), cache: cache, app: app, nodes: map[string]*testNode{}, dir: map[string]string{}}
	ca := t.TempDir()
	if _, err := identity.InitCA(ca); err != nil {
		t.Fatal(err)
	}
	var seeds []string
	for range names {
		seeds = append(seeds, freeAddress(t))
	}
	w.connect = func(name string) (Connect, string) {
		at := 0
		for names[at] != name {
			at++
		}
		dir := filepath.Join(ca, "nodes", name)
		id, err := identity.Load(dir)
		if err != nil {
			if err = identity.Enroll(ca, name, dir); err == nil {
				id, err = identity.Load(dir)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		var others []string // those that are there: nobody is waited for
		for i, o := range names {
			if n := w.node(o); n != nil && !n.dead.Load() {
				others = append(others, seeds[i])
			}
		}
		return QUIC(QUICConfig{Listen: seeds[at], Identity: id, Seeds: others, Logger: testLog(t)}), seeds[at]
	}
	for _, name := range names {
		n := w.start(name)
		t.Cleanup(func() { n.kill() })
	}
	w.ready()
	w.until(10*time.Second, "all nodes to see all", func() bool {
		for _, n := range w.all() {
			if len(n.dm.app.targets()) != len(names)-1 {
				return false
			}
		}
		return true
	})
	return w
}

// freeAddress is an address of this machine that nobody listens on, UDP and TCP.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 20 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		p, err := net.ListenPacket("udp", l.Addr().String())
		l.Close()
		if err == nil {
			p.Close()
			return l.Addr().String()
		}
	}
	t.Fatal("no free port")
	return ""
}

// The whole of it over real connections: changes travel as patches, a node goes
// and comes back, all of them know the same.
func TestOverQUIC(t *testing.T) {
	if testing.Short() {
		t.Skip("real connections")
	}
	for _, g := range []descriptor.ReplicationGranularity{descriptor.GranularitySession, descriptor.GranularityField} {
		t.Run(string(g), func(t *testing.T) {
			app := AppConfig{Replication: replication(func(r *descriptor.Replication) { r.Granularity = g })}
			w := realWorld(t, Cache{Ack: AckAll}, app, "a", "b", "c")
			a, b, c := w.node("a"), w.node("b"), w.node("c")
			large := string(make([]byte, 20_000))
			var ids []sessions.ID
			for i := range 30 {
				id := a.set("", "large="+large, "n=0")
				for k := range 3 {
					a.set(id, fmt.Sprint("n=", k), fmt.Sprintf("large=%s%d", large, k))
				}
				b.want(id, fmt.Sprintf("large=%s2 n=2", large))
				ids = append(ids, id)
				if i == 0 {
					w.level()
				}
			}
			if err := a.Drain(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			a.kill()
			for i, id := range ids {
				[]*testNode{b, c}[i%2].want(id, fmt.Sprintf("large=%s2 n=2", large))
				b.set(id, "n=9")
			}
			a = w.start("a")
			t.Cleanup(func() { a.kill() })
			w.ready()
			w.level()
			a.want(ids[3], fmt.Sprintf("large=%s2 n=9", large))
			if s := b.ClusterStatus(t.Context()); len(s) != 3 || s[0].Node != "a" || s[0].Error != "" || s[0].Apps[0].Copies+s[0].Apps[0].Home != 30 {
				t.Errorf("%+v", s)
			}
		})
	}
}

// TestRedeployOverQUIC: the connections stay while an application is deployed anew, and
// acknowledgements that travel by their place in a batch are the new run's.
func TestRedeployOverQUIC(t *testing.T) {
	if testing.Short() {
		t.Skip("real connections")
	}
	w := realWorld(t, Cache{Ack: AckAll}, AppConfig{}, "a", "b", "c")
	a, b := w.node("a"), w.node("b")
	ids := []sessions.ID{a.set("", "n=0"), b.set("", "n=0")}
	for round := range 3 {
		a.redeploy(nil)
		w.until(10*time.Second, "the others to see the new run", func() bool {
			return b.dm.app.runOf(a.ID()) == a.dm.app.self() && len(b.dm.app.targets()) == 2 && len(a.dm.app.targets()) == 2
		})
		ids = append(ids, a.set("", "n=0")) // at home in the new run
		for _, id := range ids {
			if w.copies(id) != 3 {
				t.Fatalf("round %d: %d copies", round, w.copies(id))
			}
			b.set(id, fmt.Sprint("n=", round+1)) // also by way of the new run
		}
		if s := a.Status().Apps[0]; s.Counters.Degraded > 0 || s.Counters.Failed > 0 {
			t.Errorf("%+v", s.Counters)
		}
	}
	for _, n := range []string{"b", "c"} {
		w.node(n).kill()
	}
	for _, id := range ids {
		a.want(id, "n=3")
	}
}

// Streams reach the node that they are for.
func TestStreams(t *testing.T) {
	if testing.Short() {
		t.Skip("real connections")
	}
	w := realWorld(t, Cache{}, AppConfig{}, "a", "b")
	a, b := w.node("a"), w.node("b")
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	done := make(chan string, 1)
	go func() {
		c, err := b.Streams().Accept()
		if err != nil {
			done <- err.Error()
			return
		}
		got, _ := io.ReadAll(c)
		done <- string(got)
		c.Close()
	}()
	c, err := a.OpenStream(ctx, b.ID())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, "hello"); err != nil {
		t.Fatal(err)
	}
	if err := c.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got := <-done; got != "hello" {
		t.Errorf("got %q", got)
	}
	c.Close()
}

package membership

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestNodesFindEachOther(t *testing.T) {
	inBubble(t, func(t *testing.T, g *group) {
		g.start(1)
		if !g.nodes[1].Joined() {
			t.Error("the first node has not found out that there is no other")
		}
		watch := g.nodes[1].Watch()
		g.start(2, 3, 4, 5)
		g.settle(time.Second, 1, 2, 3, 4, 5)
		select {
		case <-watch:
		default:
			t.Error("a change of the view was not told")
		}
		v := g.nodes[3].View()
		if n, ok := v.Named("n4"); !ok || n.ID != 4 || n.Address != address(4) {
			t.Errorf("n4 is %+v, %v", n, ok)
		}
		if n, ok := v.Find(5); !ok || n.Name != "n5" {
			t.Errorf("5 is %+v, %v", n, ok)
		}
		if _, ok := v.Named("n9"); ok {
			t.Error("n9 is there")
		}
	})
}

// TestSilentHost: whatever the size of the cluster, a host that falls silent is out of
// all views within 2.5 s, and nobody else is.
func TestSilentHost(t *testing.T) {
	for _, size := range []int{2, 3, 5, 8} {
		inBubble(t, func(t *testing.T, g *group) {
			var all []int
			for i := 1; i <= size; i++ {
				all = append(all, i)
			}
			g.start(all...)
			g.settle(2*time.Second, all...)
			time.Sleep(10 * time.Second)
			var suspicions int64
			for i := size; i > 1 && i > size-2; i-- {
				g.kill(i)
				took := g.settle(2500*time.Millisecond, all[:i-1]...)
				t.Logf("%d nodes: a silent one was out after %v", i, took)
				// Who has seen one die doubts itself for a while, and gives the
				// next one more time (Lifeguard).
				time.Sleep(10 * time.Second)
			}
			deaths := min(2, size-1)
			for _, i := range all[:size-deaths] {
				s := g.nodes[i].Stats()
				if s.Deaths != int64(deaths) || s.FalseAlarms+s.Returns != 0 {
					t.Errorf("n%d: %+v", i, s)
				}
				suspicions += s.Suspicions
			}
			if suspicions == 0 {
				t.Error("nobody has suspected anybody")
			}
		})
	}
}

func TestCrashHint(t *testing.T) {
	inBubble(t, func(t *testing.T, g *group) {
		g.start(1, 2, 3)
		g.settle(time.Second, 1, 2, 3)
		id := g.nodes[3].self.ID
		g.kill(3)
		g.nodes[1].Crashed(id)
		if got := names(g.nodes[1].View()); got != "n1 n2 " {
			t.Errorf("after the hint: %s", got)
		}
		g.nodes[1].Crashed(id) // again
		g.nodes[1].Crashed(77) // nobody
		time.Sleep(10 * time.Second)
		s := g.nodes[1].Stats()
		if s.Crashes != 1 || s.Deaths != 1 || s.FalseAlarms != 0 || names(s.View) != "n1 n2 " {
			t.Errorf("%+v", s)
		}
		if last := s.LastChanges[len(s.LastChanges)-1]; last.What != "crashed" || last.Node.Name != "n3" {
			t.Errorf("last change %+v", last)
		}
	})
}

func TestWrongCrashHint(t *testing.T) {
	inBubble(t, func(t *testing.T, g *group) {
		g.start(1, 2, 3)
		g.settle(time.Second, 1, 2, 3)
		g.nodes[1].Crashed(g.nodes[3].self.ID)
		g.settle(probeTimeout, 1, 2, 3)
		if s := g.nodes[1].Stats(); s.FalseAlarms != 1 || s.Deaths != 0 {
			t.Errorf("%+v", s)
		}
		// The others hear it, this one does not: SWIM has the last word.
		g.net.cut(true, address(1), address(3))
		g.nodes[1].Crashed(g.nodes[3].self.ID)
		if got := names(g.nodes[1].View()); got != "n1 n2 " {
			t.Errorf("after the hint: %s", got)
		}
		g.settle(doubtful+time.Second, 1, 2, 3)
	})
}

func TestANewProcessReplacesTheOldAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, g *group) {
		g.start(1, 2, 3)
		g.settle(time.Second, 1, 2, 3)
		g.kill(3)
		g.start(3)
		g.await(0, 1, 4)
		g.await(200*time.Millisecond, 2, 4)
		time.Sleep(5 * time.Second) // the old one is declared dead: that changes nothing
		g.settle(0, 1, 2, 3)
		// And at another address, as a pod that starts elsewhere.
		g.kill(3)
		cfg := g.config(3, 9)
		m, err := Start(cfg)
		if err != nil {
			t.Fatal(err)
		}
		g.nodes[3] = m
		g.await(time.Second, 1, 5)
		g.await(200*time.Millisecond, 2, 5)
		if n, _ := g.nodes[1].View().Named("n3"); n.Address != address(9) {
			t.Errorf("n3 is at %s", n.Address)
		}
	})
}

func TestLeave(t *testing.T) {
	inBubble(t, func(t *testing.T, g *group) {
		g.start(1, 2, 3)
		g.settle(time.Second, 1, 2, 3)
		if err := g.nodes[3].Leave(context.Background()); err != nil {
			t.Fatal(err)
		}
		g.settle(200*time.Millisecond, 1, 2)
		g.kill(3)
		time.Sleep(10 * time.Second)
		s := g.nodes[1].Stats()
		if s.Leaves != 1 || s.Deaths != 0 {
			t.Errorf("%+v", s)
		}
		g.nodes[1].mu.Lock()
		if len(g.nodes[1].missing) != 0 {
			t.Error("a node that has left is still asked for")
		}
		g.nodes[1].mu.Unlock()
		g.start(3)
		g.settle(time.Second, 1, 2, 3)
	})
}

// TestHalvesMeetAgain: after a partition of any length both sides are one cluster
// again, without a restart, also when one side has no seed.
func TestHalvesMeetAgain(t *testing.T) {
	for _, length := range []time.Duration{5 * time.Second, 2 * time.Minute} {
		inBubble(t, func(t *testing.T, g *group) {
			all := []int{1, 2, 3, 4, 5}
			g.start(all...)
			g.settle(time.Second, all...)
			for _, i := range []int{1, 2, 3} {
				g.net.cut(true, address(i), addresses(4, 5)...)
			}
			g.settle(5*time.Second, 1, 2, 3)
			g.settle(5*time.Second, 4, 5)
			time.Sleep(length)
			for _, i := range []int{1, 2, 3} {
				g.net.cut(false, address(i), addresses(4, 5)...)
			}
			t.Logf("cut for %v: together after %v", length, g.settle(length/60+5*time.Second, all...))
			if s := g.nodes[1].Stats(); s.Returns < 2 {
				t.Errorf("%+v", s)
			}
			// What the other side has said of this one is old news.
			for i, m := range g.nodes {
				for _, c := range m.Stats().LastChanges {
					if other := int(c.Node.ID); c.What == "dead" && (i <= 3) == (other <= 3) {
						t.Errorf("n%d has lost n%d, of its own side: %+v", i, other, m.Stats())
					}
				}
			}
		})
	}
}

// TestReturnOfANodeThatStoodStill: the others have declared it dead, it believes that
// nothing happened.
func TestReturnOfANodeThatStoodStill(t *testing.T) {
	for _, length := range []time.Duration{4 * time.Second, 50 * time.Second} {
		inBubble(t, func(t *testing.T, g *group) {
			g.start(1, 2, 3)
			g.settle(time.Second, 1, 2, 3)
			g.net.cut(true, address(3), addresses(1, 2)...)
			g.settle(2500*time.Millisecond, 1, 2)
			time.Sleep(length)
			g.net.cut(false, address(3), addresses(1, 2)...)
			g.nodes[3].stoodStill()
			g.settle(5*time.Second, 1, 2, 3)
			if id := g.nodes[3].self.ID; id != 3 {
				t.Errorf("it is another process: %d", id)
			}
		})
	}
}

func TestTwoNodesOfOneName(t *testing.T) {
	inBubble(t, func(t *testing.T, g *group) {
		g.start(1, 2, 3)
		g.settle(time.Second, 1, 2, 3)
		cfg := g.config(3, 9)
		m, err := Start(cfg)
		if err == nil {
			m.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "a node named n3 is in the cluster already and alive, at 10.0.0.3:14000") {
			t.Errorf("got %v", err)
		}
		for i, m := range g.nodes {
			if n, ok := m.View().Named("n3"); !ok || n.ID != 3 {
				t.Errorf("n%d has n3 as %+v", i, n)
			}
			if s := m.Stats(); s.Joins > 2 {
				t.Errorf("n%d let it in: %+v", i, s)
			}
		}
	})
}

// TestTwoNodesOfOneNameMeetLate: each has been in a half of its own.
func TestTwoNodesOfOneNameMeetLate(t *testing.T) {
	inBubble(t, func(t *testing.T, g *group) {
		g.start(1, 3)
		g.settle(time.Second, 1, 3)
		g.net.cut(true, address(2), addresses(1, 3)...)
		g.net.cut(true, address(9), addresses(1, 3)...)
		g.start(2)
		cfg := g.config(3, 9)
		told := make(chan error, 1)
		cfg.Conflict = func(err error) { told <- err }
		m, err := Start(cfg)
		if err != nil {
			t.Fatal(err)
		}
		g.nodes[9] = m
		time.Sleep(10 * time.Second)
		g.net.cut(false, address(2), addresses(1, 3)...)
		g.net.cut(false, address(9), addresses(1, 3)...)
		select {
		case err := <-told:
			if !strings.Contains(err.Error(), "a node named n3") {
				t.Errorf("got %v", err)
			}
		case <-time.After(time.Minute):
			t.Fatal("nobody gave way")
		}
		g.kill(9)
		g.settle(5*time.Second, 1, 2, 3)
		if n, _ := g.nodes[2].View().Named("n3"); n.ID != 2 { // it was started as the second process
			t.Errorf("the wrong one stayed: %+v", n)
		}
	})
}

// TestTwoNodesOfOneNameMeetThroughAThird: whichever of the two the third one has met
// first, and so tells of, the later started gives way.
func TestTwoNodesOfOneNameMeetThroughAThird(t *testing.T) {
	for _, order := range [][]int{{3, 9}, {9, 3}} {
		t.Run(fmt.Sprint(order), func(t *testing.T) {
			inBubble(t, func(t *testing.T, g *group) {
				told := map[int]chan error{3: make(chan error, 1), 9: make(chan error, 1)}
				for _, at := range []int{3, 9} {
					cfg := g.config(3, at)
					cfg.Seeds = nil
					cfg.Conflict = func(err error) { told[at] <- err }
					m, err := Start(cfg)
					if err != nil {
						t.Fatal(err)
					}
					g.nodes[at] = m
					time.Sleep(time.Second)
				}
				cfg := g.config(1, 1)
				cfg.Seeds = addresses(order[0])
				m, err := Start(cfg)
				if err != nil {
					t.Fatal(err)
				}
				g.nodes[1] = m
				_ = m.ask(address(order[1]))
				select {
				case err := <-told[9]:
					if !strings.Contains(err.Error(), "a node named n3") {
						t.Errorf("got %v", err)
					}
				case err := <-told[3]:
					t.Fatalf("the wrong one gave way: %v", err)
				case <-time.After(time.Minute):
					t.Fatal("nobody gave way")
				}
				g.kill(9)
				g.await(10*time.Second, 1, g.nodes[3].self.ID)
			})
		})
	}
}

// TestRefusingSeeds: a first node does not wait for seeds that for certain are not
// there, but for those of which that is not known, and for one that answers.
func TestRefusingSeeds(t *testing.T) {
	for _, c := range []struct {
		name    string
		refuse  []string
		there   bool // node 1
		atLeast time.Duration
		atMost  time.Duration
	}{
		{"all refuse", addresses(1, 2), false, refusedWait, refusedWait + 50*time.Millisecond},
		{"one is silent", addresses(2), false, time.Second, firstJoinTimeout},
		{"something refuses for a node that is there", addresses(1, 2), true, 0, refusedWait},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, g *group) {
				if c.there {
					g.start(1)
				}
				cfg := g.config(3, 3)
				cfg.Refuses = func(_ context.Context, addr string) bool { return slices.Contains(c.refuse, addr) }
				began := time.Now()
				m, err := Start(cfg)
				if err != nil {
					t.Fatal(err)
				}
				g.nodes[3] = m
				if took := time.Since(began); took < c.atLeast || took > c.atMost || !m.Joined() {
					t.Errorf("it took %v, joined %v", took, m.Joined())
				}
				if n := len(m.View().Members); n > 1 != c.there {
					t.Errorf("it sees %d nodes", n)
				}
			})
		})
	}
}

// TestRefusedAtOnce: nodes that start at the same time and ask whether the others
// listen are not all alone afterwards.
func TestRefusedAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, g *group) {
		var wg sync.WaitGroup
		started := make([]*Membership, 3)
		for i := range started {
			cfg := g.config(i+1, i+1) // it listens from here on
			cfg.Refuses = func(_ context.Context, addr string) bool { return g.net.peer(cfg.Self.Address, addr) == nil }
			wg.Go(func() {
				m, err := Start(cfg)
				if err != nil {
					t.Error(err)
				}
				started[i] = m
			})
			time.Sleep(time.Duration(i) * time.Millisecond)
		}
		wg.Wait()
		alone := 0
		for i, m := range started {
			g.nodes[i+1] = m
			if len(m.View().Members) == 1 {
				alone++
			}
		}
		if alone > 1 {
			t.Errorf("%d nodes took themselves for alone", alone)
		}
		g.settle(time.Second, 1, 2, 3)
	})
}

// TestSeedsByName: a name that means several addresses, and later others.
func TestSeedsByName(t *testing.T) {
	inBubble(t, func(t *testing.T, g *group) {
		var known []netip.Addr
		resolve := func(_ context.Context, host string) ([]netip.Addr, error) {
			if host != "nodes.example.org" {
				return nil, errNoSuchHost
			}
			g.net.mu.Lock()
			defer g.net.mu.Unlock()
			if len(known) == 0 {
				return nil, errNoSuchHost
			}
			return known, nil
		}
		for _, i := range []int{1, 2, 3} {
			cfg := g.config(i, i)
			cfg.Seeds, cfg.Resolve = []string{"nodes.example.org:14000", "typo.example.org:14000"}, resolve
			m, err := Start(cfg)
			if err != nil {
				t.Fatal(err)
			}
			g.nodes[i] = m
		}
		if s := g.nodes[1].Stats(); s.LastSeedFail != errNoSuchHost.Error() {
			t.Errorf("%+v", s)
		}
		g.net.mu.Lock()
		known = []netip.Addr{netip.MustParseAddr("10.0.0.7"), netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("10.0.0.3")}
		g.net.mu.Unlock()
		g.settle(8*time.Second, 1, 2, 3)
	})
}

func TestConfigIsChecked(t *testing.T) {
	good := func() Config {
		return Config{Self: Node{ID: 1, Name: "a", Address: "10.0.0.1:14000"}, Transport: newNetwork().open("10.0.0.1:14000")}
	}
	for _, c := range []struct {
		change func(*Config)
		want   string
	}{
		{func(c *Config) { c.Self.ID = 0 }, "no id"},
		{func(c *Config) { c.Self.Name = "a#b" }, `"a#b" cannot be a node's name`},
		{func(c *Config) { c.Self.Zone = strings.Repeat("z", 65) }, "longer than 64 bytes"},
		{func(c *Config) { c.Self.Address = "0.0.0.0:14000" }, "not an address that others can reach"},
		{func(c *Config) { c.Self.Address = "host:14000" }, "IP and port"},
		{func(c *Config) { c.Seeds = []string{"a:1", "b"} }, `seed "b" is not HOST:PORT`},
		{func(c *Config) { c.Transport = nil }, "no transport"},
		{func(c *Config) { c.Key = []byte("short") }, "key size"},
	} {
		cfg := good()
		c.change(&cfg)
		if _, err := Start(cfg); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
}

func TestWatchAfterClose(t *testing.T) {
	inBubble(t, func(t *testing.T, g *group) {
		g.start(1)
		before := g.nodes[1].Watch()
		g.nodes[1].Close()
		for _, c := range []<-chan struct{}{before, g.nodes[1].Watch()} {
			if _, ok := <-c; ok {
				t.Error("not closed")
			}
		}
		g.nodes[1].Close() // again
		synctest.Wait()
	})
}

func TestAdvertise(t *testing.T) {
	for _, c := range []struct {
		listen, advertise string
		want              string
	}{
		{"127.0.0.1:14001", "", "127.0.0.1:14001"},
		{":14001", "192.0.2.7", "192.0.2.7:14001"},
		{":14001", "192.0.2.7:99", "192.0.2.7:99"},
		{"[::1]:14001", "", "[::1]:14001"},
		{"localhost:14001", "", "127.0.0.1:14001"},
	} {
		if a, err := Advertise(c.listen, c.advertise, nil); err != nil || a.String() != c.want {
			t.Errorf("%q %q: %v, %v", c.listen, c.advertise, a, err)
		}
	}
	for _, listen := range []string{"14001", ":0", ":http", "no.such.host.invalid:1"} {
		if a, err := Advertise(listen, "", nil); err == nil {
			t.Errorf("%q: %v", listen, a)
		}
	}
	if a, err := Advertise(":14001", "", []string{"127.0.0.1:14002"}); err == nil && a.Addr().IsLoopback() {
		t.Errorf("every interface is advertised as %v", a)
	}
}

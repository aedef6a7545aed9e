package replica

import (
	"slices"
	"testing"
	"time"
)

// net is a small cluster without faults of its own: messages arrive at once
// and in order unless a test says otherwise.
type net struct {
	t     *testing.T
	now   time.Duration
	nodes map[NodeID]*Node
	down  map[NodeID]bool
	seen  []Effect // all but Send
	cut   func(from, to NodeID, m Message) bool
	mute  bool              // nobody ends what is overdue
	names map[NodeID]string // of those that have started again
}

func newNet(t *testing.T, count int, cfg Config) *net {
	if cfg.Retry == 0 {
		cfg.Retry = 200 * time.Millisecond
	}
	c := &net{t: t, nodes: map[NodeID]*Node{}, down: map[NodeID]bool{}}
	for i := range count {
		id := NodeID(i + 1)
		cfg.Self = id
		c.nodes[id] = NewNode(cfg, c.member(id), 0)
	}
	c.view()
	return c
}

func (c *net) member(id NodeID) Member {
	if name := c.names[id]; name != "" {
		return Member{ID: id, Name: name}
	}
	return Member{ID: id, Name: string(rune('a' + id))}
}

// view shows every node those that are up.
func (c *net) view() {
	var members []Member
	for _, id := range sortedKeys(c.nodes) {
		if !c.down[id] {
			members = append(members, c.member(id))
		}
	}
	for _, m := range members {
		c.nodes[m.ID].View(c.now, members)
	}
	c.deliver()
}

// deliver carries messages until there are none.
func (c *net) deliver() {
	for again := true; again; {
		again = false
		for _, id := range sortedKeys(c.nodes) {
			if c.down[id] {
				continue
			}
			for _, e := range slices.Clone(c.nodes[id].Take()) {
				again = true
				if o, ok := e.(Overdue); ok && !c.mute {
					c.nodes[id].End(c.now, 8, o.ID, Expired)
				}
				s, ok := e.(Send)
				if !ok {
					c.seen = append(c.seen, e)
					continue
				}
				if to := c.nodes[s.To]; to != nil && !c.down[s.To] && (c.cut == nil || !c.cut(id, s.To, s.Message)) {
					to.Receive(c.now, id, s.Message)
				}
			}
		}
	}
}

// wait lets time pass, in ticks.
func (c *net) wait(d time.Duration) {
	for end := c.now + d; c.now < end; {
		c.now += 40 * time.Millisecond
		for _, id := range sortedKeys(c.nodes) {
			if !c.down[id] {
				c.nodes[id].Tick(c.now)
			}
		}
		c.deliver()
	}
}

func (c *net) crash(id NodeID) {
	c.down[id] = true
	c.view()
}

// request asks a node and returns its verdict, forwarded or not.
func (c *net) request(at NodeID, id SessionID) Answer {
	c.t.Helper()
	c.seen = nil
	c.nodes[at].Request(c.now, 7, id, 0)
	c.deliver()
	for range 100 {
		for _, e := range c.seen {
			if a, ok := e.(Answer); ok {
				return a
			}
		}
		c.wait(40 * time.Millisecond)
	}
	c.t.Fatalf("node %d does not answer a request for %s", at, id)
	return Answer{}
}

// write sets an attribute at the session's home.
func (c *net) write(at NodeID, id SessionID, value string) Released {
	c.t.Helper()
	c.seen = nil
	c.nodes[at].Commit(c.now, 9, id, []Op{{Key: "k", Value: Value{Bytes: []byte(value)}}})
	c.deliver()
	return c.released()
}

func (c *net) released() Released {
	for _, e := range c.seen {
		if r, ok := e.(Released); ok {
			return r
		}
	}
	return Released{}
}

func (c *net) expect(at NodeID, id SessionID, want string) {
	c.t.Helper()
	s := c.nodes[at].State(id)
	if s == nil {
		c.t.Fatalf("node %d has no copy of %s", at, id)
	}
	if v, _ := s.Get("k"); string(v.Value.Bytes) != want {
		c.t.Fatalf("node %d has %q, want %q", at, v.Value.Bytes, want)
	}
}

func TestWriteIsAcknowledgedByItsOwners(t *testing.T) {
	c := newNet(t, 3, Config{Ack: AckAll})
	c.nodes[1].Create(c.now, "00000001s")
	if r := c.write(1, "00000001s", "v1"); r.Write != 9 || r.Degraded || r.Failed {
		t.Fatalf("released %+v", r)
	}
	for id := range c.nodes {
		c.expect(id, "00000001s", "v1")
	}
	c.cut = func(_, to NodeID, m Message) bool { return to == 3 }
	if r := c.write(1, "00000001s", "v2"); r.Write != 0 {
		t.Fatalf("released %+v without the ack of node 3", r)
	}
	c.cut = nil
	c.wait(time.Second)
	if r := c.released(); r.Write != 9 || r.Degraded {
		t.Fatalf("released %+v after the repetition", r)
	}
	c.expect(3, "00000001s", "v2")
}

func TestNobodyLeftToAcknowledge(t *testing.T) {
	c := newNet(t, 2, Config{})
	c.nodes[1].Create(c.now, "00000001s")
	c.write(1, "00000001s", "v1")
	c.crash(2)
	if r := c.write(1, "00000001s", "v2"); !r.Degraded || r.Failed {
		t.Fatalf("released %+v, want degraded", r)
	}
}

func TestAckTimeout(t *testing.T) {
	for _, fail := range []bool{false, true} {
		c := newNet(t, 2, Config{FailOnTimeout: fail})
		c.nodes[1].Create(c.now, "00000001s")
		c.cut = func(_, _ NodeID, _ Message) bool { return true }
		c.write(1, "00000001s", "v1")
		c.wait(3 * time.Second)
		if r := c.released(); r.Failed != fail || r.Degraded == fail {
			t.Errorf("on_timeout fail %v: released %+v", fail, r)
		}
	}
}

func TestClaimAfterDeath(t *testing.T) {
	c := newNet(t, 3, Config{})
	c.nodes[1].Create(c.now, "00000001s")
	c.write(1, "00000001s", "v1")
	c.crash(1)
	if a := c.request(2, "00000001s"); a.Verdict != Serve {
		t.Fatalf("verdict %+v", a)
	}
	if r := c.nodes[2].Reign("00000001s"); r != (Reign{Epoch: 2, Home: 2}) {
		t.Fatalf("reign %v", r)
	}
	c.expect(2, "00000001s", "v1")
	if a := c.request(3, "00000001s"); a.Verdict != Forward || a.Home != 2 {
		t.Fatalf("verdict at the third node %+v", a)
	}
}

func TestFormerHomeIsFenced(t *testing.T) {
	c := newNet(t, 3, Config{Ack: AckAll, FailOnTimeout: true})
	c.nodes[1].Create(c.now, "00000001s")
	c.write(1, "00000001s", "v1")
	// Node 1 is stopped, and declared dead by the others.
	c.crash(1)
	c.request(2, "00000001s")
	c.write(2, "00000001s", "v2")
	c.down[1] = false // it goes on, and has not heard of anything
	c.seen = nil
	c.nodes[1].Commit(c.now, 9, "00000001s", []Op{{Key: "k", Value: Value{Bytes: []byte("stale")}}})
	c.deliver()
	if r := c.released(); r.Write != 0 && !r.Failed {
		t.Fatalf("a fenced home's write was released: %+v", r)
	}
	c.view()
	c.wait(time.Second)
	for id := range c.nodes {
		c.expect(id, "00000001s", "v2")
	}
	if a := c.request(1, "00000001s"); a.Verdict != Forward || a.Home != 2 {
		t.Fatalf("the former home's verdict is %+v", a)
	}
}

func TestStrictNeedsAMajority(t *testing.T) {
	c := newNet(t, 3, Config{Strict: true, MaxIdle: time.Hour})
	c.nodes[1].Create(c.now, "00000001s")
	c.write(1, "00000001s", "v1")
	c.crash(1)
	c.crash(2)
	c.seen = nil
	c.nodes[3].Request(c.now, 7, "00000001s", 0)
	c.wait(20 * time.Second)
	for _, e := range c.seen {
		if a, ok := e.(Answer); ok && a.Verdict == Serve {
			t.Fatal("one of three owners serves the session")
		}
	}
}

func TestMisrouteIsForwarded(t *testing.T) {
	c := newNet(t, 4, Config{Owners: 2})
	c.nodes[1].Create(c.now, "00000001s")
	c.write(1, "00000001s", "v1")
	for id := range c.nodes {
		a := c.request(id, "00000001s")
		if id == 1 && a.Verdict != Serve || id != 1 && (a.Verdict != Forward || a.Home != 1) {
			t.Errorf("node %d: %+v", id, a)
		}
	}
	if a := c.request(2, "00000002x"); a.Verdict != Unknown {
		t.Errorf("an invented id: %+v", a)
	}
}

func TestDrainHandsOver(t *testing.T) {
	c := newNet(t, 3, Config{})
	c.nodes[1].Create(c.now, "00000001s")
	c.write(1, "00000001s", "v1")
	c.nodes[1].Drain(c.now)
	c.deliver()
	if c.nodes[1].Homes() != 0 {
		t.Fatal("still at home")
	}
	home := c.nodes[1].Reign("00000001s").Home
	if a := c.request(home, "00000001s"); a.Verdict != Serve {
		t.Fatalf("verdict %+v at node %d", a, home)
	}
	c.expect(home, "00000001s", "v1")
}

func TestConsent(t *testing.T) {
	c := newNet(t, 2, Config{MisrouteClaim: true})
	c.nodes[1].Create(c.now, "00000001s")
	c.write(1, "00000001s", "v1")
	if a := c.request(2, "00000001s"); a.Verdict != Serve {
		t.Fatalf("verdict %+v", a)
	}
}

func TestRename(t *testing.T) {
	c := newNet(t, 3, Config{Ack: AckAll})
	c.nodes[1].Create(c.now, "00000001s")
	c.write(1, "00000001s", "v1")
	c.nodes[1].Rename(c.now, 9, "00000001s", "00000001t")
	c.deliver()
	for id := range c.nodes {
		c.expect(id, "00000001t", "v1")
		if a := c.request(id, "00000001s"); a.Verdict != Unknown {
			t.Errorf("node %d still answers to the old id: %+v", id, a)
		}
	}
}

func TestEndIsForEver(t *testing.T) {
	c := newNet(t, 3, Config{Ack: AckAll})
	c.nodes[1].Create(c.now, "00000001s")
	c.write(1, "00000001s", "v1")
	stale := c.nodes[2].State("00000001s").Clone()
	c.nodes[1].End(c.now, 9, "00000001s", Invalidated)
	c.deliver()
	c.nodes[3].Receive(c.now, 2, Copy{Reign: Reign{Epoch: 9, Home: 2}, State: stale})
	c.deliver()
	for id := range c.nodes {
		if a := c.request(id, "00000001s"); a.Verdict != Unknown {
			t.Errorf("node %d: %+v", id, a)
		}
	}
}

func TestExpiry(t *testing.T) {
	c := newNet(t, 2, Config{MaxIdle: 4 * time.Second, Grace: time.Second, AdoptAfter: time.Second})
	c.nodes[1].Create(c.now, "00000001s")
	c.write(1, "00000001s", "v1")
	for range 4 {
		c.wait(3 * time.Second)
		if a := c.request(1, "00000001s"); a.Verdict != Serve {
			t.Fatalf("a session in use: %+v", a)
		}
	}
	c.seen = nil
	c.wait(6 * time.Second)
	ends := slices.DeleteFunc(slices.Clone(c.seen), func(e Effect) bool { _, ok := e.(Overdue); return !ok })
	if len(ends) != 1 {
		t.Errorf("%d nodes say that it expired, want one", len(ends))
	}
	for id, n := range c.nodes {
		if s := n.State("00000001s"); s == nil || s.Life.Kind != Dead || s.Life.Reason != Expired {
			t.Errorf("node %d has %+v", id, s)
		}
	}
}

func TestDeadHomesSessionsExpireOnce(t *testing.T) {
	c := newNet(t, 3, Config{MaxIdle: 4 * time.Second, Grace: time.Second, AdoptAfter: time.Second})
	c.nodes[1].Create(c.now, "00000001s")
	c.write(1, "00000001s", "v1")
	c.crash(1)
	c.seen = nil
	c.wait(20 * time.Second)
	ends := slices.DeleteFunc(slices.Clone(c.seen), func(e Effect) bool { _, ok := e.(Overdue); return !ok })
	if len(ends) != 1 {
		t.Errorf("%d nodes say that it expired, want one", len(ends))
	}
}

func TestDigestRepairs(t *testing.T) {
	c := newNet(t, 2, Config{DigestEvery: time.Second, Retry: time.Hour})
	c.nodes[1].Create(c.now, "00000001s")
	c.cut = func(_, _ NodeID, m Message) bool { _, u := m.(*Update); return u }
	c.write(1, "00000001s", "v1")
	c.wait(3 * time.Second)
	c.expect(2, "00000001s", "v1")
}

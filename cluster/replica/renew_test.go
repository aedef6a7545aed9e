package replica

import (
	"slices"
	"testing"
	"time"
)

// again replaces a node by one of its name without memory.
func (c *net) again(old, id NodeID, strict bool) {
	c.t.Helper()
	c.crash(old)
	cfg := Config{Self: id, Strict: strict, Retry: 200 * time.Millisecond, AckTimeout: 200 * time.Millisecond, Owners: 3}
	if c.names == nil {
		c.names = map[NodeID]string{}
	}
	c.names[id] = c.member(old).Name
	c.nodes[id] = NewNode(cfg, c.member(id), c.now)
	c.view()
}

// All other owners start again, one after the other, and then the home dies: those
// that are owners now have all there is, and serve it, though nobody of the set
// that it was created with is left.
func TestStrictOwnersRenewed(t *testing.T) {
	c := newNet(t, 3, Config{Strict: true, AckTimeout: 200 * time.Millisecond, Owners: 3})
	c.nodes[1].Create(c.now, "00000001s")
	c.write(1, "00000001s", "v1")
	for i, old := range []NodeID{2, 3} {
		c.again(old, NodeID(4+i), true)
		c.wait(2 * time.Second)
		if a := c.request(1, "00000001s"); a.Verdict != Serve {
			t.Fatalf("verdict %+v at home after node %d", a, old)
		}
	}
	if r := c.nodes[5].Reign("00000001s"); r.Home != 1 || r.Epoch < 3 {
		t.Errorf("the reign is %v: the home has not renewed it", r)
	}
	c.write(1, "00000001s", "v2")
	c.crash(1)
	if a := c.request(5, "00000001s"); a.Verdict != Serve {
		t.Errorf("verdict %+v with all of the owners that are", a)
	}
	c.expect(5, "00000001s", "v2")
}

// newRenewal is a cluster of which one owner has started again, so that the home claims its
// own session; the promises to it are held back as long as the result says.
func newRenewal(t *testing.T) (c *net, held *bool) {
	c, held = newSession(t, 3, Config{Strict: true, AckTimeout: 2 * time.Second, Owners: 3}), new(bool)
	*held = true
	c.cut = func(_, to NodeID, m Message) bool {
		_, promise := m.(Promise)
		return *held && promise && to == 1
	}
	c.again(2, 4, true)
	c.wait(time.Second)
	if s := c.nodes[1].lookup(sid); s == nil || !s.renewing() {
		t.Fatal("the home does not renew its reign")
	}
	return c, held
}

// A change, an end and a new id while the home renews its reign come about in it.
func TestStrictRenewalUnderWrites(t *testing.T) {
	for name, write := range map[string]func(c *net, id SessionID){
		"commit": func(c *net, id SessionID) { c.write(1, id, "v2") },
		"end":    func(c *net, id SessionID) { c.nodes[1].End(c.now, 9, id, Invalidated) },
		"rename": func(c *net, id SessionID) { c.nodes[1].Rename(c.now, 9, id, "00000001t") },
	} {
		t.Run(name, func(t *testing.T) {
			const id = sid
			c, held := newRenewal(t)
			if a := c.request(1, id); a.Verdict != Serve {
				t.Fatalf("verdict %+v meanwhile", a)
			}
			c.seen = nil
			write(c, id)
			*held = false
			c.wait(time.Second)
			for _, e := range c.seen {
				if r, ok := e.(Released); ok && (r.Failed || r.Degraded) {
					t.Errorf("%+v", r)
				}
			}
			want := c.nodes[1].State(id)
			for _, at := range []NodeID{3, 4} {
				if got := c.nodes[at].State(id); got == nil || !got.SameAs(want) {
					t.Errorf("node %d has %v, the home %v", at, got, want)
				}
			}
			if name == "rename" {
				c.crash(1)
				if a := c.request(3, "00000001t"); a.Verdict != Serve {
					t.Errorf("verdict %+v for the new id", a)
				}
			}
		})
	}
}

// A node that joins is told that it has all once a home's claim of its own session is
// over, by which that is copied; but not if the claim hangs.
func TestLevelAfterRenewal(t *testing.T) {
	for _, hangs := range []bool{false, true} {
		c, held := newRenewal(t)
		c.nodes[5] = NewNode(Config{Self: 5, Strict: true, Owners: 3}, c.member(5), c.now)
		c.view()
		if c.wait(time.Second); c.nodes[5].Level() {
			t.Fatal("level while a session is not copied")
		}
		*held = hangs
		if c.wait(2 * time.Second); !c.nodes[5].Level() {
			t.Errorf("not level; the claim hangs: %t", hangs)
		}
	}
}

// Who has started since cannot know which owners are over: those who know say so.
func TestStrictClaimerThatCameLater(t *testing.T) {
	const id = SessionID("00000001s")
	c := newNet(t, 3, Config{Strict: true, AckTimeout: 200 * time.Millisecond, Owners: 3})
	c.nodes[1].Create(c.now, id)
	c.write(1, id, "v1")
	// No renewal: the home dies before the one that starts again is level.
	c.cut = func(_, to NodeID, _ Message) bool { return to == 4 }
	c.again(2, 4, true)
	c.crash(1)
	c.again(4, 5, true)
	c.cut = nil
	c.again(1, 6, true)
	if a := c.request(6, id); a.Verdict != Serve && a.Verdict != Forward {
		t.Errorf("verdict %+v, with the last of three owners alive", a)
	}
	c.wait(time.Second)
	c.expect(3, id, "v1")
}

// A copy that was overtaken on its way does not bring back the sets that are done with.
func TestSetsStayDoneWith(t *testing.T) {
	c := newNet(t, 3, Config{Strict: true, Owners: 3})
	c.nodes[1].Create(c.now, "00000001s")
	c.write(1, "00000001s", "v1")
	old := c.nodes[1].setsOf(c.nodes[1].lookup("00000001s"))
	now := Reign{2, 1}
	next := OwnerSet{Reign: now, Nodes: []NodeID{1, 3, 4}}
	late := Copy{Reign: now, State: c.nodes[1].State("00000001s").Clone(), Sets: append(old, next)}
	next.First = true
	c.nodes[3].Receive(c.now, 1, Copy{Reign: now, State: &State{ID: "00000001s"}, Sets: []OwnerSet{next}})
	c.nodes[3].Receive(c.now, 1, late)
	if got := c.nodes[3].Sets("00000001s"); len(got) != 1 || got[0].Reign != now {
		t.Errorf("the sets that count are %v", got)
	}
}

// A claim tells of its own owner set, and the copy that comes after it of the earlier ones:
// these count too.
func TestSetsOfACopyAfterAClaim(t *testing.T) {
	const id = SessionID("00000001s")
	c := newNet(t, 3, Config{Strict: true, Owners: 3})
	n := c.nodes[2]
	first := OwnerSet{Reign: Reign{1, 1}, Nodes: []NodeID{1, 3, 4}, First: true}
	n.Receive(c.now, 1, Claim{ID: id, Reign: Reign{3, 1}, Nodes: []NodeID{1, 2, 5}})
	state := &State{ID: id}
	state.Write(Dot{Epoch: 1, Node: 1, Clock: 1}, []Op{{Key: "k", Value: Value{Bytes: []byte("v")}}})
	n.Receive(c.now, 1, Copy{Reign: Reign{2, 4}, State: state, Sets: []OwnerSet{first}})
	got := n.Sets(id)
	if len(got) != 2 || got[0].Reign != first.Reign || got[1].Reign != (Reign{3, 1}) {
		t.Errorf("the sets that count are %v", got)
	}
}

// Most of an owner set are over, and so is what they promised: there may be another home
// by their promises, beyond a partition. Nobody claims the session as long as nodes are
// out of sight that may know of one.
func TestStrictSetThatIsOverBeyondAPartition(t *testing.T) {
	const id = SessionID("00000001s")
	c := newNet(t, 5, Config{Strict: true, AckTimeout: 200 * time.Millisecond, Owners: 3})
	c.nodes[1].Create(c.now, id)
	c.write(1, id, "v1")
	owners := c.nodes[1].Owners(id)
	last := owners[2]
	c.cut = func(from, to NodeID, _ Message) bool { return from == last || to == last }
	alone := []Member{c.member(last)}
	c.nodes[last].View(c.now, alone)
	c.nodes[last].Crashed(c.now, owners[0])
	c.nodes[last].Crashed(c.now, owners[1])
	c.nodes[last].Request(c.now, 7, id, 0)
	c.wait(3 * time.Second)
	if slices.Contains(c.seen, Effect(Answer{Request: 7, Verdict: Serve})) {
		t.Fatal("served though two nodes are out of sight")
	}
	for n := range c.nodes {
		if c.down[n] = n != last; c.down[n] {
			c.nodes[last].Crashed(c.now, n)
		}
	}
	c.nodes[last].View(c.now, alone)
	if a := c.request(last, id); a.Verdict != Serve {
		t.Errorf("verdict %+v by the only one that is left", a)
	}
}

// TestStrictSetThatIsOverAfterAPause: the last of an owner set that is not over finds that
// out when it goes on after a pause. Its view is of before: who came meanwhile, and was
// promised the session by those who are over now, is not in it yet.
func TestStrictSetThatIsOverAfterAPause(t *testing.T) {
	const id = SessionID("00000001s")
	c := newNet(t, 5, Config{Strict: true, AckTimeout: 200 * time.Millisecond, Owners: 3})
	c.nodes[1].Create(c.now, id)
	c.write(1, id, "v1")
	last := c.nodes[1].Owners(id)[2]
	c.down[last] = true
	c.wait(5 * time.Second)
	c.down[last] = false
	n := c.nodes[last]
	n.Tick(c.now)
	n.View(c.now, []Member{c.member(last)})
	for other := range c.nodes {
		if c.down[other] = other != last; c.down[other] {
			n.Crashed(c.now, other)
		}
	}
	c.seen = nil
	n.Request(c.now, 7, id, 0)
	served := Effect(Answer{Request: 7, Verdict: Serve})
	if c.wait(3 * time.Second); slices.Contains(c.seen, served) {
		t.Fatal("served by a view of before the pause")
	}
	if c.wait(10 * time.Second); !slices.Contains(c.seen, served) {
		t.Error("not served by the only one that is left")
	}
}

// TestStrictOwnersChange: nodes come, and others are a session's owners by that: it goes on
// being written, by sets that are those of the owners, and outlives its home.
func TestStrictOwnersChange(t *testing.T) {
	const id = SessionID("00000001s")
	cfg := Config{Strict: true, AckTimeout: 2 * time.Second, Retry: 200 * time.Millisecond, Owners: 3}
	c := newNet(t, 3, cfg)
	c.nodes[1].Create(c.now, id)
	c.write(1, id, "v1")
	for next := NodeID(4); next < 12; next++ {
		cfg.Self = next
		c.nodes[next] = NewNode(cfg, c.member(next), c.now)
		c.view()
		c.wait(time.Second)
	}
	owners := c.nodes[1].Owners(id)
	if slices.Contains(owners, 2) && slices.Contains(owners, 3) {
		t.Fatalf("the owners are %v still", owners)
	}
	if r := c.write(1, id, "v2"); r.Failed || r.Write == 0 {
		t.Fatalf("released %+v", r)
	}
	for _, o := range owners {
		if got := c.nodes[o].Sets(id); len(got) != 1 || !slices.Equal(got[0].Nodes, owners) {
			t.Errorf("the sets at node %d are %v, the owners %v", o, got, owners)
		}
	}
	c.crash(1)
	c.crash(3)
	last := owners[2]
	if a := c.request(last, id); a.Verdict != Serve {
		t.Errorf("verdict %+v", a)
	}
	c.expect(last, id, "v2")
}

// TestStrictOwnersNotReplacedYet: while the nodes that have come do not answer, those who
// were the owners have all changes, and none of them is told to forget the session.
func TestStrictOwnersNotReplacedYet(t *testing.T) {
	const id = SessionID("00000001s")
	cfg := Config{Strict: true, AckTimeout: 2 * time.Second, Retry: 200 * time.Millisecond, Owners: 3}
	c := newNet(t, 3, cfg)
	c.nodes[1].Create(c.now, id)
	c.write(1, id, "v1")
	c.cut = func(from, to NodeID, _ Message) bool { return from > 3 || to > 3 }
	for next := NodeID(4); next < 20; next++ {
		cfg.Self = next
		c.nodes[next] = NewNode(cfg, c.member(next), c.now)
		c.view()
	}
	c.wait(5 * time.Second)
	if r := c.write(1, id, "v2"); r.Failed || r.Write == 0 {
		t.Errorf("released %+v with all who were the owners", r)
	}
	for _, o := range []NodeID{2, 3} {
		c.expect(o, id, "v2")
	}
}

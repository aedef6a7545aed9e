package replica

import (
	"slices"
	"testing"
	"time"
)

// What is true no more when it comes, or was lost: news that others have overtaken.

// TestEpochOfACopyWithoutReign: a promise carries a copy, but no reign. When the node
// that got it passes it on and dies, the reign is nowhere, and the dots alone say how
// far the epochs had come: a new home must not begin before them, for what is
// acknowledged of the old copy would pass for its changes.
func TestEpochOfACopyWithoutReign(t *testing.T) {
	c := newNet(t, 2, Config{Ack: AckAll})
	old := &State{ID: "s"}
	old.Write(Dot{Epoch: 4, Node: 9, Clock: 7}, []Op{{Key: "k", Value: Value{Bytes: []byte("old")}}})
	c.nodes[1].Receive(c.now, 8, Copy{State: old})
	c.nodes[1].Request(c.now, 7, "s", 0)
	c.deliver()
	if r := c.nodes[1].Reign("s"); r.Home != 1 || r.Epoch <= 4 {
		t.Fatalf("the reign is %v, after changes of epoch 4", r)
	}
	c.cut = func(_, _ NodeID, m Message) bool { _, is := m.(*Update); return is }
	c.seen = nil
	c.nodes[1].Commit(c.now, 9, "s", []Op{{Key: "k", Value: Value{Bytes: []byte("new")}}})
	c.nodes[1].Receive(c.now, 2, Ack{ID: "s", Reign: c.nodes[1].Reign("s"), Dot: old.Heads[0], Sum: old.Sum()})
	c.deliver()
	if got := seenOf[Released](c); len(got) != 0 {
		t.Errorf("a change that nobody has was acknowledged: %v", got)
	}
	c.cut = nil
	c.wait(time.Second)
	if got := seenOf[Released](c); len(got) != 1 || got[0].Failed || got[0].Degraded {
		t.Errorf("released %v", got)
	}
	c.expect(2, "s", "new")
}

// TestDrainOfAPackedPromise: a node that has promised its session to another one, which
// died before it became the home, is asked to drain: the session, though it is packed
// and last was at home here, is without a home, and goes to whoever is left.
func TestDrainOfAPackedPromise(t *testing.T) {
	c := newNet(t, 3, Config{Pack: 100 * time.Millisecond, AdoptAfter: time.Hour})
	c.nodes[1].Create(c.now, sid)
	c.write(1, sid, "v")
	c.cut = func(_, to NodeID, m Message) bool { _, is := m.(Fenced); return to == 2 || is }
	c.nodes[1].Receive(c.now, 2, Claim{ID: sid, Reign: Reign{2, 2}})
	c.deliver()
	c.crash(2)
	c.wait(time.Second)
	c.cut = nil
	if _, packed := c.nodes[1].Len(); packed != 1 {
		t.Fatalf("%d sessions are packed", packed)
	}
	if c.nodes[1].Homes() != 1 {
		t.Errorf("nothing to drain, though its home is dead")
	}
	for range 10 {
		c.nodes[1].Drain(c.now)
		c.wait(40 * time.Millisecond)
	}
	if r := c.nodes[3].Reign(sid); r.Home != 3 || c.nodes[1].Homes() != 0 {
		t.Errorf("the reign is %v, and %d are left", r, c.nodes[1].Homes())
	}
	c.expect(3, sid, "v")
}

// TestLevelAfterAChange: the first that a joiner is sent of a session is a change, and
// it is lost: nobody says meanwhile that the joiner has all.
func TestLevelAfterAChange(t *testing.T) {
	cfg := Config{Retry: time.Hour, Ack: AckNone, DigestEvery: time.Hour}
	c := newNet(t, 1, cfg)
	c.nodes[1].Create(c.now, sid)
	c.write(1, sid, "old")
	cfg.Self = 2
	c.nodes[2] = NewNode(cfg, c.member(2), c.now)
	c.cut = func(_, _ NodeID, m Message) bool {
		switch m.(type) {
		case Copy, *Update:
			return true
		}
		return false
	}
	c.view()
	c.write(1, sid, "new")
	if c.wait(2 * time.Second); c.nodes[2].Level() {
		t.Fatal("a node that has nothing says that it is level")
	}
	c.cut = nil
	c.nodes[1].Reset(c.now, 2)
	if c.wait(2 * time.Second); !c.nodes[2].Level() {
		t.Error("it is not level though it has all")
	}
	c.expect(2, sid, "new")
}

// TestGrantOfBeforeAPause: a node stands still, is taken for dead, and then finds a
// grant that was taken back meanwhile: it must not serve what was changed since.
func TestGrantOfBeforeAPause(t *testing.T) {
	c := newSession(t, 3, Config{})
	var old Grant
	c.cut = func(_, to NodeID, m Message) bool {
		if g, is := m.(Grant); is {
			old = g
		}
		return to == 2
	}
	if !c.nodes[1].HandOver(c.now, sid, 2) {
		t.Fatal("not handed over")
	}
	c.deliver()
	c.crash(2) // so the others believe: it does not hear of it
	c.wait(time.Second)
	if a := c.request(1, sid); a.Verdict != Serve {
		t.Fatalf("the grant was not taken back: %+v", a)
	}
	c.write(1, sid, "new")
	c.down[2], c.cut = false, nil
	c.nodes[2].Receive(c.now, 1, old)
	if c.nodes[2].TryServe(c.now, sid) {
		t.Error("served though no owner has confirmed the reign")
	}
	if a := c.request(2, sid); a.Verdict == Serve {
		c.expect(2, sid, "new") // the owners have been asked
	}
	c.view()
	c.wait(2 * time.Second)
	c.expect(2, sid, "new")
	if r := c.nodes[2].Reign(sid); r != c.nodes[1].Reign(sid) {
		t.Errorf("the reign is %v at node 2, %v at node 1", r, c.nodes[1].Reign(sid))
	}
}

// TestReleaseOfAnEnd: word of a session's end was lost, and the home, where it lives on,
// releases the copy of the one node that knows of it: the home is told again, until it
// releases the end.
func TestReleaseOfAnEnd(t *testing.T) {
	c := newNet(t, 3, Config{Owners: 2, DigestEvery: time.Second})
	live, reign := &State{ID: sid}, Reign{2, 1}
	live.Write(Dot{Epoch: 1, Node: 1, Clock: 1}, []Op{{Key: "k", Value: Value{Bytes: []byte("v")}}})
	dead := &State{ID: sid, Life: Life{Kind: Dead, Dot: Dot{Epoch: 1, Node: 3, Clock: 2}}}
	n := c.nodes[3]
	n.Receive(0, 1, Copy{Reign: reign, State: live})
	n.Receive(0, 2, Copy{State: dead})
	n.Take()
	said := func() (out []State) {
		for _, e := range n.Take() {
			if s, ok := e.(Send); ok && s.To == 1 {
				if m, is := s.Message.(Copy); is {
					out = append(out, *m.State)
				}
			}
		}
		return out
	}
	n.Receive(0, 1, Release{sid, reign, live.Heads})
	if got := said(); len(got) != 1 || got[0].Life.Kind != Dead || n.lookup(sid).released {
		t.Errorf("the home, where the session lives, was sent %v", got)
	}
	n.Receive(0, 1, Release{sid, reign, nil})
	if got := said(); len(got) != 0 || !n.lookup(sid).released {
		t.Errorf("the home, where the session has ended, was sent %v", got)
	}
}

// TestRoomOfAFormerOwner: a copy is on its way to a node that is an owner no more, and the
// new owner's must wait for room: that of the former one is free for others, though nobody
// acknowledges its copy. Two sessions could wait for each other.
func TestRoomOfAFormerOwner(t *testing.T) {
	c := newNet(t, 4, Config{Owners: 2, Window: 1, MaxIdle: time.Hour})
	n := c.nodes[1]
	n.Create(c.now, sid)
	owner := n.Owners(sid)[1]
	former := owner%4 + 1
	if former == 1 {
		former = 2
	}
	c.cut = func(_, _ NodeID, m Message) bool { return true }
	c.write(1, sid, "v")
	s := n.lookup(sid)
	*s.peerFor(former) = peerCopy{node: former, owed: true, bulk: true, sent: c.now}
	*s.peerFor(owner) = peerCopy{node: owner, owed: true, sent: notSent}
	n.peer(former).bulk, n.peer(owner).bulk = 1, 1
	n.resync(s)
	if n.peer(former).bulk != 0 {
		t.Error("the room is taken still")
	}
}

// TestHalfARenameAtItsDeadline: a copy of a renamed session's end comes when the change's
// time is over, as its home will see with its next tick: it is not acknowledged without
// what the session has become.
func TestHalfARenameAtItsDeadline(t *testing.T) {
	n := newSession(t, 2, Config{AckTimeout: 2 * time.Second}).nodes[2]
	end := &State{ID: sid, Life: Life{Kind: Renamed, Dot: Dot{Epoch: 1, Node: 1, Clock: 1 << 60}, NewID: "00000001t"}}
	n.Take()
	n.Receive(n.now, 1, Copy{Reign: Reign{1, 1}, State: end, Idle: 2*time.Second + 10*time.Millisecond})
	for _, e := range n.Take() {
		if s, _ := e.(Send); s.Message != nil {
			if _, is := s.Message.(Ack); is {
				t.Errorf("half of it is acknowledged: %+v", s)
			}
		}
	}
}

// TestRenameByAFormerHome: a home renames its session and is told that there is a later
// one. The latter has the end, but what the session has become is lost on its way: its
// copy of the end does not say that the rename is safe.
func TestRenameByAFormerHome(t *testing.T) {
	const next = SessionID("00000001t")
	c := newSession(t, 2, Config{AckTimeout: 2 * time.Second})
	c.cut = func(NodeID, NodeID, Message) bool { return true }
	c.nodes[2].View(c.now, []Member{c.member(2)})
	if a := c.request(2, sid); a.Verdict != Serve {
		t.Fatalf("beyond a partition, the answer is %+v", a)
	}
	c.seen = nil
	c.nodes[1].Rename(c.now, 9, sid, next)
	c.deliver()
	c.cut = func(_, _ NodeID, m Message) bool {
		m2, is := m.(Copy)
		return is && m2.State.ID == next
	}
	c.view()
	c.wait(time.Second)
	if s := c.nodes[2].State(sid); s == nil || s.Life.Kind != Renamed || c.nodes[2].State(next) != nil {
		t.Fatalf("the later home has %v, and %v of what it became", s, c.nodes[2].State(next))
	}
	if r := c.released(); r.Write != 0 {
		t.Errorf("released %+v, though nobody else has what the session became", r)
	}
	c.cut = nil
	c.wait(600 * time.Millisecond)
	c.expect(2, next, "v1")
	if r := c.released(); r.Write != 9 || r.Failed || r.Degraded {
		t.Errorf("released %+v, though two nodes have it", r)
	}
}

// TestEndThatNobodyElseKnows: a session was ended by a home that is gone, and the only node
// that knows is none of its owners, one of which still is its home as far as it knows: the
// owners are told.
func TestEndThatNobodyElseKnows(t *testing.T) {
	c := newNet(t, 4, Config{Owners: 2, DigestEvery: time.Second, MaxIdle: time.Hour})
	home := Owners(sid, 0, 1, c.nodes[1].members)[0]
	c.nodes[home].Create(c.now, sid)
	c.write(home, sid, "v")
	owners := c.nodes[home].Owners(sid)
	i := slices.IndexFunc([]NodeID{1, 2, 3, 4}, func(id NodeID) bool { return !slices.Contains(owners, id) })
	end := &State{ID: sid, Life: Life{Kind: Dead, Dot: Dot{Epoch: 6, Node: 9, Clock: 2}}}
	c.nodes[NodeID(i+1)].Receive(c.now, 9, Copy{Reign: Reign{6, 9}, State: end})
	c.wait(5 * time.Second)
	for _, o := range owners {
		if s := c.nodes[o].State(sid); s == nil || s.Life.Kind == Live {
			t.Errorf("at the owner %d the session lives", o)
		}
	}
}

// TestLiveCopyOfAnEnd: who sends a live copy of what has ended is told so by whoever knows.
func TestLiveCopyOfAnEnd(t *testing.T) {
	c := newSession(t, 3, Config{})
	state := c.nodes[1].State(sid).Clone()
	n := c.nodes[3]
	n.Receive(c.now, 2, Copy{State: &State{ID: sid, Life: Life{Kind: Dead, Dot: Dot{Epoch: 1, Node: 3, Clock: 2}}}})
	n.Receive(c.now, 2, Fenced{sid, Reign{4, 2}})
	n.Take()
	n.Receive(c.now, 1, Copy{Reign: Reign{1, 1}, State: state})
	if !slices.ContainsFunc(n.Take(), func(e Effect) bool {
		s, _ := e.(Send)
		m, is := s.Message.(Copy)
		return is && s.To == 1 && m.State.Life.Kind == Dead
	}) {
		t.Error("not told of the end")
	}
}

// TestUseInAnEarlierReign: word of a use comes when the session has been promised to another
// node, which will ask how long it has not been used.
func TestUseInAnEarlierReign(t *testing.T) {
	c := newSession(t, 2, Config{MaxIdle: time.Hour})
	c.wait(10 * time.Second)
	n := c.nodes[2]
	n.Receive(c.now, 1, Fenced{sid, Reign{5, 1}})
	n.Receive(c.now, 1, Touch{sid, Reign{1, 1}})
	if age := n.Age(c.now, sid); age != 0 {
		t.Errorf("used %v ago", age)
	}
}

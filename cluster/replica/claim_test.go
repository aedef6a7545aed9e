package replica

import (
	"reflect"
	"slices"
	"testing"
	"time"
)

// Claims that something comes in between.

// TestForkFoundBeforeGrant: the other side of a fork comes with a promise, and the
// claim that it was for is overtaken by a grant of the home of this side: the fork is
// counted all the same.
func TestForkFoundBeforeGrant(t *testing.T) {
	member := func(id NodeID) Member { return Member{ID: id, Name: string(rune('a' + id))} }
	write := func(s *State, dot Dot) *State {
		s = s.Clone()
		s.Write(dot, []Op{{Key: "k", Value: Value{Bytes: []byte{byte(dot.Node)}}}})
		return s
	}
	base := write(&State{ID: "s"}, Dot{Epoch: 1, Node: 1, Clock: 1})
	one, two := write(base, Dot{Epoch: 1, Node: 1, Clock: 2}), write(base, Dot{Epoch: 2, Node: 2, Clock: 2})
	n := NewNode(Config{Self: 3}, member(3), 0)
	n.View(0, []Member{member(1), member(2), member(3), member(4)})
	n.Receive(0, 1, Copy{Reign: Reign{1, 1}, State: one})
	n.View(0, []Member{member(2), member(3), member(4)})
	n.Request(0, 7, "s", 0)
	n.Receive(0, 2, Promise{ID: "s", Reign: Reign{2, 3}, State: two})
	if got := n.Take(); slices.ContainsFunc(got, func(e Effect) bool { _, ok := e.(Forked); return ok }) {
		t.Fatalf("counted before it is the home: %v", got)
	}
	n.Receive(0, 1, Grant{Reign: Reign{3, 3}, State: one})
	forks := 0
	for _, e := range n.Take() {
		if f, ok := e.(Forked); ok && f.Shadowed == 1 {
			forks++
		}
	}
	if s := n.State("s"); forks != 1 || s == nil || !s.Forked() {
		t.Errorf("%d forks counted, copy %v", forks, s)
	}
}

// TestForkFoundWhileGranting: the home has handed the session over, and nobody has heard of
// it yet, when the other side of a fork comes: the grant carries it from then on, as if it
// had been counted long ago. So the one that grants counts it.
func TestForkFoundWhileGranting(t *testing.T) {
	c := newSession(t, 3, Config{Retry: time.Hour, MaxIdle: time.Hour})
	theirs := fork(c.nodes[1].State(sid))
	c.nodes[1].Drain(c.now) // and its grant is lost
	c.nodes[1].Take()
	if h := c.nodes[1].Homes(); h != 1 {
		t.Fatalf("%d sessions are at home or handed over", h)
	}
	c.nodes[1].Receive(c.now, 2, Copy{Reign: Reign{1, 2}, State: theirs})
	forks := 0
	for _, e := range c.nodes[1].Take() {
		if f, ok := e.(Forked); ok && f.ID == sid {
			forks++
		}
	}
	if s := c.nodes[1].State(sid); forks != 1 || !s.Forked() {
		t.Errorf("%d forks counted, copy %v", forks, s)
	}
}

// TestFencedByADeadHome: a backup whose home has handed the session on, and which has not
// heard of it, hears of the next home when that is gone already: it claims what is an
// orphan now, and does not wait for its age.
func TestFencedByADeadHome(t *testing.T) {
	for _, pack := range []time.Duration{-1, time.Second} {
		c := newNet(t, 2, Config{Pack: pack, AdoptAfter: time.Second, MaxIdle: time.Hour, DigestEvery: time.Hour})
		live := &State{ID: sid}
		live.Write(Dot{Epoch: 1, Node: 1, Clock: 1}, []Op{{Key: "k", Value: Value{Bytes: []byte("v")}}})
		c.nodes[2].Receive(c.now, 1, Copy{Reign: Reign{2, 1}, State: live})
		c.wait(10 * time.Second)
		c.nodes[2].Receive(c.now, 1, Fenced{sid, Reign{3, 4}})
		c.wait(10 * time.Second)
		if r := c.nodes[2].Reign(sid); r.Epoch <= 3 {
			t.Errorf("packed after %v: the reign is %v long after its home was found dead", pack, r)
		}
	}
}

// TestPromiseToOneThatGivesUp: a home promises its session to a claimer that then hears
// from another node that the session has ended, and so does not become the home: the
// former one, whose copy lives, asks until it knows.
func TestPromiseToOneThatGivesUp(t *testing.T) {
	for _, pack := range []time.Duration{-1, time.Second} {
		c := newSession(t, 3, Config{Pack: pack, MaxIdle: time.Hour, DigestEvery: time.Second})
		c.cut = func(_, _ NodeID, m Message) bool { _, is := m.(Digest); return is }
		c.wait(10 * time.Second)
		c.nodes[2].Receive(c.now, 3, Copy{State: &State{ID: sid, Life: Life{Kind: Dead, Dot: Dot{Epoch: 1, Node: 3, Clock: 2}}}})
		c.nodes[2].Receive(c.now, 3, Fenced{sid, Reign{2, 2}}) // of its claim
		c.nodes[1].Receive(c.now, 2, Claim{ID: sid, Reign: Reign{2, 2}})
		if c.wait(3 * time.Second); c.nodes[1].State(sid).Life.Kind == Live {
			t.Errorf("packed after %v: the session lives on", pack)
		}
	}
}

// TestRivalOutOfView: a node that has gone on after a pause, and is in nobody's view yet,
// claims a session, and then another one does: who promises both tells the first, and names
// it to the second.
func TestRivalOutOfView(t *testing.T) {
	n := newSession(t, 2, Config{}).nodes[2]
	n.View(n.now, []Member{{ID: 2, Name: "b"}, {ID: 4, Name: "d"}})
	n.Receive(n.now, 1, Claim{ID: sid, Reign: Reign{2, 1}})
	n.Receive(n.now, 1, Copy{Reign: Reign{2, 1}, State: n.State(sid).Clone()})
	n.Take()
	n.Receive(n.now, 4, Claim{ID: sid, Reign: Reign{2, 4}})
	told, named := false, false
	for _, e := range n.Take() {
		s, _ := e.(Send)
		f, fenced := s.Message.(Fenced)
		told = told || fenced && s.To == 1 && f.Reign == Reign{2, 4}
		p, _ := s.Message.(Promise)
		named = named || s.To == 4 && p.Alive == 1
	}
	if !told || !named {
		t.Errorf("the first claimer was told: %t; the second heard of it: %t", told, named)
	}
}

// TestBehindIsTold: a node that tells of a reign which has been overtaken hears of the later
// one: nobody else may tell it.
func TestBehindIsTold(t *testing.T) {
	n := newSession(t, 3, Config{}).nodes[2]
	n.Receive(n.now, 1, Fenced{sid, Reign{5, 1}})
	n.Take()
	n.Receive(n.now, 3, Fenced{sid, Reign{3, 3}})
	n.Receive(n.now, 3, Fenced{sid, Reign{5, 1}}) // which is nothing new to either
	want := []Effect{Send{To: 3, Message: Fenced{sid, Reign{5, 1}}}}
	if got := n.Take(); !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// TestChainOfHomes: a node that has just come, and sees one other, claims a session. That
// one has an old copy and names a home of long ago, which names the home that is: it too
// is asked.
func TestChainOfHomes(t *testing.T) {
	c := newNet(t, 1, Config{})
	n := c.nodes[1]
	n.View(0, []Member{c.member(1), c.member(2)})
	old := &State{ID: sid}
	old.Write(Dot{Epoch: 1, Node: 3, Clock: 1}, []Op{{Key: "k", Value: Value{Bytes: []byte("old")}}})
	n.Receive(0, 2, Copy{Reign: Reign{1, 3}, State: old})
	n.Request(0, 7, sid, 0)
	claim := n.lookup(sid).claim.reign
	n.Receive(0, 2, Promise{ID: sid, Reign: claim, Same: true, Alive: 3})
	n.Receive(0, 3, Promise{ID: sid, Reign: claim, Same: true, Alive: 4})
	asked := false
	for _, e := range n.Take() {
		m, _ := e.(Send)
		_, is := m.Message.(Claim)
		asked = asked || is && m.To == 4
		if _, claimed := e.(Claimed); claimed {
			t.Error("claimed without the home that is")
		}
	}
	if !asked {
		t.Fatal("the home that is was not asked")
	}
	state := old.Clone()
	state.Write(Dot{Epoch: 2, Node: 4, Clock: 2}, []Op{{Key: "k", Value: Value{Bytes: []byte("new")}}})
	n.Receive(0, 4, Promise{ID: sid, Reign: claim, State: state})
	if !slices.Contains(n.Take(), Effect(Answer{Request: 7, Verdict: Serve})) {
		t.Error("not served when all have answered")
	}
	c.expect(1, sid, "new")
}

// TestDuelOfClaims: two nodes that do not hear each other claim one session, and a third
// one, which hears both, refuses each in favour of the other: they give each other a turn,
// and do not outbid each other with each round trip.
func TestDuelOfClaims(t *testing.T) {
	c := newNet(t, 3, Config{})
	c.nodes[3].Create(c.now, sid)
	c.write(3, sid, "v")
	c.nodes[3].HandOver(c.now, sid, 1)
	c.deliver()
	claims := 0
	c.cut = func(from, to NodeID, m Message) bool {
		if _, is := m.(Claim); is {
			claims++
		}
		return from+to == 3 // 1 and 2
	}
	for _, id := range []NodeID{1, 2} {
		c.nodes[id].View(c.now, []Member{c.member(id), c.member(3)})
	}
	c.nodes[3].Receive(c.now, 2, Claim{ID: sid, Reign: Reign{5, 2}})
	c.seen = nil
	c.nodes[1].Request(c.now, 11, sid, 0)
	c.nodes[2].Request(c.now, 12, sid, 0)
	n := c.nodes[1]
	n.Receive(c.now, 3, Fenced{sid, Reign{6, 2}})
	for e := uint64(0); e < 100; e++ {
		n.Request(c.now, 20+e, sid, 0)
		if s := n.lookup(sid); s.claim != nil {
			n.Receive(c.now, 3, Fenced{sid, Reign{s.claim.reign.Epoch, 2}})
		}
	}
	if c.deliver(); claims > 10 {
		t.Errorf("%d claims at once", claims)
	}
	for range 20 {
		c.wait(100 * time.Millisecond)
	}
	served := map[uint64]bool{}
	for _, e := range c.seen {
		if a, ok := e.(Answer); ok && a.Verdict == Serve {
			served[a.Request] = true
		}
	}
	if !served[11] || !served[12] {
		t.Errorf("served %v", served)
	}
}

// TestPromiseOfBeforeAPause: a node claims a session and stands still before the promises
// come. It is taken for dead, another one claims the session and changes it; the promises
// that the first one then finds are worth nothing any more.
func TestPromiseOfBeforeAPause(t *testing.T) {
	c := newSession(t, 3, Config{Retry: time.Hour})
	var old Promise
	c.cut = func(_, to NodeID, m Message) bool {
		if p, is := m.(Promise); is && to == 2 {
			old = p
			return true
		}
		return false
	}
	c.crash(1)
	c.seen = nil
	c.nodes[2].Request(c.now, 7, sid, 0)
	c.deliver()
	c.crash(2) // so the others believe: it does not hear of it
	c.wait(time.Second)
	if a := c.request(3, sid); a.Verdict != Serve {
		t.Fatalf("the other one is told %+v", a)
	}
	c.write(3, sid, "new")
	c.cut = func(from, to NodeID, _ Message) bool { return from == 2 || to == 2 }
	c.down[2], c.seen = false, nil
	c.nodes[2].Tick(c.now)
	c.nodes[2].Receive(c.now, 3, old)
	c.deliver()
	if slices.Contains(c.seen, Effect(Answer{Request: 7, Verdict: Serve})) {
		t.Error("served by a promise of before the pause")
	}
	c.cut = nil
	c.nodes[2].Reset(c.now, 3)
	c.view()
	c.wait(2 * time.Second)
	if a := c.request(2, sid); a.Verdict == Serve {
		c.expect(2, sid, "new")
	}
	c.wait(2 * time.Second)
	c.expect(2, sid, "new")
}

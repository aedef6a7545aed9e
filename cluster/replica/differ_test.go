package replica

import (
	"fmt"
	"testing"
	"time"
)

// What differs between copies after a cut, a pause or a merge is found and sent in time.

// TestMergeAtHome: a copy from elsewhere changes a session at its home, whether or not
// others have acknowledged all that it had: they are sent it at once, not after Retry or
// with the next digest.
func TestMergeAtHome(t *testing.T) {
	other := func(s *State, kind Kind) *State {
		s = s.Clone()
		s.Life = Life{Kind: kind, Dot: Dot{Epoch: 6, Node: 9, Clock: 2}}
		return s
	}
	for name, tc := range map[string]struct {
		level  bool
		theirs func(*State) *State
	}{
		"an end, a change not acknowledged": {false, func(s *State) *State { return other(s, Dead) }},
		"a fork, all level":                 {true, fork},
		"a fork, a change not acknowledged": {false, fork},
	} {
		t.Run(name, func(t *testing.T) {
			c := newSession(t, 3, Config{DigestEvery: time.Hour, Retry: time.Hour, AckTimeout: 20 * time.Millisecond, MaxIdle: time.Hour})
			theirs := tc.theirs(c.nodes[1].State(sid))
			c.wait(time.Second) // the first digests are sent
			c.cut = func(_, _ NodeID, m Message) bool { _, is := m.(Ack); return is && !tc.level }
			c.write(1, sid, "v2")
			c.cut = nil
			c.nodes[1].Receive(c.now, 2, Copy{Reign: Reign{1, 1}, State: theirs})
			c.wait(time.Second)
			want := c.nodes[1].Fingerprints()[0]
			for id := NodeID(2); id <= 3; id++ {
				if got := c.nodes[id].Fingerprints()[0]; got != want {
					t.Errorf("node %d has %v, the home %v", id, got, want)
				}
			}
		})
	}
}

// fork is what a home that knew nothing of the later changes has made of a session, whose
// dot is lower than theirs.
func fork(s *State) *State {
	f := &State{ID: s.ID}
	f.Apply(f.Write(Dot{Epoch: 1, Node: 2, Clock: 1}, []Op{{Key: "other", Value: Value{Bytes: []byte("w")}}}))
	return f
}

// TestDigestsAfterADisturbance: in each interval after a view, a reset or a pause, all peers
// get a digest; in a calm, one.
func TestDigestsAfterADisturbance(t *testing.T) {
	const every = 2 * time.Second
	c := newNet(t, 5, Config{DigestEvery: every, Pause: time.Second})
	to := map[NodeID]int{}
	c.cut = func(from, to_ NodeID, m Message) bool {
		if _, is := m.(Digest); is && from == 1 {
			to[to_]++
		}
		return false
	}
	count := func(what string, atLeast, atMost int) {
		t.Helper()
		clear(to)
		c.wait(every + 100*time.Millisecond)
		if n := len(to); n < atLeast || n > atMost {
			t.Errorf("%s: a digest to %d peers", what, n)
		}
	}
	calm := func() {
		t.Helper()
		c.wait((soonRounds + 1) * every)
		count("in a calm", 1, 2)
	}
	count("after a view", 4, 4)
	calm()
	c.nodes[1].Reset(c.now, 2)
	count("after a reset", 4, 4)
	calm()
	c.now += 2 * time.Second // all stand still
	count("after a pause", 4, 4)
	calm()
}

// TestStrangersWithOneSession: two parts of a cut cluster, of nodes that have all started again
// since, have a home of the same session each, and no owner of it in common. When they meet,
// all are strangers, and one home is left, with what both have written.
func TestStrangersWithOneSession(t *testing.T) {
	cfg := Config{Owners: 2, DigestEvery: time.Second, MaxIdle: time.Hour}
	c := newNet(t, 0, cfg)
	zones := map[NodeID]string{1: "x", 2: "y", 3: "y", 4: "x"}
	member := func(id NodeID) Member { return Member{ID: id, Name: c.member(id).Name, Zone: zones[id]} }
	for i := NodeID(1); i <= 4; i++ {
		cfg.Self = i
		c.nodes[i] = NewNode(cfg, member(i), 0)
	}
	part := func(ids ...NodeID) {
		var members []Member
		for _, id := range ids {
			members = append(members, member(id))
		}
		for _, id := range ids {
			c.nodes[id].View(c.now, members)
		}
		c.wait(time.Second)
	}
	all := []Member{member(1), member(2), member(3), member(4)}
	id := SessionID("00000001s")
	for i := 0; Owners(id, 1, 2, all)[1] != 2 || Owners(id, 3, 2, all)[1] != 4; i++ {
		if i > 1000 {
			t.Fatal("all sessions have a common owner")
		}
		id = SessionID(fmt.Sprintf("%08xs", i)) // a common owner would find it
	}
	part(1, 2)
	part(3, 4)
	state := &State{ID: id}
	state.Apply(state.Write(Dot{Epoch: 1, Node: 9, Clock: 1}, []Op{{Key: "k", Value: Value{Bytes: []byte("v")}}}))
	for _, at := range []NodeID{1, 3} {
		c.nodes[at].Receive(c.now, 9, Copy{Reign: Reign{1, 9}, State: state})
		if a := c.request(at, id); a.Verdict != Serve {
			t.Fatalf("node %d: %+v", at, a)
		}
	}
	c.nodes[3].Commit(c.now, 9, id, []Op{{Key: "k2", Value: Value{Bytes: []byte("v2")}}})
	c.deliver()
	part(1, 2, 3, 4)
	c.wait(5 * time.Second)
	home := c.nodes[1].Reign(id).Home
	for i := NodeID(1); i <= 4; i++ {
		if n := c.nodes[i]; n.Homes() > 0 != (i == home) {
			t.Errorf("node %d has %d sessions at home, which is node %d", i, n.Homes(), home)
		}
	}
	if _, ok := c.nodes[home].State(id).Get("k2"); !ok {
		t.Error("a change is lost")
	}
}

// TestNoWordOfHomesToAJoiner: who comes without copies needs no list of homes, and has none
// to tell but of what it has taken over.
func TestNoWordOfHomesToAJoiner(t *testing.T) {
	cfg := Config{Self: 3, Owners: 2, DigestEvery: time.Second, MaxIdle: time.Hour}
	c := newSession(t, 2, cfg)
	c.wait(10 * time.Second)
	c.cut = func(from, to NodeID, m Message) bool {
		if h, is := m.(Homes); is && len(h.Entries) > 0 {
			t.Errorf("node %d tells node %d of %v", from, to, h.Entries)
		}
		return false
	}
	c.nodes[3] = NewNode(cfg, c.member(3), c.now)
	c.view()
	c.nodes[3].Create(c.now, "00000001t")
	c.write(3, "00000001t", "v")
	c.wait(10 * time.Second)
}

// TestDigestsOfALargeCluster: however many peers there are, only so many digests go out
// after a disturbance.
func TestDigestsOfALargeCluster(t *testing.T) {
	n := NewNode(Config{Self: 1, Owners: 2, DigestEvery: 16 * time.Second}, Member{ID: 1}, 0)
	var members []Member
	for id := NodeID(1); id <= 200; id++ {
		members = append(members, Member{ID: id})
	}
	n.View(0, members)
	n.Take()
	digests := 0
	for now := time.Duration(0); now < 16*time.Second; now += 100 * time.Millisecond {
		n.Tick(now)
		for _, e := range n.Take() {
			if s, _ := e.(Send); s.Message != nil {
				if _, is := s.Message.(Digest); is {
					digests++
				}
			}
		}
	}
	if digests < soonPeers-1 || digests > soonPeers+1 {
		t.Errorf("%d digests in one interval", digests)
	}
}

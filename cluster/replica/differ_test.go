package replica

import (
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

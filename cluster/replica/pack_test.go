package replica

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// A packed session, unpacked, is what it was, and keeps what it holds whatever
// becomes of the others.
func TestPackedSessionsAreKept(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := NewNode(Config{Self: 1, Pack: time.Millisecond}, Member{ID: 1, Name: "a"}, 0)
		type kept struct {
			state *State
			reign Reign
			sets  []OwnerSet
		}
		want := map[SessionID]kept{}
		for i := range rapid.IntRange(1, 8).Draw(t, "sessions") {
			id := SessionID(fmt.Sprintf("%08d-%d", i*7, i))
			w := drawWorld(t, true)
			st := joined(w.copies...)
			st.ID = id
			for j := range st.Registers {
				drawValues(t, &st.Registers[j])
			}
			s := n.get(id)
			s.State = st.Clone()
			s.reign = Reign{Epoch: rapid.Uint32().Draw(t, "epoch"), Home: rapid.SampledFrom([]NodeID{1, 2, 1 << 31}).Draw(t, "home")}
			s.promised = s.reign
			if rapid.Bool().Draw(t, "promised") {
				s.promised.Epoch++
			}
			if rapid.Bool().Draw(t, "strict") {
				s.sets = []OwnerSet{{Reign: s.reign, Nodes: []NodeID{1, 2}, First: true}, {Reign: s.promised}}
			}
			s.asked, s.endedAt, s.keep, s.confirmed = 5, 6, 7, 8
			s.noteCopy(9)
			s.peers[0].acked = s.latest()
			n.note(s)
			want[id] = kept{st, s.reign, s.sets}
			n.pack(s)
		}
		for id, k := range want {
			if rapid.Bool().Draw(t, "unpack") {
				n.pack(n.lookup(id))
			}
			got := n.look(second(n.find(id)))
			if !equal(got.State, k.state) || got.Life != k.state.Life || got.reign != k.reign || len(got.sets) != len(k.sets) {
				t.Fatalf("packed %+v, unpacked %+v", k, got)
			}
			if !got.levelAt(9) || got.asked != 5 || got.confirmed != 8 || got.Life.Kind != Live && (got.endedAt != 6 || got.keep != 7) {
				t.Fatalf("what is known beside the copy is lost: %+v", got)
			}
		}
	})
}

func second(_ uint32, sl *slot) *slot { return sl }

// drawValues gives a register values of all shapes.
func drawValues(t *rapid.T, r *Register) {
	for i := range r.Versions {
		switch rapid.IntRange(0, 3).Draw(t, "shape") {
		case 0:
			r.Versions[i].Value = Value{}
		case 1:
			r.Versions[i].Value = Value{Bytes: rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "bytes")}
		default:
			r.Versions[i].Value = Value{Map: rapid.MapOfN(rapid.String(), rapid.SliceOf(rapid.Byte()), 0, 4).Draw(t, "map")}
		}
	}
}

// The table finds what is in it, and nothing else, packed or not.
func TestTable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := NewNode(Config{Self: 1}, Member{ID: 1, Name: "a"}, 0)
		model := map[SessionID]bool{}
		ids := rapid.SampledFrom([]SessionID{"00000001", "00000002", "00000003", "00000004a", "00000004b"})
		t.Repeat(map[string]func(*rapid.T){
			"get": func(t *rapid.T) {
				id := ids.Draw(t, "id")
				if n.get(id).ID != id {
					t.Fatal("another one")
				}
				model[id] = true
			},
			"many": func(*rapid.T) {
				for i := range 200 {
					id := SessionID(fmt.Sprint("many", i))
					n.get(id)
					model[id] = true
				}
			},
			"pack": func(t *rapid.T) {
				if s := n.lookup(ids.Draw(t, "id")); s != nil {
					n.pack(s)
				}
			},
			"forget": func(t *rapid.T) {
				id := ids.Draw(t, "id")
				if s := n.lookup(id); s != nil {
					n.forget(s)
				}
				delete(model, id)
			},
			"": func(t *rapid.T) {
				for _, id := range []SessionID{"00000001", "00000002", "00000003", "00000004a", "00000004b", "many7", "none"} {
					if i, sl := n.find(id); (i != 0) != model[id] || i != 0 && n.idOf(sl) != id {
						t.Fatalf("%s: found as %d, want %v", id, i, model[id])
					}
				}
				if all, _ := n.Len(); all != len(model) {
					t.Fatalf("%d sessions, want %d", all, len(model))
				}
			},
		})
	})
}

// Sessions come out of the wheel when they are due, none before and none never.
func TestWheel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := NewNode(Config{Self: 1}, Member{ID: 1, Name: "a"}, 0)
		due := map[uint32]time.Duration{}
		for i := range rapid.IntRange(1, 20).Draw(t, "sessions") {
			s := n.get(SessionID(fmt.Sprintf("%08d", i)))
			at := time.Duration(rapid.Int64Range(0, int64(3*time.Minute)).Draw(t, "due"))
			n.schedule(s.number, s.slot, at)
			if other := time.Duration(rapid.Int64Range(0, int64(3*time.Minute)).Draw(t, "again")); rapid.Bool().Draw(t, "twice") {
				n.schedule(s.number, s.slot, other)
				at = min(at, other)
			}
			due[s.number] = at
		}
		for n.now < 3*time.Minute+time.Second {
			n.now += time.Duration(rapid.Int64Range(1, int64(20*time.Second)).Draw(t, "step"))
			for i := n.nextDue(); i != 0; i = n.nextDue() {
				if at, ok := due[i]; !ok || at > n.now {
					t.Fatalf("session %d at %v, due at %v", i, n.now, at)
				}
				delete(due, i)
			}
			for i, at := range due {
				if at+2*wheelTick < n.now {
					t.Fatalf("session %d was due at %v, and at %v it still waits", i, at, n.now)
				}
			}
		}
	})
}

// The digests, kept with each change, are what a walk through all copies gives.
func TestDigestsAreKept(t *testing.T) {
	for _, owners := range []int{0, 2} {
		c := newNet(t, 4, Config{Owners: owners, Pack: 100 * time.Millisecond, DigestEvery: time.Hour})
		for i := range 30 {
			id := sessionOf(i)
			at := NodeID(i%4 + 1)
			c.nodes[at].Create(c.now, id)
			c.write(at, id, "v1")
			if i%5 == 0 {
				c.write(at, id, "v2")
			}
			if i%7 == 0 {
				c.nodes[at].End(c.now, 1, id, Invalidated)
			}
			c.wait(40 * time.Millisecond)
		}
		c.crash(4)
		c.wait(3 * time.Second)
		for _, id := range []NodeID{1, 2, 3} {
			n := c.nodes[id]
			for _, peer := range []NodeID{1, 2, 3} {
				if peer == id {
					continue
				}
				var want [Segments]uint64
				for _, f := range n.shared(peer, ^uint64(0)) {
					want[f.ID.Segment()] += f.Sum
				}
				if got := *n.digests.of(peer, n.allOwn()); got != want {
					t.Errorf("owners %d, node %d with %d: the kept digest differs from the counted one", owners, id, peer)
				}
			}
		}
	}
}

func TestFingerprintsAreSorted(t *testing.T) {
	c := newNet(t, 1, Config{})
	for i := range 100 {
		c.nodes[1].Create(c.now, sessionOf(i))
		c.write(1, sessionOf(i), "v")
	}
	list := c.nodes[1].Fingerprints()
	if len(list) != 100 || !slices.IsSortedFunc(list, func(a, b Fingerprint) int { return compareID(a.ID, b.ID) }) {
		t.Errorf("%d fingerprints, or in another order", len(list))
	}
}

func compareID(a, b SessionID) int {
	if a < b {
		return -1
	}
	return 1
}

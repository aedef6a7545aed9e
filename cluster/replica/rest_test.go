package replica

import (
	"reflect"
	"testing"
	"time"
)

// A copy that goes into the arena as it comes leaves the node, and its peers, with
// what any other copy leaves them with.
func TestCopiesAtRestAreLikeOthers(t *testing.T) {
	d := Dot{Epoch: 3, Node: 1, Clock: 77}
	state := func(id SessionID) *State {
		return &State{ID: id, Heads: []Dot{d}, Seen: Context{d}, Registers: []Register{{"a", []Version{{d, Value{Bytes: smallValue}}}}}}
	}
	for _, c := range []struct {
		name   string
		from   NodeID
		m      Copy
		atRest bool
	}{
		{"at rest", 1, Copy{Reign: Reign{3, 1}, State: state("s"), Idle: time.Minute}, true},
		{"with owner sets", 1, Copy{Reign: Reign{3, 1}, State: state("s"), Sets: []OwnerSet{{Reign: Reign{3, 1}, Nodes: []NodeID{1, 2}}}, Idle: time.Minute}, true},
		{"just used", 1, Copy{Reign: Reign{3, 1}, State: state("s")}, false},
		{"of another backup", 3, Copy{Reign: Reign{3, 1}, State: state("s"), Idle: time.Minute}, false},
		{"too old", 1, Copy{Reign: Reign{3, 1}, State: state("s"), Idle: 40 * time.Minute}, false},
		{"ended", 1, Copy{Reign: Reign{3, 1}, State: &State{ID: "s", Life: Life{Kind: Dead, Dot: d}}, Idle: time.Minute}, false},
		{"of a stranger", 9, Copy{Reign: Reign{3, 9}, State: state("s"), Idle: time.Minute}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			receive := func(pack time.Duration) (*Node, []Effect) {
				n := newPair(Config{Pack: pack}).backup
				n.Receive(2*time.Second, c.from, c.m)
				return n, append([]Effect{}, n.Take()...)
			}
			got, effects := receive(time.Second)
			want, wanted := receive(-1)
			if _, packed := got.Len(); (packed == 1) != c.atRest {
				t.Fatalf("%d sessions are packed at once", packed)
			}
			if !reflect.DeepEqual(effects, wanted) {
				t.Errorf("effects are %v, not %v", effects, wanted)
			}
			if !reflect.DeepEqual(got.Fingerprints(), want.Fingerprints()) || got.digests.all != want.digests.all {
				t.Errorf("fingerprints are %v, not %v", got.Fingerprints(), want.Fingerprints())
			}
			if g, w := got.Age(3*time.Second, "s"), want.Age(3*time.Second, "s"); g != w || got.Reign("s") != want.Reign("s") {
				t.Errorf("age %s and reign %v, not %s and %v", g, got.Reign("s"), w, want.Reign("s"))
			}
			if g, w := got.State("s"), want.State("s"); g == nil || !equal(g, w) {
				t.Errorf("the copy is %v, not %v", g, w)
			}
			i, sl := got.find("s")
			if j, other := want.find("s"); !reflect.DeepEqual(got.look(sl).sets, want.look(other).sets) || i == 0 || j == 0 {
				t.Errorf("owner sets are %v", got.look(sl).sets)
			}
		})
	}
}

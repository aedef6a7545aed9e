package replica

import (
	"reflect"
	"testing"
)

// TestCloneIsIndependent clones copies that fit one allocation and larger ones,
// and changes the clones.
func TestCloneIsIndependent(t *testing.T) {
	written := func(keys ...string) *State {
		s := &State{ID: "0000000000000001"}
		for i, k := range keys {
			s.Write(Dot{Epoch: 1, Node: 7, Clock: uint64(i + 1)}, []Op{{Key: k, Value: Value{Bytes: []byte(k)}}})
		}
		return s
	}
	forked := written("", "a")
	forked.Heads = append(forked.Heads, Dot{Epoch: 1, Node: 8, Clock: 1})
	forked.Seen = forked.Seen.add(Dot{Epoch: 1, Node: 8, Clock: 1})
	dead := written("a")
	dead.End(Life{Kind: Dead, Dot: Dot{Epoch: 1, Node: 7, Clock: 9}})
	for name, s := range map[string]*State{
		"nothing": {ID: "0000000000000001"}, "one": written(""), "two": written("", "a"), "three": written("", "a", "b"),
		"rewritten": written("a", "a"), "forked": forked, "dead": dead,
	} {
		want, c := s.Clone(), s.Clone()
		if !reflect.DeepEqual(c, s) {
			t.Errorf("%s: the clone is %+v, want %+v", name, c, s)
		}
		if s.Life.Kind != Live {
			continue
		}
		c.Write(Dot{Epoch: 2, Node: 9, Clock: 20}, []Op{
			{Key: "", Value: Value{Bytes: []byte("new")}}, {Key: "aa", Value: Value{Bytes: []byte("new")}}, {Key: "a", Remove: true},
		})
		if !reflect.DeepEqual(s, want) {
			t.Errorf("%s: a change of the clone has changed the original to %+v", name, s)
		}
		c, other := s.Clone(), written("x", "y", "z")
		c.Join(other)
		if !reflect.DeepEqual(s, want) {
			t.Errorf("%s: a join of the clone has changed the original to %+v", name, s)
		}
	}
}

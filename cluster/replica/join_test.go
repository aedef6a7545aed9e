package replica

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// equal compares all of two copies, not only what SameAs looks at.
func equal(a, b *State) bool {
	return a.SameAs(b) && a.Seen.Includes(b.Seen) && b.Seen.Includes(a.Seen) &&
		slices.EqualFunc(a.Registers, b.Registers, func(x, y Register) bool {
			return x.Key == y.Key && slices.EqualFunc(x.Versions, y.Versions, func(v, w Version) bool {
				return v.Dot == w.Dot && v.Value.Equal(w.Value)
			})
		})
}

// world is a set of copies of one session that nodes write and join at random,
// as a cluster under partitions would.
type world struct {
	copies []*State
	clock  uint64
}

func drawWorld(t *rapid.T, ends bool) *world {
	w := &world{}
	for range 3 {
		w.copies = append(w.copies, &State{ID: "s"})
	}
	for range rapid.IntRange(1, 24).Draw(t, "steps") {
		w.step(t, ends)
	}
	return w
}

func (w *world) step(t *rapid.T, ends bool) {
	i := rapid.IntRange(0, len(w.copies)-1).Draw(t, "node")
	s := w.copies[i]
	what := rapid.IntRange(0, 9).Draw(t, "what")
	if what < 4 {
		s.Join(w.copies[rapid.IntRange(0, len(w.copies)-1).Draw(t, "from")])
		return
	}
	if s.Life.Kind != Live {
		return
	}
	w.clock++
	dot := Dot{Epoch: s.Epoch() + uint32(rapid.IntRange(0, 1).Draw(t, "claim")), Node: uint32(i), Clock: w.clock}
	if ends && what == 9 {
		s.End(Life{Kind: Kind(rapid.IntRange(1, 2).Draw(t, "kind")), Dot: dot, NewID: SessionID(fmt.Sprint(w.clock))})
		return
	}
	s.Write(dot, drawOps(t, dot))
}

func drawOps(t *rapid.T, dot Dot) []Op {
	return rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) Op {
		return Op{
			Key:    rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "key"),
			Value:  Value{Bytes: []byte(dot.String())},
			Remove: rapid.Bool().Draw(t, "remove"),
		}
	}), 0, 3, func(o Op) string { return o.Key }).Draw(t, "ops")
}

func joined(list ...*State) *State {
	out := list[0].Clone()
	for _, s := range list[1:] {
		out.Join(s)
	}
	return out
}

func TestJoinIsALeastUpperBound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t, rapid.Bool().Draw(t, "ends"))
		a, b, c := w.copies[0], w.copies[1], w.copies[2]
		for name, pair := range map[string][2]*State{
			"commutative": {joined(a, b), joined(b, a)},
			"associative": {joined(joined(a, b), c), joined(a, joined(b, c))},
			"idempotent":  {joined(a, a), a},
			"absorbing":   {joined(joined(a, b), b), joined(a, b)},
		} {
			if !equal(pair[0], pair[1]) {
				t.Fatalf("join is not %s:\n%+v\n%+v", name, pair[0], pair[1])
			}
		}
	})
}

func TestEqualHeadsMeanEqualCopies(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t, true)
		for _, a := range w.copies {
			for _, b := range w.copies {
				if a.SameAs(b) && !equal(a, b) {
					t.Fatalf("same heads, other content:\n%+v\n%+v", a, b)
				}
			}
		}
	})
}

func TestApplyEqualsJoin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t, false)
		s := w.copies[0]
		before := s.Clone()
		w.clock++
		dot := Dot{Epoch: s.Epoch(), Node: 0, Clock: w.clock}
		d := s.Write(dot, drawOps(t, dot))
		byDelta := before.Clone()
		if got := byDelta.Apply(d); got != Applied {
			t.Fatalf("apply on the base: outcome %d", got)
		}
		if byJoin := joined(before, s); !equal(byDelta, byJoin) || !equal(byDelta, s) {
			t.Fatalf("delta and join differ:\n%+v\n%+v", byDelta, byJoin)
		}
		if got := byDelta.Apply(d); got != Stale {
			t.Fatalf("a change applied twice: outcome %d", got)
		}
		for _, o := range w.copies[1:] {
			same := slices.Equal(o.Heads, d.Base)
			if got := o.Clone().Apply(d); (got == Applied) != same {
				t.Fatalf("outcome %d on heads %v of a change to %v", got, o.Heads, d.Base)
			}
		}
	})
}

func TestEndedSessionsStayEnded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t, true)
		dead := w.copies[0].Clone()
		dead.Join(&State{ID: "s", Life: Life{Kind: Dead, Dot: Dot{Epoch: 1, Clock: 1}}})
		for range 10 {
			w.step(t, true)
			for _, c := range w.copies {
				dead.Join(c)
			}
			if dead.Life.Kind != Dead || dead.Registers != nil || dead.Known() != true {
				t.Fatalf("resurrected: %+v", dead)
			}
		}
	})
}

// TestRemovedWinnerLeavesTheLoser is the case that rules out keeping only the
// winner of a fork: the join would depend on the order.
func TestRemovedWinnerLeavesTheLoser(t *testing.T) {
	base := &State{ID: "s"}
	base.Write(Dot{Epoch: 1, Node: 1, Clock: 1}, nil)
	a, b := base.Clone(), base.Clone()
	a.Write(Dot{Epoch: 2, Node: 2, Clock: 2}, []Op{{Key: "x", Value: Value{Bytes: []byte("low")}}})
	b.Write(Dot{Epoch: 2, Node: 3, Clock: 3}, []Op{{Key: "x", Value: Value{Bytes: []byte("high")}}})
	c := b.Clone()
	c.Write(Dot{Epoch: 3, Node: 3, Clock: 4}, []Op{{Key: "x", Remove: true}})
	for _, s := range []*State{joined(a, b, c), joined(a, c, b), joined(c, b, a)} {
		v, ok := s.Get("x")
		if !ok || string(v.Value.Bytes) != "low" || !s.Forked() {
			t.Fatalf("x = %q, %v in %+v", v.Value.Bytes, ok, s)
		}
	}
	merged := joined(a, b)
	if v, _ := merged.Get("x"); string(v.Value.Bytes) != "high" {
		t.Fatalf("the higher dot must win, got %q", v.Value.Bytes)
	}
	if got := a.Clone(); got.Join(b) != (Joined{Changed: true, Forked: true, Shadowed: 1}) {
		t.Fatal("a fork must be counted")
	}
}

func TestSecondRenameOfAForkLoses(t *testing.T) {
	a, b := &State{ID: "s"}, &State{ID: "s"}
	a.End(Life{Kind: Renamed, Dot: Dot{Epoch: 2, Node: 1, Clock: 7}, NewID: "a"})
	b.End(Life{Kind: Renamed, Dot: Dot{Epoch: 2, Node: 2, Clock: 8}, NewID: "b"})
	if got := joined(a, b).Life.NewID; got != "b" {
		t.Fatalf("new id %q, want that of the higher dot", got)
	}
	b.Join(&State{ID: "s", Life: Life{Kind: Dead, Dot: Dot{Epoch: 1, Clock: 1}}})
	if b.Life.Kind != Dead {
		t.Fatalf("%v must become dead", b.Life.Kind)
	}
}

package wire

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/serval-server/serval/cluster/replica"
)

// ackOf is the acknowledgement of a message by a copy that has nothing else.
func ackOf(u *replica.Update) replica.Ack {
	s := &replica.State{ID: u.Delta.ID, Heads: []replica.Dot{u.Delta.Dot}}
	if u.Delta.Life.Kind != replica.Live {
		s = &replica.State{ID: u.Delta.ID, Life: u.Delta.Life}
	}
	return replica.Ack{ID: u.Delta.ID, Reign: u.Reign, Dot: u.Delta.Dot, Sum: s.Sum()}
}

func TestPlainAcksTravelAsRanges(t *testing.T) {
	l := newBoth()
	var items, acks []*Item
	var want []replica.Ack
	for i := range 32 {
		u := count(testID(i), 1, replica.Dot{}, dotAt(i))
		if i == 20 {
			u.Delta.Ops, u.Delta.Life = nil, replica.Life{Kind: replica.Dead, Dot: u.Delta.Dot, Reason: replica.Expired}
		}
		items = append(items, NewItem(77, uint8(i), u, false))
		want = append(want, ackOf(u))
		acks = append(acks, NewItem(77, uint8(i), ackOf(u), false))
	}
	collect(t, l.bDec, l.aEnc.AppendBatch(nil, items))
	for _, part := range []struct{ from, to, most int }{{0, 8, 4}, {8, 9, 3}, {9, 32, 4}} {
		b := l.bEnc.AppendBatch(nil, acks[part.from:part.to])
		if len(b) > part.most {
			t.Errorf("%d acknowledgements take %d bytes: % x", part.to-part.from, len(b), b)
		}
		got := collect(t, l.aDec, b)
		if len(got) != part.to-part.from {
			t.Fatalf("%d acknowledgements, want %d", len(got), part.to-part.from)
		}
		for i, g := range got {
			w := routed{77, uint8(part.from + i), want[part.from+i]}
			if g != w {
				t.Errorf("got %+v, want %+v", g, w)
			}
		}
	}
	if n := l.aDec.acks.sent.low; n != 32 {
		t.Errorf("the sender remembers messages from %d on, want 32", n)
	}
}

// TestAcksOfTwoRuns: the same copy comes for two runs of an application, and the first one's
// acknowledgement does not pass for the second one's.
func TestAcksOfTwoRuns(t *testing.T) {
	l := newBoth()
	u := count(testID(1), 1, replica.Dot{}, dotAt(1))
	collect(t, l.bDec, l.aEnc.AppendBatch(nil, []*Item{NewItem(78, 0, u, false), NewItem(77, 0, u, false)}))
	for _, app := range []uint32{77, 78} {
		got := collect(t, l.aDec, l.bEnc.AppendBatch(nil, []*Item{NewItem(app, 0, ackOf(u), false)}))
		if want := (routed{app, 0, ackOf(u)}); len(got) != 1 || got[0] != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
}

// TestAcksFindTheirLane asks two lanes which of them an acknowledgement belongs to.
func TestAcksFindTheirLane(t *testing.T) {
	live, bulk := newBoth(), newBoth()
	var items, acks []*Item
	for i := range 3 * ackSearch {
		u := count(testID(i), 1, replica.Dot{}, dotAt(i))
		items = append(items, NewItem(77, 0, u, true))
		acks = append(acks, NewItem(77, 0, ackOf(u), false))
	}
	collect(t, bulk.bDec, bulk.aEnc.AppendBatch(nil, items))
	for i, it := range acks {
		if live.bEnc.Acknowledges(it) || !bulk.bEnc.Acknowledges(it) {
			t.Fatalf("acknowledgement %d does not find its lane", i)
		}
	}
	if bulk.bEnc.Acknowledges(items[0]) {
		t.Error("an update acknowledges itself")
	}
	if b := bulk.bEnc.AppendBatch(nil, acks); len(b) > 5 {
		t.Errorf("%d acknowledgements take %d bytes", len(acks), len(b))
	}
	if bulk.bEnc.Acknowledges(acks[0]) {
		t.Error("an acknowledgement that was sent is still expected")
	}
}

// TestAcksInAnyOrder acknowledges updates in any order, some never, some with
// more in the copy than the sender can foresee.
func TestAcksInAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newBoth()
		var open []routed
		clock := 0
		for range rapid.IntRange(1, 6).Draw(t, "rounds") {
			var items []*Item
			for range rapid.IntRange(0, 60).Draw(t, "updates") {
				clock++
				u := count(testID(rapid.IntRange(0, 4).Draw(t, "session")), clock, replica.Dot{}, dotAt(clock))
				a := ackOf(u)
				if rapid.IntRange(0, 9).Draw(t, "more") == 0 {
					a.Sum++
				}
				items = append(items, NewItem(5, 1, u, false))
				open = append(open, routed{5, 1, a})
			}
			collect(t, l.bDec, l.aEnc.AppendBatch(nil, items))
			open = rapid.Permutation(open).Draw(t, "order")
			n := rapid.IntRange(0, len(open)).Draw(t, "acknowledged")
			items = items[:0]
			want := map[routed]int{}
			for _, a := range open[:n] {
				items = append(items, NewItem(a.app, a.shard, a.m, false))
				want[a]++
			}
			open = open[n:]
			for _, g := range collect(t, l.aDec, l.bEnc.AppendBatch(nil, items)) {
				if want[g]--; want[g] < 0 {
					t.Fatalf("%+v was not sent", g)
				}
			}
			for a, left := range want {
				if left > 0 {
					t.Fatalf("%+v did not come", a)
				}
			}
		}
	})
}

func TestAckWindowsAreBounded(t *testing.T) {
	l := newBoth()
	clock := 0
	for range 40 {
		var items []*Item
		for range 1000 {
			clock++
			items = append(items, NewItem(1, 1, count(testID(1), clock, dotAt(clock-1), dotAt(clock)), false))
		}
		collect(t, l.bDec, l.aEnc.AppendBatch(nil, items))
	}
	if n := len(l.aEnc.acks.sent.ring); n > sentWindow {
		t.Errorf("the sender remembers %d messages", n)
	}
	if n := len(l.bDec.acks.got.ring); n > ackWindow {
		t.Errorf("the receiver remembers %d messages", n)
	}
	// One acknowledgement says that older ones will not come.
	last := ackOf(count(testID(1), clock, replica.Dot{}, dotAt(clock)))
	l.bDec.acks.hint = l.bDec.acks.got.next - 1
	if got := collect(t, l.aDec, l.bEnc.AppendBatch(nil, []*Item{NewItem(1, 1, last, false)})); len(got) != 1 || got[0].m != last {
		t.Fatalf("got %v", got)
	}
	if w := &l.aEnc.acks.sent; w.next-w.low > ackWindow+1 {
		t.Errorf("the sender remembers %d messages", w.next-w.low)
	}
}

package wire

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"weak"

	"pgregory.net/rapid"

	"github.com/serval-server/serval/cluster/replica"
)

// routed is a message with its application and shard.
type routed struct {
	app   uint32
	shard uint8
	m     replica.Message
}

// both are the two ends of a lane, a to b and b to a.
type both struct {
	aEnc, bEnc *Encoder
	aDec, bDec *Decoder
}

func newBoth() *both {
	l := &both{}
	l.aEnc, l.aDec = NewLane()
	l.bEnc, l.bDec = NewLane()
	return l
}

func collect(t rapid.TB, d *Decoder, b []byte) []routed {
	t.Helper()
	var out []routed
	if err := d.Batch(b, func(app uint32, shard uint8, m replica.Message) error {
		out = append(out, routed{app, shard, replica.Own(m)})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

// resolved is what a receiver makes of a message: patches applied to what the
// sender patched against, nil and empty not told apart.
func resolved(t rapid.TB, got, sent replica.Message) string {
	t.Helper()
	if u, ok := got.(*replica.Update); ok {
		c := *u
		c.Delta.Ops = append([]replica.Op(nil), c.Delta.Ops...)
		for i := range c.Delta.Ops {
			op := &c.Delta.Ops[i]
			if op.Patch == nil {
				continue
			}
			v, err := Unpatch(sent.(*replica.Update).Delta.Ops[i].Old, op.Patch)
			if err != nil {
				t.Fatal(err)
			}
			op.Value, op.Patch = v, nil
		}
		got = &c
	}
	return describe(got)
}

// describe writes a message with all that it says.
func describe(m replica.Message) string {
	var b strings.Builder
	state := func(s *replica.State) {
		if s != nil {
			fmt.Fprintf(&b, " state{%q %+v %v %v %v}", s.ID, s.Life, s.Heads, s.Seen, s.Registers)
		}
	}
	switch m := m.(type) {
	case *replica.Update:
		d := m.Delta
		fmt.Fprintf(&b, "update %v %q %v %v %+v %v", m.Reign, d.ID, d.Base, d.Dot, d.Life, m.Sets)
		for _, op := range d.Ops {
			fmt.Fprintf(&b, " op{%q %v %v}", op.Key, op.Value, op.Remove)
		}
		state(m.Successor)
	case replica.Copy:
		fmt.Fprintf(&b, "copy %v %v %v", m.Reign, m.Sets, m.Idle)
		state(m.State)
	case replica.Promise:
		fmt.Fprintf(&b, "promise %q %v %v %v %v %v", m.ID, m.Reign, m.Sets, m.Alive, m.Idle, m.Same)
		state(m.State)
	case replica.Grant:
		fmt.Fprintf(&b, "grant %v %v %v", m.Reign, m.Sets, m.Idle)
		state(m.State)
	default:
		fmt.Fprintf(&b, "%T %+v", m, m)
	}
	return b.String()
}

func TestMessagesComeAsTheyWereSent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newBoth()
		for range rapid.IntRange(1, 3).Draw(t, "batches") {
			var sent []routed
			var items []*Item
			for range rapid.IntRange(0, 8).Draw(t, "messages") {
				m := routed{rapid.SampledFrom([]uint32{0, 7, 1 << 31}).Draw(t, "app"), uint8(rapid.IntRange(0, 255).Draw(t, "shard")), drawMessage(t)}
				sent = append(sent, m)
				it := NewItem(m.app, m.shard, m.m, rapid.Bool().Draw(t, "bulk"))
				if rapid.Bool().Draw(t, "once") {
					it.Once()
				}
				items = append(items, it)
			}
			b := l.aEnc.AppendBatch([]byte("before"), items)[len("before"):]
			got := collect(t, l.bDec, b)
			if len(got) != len(sent) {
				t.Fatalf("%d messages, sent %d", len(got), len(sent))
			}
			for i, g := range got {
				if g.app != sent[i].app || g.shard != sent[i].shard {
					t.Fatalf("for %d/%d, sent to %d/%d", g.app, g.shard, sent[i].app, sent[i].shard)
				}
				if g, w := resolved(t, g.m, sent[i].m), describe(sent[i].m); g != w {
					t.Fatalf("message %d\n got %s\nsent %s", i, g, w)
				}
			}
		}
	})
}

// TestItemsServeAllPeers sends the same items on several lanes whose states
// differ.
func TestItemsServeAllPeers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lanes := []*both{newBoth(), newBoth(), newBoth()}
		for range 4 {
			m := drawMessage(t)
			it := NewItem(1, 2, m, false)
			for _, l := range lanes[:rapid.IntRange(1, 3).Draw(t, "peers")] {
				got := collect(t, l.bDec, l.aEnc.AppendBatch(nil, []*Item{it}))
				if g, w := resolved(t, got[0].m, m), describe(m); g != w {
					t.Fatalf("got %s\nsent %s", g, w)
				}
			}
		}
	})
}

// count is the update of one request that counts, as the bench application's
// /count: base is the dot before.
func count(id replica.SessionID, n int, base, dot replica.Dot) *replica.Update {
	u := &replica.Update{Reign: replica.Reign{Epoch: dot.Epoch, Home: dot.Node}, Delta: replica.Delta{ID: id, Dot: dot,
		Ops: []replica.Op{{Key: "an", Value: replica.Value{Bytes: []byte{0x19, byte(n >> 8), byte(n)}}}}}}
	if !base.IsZero() {
		u.Delta.Base = []replica.Dot{base}
	}
	return u
}

// dotAt is the dot of a request some milliseconds after a time in 2026.
func dotAt(ms int) replica.Dot {
	return replica.Dot{Epoch: 1, Node: 0x9e3779b9, Clock: uint64(1_790_000_000_000+ms) << clockShift}
}

func TestCountTakesFewBytes(t *testing.T) {
	l := newBoth()
	// 500 sessions were named on the lane before, so that numbers take two bytes.
	var items []*Item
	for i := range 500 {
		items = append(items, NewItem(3, 5, count(testID(i), 1, replica.Dot{}, dotAt(i)), false))
	}
	first := l.aEnc.AppendBatch(nil, items)
	collect(t, l.bDec, first)
	if perNew := len(first) / 500; perNew > 40 {
		t.Errorf("a new session takes %d bytes, want 40 at most", perNew)
	}
	items = items[:0]
	for i := range 32 {
		items = append(items, NewItem(3, 5, count(testID(300+i), 300, dotAt(300+i), dotAt(1000+i/4)), false))
	}
	b := l.aEnc.AppendBatch(nil, items)
	if per := float64(len(b)) / 32; per > 14 {
		t.Errorf("an update takes %.1f bytes, want 14 at most", per)
	} else {
		t.Logf("an update takes %.1f bytes", per)
	}
	collect(t, l.bDec, b)
}

// TestTablesForgetInLockStep names more sessions and attributes than the tables
// hold, the first ones again and again.
func TestTablesForgetInLockStep(t *testing.T) {
	l := newBoth()
	last := map[int]replica.Dot{}
	clock := 0
	for round := range 2 {
		for part := range 20 {
			var items []*Item
			var sent []*replica.Update
			for i := range 1000 {
				clock++
				n := part*1000 + i
				if i%10 == 0 {
					n = i
				}
				u := count(testID(n), round, last[n], dotAt(clock))
				u.Delta.Ops[0].Key = fmt.Sprint("a", n%(maxNames+100))
				last[n] = u.Delta.Dot
				sent = append(sent, u)
				items = append(items, NewItem(1, 2, u, false))
			}
			for i, g := range collect(t, l.bDec, l.aEnc.AppendBatch(nil, items)) {
				got, want := g.m.(*replica.Update).Delta, sent[i].Delta
				if got.ID != want.ID || got.Dot != want.Dot || !slices.Equal(got.Base, want.Base) || got.Ops[0].Key != want.Ops[0].Key {
					t.Fatalf("got %s\nsent %s", describe(g.m), describe(sent[i]))
				}
			}
		}
	}
	if len(l.aEnc.ids) != maxIDs || len(l.aEnc.names) != maxNames {
		t.Errorf("tables of %d ids and %d names", len(l.aEnc.ids), len(l.aEnc.names))
	}
	// The sessions that are used all the time were not forgotten.
	if _, ok := l.aEnc.ids[idKey{testID(10), 1, 2}]; !ok {
		t.Error("a session in use was forgotten")
	}
}

func TestBulkIsCompressed(t *testing.T) {
	l := newBoth()
	var items []*Item
	raw := 0
	for i := range 64 {
		s := &replica.State{ID: testID(i)}
		s.Write(dotAt(i), []replica.Op{{Key: "auser", Value: replica.Value{Bytes: fmt.Appendf(nil, "customer %d of the shop, who likes shoes and hats", i)}}})
		it := NewItem(1, 2, replica.Copy{State: s, Reign: replica.Reign{Epoch: 1, Home: 2}}, true)
		raw += len(it.body) + idBytes
		items = append(items, it)
	}
	b := l.aEnc.AppendBatch(nil, items)
	if len(b) > raw/2 {
		t.Errorf("%d bytes became %d", raw, len(b))
	}
	if got := collect(t, l.bDec, b); len(got) != 64 || describe(got[63].m) != describe(replica.Copy{State: got[63].m.(replica.Copy).State, Reign: replica.Reign{Epoch: 1, Home: 2}}) {
		t.Errorf("%d messages", len(got))
	}
}

// TestNoiseIsNotCompressedAgainAndAgain checks that a lane gives up for a while.
func TestNoiseIsNotCompressedAgainAndAgain(t *testing.T) {
	l := newBoth()
	r := rand.New(rand.NewPCG(1, 2))
	batch := func(value func() byte) []byte {
		v := make([]byte, 1100)
		for i := range v {
			v[i] = value()
		}
		u := count(testID(1), 1, replica.Dot{}, dotAt(1))
		u.Delta.Ops[0].Value.Bytes = v
		b := l.aEnc.AppendBatch(nil, []*Item{NewItem(1, 2, u, true)})
		collect(t, l.bDec, b)
		return b
	}
	noise := func() byte { return byte(r.Uint32()) }
	for range 300 {
		if b := batch(noise); b[0] != Version {
			t.Fatal("noise was compressed")
		}
	}
	if l.aEnc.pause == 0 || l.aEnc.vain != maxPause {
		t.Errorf("pause %d after %d", l.aEnc.pause, l.aEnc.vain)
	}
	for range maxPause {
		batch(noise)
	}
	for n := 0; batch(func() byte { return 'a' })[0] == Version; n++ {
		if n > maxPause {
			t.Fatal("it was never tried again")
		}
	}
	if l.aEnc.vain != 0 {
		t.Error("a success was not noted")
	}
}

// TestUnknownIsSkipped sends what a later version may send.
func TestUnknownIsSkipped(t *testing.T) {
	l := newBoth()
	b := l.aEnc.AppendBatch(nil, []*Item{NewItem(1, 2, replica.Need{ID: testID(1)}, false)})
	// A message of an unknown kind, one of kind 0, and a Touch with more fields.
	b = append(b, 3, byte(kindMask), 1, 2, 1, 0)
	touch := l.aEnc.AppendBatch(nil, []*Item{NewItem(1, 2, replica.Touch{ID: testID(1)}, false)})[1:]
	touch[0] += 2
	b = append(append(b, touch...), 0xfe, 0xff)
	got := collect(t, l.bDec, b)
	if len(got) != 2 || got[1].m != (replica.Touch{ID: testID(1)}) {
		t.Errorf("got %v", got)
	}
}

func TestBatchErrors(t *testing.T) {
	whole := func() []byte {
		e, _ := NewLane()
		return e.AppendBatch(nil, []*Item{NewItem(1, 2, count(testID(1), 5, dotAt(0), dotAt(1)), false)})
	}()
	for _, c := range []struct {
		name, err string
		b         []byte
	}{
		{"empty", "bad batch at byte 0", nil},
		{"version 0", "bad version of a batch at byte 0", []byte{0}},
		{"version 2", "bad version of a batch at byte 0", []byte{2}},
		{"unknown flag", "bad version of a batch at byte 0", []byte{Version | 1<<5}},
		{"length beyond the end", "bad length of a message at byte 1", []byte{Version, 200, 1}},
		{"cut message", "bad value at byte 54", append([]byte{Version, whole[1] - 1}, whole[2:len(whole)-1]...)},
		{"session that was not named", "bad number of a session at byte 3", []byte{Version, 2, byte(kindNeed), idRefs}},
		{"count of operations", "bad number of changes", nil},
		{"zstd bomb", "bad length of a batch at byte 1", []byte{Version | flagZstd, 0x80, 0x80, 0x80, 0x80, 1, 0x28, 0xb5, 0x2f, 0xfd}},
		{"no zstd", "bad compressed batch at byte 1", []byte{Version | flagZstd, 9, 1, 2, 3}},
		{"no level", "bad level at byte 4", []byte{Version, 2, byte(kindLevel), 0}},
		{"an error of the receiver", "enough", whole},
	} {
		if c.name == "count of operations" {
			c.b = bytes.Clone(whole)
			at := bytes.Index(c.b, []byte("an")) - 3 // count, reference, length, name
			c.b[at] = 90
		}
		_, d := NewLane()
		err := d.Batch(c.b, func(uint32, uint8, replica.Message) error { return errors.New("enough") })
		if err == nil || !strings.HasPrefix(err.Error(), c.err) {
			t.Errorf("%s: got %v, want %s", c.name, err, c.err)
		}
	}
}

// TestOwnIDsOnly checks that only the exact form of an id is shortened.
func TestOwnIDsOnly(t *testing.T) {
	id := string(testID(3))
	for _, id := range []string{id, id[:31], id + "A", id[:31] + "=", id[:31] + "\n", id[:30] + "\r\n", "", "ö", id[:16] + "+" + id[17:]} {
		raw, ok := packID(replica.SessionID(id))
		if ok && string(unpackID(raw[:])) != id {
			t.Errorf("%q became %q", id, unpackID(raw[:]))
		}
		r := newReader(appendID(nil, replica.SessionID(id)))
		if got := r.id(); string(got) != id || r.err != nil || r.left() > 0 {
			t.Errorf("%q became %q, %v", id, got, r.err)
		}
	}
}

func TestItemLanes(t *testing.T) {
	a := NewItem(1, 6, replica.Need{ID: "12345678abc"}, false)
	b := NewItem(1, 6, replica.Touch{ID: "12345678xyz"}, true)
	if a.Lane(4) != b.Lane(4) || a.Bulk() || !b.Bulk() {
		t.Error("lanes of one placement differ")
	}
	if got := NewItem(1, 6, replica.Level{}, false).Lane(4); got != 2 {
		t.Errorf("lane %d, want the shard's", got)
	}
	if AppNumber("localhost/shop") == AppNumber("localhost/bench") || AppNumber("") == 0 {
		t.Error("numbers of applications")
	}
	big := NewItem(1, 1, &replica.Update{Delta: replica.Delta{ID: "x", Ops: []replica.Op{{Value: replica.Value{Bytes: bytes.Repeat([]byte("noise"), 60)}}}}}, false)
	if big.Size() < 300 {
		t.Errorf("size %d", big.Size())
	}
	if !reflect.DeepEqual(NewItem(1, 6, replica.Level{}, false), NewItem(1, 6, replica.Level{}, false)) {
		t.Error("items of equal messages differ")
	}
}

// TestItemKeepsNoMore checks that an item which waits for a slow peer keeps what it
// sends, not what that replaces.
func TestItemKeepsNoMore(t *testing.T) {
	versions := carts(65536, 2)
	u := count(testID(1), 1, dotAt(0), dotAt(1))
	u.Delta.Ops[0] = replica.Op{Key: "acart", Old: replica.Value{Bytes: versions[0]}, Value: replica.Value{Bytes: versions[1]}}
	old, value, update := weak.Make(&versions[0][0]), weak.Make(&versions[1][0]), weak.Make(u)
	it := NewItem(1, 2, u, false)
	runtime.GC()
	if old.Value() != nil || value.Value() != nil || update.Value() != nil {
		t.Error("the item keeps the values that it has made a patch of")
	}
	if it.Size() > 1000 {
		t.Errorf("size %d", it.Size())
	}
}

package cluster

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/serval-server/serval/cluster/replica"
	"github.com/serval-server/serval/descriptor"
	"github.com/serval-server/serval/sessions"
)

var granularities = []descriptor.ReplicationGranularity{descriptor.GranularitySession, descriptor.GranularityAttribute, descriptor.GranularityField}

// content is what a copy holds, as text.
func content(st *replica.State) string {
	var out []string
	for _, a := range attributes(st) {
		out = append(out, fmt.Sprintf("%q=%x", a.Name, a.Value))
	}
	return strings.Join(out, " ")
}

// Whatever is written in whatever granularity, also one after the other, is what
// is read, and in the end the registers are those of the last granularity.
func TestLayouts(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	names := []string{"", "a", "b", "a\x00b", "long name", "ä"}
	value := func() []byte {
		switch rnd.IntN(4) {
		case 0:
			return encode(t, rnd.IntN(100))
		case 1:
			return encode(t, map[string]int{})
		case 2:
			return encode(t, []string{"x"})
		}
		m := map[string]any{}
		for range rnd.IntN(5) {
			m[fmt.Sprint("f", rnd.IntN(6))] = rnd.IntN(3)
		}
		return encode(t, m)
	}
	for range 500 {
		st := &replica.State{ID: "s"}
		model := map[string][]byte{}
		var g descriptor.ReplicationGranularity
		for clock := range uint64(12) {
			g = granularities[rnd.IntN(3)]
			var c change
			for _, name := range names {
				switch rnd.IntN(5) {
				case 0:
					c.set = append(c.set, sessions.Attribute{Name: name, Value: value()})
				case 1:
					c.removed = append(c.removed, name)
				}
			}
			c.apply(model)
			ops := operations(g, st, meta{idle: time.Minute}.encode(), c)
			keys := map[string]bool{}
			for _, op := range ops {
				if keys[op.Key] {
					t.Fatalf("%s: two operations on %q", g, op.Key)
				}
				keys[op.Key] = true
			}
			_ = st.Write(replica.Dot{Epoch: 1, Node: 1, Clock: clock + 1}, ops)
			var want []string
			for _, name := range slices.Sorted(maps.Keys(model)) {
				want = append(want, fmt.Sprintf("%q=%x", name, model[name]))
			}
			if got := content(st); got != strings.Join(want, " ") {
				t.Fatalf("%s: have %s, want %s after %+v", g, got, want, c)
			}
			if m := metaOf(st); m.idle != time.Minute {
				t.Fatalf("metadata: %+v", m)
			}
		}
		_ = st.Write(replica.Dot{Epoch: 1, Node: 1, Clock: 100}, operations(descriptor.GranularitySession, st, nil, change{set: []sessions.Attribute{{Name: "z"}}}))
		if len(st.Registers) != 2 {
			t.Fatalf("%d registers in granularity SESSION", len(st.Registers))
		}
	}
}

// Two nodes change the same session: what survives is what the granularity says.
func TestForks(t *testing.T) {
	base := encode(t, map[string]int{"x": 1, "y": 1})
	left, right := encode(t, map[string]int{"x": 2, "y": 1}), encode(t, map[string]int{"x": 1, "y": 2})
	want := map[descriptor.ReplicationGranularity]string{
		descriptor.GranularitySession:   fmt.Sprintf(`"m"=%x "r"=01`, right), // the later takes all
		descriptor.GranularityAttribute: fmt.Sprintf(`"l"=01 "m"=%x "r"=01`, right),
		descriptor.GranularityField:     fmt.Sprintf(`"l"=01 "m"=%x "r"=01`, encode(t, map[string]int{"x": 2, "y": 2})),
	}
	for _, g := range granularities {
		set := func(st *replica.State, dot replica.Dot, pairs ...any) {
			var c change
			for i := 0; i < len(pairs); i += 2 {
				c.set = append(c.set, sessions.Attribute{Name: pairs[i].(string), Value: pairs[i+1].([]byte)})
			}
			_ = st.Write(dot, operations(g, st, nil, c))
		}
		a := &replica.State{ID: "s"}
		set(a, replica.Dot{Epoch: 1, Node: 1, Clock: 1}, "m", base)
		b := a.Clone()
		set(a, replica.Dot{Epoch: 1, Node: 1, Clock: 2}, "m", left, "l", []byte{1})
		set(b, replica.Dot{Epoch: 2, Node: 2, Clock: 2}, "m", right, "r", []byte{1})
		c := b.Clone()
		a.Join(b)
		c.Join(a)
		if got := content(a); got != want[g] || content(c) != got {
			t.Errorf("%s: %s, the other way round %s, want %s", g, got, content(c), want[g])
		}
	}
}

// One node removes an attribute while another changes a field of it: it is gone,
// not half there; and comes back whole when it is set again.
func TestRemovedFields(t *testing.T) {
	g := descriptor.GranularityField
	a := &replica.State{ID: "s"}
	_ = a.Write(replica.Dot{Epoch: 1, Node: 1, Clock: 1}, operations(g, a, nil, change{set: []sessions.Attribute{{Name: "m", Value: encode(t, map[string]int{"x": 1, "y": 1})}}}))
	b := a.Clone()
	_ = a.Write(replica.Dot{Epoch: 1, Node: 1, Clock: 2}, operations(g, a, nil, change{removed: []string{"m"}}))
	_ = b.Write(replica.Dot{Epoch: 2, Node: 2, Clock: 2}, operations(g, b, nil, change{set: []sessions.Attribute{{Name: "m", Value: encode(t, map[string]int{"x": 1, "y": 2})}}}))
	a.Join(b)
	if got := content(a); got != "" {
		t.Errorf("half of it is left: %s", got)
	}
	again := encode(t, map[string]int{"z": 1})
	_ = a.Write(replica.Dot{Epoch: 3, Node: 1, Clock: 3}, operations(g, a, nil, change{set: []sessions.Attribute{{Name: "m", Value: again}}}))
	if got := content(a); got != fmt.Sprintf(`"m"=%x`, again) {
		t.Errorf("set again: %s", got)
	}
}

// Only what changed of a field-wise attribute is written.
func TestFieldOperations(t *testing.T) {
	st := &replica.State{ID: "s"}
	write := func(clock uint64, v any) []replica.Op {
		ops := operations(descriptor.GranularityField, st, nil, change{set: []sessions.Attribute{{Name: "m", Value: encode(t, v)}}})
		_ = st.Write(replica.Dot{Epoch: 1, Node: 1, Clock: clock}, slices.Clone(ops))
		return ops
	}
	if ops := write(1, map[string]int{"x": 1, "y": 1, "z": 1}); len(ops) != 5 { // metadata, mark, fields
		t.Errorf("first: %v", ops)
	}
	if ops := write(2, map[string]int{"x": 1, "y": 2}); len(ops) != 2 || ops[0].Remove == ops[1].Remove {
		t.Errorf("second: %v", ops)
	}
	if ops := write(3, 7); len(ops) != 4 {
		t.Errorf("no map any more: %v", ops)
	}
}

func TestMeta(t *testing.T) {
	for _, m := range []meta{{time.UnixMilli(0), 0, ""}, {time.UnixMilli(1 << 41), -time.Second, "1.2##3"}, {time.UnixMilli(-1), 30 * time.Minute, "x"}} {
		got, err := decodeMeta(append(m.encode(), "what later versions add"...))
		if err != nil || !got.created.Equal(m.created) || got.idle != m.idle || got.version != m.version {
			t.Errorf("%+v: %+v %v", m, got, err)
		}
	}
	for _, bad := range []string{"", "\x02", "\x01", "\x01\x00", "\x01\x00\x00", "\x01\x00\x00\x05abc"} {
		if _, err := decodeMeta([]byte(bad)); err == nil {
			t.Errorf("%q decodes", bad)
		}
	}
}

func FuzzMeta(f *testing.F) {
	f.Add(meta{time.UnixMilli(1), time.Minute, "v"}.encode())
	f.Add([]byte{1, 0, 0, 200})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeMeta(b)
		if err != nil {
			return
		}
		again, err := decodeMeta(m.encode())
		if err != nil || !again.created.Equal(m.created) || again.idle != m.idle || again.version != m.version {
			t.Errorf("%x: %+v, then %+v %v", b, m, again, err)
		}
		st := &replica.State{Registers: []replica.Register{{Versions: []replica.Version{{Value: replica.Value{Bytes: b}}}}}}
		if idleOf(st) != m.idle {
			t.Errorf("%x: timeout %v, alone %v", b, m.idle, idleOf(st))
		}
	})
}

// What is taken apart is put together to the very same bytes.
func FuzzFields(f *testing.F) {
	f.Add([]byte{0xa0})
	f.Add([]byte{0xa1, 0x61, 'a', 0x01})
	f.Add([]byte{0xa2, 0x01, 0x82, 0x01, 0x02, 0x61, 'b', 0xa1, 0x01, 0xf6})
	f.Add([]byte{0xb8, 0x18})
	f.Add([]byte{0xbf, 0xff})
	f.Add([]byte{0xa1, 0xc0, 0x01, 0xdb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		fields, ok := splitFields(b)
		if !ok {
			return
		}
		if got := joinFields(fields); !bytes.Equal(got, b) {
			t.Errorf("%x became %x", b, got)
		}
		for _, x := range fields {
			for _, part := range [][]byte{x.key, x.value} {
				if rest, ok := cborSkip(part, maxDepth); !ok || len(rest) > 0 {
					t.Errorf("%x: part %x", b, part)
				}
			}
		}
	})
}

// A field's key is taken apart as it was put together; others are not mistaken
// for one.
func FuzzFieldKeys(f *testing.F) {
	f.Add("name", "field")
	f.Add("", "")
	f.Add(strings.Repeat("n", 200), "\x00")
	f.Fuzz(func(t *testing.T, name, key string) {
		n, k, ok := parseField(fieldMark(name) + key)
		if !ok || n != name || k != key {
			t.Errorf("%q %q became %q %q %v", name, key, n, k, ok)
		}
		if n, k, ok := parseField(key); ok && fieldMark(n)+k != key && !strings.HasPrefix(key, fieldPrefix) {
			t.Errorf("%q is taken for %q %q", key, n, k)
		}
	})
}

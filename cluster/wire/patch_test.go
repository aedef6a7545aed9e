package wire

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/serval-server/serval/cluster/replica"
)

func TestPatchOfCarts(t *testing.T) {
	for _, c := range []struct{ size, mean, most int }{{1024, 95, 130}, {4096, 95, 130}, {16384, 95, 130}, {65536, 95, 130}, {262144, 95, 130}} {
		t.Run(fmt.Sprint(c.size), func(t *testing.T) {
			versions := carts(c.size, 40)
			sum, most := 0, 0
			for i := range versions[1:] {
				old, v := replica.Value{Bytes: versions[i]}, replica.Value{Bytes: versions[i+1]}
				p, ok := Patch(old, v)
				if !ok {
					t.Fatalf("no patch of version %d", i)
				}
				sum += len(p)
				most = max(most, len(p))
				got, err := Unpatch(old, p)
				if err != nil || !got.Equal(v) {
					t.Fatalf("version %d: %v", i, err)
				}
			}
			mean := sum / (len(versions) - 1)
			t.Logf("value of %d bytes: patch of %d bytes on the average, %d at most", len(versions[0]), mean, most)
			if mean > c.mean || most > c.most {
				t.Errorf("patches take %d bytes on the average and %d at most, want %d and %d", mean, most, c.mean, c.most)
			}
		})
	}
}

// TestPatchOfEdits edits a value in many ways; each patch must do.
func TestPatchOfEdits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		rnd := rand.New(rand.NewPCG(seed, 1))
		old := []byte(prose(seed, rapid.IntRange(1, 20_000).Draw(t, "length")))
		v := bytes.Clone(old)
		for range rapid.IntRange(0, 5).Draw(t, "edits") {
			from := rnd.IntN(len(v) + 1)
			to := min(len(v), from+rnd.IntN(300))
			insert := []byte(prose(rnd.Uint64(), rnd.IntN(300)))
			if rnd.IntN(4) == 0 { // something moves
				insert = bytes.Clone(v[rnd.IntN(len(v)+1):])
			}
			v = append(append(bytes.Clone(v[:from]), insert...), v[to:]...)
		}
		if rapid.IntRange(0, 9).Draw(t, "all new") == 0 {
			v = []byte(prose(seed+1, len(v)))
		}
		a, b := replica.Value{Bytes: old}, replica.Value{Bytes: v}
		p, ok := Patch(a, b)
		if !ok {
			return
		}
		got, err := Unpatch(a, p)
		if err != nil || !got.Equal(b) {
			t.Fatalf("%v", err)
		}
		if len(old) > 0 {
			wrong := replica.Value{Bytes: bytes.Clone(old)}
			wrong.Bytes[rnd.IntN(len(old))]++
			if got, err := Unpatch(wrong, p); !errors.Is(err, ErrPatch) {
				t.Fatalf("another base: %d bytes, %v", len(got.Bytes), err)
			}
		}
	})
}

func TestPatchOfMaps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		old, v := drawMap(t), drawMap(t)
		for name, b := range old {
			switch rapid.IntRange(0, 2).Draw(t, "keep") {
			case 0:
				v[name] = b
			case 1:
				v[name] = append(bytes.Clone(b), 1, 2, 3)
			}
		}
		a, b := replica.Value{Map: old}, replica.Value{Map: v}
		p, ok := Patch(a, b)
		if !ok {
			return
		}
		got, err := Unpatch(a, p)
		if err != nil || !got.Equal(b) {
			t.Fatalf("%v", err)
		}
		for name, o := range old {
			wrong := map[string][]byte{}
			for k, v := range old {
				wrong[k] = v
			}
			wrong[name] = append(bytes.Clone(o), 0)
			if _, err := Unpatch(replica.Value{Map: wrong}, p); !errors.Is(err, ErrPatch) {
				t.Fatalf("another base: %v", err)
			}
		}
	})
}

// TestPatchOfSession checks what granularity SESSION costs: only what has
// changed.
func TestPatchOfSession(t *testing.T) {
	versions := carts(16384, 2)
	old := map[string][]byte{"cart": versions[0], "user": []byte(prose(1, 900)), "n": {5}, "gone": {1}}
	v := map[string][]byte{"cart": versions[1], "user": old["user"], "n": {6}}
	p, ok := Patch(replica.Value{Map: old}, replica.Value{Map: v})
	if !ok || len(p) > 150 {
		t.Fatalf("%v, %d bytes", ok, len(p))
	}
	got, err := Unpatch(replica.Value{Map: old}, p)
	if err != nil || !got.Equal(replica.Value{Map: v}) {
		t.Fatal(err)
	}
	if &got.Map["user"][0] != &old["user"][0] {
		t.Error("an entry that has not changed was copied")
	}
	if len(old) != 4 {
		t.Error("the old value was changed")
	}
}

func TestNoPatch(t *testing.T) {
	text, noise := []byte(prose(1, 4096)), make([]byte, 4096)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range noise {
		noise[i] = byte(r.Uint32())
	}
	for name, c := range map[string][2]replica.Value{
		"nothing before":            {{}, {Bytes: text}},
		"map before":                {{Map: map[string][]byte{}}, {Bytes: text}},
		"map now":                   {{Bytes: text}, {Map: map[string][]byte{"a": text}}},
		"nothing in common":         {{Bytes: text}, {Bytes: noise}},
		"a map with nothing shared": {{Map: map[string][]byte{"b": {1}}}, {Map: map[string][]byte{"a": noise}}},
	} {
		if p, ok := Patch(c[0], c[1]); ok {
			t.Errorf("%s: a patch of %d bytes", name, len(p))
		}
	}
}

// TestPatchWithMuchNew checks that s2 serves where splice sees little.
func TestPatchWithMuchNew(t *testing.T) {
	old := []byte(prose(1, 16384))
	var parts []string // too long for near, too short for blocks
	for i := 0; i+30 <= len(old); i += 30 {
		parts = append(parts, string(old[i:i+30]))
	}
	r := rand.New(rand.NewPCG(3, 4))
	r.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
	v := []byte(strings.Join(parts, ""))
	p, ok := Patch(replica.Value{Bytes: old}, replica.Value{Bytes: v})
	if !ok || p[0] != patchS2 {
		t.Fatalf("%v, kind %d of %d bytes", ok, p[0], len(p))
	}
	if got, err := Unpatch(replica.Value{Bytes: old}, p); err != nil || !bytes.Equal(got.Bytes, v) {
		t.Error(err)
	}
}

func TestUnpatchErrors(t *testing.T) {
	old := []byte(prose(1, 1000))
	text := replica.Value{Bytes: old}
	m := replica.Value{Map: map[string][]byte{"a": old}}
	sum := []byte{0, 0, 0, 0}
	for _, c := range []struct {
		name, err string
		old       replica.Value
		patch     []byte
	}{
		{"nothing", "bad kind of a patch at byte 0", text, nil},
		{"cut", "bad checksum at byte 1", text, []byte{patchSplice, 1}},
		{"unknown kind", "bad kind of a difference", text, append([]byte{9}, 0, 0, 0, 0, 1)},
		{"map for bytes", "the value is no map", text, append([]byte{patchMap}, sum...)},
		{"bytes for a map", "the value is a map", m, append([]byte{patchSplice}, sum...)},
		{"too long", "bad length of the result", text, append(append([]byte{patchSplice}, sum...), 0xff, 0xff, 0x7f)},
		{"checksum", "checksum", text, append(append([]byte{patchSplice}, sum...), 10)},
		{"command beyond the result", "bad length of a command at byte 6", text, append(append([]byte{patchSplice}, sum...), 10, 11<<spliceBits|spliceHere)},
		{"literal that is cut", "bad literal at byte 7", text, append(append([]byte{patchSplice}, sum...), 10, 9<<spliceBits, 1)},
		{"near copy that is cut", "bad command at byte 6", text, append(append([]byte{patchSplice}, sum...), 10, spliceNear)},
		{"near copy before the start", "bad copy at byte 6", text, append(append([]byte{patchSplice}, sum...), 10, spliceNear, 0)},
		{"near copy beyond the result", "bad copy at byte 6", text, append(append([]byte{patchSplice}, sum...), 3, spliceNear, 128)},
		{"before the start", "bad distance at byte 6", text, append(append([]byte{patchSplice}, sum...), 10, 1<<spliceBits|spliceThere, 1)},
		{"beyond the end", "bad copy at byte 6", replica.Value{Bytes: []byte("abc")}, append(append([]byte{patchSplice}, sum...), 10, 4<<spliceBits|spliceHere)},
		{"no block", "bad length of a block", text, append(append([]byte{patchS2}, sum...), 10, 1, 2, 3)},
		{"number of entries", "bad number of entries", m, append(append([]byte{patchMap}, sum...), 90)},
		{"form of an entry", "bad form of an entry at byte 6", m, append(append([]byte{patchMap}, sum...), 1, 1, 'a', byte(formMap))},
		{"checksum of a map", "checksum", m, append(append([]byte{patchMap}, sum...), 1, 1, 'a', byte(formRemove))},
	} {
		_, err := Unpatch(c.old, c.patch)
		if !errors.Is(err, ErrPatch) || !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %v, want %s", c.name, err, c.err)
		}
	}
}

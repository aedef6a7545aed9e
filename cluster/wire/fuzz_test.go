package wire

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"reflect"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/serval-server/serval/cluster/replica"
)

// allocates fails if f allocates more than a decoder may for input of that
// length.
func allocates(t *testing.T, input, each int, f func()) {
	t.Helper()
	const slack = 8 << 20 // what the fuzzer and pools allocate meanwhile
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	if got, most := after.TotalAlloc-before.TotalAlloc, uint64(slack+each*input); got > most {
		t.Fatalf("%d bytes of input allocate %d bytes, at most %d", input, got, most)
	}
}

// structBytes is how many times its length the Go form of a message may take,
// about: an Op of two bytes on the wire is the worst.
const structBytes = 128

func goldenHex(f *testing.F, file string) [][]byte {
	data, err := os.ReadFile("testdata/" + file)
	if err != nil {
		f.Fatal(err)
	}
	var out [][]byte
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		b, err := hex.DecodeString(fields[len(fields)-1])
		if err != nil {
			f.Fatal(err)
		}
		out = append(out, b)
	}
	return out
}

// FuzzLane decodes a sequence of batches, each with its length before it in two
// bytes. What it yields must survive being sent again.
func FuzzLane(f *testing.F) {
	var all []byte
	for _, b := range goldenHex(f, "messages.txt") {
		one := append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...)
		f.Add(one)
		all = append(all, one...)
	}
	f.Add(all)
	for _, b := range goldenHex(f, "bulk.txt") {
		f.Add(append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...))
	}
	f.Add([]byte{0, 4, Version, 2, byte(kindAcks) | flagRun, 9, 0, 6, Version, 4, byte(kindAcks), 1, 2, 3})
	f.Fuzz(func(t *testing.T, data []byte) {
		enc, dec := NewLane()
		var items []*Item
		for i := range 5 { // so that there is something to acknowledge
			items = append(items, NewItem(1, 2, count(testID(i), 1, replica.Dot{}, dotAt(i)), false))
		}
		enc.AppendBatch(nil, items)
		var got []routed
		allocates(t, len(data), MaxInflate*structBytes, func() {
			for len(data) >= 2 {
				n := min(int(binary.BigEndian.Uint16(data)), len(data)-2)
				err := dec.Batch(data[2:2+n], func(app uint32, shard uint8, m replica.Message) error {
					got = append(got, routed{app, shard, replica.Own(m)})
					return nil
				})
				var bad *Error
				if err != nil && !errors.As(err, &bad) {
					t.Fatalf("an error of another type: %v", err)
				}
				if err != nil {
					break
				}
				data = data[2+n:]
			}
		})
		sendAgain(t, got)
	})
}

// sendAgain checks that messages come as they are sent.
func sendAgain(t *testing.T, messages []routed) {
	t.Helper()
	l := newBoth()
	var items []*Item
	for i, m := range messages {
		items = append(items, NewItem(m.app, m.shard, m.m, i%3 == 0))
	}
	again := collect(t, l.bDec, l.aEnc.AppendBatch(nil, items))
	if len(again) != len(messages) {
		t.Fatalf("%d messages, %d sent again", len(messages), len(again))
	}
	for i, g := range again {
		w := messages[i]
		if g.app != w.app || g.shard != w.shard || describe(g.m) != describe(w.m) || patches(g.m) != patches(w.m) {
			t.Fatalf("message %d\n got %s\nsent %s", i, describe(g.m), describe(w.m))
		}
	}
}

// patches are the patches of an update, which describe leaves out.
func patches(m replica.Message) string {
	var b strings.Builder
	if u, ok := m.(*replica.Update); ok {
		for _, op := range u.Delta.Ops {
			b.WriteString(hex.EncodeToString(op.Patch) + " ")
		}
	}
	return b.String()
}

// FuzzFrame reads a stream of control frames to its end. What it yields must be
// the same when it is parsed in memory, and when it is written and read again.
func FuzzFrame(f *testing.F) {
	var all []byte
	for _, frame := range frames {
		f.Add(AppendFrame(nil, frame))
		all = AppendFrame(append(all, 99, 1, 7), frame) // and one of an unknown type
	}
	f.Add(all)
	f.Fuzz(func(t *testing.T, data []byte) {
		var parsed []Frame
		rest := data
		for len(rest) > 0 {
			var frame Frame
			var err error
			allocates(t, len(rest), structBytes, func() { frame, rest, err = ParseFrame(rest) })
			if err != nil {
				break
			}
			if frame == nil {
				continue
			}
			parsed = append(parsed, frame)
			again, none, err := ParseFrame(AppendFrame(nil, frame))
			if err != nil || len(none) > 0 || !reflect.DeepEqual(again, frame) {
				t.Fatalf("%+v became %+v, %v", frame, again, err)
			}
		}
		r := bufio.NewReader(bytes.NewReader(data))
		for n := 0; ; n++ {
			frame, err := ReadFrame(r)
			if err != nil {
				if n != len(parsed) || err == io.EOF && r.Buffered() > 0 {
					t.Fatalf("%d frames are read, %d parsed: %v", n, len(parsed), err)
				}
				return
			}
			if n == len(parsed) || !reflect.DeepEqual(frame, parsed[n]) {
				t.Fatalf("frame %d is read as %+v, parsed: %+v", n, frame, parsed)
			}
		}
	})
}

// FuzzPatch makes patches between any two values.
func FuzzPatch(f *testing.F) {
	text := []byte(prose(1, 3000))
	f.Add(text, append([]byte("now "), text[:2000]...))
	f.Add(text, append(bytes.Clone(text[1000:2000]), prose(2, 900)...))
	f.Add(text[:600], bytes.Repeat(text[:30], 40))
	f.Add([]byte{}, []byte{1})
	f.Fuzz(func(t *testing.T, old, v []byte) {
		for _, pair := range [][2]replica.Value{
			{{Bytes: old}, {Bytes: v}},
			{{Map: map[string][]byte{"a": old, "b": v}}, {Map: map[string][]byte{"a": v, "c": old}}},
		} {
			p, ok := Patch(pair[0], pair[1])
			if !ok {
				continue
			}
			got, err := Unpatch(pair[0], p)
			if err != nil || !got.Equal(pair[1]) {
				t.Fatalf("patch %x: %v", p, err)
			}
		}
	})
}

var checksumError = regexp.MustCompile(`checksum ([0-9a-f]{8}),`)

// FuzzUnpatch applies any patch to any value. A patch with a wrong checksum gets
// the right one, so that what it says is looked at.
func FuzzUnpatch(f *testing.F) {
	text := []byte(prose(1, 3000))
	for _, v := range [][]byte{append([]byte("now "), text[:2000]...), append(bytes.Clone(text[1000:2000]), prose(2, 900)...), bytes.Repeat(text[:300], 9)} {
		p, ok := Patch(replica.Value{Bytes: text}, replica.Value{Bytes: v})
		if !ok {
			f.Fatal("no patch")
		}
		f.Add(text, p, false)
		p, ok = Patch(replica.Value{Map: map[string][]byte{"a": text, "b": text}}, replica.Value{Map: map[string][]byte{"a": text, "b": v, "c": {1}}})
		if !ok {
			f.Fatal("no patch")
		}
		f.Add(text, p, true)
	}
	f.Fuzz(func(t *testing.T, old, patch []byte, isMap bool) {
		base := replica.Value{Bytes: old}
		if isMap {
			base = replica.Value{Map: map[string][]byte{"a": old, "b": old}}
		}
		var got replica.Value
		var err error
		apply := func() {
			// An entry may name the base again and again.
			allocates(t, len(patch)+len(old), structBytes+len(patch)/8*(len(old)/max(1, len(patch))+1), func() { got, err = Unpatch(base, patch) })
		}
		apply()
		if err != nil {
			if sum := checksumError.FindStringSubmatch(err.Error()); sum != nil {
				want, _ := strconv.ParseUint(sum[1], 16, 32)
				binary.LittleEndian.PutUint32(patch[1:], uint32(want))
				apply()
			}
		}
		if err != nil {
			if !errors.Is(err, ErrPatch) {
				t.Fatalf("an error of another kind: %v", err)
			}
			return
		}
		if len(got.Bytes) > limit(old, len(patch)) || got.Map == nil == isMap {
			t.Fatalf("%d bytes of %d and a patch of %d", len(got.Bytes), len(old), len(patch))
		}
		if p, ok := Patch(base, got); ok {
			if again, err := Unpatch(base, p); err != nil || !again.Equal(got) {
				t.Fatalf("made again: %v", err)
			}
		}
	})
}

// FuzzPacked decodes compressed values and maps.
func FuzzPacked(f *testing.F) {
	p, _ := pack([]byte(prose(1, 3000)))
	f.Add(p)
	p, _ = pack(make([]byte, 100_000))
	f.Add(p)
	p, _ = pack(appendMap(nil, map[string][]byte{"a": []byte(prose(1, 3000)), "": nil}))
	f.Add(p)
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, form := range []form{formPacked, formMapPacked, formMap} {
			r := newReader(data)
			var v replica.Value
			allocates(t, len(data), MaxInflate*structBytes, func() { v = r.value(form, data, 0) })
			if r.err != nil {
				continue
			}
			kind, b := encodeValue(&replica.Op{Value: v}, false)
			again := newReader(b)
			if got := again.value(kind, b, 0); again.err != nil || !got.Equal(v) {
				t.Fatalf("%v", again.err)
			}
		}
	})
}

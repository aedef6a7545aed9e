package membership

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestMetaGolden(t *testing.T) {
	m := meta{started: time.UnixMilli(1795000000123), leaving: true, zone: "eu-1"}
	const want = "\x01\x01\x00\x00\x01\xa1\xee\x56\x5e\x7b\x04eu-1"
	if got := m.encode(); string(got) != want {
		t.Errorf("got %x, want %x", got, want)
	}
	// A later version adds bytes at the end and other flags.
	later, err := decodeMeta([]byte("\x02\xfe" + want[2:] + "more"))
	if err != nil || later.zone != "eu-1" || later.leaving || !later.started.Equal(m.started) {
		t.Errorf("%+v, %v", later, err)
	}
}

func FuzzMeta(f *testing.F) {
	f.Add(meta{started: time.UnixMilli(1), zone: "z"}.encode())
	f.Add(meta{leaving: true, zone: strings.Repeat("z", maxZone)}.encode())
	f.Add([]byte("\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeMeta(b)
		if err != nil {
			return
		}
		again, err := decodeMeta(m.encode())
		if err != nil || again != m {
			t.Fatalf("%+v became %+v, %v", m, again, err)
		}
		if b[0] == metaVersion && b[1]&^flagLeaving == 0 && !bytes.HasPrefix(b, m.encode()) {
			t.Fatalf("%x became %x", b, m.encode())
		}
	})
}

func FuzzName(f *testing.F) {
	for _, s := range []string{"a#00000001", "node_1-x#ffffffff", "a", "a#0", "a#00000000", "#00000001", "a#+0000001", "a#b#00000001", "a.b#00000001"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		name, id, err := parseName(s)
		if err != nil {
			return
		}
		if !validName.MatchString(name) || id == 0 {
			t.Fatalf("%q is %q %d", s, name, id)
		}
		if n := (Node{Name: name, ID: id}).mlName(); !strings.EqualFold(n, s) {
			t.Fatalf("%q became %q", s, n)
		}
	})
}

package filestore

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/serval-server/serval/sessions"
	"github.com/serval-server/serval/sessions/storetest"
)

func open(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) sessions.Store { return open(t, t.TempDir()) })
}

func TestDamagedFile(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	snap := storetest.Sample(storetest.NewID())
	if err := s.Save(t.Context(), snap); err != nil {
		t.Fatal(err)
	}
	_, file, _, err := s.place(snap.ID)
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(dir, file)
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string][]byte{
		"empty": {}, "cut off": good[:len(good)/2], "bit flipped": append(append([]byte(nil), good[:50]...), append([]byte{good[50] ^ 1}, good[51:]...)...),
		"longer": append(append([]byte(nil), good...), 0),
	} {
		if err := os.WriteFile(file, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Load(t.Context(), snap.ID); !errors.Is(err, sessions.ErrDamaged) {
			t.Errorf("%s: %v, want ErrDamaged", name, err)
		}
		if err := s.Walk(t.Context(), func(*sessions.Snapshot) bool { t.Errorf("%s: Walk shows it", name); return true }); err != nil {
			t.Errorf("%s: Walk: %v", name, err)
		}
	}
}

func TestLeftoversAreRemoved(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "ab"), 0o700); err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(dir, "ab", "61.session.tmp-XYZ")
	if err := os.WriteFile(left, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	open(t, dir)
	if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a half-written file is still there: %v", err)
	}
}

// What decodes encodes to a file that decodes to the same.
func FuzzDecode(f *testing.F) {
	good, err := encode(storetest.Sample(storetest.NewID()))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good[:200])
	small := storetest.Sample(storetest.NewID())
	small.Attributes = small.Attributes[2:]
	good, err = encode(small)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Fuzz(func(t *testing.T, b []byte) {
		snap, err := decode(b)
		if err != nil {
			if !errors.Is(err, sessions.ErrDamaged) {
				t.Fatalf("error %v is not ErrDamaged", err)
			}
			return
		}
		once, err := encode(snap)
		if err != nil {
			t.Fatal(err)
		}
		again, err := decode(once)
		if err != nil {
			t.Fatal(err)
		}
		twice, err := encode(again)
		if err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("%v: a second round differs", err)
		}
	})
}

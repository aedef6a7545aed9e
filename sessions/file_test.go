package sessions

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// saved makes a manager with n sessions, closes it with a file and returns their ids.
func saved(t *testing.T, o Options, n int) []ID {
	t.Helper()
	m := manager(t, o)
	var ids []ID
	for i := range n {
		s := create(t, m)
		set(t, s, "n", fmt.Sprint(i), "text", strings.Repeat("x", 200))
		ids = append(ids, s.ID())
		s.End()
	}
	if err := m.Close(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	return ids
}

func loaded(t *testing.T, o Options) (*Manager, LoadReport) {
	t.Helper()
	m, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	rep, err := m.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	m.Start()
	t.Cleanup(func() {
		if err := m.Close(context.Background(), false); err != nil {
			t.Error(err)
		}
	})
	return m, rep
}

func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := &recorder{events: AllEvents}
		o := Options{App: "localhost/r", Version: "2", File: filepath.Join(t.TempDir(), "work", "SESSIONS.bin"), Listener: rec, Timeout: time.Hour}
		m := manager(t, o)
		began := time.Now()
		var ids []ID
		for i := range 3 {
			s := create(t, m)
			set(t, s, "n", fmt.Sprint(i))
			s.SetLocal("x", 1)
			ids = append(ids, s.ID())
			if i == 2 {
				defer s.End() // still in use when the manager closes
			} else {
				s.End()
			}
			time.Sleep(10 * time.Minute)
		}
		rec.take()
		if err := m.Close(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		if got := rec.take(); got != "willPassivate PASSIVATION, willPassivate PASSIVATION, willPassivate PASSIVATION" {
			t.Errorf("events of the stop: %s", got)
		}
		if fi, err := os.Stat(o.File); err != nil || fi.Mode().Perm() != 0o600 {
			t.Fatalf("the file: %v, %v", fi, err)
		}
		time.Sleep(35 * time.Minute) // the first was idle for 65 minutes
		m, rep := loaded(t, o)
		if rep.Sessions != 3 || rep.Damage != nil {
			t.Errorf("%+v", rep)
		}
		if _, err := os.Stat(o.File); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the file is still there: %v", err)
		}
		if got := rec.take(); got != "didActivate ACTIVATION, didActivate ACTIVATION, didActivate ACTIVATION" {
			t.Errorf("events of the start: %s", got)
		}
		gone(t, m, ids[0])
		s := find(t, m, ids[1])
		defer s.End()
		if dump(t, s) != "n=1" || s.IsNew() || s.Version() != "2" || s.Created().Sub(began) != 10*time.Minute || s.LastAccessed().Sub(began) != 10*time.Minute || s.Local("x") != nil {
			t.Errorf("%s, new %v, version %s, created %v, accessed %v", dump(t, s), s.IsNew(), s.Version(), s.Created().Sub(began), s.LastAccessed().Sub(began))
		}
		find(t, m, ids[2]).End()
		if got := rec.take(); got != "destroyed TIMEOUT" {
			t.Errorf("events afterwards: %s", got)
		}
	})
}

// Whatever happens to a file, the start goes on, the file is kept aside, and what
// was whole before the damage is used.
func TestDamagedFiles(t *testing.T) {
	o := Options{App: "localhost/d", File: filepath.Join(t.TempDir(), "S")}
	saved(t, o, 20)
	good, err := os.ReadFile(o.File)
	if err != nil {
		t.Fatal(err)
	}
	flip := func(at int) []byte {
		b := bytes.Clone(good)
		b[at] ^= 0x10
		return b
	}
	for name, c := range map[string]struct {
		data     []byte
		sessions int
	}{
		"empty":             {nil, 0},
		"text":              {[]byte("hello"), 0},
		"other version":     {flip(len(fileMagic)), 0},
		"application":       {flip(len(fileMagic) + 3), 0},
		"middle":            {flip(len(good) / 2), 9},
		"cut in the middle": {good[:len(good)/2], 9},
		"cut at the end":    {good[:len(good)-16], 20},
		"last byte":         {good[:len(good)-1], 20},
		"end":               {flip(len(good) - 10), 20},
		"longer":            {append(bytes.Clone(good), 0), 20},
		"twice":             {append(bytes.Clone(good), good...), 20},
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(o.File, c.data, 0o600); err != nil {
				t.Fatal(err)
			}
			m, rep := loaded(t, o)
			if rep.Damage == nil || !errors.Is(rep.Damage, ErrDamaged) || rep.Sessions < c.sessions || rep.Sessions > c.sessions+1 || m.Stats().Active != rep.Sessions {
				t.Errorf("%+v, want %d sessions", rep, c.sessions)
			}
			if b, err := os.ReadFile(rep.SetAside); err != nil || !bytes.Equal(b, c.data) || !strings.Contains(rep.SetAside, ".corrupt-") {
				t.Errorf("set aside as %q: %v", rep.SetAside, err)
			}
			if _, err := os.Stat(o.File); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the file is still there: %v", err)
			}
		})
	}
}

func TestFileOfAnotherApplication(t *testing.T) {
	file := filepath.Join(t.TempDir(), "S")
	saved(t, Options{App: "localhost/a", File: file}, 1)
	_, rep := loaded(t, Options{App: "localhost/b", File: file})
	if rep.Sessions != 0 || rep.Damage == nil || !strings.Contains(rep.Damage.Error(), `sessions of "localhost/a"`) {
		t.Errorf("%+v", rep)
	}
}

// A manager that cannot save says so, leaves no half-written file, and is closed.
func TestUnwritableFile(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	m, err := New(Options{App: "a", File: filepath.Join(dir, "x", "S")})
	if err != nil {
		t.Fatal(err)
	}
	create(t, m).End()
	if err := m.Close(t.Context(), true); err == nil || !strings.Contains(err.Error(), "closing the sessions of a") {
		t.Errorf("Close: %v", err)
	}
	if _, err := m.Create(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("Create: %v", err)
	}
	file := filepath.Join(dir, "T")
	failed := errors.New("failed")
	if err := writeAtomically(file, func(w io.Writer) error { _, _ = w.Write([]byte("x")); return failed }); !errors.Is(err, failed) {
		t.Errorf("writeAtomically: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".T*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// Saving and loading take memory for one session at a time, not for all.
func TestFileStreams(t *testing.T) {
	o := Options{App: "localhost/s", File: filepath.Join(t.TempDir(), "S")}
	saved(t, o, 20_000) // 5 MB
	m, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = m.Close(context.Background(), false) }()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	if rep, err := m.Load(t.Context()); err != nil || rep.Sessions != 20_000 {
		t.Fatal(rep, err)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 20_000*160 {
		t.Errorf("%d bytes of heap for each loaded session", grown/20_000)
	}
}

// A reload: the next generation has other listeners and another version, and
// requests go on meanwhile.
func TestRebind(t *testing.T) {
	old, next := &recorder{events: AllEvents}, &recorder{events: AllEvents}
	m := manager(t, Options{Version: "1", Listener: old, Timeout: time.Hour})
	a := create(t, m)
	set(t, a, "x", "1")
	idle := create(t, m)
	idle.End()
	old.take()
	if err := m.Rebind(t.Context(), Options{Route: "a b"}); err == nil {
		t.Error("a bad option was accepted")
	}
	if err := m.Rebind(t.Context(), Options{Version: "2", Listener: next, Timeout: time.Minute, Route: "r", MaxActive: 3}); err != nil {
		t.Fatal(err)
	}
	if o, n := old.take(), next.take(); o != "willPassivate PASSIVATION, willPassivate PASSIVATION" || n != "didActivate ACTIVATION, didActivate ACTIVATION" {
		t.Errorf("old %q, next %q", o, n)
	}
	set(t, a, "x", "2")
	if dump(t, a) != "x=2" || a.MaxInactive() != time.Hour || a.Version() != "1" || a.ID().Route() != "r" {
		t.Errorf("a session in use: %s, %v, version %s, id %s", dump(t, a), a.MaxInactive(), a.Version(), a.ID())
	}
	a.End()
	find(t, m, idle.ID()).End()
	b := create(t, m)
	defer b.End()
	if b.Version() != "2" || b.MaxInactive() != time.Minute {
		t.Errorf("a new session: version %s, %v", b.Version(), b.MaxInactive())
	}
	if _, err := m.Create(t.Context()); !errors.As(err, new(*TooManyError)) {
		t.Errorf("above the new limit: %v", err)
	}
	if got := old.take(); got != "" {
		t.Errorf("the old generation hears %q", got)
	}
	if err := m.Close(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if err := m.Rebind(t.Context(), Options{}); !errors.Is(err, ErrClosed) {
		t.Errorf("Rebind of a closed manager: %v", err)
	}
}

// readAll reads a session file.
func readAll(b []byte) (all []*Snapshot, err error) {
	err = readFile(bytes.NewReader(b), "app", func(s *Snapshot) error {
		all = append(all, s)
		return nil
	})
	return all, err
}

func writeAll(t testing.TB, all []*Snapshot) []byte {
	t.Helper()
	var b bytes.Buffer
	f, err := newFileWriter(&b, "app")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		if err := f.add(s); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// A file is read whole or damaged; what is read can be written, and reads the same.
func FuzzReadFile(f *testing.F) {
	attrs := []Attribute{{Name: "a", Value: []byte("1"), Dot: Dot{1, 2, 3}}, {Name: "b", Value: nil, Dot: Dot{1, 2, 4}}}
	s := &Snapshot{ID: sid, Version: "v", Head: Dot{1, 2, 4}, Created: time.UnixMilli(5), Accessed: time.UnixMilli(6), MaxInactive: 7, New: true, Attributes: attrs}
	f.Add(writeAll(f, nil))
	f.Add(writeAll(f, []*Snapshot{s}))
	f.Add(writeAll(f, []*Snapshot{s, s})[:90])
	f.Fuzz(func(t *testing.T, b []byte) {
		all, err := readAll(b)
		if err != nil && !errors.Is(err, ErrDamaged) {
			t.Fatalf("%v is not ErrDamaged", err)
		}
		once := writeAll(t, all)
		again, err := readAll(once)
		if err != nil || len(again) != len(all) {
			t.Fatalf("%v: %d of %d sessions", err, len(again), len(all))
		}
		if twice := writeAll(t, again); !bytes.Equal(once, twice) {
			t.Fatal("a second round differs")
		}
	})
}

// The checksums keep a fuzzer out of the decoder of sessions: here it is alone.
func FuzzParseSnapshot(f *testing.F) {
	s := &Snapshot{ID: sid, Version: "v", Head: Dot{1, 2, 4}, Attributes: []Attribute{{Name: "a", Value: []byte("1"), Dot: Dot{9, 9, 9}}, {Name: "b"}}}
	b, err := AppendSnapshot(nil, s)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(b[:30])
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ParseSnapshot(b)
		if err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Fatalf("%v is not ErrDamaged", err)
			}
			return
		}
		once, err := AppendSnapshot(nil, s)
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseSnapshot(once)
		if err != nil {
			t.Fatal(err)
		}
		twice, err := AppendSnapshot(nil, again)
		if err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("%v: a second round differs", err)
		}
	})
}

// The format of the file, byte by byte: a later version must still read it.
func TestFileFormat(t *testing.T) {
	got := writeAll(t, []*Snapshot{{
		ID: sid, Version: "2", Head: Dot{Epoch: 1, Node: 2, Clock: 300}, Created: time.UnixMilli(1000), Accessed: time.UnixMilli(2000),
		MaxInactive: time.Second, New: true,
		Attributes: []Attribute{{Name: "a", Value: []byte("xy"), Dot: Dot{1, 2, 300}}, {Name: "b", Value: []byte{1}, Dot: Dot{1, 1, 9}}, {Name: "c"}},
	}})
	want, err := os.ReadFile(filepath.Join("testdata", "v1.sessions"))
	if os.Getenv("UPDATE") != "" {
		err = os.WriteFile(filepath.Join("testdata", "v1.sessions"), got, 0o600)
		want = got
	}
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the format has changed: %q, want %q", got, want)
	}
	all, err := readAll(want)
	if err != nil || len(all) != 1 || all[0].Attributes[1].Dot != (Dot{1, 1, 9}) || !all[0].New || all[0].MaxInactive != time.Second {
		t.Errorf("%v, %+v", err, all)
	}
}

// Package storetest is the conformance suite of [sessions.Store]: what every
// store, ours or a user's, must do. A test of a store calls [Run].
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) sessions.Store {
//			s, err := mystore.Open(t.TempDir())
//			...
//			return s
//		})
//	}
package storetest

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/serval-server/serval/sessions"
)

// Run tests the stores that open makes; each call is to return an empty one.
func Run(t *testing.T, open func(t *testing.T) sessions.Store) {
	for _, c := range []struct {
		name string
		test func(*testing.T, sessions.Store)
	}{
		{"missing", missing},
		{"roundtrip", roundtrip},
		{"replace", replace},
		{"delete", remove},
		{"route", route},
		{"walk", walk},
		{"strange ids", strangeIDs},
		{"concurrent", concurrent},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t)) })
	}
}

// NewID makes a well-formed id.
func NewID() sessions.ID {
	var b [sessions.PlacementBytes + sessions.SecretBytes]byte
	_, _ = rand.Read(b[:])
	return sessions.ID(base64.RawURLEncoding.EncodeToString(b[:]))
}

// Sample makes a session with everything that one can have.
func Sample(id sessions.ID) *sessions.Snapshot {
	created := time.UnixMilli(1_700_000_000_123)
	head := sessions.Dot{Epoch: 3, Node: 7, Clock: 1 << 60}
	return &sessions.Snapshot{
		ID: id, Version: "2", Head: head, Created: created, Accessed: created.Add(time.Hour), MaxInactive: 90 * time.Second, New: true,
		Attributes: []sessions.Attribute{
			{Name: "", Value: []byte{0xf6}, Dot: sessions.Dot{Epoch: 1, Node: 9, Clock: 5}},
			{Name: "big", Value: bytes.Repeat([]byte("0123456789abcdef"), 10_000), Dot: head},
			{Name: "empty", Value: []byte{}},
			{Name: "naïve\x00/..", Value: []byte{1}, Dot: sessions.Dot{Epoch: 3, Node: 7, Clock: 1<<60 - 1}},
		},
	}
}

func missing(t *testing.T, s sessions.Store) {
	if snap, err := s.Load(t.Context(), NewID()); !errors.Is(err, sessions.ErrNotFound) || snap != nil {
		t.Errorf("Load of a session that was never saved: %v, %v, want ErrNotFound", snap, err)
	}
	if err := s.Delete(t.Context(), NewID()); err != nil {
		t.Errorf("Delete of a session that was never saved: %v", err)
	}
}

func roundtrip(t *testing.T, s sessions.Store) {
	want := Sample(NewID())
	save(t, s, want)
	check(t, s, want)
	bare := &sessions.Snapshot{ID: NewID(), Created: time.UnixMilli(0), Accessed: time.UnixMilli(1), MaxInactive: -1}
	save(t, s, bare)
	check(t, s, bare)
}

// What is loaded must be the caller's own: neither a later Save nor what another
// caller does may change it.
func replace(t *testing.T, s sessions.Store) {
	first := Sample(NewID())
	save(t, s, first)
	loaded, err := s.Load(t.Context(), first.ID)
	if err != nil {
		t.Fatal(err)
	}
	second := Sample(first.ID)
	second.New = false
	second.Attributes = second.Attributes[:1]
	second.Head.Clock++
	save(t, s, second)
	check(t, s, second)
	same(t, loaded, first)
}

func remove(t *testing.T, s sessions.Store) {
	a, b := Sample(NewID()), Sample(NewID())
	save(t, s, a)
	save(t, s, b)
	if err := s.Delete(t.Context(), a.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Load(t.Context(), a.ID); !errors.Is(err, sessions.ErrNotFound) {
		t.Errorf("Load of a deleted session: %v, want ErrNotFound", err)
	}
	check(t, s, b)
	save(t, s, a)
	check(t, s, a)
}

// Ids that differ only in case are different sessions.
func route(t *testing.T, s sessions.Store) {
	lower := sessions.ID(strings.Repeat("a", 32))
	upper := sessions.ID(strings.Repeat("A", 32))
	a := Sample(lower)
	save(t, s, a)
	if _, err := s.Load(t.Context(), upper); !errors.Is(err, sessions.ErrNotFound) {
		t.Errorf("Load of an id in another case: %v, want ErrNotFound", err)
	}
	b := Sample(upper)
	b.Version = "3"
	save(t, s, b)
	check(t, s, a)
	check(t, s, b)
}

func walk(t *testing.T, s sessions.Store) {
	want := map[sessions.ID]bool{}
	for range 40 {
		snap := Sample(NewID())
		save(t, s, snap)
		want[snap.ID] = true
	}
	seen := map[sessions.ID]bool{}
	err := s.Walk(t.Context(), func(snap *sessions.Snapshot) bool {
		model := Sample(snap.ID)
		if seen[snap.ID] || snap.Attributes != nil || !snap.Accessed.Equal(model.Accessed) || snap.MaxInactive != model.MaxInactive {
			t.Errorf("Walk: %+v comes twice, with attributes, or is not what was saved", snap)
		}
		seen[snap.ID] = true
		return true
	})
	if err != nil || !reflect.DeepEqual(seen, want) {
		t.Errorf("Walk: %v, saw %d of %d sessions", err, len(seen), len(want))
	}
	n := 0
	if err := s.Walk(t.Context(), func(*sessions.Snapshot) bool { n++; return n < 3 }); err != nil || n != 3 {
		t.Errorf("Walk that is told to stop: %v after %d sessions, want 3", err, n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Walk(ctx, func(*sessions.Snapshot) bool { return true }); !errors.Is(err, context.Canceled) {
		t.Errorf("Walk with a cancelled context: %v", err)
	}
}

func strangeIDs(t *testing.T, s sessions.Store) {
	for _, id := range []sessions.ID{"", ".", "..", "../../etc/passwd", "a/b", sessions.ID(strings.Repeat("x", 5000)), "\x00", sessions.ID(strings.Repeat("a", 31) + "/")} {
		if _, err := s.Load(t.Context(), id); !errors.Is(err, sessions.ErrNotFound) {
			t.Errorf("Load(%.40q): %v, want ErrNotFound", id, err)
		}
		if err := s.Save(t.Context(), Sample(id)); err == nil {
			t.Errorf("Save(%.40q) succeeded", id)
		}
		if err := s.Delete(t.Context(), id); err != nil {
			t.Errorf("Delete(%.40q): %v", id, err)
		}
	}
}

// One id is saved, loaded and deleted at once (Tomcat's TestFileStoreConcurrency):
// every Load finds a whole session or none.
func concurrent(t *testing.T, s sessions.Store) {
	id := NewID()
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 40 {
				snap := Sample(id)
				snap.Version = fmt.Sprintf("%d-%d", w, i)
				snap.Attributes[1].Value = bytes.Repeat([]byte{byte(w*40 + i)}, 1000*(i%5+1))
				if err := s.Save(t.Context(), snap); err != nil {
					t.Errorf("Save: %v", err)
				}
				if got, err := s.Load(t.Context(), id); err == nil {
					v := got.Attributes[1].Value
					if len(v) == 0 || !bytes.Equal(v, bytes.Repeat(v[:1], len(v))) {
						t.Error("Load found a mixture of two sessions")
					}
				} else if !errors.Is(err, sessions.ErrNotFound) {
					t.Errorf("Load: %v", err)
				}
				if i%7 == 0 {
					if err := s.Delete(t.Context(), id); err != nil {
						t.Errorf("Delete: %v", err)
					}
				}
			}
		})
	}
	wg.Wait()
}

func save(t *testing.T, s sessions.Store, snap *sessions.Snapshot) {
	t.Helper()
	if err := s.Save(t.Context(), snap); err != nil {
		t.Fatalf("Save: %v", err)
	}
}

func check(t *testing.T, s sessions.Store, want *sessions.Snapshot) {
	t.Helper()
	got, err := s.Load(t.Context(), want.ID)
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	same(t, got, want)
}

func same(t *testing.T, got, want *sessions.Snapshot) {
	t.Helper()
	equal := got.ID == want.ID && got.Version == want.Version && got.Head == want.Head && got.Created.Equal(want.Created) &&
		got.Accessed.Equal(want.Accessed) && got.MaxInactive == want.MaxInactive && got.New == want.New &&
		slices.EqualFunc(got.Attributes, want.Attributes, func(a, b sessions.Attribute) bool {
			return a.Name == b.Name && a.Dot == b.Dot && bytes.Equal(a.Value, b.Value)
		})
	if !equal {
		t.Errorf("loaded %.300v, want %.300v", *got, *want)
	}
}

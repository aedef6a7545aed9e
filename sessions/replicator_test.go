package sessions

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"
)

// twin is a Replicator that writes Deltas down, and knows one session elsewhere.
type twin struct {
	mu     sync.Mutex
	deltas []*Delta
	snap   *Snapshot
	asked  int
	err    error
}

func (r *twin) Find(_ context.Context, app AppKey, id ID) (*Snapshot, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked++
	if r.snap != nil && r.snap.ID == id && app == "localhost/test" {
		return r.snap, nil
	}
	return nil, r.err
}

func (r *twin) Commit(d *Delta) Receipt {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.deltas = append(r.deltas, d)
	if r.err == nil {
		return nil
	}
	return receipt(func(context.Context) error { return r.err })
}

// receipt is a Receipt by a function.
type receipt func(context.Context) error

func (f receipt) Wait(ctx context.Context) error { return f(ctx) }

func (r *twin) last(t *testing.T, n int) *Delta {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.deltas) != n {
		t.Fatalf("%d deltas, want %d", len(r.deltas), n)
	}
	return r.deltas[n-1]
}

func TestDeltas(t *testing.T) {
	r := &twin{}
	m := manager(t, Options{Replicator: r, Version: "3", Route: "n", Node: 5, Hot: -1})
	s := create(t, m)
	id := s.ID().Real()
	d1 := set(t, s, "b", "0", "a", "1", "b", "2")
	d := r.last(t, 1)
	want := []Attribute{{"a", []byte("1"), d1}, {"b", []byte("2"), d1}}
	if d.App != "localhost/test" || d.ID != id || !d.Created || d.Version != "3" || !d.Base.IsZero() || d.Dot != d1 || d1.Node != 5 ||
		!reflect.DeepEqual(d.Set, want) || d.Removed != nil || d.MaxInactive != DefaultTimeout || d.Accessed.IsZero() || d.Dead {
		t.Errorf("first: %+v", d)
	}
	s.End()
	s = find(t, m, id)
	next, err := s.ChangeID(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.ChangeID(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.End()
	gone(t, m, next)
	s = find(t, m, s.ID())
	defer s.End()
	d2, err := s.Commit(t.Context(), &Changes{Attributes: []Change{{Name: "a", Remove: true}}, Read: []string{"b"}})
	if err != nil {
		t.Fatal(err)
	}
	d = r.last(t, 2)
	if d.Previous != id || d.ID != s.ID().Real() || d.Created || d.Base != d1 || d.Dot != d2 || !reflect.DeepEqual(d.Removed, []string{"a"}) || d.Set != nil || !reflect.DeepEqual(d.Read, []string{"b"}) {
		t.Errorf("second: %+v", d)
	}
	if _, err := s.Commit(t.Context(), &Changes{}); err != nil {
		t.Fatal(err)
	}
	if d = r.last(t, 3); d.Base != d2 || d.Dot != d2 || d.Previous != "" {
		t.Errorf("a touch: %+v", d)
	}
	if _, _, _, err := s.CompareAndSwap(t.Context(), "c", Dot{}, []byte("1")); err != nil {
		t.Fatal(err)
	}
	if d = r.last(t, 4); d.Base != d2 || len(d.Set) != 1 || d.Set[0].Name != "c" {
		t.Errorf("a swap: %+v", d)
	}
	r.err = errors.New("no ack")
	var failed *ReplicationError
	if _, err := s.Commit(t.Context(), &Changes{Attributes: []Change{{Name: "x", Value: []byte("1")}}}); !errors.Is(err, r.err) || !errors.As(err, &failed) || failed.Timeout() {
		t.Errorf("Commit: %v, want the replicator's error", err)
	}
	r.err = fmt.Errorf("late: %w", context.DeadlineExceeded)
	if _, _, _, err := s.CompareAndSwap(t.Context(), "y", Dot{}, []byte("1")); !errors.As(err, &failed) || !failed.Timeout() {
		t.Errorf("CompareAndSwap: %v, want a timeout", err)
	}
	r.err = nil
	if err := s.Invalidate(t.Context(), Invalidate); err != nil {
		t.Fatal(err)
	}
	if d = r.last(t, 7); !d.Dead || d.Cause != Invalidate || d.Base.Compare(d.Dot) >= 0 {
		t.Errorf("the end: %+v", d)
	}
}

func TestFetch(t *testing.T) {
	k := newKey()
	value := Attribute{Name: "a", Value: []byte("1"), Dot: Dot{Epoch: 4, Node: 9, Clock: 1 << 62}}
	r := &twin{snap: &Snapshot{ID: k.id(""), Head: value.Dot, Created: time.Now(), Accessed: time.Now(), MaxInactive: time.Minute, Attributes: []Attribute{value}}}
	rec := &recorder{events: AllEvents}
	m := manager(t, Options{Replicator: r, Listener: rec, MaxActive: 1})
	create(t, m).End()
	rec.take()
	var wg sync.WaitGroup
	for range 8 { // all ask at once; one asks the others
		wg.Go(func() {
			s, err := m.Find(context.Background(), k.id("elsewhere"))
			if err != nil {
				t.Error(err)
				return
			}
			defer s.End()
			if got, ok, err := s.Attribute("a"); err != nil || !ok || got.Dot != value.Dot || s.MaxInactive() != time.Minute {
				t.Errorf("%+v %v %v", got, ok, err)
			}
		})
	}
	wg.Wait()
	if got := rec.take(); got != "created FAILOVER, didActivate FAILOVER" || r.asked != 1 {
		t.Errorf("events %q, asked %d times", got, r.asked)
	}
	s := find(t, m, k.id(""))
	defer s.End()
	if d := set(t, s, "a", "2"); d.Compare(value.Dot) <= 0 || d.Epoch != 4 {
		t.Errorf("dot %v after %v of a clock ahead of ours", d, value.Dot)
	}
	gone(t, m, newKey().id(""))
	r.err = errors.New("partition")
	if _, err := m.Find(t.Context(), newKey().id("")); !errors.Is(err, r.err) {
		t.Errorf("Find: %v, want the replicator's error", err)
	}
	r.err = nil
}

// Clocks grow strictly, also when the wall clock goes back.
func TestHLC(t *testing.T) {
	var c HLC
	now := time.UnixMilli(1_000_000)
	last := c.Next(now)
	for _, step := range []time.Duration{0, 0, -time.Hour, time.Millisecond, -2 * time.Hour, time.Hour} {
		now = now.Add(step)
		next := c.Next(now)
		if next <= last {
			t.Errorf("clock %d after %d", next, last)
		}
		last = next
	}
	c.Observe(last + 1000)
	if next := c.Next(now); next != last+1001 {
		t.Errorf("after Observe: %d", next-last)
	}
	if got := c.Next(time.UnixMilli(1 << 40)); got != 1<<56 {
		t.Errorf("ahead again: %d, want the wall clock's", got)
	}
}

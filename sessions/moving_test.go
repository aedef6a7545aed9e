package sessions

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// The Deltas of a session come in the order of its commits, each on the version
// before it, however many requests commit at once.
func TestDeltaOrder(t *testing.T) {
	r := &twin{}
	m := manager(t, Options{Replicator: r})
	s := create(t, m)
	defer s.End()
	idle := 10 * time.Minute
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 50 {
				c := &Changes{Attributes: []Change{{Name: "a", Value: []byte{byte(i)}}}}
				if i%2 == 0 {
					c.MaxInactive = &idle
				}
				if _, err := s.Commit(context.Background(), c); err != nil {
					t.Error(err)
				}
				if _, _, _, err := s.CompareAndSwap(context.Background(), "b", Dot{Clock: 1}, nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	var head Dot
	for i, d := range r.deltas {
		if d.Base != head || d.Dot.Compare(head) <= 0 || d.Created != (i == 0) {
			t.Fatalf("delta %d is %v on %v after %v", i, d.Dot, d.Base, head)
		}
		head = d.Dot
	}
	if len(r.deltas) != 400 {
		t.Errorf("%d deltas", len(r.deltas))
	}
}

// A session that was made, or has got another id, is announced even if nothing
// else has changed, once.
func TestAnnounce(t *testing.T) {
	r := &twin{}
	m := manager(t, Options{Replicator: r})
	s := create(t, m)
	defer s.End()
	announce := func() {
		t.Helper()
		if err := s.Announce(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	announce()
	announce()
	if d := r.last(t, 1); !d.Created || d.Base != d.Dot || d.Version != "" {
		t.Errorf("%+v", d)
	}
	old := s.ID().Real()
	if _, err := s.ChangeID(t.Context()); err != nil {
		t.Fatal(err)
	}
	announce()
	announce()
	if d := r.last(t, 2); d.Created || d.Previous != old || d.ID != s.ID().Real() {
		t.Errorf("%+v", d)
	}
	if s, err := m.FindNew(t.Context(), s.ID()); !errors.Is(err, ErrNotFound) {
		t.Errorf("FindNew of an announced session: %v %v", s, err)
	}
	fresh := create(t, m)
	defer fresh.End()
	if s, err := m.FindNew(t.Context(), fresh.ID()); err != nil {
		t.Error(err)
	} else {
		s.End()
	}
}

// What a session had before there was a Replicator goes into its first Delta.
func TestFirstDeltaIsWhole(t *testing.T) {
	m := manager(t, Options{})
	s := create(t, m)
	defer s.End()
	set(t, s, "a", "1", "b", "2")
	r := &twin{}
	if err := m.Rebind(t.Context(), Options{Replicator: r}); err != nil {
		t.Fatal(err)
	}
	set(t, s, "c", "3")
	if d := r.last(t, 1); !d.Created || len(d.Set) != 3 {
		t.Errorf("%+v", d)
	}
	set(t, s, "c", "4")
	if d := r.last(t, 2); d.Created || len(d.Set) != 1 {
		t.Errorf("%+v", d)
	}
}

func TestEvict(t *testing.T) {
	r := &twin{}
	rec := &recorder{events: AllEvents}
	m := manager(t, Options{Replicator: r, Listener: rec, Hot: -1})
	for _, used := range []bool{true, false} {
		s := create(t, m)
		id := s.ID()
		set(t, s, "a", "1")
		if !used {
			s.End()
		}
		if m.InUse(id) != used {
			t.Error("InUse")
		}
		rec.take()
		m.Evict(t.Context(), id, Failaway)
		m.Evict(t.Context(), id, Failaway)
		if got := rec.take(); got != "willPassivate FAILAWAY" {
			t.Errorf("events %q", got)
		}
		gone(t, m, id)
		if !used {
			continue
		}
		if got := dump(t, s); got != "a=1" || s.Valid() {
			t.Errorf("the request sees %q", got)
		}
		n := len(r.deltas)
		if _, err := s.Commit(t.Context(), &Changes{Attributes: []Change{{Name: "a", Value: []byte("2")}}}); !errors.Is(err, ErrMoved) {
			t.Errorf("Commit: %v", err)
		}
		if _, _, _, err := s.CompareAndSwap(t.Context(), "b", Dot{}, nil); !errors.Is(err, ErrMoved) {
			t.Errorf("CompareAndSwap: %v", err)
		}
		if _, err := s.ChangeID(t.Context()); !errors.Is(err, ErrMoved) {
			t.Errorf("ChangeID: %v", err)
		}
		if err := s.Invalidate(t.Context(), Invalidate); !errors.Is(err, ErrMoved) {
			t.Errorf("Invalidate: %v", err)
		}
		if err := s.Announce(t.Context()); !errors.Is(err, ErrMoved) {
			t.Errorf("Announce: %v", err)
		}
		if len(r.deltas) != n {
			t.Error("a session that has moved makes deltas")
		}
		s.End()
	}
	if st := m.Stats(); st.Moved != 2 || st.Active != 0 || st.Ended != 0 {
		t.Errorf("%+v", st)
	}
}

// Where sessions are passivated, the end of the application on one node does not
// end them for their listeners either (JBoss, jboss.md §3.3).
func TestCloseWithPassivation(t *testing.T) {
	st := newMapStore()
	rec := &recorder{events: AllEvents}
	m := manager(t, Options{Replicator: &twin{}, Listener: rec, Store: st, MaxActive: 1})
	for range 2 {
		create(t, m).End()
	}
	rec.take()
	if err := m.Close(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if got := rec.take(); got != "willPassivate UNDEPLOY" || st.count() != 0 {
		t.Errorf("%q, %d stored", got, st.count())
	}
}

// A session is given away by this node's own will only while no request uses it.
func TestYield(t *testing.T) {
	st := newMapStore()
	rec := &recorder{events: AllEvents}
	m := manager(t, Options{Replicator: &twin{}, Listener: rec, Store: st, MaxActive: 1})
	s := create(t, m)
	id := s.ID()
	rec.take()
	if m.Yield(t.Context(), id) {
		t.Error("given away while in use")
	}
	set(t, s, "a", "1")
	s.End()
	create(t, m).End() // passivates the first
	find(t, m, id).End()
	rec.take()
	for _, id := range []ID{id, id, "x"} { // what is not here is not in use
		if !m.Yield(t.Context(), id) {
			t.Errorf("%q is not given away", id)
		}
	}
	if got := rec.take(); got != "willPassivate FAILAWAY" {
		t.Errorf("events %q", got)
	}
	gone(t, m, id)
}

// A commit of which the cluster says that it came too late evicts the session.
func TestMovedReceipt(t *testing.T) {
	r := &twin{}
	m := manager(t, Options{Replicator: r})
	s := create(t, m)
	defer s.End()
	r.err = ErrMoved
	if _, err := s.Commit(t.Context(), &Changes{}); !errors.Is(err, ErrMoved) {
		t.Errorf("Commit: %v", err)
	}
	r.err = nil
	gone(t, m, s.ID())
	if st := m.Stats(); st.Moved != 1 || st.Active != 0 {
		t.Errorf("%+v", st)
	}
}

func TestEvictPassive(t *testing.T) {
	st := newMapStore()
	m := manager(t, Options{Replicator: &twin{}, Store: st, MaxActive: 1})
	s := create(t, m)
	id := s.ID()
	set(t, s, "a", "1")
	s.End()
	create(t, m).End() // passivates the first
	if got := m.Stats().Passive; got != 1 {
		t.Fatalf("%d passive", got)
	}
	m.Evict(t.Context(), id, Failaway)
	if n := st.count(); n != 0 || m.Stats().Passive != 0 {
		t.Errorf("%d stored", n)
	}
}

// Evict, Find and Expire at once, with requests that commit: nothing deadlocks,
// and nothing is left behind.
func TestMovingRaces(t *testing.T) {
	k := newKey()
	r := &twin{snap: &Snapshot{ID: k.id(""), Created: time.Now(), Accessed: time.Now(), MaxInactive: time.Minute}}
	m := manager(t, Options{Replicator: r, Listener: &recorder{events: AllEvents}, Hot: -1})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 100 {
				s, err := m.Find(context.Background(), k.id(""))
				if errors.Is(err, ErrNotFound) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := s.Commit(context.Background(), &Changes{Attributes: []Change{{Name: "a", Value: []byte("1")}}}); err != nil && !errors.Is(err, ErrMoved) {
					t.Error(err)
				}
				s.End()
			}
		})
		wg.Go(func() {
			for range 100 {
				m.Evict(context.Background(), k.id(""), Failaway)
				m.Expire(context.Background(), k.id(""))
			}
		})
	}
	wg.Wait()
	m.Evict(t.Context(), k.id(""), Failaway)
	if st := m.Stats(); st.Active != 0 {
		t.Errorf("%+v", st)
	}
}

// A session at home here that was never used here is loaded to be ended, so that
// its listeners hear of it: once in the cluster.
func TestExpireUnseen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKey()
		r := &twin{snap: &Snapshot{ID: k.id(""), Head: Dot{1, 2, 3}, Created: time.Now(), Accessed: time.Now(), MaxInactive: time.Minute}}
		rec := &recorder{events: AllEvents}
		m := manager(t, Options{Replicator: r, Listener: rec})
		m.Expire(t.Context(), newKey().id(""))
		time.Sleep(time.Hour)
		m.Expire(t.Context(), k.id("somewhere"))
		if got := rec.take(); got != "created FAILOVER, didActivate FAILOVER, destroyed TIMEOUT" {
			t.Errorf("events %q", got)
		}
		if d := r.last(t, 1); !d.Dead || d.Created || d.Cause != Timeout || d.Base != r.snap.Head || d.ID != k.id("") {
			t.Errorf("%+v", d)
		}
		if st := m.Stats(); st.Expired != 1 || st.Active != 0 {
			t.Errorf("%+v", st)
		}
		// One that is used here, or was used since, stays.
		s := create(t, m)
		m.Expire(t.Context(), s.ID())
		s.End()
		m.Expire(t.Context(), s.ID())
		find(t, m, s.ID()).End()
	})
}

// mapStore is a Store in memory.
type mapStore struct {
	mu   sync.Mutex
	byID map[ID]*Snapshot
}

func newMapStore() *mapStore { return &mapStore{byID: map[ID]*Snapshot{}} }

func (s *mapStore) Load(_ context.Context, id ID) (*Snapshot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if snap := s.byID[id]; snap != nil {
		return snap, nil
	}
	return nil, ErrNotFound
}

func (s *mapStore) Save(_ context.Context, snap *Snapshot) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.byID[snap.ID] = snap
	return nil
}

func (s *mapStore) Delete(_ context.Context, id ID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byID, id)
	return nil
}

func (s *mapStore) Walk(_ context.Context, f func(*Snapshot) bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, snap := range s.byID {
		if !f(snap) {
			break
		}
	}
	return nil
}

func (s *mapStore) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.byID)
}

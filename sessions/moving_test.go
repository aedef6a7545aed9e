package sessions

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"sync/atomic"
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

// With a Replicator the end of the application on this node ends no session of
// the others, and saves none that they have; alone it saves them.
func TestCloseOfOneNode(t *testing.T) {
	for _, alone := range []bool{false, true} {
		file := filepath.Join(t.TempDir(), "saved")
		r := &lonely{alone: alone}
		rec := &recorder{events: Events(SessionDestroyed, SessionWillPassivate)}
		m := manager(t, Options{Replicator: r, Listener: rec, File: file})
		s := create(t, m)
		set(t, s, "a", "1")
		s.End()
		if err := m.Close(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		want := "destroyed UNDEPLOY"
		if alone {
			want = "willPassivate PASSIVATION"
		}
		if got := rec.take(); got != want {
			t.Errorf("events %q, want %q", got, want)
		}
		if len(r.deltas) != 1 {
			t.Errorf("%d deltas", len(r.deltas))
		}
		again := manager(t, Options{Replicator: &twin{}, File: file})
		rep, err := again.Load(t.Context())
		if err != nil || rep.Sessions == 1 != alone {
			t.Errorf("loaded %+v, %v", rep, err)
		}
		if alone {
			f, err := again.FindNew(t.Context(), s.ID())
			if err != nil {
				t.Fatal(err)
			}
			f.End()
		}
	}
}

// What a file has kept is only for sessions of which the others know nothing.
func TestSavedIsOlder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "saved")
	first := manager(t, Options{File: file})
	s := create(t, first)
	set(t, s, "a", "old")
	s.End()
	if err := first.Close(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	id := s.ID().Real()
	r := &twin{snap: &Snapshot{ID: id, Created: time.Now(), Accessed: time.Now(), Attributes: []Attribute{{"a", []byte("new"), Dot{1, 2, 3}}}}}
	m := manager(t, Options{Replicator: r, File: file, Hot: -1})
	if _, err := m.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	s = find(t, m, id)
	if got := dump(t, s); got != "a=new" {
		t.Errorf("found %q", got)
	}
	s.End()
	if st := m.Stats(); st.Active != 1 {
		t.Errorf("%+v", st)
	}
}

// A session that is idle for too long ends only where it is at home, so that its
// listeners hear once: a node that was stopped for a while asks first.
func TestExpiryAsksForHome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &owner{}
		rec := &recorder{events: AllEvents}
		m := manager(t, Options{Replicator: r, Listener: rec, Hot: -1})
		s := create(t, m)
		set(t, s, "a", "1")
		s.End()
		rec.take()
		idle := func(want string) {
			t.Helper()
			time.Sleep(40 * time.Minute)
			synctest.Wait()
			if got := rec.take(); got != want {
				t.Errorf("%q, want %q", got, want)
			}
		}
		idle("")
		r.home.Store(true)
		idle("destroyed TIMEOUT")
		r.home.Store(false)
		create(t, m).End() // nobody was told of it
		rec.take()
		idle("destroyed TIMEOUT")
	})
}

type owner struct {
	twin
	home atomic.Bool
}

func (o *owner) AtHome(ID) bool { return o.home.Load() }

type lonely struct {
	twin
	alone bool
}

func (l *lonely) Alone() bool { return l.alone }

// What a store holds from before is older than what the other nodes have.
func TestStoreIsEmptied(t *testing.T) {
	st := newMapStore()
	if err := st.Save(t.Context(), &Snapshot{ID: newKey().id("")}); err != nil {
		t.Fatal(err)
	}
	m := manager(t, Options{Replicator: &twin{}, Store: st})
	if rep, err := m.Load(t.Context()); err != nil || rep.Stored != 0 || st.count() != 0 {
		t.Errorf("%+v %v, %d stored", rep, err, st.count())
	}
}

// What a session was handed over for is what its listeners hear.
func TestStateTransfer(t *testing.T) {
	k := newKey()
	r := &twin{snap: &Snapshot{ID: k.id(""), Created: time.Now(), Accessed: time.Now(), Cause: StateTransfer}}
	rec := &recorder{events: AllEvents}
	m := manager(t, Options{Replicator: r, Listener: rec})
	find(t, m, k.id("")).End()
	if got := rec.take(); got != "didActivate STATE_TRANSFER" {
		t.Errorf("events %q", got)
	}
}

// A copy of another node's session counts where its version is the manager's.
func TestContainsCopies(t *testing.T) {
	id := newKey().id("")
	r := &holder{version: "2", id: id}
	for version, want := range map[string]bool{"1": false, "2": true} {
		m := manager(t, Options{Replicator: r, Version: version})
		if got := m.Contains(id + ".n2"); got != want {
			t.Errorf("version %s: %v", version, got)
		}
		if m.Contains(newKey().id("")) {
			t.Error("contains what nobody has")
		}
	}
}

type holder struct {
	twin
	version string
	id      ID
}

func (h *holder) Holds(id ID) (string, bool) { return h.version, id == h.id }

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

package sessions

import (
	"context"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

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
		idle("willPassivate FAILAWAY")
		gone(t, m, s.ID())
		s = create(t, m)
		set(t, s, "a", "1")
		s.End()
		rec.take()
		r.home.Store(true)
		idle("destroyed TIMEOUT")
		r.home.Store(false)
		create(t, m).End() // nobody was told of it
		rec.take()
		idle("destroyed TIMEOUT")
	})
}

// While a session ends, and while nobody was told of a new id, the Replicator still
// would find it: it is not asked.
func TestNoneComesBackMeanwhile(t *testing.T) {
	r := &twin{}
	rec := &recorder{events: AllEvents}
	m := manager(t, Options{Replicator: r, Listener: rec})
	s := create(t, m)
	defer s.End()
	set(t, s, "a", "1")
	old := s.ID().Real()
	r.snap = &Snapshot{ID: old, Created: time.Now(), Accessed: time.Now()}
	next, err := s.ChangeID(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	gone(t, m, old)
	if r.asked != 0 {
		t.Error("asked for an id that has been changed")
	}
	find(t, m, next).End()
	set(t, s, "a", "2")
	r.snap = &Snapshot{ID: next.Real(), Created: time.Now(), Accessed: time.Now()}
	rec.on = func(_ context.Context, e Event) {
		if e.Kind == SessionDestroyed {
			gone(t, m, next)
		}
	}
	if err := s.Invalidate(t.Context(), Invalidate); err != nil {
		t.Fatal(err)
	}
	rec.on = nil
	if r.asked != 0 {
		t.Error("asked for a session that ends")
	}
	for _, sh := range m.shards {
		if len(sh.over) != 0 {
			t.Error("an id is remembered for ever")
		}
	}
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

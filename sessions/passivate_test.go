package sessions_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/serval-server/serval/sessions"
	"github.com/serval-server/serval/sessions/filestore"
	"github.com/serval-server/serval/sessions/storetest"
)

// memStore is a Store in memory; Save and Load fail when told to.
type memStore struct {
	mu   sync.Mutex
	data map[sessions.ID][]byte
	fail error
}

func (s *memStore) Load(_ context.Context, id sessions.ID) (*sessions.Snapshot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return nil, s.fail
	}
	b, ok := s.data[id.Real()]
	if !ok {
		return nil, sessions.ErrNotFound
	}
	return sessions.ParseSnapshot(b)
}

func (s *memStore) Save(_ context.Context, snap *sessions.Snapshot) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return s.fail
	}
	b, err := sessions.AppendSnapshot(nil, snap)
	if err != nil {
		return err
	}
	if s.data == nil {
		s.data = map[sessions.ID][]byte{}
	}
	s.data[snap.ID.Real()] = b
	return nil
}

func (s *memStore) Delete(_ context.Context, id sessions.ID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.data, id.Real())
	return nil
}

func (s *memStore) Walk(ctx context.Context, f func(*sessions.Snapshot) bool) error {
	s.mu.Lock()
	var all []*sessions.Snapshot
	for _, b := range s.data {
		if snap, err := sessions.ParseSnapshot(b); err == nil {
			snap.Attributes = nil
			all = append(all, snap)
		}
	}
	s.mu.Unlock()
	for _, snap := range all {
		if ctx.Err() != nil || !f(snap) {
			return ctx.Err()
		}
	}
	return nil
}

func (s *memStore) failWith(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = err
}

func (s *memStore) size() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.data)
}

func TestMemStoreConforms(t *testing.T) {
	storetest.Run(t, func(*testing.T) sessions.Store { return &memStore{} })
}

type events struct {
	mu  sync.Mutex
	log []string
	on  func(sessions.Event)
}

var kinds = [...]string{"created", "destroyed", "idChanged", "willPassivate", "didActivate"}

func (e *events) Events() sessions.EventSet { return sessions.AllEvents }

func (e *events) Notify(_ context.Context, ev sessions.Event) error {
	e.mu.Lock()
	e.log = append(e.log, kinds[ev.Kind]+" "+ev.Cause.String())
	e.mu.Unlock()
	if e.on != nil {
		e.on(ev)
	}
	return nil
}

func (e *events) take() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := e.log
	e.log = nil
	return out
}

func (e *events) want(t *testing.T, want ...string) {
	t.Helper()
	if got := e.take(); !slices.Equal(got, want) {
		t.Errorf("events %q, want %q", got, want)
	}
}

func start(t *testing.T, o sessions.Options) *sessions.Manager {
	t.Helper()
	o.App = "localhost/p"
	m, err := sessions.New(o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.Start()
	t.Cleanup(func() {
		if err := m.Close(context.Background(), false); err != nil {
			t.Error(err)
		}
	})
	return m
}

// visit makes (id "") or finds a session, sets an attribute and ends.
func visit(t *testing.T, m *sessions.Manager, id sessions.ID, value string) sessions.ID {
	t.Helper()
	var s *sessions.Session
	var err error
	if id == "" {
		s, err = m.Create(t.Context())
	} else {
		s, err = m.Find(t.Context(), id)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer s.End()
	if _, err := s.Commit(t.Context(), &sessions.Changes{Attributes: []sessions.Change{{Name: "v", Value: []byte(value)}}}); err != nil {
		t.Fatal(err)
	}
	return s.ID()
}

func value(t *testing.T, m *sessions.Manager, id sessions.ID) string {
	t.Helper()
	s, err := m.Find(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	defer s.End()
	a, _, err := s.Attribute("v")
	if err != nil {
		t.Fatal(err)
	}
	return string(a.Value)
}

// Tomcat's TestPersistentManager.testMinIdleSwap and its LRU order: at the limit
// the session that was used longest ago goes to the store, if it was idle for long
// enough, and comes back when it is asked for.
func TestPassivationAtTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, ev := &memStore{}, &events{}
		m := start(t, sessions.Options{MaxActive: 3, Store: st, MinIdle: 10 * time.Second, Listener: ev})
		var ids []sessions.ID
		for i := range 3 {
			ids = append(ids, visit(t, m, "", fmt.Sprint(i)))
			time.Sleep(time.Second)
		}
		ev.take()
		if _, err := m.Create(t.Context()); !errors.As(err, new(*sessions.TooManyError)) {
			t.Fatalf("Create with nothing idle for long enough: %v", err)
		}
		time.Sleep(10 * time.Second)
		visit(t, m, ids[0], "0") // now 1 is the oldest
		fourth := visit(t, m, "", "3")
		ev.want(t, "willPassivate PASSIVATION", "created CREATE")
		if s := m.Stats(); s.Active != 3 || s.Passive != 1 || s.Passivated != 1 || s.MaxActive != 3 || s.Rejected != 1 {
			t.Errorf("%+v", s)
		}
		if _, err := st.Load(t.Context(), ids[1]); err != nil {
			t.Errorf("the oldest is not in the store: %v", err)
		}
		if !m.Contains(ids[1]) {
			t.Error("Contains does not know the passivated session")
		}
		// What exists is activated whatever the limit.
		for i, id := range []sessions.ID{ids[0], ids[1], ids[2], fourth} {
			if got := value(t, m, id); got != fmt.Sprint(i) {
				t.Errorf("session %d holds %q", i, got)
			}
		}
		ev.want(t, "didActivate ACTIVATION")
		if s := m.Stats(); s.Active != 4 || s.Passive != 0 || s.Activated != 1 || st.size() != 0 {
			t.Errorf("%+v, %d in the store", s, st.size())
		}
	})
}

func TestPassivationOfIdleSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, ev := &memStore{}, &events{}
		m := start(t, sessions.Options{Store: st, MaxIdle: time.Minute, Timeout: time.Hour, Listener: ev, Hot: -1})
		id := visit(t, m, "", "1")
		time.Sleep(50 * time.Second)
		visit(t, m, id, "2")
		time.Sleep(50 * time.Second)
		if st.size() != 0 {
			t.Fatal("passivated too early")
		}
		time.Sleep(15 * time.Second)
		synctest.Wait()
		if st.size() != 1 {
			t.Fatal("not passivated")
		}
		if got := value(t, m, id); got != "2" {
			t.Errorf("activated with %q", got)
		}
		ev.want(t, "created CREATE", "willPassivate PASSIVATION", "didActivate ACTIVATION")
		// Then it expires in the store (JBoss: it is activated to be ended).
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		ev.want(t, "willPassivate PASSIVATION", "didActivate ACTIVATION", "destroyed TIMEOUT")
		if s := m.Stats(); st.size() != 0 || s.Active != 0 || s.Passive != 0 || s.Expired != 1 {
			t.Errorf("%d in the store, %+v", st.size(), s)
		}
	})
}

func TestPassivationKeepsWhatCannotGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, ev := &memStore{}, &events{}
		m := start(t, sessions.Options{Store: st, MaxIdle: time.Minute, Timeout: -1, Listener: ev})
		s, err := m.Create(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		s.SetLocal("x", 1)
		s.End()
		busy, err := m.Create(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		id := visit(t, m, "", "1")
		st.failWith(errors.New("disk full"))
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if st := m.Stats(); st.Active != 3 || st.Passive != 0 {
			t.Errorf("%+v", st)
		}
		st.failWith(nil)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if st := m.Stats(); st.Active != 2 || st.Passive != 1 {
			t.Errorf("%+v", st)
		}
		busy.End()
		// A store that fails for a while does not cost the session.
		gone := errors.New("disk gone")
		st.failWith(gone)
		if _, err := m.Find(t.Context(), id); !errors.Is(err, gone) {
			t.Errorf("Find: %v, want the store's error", err)
		}
		st.failWith(nil)
		if got := value(t, m, id); got != "1" {
			t.Errorf("%q", got)
		}
		// One that cannot be decoded is lost, and only that one.
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		st.mu.Lock()
		st.data[id] = []byte("rubbish")
		st.mu.Unlock()
		if _, err := m.Find(t.Context(), id); !errors.Is(err, sessions.ErrNotFound) {
			t.Errorf("Find of a damaged session: %v", err)
		}
		if m.Contains(id) {
			t.Error("a lost session is still known")
		}
	})
}

// Many requests wake one passivated session: it is read once.
func TestActivateOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ev := &events{on: func(sessions.Event) { time.Sleep(time.Second) }}
		m := start(t, sessions.Options{Store: &memStore{}, MaxIdle: time.Minute, Listener: ev})
		id := visit(t, m, "", "1")
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		ev.take()
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				if got := value(t, m, id); got != "1" {
					t.Errorf("%q", got)
				}
			})
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.Sleep(time.Millisecond)
		cancel()
		if _, err := m.Find(ctx, id); !errors.Is(err, context.Canceled) {
			t.Errorf("Find that is given up: %v", err)
		}
		wg.Wait()
		ev.want(t, "didActivate ACTIVATION")
	})
}

// Tomcat's TestPersistentManagerFileStore: create, passivate, restart, use; and
// bug 62175: what has expired in the store does not come back.
func TestStoreOverRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "passive")
		fs, err := filestore.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = fs.Close() }()
		o := sessions.Options{Store: fs, MaxIdle: time.Minute, Timeout: time.Hour}
		m := start(t, o)
		old := visit(t, m, "", "old")
		time.Sleep(30 * time.Minute)
		young := visit(t, m, "", "young")
		if err := m.Close(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		time.Sleep(45 * time.Minute)
		ev := &events{}
		o.Listener = ev
		m = start(t, o)
		if got := value(t, m, young); got != "young" {
			t.Errorf("%q", got)
		}
		if _, err := m.Find(t.Context(), old); !errors.Is(err, sessions.ErrNotFound) {
			t.Errorf("an expired session: %v", err)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		ev.want(t, "didActivate ACTIVATION", "didActivate ACTIVATION", "destroyed TIMEOUT")
		if err := m.Close(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		n := 0
		if err := fs.Walk(t.Context(), func(*sessions.Snapshot) bool { n++; return true }); err != nil || n != 0 {
			t.Errorf("undeployed, but %d sessions are stored, %v", n, err)
		}
	})
}

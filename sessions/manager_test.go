package sessions

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// manager makes a started manager that is closed at the end of the test.
func manager(t *testing.T, o Options) *Manager {
	t.Helper()
	if o.App == "" {
		o.App = "localhost/test"
	}
	m, err := New(o)
	if err != nil {
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

func create(t *testing.T, m *Manager) *Session {
	t.Helper()
	s, err := m.Create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func find(t *testing.T, m *Manager, id ID) *Session {
	t.Helper()
	s, err := m.Find(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func gone(t *testing.T, m *Manager, id ID) {
	t.Helper()
	if s, err := m.Find(t.Context(), id); !errors.Is(err, ErrNotFound) {
		t.Fatalf("Find: %v, %v, want ErrNotFound", s, err)
	}
}

func set(t *testing.T, s *Session, kv ...string) Dot {
	t.Helper()
	c := &Changes{}
	for i := 0; i < len(kv); i += 2 {
		c.Attributes = append(c.Attributes, Change{Name: kv[i], Value: []byte(kv[i+1])})
	}
	d, err := s.Commit(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// dump is a session's attributes as name=value.
func dump(t *testing.T, s *Session) string {
	t.Helper()
	names, err := s.Names()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.IsSorted(names) {
		t.Errorf("names %q are not sorted", names)
	}
	var out []string
	for _, n := range names {
		a, ok, err := s.Attribute(n)
		if err != nil || !ok || a.Name != n || a.Dot.IsZero() {
			t.Errorf("attribute %q: %+v, %v, %v", n, a, ok, err)
		}
		out = append(out, n+"="+string(a.Value))
	}
	return strings.Join(out, " ")
}

// recorder is a listener that writes down what it hears.
type recorder struct {
	events EventSet
	mu     sync.Mutex
	log    []string
	on     func(context.Context, Event)
}

func (r *recorder) Events() EventSet { return r.events }

func (r *recorder) Notify(ctx context.Context, e Event) error {
	r.mu.Lock()
	names := [...]string{"created", "destroyed", "idChanged", "willPassivate", "didActivate"}
	r.log = append(r.log, names[e.Kind]+" "+e.Cause.String())
	r.mu.Unlock()
	if r.on != nil {
		r.on(ctx, e)
	}
	return nil
}

func (r *recorder) take() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := strings.Join(r.log, ", ")
	r.log = nil
	return out
}

func TestIDs(t *testing.T) {
	m := manager(t, Options{Route: "n1"})
	s := create(t, m)
	defer s.End()
	id := s.ID()
	if len(id.Real()) != 32 || id.Route() != "n1" || !id.Valid() || id != id.Real()+".n1" {
		t.Errorf("id %q", id)
	}
	if id.WithRoute("x") != id.Real()+".x" || id.WithRoute("") != id.Real() {
		t.Errorf("WithRoute(%q)", id)
	}
	for _, same := range []ID{id, id.Real(), id.WithRoute("other"), id.WithRoute("a.b")} {
		find(t, m, same).End()
		if !m.Contains(same) {
			t.Errorf("Contains(%q) is false", same)
		}
	}
	valid := string(id.Real())
	for _, bad := range []string{"", ".", "x", valid[:31], valid + "A", valid + "\n", valid[:31] + "=", valid[:31] + "+", valid + ".a b", valid + "." + strings.Repeat("x", 200), strings.Repeat("A", 1<<16), valid[:16] + "\n" + valid[16:31]} {
		gone(t, m, ID(bad))
		if m.Contains(ID(bad)) || ID(bad).Valid() {
			t.Errorf("%.50q passes for an id", bad)
		}
	}
	if _, err := New(Options{Route: "a b"}); err == nil {
		t.Error("a route with a blank is accepted")
	}
}

// An id from outside, however well-formed, never becomes a session (Tomcat's
// TestValidateClientSessionId).
func TestForeignIDs(t *testing.T) {
	m := manager(t, Options{})
	gone(t, m, sid)
	s := create(t, m)
	defer s.End()
	if s.ID() == sid || m.Contains(sid) {
		t.Error("the client's id was adopted")
	}
}

func TestCommit(t *testing.T) {
	for _, hot := range []int{-1, 1000} {
		t.Run(fmt.Sprint("hot ", hot), func(t *testing.T) {
			m := manager(t, Options{Hot: hot, Version: "7"})
			s := create(t, m)
			id := s.ID()
			d1 := set(t, s, "b", "1", "a", "2", "b", "3")
			if got := dump(t, s); got != "a=2 b=3" {
				t.Errorf("after the first commit: %s", got)
			}
			s.End()
			s = find(t, m, id)
			defer s.End()
			if got := dump(t, s); got != "a=2 b=3" || s.Version() != "7" {
				t.Errorf("in the next request: %s, version %q", got, s.Version())
			}
			if a, _, _ := s.Attribute("a"); a.Dot != d1 {
				t.Errorf("dot %v, want that of its commit, %v", a.Dot, d1)
			}
			d2, err := s.Commit(t.Context(), &Changes{Attributes: []Change{{Name: "a", Remove: true}, {Name: "none", Remove: true}, {Name: "c", Value: []byte("4")}}})
			if err != nil || d2.Compare(d1) <= 0 {
				t.Errorf("second commit: %v, %v, want a dot above %v", d2, err, d1)
			}
			if got := dump(t, s); got != "b=3 c=4" {
				t.Errorf("after the second commit: %s", got)
			}
			if d, err := s.Commit(t.Context(), &Changes{Read: []string{"b"}}); err != nil || d != d2 {
				t.Errorf("a commit of nothing: %v, %v, want %v", d, err, d2)
			}
			minute := time.Minute
			if _, err := s.Commit(t.Context(), &Changes{MaxInactive: &minute}); err != nil || s.MaxInactive() != minute {
				t.Errorf("MaxInactive %v, %v", s.MaxInactive(), err)
			}
		})
	}
}

func TestCompareAndSwap(t *testing.T) {
	m := manager(t, Options{})
	s := create(t, m)
	defer s.End()
	swap := func(base Dot, v string) (bool, Attribute, bool) {
		t.Helper()
		ok, now, exists, err := s.CompareAndSwap(t.Context(), "n", base, []byte(v))
		if err != nil {
			t.Fatal(err)
		}
		return ok, now, exists
	}
	if ok, _, exists := swap(Dot{Epoch: 1, Clock: 1}, "x"); ok || exists {
		t.Error("a missing attribute matched a version")
	}
	ok, first, _ := swap(Dot{}, "1")
	if !ok || string(first.Value) != "1" || first.Dot.IsZero() {
		t.Fatalf("first: %v, %+v", ok, first)
	}
	if ok, now, exists := swap(Dot{}, "2"); ok || !exists || now.Dot != first.Dot || string(now.Value) != "1" {
		t.Errorf("swap of what exists as if it did not: %v, %+v", ok, now)
	}
	if ok, now, _ := swap(first.Dot, "2"); !ok || now.Dot.Compare(first.Dot) <= 0 {
		t.Errorf("second: %v, %+v", ok, now)
	}
	if ok, _, _ := swap(first.Dot, "3"); ok {
		t.Error("an old version matched")
	}
}

// Requests of one session run at once: each counts with CompareAndSwap and commits
// attributes of its own, and commits are seen whole. Sessions are packed and
// unpacked all the time.
func TestConcurrentRequests(t *testing.T) {
	m := manager(t, Options{Hot: -1})
	s := create(t, m)
	id := s.ID()
	set(t, s, "x", "0", "y", "0")
	s.End()
	const workers, rounds = 8, 100
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range rounds {
				s, err := m.Find(context.Background(), id)
				if err != nil {
					t.Error(err)
					return
				}
				count(t, s)
				v := []byte(fmt.Sprint(w, ".", i))
				if _, err := s.Commit(context.Background(), &Changes{Attributes: []Change{{Name: "x", Value: v}, {Name: fmt.Sprint("own", w), Value: v}, {Name: "y", Value: v}}}); err != nil {
					t.Error(err)
				}
				s.End()
			}
		})
	}
	wg.Wait()
	s = find(t, m, id)
	defer s.End()
	n, _, _ := s.Attribute("n")
	x, _, _ := s.Attribute("x")
	y, _, _ := s.Attribute("y")
	if string(n.Value) != fmt.Sprint(workers*rounds) || string(x.Value) != string(y.Value) || x.Dot != y.Dot {
		t.Errorf("n=%s, want %d; x=%s y=%s", n.Value, workers*rounds, x.Value, y.Value)
	}
	if st := m.Stats(); st.Active != 1 || st.Created != 1 {
		t.Errorf("%+v", st)
	}
}

// count adds one to the session's attribute n.
func count(t *testing.T, s *Session) {
	for {
		a, _, err := s.Attribute("n")
		if err != nil {
			t.Error(err)
			return
		}
		var n int
		_, _ = fmt.Sscan(string(a.Value), &n)
		ok, _, _, err := s.CompareAndSwap(context.Background(), "n", a.Dot, []byte(fmt.Sprint(n+1)))
		if err != nil {
			t.Error(err)
			return
		}
		if ok {
			return
		}
	}
}

func TestChangeID(t *testing.T) {
	rec := &recorder{events: AllEvents}
	m := manager(t, Options{Route: "r", Listener: rec, Hot: -1})
	s := create(t, m)
	old := s.ID()
	set(t, s, "a", "1")
	var told ID
	rec.on = func(_ context.Context, e Event) { told = e.OldID }
	id, err := s.ChangeID(t.Context())
	if err != nil || id == old || id != s.ID() || told != old || id[:PlacementBytes*4/3] != old[:PlacementBytes*4/3] {
		t.Fatalf("ChangeID: %q after %q, %v; the listener heard of %q", id, old, err, told)
	}
	s.End()
	gone(t, m, old)
	s = find(t, m, id)
	if dump(t, s) != "a=1" {
		t.Error("attributes are lost")
	}
	if err := s.Invalidate(t.Context(), Invalidate); err != nil {
		t.Fatal(err)
	}
	if _, err := s.ChangeID(t.Context()); !errors.Is(err, ErrInvalid) {
		t.Errorf("ChangeID of an ended session: %v", err)
	}
	s.End()
	if got := rec.take(); got != "created CREATE, idChanged MODIFY, destroyed INVALIDATE" {
		t.Errorf("events: %s", got)
	}
}

// Tomcat's TestStandardSessionIntegration (bug 56578): a listener reads the session
// that ends, and may invalidate it again; others see nothing of it any more.
func TestInvalidate(t *testing.T) {
	rec := &recorder{events: AllEvents}
	m := manager(t, Options{Listener: rec})
	s := create(t, m)
	id := s.ID()
	other := find(t, m, id)
	set(t, s, "a", "1")
	rec.take()
	heard := false
	rec.on = func(ctx context.Context, e Event) {
		heard = true
		if got := dump(t, e.Session); got != "a=1" {
			t.Errorf("the listener sees %q", got)
		}
		if err := e.Session.Invalidate(ctx, Invalidate); err != nil {
			t.Errorf("Invalidate within the listener: %v", err)
		}
		if _, err := e.Session.Commit(ctx, &Changes{}); !errors.Is(err, ErrInvalid) {
			t.Errorf("Commit within the listener: %v, want ErrInvalid", err)
		}
		gone(t, m, id)
	}
	if err := s.Invalidate(t.Context(), Invalidate); err != nil || !heard {
		t.Fatalf("Invalidate: %v, the listener was told: %v", err, heard)
	}
	gone(t, m, id)
	for name, f := range map[string]func(*Session) error{
		"Names":     func(s *Session) error { _, err := s.Names(); return err },
		"Attribute": func(s *Session) error { _, _, err := s.Attribute("a"); return err },
		"Commit":    func(s *Session) error { _, err := s.Commit(t.Context(), &Changes{}); return err },
		"CompareAndSwap": func(s *Session) error {
			_, _, _, err := s.CompareAndSwap(t.Context(), "a", Dot{}, nil)
			return err
		},
		"Invalidate": func(s *Session) error { return s.Invalidate(t.Context(), Invalidate) },
	} {
		if err := f(other); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s of an ended session: %v, want ErrInvalid", name, err)
		}
	}
	s.End()
	other.End()
	if got := rec.take(); got != "destroyed INVALIDATE" {
		t.Errorf("events: %s", got)
	}
	if st := m.Stats(); st.Active != 0 || st.Ended != 1 || st.Expired != 0 {
		t.Errorf("%+v", st)
	}
}

func TestMaxActive(t *testing.T) {
	m := manager(t, Options{MaxActive: 2})
	a, b := create(t, m), create(t, m)
	defer b.End()
	_, err := m.Create(t.Context())
	var many *TooManyError
	if !errors.As(err, &many) || many.Limit != 2 || !strings.Contains(err.Error(), "allows 2") {
		t.Fatalf("third: %v", err)
	}
	if err := a.Invalidate(t.Context(), Invalidate); err != nil {
		t.Fatal(err)
	}
	a.End()
	create(t, m).End()
	if st := m.Stats(); st.Rejected != 1 || st.Active != 2 || st.MaxActive != 2 || st.Created != 3 {
		t.Errorf("%+v", st)
	}
	for _, unlimited := range []int{0, -1} {
		m := manager(t, Options{MaxActive: unlimited})
		for range 10 {
			create(t, m).End()
		}
	}
}

func TestLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := manager(t, Options{})
		s := create(t, m)
		defer s.End()
		if err := s.Lock(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Lock(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Lock of a locked session: %v", err)
		}
		got := make(chan error)
		go func() { got <- s.Lock(t.Context()) }()
		synctest.Wait()
		s.Unlock()
		if err := <-got; err != nil {
			t.Error(err)
		}
		s.Unlock()
		cancel()
		if err := s.Lock(ctx); err == nil {
			t.Error("Lock with an ended context succeeded")
		}
		defer func() {
			if recover() == nil {
				t.Error("Unlock of an unlocked session did not panic")
			}
		}()
		s.Unlock()
	})
}

func TestLocalValues(t *testing.T) {
	m := manager(t, Options{Hot: -1})
	s := create(t, m)
	id := s.ID()
	s.SetLocal("conn", t)
	s.End()
	create(t, m).End()
	s = find(t, m, id)
	if s.Local("conn") != t || s.Local("none") != nil {
		t.Error("the local value is lost")
	}
	if names, _ := s.Names(); len(names) > 0 {
		t.Error("a local value is among the attributes")
	}
	s.SetLocal("conn", nil)
	s.End()
	if st := m.Stats(); st.Unpacked != 0 {
		t.Errorf("a session with local values was packed: %+v", st)
	}
	s = find(t, m, id)
	defer s.End()
	if s.Local("conn") != nil {
		t.Error("a removed local value is back")
	}
}

func TestClosed(t *testing.T) {
	rec := &recorder{events: AllEvents}
	m := manager(t, Options{Listener: rec})
	s := create(t, m)
	create(t, m).End()
	rec.take()
	if err := m.Close(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if got := rec.take(); got != "destroyed UNDEPLOY, destroyed UNDEPLOY" {
		t.Errorf("events: %s", got)
	}
	if _, err := m.Create(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("Create: %v", err)
	}
	if _, err := m.Find(t.Context(), s.ID()); !errors.Is(err, ErrClosed) {
		t.Errorf("Find: %v", err)
	}
	if m.Contains(s.ID()) {
		t.Error("Contains")
	}
	s.End()
	if err := m.Close(t.Context(), true); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

package servlet_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/serval-server/serval/webapp/servlet"
	"github.com/serval-server/serval/webapp/servlet/servlettest"
)

type cart struct {
	Items map[string]int
	Note  string
	Since time.Time
}

// request is the view that one request has of a session.
func request(t *testing.T, b *servlettest.Session, rules ...servlet.SessionRules) *servlet.Session {
	t.Helper()
	cfg := servlet.ContextConfig{}
	if len(rules) > 0 {
		cfg.Sessions = rules[0]
	}
	return servlet.NewSession(servlet.NewContext(cfg), b)
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestSessionCommitIsVisibleAtOnce(t *testing.T) {
	b := servlettest.NewSession("s")
	one, two := request(t, b), request(t, b)
	check(t, servlet.Set(one, "a", 1))
	check(t, servlet.Set(one, "c", cart{Items: map[string]int{"x": 1}}))
	if _, err := servlet.Get[int](two, "a"); !errors.Is(err, servlet.ErrNoAttribute) {
		t.Fatalf("uncommitted value seen by another request: %v", err)
	}
	if got := must[int](t)(servlet.Get[int](one, "a")); got != 1 {
		t.Fatalf("own value is %d", got)
	}
	check(t, one.Commit())
	if n := len(b.Commits()); n != 1 {
		t.Fatalf("%d commits, want 1", n)
	}
	if got := must[cart](t)(servlet.Get[cart](request(t, b), "c")); got.Items["x"] != 1 {
		t.Fatalf("committed cart is %+v", got)
	}
	check(t, one.Commit())
	if n := len(b.Commits()); n != 1 {
		t.Fatalf("a commit without changes reached the backend")
	}
}

func TestSessionChangeInPlace(t *testing.T) {
	b := servlettest.NewSession("s")
	s := request(t, b)
	check(t, servlet.Set(s, "c", &cart{Items: map[string]int{"x": 1}}))
	check(t, s.Commit())

	s = request(t, b)
	c := must[*cart](t)(servlet.Get[*cart](s, "c"))
	check(t, s.Commit())
	if n := len(b.Commits()); n != 1 {
		t.Fatalf("a mere read was committed: %v", b.Commits())
	}
	c.Items["y"] = 2
	check(t, s.Commit())
	if got := must[cart](t)(servlet.Get[cart](request(t, b), "c")); got.Items["y"] != 2 {
		t.Fatalf("a change in place was not committed: %+v", got)
	}

	s = request(t, b, servlet.SessionRules{SetOnly: true})
	must[*cart](t)(servlet.Get[*cart](s, "c")).Items["z"] = 3
	check(t, s.Commit())
	if n := len(b.Commits()); n != 2 {
		t.Fatalf("a change in place was committed though only Set counts")
	}
}

// TestSessionChangeAfterSet is the habit of servlet authors: put it in, then go
// on with it.
func TestSessionChangeAfterSet(t *testing.T) {
	b := servlettest.NewSession("s")
	s := request(t, b)
	c := cart{Items: map[string]int{}}
	check(t, servlet.Set(s, "c", c))
	c.Items["late"] = 1
	check(t, s.Commit())
	if got := must[cart](t)(servlet.Get[cart](request(t, b), "c")); got.Items["late"] != 1 {
		t.Fatalf("what was added after Set is lost: %+v", got)
	}
}

// TestSessionNewField: a struct that has gained or lost a field since it was
// stored has not changed by being read.
func TestSessionNewField(t *testing.T) {
	type v1 struct{ Items map[string]int }
	type v2 struct {
		Items map[string]int
		Added []string
	}
	b := servlettest.NewSession("s")
	s := request(t, b)
	check(t, servlet.Set(s, "c", v1{Items: map[string]int{"x": 1}}))
	check(t, s.Commit())
	s = request(t, b)
	c := must[*v2](t)(servlet.Get[*v2](s, "c"))
	check(t, s.Commit())
	if n := len(b.Commits()); n != 1 {
		t.Fatal("a difference of schema was taken for a change")
	}
	c.Added = []string{"new"}
	check(t, s.Commit())
	if got := must[v2](t)(servlet.Get[v2](request(t, b), "c")); len(got.Added) != 1 {
		t.Fatalf("got %+v", got)
	}
}

func TestSessionTypes(t *testing.T) {
	b := servlettest.NewSession("s")
	s := request(t, b)
	check(t, servlet.Set(s, "n", int64(7)))
	check(t, servlet.Set(s, "t", time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)))
	check(t, servlet.Set(s, "l", []string{}))
	check(t, s.Commit())
	s = request(t, b)
	if got := must[int](t)(servlet.Get[int](s, "n")); got != 7 {
		t.Errorf("int64 as int: %d", got)
	}
	if got := must[any](t)(servlet.Get[any](request(t, b), "n")); got != int64(7) {
		t.Errorf("as any: %T %v", got, got)
	}
	if got := must[time.Time](t)(servlet.Get[time.Time](s, "t")); got.Nanosecond() != 6 {
		t.Errorf("time: %v", got)
	}
	if _, err := servlet.Get[[]int](s, "n"); err == nil || !strings.Contains(err.Error(), `"n"`) {
		t.Errorf("a number as a list: %v", err)
	}
	if names := must[[]string](t)(s.Names()); strings.Join(names, " ") != "l n t" {
		t.Errorf("names: %v", names)
	}
}

// TestPlainValues: a number that is asked for as something else is what the request
// has set, or asked for before.
func TestPlainValues(t *testing.T) {
	for name, c := range map[string]struct {
		set  func(*servlet.Session) error
		want any
	}{
		"int":        {func(s *servlet.Session) error { return servlet.Set(s, "n", 1<<40) }, 1 << 40},
		"int64":      {func(s *servlet.Session) error { return servlet.Set(s, "n", int64(-300)) }, int64(-300)},
		"bool":       {func(s *servlet.Session) error { return servlet.Set(s, "n", true) }, true},
		"any":        {func(s *servlet.Session) error { return servlet.Set[any](s, "n", 300) }, 300},
		"after text": {func(s *servlet.Session) error { return errors.Join(servlet.Set(s, "n", "x"), servlet.Set(s, "n", 300)) }, 300},
		"after other": {func(s *servlet.Session) error {
			return errors.Join(servlet.Set(s, "n", 7), servlet.Set(s, "n", int64(300)))
		}, int64(300)},
	} {
		b := servlettest.NewSession("s")
		s := request(t, b)
		check(t, c.set(s))
		if got := must[any](t)(servlet.Get[any](s, "n")); got != c.want {
			t.Errorf("%s: %T %v, want %T %v", name, got, got, c.want, c.want)
		}
		check(t, s.Commit())
		if got := must[any](t)(servlet.Get[any](s, "n")); got != c.want {
			t.Errorf("%s: %T %v after the commit, want %T %v", name, got, got, c.want, c.want)
		}
		check(t, servlet.Remove(s, "n"))
		if _, err := servlet.Get[any](s, "n"); !errors.Is(err, servlet.ErrNoAttribute) {
			t.Errorf("%s: removed: %v", name, err)
		}
	}
	b := servlettest.NewSession("s")
	s := request(t, b)
	check(t, servlet.Set(s, "n", 300))
	check(t, s.Commit())
	s = request(t, b)
	_ = must[int](t)(servlet.Get[int](s, "n"))
	if got := must[any](t)(servlet.Get[any](s, "n")); got != 300 {
		t.Errorf("asked for as an int before: %T %v", got, got)
	}
	if got := must[int64](t)(servlet.Get[int64](s, "n")); got != 300 {
		t.Errorf("as an int64: %v", got)
	}
	check(t, s.Commit())
	if n := len(b.Commits()); n != 1 {
		t.Errorf("%d commits, though only the first has changed anything", n)
	}
}

func TestSessionUnencodable(t *testing.T) {
	b := servlettest.NewSession("s")
	s := request(t, b)
	check(t, servlet.Set(s, "good", 1))
	if err := servlet.Set(s, "bad", func() {}); err == nil {
		t.Fatal("a function was accepted")
	}
	type node struct{ Next *node }
	loop := &node{}
	loop.Next = loop
	if err := servlet.Set(s, "loop", loop); err == nil {
		t.Fatal("a circle was accepted")
	}
	check(t, s.Commit())
	if c := b.Commits(); len(c) != 1 || len(c[0].Attributes) != 1 || c[0].Attributes[0].Name != "good" {
		t.Fatalf("commits: %+v", c)
	}

	rules := servlet.SessionRules{UnencodableLocal: true}
	s = request(t, b, rules)
	check(t, servlet.Set(s, "f", func() int { return 42 }))
	check(t, s.Commit())
	s = request(t, b, rules)
	if f := must[func() int](t)(servlet.Get[func() int](s, "f")); f() != 42 {
		t.Fatal("another function")
	}
	check(t, servlet.Remove(s, "f"))
	if _, err := servlet.Get[func() int](s, "f"); !errors.Is(err, servlet.ErrNoAttribute) {
		t.Fatalf("after Remove: %v", err)
	}
}

func TestSessionRemove(t *testing.T) {
	b := servlettest.NewSession("s")
	s := request(t, b)
	check(t, servlet.Set(s, "a", 1))
	check(t, servlet.Remove(s, "a"))
	check(t, servlet.Remove(s, "nothing"))
	check(t, s.Commit())
	if n := len(b.Commits()); n != 0 {
		t.Fatalf("set and removed again, yet committed: %v", b.Commits())
	}
	check(t, servlet.Set(s, "a", 1))
	check(t, s.Commit())
	check(t, servlet.Set[*int](s, "a", nil))
	check(t, s.Commit())
	if c := b.Commits(); len(c) != 2 || !c[1].Attributes[0].Remove {
		t.Fatalf("commits: %+v", c)
	}
	check(t, servlet.Set(s, "a", 2))
	check(t, s.Commit())
	if got := must[int](t)(servlet.Get[int](request(t, b), "a")); got != 2 {
		t.Fatalf("set again after removal: %d", got)
	}
}

func TestUpdateLosesNothing(t *testing.T) {
	b := servlettest.NewSession("s")
	const workers, each = 8, 50
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range each {
				s := servlet.NewSession(servlet.NewContext(servlet.ContextConfig{}), b)
				if err := servlet.Update(s, "n", func(n int, _ bool) (int, error) { return n + 1, nil }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if got := must[int](t)(servlet.Get[int](request(t, b), "n")); got != workers*each {
		t.Fatalf("%d updates counted, want %d", got, workers*each)
	}
}

func TestUpdateSeesOwnSet(t *testing.T) {
	b := servlettest.NewSession("s")
	s := request(t, b)
	check(t, servlet.Set(s, "n", 10))
	check(t, servlet.Update(s, "n", func(n int, ok bool) (int, error) {
		if !ok {
			t.Error("does not exist")
		}
		_, err := servlet.Get[int](s, "other") // f may use the session
		if !errors.Is(err, servlet.ErrNoAttribute) {
			t.Error(err)
		}
		return n + 1, nil
	}))
	if got := must[int](t)(servlet.Get[int](s, "n")); got != 11 {
		t.Fatalf("after Update: %d", got)
	}
	stop := errors.New("stop")
	if err := servlet.Update(s, "n", func(int, bool) (int, error) { return 0, stop }); !errors.Is(err, stop) {
		t.Fatalf("error of f: %v", err)
	}
	if got := must[int](t)(servlet.Get[int](request(t, b), "n")); got != 11 {
		t.Fatalf("stored: %d", got)
	}
}

func TestInvalidate(t *testing.T) {
	b := servlettest.NewSession("s")
	s := request(t, b)
	check(t, servlet.Set(s, "a", 1))
	check(t, s.Invalidate())
	for what, err := range map[string]error{
		"Set": servlet.Set(s, "a", 2), "Remove": servlet.Remove(s, "a"), "Invalidate": s.Invalidate(), "SetMaxInactive": s.SetMaxInactive(1),
		"Get":    func() error { _, err := servlet.Get[int](s, "a"); return err }(),
		"Names":  func() error { _, err := s.Names(); return err }(),
		"Change": func() error { _, err := s.ChangeID(); return err }(),
		"Update": servlet.Update(s, "a", func(n int, _ bool) (int, error) { return n, nil }),
	} {
		if !errors.Is(err, servlet.ErrInvalid) {
			t.Errorf("%s after Invalidate: %v", what, err)
		}
	}
	check(t, s.Commit())
}

func TestStage(t *testing.T) {
	b := servlettest.NewSession("s")
	s := request(t, b)
	n := must[[]byte](t)(servlet.Encode(5))
	d := time.Minute
	check(t, s.Stage(&servlet.Changes{Attributes: []servlet.Change{{Name: "n", Value: n}}, MaxInactive: &d}))
	if got := must[int](t)(servlet.Get[int](s, "n")); got != 5 {
		t.Fatalf("staged value: %d", got)
	}
	check(t, s.Commit())
	if b.MaxInactive() != d || len(b.Commits()) != 1 {
		t.Fatalf("commits: %+v", b.Commits())
	}
}

// What a worker has changed is committed as it came if nobody looks at it, and with
// the rest if somebody does.
func TestStageWhole(t *testing.T) {
	value := func(n int) []byte { return must[[]byte](t)(servlet.Encode(n)) }
	b := servlettest.NewSession("s")
	s := request(t, b)
	check(t, s.Stage(&servlet.Changes{Attributes: []servlet.Change{{Name: "a", Value: value(1)}, {Name: "b", Value: value(2)}}}))
	check(t, s.Commit())
	check(t, s.Commit())
	if n := len(b.Commits()); n != 1 {
		t.Fatalf("%d commits, want 1", n)
	}
	if got := must[int](t)(servlet.Get[int](s, "b")); got != 2 {
		t.Fatalf("after the commit: %d", got)
	}
	s = request(t, b)
	check(t, s.Stage(&servlet.Changes{Attributes: []servlet.Change{{Name: "a", Value: value(3)}}}))
	check(t, s.Stage(&servlet.Changes{Attributes: []servlet.Change{{Name: "a", Remove: true}, {Name: "c", Value: value(4)}}}))
	if got := must[[]string](t)(s.Names()); strings.Join(got, " ") != "b c" {
		t.Fatalf("names are %q", got)
	}
	check(t, servlet.Set(s, "b", 5))
	check(t, s.Commit())
	s = request(t, b)
	for name, want := range map[string]int{"b": 5, "c": 4} {
		if got := must[int](t)(servlet.Get[int](s, name)); got != want {
			t.Errorf("%s is %d, want %d", name, got, want)
		}
	}
	if got := must[[]string](t)(s.Names()); strings.Join(got, " ") != "b c" {
		t.Fatalf("names are %q", got)
	}
}

// TestKeepDecoded: with serialised access a value is handed from request to
// request, unless somebody else has changed it meanwhile.
func TestKeepDecoded(t *testing.T) {
	rules := servlet.SessionRules{KeepDecoded: true}
	b := servlettest.NewSession("s")
	s := request(t, b, rules)
	first := &cart{Items: map[string]int{"x": 1}}
	check(t, servlet.Set(s, "c", first))
	check(t, s.Commit())
	s = request(t, b, rules)
	if got := must[*cart](t)(servlet.Get[*cart](s, "c")); got != first {
		t.Error("the value was decoded again")
	}
	other := request(t, b)
	check(t, servlet.Set(other, "c", &cart{Note: "other"}))
	check(t, other.Commit())
	if got := must[*cart](t)(servlet.Get[*cart](request(t, b, rules), "c")); got.Note != "other" {
		t.Errorf("a stale value was handed on: %+v", got)
	}
}

// TestTimesThatCannotBeReadAgain are refused when they are set, not lost when they
// are read.
func TestTimesThatCannotBeReadAgain(t *testing.T) {
	for year, ok := range map[int]bool{-1: false, 0: true, 2026: true, 9999: true, 10000: false} {
		at := time.Date(year, 11, 7, 5, 51, 11, 0, time.UTC)
		type visit struct {
			Raw []byte
			At  time.Time
		}
		for _, v := range []any{at, []any{"\xc0", at}, visit{[]byte{0xc0, 0xc0}, at}, map[string]time.Time{"k": at}} {
			b, err := servlet.Encode(v)
			if (err == nil) != ok {
				t.Errorf("year %d in a %T: %v", year, v, err)
			}
			if err == nil {
				var back any
				if err := servlet.Decode(b, &back); err != nil {
					t.Errorf("year %d in a %T: %v", year, v, err)
				}
			}
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, v := range []any{1, "x", []string{"a"}, map[string]int{"k": 1}, cart{Items: map[string]int{"x": 1}}, time.Unix(0, 0), nil, true, 1.5} {
		b, err := servlet.Encode(v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var v any
		if servlet.Decode(data, &v) != nil {
			return
		}
		// What can be decoded has one encoding, which stays what it is.
		once, err := servlet.Encode(v)
		if err != nil {
			return
		}
		var w any
		if err := servlet.Decode(once, &w); err != nil {
			t.Fatalf("%x decodes, but its encoding %x does not: %v", data, once, err)
		}
		twice, err := servlet.Encode(w)
		if err != nil || string(once) != string(twice) {
			t.Fatalf("encodings differ: %x %x %v", once, twice, err)
		}
		var c cart
		_ = servlet.Decode(data, &c)
	})
}

// Beyond some attributes a request finds them in another way.
func TestSessionOfManyAttributes(t *testing.T) {
	b := servlettest.NewSession("s")
	s := request(t, b)
	const n = 100
	for i := range n {
		check(t, servlet.Set(s, fmt.Sprintf("a%02d", i), i))
	}
	for i := range n {
		if got := must[int](t)(servlet.Get[int](s, fmt.Sprintf("a%02d", i))); got != i {
			t.Fatalf("attribute %d is %d", i, got)
		}
	}
	check(t, s.Commit())
	ch := b.Commits()[0].Attributes
	if len(ch) != n || !slices.IsSortedFunc(ch, func(a, b servlet.Change) int { return strings.Compare(a.Name, b.Name) }) {
		t.Errorf("%d changes, or not sorted", len(ch))
	}
	if names := must[[]string](t)(s.Names()); len(names) != n {
		t.Errorf("%d names", len(names))
	}
}

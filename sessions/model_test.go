package sessions

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// modelSession is what a session should be.
type modelSession struct {
	id      ID
	attrs   map[string]string
	dots    map[string]Dot
	used    time.Time // end of the last request
	maxIdle time.Duration
	inUse   *Session
	isNew   bool
}

func (s *modelSession) alive(now time.Time) bool {
	return s.inUse != nil || s.maxIdle <= 0 || now.Sub(s.used) < s.maxIdle
}

// machine drives a manager and a model of it with the same random steps.
type machine struct {
	m    *Manager
	o    Options
	live []*modelSession
	dead []ID
	n    int
}

func (x *machine) pick(t *rapid.T) *modelSession {
	if len(x.live) == 0 {
		t.Skip("no session")
	}
	return x.live[rapid.IntRange(0, len(x.live)-1).Draw(t, "session")]
}

// use runs f within a request of a session.
func (x *machine) use(t *rapid.T, f func(*modelSession, *Session)) {
	ms := x.pick(t)
	s, err := x.m.Find(context.Background(), ms.id)
	if !ms.alive(time.Now()) {
		if !errors.Is(err, ErrNotFound) {
			t.Fatalf("an expired session is found: %v", err)
		}
		x.forget(ms)
		return
	}
	if err != nil {
		t.Fatalf("Find: %v", err)
	}
	f(ms, s)
	s.End()
	ms.used, ms.isNew = time.Now(), false
}

func (x *machine) forget(ms *modelSession) {
	x.live = slices.DeleteFunc(x.live, func(s *modelSession) bool { return s == ms })
	x.dead = append(x.dead, ms.id)
}

func (x *machine) create(t *rapid.T) {
	if len(x.live) > 12 {
		t.Skip("enough")
	}
	s, err := x.m.Create(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if !s.IsNew() {
		t.Fatal("a new session is not new")
	}
	s.End()
	x.live = append(x.live, &modelSession{id: s.ID(), attrs: map[string]string{}, dots: map[string]Dot{}, used: time.Now(), maxIdle: x.o.Timeout})
}

func (x *machine) commit(t *rapid.T) {
	x.use(t, func(ms *modelSession, s *Session) {
		c := &Changes{}
		for range rapid.IntRange(0, 4).Draw(t, "changes") {
			x.n++
			ch := Change{Name: rapid.SampledFrom([]string{"", "a", "b", "c", "long name " + strings.Repeat("n", 200)}).Draw(t, "name"), Remove: rapid.Bool().Draw(t, "remove")}
			if !ch.Remove {
				ch.Value = []byte(fmt.Sprint(x.n, strings.Repeat("v", rapid.SampledFrom([]int{0, 10, 300, 20_000}).Draw(t, "size"))))
			}
			c.Attributes = append(c.Attributes, ch)
		}
		dot, err := s.Commit(context.Background(), c)
		if err != nil {
			t.Fatal(err)
		}
		for _, ch := range c.Attributes {
			delete(ms.attrs, ch.Name)
			delete(ms.dots, ch.Name)
			if !ch.Remove {
				ms.attrs[ch.Name], ms.dots[ch.Name] = string(ch.Value), dot
			}
		}
	})
}

func (x *machine) swap(t *rapid.T) {
	x.use(t, func(ms *modelSession, s *Session) {
		base := ms.dots["a"]
		fits := rapid.Bool().Draw(t, "fits")
		if !fits {
			base.Clock++
		}
		x.n++
		v := fmt.Sprint(x.n)
		ok, now, _, err := s.CompareAndSwap(context.Background(), "a", base, []byte(v))
		if err != nil || ok != fits {
			t.Fatalf("CompareAndSwap: %v, %v, want %v", ok, err, fits)
		}
		if ok {
			ms.attrs["a"], ms.dots["a"] = v, now.Dot
		}
	})
}

func (x *machine) hold(t *rapid.T) {
	ms := x.pick(t)
	if ms.inUse != nil {
		ms.inUse.End()
		ms.inUse, ms.used = nil, time.Now()
		return
	}
	if s, err := x.m.Find(context.Background(), ms.id); err == nil {
		ms.inUse = s
	}
}

func (x *machine) changeID(t *rapid.T) {
	x.use(t, func(ms *modelSession, s *Session) {
		id, err := s.ChangeID(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		x.dead = append(x.dead, ms.id)
		ms.id = id
	})
}

func (x *machine) invalidate(t *rapid.T) {
	x.use(t, func(ms *modelSession, s *Session) {
		if err := s.Invalidate(context.Background(), Invalidate); err != nil {
			t.Fatal(err)
		}
		if ms.inUse != nil {
			ms.inUse.End()
		}
		x.forget(ms)
	})
}

func (x *machine) timeout(t *rapid.T) {
	x.use(t, func(ms *modelSession, s *Session) {
		d := time.Duration(rapid.SampledFrom([]int{-1, 30, 600, 7200}).Draw(t, "seconds")) * time.Second
		if _, err := s.Commit(context.Background(), &Changes{MaxInactive: &d}); err != nil {
			t.Fatal(err)
		}
		ms.maxIdle = d
	})
}

func (x *machine) sleep(t *rapid.T) {
	time.Sleep(time.Duration(rapid.IntRange(1, 900).Draw(t, "seconds")) * time.Second)
	synctest.Wait()
	for _, ms := range slices.Clone(x.live) {
		if now := time.Now(); !ms.alive(now) && now.Sub(ms.used) > ms.maxIdle+3*time.Second {
			x.forget(ms)
		}
	}
}

// restart saves to the file and loads again.
func (x *machine) restart(t *rapid.T) {
	for _, ms := range x.live {
		if ms.inUse != nil {
			ms.inUse.End()
			ms.inUse, ms.used = nil, time.Now()
		}
	}
	if err := x.m.Close(context.Background(), true); err != nil {
		t.Fatal(err)
	}
	x.open(t)
}

func (x *machine) open(t *rapid.T) {
	var err error
	if x.m, err = New(x.o); err != nil {
		t.Fatal(err)
	}
	rep, err := x.m.Load(context.Background())
	if err != nil || rep.Damage != nil {
		t.Fatal(rep, err)
	}
	x.m.Start()
}

func (x *machine) rebind(t *rapid.T) {
	if err := x.m.Rebind(context.Background(), x.o); err != nil {
		t.Fatal(err)
	}
}

// check compares what can be seen without using the sessions.
func (x *machine) check(t *rapid.T) {
	now := time.Now()
	for _, id := range x.dead {
		if x.m.Contains(id) {
			t.Fatalf("an ended session is still there")
		}
	}
	for _, ms := range x.live {
		if x.m.Contains(ms.id) != ms.alive(now) {
			t.Fatalf("Contains is %v, idle for %v of %v", !ms.alive(now), now.Sub(ms.used), ms.maxIdle)
		}
	}
	got := map[ID]string{}
	err := x.m.eachSnapshot(context.Background(), func(s *Snapshot) error {
		for _, a := range s.Attributes {
			got[s.ID] += fmt.Sprint(a.Name, "=", string(a.Value), "@", a.Dot, " ")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, ms := range x.live {
		want := ""
		for _, name := range slices.Sorted(maps.Keys(ms.attrs)) {
			want += fmt.Sprint(name, "=", ms.attrs[name], "@", ms.dots[name], " ")
		}
		if ms.alive(now) && got[ms.id.Real()] != want {
			t.Fatalf("session holds\n%.300s want\n%.300s", got[ms.id.Real()], want)
		}
	}
	if n := int(x.m.counts.active.Load()); n < len(got) {
		t.Fatalf("%d sessions are counted, %d are there", n, len(got))
	}
}

// A manager does what a plain map of sessions would, whatever happens in whatever
// order: requests one after the other and at once, times passing, restarts.
func TestManagerModel(t *testing.T) {
	dir := t.TempDir()
	round := 0
	rapid.Check(t, func(rt *rapid.T) {
		round++
		file := filepath.Join(dir, fmt.Sprint(round))
		hot := rapid.SampledFrom([]int{-1, 1, 1000}).Draw(rt, "hot")
		synctest.Test(t, func(*testing.T) {
			x := &machine{o: Options{App: "localhost/m", Timeout: 10 * time.Minute, File: file, Hot: hot, HLC: new(HLC)}}
			x.open(rt)
			defer func() { _ = x.m.Close(context.Background(), false) }()
			rt.Repeat(map[string]func(*rapid.T){
				"create": x.create, "commit": x.commit, "swap": x.swap, "hold": x.hold, "changeID": x.changeID,
				"invalidate": x.invalidate, "timeout": x.timeout, "sleep": x.sleep, "restart": x.restart, "rebind": x.rebind, "": x.check,
			})
		})
	})
}

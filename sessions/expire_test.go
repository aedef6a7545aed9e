package sessions

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// Access times as Tomcat's TestStandardSessionAccessor has them.
func TestAccessTimes(t *testing.T) {
	for _, atStart := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			m := manager(t, Options{LastAccessAtStart: atStart, Hot: -1})
			began := time.Now()
			since := func(at time.Time) time.Duration { return at.Sub(began) }
			check := func(s *Session, isNew bool, last time.Duration) {
				t.Helper()
				if s.IsNew() != isNew || since(s.LastAccessed()) != last || since(s.Created()) != 0 {
					t.Errorf("atStart %v: new %v, last accessed %v, created %v; want %v, %v, 0", atStart, s.IsNew(), since(s.LastAccessed()), since(s.Created()), isNew, last)
				}
			}
			s := create(t, m)
			id := s.ID()
			check(s, true, 0)
			time.Sleep(time.Second)
			check(s, true, 0)
			s.End() // at 1 s
			time.Sleep(time.Second)
			want := time.Second // the end of the first request
			if atStart {
				want = 0
			}
			s = find(t, m, id) // at 2 s
			check(s, false, want)
			time.Sleep(2 * time.Second)
			s.End() // at 4 s
			s = find(t, m, id)
			want = 4 * time.Second
			if atStart {
				want = 2 * time.Second
			}
			check(s, false, want)
			s.End()
		})
	}
}

func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := &recorder{events: AllEvents}
		m := manager(t, Options{Timeout: time.Minute, Listener: rec, Hot: -1})
		var ids []ID
		for range 3 {
			s := create(t, m)
			ids = append(ids, s.ID())
			s.End()
		}
		hour, never := time.Hour, -time.Second
		for i, d := range []*time.Duration{&hour, &never} {
			s := find(t, m, ids[i+1])
			if _, err := s.Commit(t.Context(), &Changes{MaxInactive: d}); err != nil {
				t.Fatal(err)
			}
			s.End()
		}
		rec.take()
		time.Sleep(time.Minute - time.Millisecond)
		find(t, m, ids[0]).End() // one more minute
		time.Sleep(time.Minute - time.Millisecond)
		if !m.Contains(ids[0]) {
			t.Error("a session ended before its time")
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if got := rec.take(); got != "destroyed TIMEOUT" {
			t.Errorf("after a minute of idleness: %s", got)
		}
		gone(t, m, ids[0])
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := rec.take(); got != "destroyed TIMEOUT" {
			t.Errorf("after an hour: %s", got)
		}
		time.Sleep(5 * time.Hour)
		synctest.Wait()
		find(t, m, ids[2]).End()
		st := m.Stats()
		if st.Expired != 2 || st.Active != 1 || st.MaxAlive < time.Hour || st.MaxAlive > 2*time.Hour || st.AverageAlive >= st.MaxAlive {
			t.Errorf("%+v", st)
		}
	})
}

// A look at a session that was idle for too long ends it, before the wheel does.
func TestExpiryOnFind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := &recorder{events: Events(SessionDestroyed)}
		m := manager(t, Options{Timeout: 1500 * time.Millisecond, Listener: rec})
		s := create(t, m)
		s.End()
		time.Sleep(1500 * time.Millisecond)
		if m.Contains(s.ID()) {
			t.Error("Contains shows an expired session")
		}
		gone(t, m, s.ID())
		if got := rec.take(); got != "destroyed TIMEOUT" {
			t.Errorf("events: %s", got)
		}
	})
}

// A session does not expire while a request uses it (Servlet 6.1 §7.5).
func TestNoExpiryInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := manager(t, Options{Timeout: time.Second})
		s := create(t, m)
		time.Sleep(time.Hour)
		synctest.Wait()
		find(t, m, s.ID()).End()
		s.Begin() // an asynchronous part of the request
		s.End()
		time.Sleep(time.Hour)
		if !s.Valid() {
			t.Error("it expired in use")
		}
		s.End()
		time.Sleep(3 * time.Second)
		synctest.Wait()
		gone(t, m, s.ID())
	})
}

// Sessions that nobody listens to end without being unpacked.
func TestQuietExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := manager(t, Options{Timeout: time.Minute, Hot: -1})
		for range 5000 {
			create(t, m).End()
		}
		time.Sleep(62 * time.Second)
		synctest.Wait()
		if st := m.Stats(); st.Active != 0 || st.Expired != 5000 || st.Unpacked != 0 || st.AverageAlive < time.Minute {
			t.Errorf("%+v", st)
		}
		for _, sh := range m.shards {
			if len(sh.index) != 0 || len(sh.live) != 0 {
				t.Errorf("a shard still has %d sessions", len(sh.index))
			}
		}
		// Without sessions the janitor sleeps; a new one wakes it.
		time.Sleep(time.Hour)
		create(t, m).End()
		time.Sleep(62 * time.Second)
		synctest.Wait()
		if st := m.Stats(); st.Active != 0 {
			t.Errorf("%+v", st)
		}
	})
}

// A listener that takes its time holds up neither requests nor other sessions'
// being found expired; each session ends once (Tomcat's TestStandardSession:
// unbound once although a listener comes during the expiry).
func TestExpiryOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := &recorder{events: Events(SessionDestroyed)}
		rec.on = func(context.Context, Event) { time.Sleep(5 * time.Second) }
		m := manager(t, Options{Timeout: time.Minute, Listener: rec})
		a, b := create(t, m), create(t, m)
		a.End()
		b.End()
		time.Sleep(61 * time.Second)
		gone(t, m, a.ID())
		gone(t, m, b.ID())
		time.Sleep(time.Minute)
		synctest.Wait()
		if st := m.Stats(); st.Expired != 2 || st.Active != 0 {
			t.Errorf("%+v", st)
		}
		if got := rec.take(); got != "destroyed TIMEOUT, destroyed TIMEOUT" {
			t.Errorf("events: %s", got)
		}
	})
}

func TestRates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := manager(t, Options{})
		for range 200 {
			create(t, m).End()
			time.Sleep(time.Second)
		}
		if st := m.Stats(); st.CreateRate < 55 || st.CreateRate > 65 || st.ExpireRate != 0 {
			t.Errorf("one session a second: %+v", st)
		}
	})
}

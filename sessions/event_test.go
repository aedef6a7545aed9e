package sessions

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// What the manager says of an event is what the policies are asked with: on one
// node every event is local and of a session that is used here.
func TestEventStatus(t *testing.T) {
	var heard []Event
	rec := &recorder{events: AllEvents}
	rec.on = func(_ context.Context, e Event) { heard = append(heard, e) }
	m := manager(t, Options{Listener: rec})
	s := create(t, m)
	if err := s.Invalidate(t.Context(), Invalidate); err != nil {
		t.Fatal(err)
	}
	s.End()
	for _, e := range heard {
		if !e.Local || e.Status != (Status{LocallyUsed: true, LocallyOwned: true}) {
			t.Errorf("%v: local %v, %+v", e.Cause, e.Local, e.Status)
		}
	}
	if len(heard) != 2 {
		t.Errorf("%d events", len(heard))
	}
}

// The causes have JBoss's names and order: the numbers travel.
func TestCauseNames(t *testing.T) {
	want := []string{"CREATE", "MODIFY", "INVALIDATE", "TIMEOUT", "UNDEPLOY", "FAILOVER", "FAILAWAY", "STATE_TRANSFER", "PASSIVATION", "ACTIVATION", "REPLICATION", "UNKNOWN"}
	for i, name := range want {
		if got := Cause(i).String(); got != name {
			t.Errorf("cause %d is %s, want %s", i, got, name)
		}
	}
}

// A commit that replicates is paired with one activation, at the next look at the
// session, wherever that was kept in between (jboss.md §3.3, cause REPLICATION).
func TestActivationAfterReplication(t *testing.T) {
	for _, hot := range []int{0, -1} {
		rec := &recorder{events: Events(SessionWillPassivate, SessionDidActivate)}
		m := manager(t, Options{Replicator: &twin{}, Listener: rec, Hot: hot})
		s := create(t, m)
		id := s.ID()
		if err := s.Announce(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.End()
		step := func(want string, change bool) {
			t.Helper()
			s := find(t, m, id)
			defer s.End()
			if got := rec.take(); got != want {
				t.Errorf("hot %d: %q, want %q", hot, got, want)
			}
			if change {
				set(t, s, "a", "1")
			}
		}
		step("", true)
		step("didActivate REPLICATION", false)
		step("", true)
		step("didActivate REPLICATION", true)
	}
}

// Replicated, then passivated for being idle: activated twice, the store's first.
func TestActivationAfterBoth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := &recorder{events: Events(SessionWillPassivate, SessionDidActivate)}
		m := manager(t, Options{Replicator: &twin{}, Listener: rec, Store: newMapStore(), MaxIdle: time.Minute})
		s := create(t, m)
		set(t, s, "a", "1")
		s.End()
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if got := rec.take(); got != "willPassivate PASSIVATION" {
			t.Errorf("idle: %q", got)
		}
		find(t, m, s.ID()).End()
		if got := rec.take(); got != "didActivate ACTIVATION, didActivate REPLICATION" {
			t.Errorf("used again: %q", got)
		}
	})
}

// An event that nobody could be told of is counted, and changes nothing else.
func TestLostEvents(t *testing.T) {
	m := manager(t, Options{Listener: deaf{}})
	s := create(t, m)
	if err := s.Invalidate(t.Context(), Invalidate); err != nil {
		t.Error(err)
	}
	s.End()
	if st := m.Stats(); st.LostEvents != 2 || st.Ended != 1 {
		t.Errorf("%+v", st)
	}
}

type deaf struct{}

func (deaf) Events() EventSet                    { return AllEvents }
func (deaf) Notify(context.Context, Event) error { return errors.New("no worker") }

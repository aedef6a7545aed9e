package sessions

import (
	"context"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
	"weak"
)

// However a session leaves memory, nothing holds on to it or to its values
// (JBoss's ClusteredSessionMemoryLeakTestCase, jboss.md §9, 30).
func TestNothingIsHeld(t *testing.T) {
	for name, leave := range map[string]func(context.Context, *Manager, ID) error{
		"invalidate": func(ctx context.Context, m *Manager, id ID) error {
			s, err := m.Find(ctx, id)
			if err != nil {
				return err
			}
			defer s.End()
			return s.Invalidate(ctx, Invalidate)
		},
		"expire": func(context.Context, *Manager, ID) error {
			time.Sleep(time.Hour)
			return nil
		},
		"passivate": func(ctx context.Context, m *Manager, id ID) error {
			k, _ := parseKey(id)
			time.Sleep(time.Second)
			return m.passivate(ctx, k, 0)
		},
		"evict": func(ctx context.Context, m *Manager, id ID) error {
			m.Evict(ctx, id, Failaway)
			return nil
		},
		"close": func(ctx context.Context, m *Manager, _ ID) error { return m.Close(ctx, false) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rec := &recorder{events: AllEvents}
				m := manager(t, Options{Replicator: &forgetful{}, Listener: rec, Store: discardStore{}})
				s, value, id := held(t, m)
				if err := leave(t.Context(), m, id); err != nil {
					t.Fatal(err)
				}
				for range 3 {
					runtime.GC()
				}
				if s.Value() != nil || value.Value() != nil {
					t.Errorf("session %v, value %v are still held", s.Value() != nil, value.Value() != nil)
				}
			})
		})
	}
}

// held makes a session with a large value and returns weak pointers to both.
func held(t *testing.T, m *Manager) (weak.Pointer[Session], weak.Pointer[byte], ID) {
	t.Helper()
	s := create(t, m)
	defer s.End()
	value := make([]byte, 1<<20)
	if _, err := s.Commit(t.Context(), &Changes{Attributes: []Change{{Name: "a", Value: value}}}); err != nil {
		t.Fatal(err)
	}
	return weak.Make(s), weak.Make(&value[0]), s.ID()
}

// forgetful is a Replicator that keeps nothing.
type forgetful struct{}

func (forgetful) Find(context.Context, AppKey, ID) (*Snapshot, error) { return nil, nil }
func (forgetful) Commit(*Delta) Receipt                               { return nil }

// discardStore is a Store that keeps nothing.
type discardStore struct{}

func (discardStore) Load(context.Context, ID) (*Snapshot, error)      { return nil, ErrNotFound }
func (discardStore) Save(context.Context, *Snapshot) error            { return nil }
func (discardStore) Delete(context.Context, ID) error                 { return nil }
func (discardStore) Walk(context.Context, func(*Snapshot) bool) error { return nil }

package sessions

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// ideal is a cluster as its Replicators show it, without delays and losses: one
// state of each session, and one home.
type ideal struct {
	mu    sync.Mutex
	state map[ID]*idealState // guarded by mu
	nodes []*idealNode
	bad   []string // guarded by mu; what a Replicator must never see
}

type idealState struct {
	home *idealNode
	snap Snapshot
}

type idealNode struct {
	c    *ideal
	m    *Manager
	dead bool // guarded by c.mu
}

func (n *idealNode) Find(_ context.Context, _ AppKey, id ID) (*Snapshot, error) {
	n.c.mu.Lock()
	defer n.c.mu.Unlock()
	st := n.c.state[id]
	switch {
	case st == nil:
		return nil, nil
	case st.home != n && !st.home.dead:
		return nil, ErrMoved
	}
	st.home = n
	snap := st.snap
	snap.Attributes = slices.Clone(snap.Attributes)
	return &snap, nil
}

func (n *idealNode) Commit(d *Delta) Receipt {
	n.c.mu.Lock()
	defer n.c.mu.Unlock()
	if d.Created {
		if d.Dead {
			return nil
		}
		if n.c.state[d.ID] != nil {
			n.c.bad = append(n.c.bad, "a session is made twice")
		}
		n.c.state[d.ID] = &idealState{home: n, snap: Snapshot{ID: d.ID, Created: d.CreatedAt}}
	}
	if d.Previous != "" {
		st := n.c.state[d.Previous]
		if st == nil || st.home != n {
			return receipt(func(context.Context) error { return ErrMoved })
		}
		delete(n.c.state, d.Previous)
		n.c.state[d.ID], st.snap.ID = st, d.ID
	}
	st := n.c.state[d.ID]
	if st == nil || st.home != n || n.dead {
		return receipt(func(context.Context) error { return ErrMoved })
	}
	if st.snap.Head != d.Base {
		n.c.bad = append(n.c.bad, fmt.Sprintf("a delta on %v, while the session is at %v", d.Base, st.snap.Head))
	}
	if d.Dead {
		delete(n.c.state, d.ID)
		return nil
	}
	attrs := slices.DeleteFunc(slices.Clone(st.snap.Attributes), func(a Attribute) bool {
		return slices.Contains(d.Removed, a.Name) || slices.ContainsFunc(d.Set, func(s Attribute) bool { return s.Name == a.Name })
	})
	st.snap.Attributes = append(attrs, d.Set...)
	slices.SortFunc(st.snap.Attributes, byName)
	st.snap.Head, st.snap.Accessed, st.snap.MaxInactive = d.Dot, d.Accessed, d.MaxInactive
	return nil
}

func (n *idealNode) AtHome(id ID) bool {
	n.c.mu.Lock()
	defer n.c.mu.Unlock()
	st := n.c.state[id]
	return st == nil || st.home == n
}

// client is a user whose requests go to any node.
type client struct {
	id    ID
	attrs map[string]string // what its last acknowledged request has left; nil: the session has ended
	old   []ID              // ids that must be dead
}

// TestSessionsMoveModel has sessions of a few users change, move, be passivated, end
// and change their ids at three nodes that can die: each user sees what was
// acknowledged, no ended id comes back, and each delta is on the one before.
func TestSessionsMoveModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := &ideal{state: map[ID]*idealState{}}
		for range 3 {
			n := &idealNode{c: c}
			m, err := New(Options{
				App: "a/b", Replicator: n, Node: uint32(len(c.nodes) + 1), Hot: rapid.SampledFrom([]int{-1, 1, 0}).Draw(t, "hot"),
				Store: newMapStore(), Listener: &recorder{events: rapid.SampledFrom([]EventSet{0, AllEvents}).Draw(t, "events")},
			})
			if err != nil {
				t.Fatal(err)
			}
			n.m = m
			c.nodes = append(c.nodes, n)
		}
		defer func() {
			for _, n := range c.nodes {
				if err := n.m.Close(context.Background(), true); err != nil {
					t.Error(err)
				}
			}
		}()
		clients := []*client{{}, {}, {}}
		node := rapid.Custom(func(t *rapid.T) *idealNode {
			return rapid.SampledFrom(slices.DeleteFunc(slices.Clone(c.nodes), func(n *idealNode) bool { return n.dead })).Draw(t, "node")
		})
		user := rapid.SampledFrom(clients)
		check := func(t *rapid.T) {
			for _, u := range clients {
				for _, id := range u.old {
					for _, n := range c.nodes {
						if n.m.Contains(id) && !n.dead {
							t.Fatalf("ended id %s is at node %d", id, slices.Index(c.nodes, n))
						}
					}
				}
			}
			if len(c.bad) > 0 {
				t.Fatal(c.bad)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"":        check,
			"request": func(t *rapid.T) { c.request(t, user.Draw(t, "user"), node.Draw(t, "at")) },
			"passivate": func(t *rapid.T) {
				u, n := user.Draw(t, "user"), node.Draw(t, "at")
				if k, ok := parseKey(u.id); ok {
					time.Sleep(time.Nanosecond)
					if err := n.m.passivate(context.Background(), k, 0); err != nil && !errors.Is(err, errStays) {
						t.Fatal(err)
					}
				}
			},
			"hand over": func(t *rapid.T) {
				u, to := user.Draw(t, "user"), node.Draw(t, "to")
				st := c.state[u.id]
				if st == nil || st.home == to || st.home.dead {
					return
				}
				if !st.home.m.Yield(context.Background(), u.id) {
					t.Fatal("it is in use")
				}
				st.home = to
			},
			"die": func(t *rapid.T) {
				if n := node.Draw(t, "node"); !slices.ContainsFunc(c.nodes, func(o *idealNode) bool { return o.dead }) {
					n.dead = true
				}
			},
			"expire": func(t *rapid.T) { // the cluster asks too early: the session was used here, or is not here
				u := user.Draw(t, "user")
				if st := c.state[u.id]; st != nil && !st.home.dead && st.home.m.Contains(u.id) {
					st.home.m.Expire(context.Background(), u.id)
				}
			},
		})
	})
}

// request is one request of a user, forwarded to the session's home.
func (c *ideal) request(t *rapid.T, u *client, n *idealNode) {
	ctx := context.Background()
	if st := c.state[u.id]; st != nil && !st.home.dead {
		n = st.home
	}
	var s *Session
	var err error
	if u.id == "" {
		if s, err = n.m.Create(ctx); err != nil {
			t.Fatal(err)
		}
		u.id, u.attrs = s.ID(), map[string]string{}
	} else if s, err = n.m.Find(ctx, u.id); err != nil {
		t.Fatalf("the session of the last request: %v", err)
	}
	defer s.End()
	got := map[string]string{}
	names, err := s.Names()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		a, _, _ := s.Attribute(name)
		got[name] = string(a.Value)
	}
	if fmt.Sprint(got) != fmt.Sprint(u.attrs) {
		t.Fatalf("sees %v, was told %v", got, u.attrs)
	}
	for range rapid.IntRange(0, 3).Draw(t, "changes") {
		name := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "name")
		switch rapid.SampledFrom(strings.Fields("set set remove swap id")).Draw(t, "what") {
		case "set":
			u.attrs[name] = rapid.StringN(0, 3, 3).Draw(t, "value")
			_, err = s.Commit(ctx, &Changes{Attributes: []Change{{Name: name, Value: []byte(u.attrs[name])}}})
		case "remove":
			delete(u.attrs, name)
			_, err = s.Commit(ctx, &Changes{Attributes: []Change{{Name: name, Remove: true}}})
		case "swap":
			a, _, _ := s.Attribute(name)
			var ok bool
			if ok, _, _, err = s.CompareAndSwap(ctx, name, a.Dot, []byte("s")); !ok {
				t.Fatal("not swapped")
			}
			u.attrs[name] = "s"
		case "id":
			u.old = append(u.old, u.id)
			u.id, err = s.ChangeID(ctx)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if rapid.IntRange(0, 9).Draw(t, "end") == 0 {
		if err := s.Invalidate(ctx, Invalidate); err != nil {
			t.Fatal(err)
		}
		u.old, u.id = append(u.old, u.id), ""
		return
	}
	if err := s.Announce(ctx); err != nil {
		t.Fatal(err)
	}
}

package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/serval-server/serval/cluster/replica"
	"github.com/serval-server/serval/descriptor"
	"github.com/serval-server/serval/sessions"
)

// DIST: as many copies as owners, the backup in another zone, restored after a
// death; any node serves any session.
func TestDIST(t *testing.T) {
	cluster(t, Cache{Mode: ModeDIST, Owners: 2}, AppConfig{}, "a-1 a-2 b-1 b-2", func(w *world) {
		var ids []sessions.ID
		for i := range 40 {
			n := w.all()[i%4]
			id := n.set("", fmt.Sprint("n=", i))
			ids = append(ids, id)
			if got := w.copies(id); got != 2 {
				t.Errorf("%d copies", got)
			}
			sid, _ := realID(id)
			for _, o := range w.all() {
				sh := o.dm.app.shard(sid)
				sh.mu.Lock()
				has := sh.node.State(sid) != nil
				sh.mu.Unlock()
				if has && o != n && o.name[0] == n.name[0] {
					t.Errorf("the copies of a session of %s are in one zone", n.name)
				}
			}
		}
		w.node("a-1").kill()
		for i, id := range ids {
			w.node([]string{"a-2", "b-1", "b-2"}[i%3]).want(id, fmt.Sprint("n=", i))
		}
		w.until(30*time.Second, "all sessions to have two copies again", func() bool {
			for _, id := range ids {
				if w.copies(id) != 2 {
					return false
				}
			}
			return true
		})
		w.node("b-1").kill()
		for i, id := range ids {
			w.node([]string{"a-2", "b-2"}[i%2]).want(id, fmt.Sprint("n=", i))
		}
	})
}

// backups and replication-mode of replication-config go before the cache.
func TestBackups(t *testing.T) {
	one, all := 1, -1
	for _, c := range []struct {
		backups *int
		mode    descriptor.ReplicationMode
		want    string
		ack     Ack
	}{
		{&one, descriptor.ReplicationSync, "DIST 2", AckAll},
		{&all, descriptor.ReplicationAsync, "REPL", AckNone},
		{nil, "", "DIST 3", AckQuorum},
	} {
		app := AppConfig{Replication: replication(func(r *descriptor.Replication) { r.Backups, r.Mode = c.backups, c.mode })}
		set, _ := settingsFor(app, Cache{Mode: ModeDIST, Owners: 3, Ack: AckQuorum})
		got := string(set.Mode)
		if set.Mode == ModeDIST {
			got += fmt.Sprint(" ", set.Owners)
		}
		if got != c.want || set.Ack != c.ack {
			t.Errorf("%+v: %s %s", c, got, set.Ack)
		}
	}
}

// max-unreplicated-interval, and the ACCESS trigger.
func TestTouchInterval(t *testing.T) {
	d := func(v time.Duration) *time.Duration { return &v }
	for _, c := range []struct {
		interval *time.Duration
		trigger  descriptor.ReplicationTrigger
		timeout  time.Duration
		want     time.Duration
		warns    bool
	}{
		{nil, "", 0, time.Minute, false},
		{nil, "", 40 * time.Second, 10 * time.Second, false},
		{nil, "", -1, time.Minute, false},
		{d(0), "", time.Minute, 0, false},
		{d(-time.Second), "", time.Minute, -time.Second, false},
		{d(30 * time.Second), "", time.Minute, 30 * time.Second, false},
		{d(2 * time.Minute), "", time.Minute, 0, true},
		{d(2 * time.Minute), "", -1, 2 * time.Minute, false},
		{nil, descriptor.TriggerAccess, 0, 0, false},
	} {
		app := AppConfig{Timeout: c.timeout, Replication: replication(func(r *descriptor.Replication) { r.MaxUnreplicatedInterval, r.Trigger = c.interval, c.trigger })}
		set, warning := settingsFor(app, Cache{})
		if set.touch != c.want || (warning != "") != c.warns {
			t.Errorf("%+v: %v %q", c, set.touch, warning)
		}
	}
}

// INTERVAL: requests at home see changes at once, copies at the end of the
// interval; a handover takes all of them along, a death loses what waited.
func TestInterval(t *testing.T) {
	app := AppConfig{Replication: replication(func(r *descriptor.Replication) {
		r.SnapshotMode, r.SnapshotInterval = descriptor.SnapshotInterval, 2*time.Second
	})}
	cluster(t, Cache{Ack: AckAll}, app, "a b c", func(w *world) {
		a, b, c := w.node("a"), w.node("b"), w.node("c")
		id := a.set("", "n=0")
		time.Sleep(3 * time.Second)
		sent := a.end.messages()
		for i := range 20 {
			a.set(id, fmt.Sprint("n=", i), fmt.Sprint("m", i%2, "=", i))
		}
		a.set(id, "m0")
		b.want(id, "m1=19 n=19") // forwarded
		if got := w.copyOf(b, id); got != "n=0" {
			t.Errorf("a copy has %q before the interval ended", got)
		}
		w.until(3*time.Second, "the interval to end", func() bool { return w.copyOf(b, id) == "m1=19 n=19" })
		if n := a.end.messages() - sent; n > 20 {
			t.Errorf("%d messages for one joined change", n)
		}
		a.set(id, "n=lost")
		a.kill()
		b.want(id, "m1=19 n=19")
		b.set(id, "n=kept")
		if err := b.Drain(w.t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		b.kill()
		c.want(id, "m1=19 n=kept")
	})
}

// A session that nobody uses ends once, at its home, also if that is dead; one
// that is used, if only by reading, does not.
func TestExpiry(t *testing.T) {
	app := AppConfig{Timeout: 2 * time.Minute}
	cluster(t, Cache{}, app, "a b c", func(w *world) {
		a, b, c := w.node("a"), w.node("b"), w.node("c")
		idle, used, orphan := a.set("", "n=1"), a.set("", "n=2"), b.set("", "n=3")
		w.level()
		b.kill()
		for range 15 {
			time.Sleep(20 * time.Second)
			a.want(used, "n=2")
		}
		a.want(idle, "-")
		c.want(orphan, "-")
		c.want(used, "n=2")
		ends := a.rec.has(sessions.SessionDestroyed, sessions.Timeout) + c.rec.has(sessions.SessionDestroyed, sessions.Timeout)
		if ends != 2 {
			t.Errorf("%d sessions ended: at a %v, at c %v", ends, a.rec.events, c.rec.events)
		}
		// Its home dies: reading has kept it alive, and the copies know.
		a.kill()
		time.Sleep(90 * time.Second)
		c.want(used, "n=2")
	})
}

// Settings can be changed anywhere, hold everywhere, also on those that come later
// and after a restart.
func TestSetCache(t *testing.T) {
	cluster(t, Cache{}, AppConfig{}, "a b c", func(w *world) {
		a := w.node("a")
		id := a.set("", "n=1")
		w.level()
		dist, owners, ack := ModeDIST, 2, AckAll
		if err := w.node("b").SetCache(w.t.Context(), DefaultCache, CacheChange{Mode: &dist, Owners: &owners, Ack: &ack}); err != nil {
			t.Fatal(err)
		}
		w.until(20*time.Second, "one copy to be dropped", func() bool { return w.copies(id) == 2 })
		d := w.start("d")
		w.ready()
		for _, n := range []*testNode{w.node("a"), w.node("b"), w.node("c"), d} {
			s := n.Status()
			if c := s.Caches[0]; c.Mode != ModeDIST || c.Owners != 2 || c.Ack != AckAll || c.Epoch != 1 || s.Apps[0].Mode != ModeDIST {
				t.Errorf("at %s: %+v, %+v", n.name, c, s.Apps[0])
			}
		}
		d.kill()
		w.node("c").kill()
		c := w.start("c")
		if got := c.Status().Caches[0]; got.Mode != ModeDIST || got.Epoch != 1 {
			t.Errorf("after a restart: %+v", got)
		}
		repl := ModeREPL
		if err := c.SetCache(w.t.Context(), DefaultCache, CacheChange{Mode: &repl}); err != nil {
			t.Fatal(err)
		}
		w.until(30*time.Second, "copies everywhere again", func() bool { return w.copies(id) == 3 })
		bad, none := 0, Mode("BOTH")
		if err := a.SetCache(w.t.Context(), DefaultCache, CacheChange{Owners: &bad, Mode: &none}); err == nil || !strings.Contains(err.Error(), "owners 0") && !strings.Contains(err.Error(), "BOTH") {
			t.Errorf("bad settings: %v", err)
		}
		if err := a.SetCache(w.t.Context(), "nosuch", CacheChange{}); !errors.As(err, new(*UnknownCacheError)) {
			t.Errorf("no such cache: %v", err)
		}
	})
}

// Replication can be switched off and on while the application runs.
func TestSetReplication(t *testing.T) {
	for _, key := range []sessions.AppKey{shop, ""} {
		cluster(t, Cache{Ack: AckAll}, AppConfig{Timeout: time.Minute}, "a b c", func(w *world) {
			a, b, c := w.node("a"), w.node("b"), w.node("c")
			id := a.set("", "n=1")
			w.level()
			if err := c.SetReplication(w.t.Context(), key, false); err != nil {
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond)
			sent := a.end.messages()
			a.set(id, "n=2")
			b.want(id, "-")
			if n := a.end.messages() - sent; n > 0 {
				t.Errorf("%d messages with replication off", n)
			}
			if a.Status().Apps[0].Replicating {
				t.Error("the status says that it replicates")
			}
			for range 4 { // copies that nobody keeps up to date would expire
				time.Sleep(50 * time.Second)
				a.set(id, "n=3")
			}
			id2 := b.set("", "n=3")
			a.set(id, "n=4")
			for range 500 {
				a.set("", "n=5")
			}
			if err := a.SetReplication(w.t.Context(), key, true); err != nil {
				t.Fatal(err)
			}
			waited := time.Now()
			for len(Unsettled(c.ClusterStatus(w.t.Context()))) > 0 {
				if time.Since(waited) > 10*time.Second {
					t.Fatalf("%v do not get on", Unsettled(c.ClusterStatus(w.t.Context())))
				}
				time.Sleep(time.Millisecond)
			}
			if has := b.Status().Apps[0]; has.Copies < 501 {
				t.Errorf("all have made their copies, and another has %d of 501", has.Copies)
			}
			w.ready()
			w.level()
			b.want(id, "n=4")
			c.want(id2, "n=3")
			a.kill()
			b.want(id, "n=4")
		})
	}
}

// TestUnsettled: a node is waited for until it replicates, is level, has met all others
// that run the application, and has made its copies.
func TestUnsettled(t *testing.T) {
	settled := AppStatus{Key: shop, Replicating: true, Level: true, Nodes: []string{"a", "b"}}
	for name, tc := range map[string]struct {
		change func(*AppStatus)
		want   string
	}{
		"settled":               {func(*AppStatus) {}, "[]"},
		"has not heard of it":   {func(a *AppStatus) { a.Replicating = false }, "[b]"},
		"joins":                 {func(a *AppStatus) { a.Level = false }, "[b]"},
		"has not met the other": {func(a *AppStatus) { a.Nodes = []string{"b"} }, "[b]"},
		"makes copies":          {func(a *AppStatus) { a.Copying = true }, "[b]"},
	} {
		other := settled
		tc.change(&other)
		nodes := []Status{
			{Node: "a", Apps: []AppStatus{settled, {Key: "off", Copying: true}}},
			{Node: "b", Apps: []AppStatus{other}},
			{Node: "c", Error: "no answer"},
		}
		if got := fmt.Sprint(Unsettled(nodes)); got != tc.want {
			t.Errorf("%s: %s, want %s", name, got, tc.want)
		}
	}
}

// Versions of one application share what is known of its sessions.
func TestVersions(t *testing.T) {
	cluster(t, Cache{}, AppConfig{Version: "1"}, "a b", func(w *world) {
		a, b := w.node("a"), w.node("b")
		id := a.set("", "n=1")
		w.level()
		v2, err := b.Open(AppConfig{Key: shop, Version: "2"})
		if err != nil {
			t.Fatal(err)
		}
		if version, ok := v2.Holds(id); !ok || version != "1" {
			t.Errorf("session of version %q %v", version, ok)
		}
		if _, ok := v2.Holds("x"); ok {
			t.Error("holds a session that does not exist")
		}
		if err := b.dm.Close(w.t.Context()); err != nil {
			t.Fatal(err)
		}
		a.kill()
		time.Sleep(time.Second)
		if r, err := v2.Route(w.t.Context(), id, 0); err != nil || r.Action != RouteServe {
			t.Fatal(r, err)
		}
		s, err := v2.Find(w.t.Context(), shop, id.Real())
		if err != nil || s == nil || s.Version != "1" || string(s.Attributes[0].Value) != "1" {
			t.Errorf("%+v %v", s, err)
		}
		if err := v2.Close(w.t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

func TestUnknownCache(t *testing.T) {
	cluster(t, Cache{}, AppConfig{}, "a", func(w *world) {
		_, err := w.node("a").Open(AppConfig{Key: "localhost/x", Replication: replication(func(r *descriptor.Replication) {
			r.CacheName, r.CacheNamePos = "nosuch", descriptor.Pos{File: "WEB-INF/jboss-web.xml", Line: 3, Col: 7}
		})})
		want := `application localhost/x: WEB-INF/jboss-web.xml:3:7: cache-name "nosuch": no [[cache]] of conf/server.toml has this name; there are default`
		if err == nil || err.Error() != want {
			t.Errorf("%v", err)
		}
	})
}

// Any node can tell how all are.
func TestClusterStatus(t *testing.T) {
	cluster(t, Cache{}, AppConfig{}, "a b c", func(w *world) {
		id := w.node("a").set("", "n=1") // which one other node has acknowledged
		w.until(time.Second, "the other's copy", func() bool { return w.copyOf(w.node("b"), id) != "-" })
		w.net.mute(w.node("c").end, true)
		s := w.node("b").ClusterStatus(w.t.Context())
		if len(s) != 3 || s[0].Node != "a" || s[0].Apps[0].Home != 1 || len(s[0].Members) != 2 || s[1].Apps[0].Copies != 1 || s[2].Error == "" {
			t.Errorf("%+v", s)
		}
		w.net.mute(w.node("c").end, false)
	})
}

// copyOf is what a node's copy of a session has.
func (w *world) copyOf(n *testNode, id sessions.ID) string {
	sid, _ := realID(id)
	sh := n.dm.app.shard(sid)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	st := sh.node.State(sid)
	if st == nil || st.Life.Kind != replica.Live {
		return "-"
	}
	var out []string
	for _, a := range attributes(st) {
		out = append(out, a.Name+"="+string(a.Value))
	}
	return strings.Join(out, " ")
}

func (e *memoryEnd) messages() uint64 {
	e.m.mu.Lock()
	defer e.m.mu.Unlock()
	return e.sent
}

// A node that was away for longer than ended sessions are remembered starts over:
// what ended meanwhile stays ended, though nobody remembers that it has.
func TestAway(t *testing.T) {
	cluster(t, Cache{}, AppConfig{Timeout: 2 * time.Minute}, "a b c", func(w *world) {
		a, b, c := w.node("a"), w.node("b"), w.node("c")
		ended, kept := a.set("", "n=1"), b.set("", "n=2")
		w.level()
		was := c.ID()
		w.net.cut("a", "c", true)
		w.net.cut("b", "c", true)
		time.Sleep(time.Second)
		if _, err := a.request(ended, func(s *sessions.Session) error { return s.Invalidate(context.Background(), sessions.Invalidate) }); err != nil {
			t.Fatal(err)
		}
		for range 8 { // on the other side somebody goes on
			time.Sleep(time.Minute)
			c.want(ended, "n=1")
			b.want(kept, "n=2")
		}
		w.net.cut("a", "c", false)
		w.net.cut("b", "c", false)
		w.until(5*time.Second, "the node to start over", func() bool { return c.ID() != was && c.Ready() })
		for _, n := range w.all() {
			n.want(ended, "-")
			n.want(kept, "n=2")
		}
		w.level()
		if a.Status().Apps[0].Counters.Forks+b.Status().Apps[0].Counters.Forks > 0 {
			t.Error("the copies were joined")
		}
	})
}

// A session's own timeout goes with it.
func TestMaxInactive(t *testing.T) {
	cluster(t, Cache{}, AppConfig{Timeout: time.Minute}, "a b", func(w *world) {
		a, b := w.node("a"), w.node("b")
		id := a.set("", "n=1")
		long := time.Hour
		if _, err := a.request(id, func(s *sessions.Session) error {
			_, err := s.Commit(context.Background(), &sessions.Changes{MaxInactive: &long})
			return err
		}); err != nil {
			t.Fatal(err)
		}
		w.level()
		a.kill()
		time.Sleep(30 * time.Minute)
		b.want(id, "n=1")
		if _, err := b.request(id, func(s *sessions.Session) error {
			if s.MaxInactive() != time.Hour {
				t.Errorf("timeout %v", s.MaxInactive())
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	})
}

// A node that joins is ready once it has all sessions, and serves them when the
// others are gone.
func TestJoin(t *testing.T) {
	cluster(t, Cache{}, AppConfig{}, "a b", func(w *world) {
		var ids []sessions.ID
		for i := range 300 {
			ids = append(ids, w.all()[i%2].set("", fmt.Sprint("n=", i)))
		}
		c := w.start("c")
		if c.Ready() {
			t.Error("a node is ready before it has heard of anybody")
		}
		c.want(ids[0], "n=0") // a balancer that does not ask: the request waits
		w.until(10*time.Second, "the joiner to be ready", c.Ready)
		if s := c.Status().Apps[0]; s.Copies != 300 || !s.Level {
			t.Errorf("ready with %+v", s)
		}
		w.node("a").kill()
		w.node("b").kill()
		for i, id := range ids {
			c.want(id, fmt.Sprint("n=", i))
		}
	})
}

// An application that is undeployed on one node goes on on the others.
func TestUndeploy(t *testing.T) {
	cluster(t, Cache{}, AppConfig{}, "a b", func(w *world) {
		a, b := w.node("a"), w.node("b")
		id := a.set("", "n=1")
		if err := a.dm.Close(w.t.Context()); err != nil {
			t.Fatal(err)
		}
		if a.rec.has(sessions.SessionDestroyed, sessions.Undeploy) != 0 {
			t.Errorf("events %v", a.rec.events)
		}
		b.want(id, "n=1")
		if w.home(id) != "b" {
			t.Errorf("home %q", w.home(id))
		}
		w.until(time.Second, "the other to be alone", b.dm.Alone)
		_ = a.sm.Close(context.Background(), false)
		a.open()
		w.ready()
		w.until(time.Second, "the other node to be back", func() bool { return !b.dm.Alone() })
		b.kill() // a is level, so it has the copies
		a.want(id, "n=1")
	})
}

package webapp_test

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/serval-server/serval/descriptor"
	"github.com/serval-server/serval/sessions"
	"github.com/serval-server/serval/webapp"
)

// The scenarios of JBoss's and WildFly's own tests (../shared/reference/jboss.md §9)
// that are about an application's requests; docs/testing.md has the whole list.

// 1 to 6, 34: the count goes on wherever the next request comes to, and the cookie
// changes only with the home.
func TestFailoverCounts(t *testing.T) {
	for _, graceful := range []bool{true, false} {
		for _, trigger := range []descriptor.ReplicationTrigger{descriptor.TriggerSetAndNonPrimitiveGet, descriptor.TriggerSetAndGet, descriptor.TriggerAccess} {
			n := newNodes(t, &nodes{change: func(d *descriptor.WebApp) { d.Replication.Trigger = trigger }}, "n1", "n2", "n3")
			n1, n2, n3 := n.all[0], n.all[1], n.all[2]
			u := &visitor{t: t}
			u.counts(n1, true, 1, 2)
			u.counts(n2, false, 3, 4) // forwarded
			u.counts(n3, false, 5)
			if graceful {
				n1.drain(n2)
			} else {
				n1.kill()
			}
			u.counts(n2, true, 6, 7)
			u.counts(n3, false, 8, 9)
			n1 = n.start("n1")
			u.counts(n1, false, 10, 11)
			if graceful {
				n2.drain(n3)
			} else {
				n2.kill()
			}
			u.counts(n3, true, 12, 13)
			u.counts(n1, false, 14)
			if u.id().Route() != "n3" {
				t.Errorf("the cookie is %s", u.cookie)
			}
		}
	}
}

// 26: many first requests at once, after the home's death.
func TestConcurrentFailover(t *testing.T) {
	n := newNodes(t, &nodes{}, "n1", "n2")
	u := &visitor{t: t}
	u.counts(n.all[0], true, 1)
	n.all[0].kill()
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			v := &visitor{t: t, cookie: u.cookie}
			if got := v.do(n.all[1], http.MethodGet).Body; got == "1" {
				t.Error("a session without its attribute")
			}
		})
	}
	wg.Wait()
	if got := n.all[1].log.take(); got[:len("activated FAILOVER")] != "activated FAILOVER" {
		t.Errorf("events %q", got)
	}
}

// 35: a session that was made without an attribute, changed, emptied and ended by
// requests at other nodes than its home.
func TestNotAtHome(t *testing.T) {
	n := newNodes(t, &nodes{}, "n1", "n2", "n3")
	u := &visitor{t: t}
	u.do(n.all[0], http.MethodHead)
	u.do(n.all[1], http.MethodPost)
	u.counts(n.all[2], false, 101, 102)
	u.counts(n.all[1], false, 103)
	u.do(n.all[2], http.MethodPut)
	u.counts(n.all[1], false, 1)
	old := u.cookie
	u.do(n.all[1], http.MethodDelete)
	for _, x := range n.all {
		if v := (&visitor{t: t, cookie: old}); v.do(x, http.MethodGet).Body != "1" || v.cookie == old {
			t.Errorf("%s: the session has come back", x.name)
		}
	}
}

// 15, 16: a changed idle time goes along, and counts at the next home.
func TestIdleTimeGoesAlong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, &nodes{}, "n1", "n2")
		u := &visitor{t: t}
		u.counts(n.all[0], true, 1)
		u.do(n.all[0], http.MethodPatch)
		n.all[0].kill()
		time.Sleep(30 * time.Second)
		u.counts(n.all[1], true, 2)
		time.Sleep(time.Minute + 2*time.Second)
		synctest.Wait()
		if got := n.all[1].log.take(); got != "activated FAILOVER, passivating REPLICATION, activated REPLICATION, destroyed TIMEOUT, unbound, removed" &&
			got != "activated FAILOVER, passivating REPLICATION, destroyed TIMEOUT, unbound, removed" {
			t.Errorf("events %q", got)
		}
		if ids := n.all[1].homes(); len(ids) != 0 {
			t.Errorf("%v live on", ids)
		}
	})
}

// 29: listeners that fail and values that cannot be read do not keep a session.
func TestFailedExpiration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, &nodes{}, "n1")
		u := &visitor{t: t}
		u.counts(n.all[0], true, 1)
		m := n.all[0].ctx.Sessions()
		s, err := m.Find(t.Context(), u.id())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Commit(t.Context(), &sessions.Changes{Attributes: []sessions.Change{{Name: "thing", Value: []byte{0xff}}}}); err != nil {
			t.Fatal(err)
		}
		s.End()
		n.all[0].log.take()
		time.Sleep(31 * time.Minute)
		synctest.Wait()
		if st := m.Stats(); st.Active != 0 || st.Expired != 1 {
			t.Errorf("%+v", st)
		}
		if got := n.all[0].log.take(); got != "destroyed TIMEOUT, removed" {
			t.Errorf("events %q", got)
		}
	})
}

// 40: without <distributable/> each node has sessions of its own. What makes the
// difference is the Replicator, which only distributable applications are given
// (package deploy).
func TestNotDistributable(t *testing.T) {
	a := distributed(nil, nil)
	n1, _ := a.start(t)
	n2, _ := a.start(t)
	made := ask(n1, http.MethodGet, "/shop/s", "")
	again := ask(n1, http.MethodGet, "/shop/s", "SID="+made.Cookies[0].Value)
	other := ask(n2, http.MethodGet, "/shop/s", "SID="+made.Cookies[0].Value)
	if made.Body != "1" || again.Body != "2" || other.Body != "1" {
		t.Errorf("%s %s %s", made.Body, again.Body, other.Body)
	}
}

// The end of a session is told once, by the node where it is at home, whoever has
// used it before; if that has died, by the one that takes it over.
func TestTimeoutIsToldOnce(t *testing.T) {
	for _, killed := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			n := newNodes(t, &nodes{}, "n1", "n2")
			n1, n2 := n.all[0], n.all[1]
			u := &visitor{t: t}
			u.counts(n1, true, 1)
			n1.handOver(u.id().Real(), n2)
			u.counts(n2, true, 2)
			want := "activated STATE_TRANSFER, passivating REPLICATION, destroyed TIMEOUT, unbound, removed"
			if killed {
				n2.handOver(u.id().Real(), n1)
				u.counts(n1, true, 3)
				n2.log.take()
				n1.kill()
				time.Sleep(32 * time.Minute)
				n1.log.take()                                 // it is dead: nobody hears it
				n2.ctx.Sessions().Expire(t.Context(), u.id()) // the cluster's word
				want = "activated FAILOVER, destroyed TIMEOUT, unbound, removed"
			}
			time.Sleep(32 * time.Minute)
			synctest.Wait()
			if got := n2.log.take(); got != want {
				t.Errorf("home: %q, want %q", got, want)
			}
			if got := n1.log.take(); !killed && got != "created CREATE, bound, added, passivating REPLICATION, passivating FAILAWAY" {
				t.Errorf("the other node: %q", got)
			}
		})
	}
}

// A node that is stopped without handing over leaves its sessions to the others.
func TestStopOfOneNode(t *testing.T) {
	n := newNodes(t, &nodes{}, "n1", "n2")
	u := &visitor{t: t}
	u.counts(n.all[0], true, 1)
	if err := n.all[0].ctx.Stop(t.Context(), webapp.SaveSessions); err != nil {
		t.Error(err)
	}
	n.all[0].kill()
	u.counts(n.all[1], true, 2)
}

// 28: a session that is passivated moves, by consent and by death, and what the next
// home writes is what the one after it reads.
func TestPassivatedMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := policed(t, descriptor.PolicyIgnoreUndeployLegacy, nil, 2*time.Minute)
		n1, n2 := n.all[0], n.all[1]
		u := &visitor{t: t}
		passive := func(x *node) {
			t.Helper()
			idle(5 * time.Minute)
			if st := x.ctx.Sessions().Stats(); st.Passive != 1 || st.Active != 0 {
				t.Errorf("%s: %+v", x.name, st)
			}
		}
		u.counts(n1, true, 1)
		passive(n1)
		n1.handOver(u.id().Real(), n2)
		if st := n1.ctx.Sessions().Stats(); st.Passive != 0 || st.Moved != 1 {
			t.Errorf("%+v", st)
		}
		u.counts(n2, true, 2)
		passive(n2)
		u.counts(n2, false, 3)
		passive(n2)
		n2.kill()
		u.counts(n1, true, 4)
		passive(n1)
		u.counts(n1, false, 5)
	})
}

// 11 to 14, 39: the limit is of the sessions in this node's memory: copies of other
// nodes' sessions do not count, as they do in JBoss, and a session that comes from
// another node is never refused.
func TestLimitWithReplicas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, &nodes{opts: sessions.Options{MaxActive: 2}}, "n1", "n2")
		a, b, c := &visitor{t: t}, &visitor{t: t}, &visitor{t: t}
		a.counts(n.all[0], true, 1)
		b.counts(n.all[0], true, 1)
		c.counts(n.all[1], true, 1)
		n.all[0].kill()
		a.counts(n.all[1], true, 2)
		b.counts(n.all[1], true, 2)
		r := httptest.NewRequest(http.MethodGet, "/app/count", nil)
		if res := do(n.all[1].ctx, r); res.StatusCode < 500 {
			t.Errorf("a session more than the limit: %d", res.StatusCode)
		}
		if st := n.all[1].ctx.Sessions().Stats(); st.Active != 3 || st.Rejected != 1 || st.Created != 1 {
			t.Errorf("%+v", st)
		}
	})
}

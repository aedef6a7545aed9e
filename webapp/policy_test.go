package webapp_test

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/serval-server/serval/descriptor"
	"github.com/serval-server/serval/sessions"
	"github.com/serval-server/serval/sessions/filestore"
	"github.com/serval-server/serval/webapp"
	"github.com/serval-server/serval/webapp/servlet"
)

// everything is a policy of the application's own that allows all (yes) or nothing.
type everything bool

func (p everything) AllowSessionListener(servlet.Status, servlet.Cause, bool) bool { return bool(p) }
func (p everything) AllowAttributeListener(servlet.Status, servlet.Cause, string, bool) bool {
	return bool(p)
}
func (p everything) AllowBindingListener(servlet.Status, servlet.Cause, string, bool) bool {
	return bool(p)
}
func (p everything) AllowActivationListener(servlet.Status, servlet.Cause, string, bool) bool {
	return bool(p)
}

// policies are those of the truth table's columns, and two of the application's own.
var policies = []struct {
	name string
	own  servlet.NotificationPolicy
}{
	{descriptor.PolicyLegacy, nil},
	{descriptor.PolicyIgnoreUndeployLegacy, nil},
	{"own", everything(true)},
	{"own", everything(false)},
}

// row is one line of the truth table: what happens, and what the acting node's
// listeners hear. What another node hears must be nothing.
type row struct {
	name string
	do   func(n *nodes, u *visitor)
	// heard with Legacy, and with the others where they differ.
	heard, ignoreUndeploy, allowAll string
}

// TestTruthTable is jboss.md §3.3 with all that the container asks and fires, for
// the node where it happens; the columns of other nodes have nothing in them here,
// also at a TIMEOUT (REPLICATION §1). The script is that of JBoss's
// ClusteredSessionNotificationPolicyTestCase (§9, 22 and 22a).
func TestTruthTable(t *testing.T) {
	get := func(n *nodes, u *visitor, method string) { u.do(n.all[0], method) }
	script := []row{
		{name: "create", do: func(n *nodes, u *visitor) { get(n, u, http.MethodHead) }, heard: "created CREATE"},
		{name: "set", do: func(n *nodes, u *visitor) { get(n, u, http.MethodPost) }, heard: "bound, added, passivating REPLICATION"},
		{name: "look", do: func(n *nodes, u *visitor) { get(n, u, http.MethodHead) }, heard: "activated REPLICATION"},
		{name: "look again", do: func(n *nodes, u *visitor) { get(n, u, http.MethodHead) }, heard: ""},
		{name: "replace", do: func(n *nodes, u *visitor) { get(n, u, http.MethodPost) }, heard: "bound, unbound, replaced, passivating REPLICATION"},
		{name: "passivate", do: func(n *nodes, u *visitor) { idle(5 * time.Minute) }, heard: "passivating PASSIVATION"},
		{name: "remove", do: func(n *nodes, u *visitor) { get(n, u, http.MethodPut) }, heard: "activated ACTIVATION, activated REPLICATION, unbound, removed"},
		{name: "remove nothing", do: func(n *nodes, u *visitor) { get(n, u, http.MethodPut) }, heard: ""},
		{name: "change in place", do: func(n *nodes, u *visitor) { get(n, u, http.MethodPost); n.all[0].log.take(); get(n, u, http.MethodGet) },
			heard: "activated REPLICATION, passivating REPLICATION"},
		{name: "expire passivated", do: func(n *nodes, u *visitor) { idle(5 * time.Minute); n.all[0].log.take(); idle(30 * time.Minute) },
			heard: "activated ACTIVATION, destroyed TIMEOUT, unbound, removed"},
		{name: "create and set", do: func(n *nodes, u *visitor) { get(n, u, http.MethodPost) }, heard: "created CREATE, bound, added, passivating REPLICATION"},
		{name: "invalidate", do: func(n *nodes, u *visitor) { get(n, u, http.MethodDelete) }, heard: "activated REPLICATION, destroyed INVALIDATE, unbound, removed"},
	}
	for _, p := range policies {
		synctest.Test(t, func(t *testing.T) {
			n := policed(t, p.name, p.own, 2*time.Minute)
			u := &visitor{t: t}
			for _, r := range script {
				r.do(n, u)
				check(t, p.name, p.own, r, n.all[0].log.take())
				if got := n.all[1].log.take(); got != "" {
					t.Errorf("%s, %s: the other node hears %q", p.name, r.name, got)
				}
			}
		})
	}
}

// TestTruthTableOfMoves is the rest of the table: failover, timeout, undeployment.
func TestTruthTableOfMoves(t *testing.T) {
	stop := func(n *nodes, _ *visitor) {
		if err := n.all[0].ctx.Stop(n.t.Context(), webapp.SaveSessions); err != nil {
			n.t.Error(err)
		}
	}
	for _, p := range policies {
		for _, r := range []row{
			{name: "timeout", do: func(_ *nodes, _ *visitor) { idle(31 * time.Minute) }, heard: "destroyed TIMEOUT, unbound, removed"},
			{name: "undeploy", do: stop, heard: "destroyed UNDEPLOY, unbound, removed", ignoreUndeploy: "unbound"},
			{name: "handed over", do: func(n *nodes, u *visitor) { n.all[0].handOver(u.id().Real(), n.all[1]) }, heard: "passivating FAILAWAY"},
		} {
			synctest.Test(t, func(t *testing.T) {
				n := policed(t, p.name, p.own, 0)
				u := &visitor{t: t}
				u.counts(n.all[0], true, 1)
				n.all[0].log.take()
				r.do(n, u)
				check(t, p.name, p.own, r, n.all[0].log.take())
				if got := n.all[1].log.take(); got != "" {
					t.Errorf("%s, %s: the other node hears %q", p.name, r.name, got)
				}
			})
		}
		synctest.Test(t, func(t *testing.T) {
			n := policed(t, p.name, p.own, time.Hour)
			(&visitor{t: t}).counts(n.all[0], true, 1)
			n.all[0].log.take()
			stop(n, nil)
			check(t, p.name, p.own, row{name: "undeploy with passivation", heard: "passivating UNDEPLOY"}, n.all[0].log.take())
		})
		n := policed(t, p.name, p.own, 0)
		u := &visitor{t: t}
		u.counts(n.all[0], true, 1)
		n.all[0].kill()
		u.do(n.all[1], http.MethodHead)
		check(t, p.name, p.own, row{name: "failover", heard: "activated FAILOVER", allowAll: "created FAILOVER, activated FAILOVER"}, n.all[1].log.take())
	}
}

func idle(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// policed are two nodes with a policy, and with passivation of what is idle for
// longer than maxIdle, if that is not 0.
func policed(t *testing.T, policy string, own servlet.NotificationPolicy, maxIdle time.Duration) *nodes {
	t.Helper()
	n := &nodes{policy: own, change: func(d *descriptor.WebApp) { d.Replication.NotificationPolicy = policy }}
	if maxIdle > 0 {
		dir := t.TempDir()
		n.opts.MaxIdle = maxIdle
		n.opts.OpenStore = func() (sessions.Store, error) {
			own, err := os.MkdirTemp(dir, "") // a node each
			if err != nil {
				return nil, err
			}
			return filestore.Open(filepath.Join(own, "s"))
		}
	}
	return newNodes(t, n, "n1", "n2")
}

func check(t *testing.T, policy string, own servlet.NotificationPolicy, r row, got string) {
	t.Helper()
	want := r.heard
	switch {
	case own == everything(false):
		want = ""
	case own == everything(true) && r.allowAll != "":
		want = r.allowAll
	case policy == descriptor.PolicyIgnoreUndeployLegacy && r.ignoreUndeploy != "":
		want = r.ignoreUndeploy
	}
	if got != want {
		t.Errorf("%s %v, %s: %q, want %q", policy, own, r.name, got, want)
	}
}

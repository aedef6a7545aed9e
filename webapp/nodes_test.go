package webapp_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/serval-server/serval/descriptor"
	"github.com/serval-server/serval/sessions"
	"github.com/serval-server/serval/webapp"
	"github.com/serval-server/serval/webapp/servlet"
)

// nodes is a cluster in one process, as far as a webapp.Context sees of it: what
// one node commits all others have, requests are forwarded to a living home, and
// who finds a session without one becomes its home. How a real cluster does it is
// tested in package cluster.
type nodes struct {
	t      *testing.T
	change func(*descriptor.WebApp)
	opts   sessions.Options
	policy servlet.NotificationPolicy // the application's own

	mu     sync.Mutex
	copies map[sessions.ID]*copied // guarded by mu
	all    []*node
}

// copied is what all nodes have of a session.
type copied struct {
	home   *node
	handed bool // home has not looked at it since it was handed over
	snap   sessions.Snapshot
}

type node struct {
	n    *nodes
	name string
	ctx  *webapp.Context
	log  *eventLog
	down bool // guarded by n.mu
}

// eventLog is what the listeners of a node have heard.
type eventLog struct {
	mu    sync.Mutex
	lines []string
}

func (l *eventLog) add(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, fmt.Sprintf(format, args...))
}

func (l *eventLog) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := strings.Join(l.lines, ", ")
	l.lines = nil
	return s
}

// thing is a session attribute that listens to all there is.
type thing struct{ N int }

func logOf(e servlet.BindingEvent) *eventLog { return e.Context.Attribute("log").(*eventLog) }

func (t *thing) ValueBound(e servlet.BindingEvent)           { logOf(e).add("bound") }
func (t *thing) ValueUnbound(e servlet.BindingEvent)         { logOf(e).add("unbound") }
func (t *thing) SessionWillPassivate(e servlet.BindingEvent) { logOf(e).add("passivating %v", e.Cause) }
func (t *thing) SessionDidActivate(e servlet.BindingEvent)   { logOf(e).add("activated %v", e.Cause) }

// listener hears of sessions and attributes.
type listener struct{ log *eventLog }

func (l listener) SessionCreated(e servlet.SessionEvent)   { l.log.add("created %v", e.Cause) }
func (l listener) SessionDestroyed(e servlet.SessionEvent) { l.log.add("destroyed %v", e.Cause) }
func (l listener) SessionAttributeAdded(servlet.SessionAttributeEvent) {
	l.log.add("added")
}
func (l listener) SessionAttributeRemoved(servlet.SessionAttributeEvent) {
	l.log.add("removed")
}
func (l listener) SessionAttributeReplaced(servlet.SessionAttributeEvent) {
	l.log.add("replaced")
}

// newNodes starts nodes with one application, that of counter, at /app.
func newNodes(t *testing.T, n *nodes, names ...string) *nodes {
	t.Helper()
	n.t, n.copies = t, map[sessions.ID]*copied{}
	for _, name := range names {
		n.start(name)
	}
	t.Cleanup(func() {
		for _, x := range n.all {
			if err := x.ctx.Stop(context.Background(), webapp.DropSessions); err != nil {
				t.Error(err)
			}
		}
	})
	return n
}

// start starts a node, or one of that name again.
func (n *nodes) start(name string) *node {
	n.t.Helper()
	x := &node{n: n, name: name, log: &eventLog{}}
	a := app{
		code: servlet.App{
			Servlets:   map[string]http.Handler{"count": handler(counter)},
			Listeners:  map[string]any{"l": listener{x.log}},
			Policies:   map[string]servlet.NotificationPolicy{"own": n.policy},
			Attributes: map[string]any{"thing": &thing{}},
		},
		xml:    "<distributable/><listener><listener-class>l</listener-class></listener>" + declare("count", "/count"),
		change: n.change,
	}
	a.opts.Path = "/app"
	a.opts.Sessions = n.opts
	a.opts.Sessions.Route = name
	a.opts.Sessions.Replicator = x
	a.opts.Forwarder = x
	x.ctx, _ = a.build(n.t)
	x.ctx.App().SetAttribute("log", x.log)
	if err := x.ctx.Start(n.t.Context()); err != nil {
		n.t.Fatal(err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all = append(n.all, x)
	return x
}

// counter counts in place, as JBoss's test servlet does: GET gets and counts, POST
// sets, PUT removes, DELETE invalidates, HEAD only asks for the session. It answers
// with the count, and whether the session is new.
func counter(w http.ResponseWriter, r *http.Request) {
	s := servlet.SessionOf(r)
	var err error
	switch r.Method {
	case http.MethodGet:
		t, e := servlet.Get[*thing](s, "thing")
		if e != nil {
			t = &thing{}
			err = servlet.Set(s, "thing", t)
		}
		t.N++
		_, _ = fmt.Fprint(w, t.N)
	case http.MethodPost:
		err = servlet.Set(s, "thing", &thing{N: 100})
	case http.MethodPut:
		err = servlet.Remove(s, "thing")
	case http.MethodPatch:
		err = s.SetMaxInactive(time.Minute)
	case http.MethodDelete:
		err = s.Invalidate()
	}
	if err != nil {
		servlet.Fail(w, r, err)
	}
}

// Find implements sessions.Replicator.
func (x *node) Find(_ context.Context, _ sessions.AppKey, id sessions.ID) (*sessions.Snapshot, error) {
	x.n.mu.Lock()
	defer x.n.mu.Unlock()
	c := x.n.copies[id]
	switch {
	case c == nil:
		return nil, nil
	case c.home != x && !c.home.down:
		return nil, sessions.ErrMoved
	}
	snap := c.snap
	snap.Attributes, snap.Cause = slices.Clone(snap.Attributes), sessions.Failover
	if c.handed {
		snap.Cause = sessions.StateTransfer
	}
	c.home, c.handed = x, false
	return &snap, nil
}

// Commit implements sessions.Replicator.
func (x *node) Commit(d *sessions.Delta) sessions.Receipt {
	x.n.mu.Lock()
	defer x.n.mu.Unlock()
	if x.down { // nobody hears it
		return receipt{sessions.ErrMoved}
	}
	if d.Created {
		x.n.copies[d.ID] = &copied{home: x, snap: sessions.Snapshot{ID: d.ID, Created: d.CreatedAt}}
	} else if c := x.n.copies[d.Previous]; c != nil {
		delete(x.n.copies, d.Previous)
		x.n.copies[d.ID], c.snap.ID = c, d.ID
	}
	c := x.n.copies[d.ID]
	if c == nil || c.home != x {
		return receipt{sessions.ErrMoved}
	}
	if d.Dead {
		delete(x.n.copies, d.ID)
		return nil
	}
	c.snap.Head, c.snap.Accessed, c.snap.MaxInactive = d.Dot, d.Accessed, d.MaxInactive
	c.snap.Attributes = slices.DeleteFunc(slices.Clone(c.snap.Attributes), func(a sessions.Attribute) bool {
		return slices.Contains(d.Removed, a.Name) || slices.ContainsFunc(d.Set, func(s sessions.Attribute) bool { return s.Name == a.Name })
	})
	c.snap.Attributes = append(c.snap.Attributes, d.Set...)
	slices.SortFunc(c.snap.Attributes, func(a, b sessions.Attribute) int { return strings.Compare(a.Name, b.Name) })
	return nil
}

// Route implements webapp.Forwarder.
func (x *node) Route(_ context.Context, id sessions.ID) (webapp.Route, error) {
	x.n.mu.Lock()
	defer x.n.mu.Unlock()
	c := x.n.copies[id.Real()]
	switch {
	case c == nil:
		return webapp.Route{Action: webapp.RouteUnknown}, nil
	case c.home != x && !c.home.down:
		return webapp.Route{Action: webapp.RouteForward, Node: uint32(slices.Index(x.n.all, c.home)), Name: c.home.name}, nil
	}
	return webapp.Route{}, nil
}

// Forward implements webapp.Forwarder.
func (x *node) Forward(w http.ResponseWriter, r *http.Request, to webapp.Route) error {
	x.n.all[to.Node].ctx.ServeHTTP(w, r)
	return nil
}

// kill ends a node without a word; its listeners are heard no more.
func (x *node) kill() {
	x.n.mu.Lock()
	defer x.n.mu.Unlock()
	x.down = true
}

// homes are the sessions that are at home on a node.
func (x *node) homes() (ids []sessions.ID) {
	x.n.mu.Lock()
	defer x.n.mu.Unlock()
	for id, c := range x.n.copies {
		if c.home == x {
			ids = append(ids, id)
		}
	}
	return ids
}

// handOver gives a session away by consent.
func (x *node) handOver(id sessions.ID, to *node) {
	x.n.t.Helper()
	if !x.ctx.Sessions().Yield(x.n.t.Context(), id) {
		x.n.t.Errorf("session is in use on %s", x.name)
	}
	x.n.mu.Lock()
	defer x.n.mu.Unlock()
	x.n.copies[id].home, x.n.copies[id].handed = to, true
}

// drain hands all sessions over, then stops the node.
func (x *node) drain(to *node) {
	x.n.t.Helper()
	for _, id := range x.homes() {
		x.handOver(id, to)
	}
	if err := x.ctx.Stop(x.n.t.Context(), webapp.SaveSessions); err != nil {
		x.n.t.Error(err)
	}
	x.kill()
}

// visitor is a client with a cookie.
type visitor struct {
	t      *testing.T
	cookie string
	set    int // how often it was given one
}

func (u *visitor) do(x *node, method string) answer {
	u.t.Helper()
	r := httptest.NewRequest(method, "/app/count", nil)
	if u.cookie != "" {
		r.Header.Set("Cookie", "JSESSIONID="+u.cookie)
	}
	res := do(x.ctx, r)
	if res.StatusCode != http.StatusOK {
		u.t.Errorf("%s at %s: %d", method, x.name, res.StatusCode)
	}
	for _, c := range res.Cookies {
		u.cookie = c.Value
		u.set++
	}
	return res
}

// counts checks what GETs at a node answer, and whether one of them has given a
// new cookie.
func (u *visitor) counts(x *node, cookie bool, want ...int) {
	u.t.Helper()
	before := u.set
	for _, n := range want {
		if got := u.do(x, http.MethodGet).Body; got != fmt.Sprint(n) {
			u.t.Errorf("%s: %s, want %d", x.name, got, n)
		}
	}
	if got := u.set - before; got > 1 || (got == 1) != cookie {
		u.t.Errorf("%s: %d cookies", x.name, got)
	}
}

func (u *visitor) id() sessions.ID { return sessions.ID(u.cookie) }

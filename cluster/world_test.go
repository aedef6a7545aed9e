package cluster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/serval-server/serval/cluster/replica"
	"github.com/serval-server/serval/descriptor"
	"github.com/serval-server/serval/sessions"
)

const shop = sessions.AppKey("localhost/shop")

// world is a cluster in one process, and a client that is balanced over it.
type world struct {
	t     *testing.T
	net   *memory
	cache Cache
	app   AppConfig
	dir   map[string]string // data directories, by name
	// connect is the network of a node and its address; nil: the one in memory.
	connect func(name string) (Connect, string)

	mu    sync.Mutex           // for those who start nodes while others run requests
	nodes map[string]*testNode // by name
}

// all are the nodes, by name.
func (w *world) all() []*testNode {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := slices.Collect(maps.Values(w.nodes))
	slices.SortFunc(out, func(a, b *testNode) int { return strings.Compare(a.name, b.name) })
	return out
}

func (w *world) node(name string) *testNode {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.nodes[name]
}

// testNode is a node with one application.
type testNode struct {
	*Node
	w    *world
	name string
	dm   *DeltaManager
	sm   *sessions.Manager
	end  *memoryEnd
	rec  *recorder
	dead atomic.Bool
}

// recorder writes session events down.
type recorder struct {
	mu     sync.Mutex
	events []string
}

func (r *recorder) Events() sessions.EventSet { return sessions.AllEvents }
func (r *recorder) Notify(_ context.Context, e sessions.Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, fmt.Sprint(e.Kind, " ", e.Cause))
	return nil
}

func (r *recorder) has(kind sessions.EventKind, cause sessions.Cause) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		if e == fmt.Sprint(kind, " ", cause) {
			n++
		}
	}
	return n
}

// cluster runs a test in virtual time with nodes of these names.
func cluster(t *testing.T, cache Cache, app AppConfig, names string, f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		if cache.Name == "" {
			cache.Name = DefaultCache
		}
		app.Key = shop
		w := &world{t: t, net: newMemory(), cache: cache, app: app, nodes: map[string]*testNode{}, dir: map[string]string{}}
		defer func() {
			for _, n := range w.all() {
				n.kill()
			}
			w.net.wg.Wait()
		}()
		for _, name := range strings.Fields(names) {
			w.start(name)
		}
		w.ready()
		f(w)
	})
}

// start starts a node, or one of the same name again.
func (w *world) start(name string) *testNode {
	w.t.Helper()
	if w.dir[name] == "" {
		w.dir[name] = w.t.TempDir()
	}
	zone, _, _ := strings.Cut(name, "-")
	n := &testNode{w: w, name: name, rec: &recorder{}}
	connect, address := Connect(w.net.connect), name+":1"
	if w.connect != nil {
		connect, address = w.connect(name)
	}
	cfg := Config{Name: name, Zone: zone, Address: address, Caches: []Cache{w.cache}, DataDir: w.dir[name], Connect: connect}
	var err error
	if n.Node, err = Start(w.t.Context(), cfg, testLog(w.t)); err != nil {
		w.t.Fatal(err)
	}
	n.end, _ = n.network().(*memoryEnd)
	n.open()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.nodes[name] = n
	return n
}

func (n *testNode) open() {
	w := n.w
	var err error
	if n.dm, err = n.Open(w.app); err != nil {
		w.t.Fatal(err)
	}
	n.sm, err = sessions.New(sessions.Options{
		App: shop, Version: w.app.Version, Timeout: w.app.Timeout, Route: n.name, Replicator: n.dm, Node: n.ID(), Listener: n.rec, Logger: testLog(w.t),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	n.sm.Start()
	n.dm.Attach(n.sm)
}

// ready waits until all nodes are.
func (w *world) ready() {
	w.t.Helper()
	w.until(30*time.Second, "all nodes to be ready", func() bool {
		for _, n := range w.all() {
			if !n.dead.Load() && !n.Ready() {
				return false
			}
		}
		return true
	})
}

// until waits in virtual time.
func (w *world) until(limit time.Duration, what string, ok func() bool) {
	w.t.Helper()
	for end := time.Now().Add(limit); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatalf("waited %v for %s", limit, what)
		}
	}
}

// kill ends a node as SIGKILL does: the others hear nothing of it.
func (n *testNode) kill() {
	if n.dead.Swap(true) {
		return
	}
	if n.end != nil {
		n.w.net.kill(n.end)
	}
	n.close()
}

// close ends the goroutines.
func (n *testNode) close() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = n.sm.Close(ctx, false)
	_ = n.Node.Close(context.Background())
}

// errGone is what a client gets whose session does not exist.
var errGone = errors.New("no session")

// request runs a request at a node as the server does: forwarded if need be.
func (n *testNode) request(id sessions.ID, f func(s *sessions.Session) error) (sessions.ID, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return n.serve(ctx, id, 0, f)
}

func (n *testNode) serve(ctx context.Context, id sessions.ID, hops int, f func(s *sessions.Session) error) (sessions.ID, error) {
	if id == "" {
		s, err := n.sm.Create(ctx)
		if err != nil {
			return "", err
		}
		return n.run(ctx, s, f)
	}
	for try := 0; ; try++ {
		r, err := n.dm.Route(ctx, id, hops)
		if err != nil {
			return "", err
		}
		switch r.Action {
		case RouteUnknown:
			return "", errGone
		case RouteRefuse:
			return "", sessions.ErrUnavailable
		case RouteForward:
			for _, o := range n.w.all() {
				if o.ID() == r.Node && !o.dead.Load() {
					return o.serve(ctx, id, hops+1, f)
				}
			}
			if try > 100 {
				return "", errors.New("forwarded to a node that is gone")
			}
			time.Sleep(10 * time.Millisecond) // the connection is refused: ask again
			continue
		}
		s, err := n.sm.Find(ctx, id)
		switch {
		case errors.Is(err, sessions.ErrMoved) && try < 3:
			continue
		case errors.Is(err, sessions.ErrNotFound):
			return "", errGone
		case err != nil:
			return "", err
		}
		return n.run(ctx, s, f)
	}
}

func (n *testNode) run(ctx context.Context, s *sessions.Session, f func(s *sessions.Session) error) (sessions.ID, error) {
	defer s.End()
	if err := f(s); err != nil {
		return "", err
	}
	if !s.Valid() {
		return s.ID(), nil
	}
	return s.ID(), s.Announce(ctx)
}

// encode is a value's deterministic CBOR.
func encode(t *testing.T, v any) []byte {
	t.Helper()
	m, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		t.Fatal(err)
	}
	b, err := m.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// set is a request that sets attributes, as name=value.
func (n *testNode) set(id sessions.ID, pairs ...string) sessions.ID {
	n.w.t.Helper()
	got, err := n.trySet(id, pairs...)
	if err != nil {
		n.w.t.Fatalf("at %s: setting %v: %v", n.name, pairs, err)
	}
	return got
}

func (n *testNode) trySet(id sessions.ID, pairs ...string) (sessions.ID, error) {
	return n.request(id, func(s *sessions.Session) error {
		c := &sessions.Changes{}
		for _, p := range pairs {
			name, value, ok := strings.Cut(p, "=")
			c.Attributes = append(c.Attributes, sessions.Change{Name: name, Value: []byte(value), Remove: !ok})
		}
		_, err := s.Commit(context.Background(), c)
		return err
	})
}

// get is a request that reads all attributes.
func (n *testNode) get(id sessions.ID) (string, error) {
	var out []string
	_, err := n.request(id, func(s *sessions.Session) error {
		names, err := s.Names()
		for _, name := range names {
			a, _, _ := s.Attribute(name)
			out = append(out, name+"="+string(a.Value))
		}
		return err
	})
	return strings.Join(out, " "), err
}

// want checks what a request at the node sees; "-" is no session.
func (n *testNode) want(id sessions.ID, want string) {
	n.w.t.Helper()
	got, err := n.get(id)
	if errors.Is(err, errGone) {
		got, err = "-", nil
	}
	if err != nil || got != want {
		n.w.t.Fatalf("at %s: %q %v, want %q", n.name, got, err, want)
	}
}

// home is the name of the node that is the session's home, as most see it.
func (w *world) home(id sessions.ID) string {
	sid, _ := realID(id)
	for _, n := range w.all() {
		if n.dead.Load() {
			continue
		}
		sh := n.dm.app.shard(sid)
		sh.mu.Lock()
		mine := sh.homeLocked(sid)
		sh.mu.Unlock()
		if mine {
			return n.name
		}
	}
	return ""
}

// copies are how many living nodes have a copy of the session.
func (w *world) copies(id sessions.ID) (n int) {
	sid, _ := realID(id)
	for _, o := range w.all() {
		if o.dead.Load() || o.dm == nil {
			continue
		}
		sh := o.dm.app.shard(sid)
		sh.mu.Lock()
		if st := sh.node.State(sid); st != nil && st.Life.Kind == replica.Live {
			n++
		}
		sh.mu.Unlock()
	}
	return n
}

// level waits until all living nodes know the same sessions.
func (w *world) level() {
	w.t.Helper()
	w.until(60*time.Second, "all nodes to know the same", func() bool {
		var first []string
		for _, n := range w.all() {
			if n.dead.Load() {
				continue
			}
			d := n.Status().Apps[0].Digests
			if first == nil {
				first = d
			}
			for i := range d {
				if d[i] != first[i] {
					return false
				}
			}
		}
		return true
	})
}

func replication(change func(r *descriptor.Replication)) *descriptor.Replication {
	r := &descriptor.Replication{}
	change(r)
	return r
}

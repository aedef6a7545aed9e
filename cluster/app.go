package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/serval-server/serval/cluster/replica"
	"github.com/serval-server/serval/cluster/wire"
	"github.com/serval-server/serval/sessions"
)

// app is an application on this node: all versions of it that are open here share
// what the cluster knows of its sessions.
type app struct {
	n        *Node
	key      sessions.AppKey
	number   uint32
	log      *slog.Logger
	shards   [shardCount]*shard
	jobs     *jobs
	counters counters
	on       atomic.Bool          // replication is switched on
	run      atomic.Uint32        // see run.go; 0: the first one of this process
	ways     atomic.Pointer[ways] // to the other nodes' runs
	level    atomic.Bool          // as it was announced last
	opened   time.Time

	mu       sync.Mutex
	managers []*DeltaManager // guarded by mu; the newest last

	// What the shards have been told; guarded by the node's applyMu.
	viewed  bool
	members []replica.Member
	lagging map[replica.NodeID]bool
	links   map[replica.NodeID]uint64

	// Closed when the shards know who is there; startOver puts another in its place.
	first atomic.Pointer[chan struct{}]

	// Other members that can take over sessions; replaced, never changed.
	others atomic.Pointer[[]taker]
}

func newApp(n *Node, key sessions.AppKey, on bool) *app {
	a := &app{
		n: n, key: key, number: wire.AppNumber(string(key)), log: n.log.With("app", string(key)), opened: time.Now(), jobs: newJobs(),
		lagging: map[replica.NodeID]bool{}, links: map[replica.NodeID]uint64{},
	}
	first := make(chan struct{})
	a.first.Store(&first)
	a.on.Store(on)
	a.others.Store(&[]taker{})
	for i := range a.shards {
		a.shards[i] = newShard(a, i)
	}
	return a
}

// reset gives all shards a protocol that knows nothing.
func (a *app) reset(cfg replica.Config) {
	now := a.n.now()
	for _, sh := range a.shards {
		sh.mu.Lock()
		sh.beginLocked(a.fresh(cfg, now), now)
		sh.mu.Unlock()
	}
}

// configure tells the shards what the settings ask for.
func (a *app) configure(cfg replica.Config) {
	for _, sh := range a.shards {
		now := sh.lock()
		sh.node.SetConfig(now, cfg)
		sh.unlock()
	}
}

// newest is the manager whose settings hold for all; nil if there is none.
func (a *app) newest() *DeltaManager {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.managers) == 0 {
		return nil
	}
	return a.managers[len(a.managers)-1]
}

func (a *app) open() []*DeltaManager {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.managers)
}

// attached are the sessions of all versions.
func (a *app) attached() []SessionManager {
	var out []SessionManager
	for _, d := range a.open() {
		if m := d.attached(); m != nil {
			out = append(out, m)
		}
	}
	return out
}

// owner is the manager of the version that a session belongs to; the newest one if
// that is not open here.
func (a *app) owner(sh *shard, id replica.SessionID) *DeltaManager {
	version := sh.version(id)
	all := a.open()
	for _, d := range all {
		if d.cfg.Load().Version == version {
			return d
		}
	}
	if len(all) == 0 {
		return nil
	}
	return all[len(all)-1]
}

// taker is another node that can take over sessions of the application.
type taker struct {
	replica.Member
	versions []string // that it runs
}

// targets are the other nodes that can take over sessions of the application.
func (a *app) targets() []taker { return *a.others.Load() }

func (a *app) ackError() error {
	e := &AckError{App: a.key}
	if d := a.newest(); d != nil {
		set := d.current()
		e.Ack, e.Wait = set.Ack, set.AckTimeout
	}
	return e
}

// introduced waits until the shards know who is there: until then they would take
// a session that they do not know for one that does not exist.
func (a *app) introduced(ctx context.Context) error {
	first := *a.first.Load()
	select {
	case <-first:
		return nil
	default:
	}
	select {
	case <-first:
		return nil
	case <-a.jobs.ctx.Done():
		return ErrClosed
	case <-ctx.Done():
		return fmt.Errorf("waiting for the other nodes: %w", ctx.Err())
	}
}

// known is how many sessions the node knows, at home here or not.
func (a *app) known() (n int) {
	for _, sh := range a.shards {
		sh.mu.Lock()
		all, _ := sh.node.Len()
		sh.mu.Unlock()
		n += all
	}
	return n
}

// isLevel reports whether the node has all that it should have.
func (a *app) isLevel() bool {
	for _, sh := range a.shards {
		sh.mu.Lock()
		level := sh.node.Level()
		sh.mu.Unlock()
		if !level {
			return false
		}
	}
	return true
}

// standing is how the other nodes are, as far as an application must know.
type standing struct {
	members []replica.Member // that run it, this one among them
	takers  []taker          // of the others, those that can take over sessions
	lagging map[replica.NodeID]bool
	links   map[replica.NodeID]uint64 // how often what was under way to a node was lost
}

// apply tells the shards what has changed. The caller holds the node's applyMu.
func (a *app) apply(s standing, changed bool) {
	a.others.Store(&s.takers)
	if changed || !a.viewed {
		a.each(func(sh *shard, now time.Duration) { sh.node.View(now, s.members) })
		a.n.viewed.Store(true)
	}
	if !a.viewed {
		a.viewed = true
		close(*a.first.Load())
	}
	for _, m := range s.members {
		if was, is := a.lagging[m.ID], s.lagging[m.ID]; was != is {
			a.each(func(sh *shard, now time.Duration) { sh.node.Lagging(now, m.ID, is) })
		}
		if was, is := a.links[m.ID], s.links[m.ID]; was != is {
			a.each(func(sh *shard, now time.Duration) { sh.node.Reset(now, m.ID) })
		}
	}
	a.lagging, a.links = s.lagging, s.links
}

func (a *app) each(f func(sh *shard, now time.Duration)) {
	for _, sh := range a.shards {
		now := sh.lock()
		f(sh, now)
		sh.unlock()
	}
}

// solo makes the sessions that are at home here all that the node knows, and ended
// ones: copies that nobody keeps up to date must neither be served nor expire. The
// homes get a new epoch, so that they prevail when the others are back. The caller
// holds the node's applyMu.
func (a *app) solo(cfg replica.Config) {
	was := a.self()
	a.startRun()
	for _, sh := range a.shards {
		now := sh.lock()
		next := a.fresh(cfg, now)
		next.View(now, []replica.Member{a.member()})
		for _, f := range sh.node.Fingerprints() {
			st, age := sh.node.State(f.ID), sh.node.Age(now, f.ID)
			reign := sh.node.Reign(f.ID)
			switch {
			case st == nil:
			case st.Life.Kind != replica.Live:
				next.Receive(now, reign.Home, replica.Copy{Reign: reign, State: st.Clone(), Idle: age})
			case reign.Home == was:
				reign = replica.Reign{Epoch: reign.Epoch + 1, Home: a.self()}
				next.Receive(now, reign.Home, replica.Grant{Reign: reign, State: st.Clone(), Idle: age})
			}
		}
		next.Take()                    // nobody is to hear of it
		for id, w := range sh.writes { // nobody else is to have them
			delete(sh.writes, id)
			if w.left--; w.left == 0 && w.done != nil {
				close(w.done)
			}
		}
		sh.abandonLocked()
		sh.beginLocked(next, now)
		sh.unlock()
	}
}

// Open makes the node one that runs the application. The error is an
// *UnknownCacheError, or says which setting is wrong.
func (n *Node) Open(cfg AppConfig) (*DeltaManager, error) {
	d := &DeltaManager{}
	d.cfg.Store(&cfg)
	n.mu.Lock()
	a, err := n.enterLocked(d)
	n.mu.Unlock()
	if err != nil {
		return nil, fmt.Errorf("application %s: %w", cfg.Key, err)
	}
	a.log.Info("sessions are replicated", "version", cfg.Version, "settings", d.current().String())
	ctx, stop := context.WithCancel(context.Background())
	d.stop = stop
	d.tasks.Go(func() { d.snapshots(ctx) })
	n.announce() // before the shards speak
	n.apply()
	return d, nil
}

// Reconfigure changes what the application declares, for another generation of the
// same version; the key and the version stay. The error is as Open's, and nothing
// has changed then.
func (d *DeltaManager) Reconfigure(cfg AppConfig) error {
	n, was := d.app.n, d.cfg.Load()
	cfg.Key, cfg.Version = was.Key, was.Version
	n.mu.Lock()
	d.cfg.Store(&cfg)
	err := n.settleLocked(d)
	if err != nil {
		d.cfg.Store(was)
	}
	n.mu.Unlock()
	if err != nil {
		return fmt.Errorf("application %s: %w", cfg.Key, err)
	}
	if d.app.newest() == d {
		n.applyMu.Lock()
		d.app.configure(d.protocol())
		n.applyMu.Unlock()
	}
	n.announce()
	return nil
}

// enterLocked adds a manager to its application. The caller holds n.mu.
func (n *Node) enterLocked(d *DeltaManager) (*app, error) {
	if n.closed {
		return nil, ErrClosed
	}
	if err := n.settleLocked(d); err != nil {
		return nil, err
	}
	key := d.cfg.Load().Key
	number := wire.AppNumber(string(key))
	apps := *n.apps.Load()
	a := apps[number]
	switch {
	case a == nil:
		a = newApp(n, key, n.switchedOnLocked(key))
		a.run.Store(n.runLocked(a))
		a.reset(d.protocol())
		apps = maps.Clone(apps)
		apps[number] = a
		n.apps.Store(&apps)
		n.waysLocked(a)
	case a.key != key:
		return nil, fmt.Errorf("its number on the wire is that of %s: give one of them another path", a.key)
	default:
		a.configure(d.protocol())
	}
	d.app = a
	a.mu.Lock()
	a.managers = append(a.managers, d)
	a.mu.Unlock()
	return a, nil
}

// settleLocked works out a manager's settings. The caller holds n.mu.
func (n *Node) settleLocked(d *DeltaManager) error {
	cfg := d.cfg.Load()
	name := DefaultCache
	if r := cfg.Replication; r != nil && r.CacheName != "" {
		name = r.CacheName
	}
	c, ok := n.caches[name]
	if !ok {
		e := &UnknownCacheError{Name: name, Known: slices.Sorted(maps.Keys(n.caches))}
		if cfg.Replication != nil {
			e.Pos = cfg.Replication.CacheNamePos
		}
		return e
	}
	set, warning := settingsFor(*cfg, c.Cache)
	if err := set.Validate(); err != nil {
		return err
	}
	if warning != "" {
		n.log.Warn(warning, "app", string(cfg.Key))
	}
	d.settings.Store(&set)
	return nil
}

// protocol is the configuration of the shards for a manager's settings.
func (d *DeltaManager) protocol() replica.Config {
	set := d.current()
	cfg := set.replica()
	cfg.Idle = idleOf
	cfg.Unpatch = wire.Unpatch
	return cfg
}

// Close hands over the sessions that are at home here, unless another version of
// the application stays, and leaves the nodes that run it. The context bounds the
// handing over; what is left then lives on as copies. Close it once the
// application's sessions take no more requests, and before they are closed.
func (d *DeltaManager) Close(ctx context.Context) error {
	d.mu.Lock()
	was := d.closed
	d.closed = true
	d.mu.Unlock()
	if was {
		return nil
	}
	d.stop()
	d.tasks.Wait()
	a := d.app
	a.flush()
	a.mu.Lock()
	last := len(a.managers) == 1
	a.mu.Unlock()
	var err error
	if last {
		if err = a.handOver(ctx, nil); errors.Is(err, errNobody) {
			err = nil
		}
	}
	a.mu.Lock()
	a.managers = slices.DeleteFunc(a.managers, func(o *DeltaManager) bool { return o == d })
	last = len(a.managers) == 0
	a.mu.Unlock()
	if last {
		a.n.drop(a)
	}
	if err != nil {
		return fmt.Errorf("application %s: handing over its sessions: %w", a.key, err)
	}
	return nil
}

package cluster

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/serval-server/serval/cluster/replica"
	"github.com/serval-server/serval/sessions"
)

// Config is what a Node is made from.
type Config struct {
	// Name is the node's name, unique in the cluster, the same after a restart.
	Name string
	// Zone is where it is, for instance a data centre or a rack: copies of a
	// session are spread over zones. "" is a zone like any other.
	Zone string
	// Address is host:port at which the others reach it.
	Address string
	// Caches are the settings that applications name. If there is none of the
	// name DefaultCache, one with defaults is added.
	Caches []Cache
	// DataDir is where settings that were changed at run time are kept. "":
	// they are forgotten with the process.
	DataDir string
	// Linger is how long Close keeps the connections after the others have been
	// told, so that what is on its way here gets an answer. Zero: not at all.
	Linger time.Duration
	// Connect is the network, usually QUIC's.
	Connect Connect
	// CertificateEnds says when the node's certificate ends, for Status. Nil: it is
	// not known.
	CertificateEnds func() time.Time
	// Failed is called, at most once for each reason, when the node could not be
	// connected again after it had started over: it is in no cluster from then on, and
	// should end. Nil: it is logged only. A node that has to give way to another one of
	// its name hears of it by QUICConfig.Conflict.
	Failed func(error)
}

// ErrClosed is what a closed Node says.
var ErrClosed = errors.New("cluster: the node is closed")

// Node is a process's place in a cluster. It is safe for concurrent use.
type Node struct {
	cfg   Config
	log   *slog.Logger
	id    atomic.Uint32 // of this incarnation
	start time.Time
	net   atomic.Pointer[Network]
	apps  atomic.Pointer[map[uint32]*app] // by number; replaced, never changed

	draining   atomic.Bool
	restarting atomic.Bool     // see startOver
	life       context.Context // until Close
	kick       chan struct{}   // something has changed that the applications must hear of
	met        atomic.Bool     // the others are known, or are not there: set by apply
	stirred    atomic.Bool     // a shard had something done since the last tick
	viewed     atomic.Bool     // the shards had another view since the last round of ticks
	stop       context.CancelFunc
	tasks      sync.WaitGroup
	jobs       *jobs

	applyMu sync.Mutex // held while the applications are told; before mu
	keepMu  sync.Mutex // held while changed settings are written; before mu
	sayMu   sync.Mutex // held while the others are told what runs here; before mu

	mu       sync.Mutex
	closed   bool                       // guarded by mu
	peers    map[replica.NodeID]*peer   // guarded by mu
	caches   map[string]*CacheStatus    // guarded by mu
	switches map[sessions.AppKey]*flip  // guarded by mu
	absent   map[replica.NodeID]absence // guarded by mu; see missLocked
	queries  map[uint64]chan Status     // guarded by mu
	serial   uint64                     // guarded by mu; numbers queries
	// The number of the process in which an application ran last; guarded by mu.
	ran map[sessions.AppKey]replica.NodeID
}

// Start connects the node and returns without waiting for others; see Ready. The
// context bounds the start only. The error says which setting is wrong, or what
// the network says.
func Start(ctx context.Context, cfg Config, log *slog.Logger) (*Node, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	n := &Node{
		cfg: cfg, log: log.With("component", "cluster", "node", cfg.Name), start: time.Now(),
		kick: make(chan struct{}, 1), jobs: newJobs(),
		peers: map[replica.NodeID]*peer{}, caches: map[string]*CacheStatus{}, switches: map[sessions.AppKey]*flip{}, queries: map[uint64]chan Status{}, absent: map[replica.NodeID]absence{}, ran: map[sessions.AppKey]replica.NodeID{},
	}
	n.id.Store(incarnation())
	n.apps.Store(&map[uint32]*app{})
	if err := n.configure(); err != nil {
		return nil, err
	}
	run, stop := context.WithCancel(context.Background())
	n.life, n.stop = run, stop
	network, err := cfg.Connect(ctx, n.Self(), inbound{n})
	if err != nil {
		stop()
		return nil, fmt.Errorf("cluster: connecting node %s: %w", cfg.Name, err)
	}
	n.net.Store(&network)
	n.greetAll()
	n.tasks.Go(func() { n.run(run) })
	n.changed()
	return n, nil
}

// configure reads the settings, and those that were changed at run time.
func (n *Node) configure() error {
	var errs []error
	if n.cfg.Name == "" {
		errs = append(errs, errors.New("cluster: the node has no name"))
	}
	if n.cfg.Connect == nil {
		errs = append(errs, errors.New("cluster: the node has no network"))
	}
	for _, c := range n.cfg.Caches {
		if err := c.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("cluster: %w", err))
			continue
		}
		if n.caches[c.Name] != nil {
			errs = append(errs, fmt.Errorf("cluster: cache %q is there twice", c.Name))
		}
		n.caches[c.Name] = &CacheStatus{Cache: c.withDefaults()}
	}
	if n.caches[DefaultCache] == nil {
		n.caches[DefaultCache] = &CacheStatus{Cache: Cache{Name: DefaultCache}.withDefaults()}
	}
	return errors.Join(append(errs, n.recall())...)
}

// incarnation is a random number, not zero.
func incarnation() replica.NodeID {
	for {
		var b [4]byte
		_, _ = rand.Read(b[:]) // never fails
		if id := binary.BigEndian.Uint32(b[:]); id != 0 {
			return id
		}
	}
}

// ID is the number of this incarnation of the node, for sessions.Options.Node.
func (n *Node) ID() replica.NodeID { return n.id.Load() }

// Self is this node as the others see it.
func (n *Node) Self() Peer {
	return Peer{ID: n.ID(), Name: n.cfg.Name, Zone: n.cfg.Zone, Address: n.cfg.Address}
}

func (n *Node) member() replica.Member {
	return replica.Member{ID: n.ID(), Name: n.cfg.Name, Zone: n.cfg.Zone}
}

// now is the time that the protocol goes by: the monotonic clock.
func (n *Node) now() time.Duration { return time.Since(n.start) }

// wall is the wall clock in milliseconds, for the order of changes only.
func (n *Node) wall() uint64 { return uint64(max(time.Now().UnixMilli(), 0)) }

func (n *Node) network() Network {
	if p := n.net.Load(); p != nil {
		return *p
	}
	return nil
}

func (n *Node) send(to []replica.NodeID, app uint32, shard uint8, m replica.Message, bulk bool) {
	if p := n.net.Load(); p != nil {
		(*p).Send(to, app, shard, m, bulk)
	}
}

// run is the node's own goroutine: it lets time pass and tells the applications
// who is there, until the context ends.
func (n *Node) run(ctx context.Context) {
	tick := time.NewTimer(tickEvery)
	defer tick.Stop()
	for p := (pace{n: n}); ; {
		select {
		case <-ctx.Done():
			p.end()
			return
		case <-n.kick:
			n.apply()
		case <-tick.C:
			tick.Reset(p.step())
		}
	}
}

// joining reports whether an application is not level here yet.
func (n *Node) joining() bool {
	for _, a := range *n.apps.Load() {
		if !a.level.Load() {
			return true
		}
	}
	return false
}

// checkLevel tells the others when an application has become level here.
func (n *Node) checkLevel() {
	news := false
	for _, a := range *n.apps.Load() {
		is := a.isLevel()
		if a.level.Swap(is) == is {
			continue
		}
		news = true
		if is {
			a.log.Info("level", "sessions", a.known(), "took", time.Since(a.opened).Round(time.Millisecond))
		}
	}
	if news {
		n.announce()
	}
}

// changed has the applications told who is there, soon.
func (n *Node) changed() {
	select {
	case n.kick <- struct{}{}:
	default:
	}
}

// apply tells the applications who is there. They are told nothing until all that
// are there have said what they run: a node that took itself for alone would take
// itself for level too.
func (n *Node) apply() {
	n.applyMu.Lock()
	defer n.applyMu.Unlock()
	network := n.network()
	if network == nil {
		return
	}
	live := network.Live()
	n.mu.Lock()
	away := n.missLocked(live)
	n.meetLocked(live)
	if away {
		n.mu.Unlock()
		n.away()
		return
	}
	if !n.met.Load() && !(network.Joined() && n.heardLocked(live)) {
		n.mu.Unlock()
		return
	}
	apps := *n.apps.Load()
	standings := make(map[*app]standing, len(apps))
	for _, a := range apps {
		standings[a] = n.standingLocked(a)
	}
	n.mu.Unlock()
	for _, a := range apps {
		s := standings[a]
		changed := !slices.Equal(a.members, s.members)
		a.members = s.members
		a.apply(s, changed)
	}
	n.met.Store(true)
}

// patience is how long a node that starts waits for others that are alive but do
// not say what they run.
const patience = 30 * time.Second

// heardLocked reports whether all others have said what they run. The caller holds
// n.mu.
func (n *Node) heardLocked(live []Peer) bool {
	for _, p := range live {
		if q := n.peers[p.ID]; p.ID != n.ID() && (q == nil || q.apps == nil && !q.leaving) {
			return n.now() > patience
		}
	}
	return true
}

// Ready reports whether the node has all that it should have of the sessions of
// its applications, so that a balancer may send it requests. It is false while
// the node drains.
func (n *Node) Ready() bool {
	n.mu.Lock()
	closed := n.closed
	n.mu.Unlock()
	if closed || n.draining.Load() || !n.met.Load() {
		return false
	}
	for _, a := range *n.apps.Load() {
		if !a.isLevel() {
			return false
		}
	}
	return true
}

// Drain hands over all sessions that are at home here to other nodes, and serves
// or forwards requests meanwhile. Progress, if not nil, is told how many are left.
// It returns when none is left or there is nobody to take them, or with the
// context's error. Close the node afterwards.
func (n *Node) Drain(ctx context.Context, progress func(left int)) error {
	n.draining.Store(true)
	n.leaving("drain")
	var errs []error
	for _, a := range *n.apps.Load() {
		a.flush()
		if err := a.handOver(ctx, progress); err != nil && !errors.Is(err, errNobody) {
			errs = append(errs, fmt.Errorf("application %s: handing over its sessions: %w", a.key, err))
		}
	}
	return errors.Join(errs...)
}

// OpenStream opens a stream to another node, for a forwarded request.
func (n *Node) OpenStream(ctx context.Context, to replica.NodeID) (net.Conn, error) {
	return n.network().OpenStream(ctx, to)
}

// Streams accepts the streams that other nodes open.
func (n *Node) Streams() net.Listener { return streams{n} }

// drop makes the node one that does not run the application.
func (n *Node) drop(a *app) {
	n.mu.Lock()
	apps := maps.Clone(*n.apps.Load())
	if apps[a.number] == a {
		delete(apps, a.number)
		n.apps.Store(&apps)
	}
	n.mu.Unlock()
	n.announce()
	a.close()
}

// close ends what an application has going on.
func (a *app) close() {
	a.jobs.close()
	for _, sh := range a.shards {
		sh.mu.Lock()
		sh.abandonLocked()
		sh.mu.Unlock()
	}
}

// Close leaves the cluster and ends all that the node has started. Sessions that
// were not drained live on as copies on other nodes. The context bounds the
// leaving.
func (n *Node) Close(ctx context.Context) error {
	n.mu.Lock()
	was := n.closed
	n.closed = true
	n.mu.Unlock()
	if was {
		return nil
	}
	network := n.network()
	if err := network.Leave(ctx); err != nil {
		// They are leaving too, perhaps, and find out by themselves in any case.
		n.log.Warn("leaving although not all other nodes have heard of it", "error", err)
	}
	if n.cfg.Linger > 0 && len(network.Live()) > 0 {
		select {
		case <-time.After(n.cfg.Linger):
		case <-ctx.Done():
		}
	}
	n.stop()
	n.tasks.Wait()
	err := network.Close(ctx)
	for _, a := range *n.apps.Load() {
		for _, d := range a.open() {
			d.stop()
			d.tasks.Wait()
		}
		a.close()
	}
	n.jobs.close()
	if err != nil {
		return fmt.Errorf("cluster: closing the network: %w", err)
	}
	return nil
}

package membership

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
)

// Membership is this node's part in the cluster. It is safe for concurrent use.
type Membership struct {
	cfg     Config
	self    Node
	started time.Time
	log     *slog.Logger
	lines   *logWriter
	list    *memberlist.Memberlist

	view    atomic.Pointer[View]
	joined  atomic.Bool
	leaving atomic.Bool

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup
	life   sync.Mutex // between run and Close
	ended  bool       // guarded by life

	mu       sync.Mutex
	nodes    map[uint32]*member   // guarded by mu: all but this one
	order    uint64               // guarded by mu: of the last node that came
	dead     map[uint32]time.Time // guarded by mu: declared by SWIM, when
	missing  map[string]*absent   // guarded by mu: addresses that should answer and do not, IP:port
	resolved map[string]*seed     // guarded by mu: by the seed as it was written
	stats    Stats                // guarded by mu: the counters
	changes  []Change             // guarded by mu
	watchers []chan struct{}      // guarded by mu
	refused  error                // guarded by mu: another node has this one's name
	checking map[uint32]bool      // guarded by mu: processes whose name another one has
	admitted map[uint32]bool      // guarded by mu: those of them whose predecessor is gone
}

// Start joins the cluster: it announces the node, asks every seed once, and returns
// when one has answered or none has, after at most 3 s (0.3 s if all refuse, see Config.Refuses). That no seed answers is no error
// (the first node of a cluster finds none): they are asked again until they do. An
// error is a Config that is wrong, or a node that is alive under the same name.
func Start(cfg Config) (*Membership, error) {
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("cluster membership: %w", err)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Resolve == nil {
		cfg.Resolve = lookup
	}
	at := netip.MustParseAddrPort(cfg.Self.Address) // validate has parsed it
	m := &Membership{
		cfg: cfg, self: cfg.Self, started: time.Now(), log: cfg.Logger,
		nodes: map[uint32]*member{}, dead: map[uint32]time.Time{}, missing: map[string]*absent{}, resolved: map[string]*seed{},
		checking: map[uint32]bool{}, admitted: map[uint32]bool{},
	}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	m.view.Store(&View{Version: 1, Members: []Node{m.self}})
	mc := tuned(&cfg, at.Addr().String(), int(at.Port()))
	m.lines = mc.LogOutput.(*logWriter)
	mc.Delegate, mc.Events, mc.Merge, mc.Alive = (*delegate)(m), (*events)(m), (*gate)(m), (*gate)(m)
	list, err := memberlist.Create(mc)
	if err != nil {
		m.cancel()
		return nil, fmt.Errorf("cluster membership of node %s: %w", m.self.Name, err)
	}
	m.list = list
	m.firstJoin()
	if err := m.conflict(); err != nil {
		m.Close()
		return nil, err
	}
	m.run(m.keepJoined)
	return m, nil
}

// run starts a goroutine that Close waits for, unless Close has been called.
func (m *Membership) run(f func()) {
	m.life.Lock()
	defer m.life.Unlock()
	if !m.ended {
		m.wg.Go(f)
	}
}

func (m *Membership) now() time.Time { return time.Now() }

// View is what holds now.
func (m *Membership) View() *View { return m.view.Load() }

// Watch returns a channel that has an element whenever the view has changed since
// the last one was taken. It is closed by Close.
func (m *Membership) Watch() <-chan struct{} {
	c := make(chan struct{}, 1)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ctx.Err() != nil {
		close(c)
	} else {
		m.watchers = append(m.watchers, c)
	}
	return c
}

// Joined reports whether the node has met another one, or has asked all its seeds
// and found none.
func (m *Membership) Joined() bool { return m.joined.Load() }

// Stats returns the figures.
func (m *Membership) Stats() Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.stats
	s.View = m.view.Load()
	s.Suspicions, s.Refuted = m.lines.suspected.Load(), m.lines.refuted.Load()
	s.LastChanges = slices.Clone(m.changes)
	return s
}

// Leave tells the others that this node goes, and returns when they have been told
// or ctx ends. The node stays reachable until Close. Afterwards this node's view
// no longer changes for the better.
func (m *Membership) Leave(ctx context.Context) error {
	if m.leaving.Swap(true) {
		return nil
	}
	timeout := 5 * time.Second
	if end, ok := ctx.Deadline(); ok {
		timeout = max(min(timeout, time.Until(end)), time.Millisecond)
	}
	done := make(chan error, 1)
	m.run(func() {
		// First as news of a living node, which says why it will be gone.
		err := m.list.UpdateNode(timeout)
		done <- errors.Join(err, m.list.Leave(timeout))
	})
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("telling the cluster that node %s leaves: %w", m.self.Name, err)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("telling the cluster that node %s leaves: %w", m.self.Name, ctx.Err())
	}
}

// Close ends it without a word (see Leave) and shuts the transport down. It waits for
// everything that was begun.
func (m *Membership) Close() {
	m.life.Lock()
	m.ended = true
	m.life.Unlock()
	m.cancel()
	_ = m.list.Shutdown() // logs what the transport says; never fails, may be called again
	m.mu.Lock()
	for _, c := range m.watchers {
		close(c)
	}
	m.watchers = nil
	m.mu.Unlock()
	m.wg.Wait()
}

// delegate gives memberlist this node's metadata; there are no messages of our own.
type delegate Membership

var _ memberlist.Delegate = (*delegate)(nil)

// NodeMeta is asked for each announcement.
func (d *delegate) NodeMeta(int) []byte {
	return meta{started: d.started, leaving: d.leaving.Load(), zone: d.self.Zone}.encode()
}

// NotifyMsg ignores messages, which no version has sent.
func (d *delegate) NotifyMsg([]byte) {}

// GetBroadcasts has none.
func (d *delegate) GetBroadcasts(int, int) [][]byte { return nil }

// LocalState adds nothing to memberlist's own.
func (d *delegate) LocalState(bool) []byte { return nil }

// MergeRemoteState has nothing to take.
func (d *delegate) MergeRemoteState([]byte, bool) {}

package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/serval-server/serval/cluster/identity"
	"github.com/serval-server/serval/cluster/membership"
	"github.com/serval-server/serval/cluster/replica"
	"github.com/serval-server/serval/cluster/transport"
	"github.com/serval-server/serval/cluster/wire"
)

// QUICConfig is what the real network is made from.
type QUICConfig struct {
	// Listen is the host:port to listen on, UDP and TCP. "": the node's Address.
	Listen string
	// Identity is the node's certificate and what it trusts.
	Identity *identity.Identity
	// Seeds are addresses of other nodes, host:port; a name may stand for several
	// nodes. This node's own may be among them.
	Seeds []string
	// Lanes is the number of ordered lanes to each peer. 0: the transport's default.
	Lanes int
	// MaxQueue is how many bytes may wait for a peer before it is out of the ack
	// set. 0: 64 MiB.
	MaxQueue int
	// Conflict is called if this node had to give way to another one of the same
	// name. Nil: it is logged.
	Conflict func(error)
	// Logger; nil: nothing is logged.
	Logger *slog.Logger
}

// QUIC is the network of package transport and package membership: QUIC with
// mutual TLS, and SWIM. The node's Address must be one that the others can reach;
// membership.Advertise finds it.
func QUIC(cfg QUICConfig) Connect {
	return func(_ context.Context, self Peer, in Inbound) (Network, error) {
		if cfg.Identity == nil {
			return nil, errors.New("the node has no certificate")
		}
		if cfg.Logger == nil {
			cfg.Logger = slog.New(slog.DiscardHandler)
		}
		q := &quicNetwork{in: in, self: self.ID, log: cfg.Logger, gone: map[replica.NodeID]disappearance{}, stop: make(chan struct{})}
		if err := q.open(cfg, self); err != nil {
			return nil, err
		}
		return q, nil
	}
}

// quicNetwork is the real Network.
type quicNetwork struct {
	in   Inbound
	self replica.NodeID
	log  *slog.Logger
	tr   *transport.Transport
	mem  atomic.Pointer[membership.Membership]
	stop chan struct{} // closed by Close
	wg   sync.WaitGroup

	mu   sync.Mutex
	live []Peer                           // guarded by mu; replaced, never changed
	gone map[replica.NodeID]disappearance // guarded by mu; linked, but not in the view
}

// disappearance is a peer that has left the view.
type disappearance struct {
	name  string
	since time.Time
}

var _ Network = (*quicNetwork)(nil)

func (q *quicNetwork) open(cfg QUICConfig, self Peer) error {
	tr, err := transport.New(transport.Config{
		Self: self, Cluster: cfg.Identity.Cluster(), Listen: cfg.Listen, TLS: cfg.Identity.TLS(), PeerName: identity.PeerName,
		Lanes: cfg.Lanes, MaxQueue: cfg.MaxQueue, Logger: cfg.Logger,
	}, quicInbound{q.in, q})
	if err != nil {
		return err
	}
	q.tr = tr
	conflict := cfg.Conflict
	if conflict == nil {
		conflict = func(err error) { q.log.Error("cluster membership", "error", err) }
	}
	mem, err := membership.Start(membership.Config{
		Self:  membership.Node{ID: self.ID, Name: self.Name, Zone: self.Zone, Address: tr.Addr()},
		Seeds: cfg.Seeds, Transport: tr.Gossip(), Key: cfg.Identity.GossipKey(), Refuses: tr.Refuses,
		Changed: q.changed, Conflict: conflict, Logger: cfg.Logger,
	})
	if err != nil {
		return errors.Join(fmt.Errorf("joining: %w", err), tr.Close(context.Background()))
	}
	q.mem.Store(mem)
	q.changed()
	q.wg.Go(q.sweep)
	return nil
}

// forgetAfter is how long the link to a node that is out of the view is kept up
// (tried): it may have been paused or cut off.
const forgetAfter = time.Minute

// changed brings the links to what membership says.
func (q *quicNetwork) changed() {
	mem := q.mem.Load()
	if mem == nil { // its first view comes with open
		return
	}
	q.mu.Lock()
	view := mem.View()
	was := q.live
	q.live = make([]Peer, 0, len(view.Members))
	for _, m := range view.Members {
		p := Peer{ID: m.ID, Name: m.Name, Zone: m.Zone, Address: m.Address}
		if p.ID == q.self {
			continue
		}
		q.live = append(q.live, p)
		delete(q.gone, p.ID)
		q.tr.Dial(p)
	}
	for _, p := range was {
		if _, ok := view.Find(p.ID); !ok {
			q.gone[p.ID] = disappearance{p.Name, time.Now()}
		}
	}
	for id, p := range q.gone {
		if _, again := view.Named(p.name); again { // another process of this name: that one is no more
			delete(q.gone, id)
			q.tr.Forget(id)
		}
	}
	q.mu.Unlock()
	q.in.Changed()
}

// quicInbound is what the transport tells of: it goes to the node.
type quicInbound struct {
	Inbound
	q *quicNetwork
}

// Disconnected implements transport.Handler. A peer that has left is not dialed.
func (in quicInbound) Disconnected(id replica.NodeID, err error) {
	in.Inbound.Disconnected(id, err)
	if errors.Is(err, transport.ErrLeft) {
		in.q.tr.Forget(id)
	}
}

// sweep gives up links to nodes that do not come back, until Close.
func (q *quicNetwork) sweep() {
	tick := time.NewTicker(forgetAfter / 4)
	defer tick.Stop()
	for {
		select {
		case <-q.stop:
			return
		case <-tick.C:
		}
		var old []replica.NodeID
		q.mu.Lock()
		for id, p := range q.gone {
			if time.Since(p.since) > forgetAfter {
				old = append(old, id)
				delete(q.gone, id)
			}
		}
		q.mu.Unlock()
		for _, id := range old {
			q.tr.Forget(id)
		}
	}
}

// Send implements Links.
func (q *quicNetwork) Send(to []replica.NodeID, app uint32, shard uint8, m replica.Message, bulk bool) {
	it := wire.NewItem(app, shard, m, bulk)
	if len(to) == 1 {
		it.Once()
	}
	for _, id := range to {
		q.tr.Send(id, it)
	}
}

// Queued implements Links.
func (q *quicNetwork) Queued(to replica.NodeID) int { return q.tr.Queued(to) }

// Control implements Links.
func (q *quicNetwork) Control(to replica.NodeID, f wire.Frame) bool { return q.tr.Control(to, f) }

// OpenStream implements Links.
func (q *quicNetwork) OpenStream(ctx context.Context, to replica.NodeID) (net.Conn, error) {
	return q.tr.OpenStream(ctx, to)
}

// Streams implements Links.
func (q *quicNetwork) Streams() net.Listener { return q.tr.Streams() }

// Stats implements Links.
func (q *quicNetwork) Stats() transport.Stats { return q.tr.Stats() }

// Live implements Membership.
func (q *quicNetwork) Live() []Peer {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.live
}

// Suspect implements Membership.
func (q *quicNetwork) Suspect(id replica.NodeID) {
	if mem := q.mem.Load(); mem != nil {
		mem.Crashed(id)
	}
}

// Joined implements Membership.
func (q *quicNetwork) Joined() bool {
	mem := q.mem.Load()
	return mem != nil && mem.Joined()
}

// Health implements Membership.
func (q *quicNetwork) Health() Health {
	s := q.mem.Load().Stats()
	return Health{
		Deaths: s.Deaths, Crashes: s.Crashes, FalseAlarms: s.FalseAlarms, Returns: s.Returns, Suspicions: s.Suspicions, Pauses: s.Pauses,
	}
}

// Leave implements Membership.
func (q *quicNetwork) Leave(ctx context.Context) error { return q.mem.Load().Leave(ctx) }

// Close implements Network.
func (q *quicNetwork) Close(ctx context.Context) error {
	close(q.stop)
	q.wg.Wait()
	q.mem.Load().Close()
	return q.tr.Close(ctx)
}

package transport

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/quic-go/quic-go"

	"github.com/serval-server/serval/cluster/replica"
	"github.com/serval-server/serval/cluster/wire"
)

// Reasons for which a link ends, to be found with errors.Is.
var (
	// ErrClosed: this transport is closing.
	ErrClosed = errors.New("transport closed")
	// ErrForgotten: Forget was called, here or there.
	ErrForgotten = errors.New("peer forgotten")
	// ErrLeft: the peer closed its transport on purpose.
	ErrLeft = errors.New("peer left")
	// ErrCrashed: the peer's process is gone; Handler.Crashed was called.
	ErrCrashed = errors.New("peer crashed")
	// ErrReplaced: a newer link to the same peer took its place.
	ErrReplaced = errors.New("link replaced by a newer one")
	// ErrNotConnected: there is no link to that peer.
	ErrNotConnected = errors.New("peer not connected")
)

// Transport is this node's end of all links.
type Transport struct {
	cfg Config
	h   Handler
	log *slog.Logger

	sock     *sockets
	quic     *quic.Transport
	listener *quic.Listener
	door     *admission
	gossip   *gossip
	streams  *streamListener

	// peers is read without a lock and replaced with mu held.
	peers     atomic.Pointer[map[replica.NodeID]*peer]
	mu        sync.Mutex
	closing   bool // guarded by mu: no more peers or goroutines
	malformed atomic.Uint64
	polite    atomic.Bool // a bulk lane gives way

	ctx    context.Context // of everything; its end closes all links
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup
}

// New opens the sockets and starts to accept links. The Handler is called from
// then on.
func New(cfg Config, h Handler) (*Transport, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("transport: %w", err)
	}
	sock, err := openSockets(&cfg)
	if err != nil {
		return nil, fmt.Errorf("transport: %w", err)
	}
	t := &Transport{cfg: cfg, h: h, log: cfg.Logger, sock: sock, door: newAdmission(cfg.MaxHandshakes)}
	t.peers.Store(&map[replica.NodeID]*peer{})
	t.ctx, t.cancel = context.WithCancelCause(context.Background())
	t.quic = &quic.Transport{
		Conn:                sock.packets,
		StatelessResetKey:   resetKey(cfg.TLS),
		VerifySourceAddress: t.door.busy,
		ConnContext:         t.door.connContext,
	}
	t.streams = newStreamListener(t)
	t.gossip = newGossip(t)
	t.listener, err = t.quic.Listen(serverTLS(cfg.TLS, protoPeer, protoGossip), cfg.quic())
	if err != nil {
		_ = t.quic.Close()
		sock.close()
		return nil, fmt.Errorf("transport: %w", err)
	}
	t.wg.Go(t.acceptLoop)
	t.wg.Go(t.gossip.readLoop)
	if sock.tcp != nil {
		t.wg.Go(t.tripwireLoop)
	}
	return t, nil
}

// Addr is the address that peers can dial, with the port that was chosen.
func (t *Transport) Addr() string { return t.cfg.Self.Address }

// Dial keeps a link to the peer until Forget, connecting again whenever it is
// lost. It returns at once. Dialing a known peer again only updates its
// address and zone.
func (t *Transport) Dial(p Peer) {
	if p.ID == 0 || p.ID == t.cfg.Self.ID {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closing {
		return
	}
	x := t.peerLocked(p)
	x.mu.Lock()
	x.info = p
	start := !x.wanted
	x.wanted = true
	if start {
		x.forgotten = make(chan struct{})
	}
	x.mu.Unlock()
	if start {
		t.wg.Go(x.dialLoop)
	}
}

// peerLocked is the peer's entry, which it makes if there is none; t.mu is
// held.
func (t *Transport) peerLocked(p Peer) *peer {
	old := *t.peers.Load()
	if x := old[p.ID]; x != nil {
		return x
	}
	x := &peer{t: t, info: p, wake: make(chan struct{}, 1)}
	peers := make(map[replica.NodeID]*peer, len(old)+1)
	for id, q := range old {
		peers[id] = q
	}
	peers[p.ID] = x
	t.peers.Store(&peers)
	return x
}

// removePeer forgets the entry of a peer that is neither wanted nor linked.
func (t *Transport) removePeer(x *peer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	x.mu.Lock()
	defer x.mu.Unlock()
	old := *t.peers.Load()
	if x.wanted || x.link != nil || old[x.info.ID] != x {
		return
	}
	peers := make(map[replica.NodeID]*peer, len(old))
	for id, q := range old {
		if q != x {
			peers[id] = q
		}
	}
	t.peers.Store(&peers)
}

// Forget ends the link to a peer, if there is one, and stops dialing it. A link
// that the peer makes itself is accepted again.
func (t *Transport) Forget(id replica.NodeID) {
	x := t.peer(id)
	if x == nil {
		return
	}
	x.mu.Lock()
	if x.wanted {
		x.wanted = false
		close(x.forgotten)
	}
	l := x.link
	x.mu.Unlock()
	if l != nil {
		l.close(ErrForgotten)
	} else {
		t.removePeer(x)
	}
}

func (t *Transport) peer(id replica.NodeID) *peer { return (*t.peers.Load())[id] }

// up is the link to a peer, nil if there is none.
func (t *Transport) up(id replica.NodeID) *link {
	if x := t.peer(id); x != nil {
		return x.up.Load()
	}
	return nil
}

// linkOf is the link to a peer, or the one that is being made; nil if there is none.
func (t *Transport) linkOf(id replica.NodeID) *link {
	x := t.peer(id)
	if x == nil {
		return nil
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.link
}

// Send queues a message for a peer and returns at once; to an idle lane it is
// written at once. It is dropped if the peer is not connected or lagging.
func (t *Transport) Send(to replica.NodeID, it *wire.Item) {
	x := t.peer(to)
	if x == nil {
		return
	}
	if l := x.up.Load(); l != nil {
		l.send(it)
	} else {
		x.dropped.Add(1)
	}
}

// Queued is how many bytes, counted by wire.Item's Size, wait for a peer. Who
// sends a lot of bulk items keeps it well below Config.MaxQueue.
func (t *Transport) Queued(to replica.NodeID) int {
	if l := t.up(to); l != nil {
		return int(l.queued.Load())
	}
	return 0
}

// Control queues a frame on the control stream of a peer; it reports whether
// the peer is connected.
func (t *Transport) Control(to replica.NodeID, f wire.Frame) bool {
	l := t.up(to)
	if l == nil {
		return false
	}
	l.control.send(f)
	return true
}

// Streams accepts the streams that peers open with OpenStream. Closing it has
// them refused.
func (t *Transport) Streams() net.Listener { return t.streams }

// Gossip is membership's part of the port. Its Shutdown leaves the transport as
// it is.
func (t *Transport) Gossip() memberlist.NodeAwareTransport { return t.gossip }

// Close says goodbye to all peers, ends all links, waits for all goroutines and
// closes the sockets. What is queued is sent as far as the context lets it.
func (t *Transport) Close(ctx context.Context) error {
	t.mu.Lock()
	if t.closing {
		t.mu.Unlock()
		t.wg.Wait()
		return nil
	}
	t.closing = true
	t.mu.Unlock()
	t.drain(ctx)
	t.cancel(ErrClosed)
	_ = t.listener.Close()
	_ = t.streams.Close()
	for id := range *t.peers.Load() {
		if l := t.linkOf(id); l != nil {
			<-l.gone // a peer that finds nobody at the port must have been told
		}
	}
	if t.sock.tcp != nil {
		_ = t.sock.tcp.Close()
	}
	t.wg.Wait()
	err := t.quic.Close()
	t.sock.close()
	return err
}

// drain waits until the peers have acknowledged everything, or do not answer.
func (t *Transport) drain(ctx context.Context) {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		done := true
		for _, x := range *t.peers.Load() {
			if l := x.up.Load(); l != nil && !l.lagging.Load() && !l.drained() {
				done = false
			}
		}
		if done {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

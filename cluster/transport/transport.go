package transport

import (
	"context"
	"errors"
	"net"

	"github.com/hashicorp/memberlist"

	"github.com/serval-server/serval/cluster/replica"
	"github.com/serval-server/serval/cluster/wire"
)

// Reasons for which a link ends, to be found with errors.Is.
var (
	// ErrClosed: this transport is closing.
	ErrClosed = errors.New("transport closed")
	// ErrForgotten: Forget was called.
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
type Transport struct{}

// New opens the sockets and starts to accept links. The Handler is called from
// then on.
func New(cfg Config, h Handler) (*Transport, error) { return nil, errors.New("transport: not yet") }

// Addr is the address that peers can dial, with the port that was chosen.
func (t *Transport) Addr() string { return "" }

// Dial keeps a link to the peer until Forget, connecting again whenever it is
// lost. It returns at once. Dialing a known peer again only updates its
// address and zone.
func (t *Transport) Dial(p Peer) {}

// Forget ends the link to a peer, if there is one, and stops dialing it.
func (t *Transport) Forget(id replica.NodeID) {}

// Send queues a message for a peer and returns at once; to an idle lane it is
// written at once. It is dropped if the peer is not connected or lagging.
func (t *Transport) Send(to replica.NodeID, it *wire.Item) {}

// Queued is how many bytes, counted by wire.Item's Size, wait for a peer. Who
// sends a lot of bulk items keeps it well below Config.MaxQueue.
func (t *Transport) Queued(to replica.NodeID) int { return 0 }

// Control queues a frame on the control stream of a peer; it reports whether
// the peer is connected.
func (t *Transport) Control(to replica.NodeID, f wire.Frame) bool { return false }

// OpenStream opens a stream to the peer for a forwarded request: its Streams
// listener accepts it. The connection has CloseWrite. The context bounds the
// opening only.
func (t *Transport) OpenStream(ctx context.Context, to replica.NodeID) (net.Conn, error) {
	return nil, ErrNotConnected
}

// Streams accepts the streams that peers open with OpenStream. Closing it has
// them refused.
func (t *Transport) Streams() net.Listener { return nil }

// PeerOf is the peer at the other end of a connection that OpenStream or
// Streams returned.
func PeerOf(c net.Conn) (Peer, bool) { return Peer{}, false }

// Gossip is membership's part of the port.
func (t *Transport) Gossip() memberlist.NodeAwareTransport { return nil }

// Stats is a snapshot.
func (t *Transport) Stats() Stats { return Stats{} }

// Close says goodbye to all peers, ends all links, waits for all goroutines and
// closes the sockets. What is queued is sent as far as the context lets it.
func (t *Transport) Close(ctx context.Context) error { return nil }

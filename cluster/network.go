package cluster

import (
	"context"
	"net"

	"github.com/serval-server/serval/cluster/replica"
	"github.com/serval-server/serval/cluster/transport"
	"github.com/serval-server/serval/cluster/wire"
)

// Peer is a node as the others see it, one incarnation of it: a process that
// starts again is another Peer of the same name.
type Peer = transport.Peer

// Connect puts a node on a network. What comes from there is told to in, from
// any goroutine, until the Network is closed, perhaps before Connect returns.
type Connect func(ctx context.Context, self Peer, in Inbound) (Network, error)

// Network is the way to the other nodes: messages, streams, and who is there.
// QUIC makes the real one; tests have one in memory.
type Network interface {
	Links
	Membership
	// Close ends it at once; nothing is told to Inbound afterwards. To leave
	// politely, call Leave before.
	Close(ctx context.Context) error
}

// Links carry messages and streams to peers.
type Links interface {
	// Send queues a message for peers. The messages of one session to one peer
	// arrive in their order or, if the connection is lost, not at all. It
	// never blocks. The slice is the caller's again afterwards, the message is not.
	Send(to []replica.NodeID, app uint32, shard uint8, m replica.Message, bulk bool)
	// Queued is how many bytes wait for a peer.
	Queued(to replica.NodeID) int
	// Control sends a frame on the peer's control stream; false if it is not
	// connected.
	Control(to replica.NodeID, f wire.Frame) bool
	// OpenStream opens a stream to a peer, for a forwarded request.
	OpenStream(ctx context.Context, to replica.NodeID) (net.Conn, error)
	// Streams accepts the streams that peers open.
	Streams() net.Listener
	// Stats are the links' figures.
	Stats() transport.Stats
}

// Membership says who is there. It alone takes a node for dead.
type Membership interface {
	// Live are the nodes that are alive, without this one. The slice is not
	// changed afterwards. Inbound.Changed tells when to ask again.
	Live() []Peer
	// Suspect says that a peer's process seems to be gone.
	Suspect(id replica.NodeID)
	// Joined reports whether the node has met another one, or has found out
	// that there is none.
	Joined() bool
	// Health are its figures.
	Health() Health
	// Leave tells the others that this node goes, and returns when they know.
	Leave(ctx context.Context) error
}

// Health says how well the nodes see each other: counts since the node has started.
type Health struct {
	Deaths      int64 `json:"deaths"`      // nodes that were declared dead
	Crashes     int64 `json:"crashes"`     // nodes whose process was seen to have ended
	FalseAlarms int64 `json:"falseAlarms"` // of those, that had not
	Returns     int64 `json:"returns"`     // nodes that were declared dead and came back: paused, cut off, starved
	Suspicions  int64 `json:"suspicions"`  // probes of this node that it did not answer in time
	Pauses      int64 `json:"pauses"`      // times that this process stood still for a second or more
}

// Inbound is what a Network tells a node.
type Inbound interface {
	transport.Handler
	// Changed says that Live or Joined has changed. It does not block.
	Changed()
}

package transport

import (
	"github.com/serval-server/serval/cluster/replica"
	"github.com/serval-server/serval/cluster/wire"
)

// Peer is another node, one incarnation of it.
type Peer struct {
	// ID is the incarnation's number; never zero.
	ID replica.NodeID
	// Name is the node's name, the one in its certificate.
	Name string
	// Zone is the failure zone it claims to be in; empty if none.
	Zone string
	// Address is host:port, for UDP and TCP.
	Address string
}

// Handler receives what peers send and how they are. Calls about one peer come
// in order (Connected, then anything, then Disconnected), those of one lane
// from one goroutine; different peers and lanes are concurrent. A Handler may
// call Send, Control and Forget, but not Close.
type Handler interface {
	// Connected says that the peer can be sent to. What was sent to it before
	// is lost: the core resets its view of the peer.
	Connected(Peer)
	// Disconnected says that the link is gone, and with it what the peer has
	// not acknowledged. The transport connects again by itself unless the peer
	// was forgotten. err says why: ErrLeft, ErrForgotten, ErrClosed or what
	// went wrong.
	Disconnected(peer replica.NodeID, err error)
	// Receive takes one message. The batch it is of is acknowledged when
	// BatchEnd has returned, so what Receive has to do must be done then.
	Receive(from replica.NodeID, app uint32, shard uint8, m replica.Message)
	// BatchEnd says that no more messages of this batch follow. What is sent to
	// the peer from Receive and BatchEnd leaves together with the
	// acknowledgement.
	BatchEnd(from replica.NodeID)
	// Control takes a frame of the control stream.
	Control(from replica.NodeID, f wire.Frame)
	// Lagging says (true) that the peer is too slow: what was queued for it is
	// dropped, and so is what is sent to it. It ends with Lagging(false), when
	// the peer has acknowledged what it had been sent before: the core resets
	// its view of the peer as after Connected. Disconnected ends it too.
	Lagging(peer replica.NodeID, lagging bool)
	// Crashed says that the peer's process is gone for sure: its end of the
	// tripwire was closed without a goodbye, and nothing or another incarnation
	// listens at its address now.
	Crashed(peer replica.NodeID)
}

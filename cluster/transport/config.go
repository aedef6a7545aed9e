package transport

import (
	"crypto/tls"
	"log/slog"
	"net"
	"time"
)

// Config says who this node is and how it talks. The zero value of each field
// but Self, TLS and Address is a sensible default.
type Config struct {
	// Self is this node: ID and Name are required. Address is what peers dial;
	// empty means the address that Listen turned out to be.
	Self Peer
	// Cluster is the cluster's name: nodes of another one are refused.
	Cluster string
	// Listen is the host:port to listen on, UDP and TCP; empty is
	// Self.Address, port 0 any free port (the same for both).
	Listen string
	// TLS is for both ends: certificate, RootCAs or ClientCAs, verification of
	// the peer. Versions, protocols and session tickets are set here.
	TLS *tls.Config
	// PeerName takes the node's name from a verified certificate; nil means
	// the first DNS name, or the common name if there is none.
	PeerName func(tls.ConnectionState) (string, error)

	// Lanes is the number of ordered lanes per peer that this node wants; a
	// link has the smaller number of both ends. 0 means 1, at most 16.
	Lanes int
	// MaxQueue is how many bytes may wait for one peer, counted by wire.Item's
	// Size; beyond that the peer is lagging. 0 means 64 MiB.
	MaxQueue int
	// MaxBatch is how many bytes of items one batch takes. 0 means 256 KiB;
	// an item that is larger travels alone.
	MaxBatch int
	// BulkWindow is how many bytes of bulk items may be on the way and not yet
	// processed by the peer. 0 means 4 MiB.
	BulkWindow int
	// Pause is how long a lane waits at most, after an acknowledgement and
	// only while messages come fast, for more to put in the next batch. 0 means
	// the measured default, negative never.
	Pause time.Duration
	// AckDeadline is how long a live batch may stay unacknowledged before the
	// peer is lagging. 0 means 1 s.
	AckDeadline time.Duration
	// IdleTimeout is how long a peer may be silent (keep-alives are sent)
	// before its link is given up. 0 means 5 s, which is also the least that
	// the QUIC implementation takes from its peer.
	IdleTimeout time.Duration
	// HandshakeTimeout is for TLS and the hello after it. 0 means 3 s.
	HandshakeTimeout time.Duration
	// MaxHandshakes is how many handshakes of unknown peers may be in flight;
	// beyond half of it addresses must be proven first. 0 means 64.
	MaxHandshakes int

	// Logger takes what happens to links; nil discards it.
	Logger *slog.Logger

	// PacketConn and Listener are used instead of sockets of its own; a test's
	// network. With PacketConn but no Listener there is no tripwire.
	PacketConn net.PacketConn
	Listener   net.Listener
}

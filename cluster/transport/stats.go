package transport

import "time"

// Stats is what the transport has done so far.
type Stats struct {
	Peers []PeerStats
	// Packets of membership: in, out, and dropped because nobody took them.
	GossipIn, GossipOut, GossipDropped uint64
	// Refused counts connections that were turned away before they were
	// authenticated, Malformed those of authenticated peers that were closed
	// for what they sent.
	Refused, Malformed uint64
}

// PeerStats is about one peer, over all its links.
type PeerStats struct {
	Peer      Peer
	Connected bool
	Lagging   bool
	// Bytes and packets are UDP payloads, without IP and UDP headers (28 bytes
	// a packet on IPv4).
	BytesIn, BytesOut, PacketsIn, PacketsOut uint64
	// Messages and batches of all lanes; PayloadIn and PayloadOut are the
	// batches' bytes before TLS and QUIC.
	MessagesIn, MessagesOut, BatchesIn, BatchesOut, PayloadIn, PayloadOut uint64
	// Dropped counts messages that were not sent: the peer lagged or was away.
	Dropped uint64
	// Queue is what waits, in bytes of wire.Item's Size.
	Queue int
	// RTT is QUIC's smoothed estimate, zero if not connected.
	RTT time.Duration
	// Reconnects counts links after the first.
	Reconnects uint64
}

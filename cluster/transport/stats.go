package transport

import (
	"cmp"
	"slices"
	"time"

	"github.com/quic-go/quic-go"
)

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
	// Lost counts packets that this node took for lost and sent again.
	Lost uint64
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

// Stats is a snapshot.
func (t *Transport) Stats() Stats {
	g := t.gossip
	s := Stats{
		GossipIn: g.in.Load(), GossipOut: g.out.Load(), GossipDropped: g.dropped.Load(),
		Refused: t.door.count(), Malformed: t.malformed.Load(),
	}
	for _, x := range *t.peers.Load() {
		s.Peers = append(s.Peers, x.stats())
	}
	slices.SortFunc(s.Peers, func(a, b PeerStats) int { return cmp.Compare(a.Peer.ID, b.Peer.ID) })
	return s
}

func (x *peer) stats() PeerStats {
	x.mu.Lock()
	s := x.totals
	s.Peer = x.info
	links := x.links
	x.mu.Unlock()
	s.Dropped += x.dropped.Load()
	l := x.up.Load()
	if l != nil {
		links++
	}
	s.Reconnects = max(links, 1) - 1
	if l == nil {
		return s
	}
	l.addTo(&s)
	s.Connected, s.Lagging = true, l.lagging.Load()
	s.Queue = int(l.queued.Load())
	s.RTT = l.live.ConnectionStats().SmoothedRTT
	return s
}

// addTo adds what the link has done.
func (l *link) addTo(s *PeerStats) {
	for _, c := range []*quic.Conn{l.live, l.bulk} {
		q := c.ConnectionStats()
		s.BytesIn += q.BytesReceived
		s.BytesOut += q.BytesSent
		s.PacketsIn += q.PacketsReceived
		s.PacketsOut += q.PacketsSent
		s.Lost += q.PacketsLost
	}
	l.each(func(ln *lane) {
		ln.mu.Lock()
		defer ln.mu.Unlock()
		c := &ln.counts
		s.MessagesIn += c.messagesIn
		s.MessagesOut += c.messagesOut
		s.BatchesIn += c.batchesIn
		s.BatchesOut += c.batchesOut
		s.PayloadIn += c.payloadIn
		s.PayloadOut += c.payloadOut
		s.Dropped += c.dropped
	})
}

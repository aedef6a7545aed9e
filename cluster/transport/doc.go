// Package transport carries what the nodes of a cluster tell each other: QUIC
// with mutual TLS 1.3 on one UDP port, and one TCP connection per pair of nodes
// on the same number that only tells when the other process is gone.
//
// Between two nodes there is a link of two QUIC connections. The live
// connection has a control stream and one or more lanes, on which batches of
// the sessions' messages travel; the bulk connection has a congestion window of
// its own for copies of whole sessions, for forwarded requests and for
// membership's streams, so that a node that joins does not slow down the
// replication of running requests. Both connections of a link live and die
// together, and with them the encoders' and decoders' state (package wire).
//
// A lane is ack-gated: a message that meets an idle lane leaves at once, by the
// goroutine that sends it; what is sent until the peer has processed that batch
// is the next batch. A batch is acknowledged when Handler has received all of
// it, never before, and the acknowledgement rides on a batch of the other
// direction if there is one. So batches grow with the load by themselves.
//
// Nothing waits in Send. A peer whose queue is full, or that has not
// acknowledged anything for a while, is lagging: its queue is dropped, what is
// sent to it from then on is dropped, and when it answers again the replication
// core sends copies of what it has missed. Memory is bounded by Config.MaxQueue
// per peer, whatever the peer does.
//
// Membership's packets (hashicorp/memberlist) share the UDP port: they start
// with a byte that no QUIC packet starts with, and memberlist encrypts them
// itself. Its streams, and forwarded requests, are QUIC streams.
//
// A peer without a certificate of the cluster's CA gets no further than a TLS
// handshake, the number and rate of which are limited; bytes of an
// authenticated peer that make no sense end its connection with an error.
package transport

// Package wire is how the nodes of a cluster write down what they tell each
// other: the protocol's messages (package replica) in batches on lanes, and the
// control frames beside them. It does no I/O; package transport carries its
// bytes. docs/replication-wire.md describes the format byte by byte.
//
// # Batches
//
// A message that is sent becomes an [Item], once for all peers: its values are
// encoded, patched against what they replace and compressed in [NewItem]. What
// differs between the peers is small and is written by each lane's [Encoder]:
// a session's id travels once per lane (24 bytes) and then as a number of one
// to three bytes, names of attributes likewise, and the versions of a session's
// changes are told relative to what the lane said before. An Encoder and the
// Decoder at the other end keep the same bounded tables and forget in
// lock-step, so a lane must be reliable and ordered: one stream of one
// connection. With a new connection both start anew.
//
// Acknowledgements of plain updates are not written as messages at all: they
// say which of the lane's messages they mean, as ranges, and the Decoder makes
// the replica.Ack of them. For that, the Encoder and the Decoder of one lane and
// one peer know each other: [NewLane] makes both.
//
// # Safety
//
// What arrives was sent by a node with a certificate of the cluster, which does
// not make it right. Each decoder bounds every length by the bytes that are
// there before it allocates, allocates at most a small multiple of the input
// (see [MaxInflate]), and reports what is wrong and where. Unknown messages and
// frames, and unknown fields at the end of known ones, are skipped by their
// length, so that versions N and N-1 work together.
package wire

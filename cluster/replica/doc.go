// Package replica is the pure heart of session replication: the lattice of
// session states and, above it, the protocol that one node speaks. It does no
// I/O, reads no clock and starts no goroutine, so that a simulator can drive
// a whole cluster from one seed, and the same code runs in production.
//
// # The lattice
//
// A State is one node's copy of one session. Copies only ever grow: every
// change is a join, and Join is commutative, associative and idempotent, so
// that copies which have seen the same changes are equal, in whatever order,
// and however often, the changes came.
//
// Each request that changes a session stamps all of its changes with one Dot.
// Attributes are registers keyed by dot. A Context says which dots a copy has
// seen; with it, an attribute that one copy has and the other lacks is either
// news (its dot is unknown to the other) or was removed (its dot is known), so
// no attribute needs a tombstone, forks included.
//
// A register keeps every concurrent version until the next write replaces
// them, and shows the one with the highest dot. Keeping only the winner at
// once would be smaller, but is not associative: let a write d1, b write d2,
// and c remove d2. Joined as (a b) c the winner d2 is removed and nothing is
// left; joined as (a c) b the register holds d1. docs/rationale.md has the
// long form.
//
// A session ends in one of two absorbing ways: Dead (invalidated or expired)
// or Renamed (its id was changed; the content lives on under the new id). Both
// drop the content, and no join brings it back.
//
// # The node
//
// A Node holds the copies of its sessions and what it knows of their homes. What
// must be cheap for a million sessions is kept in slots without pointers: which
// session is due when (a wheel), what its copy's fingerprint is (the digests are
// sums, kept with each change), and where it is, which for an idle one is a
// packed block outside the collector's memory. Nothing walks all sessions at
// once: a change of the view starts a pass that each Tick goes on with, and
// copies that can wait keep to a window of unacknowledged ones for each peer.
package replica

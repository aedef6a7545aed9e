// Package cluster keeps the sessions of distributable applications on several
// nodes, so that they survive the death, the pause, the partition and the restart
// of some of them. It is the way from package sessions, which makes a Delta of
// each commit and knows of no other node, to package replica, which is the
// protocol and knows of no network.
//
// A process has one [Node]: its place in the cluster, with the connections and
// the news of who is there ([Network]). For each application that it runs, the
// server opens a [DeltaManager] with [Node.Open], gives it to the application's
// sessions.Manager as Replicator, and asks its Route where a request is served.
// Versions of one application share what the cluster knows of its sessions.
//
// # Shards and locks
//
// The sessions of an application are in eight shards, by the placement bytes of
// their ids. A shard is a replica.Node and the mutex that it needs. The mutex is
// taken inside the mutexes of package sessions, never the other way round, and
// held for as long as the protocol takes to think, which is microseconds: what it
// says is to be done (evict, expire, log) is done after it was released, and
// messages are only queued while it is held, so that they keep their order.
//
// # What a commit becomes
//
// A Delta becomes a list of operations on registers: one register for the whole
// attribute map, one for each attribute, or one for each field, as the
// replication granularity says. The register with the empty name holds what else
// is to be known of a session. A commit in snapshot mode INTERVAL waits in the
// shard, joined with those before it, until the interval ends, the session is
// handed over, or its application stops.
//
// # Settings that change
//
// The settings of a cache and the switch of replication can be changed on any
// node at run time. A change has an epoch, is kept in the data directory, told to
// all nodes and to each that joins; of two, the later epoch holds everywhere.
package cluster

// Package membership says which nodes are in the cluster: SWIM with Lifeguard, by
// hashicorp/memberlist, over a transport that it is given.
//
// A node is a process: one that starts again is another node with the same name,
// told apart by its ID, a random number per start. To memberlist a node is called
// NAME#ID, so that a leftover of a former process and the present one never mix:
// the new one is in at once, the old one is out at once.
//
// What holds is a [View]: an immutable, numbered list of the nodes that are alive,
// this one included. SWIM alone declares a node dead; a silent host is out of the
// view of the others within 2.5 s in clusters of 3 to 8 nodes (the numbers are in
// tuned). [Membership.Crashed] takes a hint from whoever has seen a process end: the
// node is out of this node's view at once, and comes back, as a false alarm, if it
// answers a probe that was sent afterwards, or if SWIM does not agree for long.
//
// A node that is suspected without reason says so and stays. One that was declared
// dead, because it was paused or cut off, is taken in again when it is heard of:
// every node keeps asking the addresses it has lost, and its seeds, and one that
// notices that it stood still asks everybody at once. So two halves of a cluster
// find each other again without a restart, whichever of them has the seeds.
//
// Two nodes that are alive with the same name are a mistake in the configuration: the
// one that joins is refused, and if both have long been there (in two halves), the
// later started one goes.
//
// Packets and streams are encrypted with the cluster's gossip key; who may connect at
// all is the transport's business (cluster/identity).
package membership

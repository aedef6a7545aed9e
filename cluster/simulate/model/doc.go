// Package model estimates what a cluster of any size costs: it runs the real
// protocol (package replica) with the real encoding (package wire) on 3 to 1000
// nodes in virtual time, and counts messages, bytes and processor time.
//
// What is real: every message, when it is sent, to whom and how many there are;
// how many bytes it has on a lane with its tables and acknowledgements by
// number; that a lane sends what has queued up as one batch while the one before
// is under way; copies, claims, transfers to joiners.
//
// What is a parameter (Costs): what a message, a batch and a request cost a
// processor, how long a packet takes, what the layers below add to a batch. Each
// node has one processor that does one thing at a time, so a node with much to do
// is late, its batches grow and its messages get cheaper, as it happens in truth.
//
// What is left out: the garbage collector, the kernel's queues, losses, and the
// membership protocol, whose load does not depend on requests (SWIM: one probe
// and its answer per node and second, whatever the size).
package model

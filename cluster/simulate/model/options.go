package model

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/serval-server/serval/cluster/replica"
)

// Options is one cluster and what happens to it.
type Options struct {
	// Nodes is the size of the cluster, Sessions how many it has.
	Nodes, Sessions int
	// Owners is how many nodes hold each session; 0: all (REPL).
	Owners int
	// Ack is when a request is answered.
	Ack replica.AckPolicy
	// Rate is the number of requests per second that each node serves; each
	// changes its session's counter.
	Rate float64
	// Requests is how many are measured; 0: as many as are affordable.
	Requests int
	// Value is the size of the attribute beside the counter, in bytes.
	Value int
	// Kill is how many nodes die at once, Join how many come at once.
	Kill, Join int
	// Seed fixes the history.
	Seed uint64
	// Costs are the parameters.
	Costs Costs
}

// Mode names the arrangement: REPL or DIST with its owners.
func (o Options) Mode() string {
	if o.Owners <= 0 {
		return "REPL"
	}
	return fmt.Sprintf("DIST %d", o.Owners)
}

// Costs is what the model does not know by itself. Times are of one processor.
type Costs struct {
	Commit time.Duration `json:"commitNs"` // a delta taken, committed and encoded, once for all peers
	Write  time.Duration `json:"writeNs"`  // a message written to a lane
	Apply  time.Duration `json:"applyNs"`  // a message read, decoded and applied
	Ack    time.Duration `json:"ackNs"`    // an acknowledgement read or written
	KiB    time.Duration `json:"kibNs"`    // a KiB sent or received: encryption and copies
	Batch  time.Duration `json:"batchNs"`  // a batch sent or received: system call, packet, waking up
	Trip   time.Duration `json:"tripNs"`   // a packet from node to node
	Packet int           `json:"packetBytes"`
	Detect time.Duration `json:"detectNs"` // until the others know that a node is dead
}

// DefaultCosts are what was measured on one core of a server's processor; see
// docs/scaling.md for where each figure comes from.
func DefaultCosts() Costs {
	return Costs{
		Commit: 3 * time.Microsecond, Write: 400 * time.Nanosecond, Apply: 1500 * time.Nanosecond, Ack: 400 * time.Nanosecond,
		KiB: 2 * time.Microsecond, Batch: 20 * time.Microsecond, Trip: 50 * time.Microsecond, Packet: 70, Detect: 300 * time.Millisecond,
	}
}

// Set changes costs by a list such as "batch=15us,packet=60".
func (c *Costs) Set(list string) error {
	times := map[string]*time.Duration{
		"commit": &c.Commit, "write": &c.Write, "apply": &c.Apply, "ack": &c.Ack, "kib": &c.KiB, "batch": &c.Batch, "trip": &c.Trip, "detect": &c.Detect,
	}
	for _, item := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' }) {
		name, value, _ := strings.Cut(item, "=")
		if name == "packet" {
			n, err := strconv.Atoi(value)
			if err != nil || n < 0 {
				return fmt.Errorf("costs: packet %q is no number of bytes", value)
			}
			c.Packet = n
			continue
		}
		t, known := times[name]
		if !known {
			return fmt.Errorf("costs: %q is none of commit, write, apply, ack, kib, batch, trip, detect, packet", name)
		}
		d, err := time.ParseDuration(value)
		if err != nil || d < 0 {
			return fmt.Errorf("costs: %s: %q is no time", name, value)
		}
		*t = d
	}
	return nil
}

func (c Costs) String() string {
	return fmt.Sprintf("commit=%v,write=%v,apply=%v,ack=%v,kib=%v,batch=%v,trip=%v,packet=%d,detect=%v",
		c.Commit, c.Write, c.Apply, c.Ack, c.KiB, c.Batch, c.Trip, c.Packet, c.Detect)
}

// Result is what a cluster did.
type Result struct {
	Mode     string  `json:"mode"`
	Nodes    int     `json:"nodes"`
	Sessions int     `json:"sessions"`
	Ack      string  `json:"ack"`
	Rate     float64 `json:"requestsPerNodeAndSecond"`
	Requests int     `json:"requests"`
	// Of one request, over all nodes.
	Messages float64 `json:"messagesPerRequest"`
	Batches  float64 `json:"batchesPerRequest"`
	Bytes    float64 `json:"bytesPerRequest"`
	CPU      float64 `json:"cpuMicrosPerRequest"`
	P50, P99 float64 // of the time that a change waits for its acknowledgement, in µs
	// Of an idle node, per second.
	IdleMessages float64 `json:"idleMessagesPerNodeAndSecond"`
	IdleBytes    float64 `json:"idleBytesPerNodeAndSecond"`
	Copies       float64 `json:"copiesPerNode"`
	Failure      *Storm  `json:"failure,omitempty"`
	Joining      *Storm  `json:"joining,omitempty"`
}

// Storm is what a change of the membership brought about, beside what the
// requests meanwhile cost by themselves.
type Storm struct {
	Nodes    int     `json:"nodes"`   // that went or came
	Moved    int     `json:"claimed"` // sessions that have another home now
	Messages int     `json:"messages"`
	Bytes    float64 `json:"bytes"`
	CPU      float64 `json:"cpuSeconds"` // over all nodes
	Busiest  float64 `json:"busiestNodeCPUSeconds"`
	// Seconds until every session had a live home, or each joiner had all it
	// should have; negative if that was not seen.
	Seconds float64 `json:"seconds"`
	P99     float64 `json:"p99Micros"` // of the requests meanwhile
}

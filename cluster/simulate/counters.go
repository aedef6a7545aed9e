package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/serval-server/serval/cluster/replica"
)

// counters count what happened, to show that a run was not vacuous.
type counters struct {
	mu sync.Mutex
	n  map[string]int
}

// expected must all happen in a run of some thousand seeds.
var expected = []string{
	"created", "served", "served at once", "slow application", "forwarded", "unknown", "read", "invalidate", "rename", "misrouted", "concurrent request",
	"idle client", "write acknowledged", "write degraded", "write failed", "failed request", "claimed", "expired", "forked",
	"crash", "redeploy", "pause", "partition", "one-way partition", "drain", "slow host", "false alarm", "dropped", "duplicated", "delay spike", "clock offset",
	"Update", "Copy", "Touch", "Ack", "Fenced", "Need", "Claim", "Promise", "Grant", "WhoHas", "Has", "Release", "Digest", "Listing", "Homes",
}

func newCounters() *counters { return &counters{n: map[string]int{}} }

func (c *counters) add(what string) { c.n[what]++ }

func (c *counters) message(m replica.Message) {
	_, name, _ := strings.Cut(fmt.Sprintf("%T", m), ".")
	c.n[name]++
}

func (c *counters) merge(o *counters) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k, v := range o.n {
		c.n[k] += v
	}
}

func (c *counters) missing() []string {
	return slices.DeleteFunc(slices.Clone(expected), func(k string) bool { return c.n[k] > 0 })
}

func (c *counters) String() string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(c.n)) {
		fmt.Fprintf(&b, "  %-22s %d\n", k, c.n[k])
	}
	return b.String()
}

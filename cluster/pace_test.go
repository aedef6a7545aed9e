package cluster

import (
	"testing"
	"time"
)

// TestPace: a round goes in parts while there are copies to be made, all at once
// otherwise, and seldom at rest.
func TestPace(t *testing.T) {
	n := &Node{}
	n.apps.Store(&map[uint32]*app{})
	n.met.Store(true)
	p := pace{n: n}
	step := func(what string, want time.Duration, wantPart int) {
		t.Helper()
		if got := p.step(); got != want || p.part != wantPart {
			t.Fatalf("%s: the next step after %v is of part %d, want %v and %d", what, got, p.part, want, wantPart)
		}
	}
	n.stir()
	step("busy", tickEvery, 0)
	step("at rest", restEvery, 0)
	p.found = true // a shard has said so
	step("the round in which copies are found", tickEvery/shardCount, 0)
	p.found = true
	for part := 1; part < shardCount; part++ {
		step("copying", tickEvery/shardCount, part)
	}
	step("the next round has copies too", tickEvery/shardCount, 0)
	for part := 1; part < shardCount; part++ {
		step("the last round of copies", tickEvery/shardCount, part)
	}
	step("the copies are made", restEvery, 0)
}

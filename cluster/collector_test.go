package cluster

import (
	"runtime"
	"runtime/debug"
	"testing"
)

// TestHeapRoom: the collector gets room while somebody needs it, and what was there
// before afterwards; whoever has said something himself is heard.
func TestHeapRoom(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	percent := func() int {
		p, _ := heapNow()
		return int(p)
	}
	var h heapRoom
	h.enter()
	h.enter()
	if got := percent(); got != roomPercent {
		t.Errorf("%d %% with room", got)
	}
	h.leave()
	if got := percent(); got != roomPercent {
		t.Errorf("%d %% while one needs it still", got)
	}
	h.leave()
	if got := percent(); got != 100 {
		t.Errorf("%d %% afterwards", got)
	}
	h.enter()
	debug.SetGCPercent(50)
	h.leave()
	if got := percent(); got != 50 {
		t.Errorf("%d %%, though somebody said 50", got)
	}
	for _, own := range []int{-1, 2 * roomPercent} {
		debug.SetGCPercent(own)
		before := percent()
		h.enter()
		if got := percent(); got != before {
			t.Errorf("%d %%, though somebody said %d", got, own)
		}
		h.leave()
	}
	debug.SetGCPercent(100)
	big := make([]byte, roomMost)
	runtime.GC()
	h.enter()
	if got := percent(); got > 200 {
		t.Errorf("%d %% of a large heap", got)
	}
	h.leave()
	runtime.KeepAlive(big)
}

package cluster

import (
	"math"
	"runtime/debug"
	"runtime/metrics"
	"sync"
)

// collector gives Go's garbage collector more room while this process makes or takes
// the copies of many sessions: a small heap would be walked several times in that second,
// and each walk keeps requests from the processors for milliseconds.
var collector heapRoom

const (
	// roomPercent is how much the heap may grow meanwhile; see GOGC.
	roomPercent = 800
	// roomMost is how many bytes more than otherwise that may be.
	roomMost = 256 << 20
)

// heapRoom is what the garbage collector has been told. The zero value is ready for use.
type heapRoom struct {
	mu   sync.Mutex
	need int // guarded by mu; how many nodes of this process need room
	was  int // guarded by mu; the percentage before
	set  int // guarded by mu; what it was set to, 0 if it is left alone
}

// enter makes room until leave. Whoever has given the collector more, or turned it off,
// knows better; so does a memory limit (GOMEMLIMIT), which holds all the same.
func (h *heapRoom) enter() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.need++; h.need > 1 {
		return
	}
	percent, live := heapNow()
	h.set = 0
	if more := min(roomPercent, percent+roomMost*100/max(live, 1)); more > percent {
		h.set, h.was = int(more), debug.SetGCPercent(int(more))
	}
}

// leave takes the room back, unless somebody has said something else meanwhile.
func (h *heapRoom) leave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.need--; h.need > 0 || h.set == 0 {
		return
	}
	if percent, _ := heapNow(); percent == uint64(h.set) {
		debug.SetGCPercent(h.was)
	}
}

// heapNow returns by how many percent the heap may grow, and what lived of it when it
// was last collected, in bytes.
func heapNow() (percent, live uint64) {
	s := []metrics.Sample{{Name: "/gc/gogc:percent"}, {Name: "/gc/heap/live:bytes"}}
	metrics.Read(s)
	if s[0].Value.Kind() != metrics.KindUint64 || s[1].Value.Kind() != metrics.KindUint64 {
		return math.MaxInt32, 0 // unknown to this version of Go: leave it alone
	}
	return min(s[0].Value.Uint64(), math.MaxInt32), s[1].Value.Uint64()
}

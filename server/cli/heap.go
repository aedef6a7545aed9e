package cli

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
)

// gcHeadroom is how much may be allocated between two collections however small
// the heap is, in bytes. A server without sessions keeps some 4 MiB alive, and
// at Go's default would collect its garbage every 4 MiB: a quarter of all CPU
// time of a small request (bench/single.sh). It costs this much memory.
const gcHeadroom = 24 << 20

// gcPacer sets GOGC after each collection, so that the next one comes after the
// heap has doubled, but not before gcHeadroom bytes. A GOGC of the
// environment's is left alone.
type gcPacer struct {
	stopped atomic.Bool
	before  int
}

// cycle is garbage whose finalizer tells of a collection: nothing but the pace
// depends on it.
type cycle struct{ _ [16]byte }

func startGCPacer() *gcPacer {
	p := &gcPacer{}
	if os.Getenv("GOGC") != "" {
		p.stopped.Store(true)
		return p
	}
	p.before = debug.SetGCPercent(gcPercent(liveHeap()))
	p.arm()
	return p
}

func (p *gcPacer) arm() {
	runtime.SetFinalizer(&cycle{}, func(*cycle) {
		if p.stopped.Load() {
			return
		}
		debug.SetGCPercent(gcPercent(liveHeap()))
		p.arm()
	})
}

// stop gives the pace back.
func (p *gcPacer) stop() {
	if p.stopped.CompareAndSwap(false, true) {
		debug.SetGCPercent(p.before)
	}
}

// gcPercent is the GOGC for a heap with so many bytes alive.
func gcPercent(live uint64) int {
	const doubled = 100
	// Go takes no heap for smaller than 4 MiB here.
	return max(doubled, int(doubled*gcHeadroom/max(live, 4<<20)))
}

func liveHeap() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(s)
	if s[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return s[0].Value.Uint64()
}

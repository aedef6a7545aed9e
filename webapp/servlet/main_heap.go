//go:build !wasip1

package servlet

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// gcHeadroom is how much may be allocated between two collections however small
// the heap is, in bytes. A worker keeps little alive, its sessions being in the
// server, and at Go's default would collect its garbage every 4 MiB, which is a
// tenth of all CPU time of a small request. It costs this much memory.
const gcHeadroom = 16 << 20

// gcCycle is garbage whose finalizer tells of a collection: nothing but the pace
// depends on it.
type gcCycle struct{ _ [16]byte }

// paceGC sets GOGC after each collection, so that the next one comes after the
// heap has doubled, but not before gcHeadroom bytes; a memory limit (GOMEMLIMIT)
// still counts. A GOGC of the environment's is left alone.
func paceGC() {
	if os.Getenv("GOGC") != "" {
		return
	}
	debug.SetGCPercent(gcPercent(liveHeap()))
	armPacer()
}

func armPacer() {
	runtime.SetFinalizer(new(gcCycle), func(*gcCycle) {
		debug.SetGCPercent(gcPercent(liveHeap()))
		armPacer()
	})
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

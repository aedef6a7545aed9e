package cli

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"time"
)

// gcHeadroom is how much may be allocated between two collections however small
// the heap is, in bytes. A server without sessions keeps some 4 MiB alive, and
// at Go's default would collect its garbage every 4 MiB: a quarter of all CPU
// time of a small request (bench/single.sh). It costs this much memory.
const gcHeadroom = 24 << 20

// gcPacer sets GOGC after each collection, so that the next one comes after the
// heap has doubled, but not before gcHeadroom bytes, and gives memory back when the
// server is at rest. A GOGC of the environment's is left alone, and all with it.
type gcPacer struct {
	stopped atomic.Bool
	before  int
	quit    chan struct{} // closed by stop; nil: nothing runs
	wg      sync.WaitGroup
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
	p.quit = make(chan struct{})
	p.wg.Go(p.watch)
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
		close(p.quit)
		p.wg.Wait()
		debug.SetGCPercent(p.before)
	}
}

const (
	// lookEvery is how often the pacer looks whether the server is at rest, and
	// restLooks how often it must have been so in a row.
	lookEvery = time.Second
	restLooks = 3
	// restBytes is how much a server at rest allocates between two looks, at most:
	// what nodes tell each other without requests.
	restBytes = 2 << 20
	// worthBytes is how much memory there must be to give back.
	worthBytes = 16 << 20
)

// watch gives what a burst of requests has left behind back to the operating
// system, once it is over: Go itself keeps the heap at twice what was alive in the
// burst until two minutes without a collection have gone by, and beyond.
func (p *gcPacer) watch() {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	var r rest
	for {
		select {
		case <-p.quit:
			return
		case <-tick.C:
			if r.look(readUsage()) {
				debug.FreeOSMemory()
			}
		}
	}
}

// usage is what the collector says of memory, in bytes.
type usage struct {
	allocated uint64 // ever
	idle      uint64 // garbage, and memory that is kept for reuse
}

// rest finds out when a server is at rest with memory to give back.
type rest struct {
	last  uint64 // allocated at the last look
	looks int    // in a row at which nearly nothing had been allocated
}

// look reports whether memory should be given back now.
func (r *rest) look(u usage) bool {
	if u.allocated-r.last > restBytes {
		r.looks = 0
	} else {
		r.looks++
	}
	r.last = u.allocated
	return r.looks >= restLooks && u.idle >= worthBytes
}

func readUsage() usage {
	s := []metrics.Sample{
		{Name: "/gc/heap/allocs:bytes"}, {Name: "/memory/classes/heap/free:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/gc/heap/live:bytes"},
	}
	metrics.Read(s)
	var v [4]uint64
	for i := range s {
		if s[i].Value.Kind() == metrics.KindUint64 {
			v[i] = s[i].Value.Uint64()
		}
	}
	return usage{allocated: v[0], idle: v[1] + v[2] - min(v[2], v[3])}
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

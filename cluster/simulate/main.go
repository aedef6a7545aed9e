// Command simulate runs the replication protocol (cluster/replica) in simulated
// clusters of 2 to 7 nodes, with all that can go wrong between them, and checks
// the invariants of the design. A seed is a history: it replays exactly.
//
//	go run ./cluster/simulate -seeds 10000 -first 1
//	go run ./cluster/simulate -seeds 1 -first 4711 -v     the history of one seed
//	go run ./cluster/simulate -planted                    known bugs must be caught
//	go run ./cluster/simulate -model -nodes 3,100         what large clusters cost
//
// The exit status is 1 on a violation; the failing seed and its history are
// printed.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/serval-server/serval/cluster/simulate/model"
)

func main() {
	seeds := flag.Uint64("seeds", 10000, "how many seeds to run")
	first := flag.Uint64("first", 1, "the first seed")
	verbose := flag.Bool("v", false, "print the history of the first seed")
	planted := flag.Bool("planted", false, "run the planted bugs: each must be caught within the seeds")
	modeled := flag.Bool("model", false, "estimate what large clusters cost instead; see the flags of the model")
	command := model.Flags(flag.CommandLine)
	flag.Parse()
	debug.SetGCPercent(400) // each history is small, and soon forgotten
	if *modeled {
		if err := command.Run(os.Stdout, os.Stderr); err != nil {
			fmt.Fprintln(os.Stderr, "simulate:", err)
			os.Exit(2)
		}
		return
	}
	if *planted {
		os.Exit(runPlanted(*first, *seeds))
	}
	if *verbose {
		w := simulate(*first, nil, true)
		for _, line := range w.trace {
			fmt.Println(line)
		}
	}
	start := time.Now()
	total := newCounters()
	if failed, ok := runSeeds(*first, *seeds, nil, total); ok {
		explain(failed)
		os.Exit(1)
	}
	fmt.Printf("%d seeds from %d on, no violation, %.0f seeds/s\n%s", *seeds, *first, float64(*seeds)/time.Since(start).Seconds(), total)
	if missing := total.missing(); *seeds >= 1000 && len(missing) > 0 {
		fmt.Printf("never happened, so not tested: %v\n", missing)
		os.Exit(1)
	}
}

func explain(seed uint64) {
	w := simulate(seed, nil, true)
	const last = 4000
	from := max(0, len(w.trace)-last)
	for _, line := range w.trace[from:] {
		fmt.Println(line)
	}
	fmt.Printf("seed %d violates %v\nplan %+v\nconfig %+v\nfaults %+v\nreplay: go run ./cluster/simulate -seeds 1 -first %d -v\n", seed, w.broken, w.plan, w.cfg, w.faults, seed)
}

// runSeeds runs seeds on all processors and returns the lowest that fails.
func runSeeds(first, count uint64, b *bug, total *counters) (failed uint64, found bool) {
	var next, lowest atomic.Uint64
	next.Store(first)
	lowest.Store(^uint64(0))
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for {
				seed := next.Add(1) - 1
				if seed >= first+count || seed > lowest.Load() {
					return
				}
				w := simulate(seed, b, false)
				total.merge(w.stats)
				for w.broken != nil {
					old := lowest.Load()
					if seed >= old || lowest.CompareAndSwap(old, seed) {
						break
					}
				}
			}
		})
	}
	wg.Wait()
	return lowest.Load(), lowest.Load() != ^uint64(0)
}

package main

import (
	"slices"
	"testing"
)

// TestSeeds runs histories with all kinds of faults and checks the invariants.
func TestSeeds(t *testing.T) {
	seeds := uint64(500)
	if testing.Short() {
		seeds = 100
	}
	if failed, ok := runSeeds(1, seeds, nil, newCounters()); ok {
		t.Fatalf("go run ./cluster/simulate -seeds 1 -first %d: %v", failed, simulate(failed, nil, false).broken)
	}
}

// TestReplay: a seed is a history, to the last message.
func TestReplay(t *testing.T) {
	lines := 0
	for seed := uint64(1); seed <= 10; seed++ {
		a, b := simulate(seed, nil, true), simulate(seed, nil, true)
		if !slices.Equal(a.trace, b.trace) {
			i := 0
			for i < min(len(a.trace), len(b.trace)) && a.trace[i] == b.trace[i] {
				i++
			}
			t.Fatalf("seed %d: two histories from line %d of %d and %d on", seed, i, len(a.trace), len(b.trace))
		}
		lines += len(a.trace)
	}
	if lines < 5000 {
		t.Errorf("ten histories of %d lines together prove nothing", lines)
	}
}

// TestPlanted: the checker is not blind. All bugs are run by -planted.
func TestPlanted(t *testing.T) {
	for i := range bugs[3:10] {
		b := &bugs[3+i]
		t.Run(b.name, func(t *testing.T) {
			if _, caught := runSeeds(1, 300, b, newCounters()); !caught {
				t.Error("not caught within 300 seeds")
			}
		})
	}
}

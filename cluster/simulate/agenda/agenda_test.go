package agenda

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestOrder: by time, and at one time as it was put down.
func TestOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	var a Agenda
	type entry struct {
		at time.Duration
		n  int
	}
	var got []entry
	n := 0
	add := func(now time.Duration) {
		at, k := now+time.Duration(rng.IntN(50)), n
		n++
		a.Add(at, func() { got = append(got, entry{at, k}) })
	}
	for range 200 {
		add(0)
	}
	for {
		at, ok := a.Next()
		if !ok {
			break
		}
		took, do := a.Take()
		if do(); took != at {
			t.Fatalf("Next says %v, Take %v", at, took)
		}
		if n < 2000 {
			add(at)
		}
	}
	if len(got) != n {
		t.Fatalf("%d of %d happened", len(got), n)
	}
	for i := 1; i < n; i++ {
		if a, b := got[i-1], got[i]; a.at > b.at || a.at == b.at && a.n > b.n {
			t.Fatalf("%v before %v", a, b)
		}
	}
}

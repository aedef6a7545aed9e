package cli

import (
	"runtime/debug"
	"testing"
)

func TestGCPercent(t *testing.T) {
	for _, c := range []struct {
		live uint64
		want int
	}{{0, 600}, {4 << 20, 600}, {12 << 20, 200}, {24 << 20, 100}, {1 << 30, 100}} {
		if got := gcPercent(c.live); got != c.want {
			t.Errorf("gcPercent(%d MiB) = %d, want %d", c.live>>20, got, c.want)
		}
	}
}

func TestGCPacerGivesThePaceBack(t *testing.T) {
	t.Setenv("GOGC", "")
	before := debug.SetGCPercent(123)
	defer debug.SetGCPercent(before)
	p := startGCPacer()
	if got := debug.SetGCPercent(200); got == 123 {
		t.Error("the pace was not set")
	}
	p.stop()
	if got := debug.SetGCPercent(123); got != 123 {
		t.Errorf("after stop the pace is %d, want what it was", got)
	}
}

func TestRest(t *testing.T) {
	const much, little = 8 << 20, 1 << 20
	var r rest
	for i, c := range []struct {
		allocated, idle uint64
		want            bool
	}{
		{much, 100 << 20, false}, {little, 100 << 20, false}, {little, 100 << 20, false}, {little, 100 << 20, true},
		{little, 0, false},         // nothing to give back
		{little, 20 << 20, true},   // garbage of a server at rest
		{much, 100 << 20, false},   // requests again
		{little, 100 << 20, false}, // and over
		{little, 100 << 20, false},
		{little, 100 << 20, true},
	} {
		if got := r.look(usage{allocated: r.last + c.allocated, idle: c.idle}); got != c.want {
			t.Errorf("look %d: %v, want %v", i, got, c.want)
		}
	}
}

func TestReadUsage(t *testing.T) {
	before := readUsage()
	garbage := make([][]byte, 64)
	for i := range garbage {
		garbage[i] = make([]byte, 1<<20)
	}
	if after := readUsage(); after.allocated-before.allocated < 64<<20 {
		t.Errorf("64 MiB were allocated, not %d bytes", after.allocated-before.allocated)
	}
	clear(garbage)
	debug.FreeOSMemory()
	if u := readUsage(); u.idle > worthBytes {
		t.Errorf("%d bytes are idle after all was given back", u.idle)
	}
}

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

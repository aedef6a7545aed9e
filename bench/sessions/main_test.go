package main

import (
	"strings"
	"testing"
	"time"
)

// The command measures what it says, at a size that a test can afford. Limits are
// not checked here: they are the command's, on a quiet machine.
func TestRun(t *testing.T) {
	var out strings.Builder
	if err := run(&out, 2000, time.Millisecond, limits{}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"sessions              2000\n", "rss under load", "gc worst pause"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in the report:\n%s", want, out.String())
		}
	}
}

package model

import (
	"bytes"
	"flag"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func small(owners int) Options {
	return Options{Nodes: 4, Sessions: 60, Owners: owners, Rate: 1000, Requests: 400, Value: 100, Kill: 1, Join: 1, Seed: 1, Costs: DefaultCosts()}
}

// TestRequests: an update to each other owner and its acknowledgement, no more
// and no less, whatever the mode.
func TestRequests(t *testing.T) {
	for _, test := range []struct{ owners, messages int }{{0, 6}, {2, 2}, {3, 4}} {
		r := Run(small(test.owners))
		if r.Requests < 300 {
			t.Errorf("%s: %d of 400 requests were answered", r.Mode, r.Requests)
		}
		if low, high := float64(test.messages), float64(test.messages)*1.05; r.Messages < low || r.Messages > high {
			t.Errorf("%s: %.2f messages per request, want %d", r.Mode, r.Messages, test.messages)
		}
		if r.Batches > r.Messages || r.Bytes < 70*r.Batches || r.P99 < r.P50 || r.CPU <= 0 {
			t.Errorf("%s: %+v", r.Mode, r)
		}
		if r.Failure.Moved < 10 || r.Failure.Seconds < 0 {
			t.Errorf("%s: of about 15 sessions of the dead node, %d moved: %+v", r.Mode, r.Failure.Moved, r.Failure)
		}
		if r.Joining.Messages == 0 || r.Joining.Seconds < 0 {
			t.Errorf("%s: the joiner is not level: %+v", r.Mode, r.Joining)
		}
	}
}

// TestSame: a run follows from its options.
func TestSame(t *testing.T) {
	if a, b := Run(small(2)), Run(small(2)); !reflect.DeepEqual(a, b) {
		t.Errorf("two runs:\n%+v %+v %+v\n%+v %+v %+v", a, a.Failure, a.Joining, b, b.Failure, b.Joining)
	}
}

func TestCommand(t *testing.T) {
	dir := t.TempDir()
	f := flag.NewFlagSet("", flag.ContinueOnError)
	c := Flags(f)
	args := []string{"-nodes", "3,4", "-modes", "repl,dist2", "-sessions", "30", "-requests", "50", "-costs", "batch=10us,packet=60", "-out", dir}
	if err := f.Parse(args); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := c.Run(&out, io.Discard); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"batch=10µs", "packet=60", "DIST 2", "1 die", "1 join"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	for _, name := range []string{"model.json", "cpu.svg", "bytes.svg", "failure.svg"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestBadArguments(t *testing.T) {
	for _, args := range [][]string{
		{"-nodes", "1"}, {"-nodes", "x"}, {"-modes", "dist"}, {"-modes", "star"}, {"-modes", "dist1"}, {"-ack", "two"},
		{"-costs", "sleep=1s"}, {"-costs", "batch=-1s"}, {"-costs", "packet=many"},
	} {
		f := flag.NewFlagSet("", flag.ContinueOnError)
		c := Flags(f)
		if err := f.Parse(args); err != nil {
			t.Fatal(err)
		}
		if err := c.Run(io.Discard, io.Discard); err == nil || !strings.Contains(err.Error(), strings.TrimLeft(args[0], "-")) {
			t.Errorf("%v: %v", args, err)
		}
	}
}

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/serval-server/serval/bench/rig"
)

func cellSample(system, cell string, cpu float64) sample {
	return sample{System: system, Cell: cell, Report: rig.Report{Requests: 1000, CPU: cpu, Bytes: cpu * 2, RPS: 5}}
}

func TestMarkdownComparesWithTomcatInTheSameArrangement(t *testing.T) {
	r := &results{Samples: []sample{
		cellSample("repl-all", "count", 30), cellSample("repl-all", "count", 50), cellSample("repl-all", "count", 40),
		cellSample("tomcat-async", "count", 160),
		cellSample("linked", "count", 10), cellSample("tomcat", "count", 20),
		{System: "repl-all", Cell: "join", Value: 400, Unit: "ms"},
		{System: "redis-scs", Problem: "missing: redis-server"},
		{System: "redis-scs", Problem: "missing: redis-server"},
	}}
	got := r.markdown()
	for _, want := range []string{
		"| repl-all | 40 (30–50) | 0.25 | 80 (60–100) |",
		"| tomcat-async | 160 | – | 320 |",
		"| linked | 10 | 0.50 | – |",
		"| repl-all | 400 |",
		"- redis-scs: missing: redis-server (2 times)",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

// A run without any request has no figure: it must not count as 0 µs.
func TestFailedRunsHaveNoFigure(t *testing.T) {
	r := &results{Samples: []sample{{System: "linked", Cell: "count", Problem: "load: exit status 1"}, cellSample("linked", "count", 12)}}
	if v := r.of("linked", "count", cpuOf); v.n != 1 || v.median != 12 {
		t.Errorf("got %+v", v)
	}
}

func TestSpread(t *testing.T) {
	for _, c := range []struct {
		in   []float64
		want string
	}{
		{nil, "–"}, {[]float64{3}, "3"}, {[]float64{1, 2}, "1.50 (1–2)"}, {[]float64{9, 1, 5}, "5 (1–9)"}, {[]float64{157.4, 157.4}, "157"},
	} {
		if got := spreadOf(c.in).String(); got != c.want {
			t.Errorf("%v: got %s, want %s", c.in, got, c.want)
		}
	}
}

func TestPlotsAreSVG(t *testing.T) {
	dir := t.TempDir()
	r := &results{Samples: []sample{cellSample("repl-all", "count", 30), cellSample("repl-all", "cart16k", 80), cellSample("linked", "count", 10)}}
	if err := r.write(dir); err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{"cost-by-size.svg", "cost-by-nodes.svg"} {
		data, err := os.ReadFile(filepath.Join(dir, f))
		if err != nil || !strings.Contains(string(data), "repl-all") {
			t.Errorf("%s: %v, %d bytes", f, err, len(data))
		}
	}
}

func TestChoose(t *testing.T) {
	if _, err := choose("cell", "count,nothing", cells, func(c cell) string { return c.name }); err == nil || !strings.Contains(err.Error(), `"nothing"`) {
		t.Errorf("got %v", err)
	}
	got, err := choose("cell", "read,count", cells, func(c cell) string { return c.name })
	if err != nil || len(got) != 2 || got[0].name != "read" {
		t.Errorf("got %v, %v", got, err)
	}
}

// TestCellsAtARate: each kind is measured at full speed and at a rate, with no more
// sessions than the requests of a second: what makes them belongs into the warm-up.
func TestCellsAtARate(t *testing.T) {
	for i, k := range kinds {
		c := cells[len(kinds)+i]
		if cells[i].rate != 0 || c.path != k.path || c.rate <= 0 || c.sessions > c.rate || c.sessions > k.sessions || (c.sessions == 0) != (k.sessions == 0) {
			t.Errorf("%+v at a rate is %+v", k, c)
		}
	}
	got := strings.Join(cells[len(cells)-1].load(system{app: "/a", cookie: "c"}), " ")
	if want := "-path /a/cart?size=65536 -sessions 100 -cookie c -rate 100"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestAdd: what a run adds to stays, and must be of the same machine and load.
func TestAdd(t *testing.T) {
	o := options{out: t.TempDir(), conns: 32, add: true}
	if _, _, err := resultsFor(o); err == nil || !strings.Contains(err.Error(), "nothing to add to") {
		t.Errorf("nothing there: %v", err)
	}
	r := newResults(o)
	r.Rounds = 2
	r.add([]sample{cellSample("linked", "count", 10)})
	if err := r.write(o.out); err != nil {
		t.Fatal(err)
	}
	got, rounds, err := resultsFor(o)
	if err != nil || rounds != 2 || got.of("linked", "count", cpuOf).n != 1 {
		t.Errorf("%+v, %d rounds, %v", got, rounds, err)
	}
	o.conns = 8
	if _, _, err := resultsFor(o); err == nil || !strings.Contains(err.Error(), "32 connections") {
		t.Errorf("another load: %v", err)
	}
	o.add = false
	if got, rounds, err := resultsFor(o); err != nil || rounds != 0 || len(got.Samples) != 0 {
		t.Errorf("a new run: %+v, %d, %v", got, rounds, err)
	}
}

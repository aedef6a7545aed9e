package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/serval-server/serval/bench/rig"
)

// sample is one measurement of one system in one round: a cell's report, or one
// value of another kind.
type sample struct {
	System string `json:"system"`
	Cell   string `json:"cell"`
	rig.Report
	Value   float64 `json:"value,omitempty"`
	Unit    string  `json:"unit,omitempty"`
	Problem string  `json:"problem,omitempty"`
}

// results are all samples of a run, and where they were taken.
type results struct {
	When    time.Time `json:"when"`
	Machine string    `json:"machine"`
	Halt    bool      `json:"halt"` // idle CPUs halted
	Conns   int       `json:"connections"`
	Rounds  int       `json:"rounds"` // that are complete; of a first one that is not, 1
	Length  string    `json:"length"`
	Samples []sample  `json:"samples"`
}

func newResults(o options) *results {
	return &results{When: time.Now().UTC().Truncate(time.Second), Machine: machine(), Halt: o.halt, Conns: o.conns, Rounds: 1, Length: o.length.String()}
}

// resultsFor are what a run adds to: new ones, or with -add those that are there, and how
// many rounds they have.
func resultsFor(o options) (r *results, rounds int, err error) {
	r = newResults(o)
	if !o.add {
		return r, 0, nil
	}
	name := filepath.Join(o.out, "compare.json")
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, 0, fmt.Errorf("there is nothing to add to: %w", err)
	}
	old := &results{}
	switch err := json.Unmarshal(data, old); {
	case err != nil:
		return nil, 0, fmt.Errorf("%s: %w", name, err)
	case old.Machine != r.Machine || old.Halt != r.Halt || old.Conns != r.Conns:
		return nil, 0, fmt.Errorf("%s has results of %s with %d connections: nothing to add to", name, old.Machine, old.Conns)
	}
	return old, old.Rounds, nil
}

// machine describes this machine in a line.
func machine() string {
	model := "unknown CPU"
	if data, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		_, rest, _ := strings.Cut(string(data), "model name\t: ")
		model, _, _ = strings.Cut(rest, "\n")
	}
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return fmt.Sprintf("%d × %s, Linux %s, %s", runtime.NumCPU(), model, strings.TrimSpace(string(kernel)), runtime.Version())
}

func (r *results) add(s []sample) { r.Samples = append(r.Samples, s...) }

// write puts the results into a folder: compare.json, compare.md and the plots.
func (r *results) write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	data, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "compare.json"), append(data, '\n'), 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "compare.md"), []byte(r.markdown()), 0o644); err != nil {
		return err
	}
	return r.plots(dir)
}

// spread is the median of some values with the lowest and the highest.
type spread struct {
	median, low, high float64
	n                 int
}

func spreadOf(values []float64) spread {
	if len(values) == 0 {
		return spread{}
	}
	slices.Sort(values)
	m := values[len(values)/2]
	if len(values)%2 == 0 {
		m = (m + values[len(values)/2-1]) / 2
	}
	return spread{m, values[0], values[len(values)-1], len(values)}
}

func (s spread) String() string {
	switch {
	case s.n == 0:
		return "–"
	case s.n == 1 || s.low == s.high:
		return short(s.median)
	}
	return fmt.Sprintf("%s (%s–%s)", short(s.median), short(s.low), short(s.high))
}

// short writes three digits or so.
func short(v float64) string {
	switch {
	case v >= 100 || v == float64(int64(v)):
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// of collects one figure of a system in a cell over the rounds.
func (r *results) of(system, cell string, f func(sample) float64) spread {
	var v []float64
	for _, s := range r.Samples {
		if s.System == system && s.Cell == cell && s.usable() {
			v = append(v, f(s))
		}
	}
	return spreadOf(v)
}

// usable reports that a sample has a figure; one with errors is shown with them.
func (s sample) usable() bool { return s.Requests > 0 || s.Unit != "" }

func cpuOf(s sample) float64   { return s.CPU }
func bytesOf(s sample) float64 { return s.Bytes }
func valueOf(s sample) float64 { return s.Value }

// against is the system that each cell is compared with: Tomcat in the same
// arrangement.
func against(system string) string {
	switch {
	case strings.HasPrefix(system, "repl"), strings.HasPrefix(system, "dist"), strings.HasPrefix(system, "redis"):
		return "tomcat-async"
	case strings.HasPrefix(system, "tomcat-"):
		return "tomcat-async"
	}
	return "tomcat"
}

// markdown is the table of all results.
func (r *results) markdown() string {
	var b strings.Builder
	cpus := "kept awake"
	if r.Halt {
		cpus = "halting when idle"
	}
	fmt.Fprintf(&b, "Measured %s on %s, CPUs %s, %d connections; %d round(s) of %s a cell. Median (lowest–highest) of the rounds.\n",
		r.When.Format("2006-01-02 15:04 UTC"), r.Machine, cpus, r.Conns, r.Rounds, r.Length)
	for _, c := range cells {
		r.cellTable(&b, c.name)
	}
	r.valueTables(&b)
	r.problems(&b)
	return b.String()
}

func (r *results) cellTable(b *strings.Builder, cell string) {
	var rows []string
	for _, s := range systems {
		cpu := r.of(s.name, cell, cpuOf)
		if cpu.n == 0 {
			continue
		}
		ratio := "–"
		if peer := r.of(against(s.name), cell, cpuOf); peer.median > 0 && against(s.name) != s.name {
			ratio = fmt.Sprintf("%.2f", cpu.median/peer.median)
		}
		wire := "–"
		if by := r.of(s.name, cell, bytesOf); s.nodes > 1 && by.high > 0 {
			wire = by.String()
		}
		rows = append(rows, fmt.Sprintf("| %s | %s | %s | %s | %s | %s | %s |", s.name, cpu, ratio, wire,
			r.of(s.name, cell, func(s sample) float64 { return s.RPS }),
			r.of(s.name, cell, func(s sample) float64 { return s.P50 / 1000 }),
			r.of(s.name, cell, func(s sample) float64 { return s.P99 / 1000 })))
	}
	if len(rows) == 0 {
		return
	}
	fmt.Fprintf(b, "\n### %s\n\n| system | CPU µs/request, all nodes | ÷ Tomcat | IP bytes between nodes/request | requests/s | p50 ms | p99 ms |\n|---|--:|--:|--:|--:|--:|--:|\n%s\n",
		cell, strings.Join(rows, "\n"))
}

// valueTables shows what is not a cell: a row per system, a column per kind.
func (r *results) valueTables(b *strings.Builder) {
	var memory, rest []string
	unit := map[string]string{}
	for _, s := range r.Samples {
		if s.Unit == "" || unit[s.Cell] != "" {
			continue
		}
		unit[s.Cell] = s.Unit
		if strings.HasSuffix(s.Unit, "/session") || s.Unit == "MiB" {
			memory = append(memory, s.Cell)
		} else {
			rest = append(rest, s.Cell)
		}
	}
	r.valueTable(b, "Memory of small sessions, one node", memory, unit)
	r.valueTable(b, "Everything else", rest, unit)
}

func (r *results) valueTable(b *strings.Builder, title string, kinds []string, unit map[string]string) {
	if len(kinds) == 0 {
		return
	}
	b.WriteString("\n### " + title + "\n\n| system |")
	for _, k := range kinds {
		fmt.Fprintf(b, " %s, %s |", k, unit[k])
	}
	b.WriteString("\n|---|" + strings.Repeat("--:|", len(kinds)) + "\n")
	for _, s := range systems {
		row, some := "| "+s.name+" |", false
		for _, k := range kinds {
			v := r.of(s.name, k, valueOf)
			some = some || v.n > 0
			row += " " + v.String() + " |"
		}
		if some {
			b.WriteString(row + "\n")
		}
	}
}

// problems says what is missing and what went wrong.
func (r *results) problems(b *strings.Builder) {
	seen := map[string]int{}
	for _, s := range r.Samples {
		if s.Problem != "" {
			seen[strings.TrimSpace(s.System+" "+s.Cell)+": "+s.Problem]++
		}
	}
	if len(seen) == 0 {
		return
	}
	b.WriteString("\n### Missing, or gone wrong\n\n")
	lines := make([]string, 0, len(seen))
	for l, n := range seen {
		if n > 1 {
			l = fmt.Sprintf("%s (%d times)", l, n)
		}
		lines = append(lines, "- "+l)
	}
	slices.SortFunc(lines, cmp.Compare)
	b.WriteString(strings.Join(lines, "\n") + "\n")
}

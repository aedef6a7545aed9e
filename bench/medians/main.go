// Command medians reads the load generator's reports, a JSON object a line,
// and prints each cell's median CPU time per request with its spread, and the
// ratios that the project has goals for.
//
//	go run ./bench/medians FILE
//
// A label is "CELL PEER". The exit status is 1 if a run had an error of any
// kind: a figure from a run that failed requests is not one.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

type report struct {
	Label   string  `json:"label"`
	CPU     float64 `json:"server_cpu_us_per_req"`
	RPS     float64 `json:"rps"`
	P99     float64 `json:"p99_us"`
	Back    int64   `json:"back"`
	Reset   int64   `json:"reset"`
	Ahead   int64   `json:"ahead"`
	BadSum  int64   `json:"bad_sum"`
	HTTP5xx int64   `json:"http_5xx"`
	HTTP4xx int64   `json:"http_4xx"`
	ConnErr int64   `json:"conn_err"`
}

func (r report) errors() int64 {
	return r.Back + r.Reset + r.Ahead + r.BadSum + r.HTTP5xx + r.HTTP4xx + r.ConnErr
}

// goal is a ratio between two cells and its upper bound.
type goal struct {
	of, to string
	max    float64
}

var goals = []goal{
	{"hello linked", "hello net/http", 1.15},
	{"count linked", "count tomcat", 1},
	{"count worker", "count linked", 1.8},
	{"count wasm", "count linked", 0},
	{"cart linked", "cart tomcat", 0},
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: medians FILE")
		os.Exit(2)
	}
	f, err := os.Open(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	defer f.Close()
	failed, err := summarize(f, os.Stdout)
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", os.Args[1], err)
		os.Exit(2)
	}
	if failed > 0 {
		fmt.Fprintf(os.Stderr, "%d requests failed or were answered wrongly\n", failed)
		os.Exit(1)
	}
}

// summarize prints the table and returns how many requests went wrong.
func summarize(in io.Reader, out io.Writer) (failed int64, err error) {
	cells, order := map[string][]report{}, []string(nil)
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		var r report
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return 0, fmt.Errorf("line %d: %w", n, err)
		}
		if cells[r.Label] == nil {
			order = append(order, r.Label)
		}
		cells[r.Label] = append(cells[r.Label], r)
		failed += r.errors()
	}
	if err := lines.Err(); err != nil {
		return 0, err
	}
	fmt.Fprintln(out, "| cell | runs | CPU µs/request | spread | requests/s | p99 ms |\n|---|---|---|---|---|---|")
	cpu := map[string]float64{}
	for _, label := range order {
		all := cells[label]
		c := sorted(all, func(r report) float64 { return r.CPU })
		cpu[label] = median(c)
		fmt.Fprintf(out, "| %s | %d | %.1f | %.1f to %.1f | %.0f | %.2f |\n", label, len(all), cpu[label], c[0], c[len(c)-1],
			median(sorted(all, func(r report) float64 { return r.RPS })), median(sorted(all, func(r report) float64 { return r.P99 }))/1000)
	}
	printGoals(out, cpu)
	return failed, nil
}

func printGoals(out io.Writer, cpu map[string]float64) {
	for _, g := range goals {
		a, b := cpu[g.of], cpu[g.to]
		if a == 0 || b == 0 {
			continue
		}
		verdict := ""
		if g.max > 0 {
			verdict = fmt.Sprintf(" (goal: at most %g, %s)", g.max, map[bool]string{true: "reached", false: "not reached"}[a/b <= g.max])
		}
		fmt.Fprintf(out, "%s / %s = %.2f%s\n", g.of, strings.TrimSpace(g.to), a/b, verdict)
	}
}

func sorted(all []report, f func(report) float64) []float64 {
	out := make([]float64, len(all))
	for i, r := range all {
		out[i] = f(r)
	}
	slices.Sort(out)
	return out
}

func median(s []float64) float64 {
	if len(s)%2 == 1 {
		return s[len(s)/2]
	}
	return (s[len(s)/2-1] + s[len(s)/2]) / 2
}

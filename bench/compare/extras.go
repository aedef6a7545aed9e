package main

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// extraNames are the measurements beside the cells.
var extraNames = []string{"start", "idle", "memory", "join", "failover"}

func chooseExtras(flag string) (map[string]bool, error) {
	out := map[string]bool{}
	switch flag {
	case "none":
		return out, nil
	case "all", "":
		flag = strings.Join(extraNames, ",")
	}
	for n := range strings.SplitSeq(flag, ",") {
		if !slices.Contains(extraNames, n) {
			return nil, fmt.Errorf("no extra is called %q: want some of %s", n, strings.Join(extraNames, ", "))
		}
		out[n] = true
	}
	return out, nil
}

// idleFor is how long an idle system is watched.
const idleFor = 10 * time.Second

// idle measures a system that nobody uses: memory and CPU per node.
func (b *bench) idle(ctx context.Context, s system, r *running, extras map[string]bool) []sample {
	if !extras["idle"] {
		return nil
	}
	select {
	case <-ctx.Done():
		return nil
	case <-time.After(3 * time.Second): // after the start's work
	}
	pids := r.pids()
	before := ticks(pids)
	select {
	case <-ctx.Done():
		return nil
	case <-time.After(idleFor):
	}
	cpu := float64(ticks(pids)-before) / 100 / idleFor.Seconds() * 100 / float64(s.nodes)
	rss := float64(rssKiB(pids)) / 1024 / float64(s.nodes)
	b.progress("  idle         %7.1f MiB RSS and %.2f %% of a core per node", rss, cpu)
	return []sample{{System: s.name, Cell: "idle RSS", Value: rss, Unit: "MiB/node"}, {System: s.name, Cell: "idle CPU", Value: cpu, Unit: "% of a core/node"}}
}

// extras measures what ends the system: a node more, a node less.
func (b *bench) extras(ctx context.Context, s system, r *running, extras map[string]bool) []sample {
	var out []sample
	if extras["start"] {
		out = append(out, b.restart(ctx, s, r)...)
	}
	if r.script == "" || s.nodes != 3 {
		return out
	}
	if extras["memory"] || extras["join"] {
		out = append(out, b.stateTransfer(ctx, s, r)...)
	}
	if extras["failover"] {
		out = append(out, b.failover(ctx, s, r)...)
	}
	return out
}

// restart measures how long a node takes from its start to its first answer. A
// script's `start` prints it in milliseconds.
func (b *bench) restart(ctx context.Context, s system, r *running) []sample {
	if r.script == "" {
		r.stop()
		began := time.Now()
		again, err := s.start(ctx, b)
		if err != nil {
			return []sample{{System: s.name, Cell: "start", Problem: err.Error()}}
		}
		took := time.Since(began)
		*r = *again
		return []sample{b.tell(s, "start", took.Seconds()*1000, "ms to the first answer")}
	}
	node := strconv.Itoa(s.nodes)
	if _, err := r.call(ctx, "stop", node); err != nil {
		return []sample{{System: s.name, Cell: "start", Problem: err.Error()}}
	}
	out, err := r.call(ctx, "start", node)
	ms, perr := strconv.ParseFloat(lastNumber(out), 64)
	if err != nil || perr != nil {
		return []sample{{System: s.name, Cell: "start", Problem: fmt.Sprintf("start %s: %v: %s", node, err, out)}}
	}
	return []sample{b.tell(s, "start", ms, "ms to the first answer")}
}

func (b *bench) tell(s system, cell string, v float64, unit string) sample {
	b.progress("  %-12s %9.1f %s", cell, v, unit)
	return sample{System: s.name, Cell: cell, Value: v, Unit: unit}
}

// stateSessions is how many sessions a joiner has to get.
const stateSessions = 100_000

// stateTransfer kills the last node, makes sessions at the others, says what they
// cost in memory, and starts the node again.
func (b *bench) stateTransfer(ctx context.Context, s system, r *running) []sample {
	bad := func(err error) []sample { return []sample{{System: s.name, Cell: "join", Problem: err.Error()}} }
	if _, err := r.call(ctx, "stop", "3"); err != nil {
		return bad(err)
	}
	two := &running{targets: r.targets[:2], pids: r.pids}
	first, err := r.call(ctx, "pid", "1")
	if err != nil {
		return bad(err)
	}
	before := rssKiB(strings.TrimSpace(first))
	// Paced, so that the queues of asynchronous peers drain meanwhile.
	if _, err := b.run(ctx, two, 0, time.Second, "-path", "/bench/count?pad=200", "-once", "-sessions", strconv.Itoa(stateSessions), "-c", "16", "-rate", "2500"); err != nil {
		return bad(err)
	}
	select {
	case <-ctx.Done():
		return bad(ctx.Err())
	case <-time.After(5 * time.Second):
	}
	per := float64(rssKiB(strings.TrimSpace(first))-before) * 1024 / stateSessions
	out := []sample{b.tell(s, "memory", per, "B RSS/session")}
	began := time.Now()
	text, err := r.call(ctx, "start", "3")
	if err != nil {
		return append(out, bad(err)...)
	}
	if ms, err := strconv.ParseFloat(lastNumber(text), 64); err == nil {
		return append(out, b.tell(s, "join", ms, "ms from start to level"))
	}
	return append(out, b.tell(s, "join", time.Since(began).Seconds()*1000, "ms from start to level"))
}

// failover kills a node with SIGKILL at full load.
func (b *bench) failover(ctx context.Context, s system, r *running) []sample {
	pid, err := r.call(ctx, "pid", "2")
	if err != nil {
		return []sample{{System: s.name, Cell: "failover", Problem: err.Error()}}
	}
	rep, err := b.run(ctx, r, 5*time.Second, 12*time.Second, "-path", "/bench/count", "-sessions", "2000",
		"-kill-pid", strings.TrimSpace(pid), "-kill-target", "1", "-kill-at", "4s")
	if err != nil {
		return []sample{{System: s.name, Cell: "failover", Problem: err.Error()}}
	}
	return []sample{
		b.tell(s, "sessions that lost updates", float64(rep.SessLost), "of 2000"),
		b.tell(s, "sessions reset", float64(rep.SessReset), "of 2000"),
		b.tell(s, "served again", rep.AllServedMs, "ms until all are"),
		b.tell(s, "longest stall", rep.StallMaxMs, "ms of one session"),
	}
}

var number = regexp.MustCompile(`[0-9]+(\.[0-9]+)?`)

// lastNumber is the last number of a text, "" if there is none.
func lastNumber(s string) string {
	all := number.FindAllString(s, -1)
	if len(all) == 0 {
		return ""
	}
	return all[len(all)-1]
}

// ticks is the CPU time of processes in hundredths of a second; those that are
// gone count nothing.
func ticks(pids string) (sum int64) {
	for pid := range strings.SplitSeq(pids, ",") {
		data, err := os.ReadFile("/proc/" + pid + "/stat")
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(data), ") ")
		f := strings.Fields(rest)
		for _, i := range []int{11, 12} { // utime and stime
			if i < len(f) {
				n, _ := strconv.ParseInt(f[i], 10, 64)
				sum += n
			}
		}
	}
	return sum
}

// rssKiB is the resident memory of processes.
func rssKiB(pids string) (sum int64) {
	for pid := range strings.SplitSeq(pids, ",") {
		data, err := os.ReadFile("/proc/" + pid + "/status")
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(data), "VmRSS:")
		n, _ := strconv.ParseInt(number.FindString(rest), 10, 64)
		sum += n
	}
	return sum
}

package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/serval-server/serval/bench/rig"
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
	if !rig.Sleep(ctx, 3*time.Second) { // after the start's work
		return nil
	}
	pids := r.pids()
	before := rig.Ticks(pids)
	if !rig.Sleep(ctx, idleFor) {
		return nil
	}
	cpu := float64(rig.Ticks(pids)-before) / 100 / idleFor.Seconds() * 100 / float64(s.nodes)
	rss := float64(rig.RSS(pids)) / 1024 / float64(s.nodes)
	b.Progress("  idle         %7.1f MiB RSS and %.2f %% of a core per node", rss, cpu)
	return []sample{{System: s.name, Cell: "idle RSS", Value: rss, Unit: "MiB/node"}, {System: s.name, Cell: "idle CPU", Value: cpu, Unit: "% of a core/node"}}
}

// extras measures what ends the system: a node more, a node less.
func (b *bench) extras(ctx context.Context, s system, r *running, extras map[string]bool) []sample {
	var out []sample
	if extras["start"] {
		out = append(out, b.restart(ctx, s, r)...)
	}
	if r.cluster == nil || s.nodes != 3 {
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
	if r.cluster == nil {
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
	if _, err := r.cluster.Call(ctx, "stop", strconv.Itoa(s.nodes)); err != nil {
		return []sample{{System: s.name, Cell: "start", Problem: err.Error()}}
	}
	ms, err := r.cluster.Start(ctx, s.nodes)
	if err != nil {
		return []sample{{System: s.name, Cell: "start", Problem: err.Error()}}
	}
	return []sample{b.tell(s, "start", ms, "ms to the first answer")}
}

func (b *bench) tell(s system, cell string, v float64, unit string) sample {
	b.Progress("  %-12s %9.1f %s", cell, v, unit)
	return sample{System: s.name, Cell: cell, Value: v, Unit: unit}
}

// stateSessions is how many sessions a joiner has to get.
const stateSessions = 100_000

// settle is how long nodes are left alone before their memory is looked at.
const settle = 8 * time.Second

// stateTransfer stops the last node, makes sessions at the others, says what they
// cost in memory, and starts the node again. The others are started anew before:
// what the cells have left behind in their memory would hide what comes.
func (b *bench) stateTransfer(ctx context.Context, s system, r *running) []sample {
	bad := func(err error) []sample { return []sample{{System: s.name, Cell: "join", Problem: err.Error()}} }
	if _, err := r.cluster.Call(ctx, "stop", "3"); err != nil {
		return bad(err)
	}
	for node := 1; node < s.nodes; node++ {
		if _, err := r.cluster.Call(ctx, "stop", strconv.Itoa(node)); err != nil {
			return bad(err)
		}
		if _, err := r.cluster.Start(ctx, node); err != nil {
			return bad(err)
		}
	}
	if !rig.Sleep(ctx, settle) {
		return bad(ctx.Err())
	}
	first, err := r.cluster.Call(ctx, "pid", "1")
	if err != nil {
		return bad(err)
	}
	before := rig.RSS(first)
	// Paced, so that the queues of asynchronous peers drain meanwhile.
	if _, err := b.Run(ctx, r.targets[:2], r.pids(), 0, time.Second, "-path", "/bench/count?pad=200", "-once",
		"-sessions", strconv.Itoa(stateSessions), "-c", "16", "-rate", "2500"); err != nil {
		return bad(err)
	}
	if !rig.Sleep(ctx, settle) {
		return bad(ctx.Err())
	}
	per := float64(rig.RSS(first)-before) * 1024 / stateSessions
	out := []sample{b.tell(s, "memory", per, "B RSS/session")}
	ms, err := r.cluster.Start(ctx, 3)
	if err != nil {
		return append(out, bad(err)...)
	}
	return append(out, b.tell(s, "join", ms, "ms from start to level"))
}

// failover kills a node with SIGKILL at full load.
func (b *bench) failover(ctx context.Context, s system, r *running) []sample {
	pid, err := r.cluster.Pid(ctx, 2)
	if err != nil {
		return []sample{{System: s.name, Cell: "failover", Problem: err.Error()}}
	}
	rep, err := b.Run(ctx, r.targets, r.pids(), 5*time.Second, 12*time.Second, "-path", "/bench/count", "-sessions", "2000",
		"-kill-pid", strconv.Itoa(pid), "-kill-target", "1", "-kill-at", "4s")
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

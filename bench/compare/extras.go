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

// extras measures what ends the system: a new start, many sessions, a node more, a
// node less.
func (b *bench) extras(ctx context.Context, s system, r *running, extras map[string]bool) []sample {
	var out []sample
	if extras["start"] {
		out = append(out, b.restart(ctx, s, r)...)
	}
	cluster := r.cluster != nil && s.nodes > 1
	if !s.noSessions && (extras["memory"] || extras["join"] && cluster) {
		full, err := b.memory(ctx, s, r)
		out = append(out, full...)
		switch {
		case err != nil:
			out = append(out, sample{System: s.name, Cell: "memory", Problem: err.Error()})
		case extras["join"] && cluster:
			out = append(out, b.join(ctx, s, r)...)
		}
	}
	if extras["failover"] && cluster {
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

// settle is how long nodes are left alone before their memory is looked at.
const settle = 8 * time.Second

// memorySessions are how many sessions there are when memory is looked at, beside none.
var memorySessions = []int{20_000, 100_000}

// memory starts a system anew, since what the cells have left behind in its memory would
// hide what comes, makes sessions of a counter and 200 characters, and says what they cost
// in memory: of a cluster at its first node, of other systems in all processes. The last
// node gets no requests, so that it can be stopped without handing sessions over.
func (b *bench) memory(ctx context.Context, s system, r *running) (out []sample, err error) {
	r.stop()
	again, err := s.start(ctx, b)
	if err != nil {
		return nil, err
	}
	*r = *again
	targets, pids := r.targets, r.pids()
	if r.cluster != nil {
		if pids, err = r.cluster.Call(ctx, "pid", "1"); err != nil {
			return nil, err
		}
		targets = targets[:max(1, len(targets)-1)]
	}
	fill := cell{path: "/count?pad=200", args: []string{"-once", "-c", "16"}, rate: 5000}
	if s.java {
		fill.rate = 2500 // the queues of asynchronous peers drain meanwhile
	}
	var empty int64
	have := 0
	for _, n := range append([]int{0}, memorySessions...) {
		if n > 0 {
			fill.sessions = n - have
			if _, err := b.Run(ctx, targets, r.pids(), 0, time.Second, fill.load(s)...); err != nil {
				return out, err
			}
		}
		if !rig.Sleep(ctx, settle) {
			return out, ctx.Err()
		}
		rss := rig.RSS(pids)
		at := strconv.Itoa(n/1000) + "k"
		out = append(out, b.tell(s, "RSS at "+at, float64(rss)/1024, "MiB"))
		if n == 0 {
			empty = rss
		} else {
			out = append(out, b.tell(s, "at "+at, float64(rss-empty)*1024/float64(n), "B/session"))
		}
		have = n
	}
	return out, nil
}

// join stops the last node of a cluster that is full of sessions, and starts it again.
func (b *bench) join(ctx context.Context, s system, r *running) []sample {
	_, err := r.cluster.Call(ctx, "stop", strconv.Itoa(s.nodes))
	var ms float64
	if err == nil {
		ms, err = r.cluster.Start(ctx, s.nodes)
	}
	if err != nil {
		return []sample{{System: s.name, Cell: "join", Problem: err.Error()}}
	}
	return []sample{b.tell(s, "join", ms, "ms from start to level")}
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

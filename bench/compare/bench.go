package main

import (
	"context"
	_ "embed" // redisPatch
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/serval-server/serval/bench/rig"
)

// bench is what all measurements share.
type bench struct {
	*rig.Rig
	o              options
	hello, goredis string // programs
}

func prepare(ctx context.Context, o options) (*bench, error) {
	r, err := rig.New(ctx)
	if err != nil {
		return nil, err
	}
	b := &bench{Rig: r, o: o}
	if b.hello, err = r.Build(ctx, filepath.Join(r.Shared, "gohello"), "gohello"); err == nil {
		b.goredis, err = buildRedis(ctx, r)
	}
	if err != nil {
		r.Close()
		return nil, err
	}
	if !r.Counter {
		r.Progress("no bytes between nodes: that needs root and nft")
	}
	return b, nil
}

// redisPatch gives the peer with sessions in Redis what the Java application has and it
// has not: a request that only reads, and sessions with some content.
//
//go:embed peers/goredis.patch
var redisPatch string

func buildRedis(ctx context.Context, r *rig.Rig) (string, error) {
	dir := filepath.Join(r.Shared, "goredis")
	c := exec.CommandContext(ctx, "git", "apply", "-")
	c.Dir, c.Stdin = dir, strings.NewReader(redisPatch)
	if out, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("completing goredis: %w: %s", err, out)
	}
	return r.Build(ctx, dir, "goredis")
}

// measure starts a system, measures its cells and what else is wanted, and stops it.
func (b *bench) measure(ctx context.Context, s system, cells []cell, extras map[string]bool) []sample {
	r, err := s.start(ctx, b)
	if err != nil {
		b.Progress("  %s: %v", s.name, err)
		return []sample{{System: s.name, Problem: err.Error()}}
	}
	defer func() { r.stop() }() // a restart brings another one
	out := b.idle(ctx, s, r, extras)
	measured, err := b.cells(ctx, s, r, cells)
	out = append(out, measured...)
	if err != nil {
		return append(out, sample{System: s.name, Problem: err.Error()})
	}
	return append(out, b.extras(ctx, s, r, extras)...)
}

// cells measures what a request costs, of each kind.
func (b *bench) cells(ctx context.Context, s system, r *running, cells []cell) (out []sample, err error) {
	if !b.o.halt {
		sleep, err := rig.Awake(ctx)
		if err != nil {
			return nil, err
		}
		defer sleep()
	}
	if s.java {
		// What is compiled is what has run: sessions and their replication.
		c := cells[max(0, slices.IndexFunc(cells, func(c cell) bool { return c.sessions > 0 }))]
		c.rate = 0
		b.Progress("  warming up for %s", b.o.jit)
		if _, err := b.Run(ctx, r.targets, r.pids(), b.o.jit, time.Second, c.load(s)...); err != nil {
			return nil, err
		}
	}
	compiled := map[string]bool{}
	for _, c := range cells {
		if c.sessions > 0 && s.noSessions {
			continue
		}
		warm := b.o.warm
		if s.java && !compiled[c.path] {
			warm = max(warm, b.o.jit/3) // for what the cell has of its own
			compiled[c.path] = true
		}
		args := append(c.load(s), "-c", strconv.Itoa(b.o.conns))
		rep, err := b.Run(ctx, r.targets, r.pids(), warm, b.o.length, args...)
		p := sample{System: s.name, Cell: c.name, Report: rep}
		if err != nil {
			p.Problem = err.Error()
		} else if n := rep.Errors(); n > 0 {
			p.Problem = fmt.Sprintf("%d of %d requests went wrong", n, rep.Requests)
		}
		b.Progress("  %-12s %7.1f µs CPU/request %8.0f/s  p99 %6.1f ms %9.0f B/request  %s", c.name, rep.CPU, rep.RPS, rep.P99/1e3, rep.Bytes, p.Problem)
		out = append(out, p)
	}
	return out, nil
}

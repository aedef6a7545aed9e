package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// options are the command's flags.
type options struct {
	systems, cells, extras string
	rounds, conns          int
	length, warm, jit      time.Duration
	out                    string
	quick, list, halt, add bool
}

func main() {
	var o options
	flag.StringVar(&o.systems, "systems", "", "systems to measure, comma-separated (default all; -list shows them)")
	flag.StringVar(&o.cells, "cells", "", "cells to measure, comma-separated (default all)")
	flag.StringVar(&o.extras, "extras", "all", "other measurements, comma-separated: start, idle, memory, join, failover; all or none")
	flag.IntVar(&o.rounds, "rounds", 3, "interleaved rounds")
	flag.IntVar(&o.conns, "c", 32, "connections of the load generator at full speed")
	flag.DurationVar(&o.length, "d", 5*time.Second, "length of one measurement")
	flag.DurationVar(&o.warm, "warm", 2*time.Second, "warm-up before each measurement")
	flag.DurationVar(&o.jit, "jit", 30*time.Second, "warm-up of a Java system after its start, with sessions; a third of it again before each cell (Tomcat gains until 60s)")
	flag.StringVar(&o.out, "out", "bench/results", "folder of the results")
	flag.BoolVar(&o.add, "add", false, "add to the results in -out, for systems that were missing or a run that was interrupted, instead of replacing them")
	flag.BoolVar(&o.quick, "quick", false, "one round with short measurements: figures wander more")
	flag.BoolVar(&o.halt, "halt", false, "let idle CPUs halt during the cells: on a virtual machine the figures then have the host's cost of waking them in it")
	flag.BoolVar(&o.list, "list", false, "list systems and cells, and end")
	flag.Parse()
	if o.quick {
		o.rounds, o.length, o.jit = 1, 4*time.Second, 20*time.Second
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	if o.list {
		list()
		return nil
	}
	chosen, err := choose("system", o.systems, systems, func(s system) string { return s.name })
	if err != nil {
		return err
	}
	cells, err := choose("cell", o.cells, cells, func(c cell) string { return c.name })
	if err != nil {
		return err
	}
	extras, err := chooseExtras(o.extras)
	if err != nil {
		return err
	}
	r, rounds, err := resultsFor(o)
	if err != nil {
		return err
	}
	b, err := prepare(ctx, o)
	if err != nil {
		return err
	}
	defer b.Close()
	for round := 1; round <= o.rounds && ctx.Err() == nil; round++ {
		for i, s := range chosen {
			b.Progress("round %d of %d: %s", round, o.rounds, s.name)
			r.add(b.measure(ctx, s, cells, extras))
			if i == len(chosen)-1 {
				r.Rounds = max(rounds, round)
			}
			if err := r.write(o.out); err != nil { // what there is survives an interruption
				return err
			}
			if ctx.Err() != nil {
				break
			}
		}
	}
	fmt.Print(r.markdown())
	b.Progress("written to %s", filepath.Join(o.out, "compare.{md,json}"))
	return ctx.Err()
}

// choose picks what a flag names; an empty one is all.
func choose[T any](what, flag string, all []T, name func(T) string) ([]T, error) {
	if flag == "" {
		return all, nil
	}
	var out []T
	var errs []error
	for n := range strings.SplitSeq(flag, ",") {
		i := slices.IndexFunc(all, func(t T) bool { return name(t) == n })
		if i < 0 {
			errs = append(errs, fmt.Errorf("no %s is called %q; -list shows those that there are", what, n))
			continue
		}
		out = append(out, all[i])
	}
	return out, errors.Join(errs...)
}

func list() {
	fmt.Println("systems:")
	for _, s := range systems {
		fmt.Printf("  %-14s %s\n", s.name, s.about)
	}
	fmt.Println("cells:")
	for _, c := range cells {
		rate := "at full speed"
		if c.rate > 0 {
			rate = fmt.Sprintf("at %d requests/s", c.rate)
		}
		fmt.Printf("  %-14s %s %s\n", c.name, c.path, rate)
	}
	fmt.Println("extras:")
	for _, e := range extraNames {
		fmt.Printf("  %s\n", e)
	}
}

// Command failover takes nodes away from a cluster under load, by each way in which
// nodes go, and counts what its users would have noticed: acknowledged updates that
// were lost, sessions that began anew, requests that failed, and how long a session
// had to wait.
//
//	go run ./bench/failover                             everything once
//	go run ./bench/failover -scenarios kill,pause -acks one,all -runs 20
//	go run ./bench/failover -list
//
// The load generator of ../shared keeps the last acknowledged counter of each session
// and checks every answer. The exit status is 1 if a promise was broken: no
// acknowledged update lost, no session reset, each session served again in time.
// A cluster of three nodes runs on ports 18081-18083 and 14001-14003.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/serval-server/serval/bench/rig"
)

func main() {
	names := flag.String("scenarios", "", "scenarios, comma-separated (default all; -list shows them)")
	acks := flag.String("acks", "one,all", "ack policies, comma-separated: none, one, quorum, all")
	runs := flag.Int("runs", 1, "how often each is run")
	list := flag.Bool("list", false, "list the scenarios, and end")
	flag.Parse()
	if *list {
		for _, s := range scenarios {
			fmt.Printf("%-12s %s\n", s.name, s.about)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	broken, err := run(ctx, *names, strings.Split(*acks, ","), *runs)
	if err != nil {
		fmt.Fprintln(os.Stderr, "failover:", err)
		os.Exit(2)
	}
	if broken > 0 {
		fmt.Printf("%d runs broke a promise\n", broken)
		os.Exit(1)
	}
}

func run(ctx context.Context, names string, acks []string, runs int) (broken int, err error) {
	chosen := scenarios
	if names != "" {
		chosen = nil
		for n := range strings.SplitSeq(names, ",") {
			i := slices.IndexFunc(scenarios, func(s scenario) bool { return s.name == n })
			if i < 0 {
				return 0, fmt.Errorf("no scenario is called %q; -list shows those that there are", n)
			}
			chosen = append(chosen, scenarios[i])
		}
	}
	r, err := rig.New(ctx)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	for _, s := range chosen {
		for _, ack := range acks {
			for i := range runs {
				err := s.once(ctx, r, ack)
				if ctx.Err() != nil {
					return broken, ctx.Err()
				}
				verdict := "kept"
				if err != nil {
					verdict = "BROKEN: " + err.Error()
					broken++
				}
				r.Progress("%s, ack %s, run %d of %d: %s", s.name, ack, i+1, runs, verdict)
			}
		}
	}
	return broken, nil
}

// once runs a scenario on a cluster of its own.
func (s scenario) once(ctx context.Context, r *rig.Rig, ack string) error {
	c, err := r.StartServal(ctx, 3, append([]string{"--ack", ack}, s.options...)...)
	if err != nil {
		return err
	}
	defer c.Stop()
	err = s.run(ctx, &trial{Rig: r, c: c})
	if err != nil {
		if log, e := c.Call(context.WithoutCancel(ctx), "errors"); e == nil && log != "" {
			fmt.Fprintln(os.Stderr, log)
		}
	}
	return err
}

// trial is one run of a scenario.
type trial struct {
	*rig.Rig
	c *rig.Cluster
}

// load runs the generator against the whole cluster.
func (t *trial) load(ctx context.Context, length time.Duration, args ...string) (rig.Report, error) {
	rep, err := t.Run(ctx, t.c.Targets, t.c.Pids(), 3*time.Second, length, args...)
	if err == nil {
		t.Progress("  %.0f/s, p99 %.1f ms, %d lost, %d reset, %d 5xx, %d broken connections, all served again after %.0f ms, longest stall %.0f ms",
			rep.RPS, rep.P99/1e3, rep.Lost(), rep.Reset, rep.HTTP5xx, rep.ConnErr, rep.AllServedMs, rep.StallMaxMs)
	}
	return rep, err
}

// promise checks a report: nothing lost, and every session served again within limit
// of its first failed request (0: not asked).
func promise(rep rig.Report, limit time.Duration) error {
	var errs []error
	if n := rep.Lost(); n > 0 || rep.SessLost+rep.SessReset > 0 {
		errs = append(errs, fmt.Errorf("lost: %d answers went back, %d reset, %d updates and %d sums wrong, in %d sessions", rep.Back, rep.Reset, rep.LostUpdates, rep.BadSum, rep.SessLost+rep.SessReset))
	}
	if rep.NotServed > 0 {
		errs = append(errs, fmt.Errorf("%d sessions were never served again", rep.NotServed))
	}
	if stall := time.Duration(rep.StallMaxMs) * time.Millisecond; limit > 0 && stall > limit {
		errs = append(errs, fmt.Errorf("a session waited for %s, longer than %s", stall, limit))
	}
	return errors.Join(errs...)
}

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"syscall"
	"time"
)

// faults makes faults in an order that a seed fixes.
type faults struct {
	o       options
	net     *network
	nodes   []*node
	clients *clients
	rnd     *rand.Rand
	probe   *http.Client

	lossy     bool      // several nodes have lost their memory at once
	disturbed time.Time // when the last fault began or ended
	count     map[string]int
	began     time.Time
}

// recovery is how long after the last fault everything must have all its copies again.
const recovery = 6 * time.Second

func newFaults(o options, n *network, nodes []*node, c *clients) *faults {
	return &faults{
		o: o, net: n, nodes: nodes, clients: c, rnd: rand.New(rand.NewPCG(o.seed, 0)), count: map[string]int{}, began: time.Now(),
		probe: &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}},
	}
}

func (f *faults) say(format string, args ...any) {
	fmt.Fprintf(f.o.progress, "%6.1fs %s: %s\n", time.Since(f.began).Seconds(), f.o.consistency, fmt.Sprintf(format, args...))
}

// run makes faults until ctx ends, one at a time or two.
func (f *faults) run(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := f.fault(ctx, f.rnd.IntN(4) == 0); err != nil {
			return err
		}
		if f.rnd.IntN(2) == 0 {
			f.calm(ctx)
		} else {
			f.sleep(ctx, 200, 2000)
		}
		for _, x := range f.nodes {
			if x.died() {
				return fmt.Errorf("node %d has ended by itself: see %s", x.i, x.log())
			}
		}
	}
	return nil
}

// sleep waits for a random time in milliseconds.
func (f *faults) sleep(ctx context.Context, least, most int) {
	select {
	case <-ctx.Done():
	case <-time.After(time.Duration(least+f.rnd.IntN(most-least)) * time.Millisecond):
	}
}

// fault makes one fault and ends it, with another one in between if it is to be double.
func (f *faults) fault(ctx context.Context, double bool) error {
	kinds := []func() (string, func() error, error){f.partition, f.partition, f.oneWay, f.pause}
	if !f.o.lasting {
		kinds = append(kinds, f.kill, f.kill, f.restart)
	}
	what, undo, err := kinds[f.rnd.IntN(len(kinds))]()
	if err != nil {
		return err
	}
	f.note(what)
	f.sleep(ctx, 500, 7000)
	if double {
		err = f.fault(ctx, false)
	}
	if undoErr := undo(); err == nil {
		err = undoErr
	}
	f.note("")
	return err
}

func (f *faults) note(what string) {
	f.disturbed = time.Now()
	if what != "" {
		kind, _, _ := strings.Cut(what, " ")
		f.count[kind]++
		f.say("%s", what)
	}
}

func nothing() error { return nil }

// partition cuts the cluster in two.
func (f *faults) partition() (string, func() error, error) {
	side := map[int]bool{}
	for len(side) == 0 || len(side) == len(f.nodes) {
		clear(side)
		for i := 1; i <= len(f.nodes); i++ {
			if f.rnd.IntN(2) == 0 {
				side[i] = true
			}
		}
	}
	return fmt.Sprintf("partition %v", keys(side)), f.net.heal, f.net.split(side)
}

func keys(m map[int]bool) (out []int) {
	for i := range 10 {
		if m[i] {
			out = append(out, i)
		}
	}
	return out
}

// oneWay cuts one direction of a few links.
func (f *faults) oneWay() (string, func() error, error) {
	what := "one-way"
	for range 1 + f.rnd.IntN(3) {
		from, to := 1+f.rnd.IntN(len(f.nodes)), 1+f.rnd.IntN(len(f.nodes))
		if from == to {
			continue
		}
		what += fmt.Sprintf(" %d>%d", from, to)
		if err := f.net.cut(from, to); err != nil {
			return what, f.net.heal, err
		}
	}
	return what, f.net.heal, nil
}

// victim is a node that runs and is not paused.
func (f *faults) victim() *node {
	for range 100 {
		if x := f.nodes[f.rnd.IntN(len(f.nodes))]; x.running() && !x.paused {
			return x
		}
	}
	return nil
}

// kill kills a node and starts it again.
func (f *faults) kill() (string, func() error, error) { return f.stop("kill", syscall.SIGKILL) }

// restart stops a node in order and starts it again.
func (f *faults) restart() (string, func() error, error) { return f.stop("restart", syscall.SIGTERM) }

// stop ends a process, which then has forgotten everything.
func (f *faults) stop(name string, s syscall.Signal) (string, func() error, error) {
	x := f.victim()
	if x == nil {
		return "nobody to " + name, nothing, nil
	}
	lossy := time.Since(f.disturbed) < recovery || !f.allReady()
	if !lossy {
		f.clients.well()
	}
	err := x.end(s)
	what := fmt.Sprintf("%s %d", name, x.i)
	if lossy {
		f.lossy = true
		// Answers that it gave may be on their way still.
		time.Sleep(100 * time.Millisecond)
		f.clients.amnesty()
		what += " while others are not level"
	}
	return what, x.start, err
}

// pause stops a process and lets it go on.
func (f *faults) pause() (string, func() error, error) {
	x := f.victim()
	if x == nil {
		return "nobody to pause", nothing, nil
	}
	x.paused = true
	return fmt.Sprintf("pause %d", x.i), func() error {
		if !x.paused || !x.running() {
			return nil
		}
		x.paused = false
		return x.signal(syscall.SIGCONT)
	}, x.signal(syscall.SIGSTOP)
}

// allReady asks all nodes.
func (f *faults) allReady() bool {
	for _, x := range f.nodes {
		if !x.running() || !x.ready(context.Background(), f.probe) {
			return false
		}
	}
	return true
}

// calm waits until everything is well again.
func (f *faults) calm(ctx context.Context) {
	for ctx.Err() == nil {
		if time.Since(f.disturbed) >= recovery && f.allReady() {
			f.clients.well()
			return
		}
		select { // without the seed's help: how often depends on the machine
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// end ends all faults and waits until the nodes are ready; the last one of them
// ended that long ago.
func (f *faults) end(ctx context.Context, within time.Duration) (time.Duration, error) {
	if err := f.net.heal(); err != nil {
		return 0, err
	}
	for _, x := range f.nodes {
		switch {
		case !x.running():
			if err := x.start(); err != nil {
				return 0, err
			}
		case x.paused:
			x.paused = false
			if err := x.signal(syscall.SIGCONT); err != nil {
				return 0, err
			}
		}
	}
	began := time.Now()
	for !f.allReady() {
		if time.Since(began) > within || ctx.Err() != nil {
			return 0, fmt.Errorf("not all nodes are ready %v after the last fault", time.Since(began).Round(time.Millisecond))
		}
		time.Sleep(20 * time.Millisecond) // between two looks
	}
	return time.Since(began), nil
}

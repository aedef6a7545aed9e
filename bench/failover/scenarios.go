package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"syscall"
	"time"

	"github.com/serval-server/serval/bench/rig"
)

// scenario is one way to lose a node.
type scenario struct {
	name, about string
	options     []string // of the cluster
	run         func(ctx context.Context, t *trial) error
}

var scenarios = []scenario{
	{"kill", "SIGKILL of one of three nodes at full load; each session is served again within 1 s", nil, kill},
	{"kill-twice", "a second node is killed 3 s after the first", nil, killTwice},
	{"pause", "SIGSTOP for 10 s, then SIGCONT; each session is served again within 4 s", nil, pause},
	{"round-robin", "no node fails, every request goes to another node; no counter ever goes back", []string{"--no-route"}, roundRobin},
	{"rolling", "each node is stopped (SIGTERM) and started again under load; no 5xx, nothing lost", nil, rolling},
	{"join", "a third node has 100,000 sessions within 1 s of asking; the p99 of live requests at 1500/s at most doubles", nil, join},
	{"stopped-peer", "a stopped peer costs the others' p99 at most 10 % and 64 MiB once it is out of the ack set", nil, stoppedPeer},
}

var sticky = []string{"-path", "/bench/count", "-sessions", "2000"}

func (t *trial) killed(ctx context.Context, node int) ([]string, error) {
	pid, err := t.c.Pid(ctx, node)
	return append([]string{"-kill-pid", strconv.Itoa(pid), "-kill-target", strconv.Itoa(node - 1), "-kill-at", "4s"}, sticky...), err
}

func kill(ctx context.Context, t *trial) error {
	args, err := t.killed(ctx, 2)
	if err != nil {
		return err
	}
	rep, err := t.load(ctx, 12*time.Second, args...)
	return errors.Join(err, promise(rep, time.Second))
}

func killTwice(ctx context.Context, t *trial) error {
	args, err := t.killed(ctx, 2)
	if err != nil {
		return err
	}
	first, err := t.c.Pid(ctx, 1)
	if err != nil {
		return err
	}
	// The generator warms up for 3 s, and kills the second node 4 s later.
	later := time.AfterFunc(10*time.Second, func() { _ = syscall.Kill(first, syscall.SIGKILL) })
	defer later.Stop()
	rep, err := t.load(ctx, 14*time.Second, args...)
	return errors.Join(err, promise(rep, 0), served(rep))
}

// served says that the cluster went on after the second death.
func served(rep rig.Report) error {
	if rep.Requests == 0 {
		return errors.New("no request was answered")
	}
	return nil
}

func pause(ctx context.Context, t *trial) error {
	pid, err := t.c.Pid(ctx, 2)
	if err != nil {
		return err
	}
	stop := time.AfterFunc(6*time.Second, func() { _ = syscall.Kill(pid, syscall.SIGSTOP) })
	resume := time.AfterFunc(16*time.Second, func() { _ = syscall.Kill(pid, syscall.SIGCONT) })
	defer func() {
		stop.Stop()
		resume.Stop()
		_ = syscall.Kill(pid, syscall.SIGCONT) // a stopped process would not hear SIGTERM
	}()
	rep, err := t.load(ctx, 20*time.Second, append([]string{"-timeout", "1s"}, sticky...)...)
	return errors.Join(err, promise(rep, 4*time.Second))
}

func roundRobin(ctx context.Context, t *trial) error {
	rep, err := t.load(ctx, 10*time.Second, "-path", "/bench/count", "-sessions", "1000", "-roundrobin")
	if err == nil && rep.Errors() > 0 {
		err = fmt.Errorf("%d 5xx, %d 4xx, %d broken connections", rep.HTTP5xx, rep.HTTP4xx, rep.ConnErr)
	}
	return errors.Join(err, promise(rep, 0))
}

// rolling restarts the nodes one after the other, as an operator does. The
// generator's connections to a node that has gone break, and its requests are
// repeated at another node, as a balancer is told to; nothing else may go wrong.
func rolling(ctx context.Context, t *trial) error {
	restarted := make(chan error, 1)
	go func() {
		restarted <- func() error {
			if !rig.Sleep(ctx, 5*time.Second) {
				return ctx.Err()
			}
			for node := 1; node <= 3; node++ {
				if _, err := t.c.Call(ctx, "stop", strconv.Itoa(node)); err != nil {
					return err
				}
				ms, err := t.c.Start(ctx, node)
				if err != nil {
					return err
				}
				t.Progress("  node %d is back and level after %.0f ms", node, ms)
				if !rig.Sleep(ctx, 2*time.Second) {
					return ctx.Err()
				}
			}
			return nil
		}()
	}()
	rep, err := t.load(ctx, 40*time.Second, append([]string{"-rate", "1500"}, sticky...)...)
	err = errors.Join(err, <-restarted, promise(rep, 0))
	if rep.HTTP5xx > 0 {
		err = errors.Join(err, fmt.Errorf("%d answers were 5xx", rep.HTTP5xx))
	}
	return err
}

// stoppedPeer stops a node that no request goes to.
func stoppedPeer(ctx context.Context, t *trial) error {
	two := t.c.Targets[:2]
	live := func() (rig.Report, error) {
		return t.Run(ctx, two, t.c.Pids(), 2*time.Second, 8*time.Second, "-path", "/bench/count", "-sessions", "1000", "-rate", "1500")
	}
	quiet, err := live()
	if err != nil {
		return err
	}
	pid, err := t.c.Pid(ctx, 3)
	if err != nil {
		return err
	}
	one, err := t.c.Pid(ctx, 1)
	if err != nil {
		return err
	}
	before := rig.RSS(strconv.Itoa(one))
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		return err
	}
	defer func() { _ = syscall.Kill(pid, syscall.SIGCONT) }()
	if !rig.Sleep(ctx, 3*time.Second) { // until it is out of the ack set
		return ctx.Err()
	}
	stopped, err := live()
	grown := (rig.RSS(strconv.Itoa(one)) - before) / 1024
	t.Progress("  p99 %.2f ms before, %.2f ms with a stopped peer; p50 %.2f and %.2f ms; %d MiB more memory", quiet.P99/1e3, stopped.P99/1e3, quiet.P50/1e3, stopped.P50/1e3, grown)
	if err = errors.Join(err, promise(stopped, 0)); grown > 64 {
		err = errors.Join(err, fmt.Errorf("it cost %d MiB, more than 64", grown))
	}
	return err
}

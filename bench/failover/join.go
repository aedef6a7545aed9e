package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/serval-server/serval/bench/rig"
)

// joinSessions is how many sessions the joiner must get.
const joinSessions = 100_000

const (
	// joinTimes is how often the node joins. The p99 of a second on a virtual machine is
	// a matter of luck too, so the medians are compared.
	joinTimes = 5
	// joinWithin is how long it may take it, from when it begins to ask.
	joinWithin = time.Second
	// joinWindow is for how long live requests are timed, from the joiner's start:
	// about as long as its start and the transfer take.
	joinWindow = 1500 * time.Millisecond
	joinWarm   = 3 * time.Second
	joinRate   = "1500"
)

// join times live requests for as long as a join takes, once without and once with one,
// several times: a longer measurement would hide the join's requests among the others.
func join(ctx context.Context, t *trial) error {
	if _, err := t.c.Call(ctx, "stop", "3"); err != nil {
		return err
	}
	if _, err := t.Run(ctx, t.c.Targets[:2], t.c.Pids(), 0, time.Second, "-path", "/bench/count?pad=200", "-once",
		"-sessions", strconv.Itoa(joinSessions), "-c", "16", "-rate", "4000"); err != nil {
		return err
	}
	if !rig.Sleep(ctx, 5*time.Second) { // they are at rest
		return ctx.Err()
	}
	var quiet, busy []float64
	var errs []error
	for range joinTimes {
		before, meanwhile, err := t.joinOnce(ctx)
		if errs = append(errs, err); ctx.Err() != nil {
			return ctx.Err()
		}
		quiet, busy = append(quiet, before), append(busy, meanwhile)
		if _, err := t.c.Call(ctx, "stop", "3"); err != nil {
			return errors.Join(append(errs, err)...)
		}
	}
	slices.Sort(quiet)
	slices.Sort(busy)
	was, is := quiet[joinTimes/2], busy[joinTimes/2]
	t.Progress("  medians of %d joins: p99 %.2f ms before, %.2f ms meanwhile: %.2f times as much", joinTimes, was, is, is/was)
	if is > 2*was {
		errs = append(errs, fmt.Errorf("the p99 of live requests went from %.2f to %.2f ms, more than twice as much", was, is))
	}
	return errors.Join(errs...)
}

// joinOnce starts the third node under load, and returns the p99 of live requests without
// that and with it, in milliseconds.
func (t *trial) joinOnce(ctx context.Context) (quiet, busy float64, err error) {
	live := func() (rig.Report, error) {
		return t.Run(ctx, t.c.Targets[:2], t.c.Pids(), joinWarm, joinWindow, "-path", "/bench/count", "-sessions", "1000", "-rate", joinRate)
	}
	before, err := live()
	if err != nil {
		return 0, 0, err
	}
	started := make(chan error, 1)
	go func() {
		if !rig.Sleep(ctx, joinWarm) {
			started <- ctx.Err()
			return
		}
		ms, err := t.c.Start(ctx, 3)
		t.Progress("  the joiner is level %.0f ms after its start", ms)
		started <- err
	}()
	meanwhile, err := live()
	if err = errors.Join(err, <-started); err != nil {
		return 0, 0, err
	}
	return before.P99 / 1e3, meanwhile.P99 / 1e3, t.joined(ctx, before, meanwhile)
}

// joined says what the joiner has, and checks what was promised of its coming.
func (t *trial) joined(ctx context.Context, quiet, busy rig.Report) error {
	log, err := t.c.Call(ctx, "log", "3", `"msg":"level"`)
	if err != nil {
		return err
	}
	var level struct {
		Sessions int    `json:"sessions"`
		Took     string `json:"took"`
	}
	if err := json.Unmarshal([]byte(log[strings.LastIndexByte(log, '\n')+1:]), &level); err != nil {
		return fmt.Errorf("the joiner's log has no line of its being level: %w: %q", err, log)
	}
	took, err := time.ParseDuration(level.Took)
	if err != nil {
		return err
	}
	stats, err := t.c.Call(ctx, "stats", "3")
	if err != nil {
		return err
	}
	t.Progress("  %d sessions %s after it began to ask; live requests: p50 %.2f ms before and %.2f ms meanwhile, p99 %.2f and %.2f ms; the joiner says: %s",
		level.Sessions, took, quiet.P50/1e3, busy.P50/1e3, quiet.P99/1e3, busy.P99/1e3, stats)
	var errs []error
	if busy.Lost() > 0 {
		errs = append(errs, fmt.Errorf("%d lost while it joined", busy.Lost()))
	}
	if level.Sessions < joinSessions {
		errs = append(errs, fmt.Errorf("it took itself for level with %d sessions of %d", level.Sessions, joinSessions))
	}
	if took > joinWithin {
		errs = append(errs, fmt.Errorf("it took %s, longer than %s", took, joinWithin))
	}
	return errors.Join(errs...)
}

package main

import (
	"fmt"
	"time"

	"github.com/serval-server/serval/cluster/replica"
)

// bug is a defect planted at the border of a node: what other systems do, or
// what we might do by mistake. The simulator must catch each.
type bug struct {
	name string
	// message changes or swallows (nil) what is sent.
	message func(w *world, from, to *host, m replica.Message) replica.Message
	// config changes what a node is told.
	config func(h *host, cfg *replica.Config)
	// effect says which of a node's wishes are carried out.
	effect func(e replica.Effect) bool
	// plan sees to it that what the bug needs happens.
	plan    func(w *world)
	sameID  bool // a restarted node uses its old index again
	sameRun bool // an application that is deployed anew in one process uses its old index again
	noPause bool // a node does not notice that it was stopped
	noReset bool // a node does not hear that a connection was lost
	noWait  bool // a node leaves as soon as it has said its grants
}

// forge delivers a message that its sender never sent.
func (w *world) forge(from, to *host, m replica.Message) {
	fid, tid := from.id, to.id
	w.after(time.Millisecond, func() {
		w.step(to, tid, func(n *replica.Node) { n.Receive(w.local(to), fid, m) })
	})
}

// acknowledge makes the home believe that an owner has applied an update.
func (w *world) acknowledge(home, owner *host, u *replica.Update) {
	w.forge(owner, home, replica.Ack{ID: u.Delta.ID, Reign: u.Reign, Dot: u.Delta.Dot})
}

// runPlanted runs every planted bug until it is caught.
func runPlanted(first, seeds uint64) int {
	status := 0
	for i := range bugs {
		start := time.Now()
		seed, caught := runSeeds(first, seeds, &bugs[i], newCounters())
		if !caught {
			fmt.Printf("NOT CAUGHT in %d seeds: %s\n", seeds, bugs[i].name)
			status = 1
			continue
		}
		w := simulate(seed, &bugs[i], false) // the same seed, the same history
		fmt.Printf("%-55s seed %d (%.1fs): %v\n", bugs[i].name, seed, time.Since(start).Seconds(), w.broken)
	}
	return status
}

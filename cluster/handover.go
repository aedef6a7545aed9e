package cluster

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/serval-server/serval/cluster/replica"
	"github.com/serval-server/serval/sessions"
)

// retryYield is when a session is tried again that a request is using: the
// requests of one that another node asks for, or that is drained, are short
// mostly.
var retryYield = [...]time.Duration{0, 2 * time.Millisecond, 10 * time.Millisecond, 50 * time.Millisecond, 250 * time.Millisecond}

// yieldSoon hands a session to a node that has asked for it, as soon as no request
// uses it; after a third of a second it gives up, and the node asks again with the
// next request.
func (sh *shard) yieldSoon(ctx context.Context, id replica.SessionID, to replica.NodeID) {
	for _, wait := range retryYield {
		if wait > 0 {
			select {
			case <-ctx.Done():
				return
			case <-time.After(wait):
			}
		}
		if sh.yield(ctx, id, to) {
			return
		}
	}
}

// yield hands a session over if no request uses it, and reports whether there is
// nothing left to hand over.
func (sh *shard) yield(ctx context.Context, id replica.SessionID, to replica.NodeID) bool {
	now := sh.lock()
	if !sh.homeLocked(id) {
		sh.unlock()
		return true
	}
	if sh.turns[id] != nil {
		sh.unlock()
		return false
	}
	t := &turn{done: make(chan struct{}), started: true}
	sh.turns[id] = t
	sh.flushLocked(now, id)
	sh.unlock()

	idle := true
	for _, m := range sh.app.attached() {
		idle = m.Yield(ctx, sessionID(id)) && idle
	}

	now = sh.lock()
	if idle && !t.loaded {
		sh.flushLocked(now, id)
		sh.node.Receive(now, to, replica.Ask{ID: id})
	}
	after := sh.effectsLocked()
	gone := !sh.homeLocked(id)
	if gone && idle && !t.loaded {
		sh.app.counters.granted.Add(1)
		t.lost = false // the sessions know
	}
	evict := t.lost
	if t.loaded = false; !evict {
		sh.endTurnLocked(id, t)
	}
	sh.unlock()
	if after != nil {
		after.run(sh)
	}
	if evict {
		sh.evict(ctx, eviction{id, t, sessions.Failaway})
	}
	return gone
}

// homeLocked reports whether a living session is at home here.
func (sh *shard) homeLocked(id replica.SessionID) bool {
	st := sh.node.State(id)
	return st != nil && st.Life.Kind == replica.Live && sh.node.Reign(id).Home == sh.app.n.ID()
}

// homes are the living sessions at home here.
func (sh *shard) homes() []replica.SessionID {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	var out []replica.SessionID
	for _, f := range sh.node.Fingerprints() {
		if sh.homeLocked(f.ID) {
			out = append(out, f.ID)
		}
	}
	return out
}

// handOver hands over all sessions of the application that are at home here. It
// returns nil when none is left, errNobody if there is nobody to take them, or the
// context's error.
func (a *app) handOver(ctx context.Context, progress func(left int)) error {
	for wait := time.Duration(0); ; wait = min(wait+10*time.Millisecond, 100*time.Millisecond) {
		targets := a.targets()
		left := 0
		var mu sync.Mutex
		var wg sync.WaitGroup
		for _, sh := range a.shards {
			wg.Go(func() {
				n := sh.handOver(ctx, targets)
				mu.Lock()
				left += n
				mu.Unlock()
			})
		}
		wg.Wait()
		if progress != nil {
			progress(left)
		}
		switch {
		case left == 0:
			return nil
		case len(targets) == 0:
			return errNobody
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}

// handOver hands over what no request uses, and returns how many are left.
func (sh *shard) handOver(ctx context.Context, targets []replica.Member) (left int) {
	for _, id := range sh.homes() {
		if len(targets) == 0 || ctx.Err() != nil || !sh.yield(ctx, id, sh.app.successor(id, targets)) {
			left++
		}
	}
	return left
}

// successor is the node that a session is handed to: the first of its owners by
// the placement, in another zone if there is one.
func (a *app) successor(id replica.SessionID, targets []replica.Member) replica.NodeID {
	self := a.n.member()
	owners := replica.Owners(id, self.ID, 2, append(slices.Clone(targets), self))
	for _, o := range owners {
		if o != self.ID {
			return o
		}
	}
	return targets[0].ID
}

package cluster

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/serval-server/serval/cluster/replica"
	"github.com/serval-server/serval/sessions"
)

// queuedChange is what the commits of one session have changed since the last
// snapshot, in snapshot mode INTERVAL. What it sets is no longer removed, and the
// other way round.
type queuedChange struct {
	d       *DeltaManager
	meta    []byte
	set     map[string][]byte
	removed map[string]bool
}

// queueLocked joins a commit with those before it.
func (sh *shard) queueLocked(d *DeltaManager, id replica.SessionID, delta *sessions.Delta) {
	q := sh.queued[id]
	if q == nil {
		q = &queuedChange{set: map[string][]byte{}, removed: map[string]bool{}}
		sh.queued[id] = q
	}
	q.d = d
	q.meta = meta{delta.CreatedAt, delta.MaxInactive, delta.Version}.encode()
	for i := range delta.Set {
		a := &delta.Set[i]
		q.set[a.Name] = a.Value
		delete(q.removed, a.Name)
	}
	for _, name := range delta.Removed {
		delete(q.set, name)
		q.removed[name] = true
	}
}

// change is the joined change.
func (q *queuedChange) change() change {
	c := change{removed: slices.Sorted(maps.Keys(q.removed))}
	for _, name := range slices.Sorted(maps.Keys(q.set)) {
		c.set = append(c.set, sessions.Attribute{Name: name, Value: q.set[name]})
	}
	return c
}

// flushLocked writes what waits for a session.
func (sh *shard) flushLocked(now time.Duration, id replica.SessionID) {
	q := sh.queued[id]
	if q == nil {
		return
	}
	delete(sh.queued, id)
	ops := operations(q.d.current().granularity, sh.node.State(id), q.meta, q.change())
	sh.serial++
	sh.node.Commit(now, sh.serial, id, ops)
}

// flushBatch is how many sessions are written before the mutex is released.
const flushBatch = 128

// flush writes all that waits.
func (sh *shard) flush() {
	for {
		now := sh.lock()
		left := flushBatch
		for id := range sh.queued {
			if left == 0 {
				break
			}
			left--
			sh.flushLocked(now, id)
		}
		more := len(sh.queued) > 0
		sh.unlock()
		if !more {
			return
		}
	}
}

// snapshots writes what waits at each end of the interval, until the context ends.
func (d *DeltaManager) snapshots(ctx context.Context) {
	for {
		every := d.current().interval
		if every <= 0 { // INSTANT: nothing waits, until it is reconfigured
			every = time.Second
		}
		timer := time.NewTimer(every)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		d.app.flush()
	}
}

func (a *app) flush() {
	for _, sh := range a.shards {
		sh.flush()
	}
}

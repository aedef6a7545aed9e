package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/serval-server/serval/cluster/replica"
	"github.com/serval-server/serval/sessions"
)

// receipt is a commit whose acks have not come yet.
type receipt struct {
	id   replica.SessionID
	done chan struct{} // closed when err is set for good; nil until the commit returns
	left int           // guarded by the shard's mu; writes to be released
	err  error         // guarded by the shard's mu until done is closed
}

// Wait implements sessions.Receipt.
func (r *receipt) Wait(ctx context.Context) error {
	select {
	case <-r.done:
		return r.err
	default:
	}
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return fmt.Errorf("waiting for acknowledgements: %w", ctx.Err())
	}
}

// settled is a Receipt that was met, or not, at once.
type settled struct{ err error }

func (s settled) Wait(context.Context) error { return s.err }

// errMoved is what a commit gets whose session is not at home here.
func errMoved(id replica.SessionID) error {
	return fmt.Errorf("session %s: %w", short(id), sessions.ErrMoved)
}

// Commit implements sessions.Replicator: it never waits.
func (d *DeltaManager) Commit(delta *sessions.Delta) sessions.Receipt {
	sid, ok := realID(delta.ID)
	if !ok {
		return settled{errors.New("committing a session: its id has a wrong form")}
	}
	if delta.Created && delta.Dead {
		return nil // nobody knows of it
	}

	set := d.current()
	sh := d.app.shard(sid)
	now := sh.lock()
	defer sh.unlock()
	d.app.counters.commits.Add(1)
	r := &receipt{id: sid}
	switch {
	case delta.Previous != "":
		if err := sh.renameLocked(now, r, delta, sid); err != nil {
			return settled{err}
		}
	case delta.Created:
		sh.createLocked(now, sid)
	}
	switch {
	case delta.Dead:
		delete(sh.queued, sid)
		// The sessions go by their own clock: after a pause, or if another
		// node has the session by now, it is not theirs to end for its age.
		if delta.Cause == sessions.Timeout && !sh.node.TryServe(now, sid) {
			return settled{errMoved(sid)}
		}
		sh.writeLocked(r, func(write uint64) { sh.node.End(now, write, sid, reason(delta.Cause)) })
		if delta.Cause == sessions.Timeout {
			d.app.counters.expired.Add(1)
		}
	case set.interval > 0 && !delta.Created:
		if sh.node.State(sid) == nil || sh.node.Reign(sid).Home != sh.self {
			return settled{errMoved(sid)}
		}
		sh.queueLocked(d, sid, delta)
	case delta.Base == delta.Dot && !delta.Created && delta.Previous == "" && sh.sameMeta(sid, delta):
		sh.touchLocked(now, r, sid)
	default:
		sh.commitLocked(now, r, set, sid, delta)
	}
	return sh.receiptLocked(r, set)
}

// receiptLocked carries out what the commit has brought about and returns what
// is to be waited for.
func (sh *shard) receiptLocked(r *receipt, set settings) sessions.Receipt {
	if after := sh.effectsLocked(); after != nil {
		sh.app.jobs.do(func(context.Context) { after.run(sh) })
	}
	switch {
	case r.left == 0 && r.err == nil:
		return nil
	case r.left == 0: // it was refused at once
		return settled{errMoved(r.id)}
	case set.interval > 0:
		return nil
	}
	r.done = make(chan struct{})
	return r
}

// writeLocked makes one write of a commit.
func (sh *shard) writeLocked(r *receipt, write func(id uint64)) {
	sh.serial++
	r.left++
	sh.writes[sh.serial] = r
	write(sh.serial)
}

// releasedLocked is told that a write has its acks, or will not get them.
func (sh *shard) releasedLocked(e replica.Released) {
	if e.Degraded {
		sh.app.counters.degraded.Add(1)
	}
	r := sh.writes[e.Write]
	if r == nil {
		return
	}
	delete(sh.writes, e.Write)
	r.left--
	if e.Failed && r.err == nil {
		sh.app.counters.failed.Add(1)
		r.err = sh.app.ackError()
		if sh.node.Reign(r.id).Home != sh.self {
			r.err = errMoved(r.id)
		}
	}
	if r.left == 0 && r.done != nil {
		close(r.done)
	}
}

// createLocked makes this node the home of a new session.
func (sh *shard) createLocked(now time.Duration, sid replica.SessionID) {
	if sh.node.State(sid) == nil {
		delete(sh.unknown, sid)
		sh.node.Create(now, sid)
	}
}

// renameLocked gives a session a new id. What its commit has changed follows under
// the new one: if this node dies in between, nobody has the right to what has
// changed by an id that was known before (a login).
func (sh *shard) renameLocked(now time.Duration, r *receipt, delta *sessions.Delta, sid replica.SessionID) error {
	old, ok := realID(delta.Previous)
	if !ok || sh.app.shard(old) != sh {
		return errors.New("changing a session's id: the new one is of another place")
	}
	sh.flushLocked(now, old)
	sh.writeLocked(r, func(write uint64) { sh.node.Rename(now, write, old, sid) })
	return nil
}

// commitLocked writes what a commit has changed.
func (sh *shard) commitLocked(now time.Duration, r *receipt, set settings, sid replica.SessionID, delta *sessions.Delta) {
	var room [64]byte
	m := meta{delta.CreatedAt, delta.MaxInactive, delta.Version}.append(room[:0])
	ops := operations(set.granularity, sh.node.State(sid), m, change{delta.Set, delta.Removed})
	sh.writeLocked(r, func(write uint64) { sh.node.Commit(now, write, sid, ops) })
}

// sameMeta reports whether a commit leaves the metadata as they are.
func (sh *shard) sameMeta(sid replica.SessionID, delta *sessions.Delta) bool {
	st := sh.node.State(sid)
	if st == nil {
		return false
	}
	m := metaOf(st)
	return m.idle == delta.MaxInactive && m.version == delta.Version
}

// touchLocked tells the other owners that the session was used.
func (sh *shard) touchLocked(now time.Duration, r *receipt, sid replica.SessionID) {
	sh.app.counters.touches.Add(1)
	sh.writeLocked(r, func(write uint64) { sh.node.Commit(now, write, sid, nil) })
}

func reason(c sessions.Cause) replica.Reason {
	switch c {
	case sessions.Timeout:
		return replica.Expired
	case sessions.Undeploy:
		return replica.Undeployed
	}
	return replica.Invalidated
}

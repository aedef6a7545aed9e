package cluster

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/serval-server/serval/cluster/replica"
	"github.com/serval-server/serval/sessions"
)

// asked decides on a peer's wish to have a session, because its user has been moved
// there: it is granted if no request here uses the session.
func (sh *shard) asked(ctx context.Context, id replica.SessionID, by replica.NodeID) {
	ask := func(n *replica.Node, now time.Duration) { n.Receive(now, by, replica.Ask{ID: id}) }
	now := sh.lock()
	if !sh.homeLocked(id) {
		ask(sh.node, now)
		sh.unlock()
		return
	}
	sh.unlock()
	if sh.yield(ctx, id, ask) {
		return
	}
	sh.mu.Lock()
	no := replica.Has{ID: id, Reign: sh.node.Reign(id)}
	sh.sendTo([]replica.NodeID{by}, no, false)
	sh.mu.Unlock()
}

// yield has a session handed over if no request uses it, and reports whether it is
// not at home here afterwards.
func (sh *shard) yield(ctx context.Context, id replica.SessionID, hand func(n *replica.Node, now time.Duration)) bool {
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
		hand(sh.node, now)
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
	return st != nil && st.Life.Kind == replica.Live && sh.node.Reign(id).Home == sh.self
}

// version is the bundle's version that a session belongs to, "" if it is unknown.
func (sh *shard) version(id replica.SessionID) string {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if st := sh.node.State(id); st != nil {
		return metaOf(st).version
	}
	return ""
}

// homes are the living sessions at home here that are not another's already, but for
// its claim, which may take as long as a partition.
func (sh *shard) homes() []replica.SessionID {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.node.Reigns()
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
			return a.confirmed(ctx)
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

// confirmedWithin bounds how long a handing over is waited for that nobody confirms:
// it is repeated as long as the node is there.
const confirmedWithin = time.Second

// confirmed waits until the new homes have spoken: until then, a request that comes
// from one of them would be taken for one that nobody serves.
func (a *app) confirmed(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, confirmedWithin)
	defer cancel()
	for pause := time.Millisecond; ; pause = min(2*pause, 20*time.Millisecond) {
		left := 0
		for _, sh := range a.shards {
			sh.mu.Lock()
			left += sh.node.Homes()
			sh.mu.Unlock()
		}
		if left == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil // others have copies, and claim them
		case <-time.After(pause):
		}
	}
}

// handOver hands over what no request uses, and returns how many are left.
func (sh *shard) handOver(ctx context.Context, targets []taker) (left int) {
	for _, id := range sh.homes() {
		if len(targets) == 0 || ctx.Err() != nil {
			left++
			continue
		}
		to := sh.app.successor(id, sh.version(id), targets)
		if !sh.yield(ctx, id, func(n *replica.Node, now time.Duration) { n.HandOver(now, id, to) }) {
			left++
		}
	}
	return left
}

// successor is the node that a session is handed to: the first of its owners by
// the placement, in another zone if there is one; one that runs the session's
// version goes before others.
func (a *app) successor(id replica.SessionID, version string, targets []taker) replica.NodeID {
	same := func(t taker) bool { return slices.Contains(t.versions, version) }
	anybody := !slices.ContainsFunc(targets, same)
	self := a.member()
	members := []replica.Member{self}
	for _, t := range targets {
		if anybody || same(t) {
			members = append(members, t.Member)
		}
	}
	for _, o := range replica.Owners(id, self.ID, 2, members) {
		if o != self.ID {
			return o
		}
	}
	return members[1].ID
}

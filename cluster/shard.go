package cluster

import (
	"context"
	"sync"
	"time"

	"github.com/serval-server/serval/cluster/replica"
	"github.com/serval-server/serval/sessions"
)

// shardCount is how many shards an application has. All nodes must agree.
const shardCount = 8

// shard is the protocol for a part of an application's sessions, and what the
// node has to remember for it.
type shard struct {
	app   *app
	index uint8

	mu       sync.Mutex
	node     *replica.Node                       // guarded by mu
	self     replica.NodeID                      // guarded by mu; of node
	run      uint32                              // guarded by mu; the application's, while node is part of it
	ticked   time.Duration                       // guarded by mu; the last Tick
	serial   uint64                              // guarded by mu; numbers asks and writes
	asks     map[uint64]chan replica.Answer      // guarded by mu
	writes   map[uint64]*receipt                 // guarded by mu
	turns    map[replica.SessionID]*turn         // guarded by mu
	expiring map[replica.SessionID]bool          // guarded by mu
	queued   map[replica.SessionID]*queuedChange // guarded by mu; snapshot mode INTERVAL
	unknown  map[replica.SessionID]time.Duration // guarded by mu; see remember
	forgetAt time.Duration                       // guarded by mu; when unknown is cleared next
	granted  map[replica.SessionID]struct{}      // guarded by mu; handed over by a living node, not found since
	granting replica.SessionID                   // guarded by mu; while its grant is being received
	to       []replica.NodeID                    // guarded by mu; room for addressees
}

func newShard(a *app, index int) *shard {
	return &shard{
		app: a, index: uint8(index),
		asks: map[uint64]chan replica.Answer{}, writes: map[uint64]*receipt{},
		turns: map[replica.SessionID]*turn{}, expiring: map[replica.SessionID]bool{},
		queued: map[replica.SessionID]*queuedChange{}, unknown: map[replica.SessionID]time.Duration{},
		granted: map[replica.SessionID]struct{}{},
	}
}

// shard is the one that a session is in, by its placement bytes, which are random.
func (a *app) shard(id replica.SessionID) *shard {
	return a.shards[id[sessions.PlacementBytes-1]%shardCount]
}

// pauseGap is the time without a Tick after which the node makes sure, before
// anything else, that the protocol notices that the process was stopped.
const pauseGap = 200 * time.Millisecond

// lock takes the mutex and returns the time for the events that follow.
func (sh *shard) lock() time.Duration {
	sh.mu.Lock()
	now := sh.app.n.now()
	if now-sh.ticked > pauseGap {
		sh.tickLocked(now)
	}
	return now
}

func (sh *shard) tickLocked(now time.Duration) {
	sh.ticked = now
	sh.node.Wall(sh.app.n.wall())
	sh.node.Tick(now)
}

// unlock carries out what the protocol wants done: messages are queued at once,
// for the sake of their order; the rest is done without the mutex.
func (sh *shard) unlock() {
	after := sh.effectsLocked()
	sh.mu.Unlock()
	if after != nil {
		after.run(sh)
	}
}

// aftermath is what is done without the mutex.
type aftermath struct {
	evict   []eviction
	overdue []replica.SessionID
	forked  []replica.Forked
}

type eviction struct {
	id    replica.SessionID
	turn  *turn
	cause sessions.Cause
}

func (a *aftermath) make() *aftermath {
	if a == nil {
		return &aftermath{}
	}
	return a
}

// effectsLocked carries out the effects; nil: there is nothing to be done later.
func (sh *shard) effectsLocked() *aftermath {
	var after *aftermath
	effects := sh.node.Take()
	if len(effects) > 0 {
		sh.app.n.stir()
	}
	for i := 0; i < len(effects); i++ {
		switch e := effects[i].(type) {
		case replica.Send:
			i = sh.sendLocked(effects, i, e)
		case replica.Answer:
			if ch := sh.asks[e.Request]; ch != nil {
				delete(sh.asks, e.Request)
				ch <- e // it has room for one
			}
		case replica.Released:
			sh.releasedLocked(e)
		case replica.Lost:
			sh.app.counters.moved.Add(1)
			delete(sh.granted, e.ID)
			after = sh.evictLocked(after, e.ID, sessions.Failaway)
		case replica.Refreshed:
			after = sh.evictLocked(after, e.ID, sessions.Replication)
		case replica.Overdue:
			if !sh.expiring[e.ID] {
				sh.expiring[e.ID] = true
				after = after.make()
				after.overdue = append(after.overdue, e.ID)
			}
		case replica.Claimed:
			if e.ID == sh.granting {
				sh.granted[e.ID] = struct{}{}
			} else {
				sh.app.counters.claims.Add(1)
			}
		case replica.Forked:
			sh.app.counters.forks.Add(1)
			sh.app.counters.shadowed.Add(uint64(e.Shadowed))
			after = after.make()
			after.forked = append(after.forked, e)
		}
	}
	return after
}

// sendLocked sends a message, an update to all its addressees at once. It returns
// the index of the last effect that it has dealt with.
func (sh *shard) sendLocked(effects []replica.Effect, i int, e replica.Send) int {
	sh.to = append(sh.to[:0], e.To)
	if u, ok := e.Message.(*replica.Update); ok {
		for i+1 < len(effects) {
			next, ok := effects[i+1].(replica.Send)
			if !ok {
				break
			}
			if v, ok := next.Message.(*replica.Update); !ok || v != u {
				break
			}
			sh.to = append(sh.to, next.To)
			i++
		}
	}
	sh.sendTo(sh.to, e.Message, e.Bulk)
	return i
}

// run does what was left to be done without the mutex.
func (a *aftermath) run(sh *shard) {
	for _, e := range a.evict {
		sh.app.jobs.do(func(ctx context.Context) { sh.evict(ctx, e) })
	}
	for _, id := range a.overdue {
		sh.app.jobs.do(func(ctx context.Context) { sh.expire(ctx, id) })
	}
	for _, f := range a.forked {
		sh.app.log.Warn("session was written on two nodes at once: joined", "session", short(f.ID), "shadowed", f.Shadowed)
	}
}

// turn is a session's change of place on this node, from the moment that the
// protocol tells of it until the application's sessions have followed. Requests
// that come for the session wait.
type turn struct {
	done    chan struct{} // closed at the end
	started bool          // guarded by the shard's mu; the sessions are being asked
	loaded  bool          // guarded by the shard's mu; Find has given the session out meanwhile
	lost    bool          // guarded by the shard's mu; another home was announced meanwhile
}

// evictLocked begins to forget what the application's sessions have of a session.
func (sh *shard) evictLocked(after *aftermath, id replica.SessionID, cause sessions.Cause) *aftermath {
	if q := sh.queued[id]; q != nil && cause == sessions.Failaway {
		delete(sh.queued, id)
		sh.app.counters.failed.Add(1)
	}
	if t := sh.turns[id]; t != nil {
		t.lost = true
		return after
	}
	t := &turn{done: make(chan struct{})}
	sh.turns[id] = t
	after = after.make()
	after.evict = append(after.evict, eviction{id, t, cause})
	return after
}

// evict has the sessions forget one, unless it was loaded anew meanwhile.
func (sh *shard) evict(ctx context.Context, e eviction) {
	for again := true; again; {
		sh.mu.Lock()
		e.turn.started = true
		skip := e.turn.loaded
		e.turn.lost, e.turn.loaded = false, false
		sh.mu.Unlock()
		if !skip {
			for _, m := range sh.app.attached() {
				m.Evict(ctx, sessionID(e.id), e.cause)
			}
		}
		sh.mu.Lock()
		if again = e.turn.lost; !again {
			sh.endTurnLocked(e.id, e.turn)
		}
		sh.mu.Unlock()
	}
}

func (sh *shard) endTurnLocked(id replica.SessionID, t *turn) {
	delete(sh.turns, id)
	close(t.done)
}

// expire has the sessions end one that was idle for too long.
func (sh *shard) expire(ctx context.Context, id replica.SessionID) {
	if d := sh.app.owner(sh, id); d != nil {
		if m := d.attached(); m != nil {
			m.Expire(ctx, sessionID(id))
		} else {
			now := sh.lock()
			sh.endLocked(now, id, replica.Expired)
			sh.unlock()
		}
	}
	sh.mu.Lock()
	delete(sh.expiring, id)
	sh.mu.Unlock()
}

// endLocked ends a session at home here that nobody waits for.
func (sh *shard) endLocked(now time.Duration, id replica.SessionID, why replica.Reason) {
	sh.serial++
	sh.node.End(now, sh.serial, id, why)
	if why == replica.Expired {
		sh.app.counters.expired.Add(1)
	}
}

// receive takes a message of a peer, which came with an application's number.
func (sh *shard) receive(peer replica.NodeID, number uint32, m replica.Message) {
	now := sh.lock()
	from, ok := sh.senderLocked(peer, number)
	if !ok || !sh.app.on.Load() { // switched off: commits stay local
		sh.unlock()
		return
	}
	if ask, ok := m.(replica.Ask); ok {
		sh.unlock()
		sh.app.jobs.do(func(ctx context.Context) { sh.asked(ctx, ask.ID, from) })
		return
	}
	if g, ok := m.(replica.Grant); ok && g.State != nil {
		sh.granting = g.State.ID
	}
	sh.node.Receive(now, from, m)
	after := sh.effectsLocked()
	sh.granting = ""
	sh.unlock()
	if after != nil {
		after.run(sh)
	}
}

// tick lets time pass, and reports whether there are copies to be made.
func (sh *shard) tick() bool {
	sh.mu.Lock()
	sh.tickLocked(sh.app.n.now())
	sh.forgetUnknownLocked()
	copying := sh.node.Copying()
	sh.unlock()
	return copying
}

// jobs are what is done for an application without a lock held and may take its
// time: listeners are asked. Goroutines come and go with the work.
type jobs struct {
	ctx  context.Context // the application's life on this node
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu      sync.Mutex
	queue   []func(context.Context) // guarded by mu
	running int                     // guarded by mu
}

// maxJobs is how many jobs of an application run at a time.
const maxJobs = 32

func newJobs() *jobs {
	j := &jobs{}
	j.ctx, j.stop = context.WithCancel(context.Background())
	return j
}

// do has a job done, soon. It never blocks.
func (j *jobs) do(job func(context.Context)) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.ctx.Err() != nil {
		return
	}
	j.queue = append(j.queue, job)
	if j.running < maxJobs {
		j.running++
		j.wg.Go(j.work)
	}
}

func (j *jobs) work() {
	for {
		j.mu.Lock()
		if len(j.queue) == 0 {
			j.running--
			j.mu.Unlock()
			return
		}
		job := j.queue[0]
		j.queue[0] = nil
		j.queue = j.queue[1:]
		j.mu.Unlock()
		job(j.ctx)
	}
}

// close ends the jobs' context and waits for those that have begun or were queued.
func (j *jobs) close() {
	j.stop()
	j.mu.Lock()   // whoever is in do is out now
	j.mu.Unlock() //nolint:staticcheck // an empty section is the point
	j.wg.Wait()
}

package sessions

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Manager keeps the sessions of one application. It is safe for concurrent use.
type Manager struct {
	opts   atomic.Pointer[Options] // replaced by Rebind
	base   time.Time               // what the slots' times count from
	shards [shards]*shard
	names  interner
	counts counts

	ownStore io.Closer // the store, if OpenStore made it; set by Load and Rebind

	stop   context.CancelFunc // set by Start
	tasks  sync.WaitGroup
	wake   chan struct{} // there is something to look after
	closed atomic.Bool
	rebind sync.Mutex // held while the generation changes or the manager closes
}

// New makes a manager. It has no side effects; call Load, then Start.
func New(o Options) (*Manager, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	m := &Manager{base: o.Now(), wake: make(chan struct{}, 1)}
	m.opts.Store(&o)
	hot := max(o.Hot, 0)
	for i := range m.shards {
		m.shards[i] = newShard(m, (hot+shards-1)/shards)
	}
	return m, nil
}

func (m *Manager) options() *Options { return m.opts.Load() }

func (m *Manager) log() *slog.Logger { return m.options().Logger }

// now is the time that slots and sessions keep: nanoseconds since the manager was
// made, by the monotonic clock.
func (m *Manager) now() int64 { return int64(m.options().Now().Sub(m.base)) }

func (m *Manager) wall(ns int64) time.Time { return m.base.Add(time.Duration(ns)).Round(0) }

func (m *Manager) shard(k key) *shard { return m.shards[k[0]%shards] }

// Serialized reports what Options.Serialized says: whoever runs requests holds
// Session.Lock while a request runs.
func (m *Manager) Serialized() bool { return m.options().Serialized }

// Start starts the goroutine that ends and passivates idle sessions, until Close.
// Call it once.
func (m *Manager) Start() {
	ctx, stop := context.WithCancel(context.Background())
	m.stop = stop
	m.tasks.Go(func() { m.janitor(ctx) })
}

// janitor looks after idle sessions each second while there are any.
func (m *Manager) janitor(ctx context.Context) {
	tick := time.NewTicker(time.Duration(wheelTick))
	defer tick.Stop()
	for {
		if m.counts.active.Load()+m.counts.passive.Load() == 0 {
			tick.Stop()
			select {
			case <-ctx.Done():
				return
			case <-m.wake:
			}
			tick.Reset(time.Duration(wheelTick))
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			m.sweep(ctx)
		}
	}
}

// grown is called when there is one session more, in memory or in the store.
func (m *Manager) grown() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// Create makes a session, in use until its End. The error is a *TooManyError if
// there are too many, ErrClosed if the manager is closed.
func (m *Manager) Create(ctx context.Context) (*Session, error) {
	o := m.options()
	if err := m.reserve(ctx, o); err != nil {
		return nil, err
	}
	s := &Session{m: m, refs: 1, isNew: true, unsent: true, maxIdle: int64(o.Timeout)}
	s.key, s.version = newKey(), o.Version
	wall := o.Now()
	now := int64(wall.Sub(m.base))
	s.created, s.thisAccessed, s.lastAccessed = wall.UnixMilli(), now, now
	s.sh = m.shard(s.key)
	s.sh.mu.Lock()
	if s.sh.closed {
		s.sh.mu.Unlock()
		m.counts.active.Add(-1)
		return nil, ErrClosed
	}
	s.slot = s.sh.insertLocked(s.key, now, s.maxIdle)
	s.sh.live[s.slot] = s
	s.sh.usedLocked(s.slot)
	s.sh.mu.Unlock()
	m.counts.made(wall)
	m.grown()
	m.notify(ctx, Event{Kind: SessionCreated, Session: s, Cause: Create})
	return s, nil
}

// reserve counts one more session in memory, if that is allowed.
func (m *Manager) reserve(ctx context.Context, o *Options) error {
	if m.closed.Load() {
		return ErrClosed
	}
	if m.counts.take(o.MaxActive) {
		return nil
	}
	m.makeRoom(ctx, o)
	if m.counts.take(o.MaxActive) {
		return nil
	}
	m.counts.rejected.Add(1)
	return &TooManyError{Limit: o.MaxActive}
}

// Find returns the session with this id, in use until its End. The error is
// ErrNotFound if there is none, also for an id of a wrong form; other errors are
// the context's, the Store's or the Replicator's.
func (m *Manager) Find(ctx context.Context, id ID) (*Session, error) { return m.find(ctx, id, false) }

// find is Find; with saved, also of sessions that only a file has kept.
func (m *Manager) find(ctx context.Context, id ID, saved bool) (*Session, error) {
	k, ok := parseKey(id)
	if !ok {
		return nil, ErrNotFound
	}
	sh := m.shard(k)
	for {
		sh.mu.Lock()
		if sh.closed {
			sh.mu.Unlock()
			return nil, ErrClosed
		}
		if len(sh.moving) > 0 {
			if mv := sh.moving[k]; mv != nil {
				sh.mu.Unlock()
				if err := mv.wait(ctx); err != nil {
					return nil, fmt.Errorf("waiting for a session: %w", err)
				}
				continue
			}
		}
		i, ok := sh.index[k]
		now := m.now()
		_, over := sh.over[k]
		switch {
		case over, !ok && m.options().Replicator == nil:
			sh.mu.Unlock()
			return nil, ErrNotFound
		case !ok:
			return m.fetch(ctx, sh, k, sh.moveLocked(k))
		case sh.expiredLocked(i, now):
			sh.mu.Unlock()
			m.expire(ctx, k)
			return nil, ErrNotFound
		case sh.slots.at(i).place == passive:
			return m.activate(ctx, sh, k, sh.moveLocked(k))
		}
		s := sh.pinLocked(i)
		if !saved && s.forgetSavedLocked() {
			sh.mu.Unlock()
			continue
		}
		sh.usedLocked(i)
		sh.mu.Unlock()
		if s.access(now) {
			m.notify(ctx, Event{Kind: SessionDidActivate, Session: s, Cause: Replication})
		}
		return s, nil
	}
}

// moveLocked registers a move, releases sh.mu and returns what ends the move.
func (sh *shard) moveLocked(k key) (done func()) {
	mv := &moveSession{done: make(chan struct{})}
	sh.moving[k] = mv
	sh.mu.Unlock()
	return func() {
		sh.mu.Lock()
		delete(sh.moving, k)
		sh.mu.Unlock()
		close(mv.done)
	}
}

func (mv *moveSession) wait(ctx context.Context) error {
	select {
	case <-mv.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Contains reports whether the session is here, in memory or passivated, without
// using it, or a copy of another node's session of the same version (see Holder). A
// host asks it which version of an application a request is for.
func (m *Manager) Contains(id ID) bool {
	k, ok := parseKey(id)
	if !ok {
		return false
	}
	sh := m.shard(k)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	i, ok := sh.index[k]
	if ok {
		return !sh.expiredLocked(i, m.now())
	}
	o := m.options()
	h, ok := o.Replicator.(Holder)
	if !ok {
		return false
	}
	version, ok := h.Holds(k.id(""))
	return ok && version == o.Version
}

// fetch asks the Replicator for a session that is not here.
func (m *Manager) fetch(ctx context.Context, sh *shard, k key, done func()) (*Session, error) {
	defer done()
	o := m.options()
	snap, err := o.Replicator.Find(ctx, o.App, k.id(""))
	switch {
	case err != nil:
		return nil, fmt.Errorf("asking other nodes for a session: %w", err)
	case snap == nil:
		return nil, ErrNotFound
	case snap.ID.Real() != k.id(""):
		return nil, errors.New("asking other nodes for a session: they answered with another one")
	}
	s, err := m.install(sh, k, snap)
	if err != nil {
		return nil, err
	}
	m.notifyArrival(ctx, s, snap)
	return s, nil
}

// install makes a session of a snapshot and returns it in use. The key is being
// moved, so nobody else sees it yet. Limits do not hold: the session exists.
func (m *Manager) install(sh *shard, k key, snap *Snapshot) (*Session, error) {
	o := m.options()
	now := m.now()
	s := m.fromSnapshot(sh, k, snap)
	s.refs, s.unsent = 1, false
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.closed {
		return nil, ErrClosed
	}
	if i, ok := sh.index[k]; ok { // it was passive
		s.slot = i
		sl := sh.slots.at(i)
		s.setFlags(sl.flags&^flagNew | s.flags()&flagNew)
		sl.place, sl.idleSince = live, s.idleSince(o)
		sh.scheduleLocked(i)
		m.counts.passive.Add(-1)
	} else {
		s.slot = sh.insertLocked(k, s.idleSince(o), s.maxIdle)
	}
	sh.live[s.slot] = s
	sh.usedLocked(s.slot)
	m.counts.take(0)
	m.grown()
	s.thisAccessed = now
	return s, nil
}

// fromSnapshot makes a session that is in no shard's tables yet.
func (m *Manager) fromSnapshot(sh *shard, k key, snap *Snapshot) *Session {
	o := m.options()
	o.HLC.Observe(snap.Head.Clock)
	idle := max(o.Now().Round(0).Sub(snap.Accessed.Round(0)), 0)
	at := m.now() - int64(idle)
	return &Session{
		m: m, sh: sh, key: k, maxIdle: int64(snap.MaxInactive), isNew: snap.New, unsent: true,
		lastAccessed: at, thisAccessed: at,
		state: state{created: snap.Created.UnixMilli(), version: snap.Version, head: snap.Head, attrs: snap.Attributes},
	}
}

// notify tells the listener, if it wants to know. Errors are logged.
func (m *Manager) notify(ctx context.Context, e Event) {
	m.notifyAs(ctx, m.options(), e)
}

func (m *Manager) notifyAs(ctx context.Context, o *Options, e Event) {
	if !o.wants(e.Kind) {
		return
	}
	e.Local = true
	e.Status = Status{LocallyUsed: true, LocallyOwned: e.Cause != Failaway, Replicated: o.Replicator != nil}
	if err := o.Listener.Notify(ctx, e); err != nil {
		m.counts.lost.Add(1)
		o.Logger.Error("session listener", "cause", e.Cause.String(), "error", err)
	}
}

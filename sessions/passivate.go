package sessions

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/serval-server/serval/sessions/arena"
)

// errStays means that a session cannot be passivated just now.
var errStays = errors.New("session is in use, has local values, or a new id that nobody was told of")

// openStore makes the store if the options ask for one and there is none.
func (m *Manager) openStore(o *Options) error {
	if o.Store != nil || o.OpenStore == nil {
		return nil
	}
	st, err := o.OpenStore()
	if err != nil {
		return fmt.Errorf("opening the store of passivated sessions: %w", err)
	}
	o.Store = st
	m.ownStore, _ = st.(io.Closer)
	return nil
}

func (m *Manager) closeStore() error {
	if m.ownStore == nil {
		return nil
	}
	return m.ownStore.Close()
}

// activate brings a passivated session back for a request. It is called while the
// key is being moved and ends that.
func (m *Manager) activate(ctx context.Context, sh *shard, k key, done func()) (*Session, error) {
	defer done()
	s, err := m.read(ctx, sh, k)
	switch {
	case errors.Is(err, ErrNotFound), errors.Is(err, ErrDamaged):
		m.log().Error("passivated session is lost", "error", err)
		m.forgetPassive(ctx, sh, k)
		return nil, ErrNotFound
	case err != nil:
		return nil, err
	}
	m.notify(ctx, Event{Kind: SessionDidActivate, Session: s, Cause: Activation})
	if s.access(m.now()) {
		m.notify(ctx, Event{Kind: SessionDidActivate, Session: s, Cause: Replication})
	}
	return s, nil
}

// read loads a passivated session into memory, in use. The caller moves the key.
func (m *Manager) read(ctx context.Context, sh *shard, k key) (*Session, error) {
	st := m.options().Store
	snap, err := st.Load(ctx, k.id(""))
	if err != nil {
		return nil, fmt.Errorf("activating a session: %w", err)
	}
	if snap.ID.Real() != k.id("") {
		return nil, fmt.Errorf("activating a session: %w: it has another id", ErrDamaged)
	}
	s, err := m.install(sh, k, snap)
	if err != nil {
		return nil, err
	}
	m.counts.activated.Add(1)
	if err := st.Delete(ctx, k.id("")); err != nil {
		m.log().Error("deleting an activated session from the store", "error", err)
	}
	return s, nil
}

// makeRoom ends sessions that have expired and, with a Store, passivates those
// that were used longest ago, until one more fits.
func (m *Manager) makeRoom(ctx context.Context, o *Options) {
	m.sweep(ctx)
	if o.Store == nil || o.MinIdle < 0 {
		return
	}
	for m.counts.active.Load() >= int64(o.MaxActive) && ctx.Err() == nil {
		k, ok := m.oldest(int64(o.MinIdle))
		if !ok {
			return
		}
		switch err := m.passivate(ctx, k, o.MinIdle); {
		case errors.Is(err, errStays): // used just now; the next is older than it
		case err != nil:
			o.Logger.Error("passivating a session to make room", "error", err)
			return
		}
	}
}

// oldest finds the session that was used longest ago, of those idle for longer
// than minIdle. Ties go to the lower shard, and there to the one that came first.
func (m *Manager) oldest(minIdle int64) (k key, ok bool) {
	var best int64
	now := m.now()
	for _, sh := range m.shards {
		sh.mu.Lock()
		for i := sh.lru.head; i != 0; i = sh.slots.at(i).links[lruList].next {
			sl := sh.slots.at(i)
			if sh.staysLocked(i) {
				continue
			}
			if now-sl.idleSince > minIdle && (!ok || sl.idleSince < best) {
				k, best, ok = sl.key, sl.idleSince, true
			}
			break
		}
		sh.mu.Unlock()
	}
	return k, ok
}

// staysLocked reports whether a session in memory cannot be passivated now.
func (sh *shard) staysLocked(i uint32) bool {
	sl := sh.slots.at(i)
	if sh.moving[sl.key] != nil || sh.busyLocked(i) {
		return true
	}
	if sl.place != live {
		return false
	}
	s := sh.live[i]
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.local) > 0 || s.renamed
}

// passivate moves a session that has been idle for longer than minIdle to the
// store, if it is in memory and unused. Listeners hear of it before.
func (m *Manager) passivate(ctx context.Context, k key, minIdle time.Duration) error {
	sh := m.shard(k)
	sh.mu.Lock()
	i, ok := sh.index[k]
	if !ok || sh.closed || sh.slots.at(i).place == passive || sh.staysLocked(i) ||
		m.now()-sh.slots.at(i).idleSince <= int64(minIdle) || sh.expiredLocked(i, m.now()) {
		sh.mu.Unlock()
		return errStays
	}
	s := sh.pinLocked(i)
	since := sh.slots.at(i).idleSince
	done := sh.moveLocked(k)
	defer done()
	m.notify(ctx, Event{Kind: SessionWillPassivate, Session: s, Cause: Passivation})
	err := m.store(ctx, s, since)
	if err == nil && s.leave(k) {
		m.counts.passivated.Add(1)
		return nil
	}
	if err == nil { // a listener has changed its id, ended it or kept it
		err = errStays
		if e := m.options().Store.Delete(ctx, k.id("")); e != nil {
			err = e
		}
	}
	if s.Valid() {
		m.notify(ctx, Event{Kind: SessionDidActivate, Session: s, Cause: Activation})
	}
	s.release()
	return err
}

func (m *Manager) store(ctx context.Context, s *Session, since int64) error {
	s.mu.Lock()
	snap := s.snapshotLocked(since)
	s.mu.Unlock()
	return m.options().Store.Save(ctx, snap)
}

// leave takes a stored session out of memory if the caller is the only one who
// has it and it still is what was stored.
func (s *Session) leave(k key) bool {
	sh := s.sh
	sh.mu.Lock()
	defer sh.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refs != 1 || s.slot == 0 || s.key != k || s.phase != valid || len(s.local) > 0 || s.renamed {
		return false
	}
	i := s.slot
	s.refs, s.slot = 0, 0
	delete(sh.live, i)
	sh.coolLocked(s)
	sl := sh.slots.at(i)
	sl.place, sl.ref, sl.flags = passive, arena.Ref{}, s.flags()
	sh.unlistLocked(i)
	sh.scheduleLocked(i)
	s.m.counts.active.Add(-1)
	s.m.counts.passive.Add(1)
	return true
}

// loadStore makes the sessions of the store known, without reading them whole.
// With a Replicator it empties the store: the others have gone on without this
// node, and what they have is newer.
func (m *Manager) loadStore(ctx context.Context) (n int, err error) {
	o := m.options()
	switch {
	case o.Store == nil:
		return 0, nil
	case o.Replicator != nil:
		return 0, purge(ctx, o.Store)
	}
	err = o.Store.Walk(ctx, func(snap *Snapshot) bool {
		k, ok := parseKey(snap.ID.Real())
		if !ok {
			return true
		}
		sh := m.shard(k)
		s := m.fromSnapshot(sh, k, snap)
		sh.mu.Lock()
		defer sh.mu.Unlock()
		if _, ok := sh.index[k]; ok || sh.closed {
			return true
		}
		i := sh.insertLocked(k, s.thisAccessed, s.maxIdle)
		sl := sh.slots.at(i)
		sl.place, sl.flags = passive, flagUnsent|flagSaved
		sh.scheduleLocked(i)
		m.counts.passive.Add(1)
		n++
		return true
	})
	m.grown()
	return n, err
}

// purge empties a store.
func purge(ctx context.Context, st Store) error {
	var ids []ID
	if err := st.Walk(ctx, func(s *Snapshot) bool {
		ids = append(ids, s.ID)
		return true
	}); err != nil {
		return err
	}
	for _, id := range ids {
		if err := st.Delete(ctx, id.Real()); err != nil {
			return fmt.Errorf("emptying the store: %w", err)
		}
	}
	return nil
}

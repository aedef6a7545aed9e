package sessions

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// each calls f with each session in memory, one at a time and in use, until f
// fails. Sessions that come or go meanwhile may be left out. It is no access.
func (m *Manager) each(ctx context.Context, f func(*Session) error) error {
	for _, sh := range m.shards {
		for i := uint32(1); ; i++ {
			if err := ctx.Err(); err != nil {
				return err
			}
			s, more := sh.pinAt(i)
			if !more {
				break
			}
			if s == nil {
				continue
			}
			err := f(s)
			s.release()
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// pinAt pins the session in a slot, nil if there is none in memory; more is false
// behind the last slot.
func (sh *shard) pinAt(i uint32) (s *Session, more bool) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if i > sh.slots.used {
		return nil, false
	}
	if p := sh.slots.at(i).place; p == free || p == passive {
		return nil, true
	}
	return sh.pinLocked(i), true
}

// eachSnapshot calls f with a copy of each session in memory, without unpacking
// it for good.
func (m *Manager) eachSnapshot(ctx context.Context, f func(*Snapshot) error) error {
	for _, sh := range m.shards {
		for i := uint32(1); ; i++ {
			if err := ctx.Err(); err != nil {
				return err
			}
			snap, more := sh.snapshotAt(i)
			if !more {
				break
			}
			if snap == nil {
				continue
			}
			if err := f(snap); err != nil {
				return err
			}
		}
	}
	return nil
}

func (sh *shard) snapshotAt(i uint32) (snap *Snapshot, more bool) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if i > sh.slots.used {
		return nil, false
	}
	sl := sh.slots.at(i)
	var s *Session
	since := sl.idleSince
	switch sl.place {
	case live:
		s = sh.live[i]
		if s.refs > 0 {
			since = sh.m.now()
		}
	case packed:
		s = &Session{m: sh.m, sh: sh, key: sl.key, maxIdle: sl.maxIdle}
		s.readPacked(sh.arena.Bytes(sl.ref), since)
	default:
		return nil, true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.snapshotLocked(since), true
}

// Close stops the manager; Create and Find then answer ErrClosed. With save, and
// a File or a Store to save to, the sessions are told that they are passivated
// and are saved; with a File they all go there, except those that are in the
// Store. Without, they end with cause UNDEPLOY, stored ones too. So they do with a
// Replicator, on this node only: the others go on with them, and what was saved
// would be outdated (with passivation, they are told that they are passivated, cause
// UNDEPLOY, rather than that they end). Only if there is no other node (Solitary)
// they are saved. A session that is in use meanwhile is saved as it is. The error
// says that saving failed; the manager is closed all the same. Closing again does
// nothing.
func (m *Manager) Close(ctx context.Context, save bool) error {
	m.rebind.Lock()
	defer m.rebind.Unlock()
	if m.closed.Swap(true) {
		return nil
	}
	if m.stop != nil {
		m.stop()
	}
	m.tasks.Wait()
	o := m.options()
	var err error
	save = save && (o.Replicator == nil || solitary(o.Replicator))
	switch {
	case save && o.File != "":
		m.sweep(ctx)
		err = errors.Join(m.tell(ctx, o, SessionWillPassivate, Passivation), m.saveFile(ctx, o))
	case save && o.Store != nil:
		m.sweep(ctx)
		err = errors.Join(m.tell(ctx, o, SessionWillPassivate, Passivation), m.eachSnapshot(ctx, func(s *Snapshot) error {
			return o.Store.Save(ctx, s)
		}))
	case o.Replicator != nil && o.Store != nil:
		// The session goes on elsewhere; JBoss tells of its passivation.
		err = errors.Join(m.tell(ctx, o, SessionWillPassivate, Undeploy), purge(ctx, o.Store))
	default:
		err = m.endAll(ctx)
	}
	for _, sh := range m.shards {
		sh.release()
	}
	m.counts.active.Store(0)
	m.counts.passive.Store(0)
	err = errors.Join(err, m.closeStore())
	if err != nil {
		return fmt.Errorf("closing the sessions of %s: %w", o.App, err)
	}
	return nil
}

// tell reports an event of each session to those who want to hear of it.
func (m *Manager) tell(ctx context.Context, o *Options, kind EventKind, cause Cause) error {
	if !o.wants(kind) {
		return nil
	}
	return m.each(ctx, func(s *Session) error {
		m.notifyAs(ctx, o, Event{Kind: kind, Session: s, Cause: cause})
		return nil
	})
}

func (m *Manager) saveFile(ctx context.Context, o *Options) error {
	return writeAtomically(o.File, func(w io.Writer) error {
		f, err := newFileWriter(w, o.App)
		if err != nil {
			return err
		}
		if err := m.eachSnapshot(ctx, f.add); err != nil {
			return err
		}
		return f.close()
	})
}

// endAll ends all sessions with cause UNDEPLOY. Those in the store are read if
// somebody wants to hear of them.
func (m *Manager) endAll(ctx context.Context) error {
	o := m.options()
	var errs []error
	if o.wants(SessionDestroyed) || o.Replicator != nil {
		errs = append(errs, m.each(ctx, func(s *Session) error {
			if err := s.Invalidate(ctx, Undeploy); err != nil && !errors.Is(err, ErrInvalid) {
				errs = append(errs, err)
			}
			return nil
		}))
	}
	for _, sh := range m.shards {
		for _, k := range sh.passiveKeys() {
			if err := m.endPassive(ctx, sh, k); err != nil {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

func (sh *shard) passiveKeys() (keys []key) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for i := uint32(1); i <= sh.slots.used; i++ {
		if sl := sh.slots.at(i); sl.place == passive {
			keys = append(keys, sl.key)
		}
	}
	return keys
}

func (m *Manager) endPassive(ctx context.Context, sh *shard, k key) error {
	sh.mu.Lock()
	done := sh.moveLocked(k)
	if o := m.options(); o.wants(SessionDestroyed) || o.Replicator != nil {
		s, err := m.activate(ctx, sh, k, done)
		if err != nil {
			return err
		}
		return s.Invalidate(ctx, Undeploy)
	}
	defer done()
	m.forgetPassive(ctx, sh, k)
	return nil
}

// release forgets everything. Sessions that are in use stay readable for those
// who have them.
func (sh *shard) release() {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.closed = true
	for _, s := range sh.live {
		s.slot, s.hot = 0, 0
	}
	sh.arena.Release()
	sh.index, sh.live, sh.hot, sh.slots = nil, nil, nil, slots{}
	sh.wheel, sh.lru = wheel{}, list{}
}

// Rebind hands the living manager to the next generation of its application: new
// limits, times, listeners. Sessions stay as they are, in use or not; those that
// exist keep their timeout and their version. If a generation wants to hear of
// it, all sessions in memory are told that they are passivated before, and that
// they are activated after the change, as Tomcat's reload does.
//
// App, Node, HLC, Now, Hot and an open Store are those of the manager's making;
// what o says of them is ignored. The error is that of a bad option, and nothing has
// changed then, or the context's.
func (m *Manager) Rebind(ctx context.Context, o Options) error {
	m.rebind.Lock()
	defer m.rebind.Unlock()
	if m.closed.Load() {
		return ErrClosed
	}
	was := m.options()
	o.App, o.Node, o.HLC, o.Now, o.Hot, o.Store = was.App, was.Node, was.HLC, was.Now, was.Hot, was.Store
	next, err := o.withDefaults()
	if err != nil {
		return err
	}
	if err := m.openStore(&next); err != nil {
		return err
	}
	if err := m.tell(ctx, was, SessionWillPassivate, Passivation); err != nil {
		return err
	}
	m.opts.Store(&next)
	return m.tell(ctx, &next, SessionDidActivate, Activation)
}

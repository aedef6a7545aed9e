package sessions

import (
	"context"
	"errors"
)

// Invalidate ends the session: new requests do not find it from now on, its
// listeners hear of it while it still is readable, then it is gone, and its
// Replicator is told, unless the cause is UNDEPLOY: the session lives on at other
// nodes. Ending it once more while its listeners run does nothing; afterwards it
// is ErrInvalid. Other errors are as Commit's.
func (s *Session) Invalidate(ctx context.Context, cause Cause) error {
	s.sh.mu.Lock()
	s.mu.Lock()
	was := s.phase
	if was == valid {
		s.phase = ending
		s.hideLocked()
		s.sh.overLocked(s.key)
	}
	s.mu.Unlock()
	s.sh.mu.Unlock()
	switch was {
	case ending:
		return nil
	case ended:
		return ErrInvalid
	case moved:
		return ErrMoved
	}
	r, dot := s.finish(ctx, s.m.options(), cause)
	return s.await(ctx, r, dot)
}

// hideLocked makes the session invisible; its slot goes back. The caller holds
// sh.mu and s.mu.
func (s *Session) hideLocked() {
	if s.slot == 0 { // used beyond its End, or the manager was closed
		return
	}
	s.sh.dropLocked(s.slot)
	s.m.counts.active.Add(-1)
}

// finish ends a session that nobody finds any more, and returns what says that
// other nodes know. The caller holds a reference.
func (s *Session) finish(ctx context.Context, o *Options, cause Cause) (Receipt, Dot) {
	s.m.notifyAs(ctx, o, Event{Kind: SessionDestroyed, Session: s, Cause: cause})
	s.mu.Lock()
	s.phase = ended
	base := s.head
	var r Receipt
	previous := s.previous
	if o.Replicator != nil && cause != Undeploy {
		s.advance(o)
		d := s.bareDelta(o, base)
		d.Dead, d.Cause, d.Set = true, cause, nil
		r = o.send(d)
	}
	dot, k := s.head, s.key
	s.attrs, s.local = nil, nil
	created := s.created
	s.mu.Unlock()
	if o.Replicator != nil {
		s.sh.told(k)
		s.sh.told(previous)
	}
	s.m.counts.over(cause, o.Now(), created)
	return r, dot
}

// end is finish for the manager itself, which waits for nobody: a session that
// has expired here expires elsewhere too if the news is lost.
func (s *Session) end(ctx context.Context, o *Options, cause Cause) { _, _ = s.finish(ctx, o, cause) }

// expire ends the session of this key if it still has been idle for too long.
func (m *Manager) expire(ctx context.Context, k key) {
	if !m.mayEnd(ctx, k) {
		return
	}
	sh := m.shard(k)
	sh.mu.Lock()
	i, ok := sh.index[k]
	if !ok || sh.closed || sh.moving[k] != nil || !sh.expiredLocked(i, m.now()) {
		sh.mu.Unlock()
		return
	}
	o := m.options()
	quiet := !o.wants(SessionDestroyed) && o.Replicator == nil
	if sh.slots.at(i).place == passive {
		m.expirePassive(ctx, sh, k, quiet)
		return
	}
	if quiet {
		m.dropQuietlyLocked(sh, i)
		sh.mu.Unlock()
		return
	}
	s := sh.pinLocked(i)
	s.mu.Lock()
	s.phase = ending
	s.hideLocked()
	s.mu.Unlock()
	sh.overLocked(k)
	sh.mu.Unlock()
	s.end(ctx, o, Timeout)
}

// mayEnd reports that no other node is the home of an expired session, as far as
// this one knows. One of which no node was told is this node's.
func (m *Manager) mayEnd(ctx context.Context, k key) bool {
	o, ok := m.options().Replicator.(Owner)
	if !ok {
		return true
	}
	sh := m.shard(k)
	sh.mu.Lock()
	i, ok := sh.index[k]
	if !ok || sh.closed || sh.moving[k] != nil || !sh.expiredLocked(i, m.now()) {
		sh.mu.Unlock()
		return false
	}
	if sh.slots.at(i).place != passive {
		s := sh.pinLocked(i)
		s.mu.Lock()
		unsent := s.unsent
		s.mu.Unlock()
		sh.unpinLocked(s)
		if unsent {
			sh.mu.Unlock()
			return true
		}
	}
	sh.mu.Unlock()
	if o.AtHome(k.id("")) {
		return true
	}
	// Its home comes to the same verdict; here it is only in the way.
	m.Evict(ctx, k.id(""), Failaway)
	return false
}

// dropQuietlyLocked ends an expired session of which nobody wants to hear.
func (m *Manager) dropQuietlyLocked(sh *shard, i uint32) {
	created := sh.createdLocked(i)
	if s := sh.live[i]; s != nil {
		s.mu.Lock()
		s.phase, s.attrs, s.local = ended, nil, nil
		s.mu.Unlock()
	}
	sh.dropLocked(i)
	m.counts.active.Add(-1)
	m.counts.over(Timeout, m.options().Now(), created)
}

// expirePassive ends an expired session that is in the store; it is called with
// sh.mu held and releases it. Listeners hear that it was activated, then that it
// ends (JBoss). One that cannot be read ends without them.
func (m *Manager) expirePassive(ctx context.Context, sh *shard, k key, quiet bool) {
	o := m.options()
	done := sh.moveLocked(k)
	defer done()
	if !quiet {
		s, err := m.read(ctx, sh, k)
		if err == nil {
			s.mu.Lock()
			s.phase = ending
			s.mu.Unlock()
			m.notify(ctx, Event{Kind: SessionDidActivate, Session: s, Cause: Activation})
			sh.mu.Lock()
			s.mu.Lock()
			s.hideLocked()
			s.mu.Unlock()
			sh.mu.Unlock()
			s.end(ctx, o, Timeout)
			return
		}
		o.Logger.Error("passivated session ends unread", "error", err)
	}
	m.forgetPassive(ctx, sh, k)
	m.counts.expired.Add(1)
}

// forgetPassive drops a session that is in the store. The caller moves the key.
func (m *Manager) forgetPassive(ctx context.Context, sh *shard, k key) {
	if st := m.options().Store; st != nil {
		if err := st.Delete(ctx, k.id("")); err != nil {
			m.log().Error("deleting a stored session", "error", err)
		}
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if i, ok := sh.index[k]; ok && sh.slots.at(i).place == passive {
		sh.dropLocked(i)
		m.counts.passive.Add(-1)
	}
}

// sweepBatch is how many slots are looked at before a shard's lock is released.
const sweepBatch = 256

// sweep ends and passivates what has been idle for too long.
func (m *Manager) sweep(ctx context.Context) {
	var expired, idle []key
	for _, sh := range m.shards {
		for more := true; more && ctx.Err() == nil; {
			expired, idle, more = sh.due(m.now(), expired[:0], idle[:0])
			for _, k := range expired {
				m.expire(ctx, k)
			}
			for _, k := range idle {
				if err := m.passivate(ctx, k, m.options().MaxIdle); err != nil && !errors.Is(err, errStays) {
					m.log().Error("passivating an idle session", "error", err)
				}
			}
		}
	}
}

// due takes from the wheel what is to be looked at now, and puts it back for
// later. It appends the keys of sessions to be ended and to be passivated; those
// that are not are looked at again at the next tick.
func (sh *shard) due(now int64, expired, idle []key) (e, p []key, more bool) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	o := sh.m.options()
	quiet := !o.wants(SessionDestroyed) && o.Replicator == nil
	for range sweepBatch {
		i := sh.wheel.next(&sh.slots, now)
		if i == 0 || sh.closed {
			return expired, idle, false
		}
		sl := sh.slots.at(i)
		switch {
		case sh.busyLocked(i):
			sh.wheel.add(&sh.slots, i, now+max(sl.maxIdle, wheelTick))
		case sh.expiredLocked(i, now) && quiet && sl.place != passive && sh.moving[sl.key] == nil:
			sh.m.dropQuietlyLocked(sh, i)
		case sh.expiredLocked(i, now):
			expired = append(expired, sl.key)
			sh.wheel.add(&sh.slots, i, now+wheelTick)
		case sl.place != passive && o.Store != nil && o.MaxIdle > 0 && now-sl.idleSince > int64(o.MaxIdle):
			idle = append(idle, sl.key)
			sh.wheel.add(&sh.slots, i, now+wheelTick)
		default:
			sh.scheduleLocked(i)
		}
	}
	return expired, idle, true
}

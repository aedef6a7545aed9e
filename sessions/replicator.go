package sessions

import (
	"context"
	"errors"
	"fmt"
)

// Replicator is the way to other nodes. The cluster implements it; a server
// without one has none. Its methods are called concurrently.
type Replicator interface {
	// Find looks for a session that is not here. It returns nil, nil if
	// nobody has it. What it returns becomes a session of this node, which
	// from then on is its home (see Snapshot.Cause). An error that is
	// ErrMoved means that another living node is its home, ErrUnavailable
	// that it cannot be said now. It is called without locks held.
	Find(ctx context.Context, app AppKey, id ID) (*Snapshot, error)
	// Commit takes a Delta. It is called with the mutex of the session held,
	// so that the Deltas of a session come in the order of their commits: it
	// must not wait for other nodes, nor call a Manager or a Session. The
	// Receipt says when the ack policy is met; nil: there is nothing to wait
	// for. The Delta is the Replicator's to keep.
	Commit(d *Delta) Receipt
}

// Solitary is a Replicator that can say whether it is the only node of its cluster
// just now, so that nobody else keeps the sessions.
type Solitary interface{ Alone() bool }

// Owner is a Replicator that can say, from this node's own memory and at once,
// whether this node still is the home of a session that it has had from it, or has
// told it of. Before a session ends for its age the manager asks: a node that was
// stopped for a while may not know yet that others have gone on without it, and
// listeners shall hear once in a cluster. It is called without locks held.
type Owner interface {
	AtHome(id ID) bool
}

// Holder is a Replicator that can say, from this node's own memory, whether it has
// a copy of a session and to which version of the application that belongs. Where
// several versions run, Manager.Contains asks it for sessions that were not used on
// this node yet.
type Holder interface {
	Holds(id ID) (version string, ok bool)
}

func solitary(r Replicator) bool {
	s, ok := r.(Solitary)
	return ok && s.Alone()
}

// Receipt is a commit on its way to other nodes.
type Receipt interface {
	// Wait returns when the application's ack policy is met. An error that
	// is ErrMoved means that another node is the session's home and the
	// commit is lost; others (ErrUnavailable), that it cannot be said whether
	// another node has it. It may be called more than once, and not at all.
	Wait(ctx context.Context) error
}

var (
	// ErrMoved means that another node is the session's home, perhaps since
	// a request of this one began to use it: what that has changed is lost.
	// It asks for a 503 answer, after which the client finds the session at
	// its new home.
	ErrMoved = errors.New("another node has taken over the session")
	// ErrUnavailable means that it cannot be decided now where the session
	// is, or that other nodes do not acknowledge. It asks for a 503 answer.
	ErrUnavailable = errors.New("the cluster cannot serve the session now")
)

// ReplicationError is why a commit is not as safe as the application asked for:
// its changes hold on this node, but other nodes have not acknowledged them.
type ReplicationError struct {
	App AppKey
	Dot Dot   // of the commit
	Err error // what the Receipt said
}

func (e *ReplicationError) Error() string {
	return fmt.Sprintf("session of %s: commit %v is not acknowledged by other nodes: %v", e.App, e.Dot, e.Err)
}

// Unwrap returns what the Receipt said.
func (e *ReplicationError) Unwrap() error { return e.Err }

// Timeout reports that the acknowledgements did not come in time.
func (e *ReplicationError) Timeout() bool {
	var t interface{ Timeout() bool }
	return errors.As(e.Err, &t) && t.Timeout() // context.DeadlineExceeded is one
}

// await waits until other nodes have what a commit gave them. It is called
// without locks held. A session that turns out to be another node's is forgotten.
func (s *Session) await(ctx context.Context, r Receipt, dot Dot) error {
	if r == nil {
		return nil
	}
	err := r.Wait(ctx)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrMoved):
		s.m.evict(ctx, s, Failaway)
		return ErrMoved
	}
	return &ReplicationError{App: s.m.options().App, Dot: dot, Err: err}
}

// send hands a Delta to the Replicator. The caller holds s.mu, for the order.
func (o *Options) send(d *Delta) Receipt {
	if d == nil {
		return nil
	}
	return o.Replicator.Commit(d)
}

// Announce commits what no Delta has told of yet: that there is this session, or
// that its id has changed. If there is nothing of that kind, or no Replicator, it
// costs nothing. A container calls it at a commit point where the request has
// changed nothing else. The error is as Commit's.
func (s *Session) Announce(ctx context.Context) error {
	o := s.m.options()
	if o.Replicator == nil {
		return nil
	}
	s.mu.Lock()
	if s.phase != valid {
		err := s.refusal()
		s.mu.Unlock()
		return err
	}
	if !s.unsent && !s.renamed {
		s.mu.Unlock()
		return nil
	}
	dot, previous := s.head, s.previous
	r := o.send(s.bareDelta(o, dot))
	s.mu.Unlock()
	s.sh.told(previous)
	return s.await(ctx, r, dot)
}

// Evict forgets a session of which another node has become the home: it is not
// ended, its listeners hear with the cause (Failaway) that it leaves, and a
// request that uses it gets ErrMoved at its next commit. A session that is not
// here is none of its business. It may take as long as the listeners do, so the
// caller holds no lock.
func (m *Manager) Evict(ctx context.Context, id ID, cause Cause) { m.remove(ctx, id, cause, false) }

// Yield is Evict for a session that this node gives away by its own will (cause
// Failaway), if no request uses it: false means that one does, and nothing has
// happened. One that is not here is not in use. The error of a context that ends
// while the session is being loaded or passivated counts as use.
func (m *Manager) Yield(ctx context.Context, id ID) bool { return m.remove(ctx, id, Failaway, true) }

// remove forgets a session, but one that is in use only if it need not be idle.
func (m *Manager) remove(ctx context.Context, id ID, cause Cause, idle bool) bool {
	k, ok := parseKey(id)
	if !ok {
		return true
	}
	sh := m.shard(k)
	for {
		sh.mu.Lock()
		if mv := sh.moving[k]; mv != nil {
			sh.mu.Unlock()
			if mv.wait(ctx) != nil {
				return false
			}
			continue
		}
		i, ok := sh.index[k]
		switch {
		case !ok || sh.closed:
			sh.mu.Unlock()
			return true
		case sh.slots.at(i).place == passive:
			done := sh.moveLocked(k)
			m.forgetPassive(ctx, sh, k)
			m.counts.moved.Add(1)
			done()
			return true
		case idle && sh.busyLocked(i):
			sh.mu.Unlock()
			return false
		}
		s := sh.pinLocked(i)
		m.evictLocked(ctx, s, cause)
		s.release()
		return true
	}
}

// evict forgets a session that the caller uses. Requests for it wait until its
// listeners have heard.
func (m *Manager) evict(ctx context.Context, s *Session, cause Cause) {
	s.sh.mu.Lock()
	m.evictLocked(ctx, s, cause)
}

// evictLocked is evict; it is called with the shard's mutex held and releases it.
func (m *Manager) evictLocked(ctx context.Context, s *Session, cause Cause) {
	sh := s.sh
	s.mu.Lock()
	if s.phase != valid {
		s.mu.Unlock()
		sh.mu.Unlock()
		return
	}
	s.phase = moved
	k, was := s.key, s.slot
	s.hideLocked()
	delete(sh.over, s.previous)
	s.mu.Unlock()
	if was != 0 {
		m.counts.moved.Add(1)
	}
	if was == 0 || sh.closed || sh.moving[k] != nil || !m.options().wants(SessionWillPassivate) {
		sh.mu.Unlock()
		return
	}
	done := sh.moveLocked(k)
	defer done()
	m.notify(ctx, Event{Kind: SessionWillPassivate, Session: s, Cause: cause})
}

// Expire ends a session that the cluster says has been idle for too long: one
// that is at home on this node but perhaps was never used here. It is loaded by
// the Replicator's Find then, and its listeners hear that it comes and that it
// ends (cause TIMEOUT). A session that this node knows to be in use, or to have
// been used since, stays.
func (m *Manager) Expire(ctx context.Context, id ID) {
	k, ok := parseKey(id)
	if !ok {
		return
	}
	sh := m.shard(k)
	for {
		sh.mu.Lock()
		if mv := sh.moving[k]; mv != nil {
			sh.mu.Unlock()
			if mv.wait(ctx) != nil {
				return
			}
			continue
		}
		_, here := sh.index[k]
		switch {
		case sh.closed || !here && m.options().Replicator == nil:
			sh.mu.Unlock()
		case here:
			sh.mu.Unlock()
			m.expire(ctx, k)
		default:
			m.expireUnseen(ctx, sh, k, sh.moveLocked(k))
		}
		return
	}
}

// expireUnseen ends a session that only the Replicator has. The caller moves the
// key, so that no request finds the session meanwhile.
func (m *Manager) expireUnseen(ctx context.Context, sh *shard, k key, done func()) {
	defer done()
	o := m.options()
	snap, err := o.Replicator.Find(ctx, o.App, k.id(""))
	switch {
	case err != nil:
		o.Logger.Error("loading a session that has expired", "error", err)
		return
	case snap == nil || snap.ID.Real() != k.id(""):
		return
	}
	s := m.fromSnapshot(sh, k, snap)
	s.refs, s.phase, s.unsent = 1, ending, false
	m.notifyArrival(ctx, s, snap)
	s.end(ctx, o, Timeout)
}

// notifyArrival tells that a session has come from another node. At a failover
// JBoss asks its policies about sessionCreated too, which they deny; for
// STATE_TRANSFER it has no session events (jboss.md §3.1, §3.3).
func (m *Manager) notifyArrival(ctx context.Context, s *Session, snap *Snapshot) {
	cause := Failover
	if snap.Cause == StateTransfer {
		cause = StateTransfer
	} else {
		m.notify(ctx, Event{Kind: SessionCreated, Session: s, Cause: cause})
	}
	m.notify(ctx, Event{Kind: SessionDidActivate, Session: s, Cause: cause})
}

// FindNew is Find for a session that no other node can know of, because no Delta
// of it was made yet. The error is ErrNotFound for all others.
func (m *Manager) FindNew(ctx context.Context, id ID) (*Session, error) {
	k, ok := parseKey(id)
	if !ok {
		return nil, ErrNotFound
	}
	sh := m.shard(k)
	sh.mu.Lock()
	_, ok = sh.index[k]
	sh.mu.Unlock()
	if !ok {
		return nil, ErrNotFound
	}
	s, err := m.find(ctx, id, true)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	fresh := s.unsent
	s.mu.Unlock()
	if !fresh {
		s.release()
		return nil, ErrNotFound
	}
	return s, nil
}

// forgetSavedLocked forgets a session that comes from a file, if there is a
// Replicator: whoever calls Find expects that other nodes know the session, and what
// they have is newer. The caller holds sh.mu and a reference, which is dropped then.
func (s *Session) forgetSavedLocked() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.saved || s.m.options().Replicator == nil || s.phase != valid {
		return false
	}
	s.phase = moved
	s.hideLocked()
	s.refs--
	return true
}

// InUse reports whether a request uses the session on this node: its home may
// move with less harm when none does.
func (m *Manager) InUse(id ID) bool {
	k, ok := parseKey(id)
	if !ok {
		return false
	}
	sh := m.shard(k)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	i, ok := sh.index[k]
	return ok && sh.busyLocked(i)
}

// Snapshots calls f with a copy of each session that is in memory here, until f
// fails: for a Replicator that is switched on while the application runs.
// Sessions that come or go meanwhile may be left out. It is no access.
func (m *Manager) Snapshots(ctx context.Context, f func(*Snapshot) error) error {
	return m.eachSnapshot(ctx, f)
}

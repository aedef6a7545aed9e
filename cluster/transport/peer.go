package transport

import (
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

const (
	minBackoff = 50 * time.Millisecond
	maxBackoff = 5 * time.Second
	// yield is how long the node with the higher id leaves dialing to the
	// other, who may not know of it, or may not reach it.
	yield = 250 * time.Millisecond
)

// peer is what is known of another incarnation, over all links to it.
type peer struct {
	t       *Transport
	up      atomic.Pointer[link] // the link that works
	dropped atomic.Uint64        // items sent while there was none
	wake    chan struct{}        // link has become nil

	mu        sync.Mutex
	info      Peer          // guarded by mu
	wanted    bool          // guarded by mu: Dial was called, Forget was not
	forgotten chan struct{} // guarded by mu: closed when no longer wanted
	link      *link         // guarded by mu: being made, or working, or ending
	links     uint64        // guarded by mu: how many have worked
	totals    PeerStats     // guarded by mu: of the links that have ended
	crashed   bool          // guarded by mu: the Handler has been told
}

// offer makes a new link the peer's, if it may be: while the one of two nodes
// that dials by right is dialing, the other does not get through. What it
// replaces is closed; gone is closed when that has ended.
func (x *peer) offer(l *link) (gone <-chan struct{}, ok bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	old := x.link
	if old == nil {
		x.link = l
		return nil, true
	}
	making := x.up.Load() != old && old.ctx.Err() == nil
	if l.dialed || making && old.dialed && x.t.cfg.Self.ID < l.id {
		return nil, false
	}
	// The peer dials because it has no link, or none that works.
	old.close(ErrReplaced)
	x.link = l
	return old.gone, true
}

// retire takes back a link that has ended.
func (x *peer) retire(l *link) {
	x.mu.Lock()
	if x.link == l {
		x.link = nil
	}
	free := x.link == nil && !x.wanted
	x.mu.Unlock()
	close(l.gone)
	if free {
		x.t.removePeer(x)
	}
	select {
	case x.wake <- struct{}{}:
	default:
	}
}

// dialLoop keeps the peer linked while it is wanted.
func (x *peer) dialLoop() {
	x.mu.Lock()
	forgotten := x.forgotten
	x.mu.Unlock()
	var turn time.Duration
	if x.t.cfg.Self.ID > x.id() {
		turn = yield
	}
	backoff, wait := minBackoff, turn
	for {
		if !x.sleep(wait, forgotten, nil) {
			return
		}
		if x.linked() {
			if !x.sleep(-1, forgotten, x.wake) {
				return
			}
			wait = turn + rand.N(minBackoff)
			continue
		}
		began := time.Now()
		err := x.dial()
		select { // the link that has just ended needs no waking
		case <-x.wake:
		default:
		}
		if time.Since(began) > maxBackoff {
			backoff = minBackoff // it has worked for a while
		}
		wait = turn + backoff/2 + rand.N(backoff)
		backoff = min(2*backoff, maxBackoff)
		if err != nil && !errors.Is(err, errDuplicate) {
			x.t.log.Debug("dialing a peer", "peer", x.name(), "error", err, "again_in", wait)
		}
	}
}

// sleep waits for d, for ever if it is negative, or for wake. It returns false
// if the peer is no longer wanted or the transport is closing.
func (x *peer) sleep(d time.Duration, forgotten, wake <-chan struct{}) bool {
	var after <-chan time.Time
	if d >= 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		after = timer.C
	}
	select {
	case <-x.t.ctx.Done():
		return false
	case <-forgotten:
		return false
	case <-wake:
	case <-after:
	}
	return true
}

// linked reports whether there is a link or one is being made.
func (x *peer) linked() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.link != nil
}

func (x *peer) snapshot() Peer {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.info
}

func (x *peer) id() uint32   { return x.snapshot().ID }
func (x *peer) name() string { return x.snapshot().Name }

// account adds what a link has done to the totals.
func (x *peer) account(l *link) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.links++
	l.addTo(&x.totals)
}

// crash tells the Handler, once, that the peer's process is gone.
func (x *peer) crash() {
	x.mu.Lock()
	first := !x.crashed
	x.crashed = true
	id, name := x.info.ID, x.info.Name
	x.mu.Unlock()
	if first {
		x.t.log.Warn("peer has crashed", "peer", name, "incarnation", id)
		x.t.h.Crashed(id)
	}
}

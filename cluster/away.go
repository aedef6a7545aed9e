package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/serval-server/serval/cluster/replica"
	"github.com/serval-server/serval/sessions"
)

// An ended session is remembered for as long as a stale copy of it could live. A
// node that was out of contact for longer may have kept such a copy alive, and
// nobody remembers any more that it has ended: so when contact is made again, one
// side starts over. It gives up its copies, takes a new number and joins like a
// node that has just started.
//
// Of the two sides it is the smaller one: the one that has kept half of the nodes
// or less of those that it saw before. Of two halves the one with the node of the
// lowest number stays. Nodes that have been started anew meanwhile have nothing
// that is stale, and count for nothing.

// absence is a peer that has gone out of sight.
type absence struct {
	since time.Duration
	minor bool // this node was on the smaller side then
}

// maxAbsent is how many peers are remembered that are out of sight.
const maxAbsent = 4096

// missLocked takes note of who goes out of sight and who is back. It reports
// whether this node has to start over. The caller holds n.mu.
func (n *Node) missLocked(live []Peer) (away bool) {
	now, limit := n.now(), n.memory()
	isLive := func(id replica.NodeID) bool {
		return slices.ContainsFunc(live, func(p Peer) bool { return p.ID == id })
	}
	var before, kept []replica.NodeID
	for id, p := range n.peers {
		if p.live {
			before = append(before, id)
			if isLive(id) {
				kept = append(kept, id)
			}
		}
	}
	if len(kept) < len(before) {
		minor := n.minority(before, kept)
		for _, id := range before {
			if !isLive(id) && !n.peers[id].leaving && len(n.absent) < maxAbsent {
				n.absent[id] = absence{since: now, minor: minor}
			}
		}
	}
	for _, p := range live {
		if a, ok := n.absent[p.ID]; ok {
			delete(n.absent, p.ID)
			away = away || a.minor && now-a.since > limit
		}
	}
	return away
}

// minority reports whether this node has lost contact to more than it has kept.
func (n *Node) minority(before, kept []replica.NodeID) bool {
	self := n.ID()
	all, mine := len(before)+1, len(kept)+1
	if 2*mine != all {
		return 2*mine < all
	}
	return slices.Min(append(before, self)) != slices.Min(append(kept, self))
}

// memory is how long ended sessions are remembered, by the application that does
// so for the shortest time.
func (n *Node) memory() time.Duration {
	least := time.Duration(0)
	for _, a := range *n.apps.Load() {
		if d := a.newest(); d != nil {
			set := d.current()
			if m := set.dead(); least == 0 || m < least {
				least = m
			}
		}
	}
	if least == 0 {
		return 24 * time.Hour // there is nothing to forget
	}
	return least
}

// away has the node start over, soon. The caller holds applyMu.
func (n *Node) away() {
	if n.restarting.Swap(true) {
		return
	}
	n.jobs.do(func(ctx context.Context) {
		if err := n.startOver(ctx); err != nil {
			n.log.Error("starting over", "error", err)
			if n.cfg.Failed != nil && n.life.Err() == nil {
				n.cfg.Failed(fmt.Errorf("cluster: starting over: %w", err))
			}
		}
	})
}

// startOver makes the node one that has just started. Requests that come meanwhile
// are refused, and sessions that nobody else has are lost: they were out of
// everybody's sight for longer than sessions live unused.
func (n *Node) startOver(ctx context.Context) error {
	defer n.restarting.Store(false)
	n.applyMu.Lock()
	defer n.applyMu.Unlock()
	n.log.Warn("the node was out of contact for longer than ended sessions are remembered: it gives up its copies and joins anew")
	old := n.network()
	err := errors.Join(old.Leave(ctx), old.Close(ctx))
	n.met.Store(false)
	n.id.Store(incarnation())
	n.mu.Lock()
	clear(n.peers)
	clear(n.absent)
	n.mu.Unlock()
	for _, a := range *n.apps.Load() {
		if d := a.newest(); d != nil {
			a.forget(d.protocol())
		}
	}
	network, e := n.cfg.Connect(ctx, n.Self(), inbound{n})
	if e != nil {
		return errors.Join(err, fmt.Errorf("connecting again: %w", e))
	}
	n.net.Store(&network)
	n.greetAll()
	n.changed()
	return err
}

// forget drops all that is known of the application's sessions, here and in its
// managers. The caller holds the node's applyMu.
func (a *app) forget(cfg replica.Config) {
	if a.members = nil; a.viewed {
		a.viewed = false
		first := make(chan struct{})
		a.first.Store(&first)
	}
	a.opened = time.Now()
	a.level.Store(false)
	was := a.self()
	a.startRun()
	now := a.n.now()
	for _, sh := range a.shards {
		sh.mu.Lock()
		var after *aftermath
		for _, f := range sh.node.Fingerprints() {
			if sh.node.Reign(f.ID).Home != was {
				after = sh.evictLocked(after, f.ID, sessions.Failaway)
			}
		}
		sh.abandonLocked()
		clear(sh.granted)
		clear(sh.unknown)
		sh.beginLocked(a.fresh(cfg, now), now)
		sh.mu.Unlock()
		if after != nil {
			after.run(sh)
		}
	}
}

// abandonLocked lets go of those who wait for the protocol that is given up.
func (sh *shard) abandonLocked() {
	for id, w := range sh.writes {
		delete(sh.writes, id)
		if w.err == nil {
			w.err = errMoved(w.id)
		}
		if w.left--; w.left == 0 && w.done != nil {
			close(w.done)
		}
	}
	for id, ch := range sh.asks {
		delete(sh.asks, id)
		ch <- replica.Answer{Verdict: replica.Refuse}
	}
}

// streams is the Node's own listener, which outlives a Network.
type streams struct{ n *Node }

var _ net.Listener = streams{}

// Accept implements net.Listener.
func (s streams) Accept() (net.Conn, error) {
	for {
		network := s.n.net.Load()
		c, err := (*network).Streams().Accept()
		if err == nil || s.n.net.Load() == network && !s.n.restarting.Load() {
			return c, err
		}
		select { // the network has been given up: there will be another one
		case <-s.n.life.Done():
			return nil, err
		case <-time.After(tickEvery):
		}
	}
}

// Close implements net.Listener.
func (s streams) Close() error { return s.n.network().Streams().Close() }

// Addr implements net.Listener.
func (s streams) Addr() net.Addr { return s.n.network().Streams().Addr() }

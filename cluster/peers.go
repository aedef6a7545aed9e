package cluster

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/serval-server/serval/cluster/replica"
	"github.com/serval-server/serval/cluster/wire"
)

// peer is what a node knows of another one.
type peer struct {
	Peer
	live      bool
	connected bool
	slow      bool // the transport drops what is sent to it
	crashed   bool
	leaving   bool                // it hands over its sessions and is about to go
	links     uint64              // how often what was under way to it was lost
	apps      map[uint32]wire.App // what it runs; nil: it has not said
}

// lagging reports whether nobody waits for the peer.
func (p *peer) lagging() bool { return !p.connected || p.slow || p.crashed }

// inbound is what the network tells the node.
type inbound struct{ n *Node }

var _ Inbound = inbound{}

// Changed implements Inbound.
func (in inbound) Changed() { in.n.changed() }

// Connected implements transport.Handler.
func (in inbound) Connected(p Peer) {
	n := in.n
	n.mu.Lock()
	q := n.peerLocked(p)
	q.connected, q.slow, q.crashed = true, false, false
	q.links++
	n.mu.Unlock()
	n.greet(p.ID)
	n.changed()
}

// Disconnected implements transport.Handler.
func (in inbound) Disconnected(id replica.NodeID, err error) {
	in.n.note(id, func(p *peer) { p.connected, p.slow = false, false })
	in.n.log.Info("connection lost", "peer", in.n.nameOf(id), "error", err)
}

// Lagging implements transport.Handler.
func (in inbound) Lagging(id replica.NodeID, lagging bool) {
	in.n.note(id, func(p *peer) {
		if p.slow = lagging; !lagging {
			p.links++
		}
	})
	in.n.log.Warn("peer is slow", "peer", in.n.nameOf(id), "lagging", lagging)
}

// Crashed implements transport.Handler.
func (in inbound) Crashed(id replica.NodeID) {
	for _, a := range *in.n.apps.Load() {
		run := a.runOf(id)
		a.each(func(sh *shard, now time.Duration) { sh.node.Crashed(now, run) })
	}
	in.n.note(id, func(p *peer) { p.crashed = true })
	if network := in.n.network(); network != nil {
		network.Suspect(id)
	}
}

// Receive implements transport.Handler.
func (in inbound) Receive(from replica.NodeID, number uint32, shard uint8, m replica.Message) {
	if a := in.n.addressee(from, number); a != nil && shard < shardCount {
		a.shards[shard].receive(from, number, m)
	}
}

// BatchEnd implements transport.Handler.
func (inbound) BatchEnd(replica.NodeID) {}

// Control implements transport.Handler.
func (in inbound) Control(from replica.NodeID, f wire.Frame) {
	n := in.n
	switch f := f.(type) {
	case wire.Apps:
		n.hearApps(from, f)
	case wire.Leaving:
		n.note(from, func(p *peer) { p.leaving = true })
	case wire.Cache:
		n.hearCache(f)
	case wire.Switch:
		n.hearSwitch(f)
	case wire.StatusQuery:
		n.answerStatus(from, f.Seq)
	case wire.Status:
		n.hearStatus(f)
	}
}

// note changes what is known of a peer.
func (n *Node) note(id replica.NodeID, change func(*peer)) {
	n.mu.Lock()
	if p := n.peers[id]; p != nil {
		change(p)
	}
	n.mu.Unlock()
	n.changed()
}

// peerLocked is what is known of a peer. The caller holds n.mu.
func (n *Node) peerLocked(p Peer) *peer {
	q := n.peers[p.ID]
	if q == nil {
		q = &peer{}
		n.peers[p.ID] = q
	}
	q.Peer = p
	return q
}

// meetLocked takes note of who is alive. The caller holds n.mu.
func (n *Node) meetLocked(live []Peer) {
	for _, p := range n.peers {
		p.live = false
	}
	for _, p := range live {
		if p.ID != n.ID() {
			n.peerLocked(p).live = true
		}
	}
	for id, p := range n.peers {
		if !p.live && !p.connected {
			delete(n.peers, id)
		}
	}
}

// Alive reports whether a node is taken for alive.
func (n *Node) Alive(id replica.NodeID) bool {
	return id == n.ID() || slices.ContainsFunc(n.network().Live(), func(p Peer) bool { return p.ID == id })
}

// nameOf is a peer's name, "" if it is not known.
func (n *Node) nameOf(id replica.NodeID) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if p := n.peers[id]; p != nil {
		return p.Name
	}
	return ""
}

// standingLocked is how the other nodes are for one application. The caller holds
// n.mu.
func (n *Node) standingLocked(a *app) standing {
	s := standing{members: []replica.Member{a.member()}, lagging: map[replica.NodeID]bool{}, links: map[replica.NodeID]uint64{}}
	if !a.on.Load() {
		return s
	}
	for id, p := range n.peers {
		said, runs := p.apps[a.number]
		run, ok := n.memberOf(a, id, said)
		if !p.live || !runs || !ok || !said.On {
			continue
		}
		m := replica.Member{ID: run, Name: p.Name, Zone: p.Zone}
		s.members = append(s.members, m)
		s.lagging[run], s.links[run] = p.lagging(), p.links
		if !p.lagging() && !p.leaving {
			s.takers = append(s.takers, taker{m, said.Versions})
		}
	}
	slices.SortFunc(s.members, func(x, y replica.Member) int { return cmp.Compare(x.ID, y.ID) })
	slices.SortFunc(s.takers, func(x, y taker) int { return cmp.Compare(x.ID, y.ID) })
	return s
}

// appsFrame is what this node runs.
func (n *Node) appsFrame() wire.Apps {
	var f wire.Apps
	for number, a := range *n.apps.Load() {
		said := wire.App{Number: number, Key: string(a.key), Level: a.level.Load(), On: a.on.Load(), Run: a.run.Load()}
		for _, d := range a.open() {
			said.Versions = append(said.Versions, d.cfg.Load().Version)
			said.Cache = d.current().Name
		}
		f.Apps = append(f.Apps, said)
	}
	slices.SortFunc(f.Apps, func(x, y wire.App) int { return cmp.Compare(x.Key, y.Key) })
	return f
}

// announce tells all peers what this node runs.
func (n *Node) announce() {
	n.sayMu.Lock() // what is said last holds
	defer n.sayMu.Unlock()
	n.tell(n.appsFrame())
}

// leaving tells all peers that this node takes no more sessions.
func (n *Node) leaving(why string) { n.tell(wire.Leaving{Reason: why}) }

// tell sends a frame to all peers.
func (n *Node) tell(f wire.Frame) {
	network := n.network()
	if network == nil {
		return
	}
	n.mu.Lock()
	ids := make([]replica.NodeID, 0, len(n.peers))
	for id, p := range n.peers {
		if p.connected {
			ids = append(ids, id)
		}
	}
	n.mu.Unlock()
	for _, id := range ids {
		network.Control(id, f)
	}
}

// greetAll greets those that were there before Connect returned.
func (n *Node) greetAll() {
	n.mu.Lock()
	ids := slices.Collect(maps.Keys(n.peers))
	n.mu.Unlock()
	for _, id := range ids {
		n.greet(id)
	}
}

// greet tells a peer that has just been connected all that it must know.
func (n *Node) greet(id replica.NodeID) {
	network := n.network()
	if network == nil { // before Connect has returned: Start tells it
		return
	}
	for _, f := range n.changedSettings() {
		network.Control(id, f)
	}
	n.sayMu.Lock()
	network.Control(id, n.appsFrame())
	n.sayMu.Unlock()
	if n.draining.Load() {
		network.Control(id, wire.Leaving{Reason: "drain"})
	}
}

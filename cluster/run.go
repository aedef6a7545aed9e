package cluster

import (
	"time"

	"github.com/serval-server/serval/cluster/replica"
	"github.com/serval-server/serval/cluster/wire"
)

// A run of an application on a node lasts from the moment that its shards know
// nothing until that is so again: it was undeployed and deployed again, or its
// replication was switched off and on. To the others it is what a process that has
// started anew is to them, somebody else: what the former run has acknowledged,
// promised and numbered does not hold for it. So it has a number of its own in the
// protocol, a replica.NodeID. The first run in a process has the process's; a later
// one has a random number, which Apps frames tell.
//
// Messages say which runs they are between without a byte more: the number of the
// application that they travel with is the xor of AppNumber and of the two runs',
// each 0 for a first one. What is not between two runs of now is not heard: it was
// said by, or to, one that is over.

// runLocked is the number of an application's next run; 0 is the process's. The
// caller holds n.mu.
func (n *Node) runLocked(a *app) uint32 {
	if n.ran[a.key] != n.ID() {
		n.ran[a.key] = n.ID()
		return 0
	}
	return incarnation()
}

// startRun begins another run. The shards are part of it once they have been given
// a protocol that knows nothing, see shard.begin.
func (a *app) startRun() {
	a.n.mu.Lock()
	defer a.n.mu.Unlock()
	a.run.Store(a.n.runLocked(a))
}

// self is the number of this run in the protocol.
func (a *app) self() replica.NodeID {
	if run := a.run.Load(); run != 0 {
		return run
	}
	return a.n.ID()
}

func (a *app) member() replica.Member {
	m := a.n.member()
	m.ID = a.self()
	return m
}

// fresh is a protocol that knows nothing, for this run.
func (a *app) fresh(cfg replica.Config, now time.Duration) *replica.Node {
	cfg.Self = a.self()
	node := replica.NewNode(cfg, a.member(), now)
	node.Wall(a.n.wall())
	return node
}

// beginLocked makes the shard part of its application's run.
func (sh *shard) beginLocked(node *replica.Node, now time.Duration) {
	sh.node, sh.ticked = node, now
	sh.run, sh.self = sh.app.run.Load(), sh.app.self()
}

// ways say which of the others' runs are not the first ones of their processes. They
// are replaced, never changed; nil: none.
type ways struct {
	in  map[replica.NodeID]uint32         // by the process
	out map[replica.NodeID]replica.NodeID // the process, by the run
}

// memberOf is the number of a peer's run of an application; false if it does not run
// it, or gives a number that is somebody else's. The caller holds n.mu.
func (n *Node) memberOf(a *app, id replica.NodeID, said wire.App) (replica.NodeID, bool) {
	switch {
	case said.Key != string(a.key):
		return 0, false
	case said.Run == 0:
		return id, true
	}
	_, taken := n.peers[said.Run]
	return said.Run, !taken && said.Run != n.ID() && said.Run != a.self()
}

// waysLocked works out anew how messages of an application travel. The caller holds
// n.mu.
func (n *Node) waysLocked(a *app) {
	var w *ways
	for id, p := range n.peers {
		said, runs := p.apps[a.number]
		run, ok := n.memberOf(a, id, said)
		if !runs || !ok || said.Run == 0 {
			continue
		}
		if w == nil {
			w = &ways{in: map[replica.NodeID]uint32{}, out: map[replica.NodeID]replica.NodeID{}}
		}
		if _, taken := w.out[run]; taken {
			continue
		}
		w.in[id], w.out[run] = run, id
	}
	a.ways.Store(w)
}

// hearApps takes note of what a peer runs. The memory of a run that it has no more
// is gone for certain.
func (n *Node) hearApps(from replica.NodeID, f wire.Apps) {
	said := make(map[uint32]wire.App, len(f.Apps))
	for _, a := range f.Apps {
		said[a.Number] = a
	}
	over := map[*app]replica.NodeID{}
	n.mu.Lock()
	if p := n.peers[from]; p != nil {
		was := p.apps
		p.apps = said
		for number, a := range *n.apps.Load() {
			n.waysLocked(a)
			if old, ran := was[number]; ran {
				run, ok := n.memberOf(a, from, old)
				if now, runs := said[number]; ok && (!runs || now.Run != old.Run) {
					over[a] = run
				}
			}
		}
	}
	n.mu.Unlock()
	for a, run := range over {
		a.each(func(sh *shard, now time.Duration) { sh.node.Crashed(now, run) })
	}
	n.changed()
}

// peerOf is the process of a run, this one's among them.
func (a *app) peerOf(run replica.NodeID) replica.NodeID {
	if run == a.self() {
		return a.n.ID()
	}
	if w := a.ways.Load(); w != nil {
		if id, ok := w.out[run]; ok {
			return id
		}
	}
	return run
}

// runOf is the number in the protocol of a peer's run.
func (a *app) runOf(peer replica.NodeID) replica.NodeID {
	if w := a.ways.Load(); w != nil {
		if run, ok := w.in[peer]; ok {
			return run
		}
	}
	return peer
}

// sendTo sends a message of a shard to other runs. The slice may be changed.
func (sh *shard) sendTo(to []replica.NodeID, m replica.Message, bulk bool) {
	a := sh.app
	number := a.number ^ sh.run
	if w := a.ways.Load(); w != nil {
		first := to[:0]
		for _, run := range to {
			id, ok := w.out[run]
			if !ok {
				first = append(first, run)
				continue
			}
			a.n.send([]replica.NodeID{id}, number^run, sh.index, m, bulk)
		}
		to = first
	}
	if len(to) > 0 {
		a.n.send(to, number, sh.index, m, bulk)
	}
}

// senderLocked is the run that a message is from; false if it is not between two
// runs of now.
func (sh *shard) senderLocked(from replica.NodeID, number uint32) (replica.NodeID, bool) {
	run := number ^ sh.app.number ^ sh.run
	if run == 0 {
		return from, true
	}
	return run, sh.app.runOf(from) == run
}

// addressee is the application that a message of a peer is for; nil if there is none.
func (n *Node) addressee(from replica.NodeID, number uint32) *app {
	apps := *n.apps.Load()
	if a := apps[number]; a != nil {
		return a
	}
	for _, a := range apps {
		run := number ^ a.number ^ a.run.Load()
		if run == 0 || a.runOf(from) == run {
			return a
		}
	}
	return nil
}

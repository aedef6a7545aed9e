package cluster

import (
	"slices"
	"time"

	"github.com/serval-server/serval/cluster/replica"
)

// tickEvery is how often time passes for the shards while something goes on, and
// restEvery while nothing does; checkEvery is how many busy ticks lie between two
// looks at who is level.
const (
	tickEvery  = 10 * time.Millisecond
	restEvery  = 50 * time.Millisecond
	checkEvery = 5
	// crowded is how many bytes may wait for a peer until the shards get time
	// less often: what they would send is mostly copies, which can wait.
	crowded = 16 << 20
	// crowdedTick is how often they get it then.
	crowdedTick = 10
)

// pace is how the node lets time pass for the shards: for all at once, or, while
// one makes copies of many sessions, for one after the other. The same work in one
// piece would keep requests from the processors for longer than they take.
type pace struct {
	n       *Node
	round   int
	part    int           // of the round: the next shard
	copying bool          // this round goes in parts
	found   bool          // this round: copies that are still to be made
	idle    bool          // this round: nothing has gone on since the last
	skip    bool          // this round: the shards have to wait
	roomy   bool          // the garbage collector has more room
	needed  time.Duration // when it was last needed
}

// roomAfter is for how long the garbage collector keeps its room: it collects when it
// has to give it back, and should not do so while a joiner is still busy.
const roomAfter = 5 * time.Second

// room gives the garbage collector more room where that is needed, and takes it back
// some time after.
func (p *pace) room(need bool) {
	now := p.n.now()
	switch {
	case need:
		if p.needed = now; !p.roomy {
			p.roomy = true
			collector.enter()
		}
	case p.roomy && now-p.needed >= roomAfter:
		p.end()
	}
}

// end gives back what the node has taken.
func (p *pace) end() {
	if p.roomy {
		p.roomy = false
		collector.leave()
	}
}

// step does what is due, and returns when the next step is.
func (p *pace) step() time.Duration {
	n := p.n
	if p.part == 0 {
		p.idle = !n.stirred.Swap(false)
		p.copying = n.viewed.Swap(false) || p.copying
		p.room(p.copying || n.joining())
		p.round++
		p.skip = p.round%crowdedTick != 0 && n.crowded()
	}
	last := shardCount
	if p.copying {
		last = p.part + 1
	}
	for ; p.part < last; p.part++ {
		if !p.skip && n.tick(p.part) {
			p.found = true
		}
	}
	if p.part < shardCount {
		return tickEvery / shardCount
	}
	p.part = 0
	p.copying, p.found = p.found, false
	if p.idle || p.round%checkEvery == 0 {
		n.checkLevel()
	}
	if !n.met.Load() { // somebody has not said yet what it runs
		n.apply()
		p.idle = false
	}
	switch {
	case p.copying:
		return tickEvery / shardCount
	case p.idle && !n.stirred.Load():
		return restEvery
	}
	return tickEvery
}

// tick lets time pass for one shard of each application, and reports whether one of
// them has copies to make.
func (n *Node) tick(shard int) (copying bool) {
	for _, a := range *n.apps.Load() {
		copying = a.shards[shard].tick() || copying
	}
	return copying
}

// stir notes that something goes on in a shard.
func (n *Node) stir() {
	if !n.stirred.Load() { // nearly always, and reading disturbs no other core
		n.stirred.Store(true)
	}
}

func (n *Node) crowded() bool {
	network := n.network()
	n.mu.Lock()
	ids := make([]replica.NodeID, 0, len(n.peers))
	for id, p := range n.peers {
		if !p.lagging() {
			ids = append(ids, id)
		}
	}
	n.mu.Unlock()
	return slices.ContainsFunc(ids, func(id replica.NodeID) bool { return network.Queued(id) > crowded })
}

package model

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/serval-server/serval/cluster/replica"
	"github.com/serval-server/serval/cluster/simulate/agenda"
	"github.com/serval-server/serval/cluster/wire"
)

// cluster is a run.
type cluster struct {
	o        Options
	rng      *rand.Rand
	now      time.Duration
	agenda   agenda.Agenda
	hosts    []*host
	byID     map[replica.NodeID]*host
	links    map[[2]int]*link
	sessions []session
	pending  map[uint64]request // requests that wait
	next     uint64
	waits    []time.Duration // how long changes waited
	claimed  map[replica.SessionID]bool
	last     time.Duration // when a session was last claimed
	count    tally
	sizes    map[string]*size
	free     bool // nothing costs anything: the cluster is being set up
	encoded  struct {
		update *replica.Update
		item   *wire.Item
	}
}

type session struct {
	id   replica.SessionID
	home *host
}

// request is one that has not been answered.
type request struct {
	session int
	began   time.Duration
	hops    int
	commit  bool
}

// host is a node and its processor.
type host struct {
	index int
	id    replica.NodeID
	node  *replica.Node
	up    bool
	free  time.Duration // when its processor has done all there is to do
	spent time.Duration
	level time.Duration // when it had all it should have; 0: not yet
	began time.Duration
}

// sampled is how many hosts' links are really encoded; the others' messages are
// taken to be of the same sizes.
const sampled = 8

// link is one direction between two hosts.
type link struct {
	flying  bool
	pending []replica.Message
	out     *wire.Encoder // nil: not encoded
	in      *wire.Decoder
}

// size adds up the encoded messages of one kind.
type size struct{ count, bytes float64 }

// tally is what has been counted since it was last emptied.
type tally struct {
	messages map[string]int
	batches  int
	spent    map[*host]time.Duration
}

const tickEvery = 20 * time.Millisecond

func newCluster(o Options) *cluster {
	c := &cluster{
		o: o, rng: rand.New(rand.NewPCG(o.Seed, 2)), byID: map[replica.NodeID]*host{}, links: map[[2]int]*link{},
		pending: map[uint64]request{}, claimed: map[replica.SessionID]bool{}, sizes: map[string]*size{}, next: 1,
	}
	c.restart()
	for range o.Nodes {
		c.add()
	}
	return c
}

// add starts a node.
func (c *cluster) add() *host {
	h := &host{index: len(c.hosts), id: replica.NodeID(len(c.hosts) + 1), up: true, free: c.now, began: c.now}
	h.node = replica.NewNode(replica.Config{
		Self: h.id, Owners: c.o.Owners, Ack: c.o.Ack, Touch: time.Minute, Unpatch: wire.Unpatch,
	}, c.member(h), c.now)
	c.hosts = append(c.hosts, h)
	c.byID[h.id] = h
	c.at(time.Duration(c.rng.Int64N(int64(tickEvery))), func() { c.tick(h) })
	return h
}

func (c *cluster) member(h *host) replica.Member {
	return replica.Member{ID: h.id, Name: fmt.Sprintf("node%d", h.index), Zone: fmt.Sprintf("zone%d", h.index%3)}
}

func (c *cluster) at(after time.Duration, do func()) { c.agenda.Add(c.now+after, do) }

// run lets time pass.
func (c *cluster) run(d time.Duration) {
	end := c.now + d
	for at, ok := c.agenda.Next(); ok && at <= end; at, ok = c.agenda.Next() {
		at, do := c.agenda.Take()
		c.now = at
		do()
	}
	c.now = end
}

// work has a host's processor do something, when it has done what came before.
func (c *cluster) work(h *host, cost time.Duration, do func()) {
	if c.free {
		cost = 0
	}
	h.free = max(h.free, c.now) + cost
	h.spent += cost
	c.count.spent[h] += cost
	c.agenda.Add(h.free, do)
}

func (c *cluster) tick(h *host) {
	if !h.up {
		return
	}
	h.node.Tick(c.now)
	c.effects(h)
	if h.level == 0 && h.node.Level() {
		h.level = c.now
	}
	c.at(tickEvery, func() { c.tick(h) })
}

// view tells each host who is there.
func (c *cluster) view() {
	var members []replica.Member
	for _, h := range c.hosts {
		if h.up {
			members = append(members, c.member(h))
		}
	}
	for _, h := range c.hosts {
		if h.up {
			h.node.View(c.now, members)
			c.effects(h)
		}
	}
}

func (c *cluster) effects(h *host) {
	for list := h.node.Take(); len(list) > 0; list = h.node.Take() {
		for _, e := range append([]replica.Effect(nil), list...) {
			switch e := e.(type) {
			case replica.Send:
				c.send(h, e.To, e.Message)
			case replica.Answer:
				c.answered(h, e)
			case replica.Released:
				c.released(e)
			case replica.Claimed:
				c.claimed[e.ID] = true
				c.last = c.now
			}
		}
	}
}

// send puts a message on its link.
func (c *cluster) send(h *host, to replica.NodeID, m replica.Message) {
	p := c.byID[to]
	if p == nil || !p.up {
		return
	}
	l := c.link(h, p)
	l.pending = append(l.pending, replica.Own(m))
	c.count.messages[kind(m)]++
	if !l.flying {
		c.launch(h, p, l)
	}
}

// launch sends what has queued up as a batch.
func (c *cluster) launch(h, p *host, l *link) {
	l.flying = true
	write := func() {
		list := l.pending
		l.pending = nil
		bytes := c.encode(l, list)
		c.count.batches++
		cost := c.o.Costs.Batch + c.kib(bytes)
		for _, m := range list {
			if _, ack := m.(replica.Ack); ack {
				cost += c.o.Costs.Ack
			} else {
				cost += c.o.Costs.Write
			}
		}
		c.work(h, cost, func() {
			c.at(c.o.Costs.Trip, func() { c.land(h, p, l, list, bytes) })
		})
	}
	// The batch is made when the processor comes to it, of all that is there then.
	c.agenda.Add(max(c.now, h.free), write)
}

// land has a batch processed.
func (c *cluster) land(h, p *host, l *link, list []replica.Message, bytes float64) {
	if !p.up {
		return
	}
	cost := c.o.Costs.Batch + c.kib(bytes)
	for _, m := range list {
		if _, ack := m.(replica.Ack); ack {
			cost += c.o.Costs.Ack
		} else {
			cost += c.o.Costs.Apply
		}
	}
	c.work(p, cost, func() {
		if !p.up {
			return
		}
		for _, m := range list {
			p.node.Receive(c.now, h.id, m)
		}
		c.effects(p)
		c.at(c.o.Costs.Trip, func() {
			if l.flying = false; h.up && len(l.pending) > 0 {
				c.launch(h, p, l)
			}
		})
	})
}

func (c *cluster) kib(bytes float64) time.Duration {
	return time.Duration(bytes / 1024 * float64(c.o.Costs.KiB))
}

func kind(m replica.Message) string {
	switch m := m.(type) {
	case *replica.Update:
		return "Update"
	case replica.Ack:
		return "Ack"
	default:
		return fmt.Sprintf("%T", m)
	}
}

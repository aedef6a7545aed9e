package membership

import (
	"net"
	"time"
)

// doubtful is how long a node stays out of the view by a hint that SWIM does not
// confirm: longer than SWIM needs for a silent host.
const doubtful = 5 * time.Second

// Crashed says that the process of a node is gone, as whoever held a connection to
// it has seen. It is out of the view before Crashed returns. If it answers a probe
// sent after this call, or SWIM does not agree within 5 s, it was a false alarm
// and the node is in the view again. An id that is not in the view is ignored.
func (m *Membership) Crashed(id uint32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	mem := m.nodes[id]
	if mem == nil || mem.crashed || mem.leaving || m.ctx.Err() != nil {
		return
	}
	mem.crashed = true
	m.stats.Crashes++
	m.publish(mem.Node, "crashed")
	m.run(func() { m.verify(mem) })
}

// verify probes a node that a hint calls dead until it answers, or SWIM has
// declared it dead.
func (m *Membership) verify(mem *member) {
	began := m.now()
	tick := time.NewTicker(probeInterval)
	defer tick.Stop()
	for {
		err := m.ping(mem.Node)
		m.mu.Lock()
		if m.nodes[mem.ID] != mem || !mem.crashed || m.ctx.Err() != nil {
			m.mu.Unlock()
			return
		}
		if err == nil || m.now().Sub(began) > doubtful {
			mem.crashed = false
			m.stats.FalseAlarms++
			m.publish(mem.Node, "alive after all")
			m.mu.Unlock()
			return
		}
		m.mu.Unlock()
		select {
		case <-tick.C:
		case <-m.ctx.Done():
			return
		}
	}
}

// ping asks a node, this very process, for an answer within probeTimeout.
func (m *Membership) ping(n Node) error {
	addr, err := net.ResolveUDPAddr("udp", n.Address) // an IP address: nothing is looked up
	if err != nil {
		return err
	}
	_, err = m.list.Ping(n.mlName(), addr)
	return err
}

// answers reports whether a node answers one of a few probes.
func (m *Membership) answers(n Node) bool {
	for range 4 {
		if m.ping(n) == nil {
			return true
		}
		if m.ctx.Err() != nil {
			return false
		}
	}
	return false
}

// refutes is how long a node that is called dead and answers has to say so to SWIM.
const refutes = time.Second

// confirm looks once more whether a node that SWIM has declared dead answers, before it
// is out of the view. When two halves of a cluster meet, each has old news of deaths
// for the other: nodes that this one has never lost would be out for a moment.
func (m *Membership) confirm(mem *member) {
	if m.ping(mem.Node) == nil {
		_ = m.ask(mem.Address) // it hears what is said of it, and contradicts
		tick := time.NewTicker(refutes / 20)
		defer tick.Stop()
		for end := m.now().Add(refutes); m.isDying(mem) && m.now().Before(end) && m.ctx.Err() == nil; {
			select {
			case <-tick.C:
			case <-m.ctx.Done():
			}
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.nodes[mem.ID] == mem && mem.dying {
		m.gone(mem)
	}
}

func (m *Membership) isDying(mem *member) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.nodes[mem.ID] == mem && mem.dying
}

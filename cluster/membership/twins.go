package membership

import (
	"context"
	"fmt"
	"time"

	"github.com/hashicorp/memberlist"
)

// settleAfter is how long a node waits before it looks whether another process of its
// name is there to stay: one that joins and is refused is gone by then.
const settleAfter = firstJoinTimeout + time.Second

// gate keeps a second process of a name out while the first one is alive. It is asked
// for every announcement, with memberlist's lock held: nothing here waits or calls it.
type gate Membership

var (
	_ memberlist.AliveDelegate = (*gate)(nil)
	_ memberlist.MergeDelegate = (*gate)(nil)
)

// NotifyAlive refuses a node whose name another one has, at another address, until it
// is clear that the other one is gone. One at the same address has its port: it is.
func (g *gate) NotifyAlive(n *memberlist.Node) error {
	m := (*Membership)(g)
	name, id, err := parseName(n.Name)
	if err != nil {
		return err
	}
	d, err := decodeMeta(n.Meta)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	known := m.named(name)
	if known == nil || known.ID == id || known.Address == n.Address() || m.admitted[id] {
		return nil
	}
	if !m.checking[id] {
		m.checking[id] = true
		other := Node{ID: id, Name: name, Address: n.Address()}
		m.run(func() {
			m.check(known.Node, other, d)
			m.mu.Lock()
			delete(m.checking, id)
			m.mu.Unlock()
		})
	}
	return fmt.Errorf("node %s is known at %s", name, known.Address)
}

// check finds out which of two processes of one name stays.
func (m *Membership) check(known, other Node, d meta) {
	if known.ID == m.self.ID {
		m.twin(other, d)
		return
	}
	if m.answers(known) {
		m.log.Warn("two nodes have the same name; one of them will have to give way", "peer", known.Name, "address", known.Address, "other", other.Address)
		m.pause(settleAfter) // until it is looked at again
		return
	}
	m.mu.Lock()
	if len(m.admitted) > maxMissing {
		clear(m.admitted)
	}
	m.admitted[other.ID] = true
	m.mu.Unlock()
	_ = m.ask(other.Address) // it has logged why
}

// NotifyMerge is called with all that the node at the other end knows, when one of the
// two joins, without memberlist's lock. A node that joins and finds its own name
// in use is not let in by itself, so that the others hardly hear of it.
func (g *gate) NotifyMerge(peers []*memberlist.Node) error {
	m := (*Membership)(g)
	if m.joined.Load() {
		return nil
	}
	for _, p := range peers {
		name, id, err := parseName(p.Name)
		if err != nil || name != m.self.Name || id == m.self.ID || p.Address() == m.self.Address ||
			p.State == memberlist.StateDead || p.State == memberlist.StateLeft {
			continue
		}
		other := Node{ID: id, Name: name, Address: p.Address()}
		if d, err := decodeMeta(p.Meta); err == nil && !d.leaving && m.answers(other) {
			return m.refuse(other)
		}
	}
	return nil
}

// pause waits so long, or until Close.
func (m *Membership) pause(d time.Duration) {
	wait := time.NewTimer(d)
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-m.ctx.Done():
	}
}

// refuse notes that another node has this one's name.
func (m *Membership) refuse(other Node) error {
	err := fmt.Errorf("a node named %s is in the cluster already and alive, at %s (this one is at %s): node names must differ; "+
		"choose another name ([cluster] name) and enroll it", m.self.Name, other.Address, m.self.Address)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.refused == nil {
		m.refused = err
	}
	return err
}

// conflict is why this node may not stay, nil if it may.
func (m *Membership) conflict() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.refused
}

// twin looks after another process that has this node's name and is called alive: a
// leftover of a former start, one that joins and is being refused, or, if two
// halves of a cluster have met, one that is there to stay: the later started goes.
func (m *Membership) twin(other Node, d meta) {
	m.pause(settleAfter)
	if m.ctx.Err() != nil || !m.answers(other) || m.conflict() != nil {
		return
	}
	mine, its := m.started.UnixMilli(), d.started.UnixMilli()
	if mine < its || mine == its && m.self.ID < other.ID {
		m.log.Error("another node has this node's name and has to give way", "other", other.Address)
		_ = m.ask(other.Address) // those between the two may have told it nothing; ask has logged why
		return
	}
	err := m.refuse(other)
	m.log.Error("this node has to give way", "error", err)
	ctx, cancel := context.WithTimeout(m.ctx, joinTimeout)
	defer cancel()
	if err := m.Leave(ctx); err != nil {
		m.log.Warn("giving way", "error", err)
	}
	if m.cfg.Conflict != nil {
		m.cfg.Conflict(err)
	}
}

package membership

import (
	"cmp"
	"slices"
	"time"

	"github.com/hashicorp/memberlist"
)

// View is the list of nodes that are alive. It is not changed.
type View struct {
	// Version grows with each change, on this node.
	Version uint64
	// Members are sorted by name; this node is one of them. No name occurs twice.
	Members []Node
}

// Find returns the node with an id.
func (v *View) Find(id uint32) (Node, bool) {
	for _, n := range v.Members {
		if n.ID == id {
			return n, true
		}
	}
	return Node{}, false
}

// Named returns the node with a name.
func (v *View) Named(name string) (Node, bool) {
	i, ok := slices.BinarySearchFunc(v.Members, name, func(n Node, name string) int { return cmp.Compare(n.Name, name) })
	if !ok {
		return Node{}, false
	}
	return v.Members[i], true
}

// member is a node that SWIM has not declared dead.
type member struct {
	Node
	started time.Time
	order   uint64 // of its coming: of two with the same name the later is in the view
	crashed bool   // a hint says so: not in the view
	leaving bool   // it says so: not in the view
	dying   bool   // SWIM has declared it dead, and confirm has not agreed yet
}

// Stats are the figures of a node's membership since it started.
type Stats struct {
	View         *View
	Joins        int64 // nodes that came, this one's first view not counted
	Leaves       int64 // nodes that said that they leave
	Deaths       int64 // nodes that SWIM declared dead
	Crashes      int64 // nodes that were taken out of the view by a hint
	FalseAlarms  int64 // hints that were wrong: the node is in the view again
	Returns      int64 // nodes that SWIM declared dead and that were not: paused, cut off, or starved
	Suspicions   int64 // probes of this node that nobody answered in time
	Refuted      int64 // suspicions of this node
	Pauses       int64 // times that this process stood still for a second or more
	LastChanges  []Change
	LastSeedFail string // why the last attempt to reach a seed did not succeed, "" if it did
}

// Change is one change of the view.
type Change struct {
	At   time.Time
	Node Node
	What string // joined, left, dead, crashed, alive after all, replaced
}

// lastChanges is how many are kept for Stats.
const lastChanges = 16

// events are memberlist's calls: with its lock held, so nothing here calls it.
type events Membership

var _ memberlist.EventDelegate = (*events)(nil)

// NotifyJoin says that a node is alive which was not known or dead.
func (e *events) NotifyJoin(n *memberlist.Node) { (*Membership)(e).alive(n) }

// NotifyUpdate says that a node's metadata have changed.
func (e *events) NotifyUpdate(n *memberlist.Node) { (*Membership)(e).alive(n) }

// NotifyLeave says that a node is dead or has left.
func (e *events) NotifyLeave(n *memberlist.Node) {
	m := (*Membership)(e)
	_, id, err := parseName(n.Name)
	if err != nil {
		return // it was never let in
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	mem := m.nodes[id]
	if mem == nil || id == m.self.ID {
		return
	}
	switch {
	case mem.leaving: // that was told when it said so
		delete(m.nodes, id)
	case mem.crashed:
		m.gone(mem)
	default:
		mem.dying = true
		m.run(func() { m.confirm(mem) })
	}
}

// gone takes a dead node out. The caller holds mu.
func (m *Membership) gone(mem *member) {
	delete(m.nodes, mem.ID)
	m.stats.Deaths++
	m.dead[mem.ID] = m.now()
	m.forgetDead()
	if other := m.named(mem.Name); other == nil {
		m.missing[mem.Address] = &absent{since: m.now(), lost: mem.Name}
		m.boundMissing()
	}
	m.publish(mem.Node, "dead")
}

// alive takes a node in, or notes what is new about it.
func (m *Membership) alive(n *memberlist.Node) {
	name, id, err := parseName(n.Name)
	var d meta
	if err == nil {
		d, err = decodeMeta(n.Meta)
	}
	if err != nil {
		m.log.Warn("a node with a strange announcement is ignored", "peer", n.Name, "address", n.Address(), "error", err)
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if id == m.self.ID {
		return
	}
	mem := m.nodes[id]
	switch {
	case d.leaving:
		if mem != nil && !mem.leaving {
			mem.leaving = true
			m.stats.Leaves++
			delete(m.missing, mem.Address)
			m.publish(mem.Node, "left")
		}
		return
	case mem == nil:
		m.order++
		mem = &member{order: m.order}
		m.nodes[id] = mem
		m.stats.Joins++
		if _, ok := m.dead[id]; ok {
			delete(m.dead, id)
			m.stats.Returns++
		}
	case mem.dying:
		mem.dying = false
		m.stats.Returns++
	case mem.Zone == d.zone:
		return
	}
	mem.Node, mem.started = Node{ID: id, Name: name, Zone: d.zone, Address: n.Address()}, d.started
	delete(m.missing, mem.Address)
	for addr, a := range m.missing {
		if a.lost == name { // it has moved
			delete(m.missing, addr)
		}
	}
	m.publish(mem.Node, "joined")
}

// named is the node of a name that is in the view, nil if there is none. The
// caller holds mu.
func (m *Membership) named(name string) (found *member) {
	if name == m.self.Name {
		return &member{Node: m.self}
	}
	for _, mem := range m.nodes {
		if mem.Name == name && !mem.crashed && !mem.leaving && (found == nil || mem.order > found.order) {
			found = mem
		}
	}
	return found
}

// publish makes the view anew and tells of it, if it has changed. The caller holds mu.
func (m *Membership) publish(about Node, what string) {
	old := m.view.Load()
	members := make([]Node, 0, len(m.nodes)+1)
	members = append(members, m.self)
	for _, mem := range m.nodes {
		if mem.Name != m.self.Name && m.named(mem.Name) == mem {
			members = append(members, mem.Node)
		}
	}
	slices.SortFunc(members, func(a, b Node) int { return cmp.Compare(a.Name, b.Name) })
	if slices.Equal(members, old.Members) {
		return
	}
	m.view.Store(&View{Version: old.Version + 1, Members: members})
	m.changes = append(m.changes, Change{At: m.now(), Node: about, What: what})
	if len(m.changes) > lastChanges {
		m.changes = slices.Delete(m.changes, 0, len(m.changes)-lastChanges)
	}
	m.log.Info("the cluster has changed", "peer", about.Name, "change", what, "address", about.Address, "members", len(members))
	for _, c := range m.watchers {
		select {
		case c <- struct{}{}:
		default: // it has not looked at the last change yet
		}
	}
	if m.cfg.Changed != nil {
		m.cfg.Changed()
	}
}

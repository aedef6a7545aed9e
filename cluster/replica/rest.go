package replica

// Most of what a joiner gets are copies of sessions at rest, of which it knows
// nothing yet. Such a copy goes into the arena as it comes: a session would be made
// of it, put into the tables and packed with the next tick, to no end.

// takeAtRest takes a copy in that way. It reports false, and has done nothing, if
// the copy is not as plain as that.
func (n *Node) takeAtRest(from NodeID, m Copy) bool {
	st := m.State
	if st.Life.Kind != Live || !st.Known() || n.cfg.Pack < 0 || m.Idle < n.cfg.Pack || len(st.ID) > maxPackedID ||
		from != m.Reign.Home || from == n.cfg.Self || !n.alive(from) {
		return false
	}
	s, unplaced := &n.passing, &n.unplaced
	*unplaced = slot{}
	*s = session{State: st, reign: m.Reign, promised: m.Reign, sets: m.Sets, slot: unplaced}
	defer func() { *s = session{} }() // keep nothing of the message
	if !n.isOwner(s, n.cfg.Self) || m.Idle > n.backupPatience(n.timeout(s)) {
		return false
	}
	n.packed = n.appendPacked(n.packed[:0], s)
	ref, b, err := n.arena.Alloc(len(n.packed))
	if err != nil {
		return false
	}
	copy(b, n.packed)
	i := n.enter(s)
	s.slot.ref, s.slot.used = ref, n.now-m.Idle
	s.slot.flags |= slotPacked
	sum := s.sumNow()
	n.tally(s.slot, s, m.Reign.Home, sum)
	n.schedule(i, s.slot, n.age(s))
	n.send(from, Ack{st.ID, m.Reign, st.latest(), sum})
	return true
}

// enter gives a session that is not there yet a slot. A walk that is under way
// goes round all the same.
func (n *Node) enter(s *session) uint32 {
	before := n.used
	i := n.place(s)
	if n.pass.left > 0 {
		n.pass.left += n.used - before
	}
	return i
}

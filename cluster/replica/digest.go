package replica

import (
	"cmp"
	"slices"
	"time"
)

// digests are, per segment, the sums of the fingerprints of the sessions that
// this node and a peer should both have. They are kept with each change.
type digests struct {
	gen  uint32           // of the view; a session that was counted in an earlier one does not count
	all  [Segments]uint64 // if each node is an owner of each session
	with map[NodeID]*[Segments]uint64
	at   time.Duration // the next one to be sent
	late time.Duration // when one is sent although a walk is under way
	soon time.Duration // until when they are sent more often
	home time.Duration // when nodes that are back are told what is at home here
	to   int           // the peer that got the last one
}

const (
	// soonRounds is for how many intervals after a disturbance each of them is for all peers,
	// not for one: what a cut or a pause has left different should not last.
	soonRounds = 4
	// soonPeers is for how many peers, so that a large cluster does not mostly compare.
	soonPeers = 16
)

// disturbed notes that copies may differ from now on.
func (n *Node) disturbed() {
	n.digests.soon = n.now + soonRounds*n.cfg.DigestEvery
	n.digests.at = min(n.digests.at, n.now+n.digestEvery())
}

// digestEvery is the time from one digest to the next.
func (n *Node) digestEvery() time.Duration {
	if n.now < n.digests.soon {
		return n.cfg.DigestEvery / time.Duration(min(max(1, len(n.peers)), soonPeers))
	}
	return n.cfg.DigestEvery
}

// reset begins anew, with what a walk through all sessions finds.
func (d *digests) reset() {
	d.gen++
	d.all = [Segments]uint64{}
	d.with = map[NodeID]*[Segments]uint64{}
}

func (d *digests) of(peer NodeID, all bool) *[Segments]uint64 {
	if all {
		return &d.all
	}
	sums := d.with[peer]
	if sums == nil {
		sums = new([Segments]uint64)
		d.with[peer] = sums
	}
	return sums
}

// tally counts a session in the digests with the peers, or counts it anew after a
// change. Ended sessions drop out well before they are forgotten, for two nodes
// forget at different times. The session may be nil if all nodes are owners.
func (n *Node) tally(sl *slot, s *session, home NodeID, sum uint64) {
	counted := sum != 0 && sl.flags&slotOld == 0
	if n.allOwn() {
		if sl.flags&slotCounted != 0 && sl.gen == n.digests.gen {
			n.digests.all[sl.seg] -= sl.sum
		}
		if counted {
			n.digests.all[sl.seg] += sum
		}
	} else if sl.flags&slotCounted == 0 || !counted || sl.gen != n.digests.gen || sl.sum != sum || sl.home != home {
		if sl.flags&slotCounted != 0 && sl.gen == n.digests.gen {
			n.addShared(sl, Owners(s.ID, sl.home, n.cfg.Owners, n.members), -sl.sum)
		}
		if counted {
			n.addShared(sl, n.placed(s), sum)
		}
	}
	sl.sum, sl.home, sl.gen = sum, home, n.digests.gen
	sl.flags &^= slotCounted
	if counted {
		sl.flags |= slotCounted
	}
}

func (n *Node) addShared(sl *slot, owners []NodeID, sum uint64) {
	if !slices.Contains(owners, n.cfg.Self) {
		return
	}
	for _, o := range owners {
		if o != n.cfg.Self {
			n.digests.of(o, false)[sl.seg] += sum
		}
	}
}

// shared are the sessions of some segments that this node and a peer should both
// have, by id, with their fingerprints.
func (n *Node) shared(peer NodeID, segments uint64) []Fingerprint {
	var out []Fingerprint
	all := n.allOwn()
	for i := uint32(1); i <= n.used; i++ {
		sl := n.slotAt(i)
		if sl.flags&slotTaken == 0 || segments>>sl.seg&1 == 0 || sl.sum == 0 || sl.flags&slotOld != 0 {
			continue
		}
		id := n.idOf(sl)
		if !all {
			owners := Owners(id, sl.home, n.cfg.Owners, n.members)
			if !slices.Contains(owners, peer) || !slices.Contains(owners, n.cfg.Self) {
				continue
			}
		}
		out = append(out, Fingerprint{id, sl.sum})
	}
	slices.SortFunc(out, func(a, b Fingerprint) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// homesRepeat is for how many intervals between digests a node that was out of
// sight is told what is at home here.
const homesRepeat = 3

// sendDigest compares copies with the next peer. It waits until all has been sent
// that another view asks for: there would be much to differ.
func (n *Node) sendDigest() {
	if n.now < n.digests.at {
		return
	}
	n.digests.at = n.now + n.digestEvery()
	if n.now >= n.digests.home {
		n.digests.home = n.now + n.cfg.DigestEvery
		n.tellBack()
	}
	if len(n.peers) == 0 || n.pass.left > 0 && n.now < n.digests.late {
		return
	}
	n.digests.late = n.now + 3*n.cfg.DigestEvery
	n.digests.to = (n.digests.to + 1) % len(n.peers)
	n.digestWith(n.peers[n.digests.to])
}

// tellBack has the nodes that were out of sight told what is at home here. Nodes that are
// met for the first time may each have been in a part of a cut cluster, with a home of one
// session in both. Who has all copies does not tell who comes without any, though: that one
// has claimed few, and tells them.
func (n *Node) tellBack() {
	for _, p := range n.peers {
		since, limit := n.now-p.back, homesRepeat*n.cfg.DigestEvery
		if p.first {
			since -= n.cfg.DigestEvery // meanwhile it asks for Level
		}
		switch {
		case p.back == 0 || since < 0:
		case since > limit || p.first && p.fresh && n.Level():
			p.back = 0
		case n.homes > 0:
			// Said more than once, for it may get lost.
			p.tell = true
			n.startPass()
		}
	}
}

func (n *Node) digestWith(p *peer) {
	if !p.lagging {
		n.send(p.id, Digest{slices.Clone(n.digests.of(p.id, n.allOwn())[:])})
	}
}

// homesChunk is how many sessions a Homes message tells of at most.
const homesChunk = 1024

// tellHome tells the nodes that are back of a session at home here. Of two homes at least
// one has taken the session over: who was unheard of need not hear of those created here.
func (n *Node) tellHome(h Has) {
	for _, p := range n.peers {
		if p.tell && (!p.first || h.Reign.Epoch > 1) {
			if p.homes = append(p.homes, h); len(p.homes) >= homesChunk {
				n.sendHomes(p)
			}
		}
	}
}

func (n *Node) sendHomes(p *peer) {
	if len(p.homes) > 0 {
		n.sendBulk(p.id, Homes{p.homes})
		p.homes = nil
	}
}

// onHomes finds the sessions that have two homes: the later reign prevails.
func (n *Node) onHomes(from NodeID, m Homes) {
	for _, e := range m.Entries {
		s := n.lookup(e.ID)
		if s == nil || e.Reign.Home != from {
			continue
		}
		was := n.isHome(s)
		switch {
		case e.Reign.Compare(s.promised) < 0:
			n.send(from, Fenced{e.ID, s.promised})
		case n.obey(s, e.Reign) && was && s.Known():
			n.send(from, n.copyOf(s))
		}
		n.note(s)
	}
}

func (n *Node) onDigest(from NodeID, m Digest) {
	if len(m.Sums) != Segments || n.pass.left > 0 || n.peer(from) == nil {
		return
	}
	mine := n.digests.of(from, n.allOwn())
	var l Listing
	var segments uint64
	for i := range mine {
		if mine[i] != m.Sums[i] {
			l.Segments = append(l.Segments, i)
			segments |= 1 << i
		}
	}
	if segments != 0 {
		l.Entries = n.shared(from, segments)
		n.send(from, l)
	}
}

// onListing sends what the peer lacks and asks for what it has.
func (n *Node) onListing(from NodeID, m Listing) {
	theirs := make(map[SessionID]uint64, len(m.Entries))
	for _, f := range m.Entries {
		theirs[f.ID] = f.Sum
		i, sl := n.find(f.ID)
		switch {
		case i == 0 || sl.sum != f.Sum:
			n.send(from, Need{f.ID})
		case sl.home == n.cfg.Self:
			if s := n.roused(i, sl); n.isHome(s) && !n.isOwner(s, from) {
				s.noteCopy(from) // level, and no owner: a tick releases it
				n.soon(s)
			}
		}
	}
	var segments uint64
	for _, i := range m.Segments {
		if i >= 0 && i < Segments {
			segments |= 1 << i
		}
	}
	if segments == 0 {
		return
	}
	for _, f := range n.shared(from, segments) {
		if sum, ok := theirs[f.ID]; !ok || sum != f.Sum {
			_, sl := n.find(f.ID)
			n.sendBulk(from, n.copyOf(n.look(sl)))
		}
	}
}

// Fingerprints are the copies that this node has, by id.
func (n *Node) Fingerprints() []Fingerprint {
	var out []Fingerprint
	for i := uint32(1); i <= n.used; i++ {
		if sl := n.slotAt(i); sl.flags&slotTaken != 0 && sl.sum != 0 {
			out = append(out, Fingerprint{n.idOf(sl), sl.sum})
		}
	}
	slices.SortFunc(out, func(a, b Fingerprint) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

package replica

import (
	"cmp"
	"maps"
	"slices"
)

// shared are the sessions that this node and a peer should both have, by id,
// with their fingerprints. Ended sessions drop out well before they are
// forgotten, for two nodes forget at different times.
func (n *Node) shared(peer NodeID) []Fingerprint {
	var out []Fingerprint
	for _, id := range slices.Sorted(maps.Keys(n.sessions)) {
		s := n.sessions[id]
		if !s.Known() || s.Life.Kind != Live && n.now-s.endedAt > n.cfg.DeadTTL*3/4 {
			continue
		}
		owners := n.ownersOf(s)
		if slices.Contains(owners, peer) && slices.Contains(owners, n.cfg.Self) {
			out = append(out, Fingerprint{id, s.Sum()})
		}
	}
	return out
}

// homesRepeat is for how many intervals between digests a node that was out of
// sight is told what is at home here.
const homesRepeat = 3

func (n *Node) sendDigest() {
	peers := slices.DeleteFunc(ids(n.members), func(id NodeID) bool { return id == n.cfg.Self })
	if len(peers) == 0 {
		return
	}
	n.digestTo = (n.digestTo + 1) % len(peers)
	peer := peers[n.digestTo]
	n.send(peer, Digest{sums(n.shared(peer))})
	for _, id := range sortedKeys(n.back) {
		// Said more than once, for it may get lost.
		if n.now-n.back[id] > homesRepeat*n.cfg.DigestEvery || !n.alive(id) {
			delete(n.back, id)
			continue
		}
		n.sendHomes(id)
	}
}

// sendHomes tells a node that is back which sessions are at home here.
func (n *Node) sendHomes(to NodeID) {
	var m Homes
	for _, id := range sortedKeys(n.sessions) {
		if s := n.sessions[id]; n.isHome(s) && s.Known() {
			m.Entries = append(m.Entries, Has{id, s.reign})
		}
	}
	if len(m.Entries) > 0 {
		n.send(to, m)
	}
}

// onHomes finds the sessions that have two homes: the later reign prevails.
func (n *Node) onHomes(from NodeID, m Homes) {
	for _, e := range m.Entries {
		s := n.sessions[e.ID]
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
	}
}

func sums(list []Fingerprint) []uint64 {
	out := make([]uint64, Segments)
	for _, f := range list {
		out[f.ID.Segment()] += f.Sum
	}
	return out
}

func (n *Node) onDigest(from NodeID, m Digest) {
	if len(m.Sums) != Segments {
		return
	}
	list := n.shared(from)
	mine := sums(list)
	var l Listing
	for i := range mine {
		if mine[i] != m.Sums[i] {
			l.Segments = append(l.Segments, i)
		}
	}
	if len(l.Segments) == 0 {
		return
	}
	for _, f := range list {
		if slices.Contains(l.Segments, f.ID.Segment()) {
			l.Entries = append(l.Entries, f)
		}
	}
	n.send(from, l)
}

// onListing sends what the peer lacks and asks for what it has.
func (n *Node) onListing(from NodeID, m Listing) {
	theirs := map[SessionID]uint64{}
	for _, f := range m.Entries {
		theirs[f.ID] = f.Sum
		s := n.sessions[f.ID]
		if s == nil || s.Sum() != f.Sum {
			n.send(from, Need{f.ID})
		} else if n.isHome(s) && !slices.Contains(n.others(s), from) {
			s.noteCopy(from) // level, and no owner: a tick releases it
			n.active[s.ID] = true
		}
	}
	for _, f := range n.shared(from) {
		if !slices.Contains(m.Segments, f.ID.Segment()) {
			continue
		}
		if sum, ok := theirs[f.ID]; !ok || sum != f.Sum {
			s := n.sessions[f.ID]
			n.send(from, n.copyOf(s))
		}
	}
}

// Fingerprints are the copies that this node has, by id.
func (n *Node) Fingerprints() []Fingerprint {
	var out []Fingerprint
	for id, s := range n.sessions {
		if s.Known() {
			out = append(out, Fingerprint{id, s.Sum()})
		}
	}
	slices.SortFunc(out, func(a, b Fingerprint) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

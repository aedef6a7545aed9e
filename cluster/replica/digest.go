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

func (n *Node) sendDigest() {
	peers := slices.DeleteFunc(ids(n.members), func(id NodeID) bool { return id == n.cfg.Self })
	if len(peers) == 0 {
		return
	}
	n.digestTo = (n.digestTo + 1) % len(peers)
	peer := peers[n.digestTo]
	n.send(peer, Digest{sums(n.shared(peer))})
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
		}
	}
	for _, f := range n.shared(from) {
		if !slices.Contains(m.Segments, f.ID.Segment()) {
			continue
		}
		if sum, ok := theirs[f.ID]; !ok || sum != f.Sum {
			s := n.sessions[f.ID]
			n.send(from, n.copyOf(s, nil))
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

package replica

import (
	"cmp"
	"math/bits"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// Member is a live node that deploys the application.
type Member struct {
	ID   NodeID
	Name string // stays the same when the node restarts; placement goes by it
	Zone string // backups are spread over zones; "" is a zone like any other
}

// placementBytes is how much of an id says where its session lives; the rest
// may change (a change of the session's id keeps its owners).
const placementBytes = 8

// Placement is the part of the id that decides the session's owners, lane and
// digest segment.
func (id SessionID) Placement() string { return string(id[:min(placementBytes, len(id))]) }

// Rank orders the members for a session by rendezvous hashing: when a member
// comes or goes, the order of the others stays. The hash is fixed, for all
// nodes must agree.
func Rank(id SessionID, members []Member) []Member {
	list := make([]scored, 0, 16)
	list = rank(list, id, members)
	out := make([]Member, len(list))
	for i, s := range list {
		out[i] = members[s.at]
	}
	return out
}

// scored is a member's place in the order of a session.
type scored struct {
	score uint64
	at    int
	id    NodeID
}

func rank(list []scored, id SessionID, members []Member) []scored {
	var key [64]byte
	k := copy(key[:], id[:min(placementBytes, len(id))])
	for i := range members {
		b := append(key[:k], members[i].Name...)
		list = append(list, scored{xxhash.Sum64(b), i, members[i].ID})
	}
	slices.SortFunc(list, func(a, b scored) int {
		return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(a.id, b.id))
	})
	return list
}

// Owners are the nodes that must hold a copy of a session at home: the home and
// the first owners-1 others by Rank, the first of them in another zone if there
// is one. owners 0 means all members (REPL). A home that is no member counts
// for nothing: the first owners by Rank remain.
func Owners(id SessionID, home NodeID, owners int, members []Member) []NodeID {
	list := rank(make([]scored, 0, 16), id, members)
	if owners <= 0 || owners >= len(list) {
		owners = len(list)
	} else if at := slices.IndexFunc(list, func(s scored) bool { return s.id == home }); at >= 0 {
		h := list[at]
		copy(list[1:at+1], list[:at])
		list[0] = h
		zone := members[h.at].Zone
		far := slices.IndexFunc(list[1:], func(s scored) bool { return members[s.at].Zone != zone }) + 1
		if far > 1 {
			m := list[far]
			copy(list[2:far+1], list[1:far])
			list[1] = m
		}
	}
	out := make([]NodeID, owners)
	for i := range out {
		out[i] = list[i].id
	}
	return out
}

func ids(members []Member) []NodeID {
	out := make([]NodeID, len(members))
	for i, m := range members {
		out[i] = m.ID
	}
	return out
}

// Segments is the number of parts that the sessions are divided into for
// comparison between nodes.
const Segments = 64

// Segment is the part that the session is in.
func (id SessionID) Segment() int { return int(xxhash.Sum64String(id.Placement()) % Segments) }

// hashID is the part of a fingerprint that the id makes.
func hashID(id SessionID) uint64 { return xxhash.Sum64String(string(id)) }

// Sum is the fingerprint of a copy: equal for copies that include the same
// changes, and never 0.
func (s *State) Sum() uint64 { return s.sumFrom(hashID(s.ID)) }

func (s *State) sumFrom(h uint64) uint64 {
	h = mixDot(h, s.Life.Dot, uint64(s.Life.Kind))
	for _, d := range s.Heads {
		h = mixDot(h, d, uint64(Live))
	}
	return max(h, 1)
}

// mixDot adds a dot to a fingerprint. All nodes must do it alike.
func mixDot(h uint64, d Dot, kind uint64) uint64 {
	h = mix(h^(uint64(d.Epoch)<<32|uint64(d.Node)), 0x9e3779b97f4a7c15+kind)
	return mix(h^d.Clock, 0xd6e8feb86659fd93)
}

// mix multiplies two words and folds the product.
func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo ^ a
}

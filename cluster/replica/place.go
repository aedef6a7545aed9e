package replica

import (
	"cmp"
	"encoding/binary"
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
	type scored struct {
		m     Member
		score uint64
	}
	list := make([]scored, len(members))
	key := id.Placement()
	for i, m := range members {
		h := xxhash.New()
		_, _ = h.WriteString(key)
		_, _ = h.WriteString(m.Name)
		list[i] = scored{m, h.Sum64()}
	}
	slices.SortFunc(list, func(a, b scored) int {
		return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(a.m.ID, b.m.ID))
	})
	out := make([]Member, len(list))
	for i, s := range list {
		out[i] = s.m
	}
	return out
}

// Owners are the nodes that must hold a copy of a session at home: the home and
// the first owners-1 others by Rank, the first of them in another zone if there
// is one. owners 0 means all members (REPL). A home that is no member counts
// for nothing: the first owners by Rank remain.
func Owners(id SessionID, home NodeID, owners int, members []Member) []NodeID {
	ranked := Rank(id, members)
	if owners <= 0 || owners >= len(ranked) {
		return ids(ranked)
	}
	at := slices.IndexFunc(ranked, func(m Member) bool { return m.ID == home })
	if at < 0 {
		return ids(ranked[:owners])
	}
	h := ranked[at]
	others := slices.Delete(slices.Clone(ranked), at, at+1)
	if far := slices.IndexFunc(others, func(m Member) bool { return m.Zone != h.Zone }); far > 0 {
		m := others[far]
		others = slices.Insert(slices.Delete(others, far, far+1), 0, m)
	}
	return append([]NodeID{home}, ids(others[:owners-1])...)
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

// Sum is the fingerprint of a copy: equal for copies that include the same
// changes.
func (s *State) Sum() uint64 {
	h := xxhash.New()
	_, _ = h.WriteString(string(s.ID))
	var b [20]byte
	put := func(d Dot, kind Kind) {
		binary.BigEndian.PutUint32(b[0:], d.Epoch)
		binary.BigEndian.PutUint32(b[4:], d.Node)
		binary.BigEndian.PutUint64(b[8:], d.Clock)
		b[16] = byte(kind)
		_, _ = h.Write(b[:])
	}
	put(s.Life.Dot, s.Life.Kind)
	for _, d := range s.Heads {
		put(d, Live)
	}
	return h.Sum64()
}

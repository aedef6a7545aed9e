package wire

import "github.com/serval-server/serval/cluster/replica"

// The sizes of a lane's tables are part of the format: both ends must forget the
// same entry at the same time. They are such that a reference takes two bytes at
// most.
const (
	maxIDs   = 1<<14 - idRefs
	maxNames = 1<<12 - nameRefs
	// maxName is the length from which on a name is not kept in a table: a
	// lane's names take 1 MiB at most.
	maxName = 256
)

// A reference to an id is one of these, or idRefs and the number of its entry.
const (
	idNew        = iota // 24 bytes, a new entry
	idNewText           // length and text, a new entry
	idInline            // 24 bytes, not kept
	idInlineText        // length and text, not kept
	idRefs
)

// A reference to a name is one of these, or nameRefs and the number of its entry.
const (
	nameNew    = iota // length and text, a new entry
	nameInline        // length and text, not kept
	nameRefs
)

// slots is a table of bounded size. When it is full, a new entry takes the place
// of one that has not been used since the hand went by it last (the second
// chance, or clock, approximation of least recently used). Which one follows
// from the order of additions and uses alone, so the two ends of a lane agree
// without a word.
type slots[T any] struct {
	list []slot[T]
	hand int
}

type slot[T any] struct {
	value T
	used  bool
}

// add puts a value in a new place, or in that of an entry that it returns.
func (s *slots[T]) add(value T, limit int) (at int, old T, evicted bool) {
	if len(s.list) < limit {
		s.list = append(s.list, slot[T]{value: value})
		return len(s.list) - 1, old, false
	}
	for s.list[s.hand].used {
		s.list[s.hand].used = false
		s.hand = (s.hand + 1) % limit
	}
	at, old = s.hand, s.list[s.hand].value
	s.list[at] = slot[T]{value: value}
	s.hand = (s.hand + 1) % limit
	return at, old, true
}

// use is the entry at a place that must exist.
func (s *slots[T]) use(at int) *T {
	s.list[at].used = true
	return &s.list[at].value
}

// known is what both ends of a lane know of a session that was named on it.
type known struct {
	key   idKey
	last  replica.Dot   // of the last change that was sent; zero: none yet
	reign replica.Reign // of the last message that had one
}

type idKey struct {
	id    replica.SessionID
	app   uint32
	shard uint8
}

// lane is the state that an Encoder and the Decoder at the other end have in
// common.
type lane struct {
	ids   slots[known]
	names slots[string]
	prev  replica.Dot // of the last Update
	app   uint32      // of the last session that was not a number
	acked uint64      // where the last range of acknowledgements ended
}

// from is what the dot of a session's next Update is written relative to: its
// own last dot for the writer and epoch, the lane's last one for the clock.
func (l *lane) from(k *known) replica.Dot {
	d := l.prev
	if k != nil && !k.last.IsZero() {
		d.Epoch, d.Node = k.last.Epoch, k.last.Node
	}
	return d
}

// updated takes note of an Update that was sent.
func (l *lane) updated(k *known, reign replica.Reign, dot replica.Dot) {
	l.prev = dot
	if k != nil {
		k.last, k.reign = dot, reign
	}
}

// reignOf is the reign that an Update of the session has unless it says so.
func reignOf(k *known, dot replica.Dot) replica.Reign {
	if k != nil && k.reign != (replica.Reign{}) {
		return k.reign
	}
	return replica.Reign{Epoch: dot.Epoch, Home: dot.Node}
}

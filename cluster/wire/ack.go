package wire

import (
	"slices"
	"sync"

	"github.com/serval-server/serval/cluster/replica"
)

// Updates and copies are numbered on their lane, in the order in which they are
// sent. An acknowledgement that says no more than what both sides know travels
// as the number.
const (
	// ackWindow is how many of the last messages can be acknowledged by
	// their number; what comes later is acknowledged in full.
	ackWindow = 1 << 12
	// sentWindow is how many messages a sender remembers at most: the
	// window and what may be under way meanwhile.
	sentWindow = 1 << 14
	// ackSearch is how far from the expected place an acknowledgement's
	// message is looked for.
	ackSearch = 32
	// MaxFlight is how many bytes of items, by their Size, may be on their way
	// on a lane, a batch of 1024 items apart: what more of them there were could
	// not be remembered, and their acknowledgements would be lost.
	MaxFlight = (sentWindow - 1024) * itemOverhead
)

// numbered is what an acknowledgement of a message says.
type numbered struct {
	id    replica.SessionID
	app   uint32
	shard uint8
	kind  replica.Kind // whether the change ended the session
	open  bool         // not acknowledged yet
	reign replica.Reign
	dot   replica.Dot // zero if the acknowledgement cannot be foreseen
}

// ack is the acknowledgement of a copy that has nothing but this change.
func (n *numbered) ack() replica.Ack {
	s := replica.State{ID: n.id}
	if n.kind == replica.Live {
		s.Heads = []replica.Dot{n.dot}
	} else {
		s.Life = replica.Life{Kind: n.kind, Dot: n.dot}
	}
	return replica.Ack{ID: n.id, Reign: n.reign, Dot: n.dot, Sum: s.Sum()}
}

// window holds the last messages by their number. It grows to its limit as they
// stay open.
type window struct {
	ring  []numbered
	low   uint64 // the number of the first message that is held
	next  uint64 // the number of the next message
	limit int
}

func (w *window) at(n uint64) *numbered { return &w.ring[n&uint64(len(w.ring)-1)] }

func (w *window) push(m numbered) {
	if int(w.next-w.low) == len(w.ring) {
		if len(w.ring) < w.limit {
			w.grow()
		} else {
			w.low++
		}
	}
	m.open = true
	*w.at(w.next) = m
	w.next++
}

func (w *window) grow() {
	old := *w
	w.ring = make([]numbered, max(64, 2*len(old.ring)))
	for n := w.low; n < w.next; n++ {
		*w.at(n) = *old.at(n)
	}
}

// close marks a message as acknowledged and forgets those that need not be held
// any longer.
func (w *window) close(n uint64) {
	*w.at(n) = numbered{}
	for w.low < w.next && !w.at(w.low).open {
		w.low++
	}
}

// dropBelow forgets all messages before n.
func (w *window) dropBelow(n uint64) {
	for w.low < min(n, w.next) {
		*w.at(w.low) = numbered{}
		w.low++
	}
}

// acks is what the two ends of a lane on one node share: what was sent and may
// be acknowledged by the peer, what came and may be acknowledged to it.
type acks struct {
	mu   sync.Mutex
	sent window // guarded by mu
	got  window // guarded by mu
	hint uint64 // guarded by mu; the number in got that is likely to be acknowledged next
	next uint64 // guarded by mu; the one that knows is likely to be asked for next
}

// number is the message that m acknowledges, of an application, if it came on this lane
// and m says nothing more than the number does. (The same message may have come twice,
// for two runs of the application.)
func (a *acks) number(app uint32, m *replica.Ack) (uint64, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	n, ok := a.find(a.hint, app, m)
	if !ok || a.got.at(n).ack().Sum != m.Sum { // there is more in the copy
		return 0, false
	}
	a.got.close(n)
	a.hint = n + 1
	return n, true
}

// knows reports whether number is likely to find the message that m acknowledges.
func (a *acks) knows(app uint32, m *replica.Ack) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	n, ok := a.find(a.next, app, m)
	if ok {
		a.next = n + 1
	}
	return ok
}

// find looks near a number for a message that m acknowledges.
func (a *acks) find(near uint64, app uint32, m *replica.Ack) (uint64, bool) {
	near = max(near, a.got.low)
	for n := near; n < min(near+ackSearch, a.got.next); n++ {
		if a.match(n, app, m) {
			return n, true
		}
	}
	for n := near; n > max(a.got.low, near-min(near, ackSearch)); n-- {
		if a.match(n-1, app, m) {
			return n - 1, true
		}
	}
	return 0, false
}

func (a *acks) match(n uint64, app uint32, m *replica.Ack) bool {
	g := a.got.at(n)
	return g.open && g.dot == m.Dot && !g.dot.IsZero() && g.reign == m.Reign && g.app == app && g.id == m.ID
}

// appendAckRanges writes the numbers, which it sorts, as ranges.
func appendAckRanges(b []byte, acked *uint64, numbers []uint64) []byte {
	slices.Sort(numbers)
	if run(numbers) == len(numbers) && numbers[0] == *acked {
		*acked += uint64(len(numbers))
		b = append(b, byte(kindAcks)|flagRun)
		if len(numbers) > 1 {
			b = appendUvarint(b, uint64(len(numbers)-1))
		}
		return b
	}
	b = append(b, byte(kindAcks))
	for len(numbers) > 0 {
		n := run(numbers)
		b = appendUvarint(b, zigzag(int64(numbers[0]-*acked)))
		b = appendUvarint(b, uint64(n-1))
		*acked = numbers[0] + uint64(n)
		numbers = numbers[n:]
	}
	return b
}

// run is how many numbers follow each other from the first one on.
func run(numbers []uint64) int {
	n := 1
	for n < len(numbers) && numbers[n] == numbers[0]+uint64(n) {
		n++
	}
	return n
}

// acknowledged calls f for each open message of a range.
func (a *acks) acknowledged(start, n uint64, f func(numbered) error) error {
	for {
		a.mu.Lock()
		var m numbered
		for !m.open && n > 0 {
			if skip := min(n, a.sent.low-min(a.sent.low, start)); skip > 0 {
				start, n = start+skip, n-skip
				continue
			}
			if start >= a.sent.next {
				n = 0
				break
			}
			m = *a.sent.at(start)
			if m.open {
				a.sent.close(start)
				a.sent.dropBelow(start - min(start, ackWindow))
			}
			start, n = start+1, n-1
		}
		a.mu.Unlock()
		if !m.open {
			return nil
		}
		if err := f(m); err != nil {
			return err
		}
	}
}

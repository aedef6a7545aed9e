package replica

import "time"

const (
	wheelTick    = 16 * time.Millisecond
	wheelBuckets = 2048 // half a minute; what is due later is put in again
)

// wheel finds the sessions that are due. To put one in or to take one out costs
// the same however many there are, and one that is due later than asked for is
// left where it is: looked at too early, it is put in anew.
type wheel struct {
	buckets [wheelBuckets]struct{ head, tail uint32 }
	done    int64 // the last tick whose bucket has been emptied
}

// schedule has a Tick look at a session at a time, or earlier.
func (n *Node) schedule(i uint32, s *slot, at time.Duration) {
	if s.where != 0 {
		if s.due <= at {
			return
		}
		n.unschedule(s)
	}
	s.due = at
	w := &n.wheel
	tick := int64((at + wheelTick - 1) / wheelTick)
	// Never in this tick again: what is looked at once more and once more would
	// keep it from all others.
	tick = min(max(tick, int64(n.now/wheelTick)+1, w.done+1), w.done+wheelBuckets-1)
	k := tick % wheelBuckets
	b := &w.buckets[k]
	s.where, s.prev, s.next = uint16(k+1), b.tail, 0
	if b.tail != 0 {
		n.slotAt(b.tail).next = i
	} else {
		b.head = i
	}
	b.tail = i
}

func (n *Node) unschedule(s *slot) {
	if s.where == 0 {
		return
	}
	b := &n.wheel.buckets[s.where-1]
	if s.prev != 0 {
		n.slotAt(s.prev).next = s.next
	} else {
		b.head = s.next
	}
	if s.next != 0 {
		n.slotAt(s.next).prev = s.prev
	} else {
		b.tail = s.prev
	}
	s.where, s.prev, s.next = 0, 0, 0
}

// nextDue takes a session out of the wheel that is due; 0: there is none.
func (n *Node) nextDue() uint32 {
	w := &n.wheel
	now := int64(n.now / wheelTick)
	if now-w.done > wheelBuckets { // a long sleep: each bucket once
		w.done = now - wheelBuckets
	}
	for w.done < now {
		b := &w.buckets[(w.done+1)%wheelBuckets]
		if b.head == 0 {
			w.done++
			continue
		}
		i := b.head
		s := n.slotAt(i)
		n.unschedule(s)
		if s.due > n.now {
			n.schedule(i, s, s.due) // it was too far away for the wheel
			continue
		}
		return i
	}
	return 0
}

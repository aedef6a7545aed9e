package sessions

import "github.com/serval-server/serval/sessions/arena"

// place says where a session is kept.
type place uint8

const (
	free    place = iota
	packed        // in the arena
	live          // a *Session
	passive       // in the Store
)

// slot is what a shard knows of each session without unpacking it. It holds no
// pointer, so the collector does not look at slots.
type slot struct {
	key       key
	ref       arena.Ref // of a packed session
	idleSince int64     // ns; when it was used last, by the rule of LastAccessAtStart
	maxIdle   int64     // ns; zero or less for ever
	links     [2]links  // by list
	bucket    uint32    // of the wheel, +1; 0: in none
	place     place
	listed    bool // in the LRU list
	flags     byte // of a passive one: what the store does not keep; see flagNew and those after it
}

// links are the neighbours in a list of slots; 0 is none.
type links struct{ prev, next uint32 }

// The lists that a slot can be in.
const (
	wheelList = iota
	lruList
)

const slotChunk = 256

// slots is a growing table of slots, numbered from 1. It grows by chunks, so that
// growing copies nothing.
type slots struct {
	chunks []*[slotChunk]slot
	used   uint32 // slots ever used
	free   uint32 // first free slot, chained by links[wheelList].next
}

func (t *slots) at(i uint32) *slot { return &t.chunks[(i-1)/slotChunk][(i-1)%slotChunk] }

// take returns an unused slot, zeroed.
func (t *slots) take() uint32 {
	if i := t.free; i != 0 {
		s := t.at(i)
		t.free = s.links[wheelList].next
		*s = slot{}
		return i
	}
	if int(t.used) == len(t.chunks)*slotChunk {
		t.chunks = append(t.chunks, new([slotChunk]slot))
	}
	t.used++
	return t.used
}

// give makes a slot unused.
func (t *slots) give(i uint32) {
	*t.at(i) = slot{links: [2]links{wheelList: {next: t.free}}}
	t.free = i
}

// list is a doubly linked list through the slots' links of its kind.
type list struct{ head, tail uint32 }

func (l *list) pushBack(t *slots, kind int, i uint32) {
	n := &t.at(i).links[kind]
	n.prev, n.next = l.tail, 0
	if l.tail != 0 {
		t.at(l.tail).links[kind].next = i
	} else {
		l.head = i
	}
	l.tail = i
}

func (l *list) remove(t *slots, kind int, i uint32) {
	n := &t.at(i).links[kind]
	if n.prev != 0 {
		t.at(n.prev).links[kind].next = n.next
	} else {
		l.head = n.next
	}
	if n.next != 0 {
		t.at(n.next).links[kind].prev = n.prev
	} else {
		l.tail = n.prev
	}
	*n = links{}
}

const (
	wheelTick    = int64(1e9) // ns
	wheelBuckets = 2048       // 34 minutes: a default timeout fits
)

// wheel finds the slots whose time has come. A slot is put where its deadline is;
// that it was used since is found when its bucket comes, and it is put anew: a
// request never touches the wheel. Deadlines beyond the last bucket wait there.
type wheel struct {
	buckets []list
	done    int64 // the last tick whose bucket has been emptied
}

// add puts a slot where it is looked at once the deadline (ns) has passed.
func (w *wheel) add(t *slots, i uint32, deadline int64) {
	if w.buckets == nil {
		w.buckets = make([]list, wheelBuckets)
	}
	tick := (deadline + wheelTick - 1) / wheelTick
	tick = min(max(tick, w.done+1), w.done+wheelBuckets-1)
	b := uint32(tick % wheelBuckets)
	t.at(i).bucket = b + 1
	w.buckets[b].pushBack(t, wheelList, i)
}

func (w *wheel) remove(t *slots, i uint32) {
	s := t.at(i)
	if s.bucket != 0 {
		w.buckets[s.bucket-1].remove(t, wheelList, i)
		s.bucket = 0
	}
}

// next takes a slot out whose bucket's time has come; 0: there is none.
func (w *wheel) next(t *slots, now int64) uint32 {
	tick := now / wheelTick
	if w.buckets == nil {
		w.done = max(w.done, tick)
		return 0
	}
	if tick-w.done > wheelBuckets { // a long sleep: each bucket once
		w.done = tick - wheelBuckets
	}
	for w.done < tick {
		b := &w.buckets[(w.done+1)%wheelBuckets]
		if i := b.head; i != 0 {
			b.remove(t, wheelList, i)
			t.at(i).bucket = 0
			return i
		}
		w.done++
	}
	return 0
}

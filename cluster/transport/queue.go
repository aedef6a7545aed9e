package transport

import "github.com/serval-server/serval/cluster/wire"

// queue is what waits for a lane. Acknowledgements do not wait for the gate.
type queue struct {
	items, acks        []*wire.Item
	sizes              []int // of items
	itemsSize, ackSize int
	first              int          // of items, what is before is taken
	batch              []*wire.Item // what take has returned
}

func (q *queue) add(it *wire.Item, size int) {
	q.items = append(q.items, it)
	q.sizes = append(q.sizes, size)
	q.itemsSize += size
}

func (q *queue) addAck(it *wire.Item, size int) {
	q.acks = append(q.acks, it)
	q.ackSize += size
}

// len is how many items wait for the gate.
func (q *queue) len() int { return len(q.items) - q.first }

// take returns all acknowledgements and, if gated, items of up to most bytes but
// at least one, and the size of all that. The slice is valid until take is
// called again; the caller clears it.
func (q *queue) take(gated bool, most int) ([]*wire.Item, int) {
	size := q.ackSize
	q.ackSize = 0
	batch := append(q.batch[:0], q.acks...)
	clear(q.acks)
	q.acks = q.acks[:0]
	if gated {
		n, from := 0, q.first
		for q.first < len(q.items) && (n == 0 || n+q.sizes[q.first] <= most) {
			n += q.sizes[q.first]
			q.first++
		}
		batch = append(batch, q.items[from:q.first]...)
		clear(q.items[from:q.first])
		q.itemsSize -= n
		size += n
		q.compact()
	}
	q.batch = batch
	return batch, size
}

// compact gives back the room of what was taken, now and then.
func (q *queue) compact() {
	if q.first < len(q.items) && q.first < 1024 {
		return
	}
	n := copy(q.items, q.items[q.first:])
	clear(q.items[n:])
	q.items = q.items[:n]
	q.sizes = q.sizes[:copy(q.sizes, q.sizes[q.first:])]
	q.first = 0
}

// drop forgets the items and returns how many and how large they were.
func (q *queue) drop() (n, size int) {
	n, size = q.len(), q.itemsSize
	q.items, q.sizes, q.first, q.itemsSize = nil, nil, 0, 0
	return n, size
}

package wire

import (
	"slices"

	"github.com/serval-server/serval/cluster/replica"
)

// A batch begins with a byte: the format's version, and flagZstd if what follows
// is the length of the messages and a zstd frame of them.
const (
	flagZstd    = 1 << 7
	versionMask = 1<<4 - 1
	// zstdMin is from how many bytes of uncompressed messages on a batch is
	// compressed. 128 updates that count take less than half then, for 0.15
	// microseconds each; of 32 each would take twice as long and save half
	// as much, when the packet's own bytes are few already.
	zstdMin = 1 << 10
	// maxPause is how many batches are not tried at most after some that did
	// not become shorter.
	maxPause = 64
)

// NewLane makes the two ends that this node has of one lane with one peer, for
// the lifetime of one connection.
func NewLane() (*Encoder, *Decoder) {
	a := &acks{}
	a.sent.limit, a.got.limit = sentWindow, ackWindow
	return &Encoder{acks: a, ids: make(map[idKey]uint32), names: make(map[string]uint32)}, &Decoder{acks: a}
}

// Encoder writes the batches of one lane to one peer. It is not safe for
// concurrent use.
type Encoder struct {
	lane    lane
	acks    *acks
	ids     map[idKey]uint32 // the entries of lane.ids
	names   map[string]uint32
	numbers []uint64 // room for AppendBatch
	rest    []*Item  // the same
	// pause is how many batches are not compressed from now on, and vain what
	// it was after the last one that did not become shorter.
	pause, vain int
}

// AppendBatch appends one batch with all items to dst. The batch has no length
// of its own: the transport frames it. Acknowledgements go first, for requests
// are waiting for them; the other messages keep their order. Items that are sent once
// must not be used any more.
func (e *Encoder) AppendBatch(dst []byte, items []*Item) []byte {
	start := len(dst)
	dst = append(dst, Version)
	defer func(all []*Item) {
		for _, it := range all {
			it.done()
		}
	}(items)
	items = e.takeAcks(items)
	if len(e.numbers) > 0 {
		at := len(dst)
		dst = setLength(appendAckRanges(append(dst, 0), &e.lane.acked, e.numbers), at)
	}
	plain := 0
	for _, it := range items {
		at := len(dst)
		dst = append(dst, 0)
		dst = e.message(dst, it)
		dst = setLength(dst, at)
		if !it.packed {
			plain += len(dst) - at
		}
	}
	if plain >= zstdMin && plain >= (len(dst)-start)/2 {
		dst = e.compress(dst, start)
	}
	clear(e.rest)
	return dst
}

// Acknowledges reports whether the item acknowledges a message that came on this
// lane: it is a few bits then, and takes a whole id on any other. Unlike the
// other methods it may be called at any time.
func (e *Encoder) Acknowledges(it *Item) bool {
	if it.kind != kindAck {
		return false
	}
	ack := it.ack()
	return e.acks.knows(it.key.app, &ack)
}

func (it *Item) ack() replica.Ack {
	return replica.Ack{ID: it.key.id, Reign: it.reign, Dot: it.dot, Sum: it.sum}
}

// compress compresses a batch, unless the last ones have shown that it is in
// vain.
func (e *Encoder) compress(dst []byte, start int) []byte {
	if e.pause > 0 {
		e.pause--
		return dst
	}
	dst, ok := compressBatch(dst, start)
	if ok {
		e.vain = 0
	} else {
		e.vain = min(2*e.vain+1, maxPause)
		e.pause = e.vain
	}
	return dst
}

// takeAcks takes the acknowledgements that can travel by number out of the items
// and leaves their numbers in e.numbers.
func (e *Encoder) takeAcks(items []*Item) []*Item {
	e.numbers, e.rest = e.numbers[:0], e.rest[:0]
	for i, it := range items {
		if it.kind == kindAck {
			ack := it.ack()
			if n, ok := e.acks.number(it.key.app, &ack); ok {
				if len(e.numbers) == 0 {
					e.rest = append(e.rest, items[:i]...)
				}
				e.numbers = append(e.numbers, n)
				continue
			}
		}
		if len(e.numbers) > 0 {
			e.rest = append(e.rest, it)
		}
	}
	if len(e.numbers) > 0 {
		return e.rest
	}
	return items
}

// setLength writes the length of what follows dst[at] there.
func setLength(dst []byte, at int) []byte {
	n := len(dst) - at - 1
	if n < 0x80 {
		dst[at] = byte(n)
		return dst
	}
	var room [10]byte
	return slices.Replace(dst, at, at+1, appendUvarint(room[:0], uint64(n))...)
}

func (e *Encoder) message(dst []byte, it *Item) []byte {
	at := len(dst)
	dst = append(dst, byte(it.kind)|it.flags)
	head := heads[it.kind]
	if head&hasID == 0 {
		return append(e.place(dst, it.key.app, it.key.shard), it.body...)
	}
	dst, k := e.id(dst, it)
	if it.kind == kindUpdate {
		return e.update(dst, at, it, k)
	}
	if head&hasReign != 0 {
		if k != nil && k.reign == it.reign {
			dst[at] |= flagReign
		} else {
			dst = appendReign(dst, it.reign)
		}
		if k != nil {
			k.reign = it.reign
		}
	}
	if it.kind == kindCopy {
		e.acks.send(it)
		if k != nil && it.life == replica.Live && !it.dot.IsZero() {
			k.last = it.dot
		}
	}
	if it.kind == kindAck {
		return appendFixed(appendDot(dst, it.dot, dotOf(it.reign)), it.sum)
	}
	return append(dst, it.body...)
}

func (e *Encoder) update(dst []byte, at int, it *Item, k *known) []byte {
	dst = appendDot(dst, it.dot, e.lane.from(k))
	if reignOf(k, it.dot) == it.reign {
		dst[at] |= flagReign
	} else {
		dst = appendReign(dst, it.reign)
	}
	if k != nil && len(it.base) == 1 && !k.last.IsZero() && k.last == it.base[0] {
		dst[at] |= flagBase
	} else {
		dst = appendDots(dst, it.base, it.dot)
	}
	e.lane.updated(k, it.reign, it.dot)
	e.acks.send(it)
	dst = appendUvarint(dst, uint64(len(it.ops)))
	for i := range it.ops {
		op := &it.ops[i]
		dst = appendForm(e.name(dst, op.key), op.form, op.data)
	}
	return append(dst, it.body...)
}

// place writes an application and shard: the shard, and the number unless it is
// the one that was written last.
func (e *Encoder) place(dst []byte, app uint32, shard uint8) []byte {
	if app == e.lane.app {
		return appendUvarint(dst, uint64(shard)<<1)
	}
	e.lane.app = app
	dst = appendUvarint(dst, uint64(shard)<<1|1)
	return append(dst, byte(app), byte(app>>8), byte(app>>16), byte(app>>24))
}

// id writes which session a message is about. It returns what is known of the
// session, nil if it has no entry.
func (e *Encoder) id(dst []byte, it *Item) ([]byte, *known) {
	if at, ok := e.ids[it.key]; ok {
		return appendUvarint(dst, uint64(at)+idRefs), e.lane.ids.use(int(at))
	}
	keep := heads[it.kind]&interned != 0 && !it.bulk
	form := byte(idNew)
	if !keep {
		form = idInline
	}
	if it.text {
		dst = appendString(append(dst, form+1), it.key.id)
	} else {
		dst = append(append(dst, form), it.raw[:]...)
	}
	dst = e.place(dst, it.key.app, it.key.shard)
	if !keep {
		return dst, nil
	}
	at, old, evicted := e.lane.ids.add(known{key: it.key}, maxIDs)
	if evicted {
		delete(e.ids, old.key)
	}
	e.ids[it.key] = uint32(at)
	return dst, &e.lane.ids.list[at].value
}

func (e *Encoder) name(dst []byte, name string) []byte {
	if at, ok := e.names[name]; ok {
		e.lane.names.use(int(at))
		return appendUvarint(dst, uint64(at)+nameRefs)
	}
	if len(name) >= maxName {
		return appendString(append(dst, nameInline), name)
	}
	at, old, evicted := e.lane.names.add(name, maxNames)
	if evicted {
		delete(e.names, old)
	}
	e.names[name] = uint32(at)
	return appendString(append(dst, nameNew), name)
}

// send numbers a message that can be acknowledged.
func (a *acks) send(it *Item) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sent.push(numbered{id: it.key.id, app: it.key.app, shard: it.key.shard, kind: it.life, reign: it.reign, dot: it.dot})
}

package wire

import (
	"slices"
	"sync"

	"github.com/cespare/xxhash/v2"

	"github.com/serval-server/serval/cluster/replica"
)

// kind is the low five bits of a message's first byte. Append only: golden bytes
// are kept. The high three bits are flags.
type kind uint8

const (
	kindUpdate kind = iota + 1
	kindCopy
	kindTouch
	kindAck
	kindAcks // ranges of acknowledgements by number
	kindFenced
	kindNeed
	kindClaim
	kindPromise
	kindGrant
	kindAsk
	kindWhoHas
	kindHas
	kindRelease
	kindHomes
	kindDigest
	kindListing
	kindLevel
	kindEnd  // what follows is unknown here
	kindMask = 1<<5 - 1
)

// Flags of a message.
const (
	flagReign  = 1 << 5 // the reign is the one that reignOf says
	flagBase   = 1 << 6 // Update: the base is the last dot that the lane sent of the session
	flagMore   = 1 << 7 // Update: life, successor and owner sets follow the changes
	flagPacked = 1 << 6 // others: the body is compressed
	flagRun    = 1 << 5 // Acks: one range, from the end of the last one on
)

// What a Promise has.
const (
	promiseState = 1 << iota
	promiseSame
)

// What a kind of message has before its body.
const (
	hasID    = 1 << iota // the session
	hasReign             // a reign
	interned             // the session is likely to be named again: give it a number
)

var heads = [kindEnd]uint8{
	kindUpdate:  hasID | hasReign | interned,
	kindCopy:    hasID | hasReign | interned,
	kindTouch:   hasID | hasReign | interned,
	kindAck:     hasID | hasReign | interned,
	kindFenced:  hasID | hasReign,
	kindNeed:    hasID,
	kindClaim:   hasID | hasReign,
	kindPromise: hasID | hasReign,
	kindGrant:   hasID | hasReign,
	kindAsk:     hasID,
	kindWhoHas:  hasID,
	kindHas:     hasID | hasReign,
	kindRelease: hasID | hasReign,
}

// Item is one message, encoded as far as it is the same for all peers. It never
// changes, so that any number of lanes may send it at the same time.
type Item struct {
	key    idKey
	raw    [idBytes]byte // of the id, if text is false
	text   bool          // the id has not the form of the servers'
	kind   kind
	flags  uint8 // flagMore or flagPacked
	bulk   bool
	packed bool // there is little to gain from compressing it in a batch
	reign  replica.Reign
	dot    replica.Dot    // of an Update, a Copy and an Ack; see numbered
	base   []replica.Dot  // of an Update
	life   replica.Kind   // of the session after an Update or a Copy
	sum    uint64         // of an Ack
	ops    []itemOp       // of an Update
	room   [2]itemOp      // for most ops
	single [1]replica.Dot // for most bases
	body   []byte
	size   int
	once   bool // it goes to one lane, which is done with it once it is in a batch
}

// items are those that were sent once, to be used again.
var items = sync.Pool{New: func() any { return new(Item) }}

// keptBody is how large the body of an item may be that is used again, in bytes.
const keptBody = 4 << 10

// Once says that the item is given to a single lane, and that the caller has no use for
// it afterwards: AppendBatch makes it another message's then. It returns the item.
func (it *Item) Once() *Item {
	it.once = true
	return it
}

// done gives an item back.
func (it *Item) done() {
	if !it.once {
		return
	}
	body := it.body[:0]
	if cap(body) > keptBody {
		body = nil
	}
	*it = Item{body: body}
	items.Put(it)
}

// itemOp is one change: the name is written by the lane, the value is ready.
type itemOp struct {
	key  string
	form form
	data []byte
}

// itemOverhead is what a queued item takes beside its values, about.
const itemOverhead = 320

// NewItem encodes a message of an application's shard. The item keeps values that
// are sent as they are (Size counts them), which must not be changed, and nothing
// else of the message. bulk says that it may wait
// behind live traffic (state transfer); the batch is compressed then, else the
// values are.
//
// It panics if the message is of a type that is not package replica's.
func NewItem(app uint32, shard uint8, m replica.Message, bulk bool) *Item {
	it := items.Get().(*Item)
	it.key, it.bulk = idKey{app: app, shard: shard}, bulk
	it.encode(m)
	if heads[it.kind]&hasID != 0 {
		var ok bool
		it.raw, ok = packID(it.key.id)
		it.text = !ok
	}
	it.size = itemOverhead + len(it.body)
	for i := range it.ops {
		it.size += len(it.ops[i].key) + len(it.ops[i].data) + 8
	}
	return it
}

// AppNumber is the number by which an application is known on the wire: a hash
// of its key, the same on all nodes. Two applications of the same number cannot
// be open at once; whoever opens them checks.
func AppNumber(key string) uint32 { return uint32(xxhash.Sum64String(key)) }

// Size is about how many bytes the item takes in memory while it is queued, and
// not less than its part of a batch.
func (it *Item) Size() int { return it.size }

// Ack reports whether the item is an acknowledgement: a replica.Ack.
func (it *Item) Ack() bool { return it.kind == kindAck }

// Bulk reports whether the item may wait behind live traffic.
func (it *Item) Bulk() bool { return it.bulk }

// Lane is which of n lanes the item must take: messages of one session share
// one, also after a change of its id.
func (it *Item) Lane(n int) int {
	if it.key.id == "" {
		return int(it.key.shard) % n
	}
	return int(xxhash.Sum64String(it.key.id.Placement()) % uint64(n))
}

func (it *Item) encode(m replica.Message) {
	switch m := m.(type) {
	case *replica.Update:
		it.update(m)
	case replica.Copy:
		it.kind, it.reign = kindCopy, m.Reign
		it.body = appendSets(appendAge(slices.Grow(it.body, 16+stateSize(m.State)), m.Idle), m.Sets)
		it.state(m.State)
		it.dot, it.life = foreseen(m.State)
	case replica.Touch:
		it.kind, it.key.id, it.reign = kindTouch, m.ID, m.Reign
	case replica.Ack:
		it.kind, it.key.id, it.reign, it.dot, it.sum = kindAck, m.ID, m.Reign, m.Dot, m.Sum
	case replica.Fenced:
		it.kind, it.key.id, it.reign = kindFenced, m.ID, m.Reign
	case replica.Need:
		it.kind, it.key.id = kindNeed, m.ID
	case replica.Claim:
		it.kind, it.key.id, it.reign = kindClaim, m.ID, m.Reign
		it.body = appendUvarint(appendNodes(it.body, m.Nodes), uint64(m.Former))
		it.body = appendFixed(it.body, m.Sum)
	case replica.Promise:
		it.promise(m)
	case replica.Grant:
		it.kind, it.reign = kindGrant, m.Reign
		it.body = appendSets(appendAge(it.body, m.Idle), m.Sets)
		it.state(m.State)
	default:
		it.encodeOther(m)
	}
}

func (it *Item) encodeOther(m replica.Message) {
	switch m := m.(type) {
	case replica.Ask:
		it.kind, it.key.id = kindAsk, m.ID
	case replica.WhoHas:
		it.kind, it.key.id = kindWhoHas, m.ID
	case replica.Has:
		it.kind, it.key.id, it.reign = kindHas, m.ID, m.Reign
	case replica.Release:
		it.kind, it.key.id, it.reign = kindRelease, m.ID, m.Reign
		it.body = appendDots(it.body, m.Heads, dotOf(m.Reign))
	case replica.Homes:
		it.kind = kindHomes
		it.body = appendHomes(it.body, m.Entries)
	case replica.Digest:
		it.kind = kindDigest
		it.body = appendUvarint(it.body, uint64(len(m.Sums)))
		for _, s := range m.Sums {
			it.body = appendFixed(it.body, s)
		}
	case replica.Listing:
		it.kind = kindListing
		it.body = appendListing(it.body, m)
	case replica.Level:
		it.kind = kindLevel
		it.body = appendBool(it.body, m.Ask)
	default:
		panic("wire: a message of an unknown type")
	}
}

func (it *Item) promise(m replica.Promise) {
	it.kind, it.key.id, it.reign = kindPromise, m.ID, m.Reign
	it.body = appendSets(appendAge(it.body, m.Idle), m.Sets)
	it.body = appendUvarint(it.body, uint64(m.Alive))
	has := byte(0)
	if m.State != nil {
		has |= promiseState
	}
	if m.Same {
		has |= promiseSame
	}
	it.body = append(it.body, has)
	if m.State != nil {
		it.state(m.State)
		it.key.id = m.ID
	}
}

// state appends a copy to the body and makes its session the item's. A body that
// goes alone is compressed at once.
func (it *Item) state(s *replica.State) {
	it.key.id = s.ID
	it.body = appendState(it.body, s, it.reign)
	if !it.bulk {
		if b, ok := pack(it.body); ok {
			it.body, it.flags, it.packed = b, flagPacked, true
		}
	}
}

// foreseen is the dot of the acknowledgement of a copy that the receiver has
// nothing to add to; zero if it is not as simple as that.
func foreseen(s *replica.State) (replica.Dot, replica.Kind) {
	switch {
	case s.Life.Kind != replica.Live:
		return s.Life.Dot, s.Life.Kind
	case len(s.Heads) == 1:
		return s.Heads[0], replica.Live
	}
	return replica.Dot{}, replica.Live
}

func (it *Item) update(m *replica.Update) {
	d := &m.Delta
	it.kind, it.key.id, it.reign, it.dot, it.life = kindUpdate, d.ID, m.Reign, d.Dot, d.Life.Kind
	// Nothing of m but its values, or the item would keep what it replaces.
	it.base = append(it.single[:0], d.Base...)
	it.ops = it.room[:0]
	if len(d.Ops) > len(it.room) {
		it.ops = make([]itemOp, 0, len(d.Ops))
	}
	for i := range d.Ops {
		op := &d.Ops[i]
		form, data := encodeValue(op, it.bulk)
		it.packed = it.packed || form == formPacked || form == formMapPacked
		it.ops = append(it.ops, itemOp{op.Key, form, data})
	}
	if d.Life != (replica.Life{}) || m.Successor != nil || len(m.Sets) > 0 {
		it.flags = flagMore
		it.body = appendLife(it.body, d.Life, d.Dot)
		it.body = appendSets(it.body, m.Sets)
		it.body = appendBool(it.body, m.Successor != nil)
		if m.Successor != nil {
			it.body = appendState(appendID(it.body, m.Successor.ID), m.Successor, m.Reign)
		}
	}
}

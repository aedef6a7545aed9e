package wire

import (
	"github.com/cespare/xxhash/v2"

	"github.com/serval-server/serval/cluster/replica"
)

// Item is one message, encoded as far as it is the same for all peers. It never
// changes, so that any number of lanes may send it at the same time.
type Item struct {
	app   uint32
	shard uint8
	bulk  bool
	id    replica.SessionID
}

// NewItem encodes a message of an application's shard. The message must not be
// changed afterwards: the item keeps its values. bulk says that it may wait
// behind live traffic (state transfer).
func NewItem(app uint32, shard uint8, m replica.Message, bulk bool) *Item {
	return &Item{app: app, shard: shard, bulk: bulk}
}

// AppNumber is the number by which an application is known on the wire: a hash
// of its key, the same on all nodes. Two applications of the same number cannot
// be open at once; whoever opens them checks.
func AppNumber(key string) uint32 { return uint32(xxhash.Sum64String(key)) }

// Size is about how many bytes the item takes in memory while it is queued, and
// not less than its part of a batch.
func (it *Item) Size() int { return 0 }

// Bulk reports whether the item may wait behind live traffic.
func (it *Item) Bulk() bool { return it.bulk }

// Lane is which of n lanes the item must take: messages of one session share
// one, also after a change of its id.
func (it *Item) Lane(n int) int {
	if it.id == "" {
		return int(it.shard) % n
	}
	return int(xxhash.Sum64String(it.id.Placement()) % uint64(n))
}

package wire

import (
	"errors"

	"github.com/serval-server/serval/cluster/replica"
)

// Encoder writes the batches of one lane to one peer. It is not safe for
// concurrent use.
type Encoder struct{}

// Decoder reads the batches of one lane from one peer. It is not safe for
// concurrent use; the Encoder of the same lane may run at the same time.
type Decoder struct{}

// NewLane makes the two ends that this node has of one lane with one peer, for
// the lifetime of one connection.
func NewLane() (*Encoder, *Decoder) { return &Encoder{}, &Decoder{} }

// AppendBatch appends one batch with all items to dst. The batch has no length
// of its own: the transport frames it.
func (e *Encoder) AppendBatch(dst []byte, items []*Item) []byte { return dst }

// Batch decodes one batch and calls f for each message, in order, with the
// number and shard of its application. Messages keep nothing of b. An error of
// f ends the decoding and is returned. After any error the lane is out of step
// and the connection must be closed.
func (d *Decoder) Batch(b []byte, f func(app uint32, shard uint8, m replica.Message) error) error {
	return errors.New("wire: not yet")
}

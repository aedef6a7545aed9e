package wire

import (
	"fmt"
	"testing"

	"github.com/serval-server/serval/cluster/replica"
)

// bulkCopy is the copy of a small session, as a joiner gets many.
func bulkCopy(n int) replica.Copy {
	s := &replica.State{ID: testID(n)}
	s.Write(dotAt(n), []replica.Op{
		{Key: "m", Value: replica.Value{Bytes: []byte{1, 2, 3}}},
		{Key: "s", Value: replica.Value{Map: map[string][]byte{"n": {byte(n)}, "pad": make([]byte, 200)}}},
	})
	return replica.Copy{State: s, Reign: replica.Reign{Epoch: 1, Home: 2}}
}

func bulkBatch(e *Encoder, first, n int) []byte {
	var items []*Item
	for i := range n {
		items = append(items, NewItem(1, 2, bulkCopy(first+i), true).Once())
	}
	return e.AppendBatch(nil, items)
}

// TestLentCopiesShareARoom: each is what was sent while it is lent, and the next one
// takes its place.
func TestLentCopiesShareARoom(t *testing.T) {
	l := newBoth()
	var room *replica.State
	n := 0
	err := l.bDec.Batch(bulkBatch(l.aEnc, 0, 20), func(_ uint32, _ uint8, m replica.Message) error {
		c := m.(replica.Copy)
		want := bulkCopy(n)
		if want.Lent = true; describe(c) != describe(want) || !c.Lent {
			return fmt.Errorf("copy %d\n got %s\nsent %s", n, describe(c), describe(want))
		}
		if room != nil && c.State != room {
			return fmt.Errorf("copy %d has a State of its own", n)
		}
		room = c.State
		n++
		return nil
	})
	if err != nil || n != 20 {
		t.Fatal(n, err)
	}
}

// BenchmarkCopies sends and receives the copies of small sessions in batches of 64.
func BenchmarkCopies(b *testing.B) {
	const size = 64
	l := newBoth()
	copies := make([]replica.Message, size)
	for i := range copies {
		copies[i] = bulkCopy(i)
	}
	items := make([]*Item, size)
	var batch []byte
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		for i := range items {
			items[i] = NewItem(1, 2, copies[i], true).Once()
		}
		batch = l.aEnc.AppendBatch(batch[:0], items)
		if err := l.bDec.Batch(batch, func(uint32, uint8, replica.Message) error { n++; return nil }); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/copy")
}

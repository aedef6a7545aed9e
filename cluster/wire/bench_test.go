package wire

import (
	"fmt"
	"testing"

	"github.com/serval-server/serval/cluster/replica"
)

// cycle makes updates of n sessions, each on top of the one before.
func cycle(n int) func(i int) *replica.Update {
	last := make([]replica.Dot, n)
	ids := make([]replica.SessionID, n)
	for i := range ids {
		ids[i] = testID(i)
	}
	return func(i int) *replica.Update {
		u := count(ids[i%n], 1000+i%30000, last[i%n], dotAt(i/4))
		last[i%n] = u.Delta.Dot
		return u
	}
}

func BenchmarkItemCount(b *testing.B) {
	u := cycle(1)(0)
	b.ReportAllocs()
	for b.Loop() {
		NewItem(1, 2, u, false)
	}
}

func BenchmarkEncodeCount(b *testing.B) {
	for _, size := range []int{1, 32} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			next := cycle(500)
			items := make([]*Item, 8192)
			for i := range items {
				items[i] = NewItem(1, 2, next(i), false)
			}
			e, _ := NewLane()
			var buf []byte
			bytes, n := 0, 0
			b.ReportAllocs()
			for b.Loop() {
				at := n % (len(items) / size) * size
				buf = e.AppendBatch(buf[:0], items[at:at+size])
				bytes += len(buf)
				n++
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n*size), "ns/message")
			b.ReportMetric(float64(bytes)/float64(n*size), "B/message")
		})
	}
}

func BenchmarkDecodeCount(b *testing.B) {
	const size, batches = 32, 256
	next := cycle(500)
	e, _ := NewLane()
	var all [][]byte
	for i := range batches {
		var items []*Item
		for j := range size {
			items = append(items, NewItem(1, 2, next(i*size+j), false))
		}
		all = append(all, e.AppendBatch(nil, items))
	}
	b.ReportAllocs()
	var d *Decoder
	n := 0
	for b.Loop() {
		if n%batches == 0 {
			_, d = NewLane()
		}
		if err := d.Batch(all[n%batches], func(uint32, uint8, replica.Message) error { return nil }); err != nil {
			b.Fatal(err)
		}
		n++
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n*size), "ns/message")
}

// BenchmarkAcks acknowledges a batch of 32: both ends, the Items included.
func BenchmarkAcks(b *testing.B) {
	l := newBoth()
	next := cycle(500)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		b.StopTimer()
		var items, acks []*Item
		for range 32 {
			u := next(n)
			n++
			items = append(items, NewItem(1, 2, u, false))
			acks = append(acks, NewItem(1, 2, ackOf(u), false))
		}
		batch := l.aEnc.AppendBatch(nil, items)
		if err := l.bDec.Batch(batch, func(uint32, uint8, replica.Message) error { return nil }); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		got := 0
		if err := l.aDec.Batch(l.bEnc.AppendBatch(nil, acks), func(uint32, uint8, replica.Message) error { got++; return nil }); err != nil || got != 32 {
			b.Fatal(err, got)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/ack")
}

func BenchmarkPatchCart(b *testing.B) {
	for _, size := range []int{4096, 16384, 65536} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			versions := carts(size, 256)
			b.ReportAllocs()
			bytes, n := 0, 0
			for b.Loop() {
				i := n % 255
				p, ok := Patch(replica.Value{Bytes: versions[i]}, replica.Value{Bytes: versions[i+1]})
				if !ok {
					b.Fatal("no patch")
				}
				bytes += len(p)
				n++
			}
			b.ReportMetric(float64(bytes)/float64(n), "B/patch")
		})
	}
}

func BenchmarkUnpatchCart(b *testing.B) {
	versions := carts(16384, 2)
	old := replica.Value{Bytes: versions[0]}
	p, _ := Patch(old, replica.Value{Bytes: versions[1]})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Unpatch(old, p); err != nil {
			b.Fatal(err)
		}
	}
}

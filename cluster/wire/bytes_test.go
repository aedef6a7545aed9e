package wire

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/serval-server/serval/cluster/replica"
)

// load makes the updates of one of the bench application's workloads: random
// sessions, 10,000 requests per second.
type load struct {
	rnd      *rand.Rand
	sessions int
	size     int // of the cart; 0: /count
	whole    bool
	clock    int // in tenths of a millisecond
	last     []replica.Dot
	carts    []*cart
	before   [][]byte
}

func newLoad(sessions, size int, whole bool) *load {
	l := &load{rnd: rand.New(rand.NewPCG(1, 2)), sessions: sessions, size: size, whole: whole, last: make([]replica.Dot, sessions)}
	for range sessions {
		l.carts, l.before = append(l.carts, newCart(max(size, 1))), append(l.before, nil)
	}
	return l
}

func (l *load) next() *replica.Update { return l.of(l.rnd.IntN(l.sessions)) }

func (l *load) of(i int) *replica.Update {
	l.clock++
	dot := dotAt(l.clock / 10)
	dot.Clock += uint64(l.clock % 10)
	u := count(testID(i), l.clock%60000, l.last[i], dot)
	l.last[i] = dot
	op := &u.Delta.Ops[0]
	if l.size > 0 {
		l.carts[i].touch()
		v := l.carts[i].encode()
		*op = replica.Op{Key: "acart", Value: replica.Value{Bytes: v}, Old: replica.Value{Bytes: l.before[i]}}
		l.before[i] = v
	}
	if l.whole { // granularity SESSION, with two attributes that stay
		entries := func(v []byte) map[string][]byte {
			if v == nil {
				return nil
			}
			return map[string][]byte{op.Key: v, "user": []byte("somebody@example.com"), "since": []byte("2026-11-22T10:00:00Z")}
		}
		*op = replica.Op{Key: "a", Value: replica.Value{Map: entries(op.Value.Bytes)}, Old: replica.Value{Map: entries(op.Old.Bytes)}}
		if l.size == 0 {
			op.Old.Map = entries([]byte{1})
		}
	}
	return u
}

// TestBytesPerUpdate measures what docs/replication-wire.md says of the bytes:
// of an update and of its acknowledgement, one peer, without the transport's.
func TestBytesPerUpdate(t *testing.T) {
	batches := []int{8}
	if testing.Verbose() { // go test -v -run BytesPerUpdate writes the table
		batches = []int{1, 2, 4, 8, 32, 128}
	}
	for _, c := range []struct {
		name     string
		sessions int
		size     int
		whole    bool
		most     float64
	}{
		{"/count", 500, 0, false, 13},
		{"/count, granularity SESSION", 500, 0, true, 40},
		{"/cart?size=16384", 10, 16384, false, 105},
		{"/cart?size=65536", 5, 65536, false, 105},
		{"/cart?size=16384, granularity SESSION", 10, 16384, true, 115},
	} {
		line := []string{c.name}
		for _, size := range batches {
			update, ack := bytesPerUpdate(t, newLoad(c.sessions, c.size, c.whole), size, 64*size)
			line = append(line, fmt.Sprintf("%.1f + %.2f", update, ack))
			if size <= 8 && update > c.most+3/float64(size) {
				t.Errorf("%s, batch of %d: %.1f bytes per update, want %.0f at most", c.name, size, update, c.most)
			}
		}
		t.Log("| " + strings.Join(line, " | ") + " |")
	}
}

func bytesPerUpdate(t *testing.T, source *load, size, total int) (updates, acks float64) {
	l := newBoth()
	batch := func(n int, next func() *replica.Update) (int, int) {
		var items, answers []*Item
		for range n {
			u := next()
			items = append(items, NewItem(1, 2, u, false))
			answers = append(answers, NewItem(1, 2, ackOf(u), false))
		}
		b := l.aEnc.AppendBatch(nil, items)
		collect(t, l.bDec, b)
		a := l.bEnc.AppendBatch(nil, answers)
		if got := collect(t, l.aDec, a); len(got) != n {
			t.Fatalf("%d acknowledgements of %d", len(got), n)
		}
		return len(b), len(a)
	}
	i := -1
	batch(source.sessions, func() *replica.Update { i++; return source.of(i) })
	n, sent, answered := 0, 0, 0
	for n < min(total, 512) {
		b, a := batch(size, source.next)
		n, sent, answered = n+size, sent+b, answered+a
	}
	return float64(sent) / float64(n), float64(answered) / float64(n)
}

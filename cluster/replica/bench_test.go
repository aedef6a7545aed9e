package replica

import (
	"fmt"
	"runtime"
	"testing"
	"time"
)

// pair is a home and a backup that a benchmark drives by hand.
type pair struct {
	home, backup *Node
	now          time.Duration
}

func newPair(cfg Config) *pair {
	members := []Member{{ID: 1, Name: "a"}, {ID: 2, Name: "b"}, {ID: 3, Name: "c"}}
	cfg.Self, cfg.Touch = 1, time.Minute
	p := &pair{home: NewNode(cfg, members[0], 0), now: time.Millisecond}
	cfg.Self = 2
	p.backup = NewNode(cfg, members[1], 0)
	p.home.View(p.now, members)
	p.backup.View(p.now, members)
	p.home.Take()
	p.backup.Take()
	return p
}

func sessionOf(i int) SessionID {
	return SessionID(fmt.Sprintf("%08x%024x", uint32(i)*2654435761, i))
}

// commit writes the attribute of a session, and returns what goes to the backup.
func (p *pair) commit(i uint64, id SessionID, ops []Op) *Update {
	p.home.Commit(p.now, i, id, ops)
	for _, e := range p.home.Take() {
		if s, ok := e.(Send); ok && s.To == 2 {
			if u, ok := s.Message.(*Update); ok {
				return u
			}
		}
	}
	return nil
}

// acknowledge has the backup apply a change, and returns its answer.
func (p *pair) acknowledge(u *Update) Ack {
	p.backup.Receive(p.now, 1, u)
	for _, e := range p.backup.Take() {
		if s, ok := e.(Send); ok {
			if a, ok := s.Message.(Ack); ok {
				return a
			}
		}
	}
	return Ack{}
}

var smallValue = []byte("a counter and some text that an application might keep")

// BenchmarkCommit is one request's change at home, with two other owners. The ops
// are the caller's and not counted.
func BenchmarkCommit(b *testing.B) {
	p := newPair(Config{})
	ids := make([]SessionID, 1024)
	for i := range ids {
		ids[i] = sessionOf(i)
		p.home.Create(p.now, ids[i])
		p.acknowledgeBoth(p.commit(uint64(i), ids[i], []Op{{Key: "a", Value: Value{Bytes: smallValue}}}))
	}
	ops := []Op{{Key: "a", Value: Value{Bytes: smallValue}}}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		id := ids[i%len(ids)]
		p.home.Commit(p.now, uint64(i), id, ops)
		p.home.Take()
		b.StopTimer()
		s := p.home.lookup(id)
		p.home.Receive(p.now, 2, Ack{id, s.reign, s.latest(), s.sumNow()})
		p.home.Receive(p.now, 3, Ack{id, s.reign, s.latest(), s.sumNow()})
		p.home.Take()
		b.StartTimer()
		i++
	}
}

func (p *pair) acknowledgeBoth(u *Update) {
	a := p.acknowledge(u)
	p.home.Receive(p.now, 2, a)
	p.home.Receive(p.now, 3, a)
	p.home.Take()
}

// BenchmarkRound is all of it: the change at home, at a backup, and its two
// acknowledgements.
func BenchmarkRound(b *testing.B) {
	p := newPair(Config{})
	ids := make([]SessionID, 1024)
	for i := range ids {
		ids[i] = sessionOf(i)
		p.home.Create(p.now, ids[i])
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		ops := []Op{{Key: "a", Value: Value{Bytes: smallValue}}}
		p.acknowledgeBoth(p.commit(uint64(i), ids[i%len(ids)], ops))
		i++
	}
}

// BenchmarkUpdate is a change at a backup.
func BenchmarkUpdate(b *testing.B) {
	p := newPair(Config{})
	id := sessionOf(1)
	p.home.Create(p.now, id)
	updates := make([]*Update, 4096)
	fill := func() {
		for i := range updates {
			u := p.commit(uint64(i), id, []Op{{Key: "a", Value: Value{Bytes: smallValue}}})
			s := p.home.lookup(id)
			p.home.Receive(p.now, 2, Ack{id, s.reign, s.latest(), s.sumNow()})
			p.home.Receive(p.now, 3, Ack{id, s.reign, s.latest(), s.sumNow()})
			p.home.Take()
			updates[i] = u
		}
	}
	b.ReportAllocs()
	i := len(updates)
	for b.Loop() {
		if i == len(updates) {
			b.StopTimer()
			fill()
			i = 0
			b.StartTimer()
		}
		p.backup.Receive(p.now, 1, updates[i])
		p.backup.Take()
		i++
	}
}

// BenchmarkAck is an acknowledgement that releases a request.
func BenchmarkAck(b *testing.B) {
	p := newPair(Config{})
	id := sessionOf(1)
	p.home.Create(p.now, id)
	ops := []Op{{Key: "a", Value: Value{Bytes: smallValue}}}
	b.ReportAllocs()
	i := uint64(0)
	for b.Loop() {
		b.StopTimer()
		p.home.Commit(p.now, i, id, ops)
		p.home.Take()
		s := p.home.lookup(id)
		var m Message = Ack{id, s.reign, s.latest(), s.sumNow()}
		b.StartTimer()
		p.home.Receive(p.now, 2, m)
		p.home.Take()
		b.StopTimer()
		p.home.Receive(p.now, 3, m)
		p.home.Take()
		i++
		b.StartTimer()
	}
}

// BenchmarkJoin takes a copy that is new, as a joiner does.
func BenchmarkJoin(b *testing.B) {
	p := newPair(Config{})
	d := Dot{Epoch: 1, Node: 1, Clock: 1 << 40}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		st := &State{ID: sessionOf(i), Heads: []Dot{d}, Seen: Context{d}, Registers: []Register{{"a", []Version{{d, Value{Bytes: smallValue}}}}}}
		p.backup.Receive(p.now, 1, Copy{Reign: Reign{1, 1}, State: st, Idle: time.Minute})
		p.backup.Take()
		if i++; i%512 == 0 {
			p.now += 20 * time.Millisecond
			p.backup.Tick(p.now)
			p.backup.Take()
		}
	}
}

// BenchmarkTryServe is a request that reads a session at home.
func BenchmarkTryServe(b *testing.B) {
	for _, packed := range []bool{false, true} {
		b.Run(fmt.Sprint("packed=", packed), func(b *testing.B) {
			p := newPair(Config{MaxIdle: time.Hour})
			id := sessionOf(1)
			p.home.Create(p.now, id)
			p.acknowledgeBoth(p.commit(1, id, []Op{{Key: "a", Value: Value{Bytes: smallValue}}}))
			if packed {
				for range 1000 {
					p.now += 20 * time.Millisecond
					p.home.Tick(p.now)
					p.home.Take()
				}
				if _, k := p.home.Len(); k != 1 {
					b.Fatal("not packed")
				}
			}
			b.ReportAllocs()
			for b.Loop() {
				if !p.home.TryServe(p.now, id) {
					b.Fatal("not served")
				}
			}
		})
	}
}

// BenchmarkMemory is what 100,000 idle sessions take, each with a counter and a
// short text: bytes of the collector's heap, and bytes beside it.
func BenchmarkMemory(b *testing.B) {
	for b.Loop() {
		p := newPair(Config{})
		d := Dot{Epoch: 1, Node: 1, Clock: 1 << 40}
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		const count = 100_000
		for i := range count {
			st := &State{ID: sessionOf(i), Heads: []Dot{d}, Seen: Context{d}, Registers: []Register{
				{"", []Version{{d, Value{Bytes: smallValue[:12]}}}}, {"a", []Version{{d, Value{Bytes: smallValue}}}},
			}}
			p.backup.Receive(p.now, 1, Copy{Reign: Reign{1, 1}, State: st, Idle: time.Minute})
			p.backup.Take()
			if i%512 == 0 {
				p.now += 20 * time.Millisecond
				p.backup.Tick(p.now)
				p.backup.Take()
			}
		}
		for range 100 {
			p.now += 20 * time.Millisecond
			p.backup.Tick(p.now)
			p.backup.Take()
		}
		if _, packed := p.backup.Len(); packed != count {
			b.Fatalf("%d of %d sessions are packed", packed, count)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/count, "heap-B/session")
		b.ReportMetric(float64(after.HeapObjects-before.HeapObjects)/count, "objects/session")
		b.ReportMetric(float64(p.backup.arena.Mapped())/count, "arena-B/session")
		runtime.KeepAlive(p)
	}
}

// BenchmarkCensus is the counting of 12,500 packed sessions: one shard's of 100,000.
func BenchmarkCensus(b *testing.B) {
	n := NewNode(Config{Self: 1}, Member{ID: 1, Name: "a"}, 0)
	for i := range 12_500 {
		s := n.get(sessionOf(i))
		s.Write(Dot{Epoch: 1, Node: 1, Clock: uint64(i + 1)}, []Op{{Key: "a", Value: Value{Bytes: smallValue}}})
		s.reign, s.promised = Reign{1, 1}, Reign{1, 1}
		n.note(s)
		n.pack(s)
	}
	b.ReportAllocs()
	for b.Loop() {
		if c := n.Census(); c.Home != 12_500 {
			b.Fatalf("%+v", c)
		}
	}
}

package replica

import (
	"testing"
	"time"
)

// transfer is a home with packed sessions that a node joins.
type transfer struct {
	t    *testing.T
	home *Node
	now  time.Duration
}

const transferred = 100

func newTransfer(t *testing.T, cfg Config) *transfer {
	t.Helper()
	cfg.Self, cfg.Pack, cfg.Touch = 1, time.Millisecond, time.Minute
	x := &transfer{t, NewNode(cfg, Member{ID: 1, Name: "a"}, 0), time.Millisecond}
	x.home.View(x.now, []Member{{ID: 1, Name: "a"}})
	for i := range transferred {
		x.home.Create(x.now, sessionOf(i))
		x.home.Commit(x.now, uint64(i), sessionOf(i), []Op{{Key: "a", Value: Value{Bytes: smallValue}}})
	}
	for range 10 {
		x.tick()
	}
	x.packed(transferred)
	x.home.View(x.now, []Member{{ID: 1, Name: "a"}, {ID: 2, Name: "b"}})
	return x
}

// tick lets time pass and returns the copies that were sent.
func (x *transfer) tick() (out []Copy) {
	x.now += 20 * time.Millisecond
	x.home.Tick(x.now)
	return x.copies()
}

func (x *transfer) copies() (out []Copy) {
	for _, e := range x.home.Take() {
		if s, ok := e.(Send); ok {
			if c, ok := s.Message.(Copy); ok {
				out = append(out, c.own())
			}
		}
	}
	return out
}

func (x *transfer) packed(want int) {
	x.t.Helper()
	if all, packed := x.home.Len(); all != transferred || packed != want {
		x.t.Fatalf("%d of %d sessions are packed, want %d", packed, all, want)
	}
}

func (x *transfer) ack(c Copy) {
	x.home.Receive(x.now, 2, Ack{c.State.ID, c.Reign, c.State.latest(), (&session{State: c.State}).sumNow()})
}

func TestTransferLeavesSessionsPacked(t *testing.T) {
	x := newTransfer(t, Config{Window: 64})
	sent := map[SessionID]bool{}
	for range 4 {
		copies := x.tick()
		if len(copies) > 64 {
			t.Fatalf("%d copies are on their way, more than the window", len(copies))
		}
		for _, c := range copies {
			if sent[c.State.ID] {
				t.Fatalf("%s was sent twice", c.State.ID)
			}
			sent[c.State.ID] = true
			x.ack(c)
		}
		x.packed(transferred)
	}
	if len(sent) != transferred || x.home.peers[0].bulk != 0 || len(x.home.peers[0].parcels.order) != 0 {
		t.Fatalf("%d of %d copies were sent, %d are on their way", len(sent), transferred, x.home.peers[0].bulk)
	}
	if s := x.home.lookup(sessionOf(7)); !s.levelAt(2) {
		t.Error("the acknowledgement is forgotten")
	}
}

func TestParcelsThatAreLostAreSentAgain(t *testing.T) {
	for _, c := range []struct {
		name string
		lose func(x *transfer)
	}{
		{"no answer", func(x *transfer) { x.now += time.Second }},
		{"another connection", func(x *transfer) { x.home.Reset(x.now, 2) }},
		{"it lagged", func(x *transfer) {
			x.home.Lagging(x.now, 2, true)
			x.home.Lagging(x.now, 2, false)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := newTransfer(t, Config{Retry: time.Second, Pause: time.Hour})
			if n := len(x.tick()); n != transferred {
				t.Fatalf("%d copies were sent", n)
			}
			c.lose(x)
			again := x.tick()
			again = append(again, x.tick()...)
			if len(again) != transferred {
				t.Fatalf("%d copies were sent again", len(again))
			}
			for _, c := range again {
				x.ack(c)
			}
			for range 10 {
				if n := len(x.tick()); n > 0 {
					t.Fatalf("%d copies were sent once more", n)
				}
			}
			x.packed(transferred)
			if q := x.home.peers[0]; q.bulk != 0 {
				t.Errorf("%d copies count as being on their way", q.bulk)
			}
		})
	}
}

// A change while a copy waits behind live traffic does not wait for it: it goes with a copy
// of its own, and those after it follow that one. All of it is acknowledged.
func TestChangeOvertakesParcel(t *testing.T) {
	x := newTransfer(t, Config{})
	first := x.tick()[0]
	id := first.State.ID
	change := func(value string) (sent Send) {
		x.home.Commit(x.now, 1000, id, []Op{{Key: "a", Value: Value{Bytes: []byte(value)}}})
		for _, e := range x.home.Take() {
			if s, ok := e.(Send); ok {
				sent = s
			}
		}
		return sent
	}
	sent := change("new")
	if c, ok := sent.Message.(Copy); !ok || sent.Bulk || c.State.latest() != x.home.lookup(id).latest() {
		t.Fatalf("the change was not sent with a copy of its own, at once: %+v", sent)
	}
	if sent = change("newer"); sent.Bulk {
		t.Fatal("the next change waits behind live traffic")
	}
	if _, ok := sent.Message.(*Update); !ok {
		t.Fatalf("the next change does not follow the copy: %+v", sent)
	}
	x.packed(transferred - 1)
	x.ack(first)
	if s := x.home.lookup(id); s.levelAt(2) || len(s.writes) != 2 {
		t.Fatal("the acknowledgement of the copy is taken for one of the changes")
	}
	s := x.home.lookup(id)
	x.home.Receive(x.now, 2, Ack{id, s.reign, s.latest(), s.sumNow()})
	if !s.levelAt(2) || len(s.writes) != 0 {
		t.Error("the acknowledgement of the changes counts for nothing")
	}
}

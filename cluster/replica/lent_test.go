package replica

import (
	"testing"
	"time"
)

// scribble writes over all of a State that was lent.
func scribble(s *State) {
	for i := range s.Registers {
		g := &s.Registers[i]
		for j := range g.Versions {
			v := &g.Versions[j]
			for k := range v.Value.Bytes {
				v.Value.Bytes[k] = '!'
			}
			for name, e := range v.Value.Map {
				for k := range e {
					e[k] = '!'
				}
				v.Value.Map[name] = nil
			}
			clear(v.Value.Map)
			*v = Version{Dot: Dot{Epoch: 99}}
		}
		*g = Register{Key: "!"}
	}
	for _, dots := range [][]Dot{s.Heads, s.Seen} {
		for i := range dots {
			dots[i] = Dot{Epoch: 99}
		}
	}
	*s = State{ID: "!"}
}

func lentState() *State {
	d := Dot{Epoch: 3, Node: 1, Clock: 77}
	return &State{ID: "s", Heads: []Dot{d}, Seen: Context{d}, Registers: []Register{
		{"a", []Version{{d, Value{Bytes: []byte("value")}}}},
		{"b", []Version{{d, Value{Map: map[string][]byte{"x": []byte("y"), "empty": {}, "none": nil}}}}},
	}}
}

// TestReceiveKeepsNothingThatIsLent: whatever becomes of a copy that was lent, the
// node has what it was.
func TestReceiveKeepsNothingThatIsLent(t *testing.T) {
	for name, idle := range map[string]time.Duration{"at rest": time.Minute, "in use": 0} {
		t.Run(name, func(t *testing.T) {
			n := newPair(Config{Pack: time.Second}).backup
			lent := lentState()
			n.Receive(2*time.Second, 1, Copy{Reign: Reign{3, 1}, State: lent, Idle: idle, Lent: true})
			effects := n.Take()
			scribble(lent)
			if got, want := n.State("s"), lentState(); got == nil || !equal(got, want) {
				t.Errorf("the node has %v, not %v", got, want)
			}
			if ack, ok := effects[0].(Send).Message.(Ack); !ok || ack.ID != "s" {
				t.Errorf("the answer is %v", effects[0])
			}
		})
	}
}

func TestOwnSharesNothing(t *testing.T) {
	lent := lentState()
	kept := Own(Copy{State: lent, Lent: true}).(Copy)
	scribble(lent)
	if !equal(kept.State, lentState()) || kept.Lent {
		t.Errorf("kept %v", kept)
	}
	values := kept.State.Registers[1].Versions[0].Value.Map
	if values["empty"] == nil || values["none"] != nil || len(values) != 3 {
		t.Errorf("values are %v", values)
	}
	mine := Copy{State: lentState()}
	if Own(mine).(Copy).State != mine.State {
		t.Error("what was not lent is copied")
	}
}

// TestTransferUsesRoomsAgain: what a transfer allocates does not grow with it.
func TestTransferUsesRoomsAgain(t *testing.T) {
	x := newTransfer(t, Config{Window: 8})
	var rooms []*State
	for range transferred / 8 {
		x.now += 20 * time.Millisecond
		x.home.Tick(x.now)
		var lent []*State
		var acks []Copy
		for _, e := range x.home.Take() {
			if c, ok := e.(Send).Message.(Copy); ok {
				lent, acks = append(lent, c.State), append(acks, Own(c).(Copy))
			}
		}
		if rooms == nil {
			rooms = lent
		}
		for i, s := range lent {
			if s != rooms[i] {
				t.Fatal("a copy is made of new memory")
			}
		}
		for _, c := range acks {
			x.ack(c)
		}
	}
	x.tick()
	if x.home.rooms.list != nil {
		t.Error("rooms are kept after the transfer")
	}
}

package replica

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

const sid = SessionID("00000001s")

// seenOf are the effects of one kind that a net has seen.
func seenOf[E Effect](c *net) (out []E) {
	for _, e := range c.seen {
		if e, ok := e.(E); ok {
			out = append(out, e)
		}
	}
	return out
}

// newSession is a net with a session that is at home at node 1.
func newSession(t *testing.T, count int, cfg Config) *net {
	c := newNet(t, count, cfg)
	c.nodes[1].Create(c.now, sid)
	if r := c.write(1, sid, "v1"); r.Write == 0 || r.Failed {
		t.Fatalf("released %+v", r)
	}
	return c
}

func TestTryServe(t *testing.T) {
	c := newSession(t, 2, Config{Touch: -1, MaxIdle: time.Hour})
	if !c.nodes[1].TryServe(c.now, sid) || c.nodes[2].TryServe(c.now, sid) || c.nodes[1].TryServe(c.now, "00000002x") {
		t.Error("served elsewhere than at home, or not there")
	}
	c.wait(20 * time.Second) // it is packed meanwhile
	if _, packed := c.nodes[1].Len(); packed != 1 {
		t.Fatalf("%d packed", packed)
	}
	if !c.nodes[1].TryServe(c.now, sid) {
		t.Error("a packed session is not served")
	}
	if age := c.nodes[1].Age(c.now, sid); age != 0 {
		t.Errorf("used %v ago", age)
	}
	if _, packed := c.nodes[1].Len(); packed != 1 {
		t.Error("a request that needs no touch has unpacked it")
	}
	c.now += 2 * time.Second // stopped, perhaps taken for dead
	if c.nodes[1].TryServe(c.now, sid) {
		t.Error("served after a pause without asking the owners")
	}
	if a := c.request(1, sid); a.Verdict != Serve {
		t.Errorf("verdict %+v after asking them", a)
	}
	c.expect(1, sid, "v1")
}

// Each session has its own timeout; the home is told of its end once and again.
func TestTimeoutOfOneSession(t *testing.T) {
	timeouts := map[string]time.Duration{"short": 4 * time.Second, "never": -1}
	cfg := Config{MaxIdle: time.Minute, Grace: time.Second, AdoptAfter: time.Second, Touch: time.Second, Idle: func(s *State) time.Duration {
		v, _ := s.Get("k")
		return timeouts[string(v.Value.Bytes)]
	}}
	c := newNet(t, 3, cfg)
	for id, v := range map[SessionID]string{"0000000s": "short", "0000000n": "never"} {
		c.nodes[1].Create(c.now, id)
		c.write(1, id, v)
	}
	c.mute = true // the caller does not end what is overdue
	c.seen = nil
	c.wait(3 * time.Second)
	if len(seenOf[Overdue](c)) != 0 {
		t.Fatal("overdue too early")
	}
	c.wait(6 * time.Second)
	list := seenOf[Overdue](c)
	if len(list) < 2 || list[0].ID != "0000000s" {
		t.Fatalf("%v, want the short one several times", list)
	}
	c.mute = false
	c.wait(3 * time.Second)
	for id, n := range c.nodes {
		if s := n.State("0000000s"); s == nil || s.Life.Kind != Dead || s.Life.Reason != Expired {
			t.Errorf("node %d has %+v", id, s)
		}
	}
	c.crash(1)
	c.wait(10 * time.Minute)
	c.expect(2, "0000000n", "never")
}

// A backup of a dead home waits for the timeout, the touch interval and the grace.
func TestBackupsPatience(t *testing.T) {
	c := newSession(t, 2, Config{MaxIdle: 8 * time.Second, Grace: 2 * time.Second, AdoptAfter: time.Second, Touch: time.Second})
	c.crash(1)
	c.seen = nil
	c.wait(10 * time.Second)
	if n := len(seenOf[Overdue](c)); n != 0 {
		t.Error("expired before the touch interval and the grace were over")
	}
	c.wait(5 * time.Second)
	if s := c.nodes[2].State(sid); s == nil || s.Life.Kind != Dead {
		t.Errorf("not expired: %+v", s)
	}
}

func TestTouches(t *testing.T) {
	for _, x := range []struct {
		touch time.Duration
		want  int
	}{{0, 10}, {-1, 0}, {4 * time.Second, 2}, {time.Hour, 0}} {
		c := newSession(t, 2, Config{Touch: x.touch, MaxIdle: time.Minute})
		got := 0
		c.cut = func(_, _ NodeID, m Message) bool {
			if _, ok := m.(Touch); ok {
				got++
			}
			return false
		}
		for range 10 {
			c.wait(time.Second)
			c.nodes[1].TryServe(c.now, sid)
		}
		c.deliver()
		if got != x.want {
			t.Errorf("touch %v: %d in ten seconds, want %d", x.touch, got, x.want)
		}
	}
}

// Who lags is not waited for and gets nothing; back again, it gets what it missed.
func TestLagging(t *testing.T) {
	for _, ack := range []AckPolicy{AckNone, AckOne, AckQuorum, AckAll} {
		c := newSession(t, 3, Config{Ack: ack, Retry: time.Hour})
		stopped := func(_, to NodeID, _ Message) bool { return to == 3 }
		c.cut = stopped
		r := c.write(1, sid, "v2")
		c.seen = nil
		c.nodes[1].Lagging(c.now, 3, true)
		c.deliver()
		if ack == AckAll {
			r = c.released()
		}
		if r.Write != 9 || r.Failed || r.Degraded {
			t.Errorf("policy %d: released %+v with one of two backups lagging", ack, r)
		}
		sent := 0
		c.cut = func(_, to NodeID, _ Message) bool {
			if to == 3 {
				sent++
			}
			return to == 3
		}
		for range 10 {
			c.write(1, sid, "v3")
		}
		if sent != 0 {
			t.Errorf("policy %d: %d messages to a peer that lags", ack, sent)
		}
		c.cut = nil
		c.nodes[1].Lagging(c.now, 3, false)
		c.wait(200 * time.Millisecond)
		c.expect(3, sid, "v3")
	}
}

func TestAllLag(t *testing.T) {
	c := newSession(t, 2, Config{})
	c.nodes[1].Lagging(c.now, 2, true)
	if r := c.write(1, sid, "v2"); !r.Degraded || r.Failed {
		t.Errorf("released %+v, want degraded", r)
	}
}

// With a long Retry nothing is sent twice, unless the connection was lost.
func TestReset(t *testing.T) {
	c := newSession(t, 2, Config{Retry: time.Hour})
	sent := 0
	c.cut = func(from, _ NodeID, m Message) bool {
		switch m.(type) {
		case *Update, Copy:
			sent++
		}
		return from == 1
	}
	c.write(1, sid, "v2")
	c.wait(time.Second)
	if sent != 1 {
		t.Errorf("sent %d times, want once", sent)
	}
	c.cut = nil
	c.nodes[1].Reset(c.now, 2)
	c.wait(100 * time.Millisecond)
	c.expect(2, sid, "v2")
	if r := c.released(); r.Write != 9 || r.Degraded {
		t.Errorf("released %+v", r)
	}
}

// A joiner is level when it has what all are home of; copies keep to the window.
func TestLevel(t *testing.T) {
	const count = 300
	cfg := Config{Window: 10, Pack: 100 * time.Millisecond}
	c := newNet(t, 2, cfg)
	for i := range count {
		at := NodeID(i%2 + 1)
		c.nodes[at].Create(c.now, sessionOf(i))
		c.write(at, sessionOf(i), "v1")
	}
	c.wait(time.Second)
	if !c.nodes[1].Level() || !c.nodes[2].Level() {
		t.Fatal("those that were there from the beginning are not level")
	}
	cfg.Self, cfg.Retry = 3, 200*time.Millisecond
	c.nodes[3] = NewNode(cfg, c.member(3), c.now)
	if c.nodes[3].Level() {
		t.Error("level before the first view")
	}
	onTheWay, most := 0, 0
	c.cut = func(from, to NodeID, m Message) bool {
		switch m.(type) {
		case Copy:
			if onTheWay++; to == 3 {
				most = max(most, onTheWay)
			}
		case Ack:
			onTheWay--
		}
		return false
	}
	c.view()
	for i := 0; !c.nodes[3].Level(); i++ {
		if c.wait(40 * time.Millisecond); i > 1000 {
			t.Fatal("never level")
		}
	}
	for i := range count {
		c.expect(3, sessionOf(i), "v1")
	}
	if most > 2*2*cfg.Window {
		t.Errorf("%d copies on their way at once", most)
	}
}

func TestAloneIsLevel(t *testing.T) {
	if c := newNet(t, 1, Config{}); !c.nodes[1].Level() {
		t.Error("a node that is alone is not level")
	}
}

// A change that comes before the one it builds on waits for it.
func TestParked(t *testing.T) {
	c := newSession(t, 2, Config{Retry: time.Hour, Ack: AckAll})
	var held []Message
	needs := 0
	c.cut = func(from, _ NodeID, m Message) bool {
		switch m := m.(type) {
		case *Update:
			held = append(held, m)
			return true
		case Need:
			needs++
		}
		return false
	}
	for i := range 5 {
		c.write(1, sid, fmt.Sprint("v", i+2))
	}
	for _, i := range []int{4, 2, 1, 3} {
		c.nodes[2].Receive(c.now, 1, held[i])
	}
	c.deliver()
	c.expect(2, sid, "v1")
	c.seen = nil
	c.nodes[2].Receive(c.now, 1, held[0])
	c.deliver()
	c.expect(2, sid, "v6")
	if list := seenOf[Released](c); len(list) != 5 || needs != 0 {
		t.Errorf("%d released, %d asked for", len(list), needs)
	}
	held = nil
	c.write(1, sid, "v7")
	c.write(1, sid, "v8")
	c.nodes[2].Receive(c.now, 1, held[1]) // the other one is lost
	c.deliver()
	c.wait(200 * time.Millisecond)
	if c.expect(2, sid, "v8"); needs != 1 {
		t.Errorf("asked for %d times", needs)
	}
}

// A patch that does not fit costs a copy, not the change.
func TestPatches(t *testing.T) {
	unpatch := func(old Value, patch []byte) (Value, error) {
		if string(old.Bytes)+"+" != string(patch[:len(old.Bytes)+1]) {
			return Value{}, errors.New("another base")
		}
		return Value{Bytes: patch[len(old.Bytes)+1:]}, nil
	}
	c := newSession(t, 2, Config{Unpatch: unpatch})
	fit := true
	c.cut = func(from, to NodeID, m Message) bool {
		u, ok := m.(*Update)
		if !ok {
			return false
		}
		own := *u
		op := u.Delta.Ops[0]
		patch := append(append(append([]byte(nil), op.Old.Bytes...), '+'), op.Value.Bytes...)
		if !fit {
			patch[0] = '?'
		}
		own.Delta.Ops = []Op{{Key: op.Key, Patch: patch}}
		c.nodes[to].Receive(c.now, from, &own)
		return true
	}
	for i, fits := range []bool{true, false, true} {
		fit = fits
		c.write(1, sid, fmt.Sprint("w", i))
		c.expect(2, sid, fmt.Sprint("w", i))
	}
}

// Two requests in a row at another node move the session there; requests that
// alternate do not.
func TestMisroutes(t *testing.T) {
	c := newSession(t, 3, Config{})
	serve := func(at NodeID) (home NodeID) {
		a := c.request(at, sid)
		if a.Verdict == Forward {
			home = a.Home
			c.seen = nil
			c.nodes[home].Request(c.now, 8, sid, 1)
			c.deliver()
			if a = seenOf[Answer](c)[0]; a.Verdict != Serve {
				t.Fatalf("forwarded to %d: %+v", home, a)
			}
			return home
		}
		return at
	}
	for i := range 12 {
		if at := NodeID(i%3 + 1); serve(at) != 1 {
			t.Fatalf("request %d, which alternate: node 1 has lost the session", i)
		}
	}
	c.wait(time.Second)
	c.nodes[2].lookup(sid).misrouted, c.nodes[3].lookup(sid).misrouted = 0, 0
	serve(2)
	c.seen = nil
	if serve(2) != 2 {
		t.Error("the second request in a row at node 2 was not served there")
	}
	c.expect(2, sid, "v1")
	if c.nodes[1].Reign(sid).Home != 2 || c.nodes[1].TryServe(c.now, sid) {
		t.Error("node 1 still is the home")
	}
}

// The caller hears what becomes of the sessions that it holds.
func TestLostAndRefreshed(t *testing.T) {
	c := newSession(t, 3, Config{})
	c.seen = nil
	if !c.nodes[1].HandOver(c.now, sid, 2) || c.nodes[1].HandOver(c.now, sid, 3) {
		t.Fatal("a hand-over of what is not at home, or none of what is")
	}
	c.deliver()
	if list := seenOf[Lost](c); len(list) != 1 || list[0] != (Lost{sid, 2}) {
		t.Errorf("lost %v", list)
	}
	if list := seenOf[Claimed](c); len(list) != 1 || list[0].Reign.Home != 2 {
		t.Errorf("claimed %v", list)
	}
	// Beyond a partition node 3 writes the session too.
	other := c.nodes[2].State(sid).Clone()
	other.Write(Dot{Epoch: 9, Node: 7, Clock: 1 << 50}, []Op{{Key: "k", Value: Value{Bytes: []byte("other")}}})
	c.seen = nil
	c.nodes[2].Receive(c.now, 3, Copy{State: other})
	c.deliver()
	if list := seenOf[Refreshed](c); len(list) != 1 {
		t.Errorf("refreshed %v", list)
	}
	dead := &State{ID: sid, Life: Life{Kind: Dead, Dot: Dot{Epoch: 9, Node: 7, Clock: 1 << 51}}}
	c.seen = nil
	c.nodes[2].Receive(c.now, 3, Copy{State: dead})
	c.deliver()
	if list := seenOf[Lost](c); len(list) != 1 || list[0] != (Lost{sid, 0}) {
		t.Errorf("lost %v, want one to nobody", list)
	}
}

// The mode and the number of owners can change while the cluster runs.
func TestSetConfig(t *testing.T) {
	c := newNet(t, 4, Config{Pack: 100 * time.Millisecond})
	for i := range 40 {
		c.nodes[1].Create(c.now, sessionOf(i))
		c.write(1, sessionOf(i), "v1")
	}
	copies := func() (all int) {
		for _, n := range c.nodes {
			for i := range 40 {
				if n.State(sessionOf(i)) != nil {
					all++
				}
			}
		}
		return all
	}
	for _, x := range []struct{ owners, want int }{{2, 80}, {3, 120}, {0, 160}} {
		for _, n := range c.nodes {
			cfg := n.cfg
			cfg.Owners = x.owners
			n.SetConfig(c.now, cfg)
		}
		c.wait(5 * time.Second)
		if got := copies(); got != x.want {
			t.Errorf("owners %d: %d copies, want %d", x.owners, got, x.want)
		}
	}
}

// What nobody knows is asked for once a second, not once a request.
func TestUnknownIsRemembered(t *testing.T) {
	c := newNet(t, 3, Config{})
	asked := 0
	c.cut = func(_, _ NodeID, m Message) bool {
		if _, ok := m.(WhoHas); ok {
			asked++
		}
		return false
	}
	for range 20 {
		if a := c.request(1, "00000009x"); a.Verdict != Unknown {
			t.Fatalf("verdict %+v", a)
		}
	}
	if asked != 2 {
		t.Errorf("asked %d times, want each of two peers once", asked)
	}
	c.wait(5 * time.Second)
	if all, _ := c.nodes[1].Len(); all != 0 {
		t.Error("an invented id is kept")
	}
}

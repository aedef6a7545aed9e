package replica

import (
	"testing"
	"time"
)

// A home that one node has seen die and another still takes for alive is waited
// for, unless its end is certain: then its sessions are served at once.
func TestCertainDeathIsNotDoubted(t *testing.T) {
	for _, certain := range []bool{false, true} {
		for name, before := range map[string]bool{"before the claim": true, "during the claim": false} {
			c := newNet(t, 3, Config{})
			c.nodes[1].Create(c.now, "00000001s")
			c.write(1, "00000001s", "v1")
			c.down[1] = true // node 3 has not noticed
			members := []Member{c.member(2), c.member(3)}
			crash := func() {
				if certain {
					c.nodes[2].Crashed(c.now, 1)
				}
				c.nodes[2].View(c.now, members)
				c.deliver()
			}
			c.nodes[2].View(c.now, members)
			if before {
				crash()
			}
			c.seen = nil
			c.nodes[2].Request(c.now, 7, "00000001s", 0)
			c.deliver()
			if !before {
				crash()
			}
			if served := hasAnswer(c.seen, Serve); served != certain {
				t.Errorf("certain %v, told %s: served at once: %v", certain, name, served)
			}
			c.wait(benefit + 200*time.Millisecond)
			if !hasAnswer(c.seen, Serve) {
				t.Errorf("certain %v, told %s: not served after the doubt", certain, name)
			}
			c.expect(2, "00000001s", "v1")
		}
	}
}

func hasAnswer(seen []Effect, v Verdict) bool {
	for _, e := range seen {
		if a, ok := e.(Answer); ok && a.Verdict == v {
			return true
		}
	}
	return false
}

// What a dying home has sent last may come after the news of its death.
func TestCertainDeathAndALateMessage(t *testing.T) {
	c := newNet(t, 2, Config{})
	c.nodes[1].Create(c.now, "00000001s")
	c.write(1, "00000001s", "v1")
	c.nodes[2].Crashed(c.now, 1)
	c.crash(1)
	c.nodes[2].Receive(c.now, 1, Touch{ID: "00000001s", Reign: Reign{Epoch: 1, Home: 1}})
	c.seen = nil
	c.nodes[2].Request(c.now, 7, "00000001s", 0)
	c.deliver()
	if !hasAnswer(c.seen, Serve) {
		t.Errorf("not served at once: %v", c.seen)
	}
}

// An owner set of two, as a claim on one side of a cut leaves it, must not bar the
// session for ever when one of the two starts again with empty memory; as long as
// that one may only be cut off, it must.
func TestStrictOwnersThatStartAgain(t *testing.T) {
	for _, again := range []bool{false, true} {
		c := newNet(t, 3, Config{Strict: true, AckTimeout: 200 * time.Millisecond})
		c.nodes[1].Create(c.now, "00000001s")
		c.write(1, "00000001s", "v1")
		c.nodes[2].Crashed(c.now, 1)
		c.nodes[3].Crashed(c.now, 1)
		c.crash(1)
		if a := c.request(2, "00000001s"); a.Verdict != Serve {
			t.Fatalf("verdict %+v with two of three owners", a)
		}
		c.write(2, "00000001s", "v2")
		// The set is nodes 2 and 3 now. Node 2 goes; node 4 is it again, or
		// somebody else.
		c.down[2] = true
		cfg := Config{Self: 4, Strict: true, Retry: 200 * time.Millisecond, AckTimeout: 200 * time.Millisecond}
		m := Member{ID: 4, Name: "another"}
		if again {
			m.Name = c.member(2).Name
		}
		c.nodes[4] = NewNode(cfg, m, c.now)
		for _, id := range []NodeID{3, 4} {
			c.nodes[id].View(c.now, []Member{c.member(3), m})
		}
		c.deliver()
		c.seen = nil
		c.nodes[3].Request(c.now, 7, "00000001s", 0)
		c.deliver()
		c.wait(3 * time.Second)
		if served := hasAnswer(c.seen, Serve); served != again {
			t.Errorf("started again %v: served %v", again, served)
		}
		if again {
			c.expect(3, "00000001s", "v2")
		}
	}
}

package main

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/serval-server/serval/cluster"
	"github.com/serval-server/serval/cluster/replica"
)

// TestPartitions runs the command for as long as SERVAL_NETNS says, such as 60s; .ci/run
// does in a step of its own.
func TestPartitions(t *testing.T) {
	length := os.Getenv("SERVAL_NETNS")
	if length == "" {
		t.Skip("SERVAL_NETNS (a duration) is not set: .ci/run netns does it for 60s")
	}
	d, err := time.ParseDuration(length)
	if err != nil {
		t.Fatal(err)
	}
	if err := possible(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	seed := uint64(time.Now().Unix() % 1e6) // the output says which
	for _, profile := range []string{"available", "strict"} {
		broken, err := runAll(t.Context(), options{
			duration: d / 2, consistency: profile, ack: "one", nodes: 5, owners: 3, sessions: 200, clients: 12, seed: seed,
			progress: t.Output(),
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range broken {
			t.Error(b)
		}
	}
}

func TestUnequal(t *testing.T) {
	here := map[replica.NodeID]bool{1: true}
	good := cluster.Copy{Session: "s", Sum: "a", Live: true, Epoch: 2, Home: 1, Owner: true, Owners: 2}
	with := func(f func(*cluster.Copy)) cluster.Copy { c := good; f(&c); return c }
	dead := with(func(c *cluster.Copy) { c.Live = false })
	extra := with(func(c *cluster.Copy) { c.Owner, c.Sum = false, "old" })
	for _, c := range []struct {
		copies []cluster.Copy
		want   string
	}{
		{[]cluster.Copy{good, good}, ""},
		{[]cluster.Copy{good, good, extra}, ""},
		{[]cluster.Copy{dead, dead, extra}, ""},
		{[]cluster.Copy{dead}, ""},
		{[]cluster.Copy{good}, "has 1 of 2 copies, with a home that is here"},
		{[]cluster.Copy{with(func(c *cluster.Copy) { c.Home = 9 })}, "with a home that has gone"},
		{[]cluster.Copy{good, dead}, "has ended at some"},
		{[]cluster.Copy{good, with(func(c *cluster.Copy) { c.Epoch = 3 })}, "in epoch"},
		{[]cluster.Copy{good, with(func(c *cluster.Copy) { c.Sum = "b" })}, "different contents"},
	} {
		if got := unequal(c.copies, here, false); got != c.want && (c.want == "" || !strings.Contains(got, c.want)) {
			t.Errorf("%+v: %q, want %q", c.copies, got, c.want)
		}
	}
}

// A session is barred if one of the sets that count has nobody left.
func TestNobodyLeft(t *testing.T) {
	here := map[replica.NodeID]bool{1: true, 0xa0: true}
	for want, sets := range map[bool][][]string{
		false: {nil, {"1/00000009: 00000009 00000001"}, {"3/00000009: 00000009 000000a0", "4/00000001: 00000001"}},
		true:  {{"1/00000001: 00000009 00000000"}, {"3/00000009: 00000009", "4/00000001: 00000001"}},
	} {
		for _, s := range sets {
			copies := []cluster.Copy{{Live: true, Owner: true, Owners: 2}, {Live: true, Owner: true, Owners: 2, Epoch: 3, Home: 9, Sets: s}}
			if got := nobodyLeft(copies, here); got != want {
				t.Errorf("%q: %v", s, got)
			}
			if why := unequal(copies, here, true); why != "" {
				t.Errorf("a session that is barred %s", why)
			}
		}
	}
}

// A session that has a home is not barred, whatever a copy still remembers.
func TestHomeIsLeft(t *testing.T) {
	copies := []cluster.Copy{{Live: true, Home: 1}, {Live: true, Home: 9, Sets: []string{"1/00000009: 00000009"}}}
	if nobodyLeft(copies, map[replica.NodeID]bool{1: true}) {
		t.Error("barred, though it has a home")
	}
}

// TestJudgement: what clients were told against what nodes say in the end.
func TestJudgement(t *testing.T) {
	forks := map[string]bool{key("forked-forked-1"): true}
	same := func(n int) []answer { return []answer{{n: n}, {n: n}} }
	for _, c := range []struct {
		strict bool
		s      *session
		seen   []answer
		want   string
		lost   bool
	}{
		{true, &session{id: "plain-plain-1", sure: 5, tried: 7}, same(5), "", false},
		{true, &session{id: "plain-plain-1", sure: 5, tried: 7}, same(7), "", false},
		{true, &session{id: "plain-plain-1", sure: 5, tried: 7}, same(8), "8 after 7 requests", false},
		{true, &session{id: "plain-plain-1", sure: 5, tried: 7}, same(4), "5 was acknowledged", false},
		{false, &session{id: "plain-plain-1", sure: 5, tried: 7}, same(4), "no node says that it was forked", false},
		{false, &session{id: "forked-forked-1", sure: 5, tried: 7}, same(4), "", true},
		{true, &session{id: "forked-forked-1", sure: 5, tried: 7}, same(4), "5 was acknowledged", false},
		{false, &session{id: "forked-forked-1", sure: 5, tried: 7}, []answer{{n: 5}, {n: 6}}, "not the same everywhere", false},
		{false, &session{id: "plain-plain-1", sure: 1, tried: 1}, []answer{{fresh: true}, {fresh: true}}, "1 was acknowledged", false},
	} {
		r := &report{o: options{consistency: "available"}}
		if c.strict {
			r.o.consistency = "strict"
		}
		what, lost := r.living(c.s, c.seen, forks)
		if lost != c.lost || what != c.want && (c.want == "" || !strings.Contains(what, c.want)) {
			t.Errorf("%+v %v: %q, %v; want %q, %v", c.s, c.seen, what, lost, c.want, c.lost)
		}
	}
	r := &report{}
	alive, gone := answer{n: 3}, answer{fresh: true}
	if w := r.ended(&session{dead: true}, []answer{gone, gone}); w != "" {
		t.Error(w)
	}
	if w := r.ended(&session{dead: true}, []answer{gone, alive}); !strings.Contains(w, "answers") {
		t.Errorf("a resurrection is not noticed: %q", w)
	}
	if w := r.ended(&session{doubt: true}, []answer{alive, alive}); w != "" {
		t.Error(w)
	}
	if w := r.ended(&session{doubt: true}, []answer{alive, gone}); !strings.Contains(w, "on some nodes only") {
		t.Errorf("got %q", w)
	}
}

// TestAmnesty: what those alone knew who have lost their memory is not asked for, whether
// a change or an end; what all knew before is.
func TestAmnesty(t *testing.T) {
	c := &clients{live: []*session{{sure: 3}}, dead: []*session{{dead: true}}}
	c.well()
	c.live[0].sure = 5
	c.dead = append(c.dead, &session{dead: true})
	c.amnesty()
	if got := c.live[0].sure; got != 3 {
		t.Errorf("%d is asked for, of 3 that all knew", got)
	}
	for i, want := range []bool{true, false} {
		if s := c.dead[i]; s.dead != want || s.doubt == want {
			t.Errorf("end %d: dead %t, in doubt %t", i, s.dead, s.doubt)
		}
	}
}

// TestOvertaken: only what a late request can do is looked at again.
func TestOvertaken(t *testing.T) {
	n := func(values ...int) (seen []answer) {
		for _, v := range values {
			seen = append(seen, answer{n: v, fresh: v == 0})
		}
		return seen
	}
	for _, c := range []struct {
		s    *session
		seen []answer
		want bool
	}{
		{&session{sure: 1, tried: 2}, n(1, 2, 2, 2, 2), true},
		{&session{sure: 1, tried: 3}, n(1, 1, 2, 2, 3), true},
		{&session{sure: 1, tried: 2}, n(2, 2, 2, 2, 2), false},
		{&session{sure: 1, tried: 2}, n(1, 2, 2, 1, 2), false}, // back
		{&session{sure: 1, tried: 2}, n(2, 2, 2, 2, 1), false},
		{&session{sure: 1, tried: 2}, n(1, 1, 3, 3, 3), false}, // more than was asked for
		{&session{sure: 2, tried: 2}, n(1, 2, 2, 2, 2), false}, // nothing is without an answer
		{&session{doubt: true}, n(3, 3, 0, 0, 0), true},
		{&session{doubt: true}, n(3, 0, 3, 0, 0), false},
		{&session{doubt: true}, n(0, 0, 0, 0, 0), false},
		{&session{dead: true}, n(3, 3, 0, 0, 0), false}, // its end was acknowledged
	} {
		if got := c.s.overtaken(c.seen); got != c.want {
			t.Errorf("sure %d of %d, %v: %v", c.s.sure, c.s.tried, counts(c.seen), got)
		}
	}
}

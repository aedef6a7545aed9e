package main

import (
	"slices"
	"time"

	"github.com/serval-server/serval/cluster/replica"
	"github.com/serval-server/serval/cluster/wire"
)

// bugs are the planted ones. Some are what Tomcat, Jetty or Spring Session do.
var bugs = []bug{
	{name: "a restarted node gives out its old dots", sameID: true, plan: func(w *world) { w.faults.crash = true }},
	{name: "an application deployed anew passes for its former run", sameRun: true, plan: func(w *world) { w.faults.redeploy = true }},
	{name: "a node does not notice that it was stopped", noPause: true, plan: func(w *world) {
		w.faults = faults{pause: true, every: 700 * time.Millisecond, detect: 300 * time.Millisecond}
		w.plan.misroute, w.plan.think, w.plan.late = 0.2, 60*time.Millisecond, 0
		w.net.jitter, w.net.spike, w.net.drop = 0, 0, 0
	}},
	{name: "a node leaves before its grants are heard", noWait: true, plan: func(w *world) { w.faults.drain = true }},
	{name: "forks are not counted", plan: func(w *world) {
		w.faults.partition, w.faults.every, w.faults.detect = true, 500*time.Millisecond, 300*time.Millisecond
		w.cfg.Strict, w.cfg.Ack, w.plan.misroute, w.plan.think = false, replica.AckNone, 1, 50*time.Millisecond
	}, effect: func(e replica.Effect) bool {
		_, fork := e.(replica.Forked)
		return !fork
	}},
	{name: "a patch is not checked against its base", config: func(_ *host, c *replica.Config) {
		c.Unpatch = func(old replica.Value, patch []byte) (replica.Value, error) {
			if v, err := wire.Unpatch(old, patch); err == nil && len(v.Bytes)%7 > 0 {
				return v, nil
			}
			return old, nil
		}
	}},
	{name: "uses at home are not told", plan: func(w *world) {
		w.cfg.Touch, w.cfg.MaxIdle, w.cfg.Grace, w.cfg.DeadTTL = 0, 3*time.Second, time.Second, 30*time.Second
		w.plan.think, w.faults.crash, w.faults.every = time.Second, true, time.Second
	}, message: func(_ *world, _, _ *host, m replica.Message) replica.Message {
		if _, ok := m.(replica.Touch); ok {
			return nil
		}
		return m
	}},
	{name: "acknowledged before it was applied, then lost", message: onUpdate(func(w *world, from, to *host, u *replica.Update) replica.Message {
		if w.chance(0.1) {
			w.acknowledge(from, to, u)
			return nil
		}
		return u
	})},
	{name: "an owner acknowledges a reign that is over", message: skipFence},
	{name: "an owner acknowledges an end and lives on", message: onUpdate(func(w *world, from, to *host, u *replica.Update) replica.Message {
		if u.Delta.Life.Kind == replica.Dead {
			w.acknowledge(from, to, u)
			return nil
		}
		return u
	})},
	{name: "tombstones are forgotten at once", config: func(_ *host, c *replica.Config) { c.DeadTTL = 50 * time.Millisecond }},
	{name: "idle time by the wall clock", message: wallClock},
	{name: "half of a change arrives", message: onUpdate(func(_ *world, _, _ *host, u *replica.Update) replica.Message {
		if len(u.Delta.Ops) > 1 {
			u.Delta.Ops = u.Delta.Ops[:1]
		}
		return u
	})},
	{name: "one of two values is damaged", message: onUpdate(func(w *world, _, _ *host, u *replica.Update) replica.Message {
		if len(u.Delta.Ops) > 1 && w.chance(0.1) {
			u.Delta.Ops = slices.Clone(u.Delta.Ops)
			u.Delta.Ops[0].Value = replica.Value{Bytes: []byte("damaged")}
		}
		return u
	})},
	{name: "removals do not travel", message: onUpdate(func(_ *world, _, _ *host, u *replica.Update) replica.Message {
		u.Delta.Ops = slices.DeleteFunc(slices.Clone(u.Delta.Ops), func(o replica.Op) bool { return o.Remove })
		return u
	})},
	{name: "a change is applied to whatever is there", message: onUpdate(func(_ *world, _, to *host, u *replica.Update) replica.Message {
		if s := to.node.State(u.Delta.ID); s != nil {
			u.Delta.Base = slices.Clone(s.Heads)
		}
		return u
	})},
	{name: "a renamed session stays behind", message: onUpdate(func(_ *world, _, _ *host, u *replica.Update) replica.Message {
		u.Successor = nil
		return u
	})},
	{name: "the old id of a renamed session lives on", message: onUpdate(func(w *world, from, to *host, u *replica.Update) replica.Message {
		if u.Delta.Life.Kind == replica.Renamed {
			w.acknowledge(from, to, u)
			return nil
		}
		return u
	})},
	{name: "a promise without the copy", message: func(_ *world, _, _ *host, m replica.Message) replica.Message {
		if p, ok := m.(replica.Promise); ok {
			p.State = nil
			return p
		}
		return m
	}},
	{name: "a claim does not wait for promises", message: func(w *world, from, to *host, m replica.Message) replica.Message {
		if c, ok := m.(replica.Claim); ok {
			w.forge(to, from, replica.Promise{ID: c.ID, Reign: c.Reign})
			return nil
		}
		return m
	}},
	{name: "an ack counts for later changes too", message: func(_ *world, _, _ *host, m replica.Message) replica.Message {
		if a, ok := m.(replica.Ack); ok {
			a.Dot.Clock += 1 << 40
			return a
		}
		return m
	}},
	{name: "the home does not repeat what was lost", message: func(_ *world, from, _ *host, m replica.Message) replica.Message {
		if c, ok := m.(replica.Copy); ok && c.Reign.Home == from.id {
			return nil
		}
		return m
	}},
	{name: "owners are released too early", message: func(w *world, from, to *host, m replica.Message) replica.Message {
		if a, ok := m.(replica.Ack); ok && w.chance(0.1) {
			w.forge(to, from, replica.Release{ID: a.ID, Reign: a.Reign, Heads: []replica.Dot{a.Dot}})
		}
		return m
	}},
	{name: "strict: a claim needs no majority", message: noMajority},
	{name: "strict: one profile is announced, the other used", config: func(_ *host, c *replica.Config) { c.Strict = false }},
	{name: "who-has is always answered with no", message: func(_ *world, _, _ *host, m replica.Message) replica.Message {
		if h, ok := m.(replica.Has); ok {
			h.Reign = replica.Reign{}
			return h
		}
		return m
	}},
	{name: "ack one is taken for ack none", config: func(_ *host, c *replica.Config) { c.Ack = replica.AckNone }},
	{name: "a node has its own idea of the owners", config: func(h *host, c *replica.Config) {
		if h.name == "n1" {
			c.Owners = 1
		}
	}},
	{name: "a node has its own idea of the session timeout", config: func(h *host, c *replica.Config) {
		if h.name == "n1" {
			c.MaxIdle /= 4
		}
	}},
}

// onUpdate is a hook for updates only.
func onUpdate(f func(w *world, from, to *host, u *replica.Update) replica.Message) func(*world, *host, *host, replica.Message) replica.Message {
	return func(w *world, from, to *host, m replica.Message) replica.Message {
		if u, ok := m.(*replica.Update); ok {
			own := *u // the other owners get the same one
			return f(w, from, to, &own)
		}
		return m
	}
}

// skipFence acknowledges what should have been refused.
func skipFence(_ *world, _, to *host, m replica.Message) replica.Message {
	f, ok := m.(replica.Fenced)
	if !ok {
		return m
	}
	s := to.node.State(f.ID)
	if s == nil || len(s.Heads) == 0 {
		return m
	}
	return replica.Ack{ID: f.ID, Reign: to.node.Reign(f.ID), Dot: s.Heads[len(s.Heads)-1]}
}

// wallClock sends the time of the last use instead of the time since, as one
// that reads its clock and another one's would have it.
func wallClock(_ *world, from, to *host, m replica.Message) replica.Message {
	off := time.Duration(to.skew-from.skew) * time.Millisecond
	switch m := m.(type) {
	case replica.Copy:
		m.Idle += off
		return m
	case replica.Promise:
		m.Idle += off
		return m
	case replica.Grant:
		m.Idle += off
		return m
	}
	return m
}

// noMajority makes each owner set one that a single promise satisfies.
func noMajority(_ *world, _, to *host, m replica.Message) replica.Message {
	alone := func(sets []replica.OwnerSet) []replica.OwnerSet {
		sets = slices.Clone(sets)
		for i := range sets {
			sets[i].Nodes = []replica.NodeID{to.id}
		}
		return sets
	}
	switch m := m.(type) {
	case *replica.Update:
		own := *m
		own.Sets = alone(m.Sets)
		return &own
	case replica.Copy:
		m.Sets = alone(m.Sets)
		return m
	case replica.Promise:
		m.Sets = alone(m.Sets)
		return m
	case replica.Claim:
		m.Nodes = []replica.NodeID{to.id}
		return m
	}
	return m
}

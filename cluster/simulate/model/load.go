package model

import (
	"encoding/base64"
	"encoding/binary"
	"slices"
	"time"

	"github.com/serval-server/serval/cluster/replica"
)

// restart empties the counters.
func (c *cluster) restart() {
	c.count = tally{messages: map[string]int{}, spent: map[*host]time.Duration{}}
	c.waits = c.waits[:0]
}

// create makes the sessions, spread over the hosts, at no cost.
func (c *cluster) create() {
	c.free = true
	for i := range c.o.Sessions {
		h := c.hosts[i%len(c.hosts)]
		raw := make([]byte, 24)
		for j := 0; j < len(raw); j += 8 {
			binary.LittleEndian.PutUint64(raw[j:], c.rng.Uint64())
		}
		s := session{replica.SessionID(base64.RawURLEncoding.EncodeToString(raw)), h}
		c.sessions = append(c.sessions, s)
		c.at(time.Duration(i)*time.Second/time.Duration(c.o.Sessions), func() {
			h.node.Create(c.now, s.id)
			h.node.Commit(c.now, 0, s.id, []replica.Op{
				{Key: "", Value: c.bytesOf(12)}, {Key: "acount", Value: c.bytesOf(8)}, {Key: "apad", Value: c.bytesOf(c.o.Value)},
			})
			c.effects(h)
		})
	}
	c.run(3 * time.Second)
	c.free = false
}

// bytesOf is a value that cannot be compressed.
func (c *cluster) bytesOf(n int) replica.Value {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(c.rng.Uint32())
	}
	return replica.Value{Bytes: b}
}

// load sends requests for a while, at the rate of the options for each node that
// is up, to sessions drawn at random. It ends by itself.
func (c *cluster) load(d time.Duration) {
	up := 0
	for _, h := range c.hosts {
		if h.up {
			up++
		}
	}
	rate := c.o.Rate * float64(up)
	end := c.now + d
	var next func()
	next = func() {
		if c.now >= end {
			return
		}
		c.request(c.rng.IntN(len(c.sessions)))
		c.at(time.Duration(c.rng.ExpFloat64()*float64(time.Second)/rate), next)
	}
	c.at(0, next)
}

// request is one of a client: it goes to the session's node, or if that is gone
// to any other.
func (c *cluster) request(i int) {
	s := &c.sessions[i]
	for !s.home.up {
		s.home = c.hosts[c.rng.IntN(len(c.hosts))]
	}
	c.arrive(c.next, request{session: i, began: c.now}, s.home)
	c.next++
}

func (c *cluster) arrive(number uint64, r request, h *host) {
	if !h.up {
		return
	}
	c.work(h, 0, func() {
		id := c.sessions[r.session].id
		if !h.up {
			return
		}
		if r.hops == 0 && h.node.TryServe(c.now, id) {
			c.commit(number, r, h)
			return
		}
		c.pending[number] = r
		h.node.Request(c.now, number, id, r.hops)
		c.effects(h)
	})
}

func (c *cluster) answered(h *host, a replica.Answer) {
	r, ok := c.pending[a.Request]
	if !ok {
		return
	}
	delete(c.pending, a.Request)
	switch a.Verdict {
	case replica.Serve:
		c.sessions[r.session].home = h
		c.commit(a.Request, r, h)
	case replica.Forward:
		if to := c.byID[a.Home]; to != nil && r.hops < 2 {
			r.hops++
			c.at(c.o.Costs.Trip, func() { c.arrive(a.Request, r, to) })
		}
	}
}

// commit changes the session's counter.
func (c *cluster) commit(number uint64, r request, h *host) {
	c.work(h, c.o.Costs.Commit, func() {
		if !h.up {
			return
		}
		r.commit = true
		c.pending[number] = r
		h.node.Commit(c.now, number, c.sessions[r.session].id, []replica.Op{{Key: "acount", Value: c.bytesOf(8)}})
		c.effects(h)
	})
}

func (c *cluster) released(e replica.Released) {
	if r, ok := c.pending[e.Write]; ok && r.commit {
		delete(c.pending, e.Write)
		c.waits = append(c.waits, c.now-r.began)
	}
}

// quantile is of the waits so far, in µs.
func (c *cluster) quantile(q float64) float64 {
	if len(c.waits) == 0 {
		return 0
	}
	slices.Sort(c.waits)
	return float64(c.waits[int(q*float64(len(c.waits)-1))]) / 1000
}

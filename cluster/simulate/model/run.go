package model

import (
	"time"

	"github.com/serval-server/serval/cluster/replica"
)

// affordable is about how many messages a run of requests may take.
const affordable = 300_000

// Run runs a cluster: it is filled with sessions, serves requests, is idle for a
// while, loses nodes and gets others.
func Run(o Options) Result {
	c := newCluster(o)
	c.view()
	c.run(100 * time.Millisecond)
	c.create()
	r := Result{Mode: o.Mode(), Nodes: o.Nodes, Sessions: o.Sessions, Ack: ackName(o.Ack), Rate: o.Rate}
	r.Copies = float64(o.Sessions) * float64(o.copies()) / float64(o.Nodes)
	c.steady(&r)
	c.idle(&r)
	if o.Kill > 0 {
		r.Failure = c.fail(min(o.Kill, o.Nodes-1))
	}
	if o.Join > 0 {
		r.Joining = c.join(o.Join)
	}
	return r
}

func (o Options) copies() int {
	if o.Owners <= 0 || o.Owners > o.Nodes {
		return o.Nodes
	}
	return o.Owners
}

func ackName(a replica.AckPolicy) string {
	switch a {
	case replica.AckNone:
		return "none"
	case replica.AckQuorum:
		return "quorum"
	case replica.AckAll:
		return "all"
	}
	return "one"
}

// steady measures requests.
func (c *cluster) steady(r *Result) {
	requests := c.o.Requests
	if requests <= 0 {
		requests = min(20_000, affordable/(2*c.o.copies()-1))
	}
	d := time.Duration(float64(requests) / c.o.Rate / float64(c.o.Nodes) * float64(time.Second))
	c.load(d / 5)
	c.run(d/5 + 20*time.Millisecond) // the lanes' tables fill
	c.restart()
	c.load(d)
	c.run(d)
	for range 100 {
		if len(c.pending) == 0 {
			break
		}
		c.run(10 * time.Millisecond)
	}
	r.Requests = len(c.waits)
	n := float64(max(1, r.Requests))
	r.Messages, r.Batches, r.Bytes = float64(c.messages())/n, float64(c.count.batches)/n, c.bytes()/n
	r.CPU = float64(c.spent()) / 1000 / n
	r.P50, r.P99 = c.quantile(0.5), c.quantile(0.99)
}

// spent is the processor time of all hosts since the counters were emptied.
func (c *cluster) spent() (sum time.Duration) {
	for _, d := range c.count.spent {
		sum += d
	}
	return sum
}

func (c *cluster) busiest() (most time.Duration) {
	for _, d := range c.count.spent {
		most = max(most, d)
	}
	return most
}

// idle measures what nodes say to each other when there is nothing to say.
func (c *cluster) idle(r *Result) {
	const d = 20 * time.Second
	c.run(time.Second)
	c.restart()
	c.run(d)
	per := float64(c.o.Nodes) * d.Seconds()
	r.IdleMessages, r.IdleBytes = float64(c.messages())/per, c.bytes()/per
}

// storm is how long a change of the membership is watched.
const storm = 30 * time.Second

// calm is the rate of requests per node during a storm.
const calm = 5.0

// during runs the cluster under a light load for the length of a storm.
func (c *cluster) during(done func() bool) *Storm {
	c.restart()
	clear(c.claimed)
	c.last = c.now
	began, rate := c.now, c.o.Rate
	c.o.Rate = min(rate, calm, float64(affordable/(4*c.o.copies()-2))/storm.Seconds()/float64(c.o.Nodes))
	c.load(storm)
	s := &Storm{Seconds: -1}
	for c.now < began+storm {
		c.run(100 * time.Millisecond)
		if s.Seconds < 0 && done() {
			s.Seconds = (c.now - began).Seconds()
		}
	}
	c.o.Rate = rate
	share := c.withoutRequests()
	s.Moved, s.Messages, s.Bytes = len(c.claimed), c.messages(), c.bytes()
	s.CPU, s.Busiest, s.P99 = share*c.spent().Seconds(), share*c.busiest().Seconds(), c.quantile(0.99)
	return s
}

// withoutRequests takes out what the requests of a storm's time brought about by
// themselves: updates, their acknowledgements and news of uses. What is left of
// the time is by the share of the messages that are left.
func (c *cluster) withoutRequests() (share float64) {
	all := c.messages()
	for k := range c.count.messages {
		switch k {
		case "Update":
			c.count.messages["Ack"] = max(0, c.count.messages["Ack"]-c.count.messages[k])
			c.count.messages[k] = 0
		case "replica.Touch":
			c.count.messages[k] = 0
		}
	}
	share = float64(c.messages()) / float64(max(1, all))
	c.count.batches = int(share * float64(c.count.batches))
	return share
}

// fail kills nodes, all at once.
func (c *cluster) fail(n int) *Storm {
	lost := 0
	dead := map[*host]bool{}
	for _, i := range c.rng.Perm(len(c.hosts))[:n] {
		c.hosts[i].up = false
		dead[c.hosts[i]] = true
	}
	for _, s := range c.sessions {
		if dead[s.home] {
			lost++
		}
	}
	c.at(c.o.Costs.Detect, c.view)
	s := c.during(func() bool { return len(c.claimed) >= lost*99/100 })
	s.Nodes = n
	return s
}

// join starts nodes, all at once.
func (c *cluster) join(n int) *Storm {
	var fresh []*host
	for range n {
		fresh = append(fresh, c.add())
	}
	began := c.now
	c.at(c.o.Costs.Detect, c.view)
	s := c.during(func() bool {
		for _, h := range fresh {
			if h.level == 0 {
				return false
			}
		}
		return true
	})
	s.Nodes = n
	if s.Seconds >= 0 {
		for _, h := range fresh {
			s.Seconds = max(0, (h.level - began).Seconds())
		}
	}
	return s
}

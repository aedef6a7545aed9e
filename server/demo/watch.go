package demo

import (
	"context"
	"fmt"
	"time"

	"github.com/serval-server/serval/cluster"
)

// look is how often the nodes are asked.
const look = 100 * time.Millisecond

// rateOver is how far apart the looks are that rates are computed from.
const rateOver = 2 * time.Second

// watch keeps what is known of the nodes up to date.
func (d *Demo) watch(ctx context.Context) {
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		d.look(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// look asks each node for itself, so that one that hangs hides no other.
func (d *Demo) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	for _, n := range d.nodes {
		if !n.running() {
			continue
		}
		n.mu.Lock()
		known := n.url != nil
		n.mu.Unlock()
		if !known && n.probe(ctx) != nil {
			continue
		}
		if st, err := n.control.Node(ctx); err == nil {
			d.learn(n, st)
		}
	}
}

// learn takes what a node says of itself.
func (d *Demo) learn(n *node, st cluster.Status) {
	n.mu.Lock()
	before := n.status
	if n.cmd == nil || n.state == stateKilled {
		n.mu.Unlock()
		return
	}
	n.status = st
	was := n.state
	if st.Ready {
		n.set(stateReady)
	} else {
		n.set(stateJoining)
	}
	now := n.state
	n.mu.Unlock()
	if now == stateReady && was != stateReady {
		d.news.add(n.name + " is ready")
	}
	if before.ID != st.ID {
		return
	}
	switch took := sum(&st).claims - sum(&before).claims; {
	case took == 1:
		d.news.add(n.name + " has taken over a session")
	case took > 1:
		d.news.add(fmt.Sprintf("%s has taken over %d sessions", n.name, took))
	}
}

// sums are a node's figures over all its applications and links.
type sums struct {
	home, copies         int
	commits, sent        uint64
	claims, lag          int
	forwards, forks, deg uint64
}

func sum(st *cluster.Status) (s sums) {
	for i := range st.Apps {
		a := &st.Apps[i]
		s.home, s.copies = s.home+a.Home, s.copies+a.Copies
		s.commits += a.Counters.Commits
		s.claims += int(a.Counters.Claims)
		s.forwards, s.forks, s.deg = s.forwards+a.Counters.Forwards, s.forks+a.Counters.Forks, s.deg+a.Counters.Degraded
	}
	for i := range st.Members {
		s.sent += st.Members[i].Sent
		s.lag = max(s.lag, st.Members[i].Queued)
	}
	return s
}

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/serval-server/serval/cluster"
	"github.com/serval-server/serval/cluster/replica"
)

// settleWithin bounds the time from the end of the faults until all owners are equal.
const settleWithin = 10 * time.Second

// report is what a run found.
type report struct {
	o        options
	faults   map[string]int
	ready    time.Duration // from the last fault until all nodes were ready
	settled  time.Duration // from the last fault until all owners were equal
	live     int
	dead     int
	lossy    bool // several nodes have lost their memory at once
	stuck    int  // strict: sessions that are refused therefore
	lost     int  // available: sessions that lost something and are logged as forked
	forked   int  // sessions that are logged as forked
	clients  *clients
	counters cluster.Counters
	broken   []string
	barred   map[string]bool // strict: sessions whose owners have all lost their memory
	orphans  int             // sessions whose home has gone and that nobody has asked for since
	late     int             // sessions with a request that was carried out while they were judged
}

func (r *report) String() string {
	c := r.clients
	s := fmt.Sprintf("%s, seed %d: faults %v\n", r.o.consistency, r.o.seed, r.faults)
	s += fmt.Sprintf("  requests %d, refused %d, without an answer %d, by strangers %d, went back %d; ended %d\n",
		c.requests.Load(), c.refused.Load(), c.failed.Load(), c.strangers.Load(), c.back.Load(), c.ended.Load())
	s += fmt.Sprintf("  all nodes ready after %v, all owners equal after %v\n", r.ready.Round(time.Millisecond), r.settled.Round(time.Millisecond))
	s += fmt.Sprintf("  sessions %d live, %d ended; %d refused, %d with no former owner left, %d without a home, %d forked, %d lost updates in a fork, %d changed by a late request; claims %d, degraded %d (of processes that live)\n",
		r.live, r.dead, r.stuck, len(r.barred), r.orphans, r.forked, r.lost, r.late, r.counters.Claims, r.counters.Degraded)
	if len(r.broken) == 0 {
		return s + "  all promises kept\n"
	}
	for i, b := range r.broken {
		if i == 30 {
			s += fmt.Sprintf("  … and %d more\n", len(r.broken)-i)
			break
		}
		s += "  BROKEN: " + b + "\n"
	}
	return s
}

// run makes a cluster, disturbs it, and judges it.
func run(ctx context.Context, o options, root, dir string) (r *report, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	n, err := newNetwork(o.nodes)
	if err != nil {
		return nil, err
	}
	nodes, err := makeNodes(o, n, root, dir)
	defer func() {
		var ends sync.WaitGroup
		for _, x := range nodes {
			ends.Go(func() { _ = x.end(9) }) // it is over
		}
		ends.Wait()
		err = errors.Join(err, n.close())
	}()
	if err != nil {
		return nil, err
	}
	c := newClients(o, nodes)
	f := newFaults(o, n, nodes, c)
	if _, err := f.end(ctx, 30*time.Second); err != nil { // which starts them
		return nil, err
	}
	f.say("%d nodes, %d owners, ack %s, %d sessions, seed %d", o.nodes, o.owners, o.ack, o.sessions, o.seed)
	if err := disturb(ctx, o, c, f); err != nil {
		return nil, err
	}
	r = &report{o: o, faults: f.count, clients: c, lossy: f.lossy}
	if r.ready, err = f.end(ctx, 30*time.Second); err != nil {
		return nil, err
	}
	r.settle(ctx, nodes, time.Now().Add(-r.ready))
	c.http.Timeout = 3 * requestTimeout
	r.judge(ctx, nodes)
	r.broken = append(c.broken, r.broken...)
	return r, ctx.Err()
}

// disturb makes faults under load for the time that was asked for.
func disturb(ctx context.Context, o options, c *clients, f *faults) error {
	load, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { c.run(load) })
	defer wg.Wait()
	defer stop()
	select {
	case <-time.After(2 * time.Second): // sessions come to be
	case <-ctx.Done():
	}
	window, end := context.WithTimeout(ctx, o.duration)
	defer end()
	return f.run(window)
}

// settle waits until the nodes say that all copies are equal. It goes on looking
// after the time for that is over, to tell what is late from what never comes.
func (r *report) settle(ctx context.Context, nodes []*node, since time.Time) {
	late := ""
	for {
		why := r.differ(ctx, nodes)
		r.settled = time.Since(since)
		switch {
		case why == "" && late == "":
			return
		case why == "":
			r.broken = append(r.broken, fmt.Sprintf("the owners are equal only after %v; at %v: %s", r.settled.Round(time.Millisecond), settleWithin, late))
			return
		case r.settled > 6*settleWithin:
			r.broken = append(r.broken, fmt.Sprintf("the owners are not equal after %v: %s", r.settled.Round(time.Millisecond), why))
			return
		case r.settled > settleWithin && late == "":
			late = why
		}
		time.Sleep(50 * time.Millisecond) // between two looks
	}
}

// differ says in what the owners of sessions differ, "" if they do not. Copies that
// others keep without having to do not count.
func (r *report) differ(ctx context.Context, nodes []*node) string {
	r.counters, r.orphans, r.barred = cluster.Counters{}, 0, map[string]bool{}
	found, where := map[string][]cluster.Copy{}, map[string]string{}
	present := map[replica.NodeID]bool{}
	for _, x := range nodes {
		list, err := x.control().Copies(ctx)
		if err != nil {
			return err.Error()
		}
		for _, c := range list {
			found[c.Session] = append(found[c.Session], c)
			where[c.Session] += fmt.Sprintf(" node%d: sum %s live %t epoch %d home %08x owner %t %v;", x.i, c.Sum, c.Live, c.Epoch, c.Home, c.Owner, c.Sets)
		}
	}
	all, err := nodes[0].control().Cluster(ctx)
	if err != nil {
		return err.Error()
	}
	ids := ""
	for _, st := range all {
		present[st.ID] = true
		ids += fmt.Sprintf(" %s is %08x", st.Node, st.ID)
		for _, a := range st.Apps {
			r.counters.Claims += a.Counters.Claims
			r.counters.Degraded += a.Counters.Degraded
		}
	}
	if len(all) != len(nodes) {
		return fmt.Sprintf("node 1 knows %d nodes", len(all))
	}
	bad, first := 0, ""
	for id, copies := range found {
		barred := r.lossy && r.o.consistency == "strict" && nobodyLeft(copies, present)
		if barred {
			r.barred[key(id)] = true
		}
		if why := unequal(copies, present, barred); why != "" {
			bad++
			if first == "" || id < first[:len(id)] {
				first = fmt.Sprintf("%s, which %s:%s", id, why, where[id])
			}
		}
		if !slices.ContainsFunc(copies, func(c cluster.Copy) bool { return !c.Live || present[c.Home] }) {
			r.orphans++
		}
	}
	if bad == 0 {
		return ""
	}
	return fmt.Sprintf("%d of %d sessions, such as %s%s", bad, len(found), first, ids)
}

// nobodyLeft reports whether, in the strict profile, a session has no home, and all
// who had to agree to another one have lost their memory.
func nobodyLeft(copies []cluster.Copy, present map[replica.NodeID]bool) bool {
	lives := func(c cluster.Copy) bool { return c.Live }
	if !slices.ContainsFunc(copies, lives) || slices.ContainsFunc(copies, func(c cluster.Copy) bool { return c.Live && present[c.Home] }) {
		return false
	}
	return slices.ContainsFunc(copies, func(c cluster.Copy) bool {
		return slices.ContainsFunc(c.Sets, func(set string) bool {
			_, nodes, _ := strings.Cut(set, ":")
			return !slices.ContainsFunc(strings.Fields(nodes), func(node string) bool {
				id, err := strconv.ParseUint(node, 16, 32)
				return err == nil && present[replica.NodeID(id)]
			})
		})
	})
}

// unequal says what is wrong with the copies of a session. One that is barred has no
// home, and nobody who would spread it.
func unequal(copies []cluster.Copy, present map[replica.NodeID]bool, barred bool) string {
	var own []cluster.Copy
	owners := 0
	for _, c := range copies {
		if c.Owner {
			own = append(own, c)
			owners = max(owners, c.Owners)
		}
	}
	if !slices.ContainsFunc(own, func(c cluster.Copy) bool { return c.Live }) {
		return "" // nothing of it lives, but for copies that nobody asks
	}
	for _, c := range own {
		switch {
		case !c.Live:
			return "has ended at some of its owners"
		case c.Sum != own[0].Sum:
			return "has different contents"
		case !barred && (c.Home != own[0].Home || c.Epoch != own[0].Epoch):
			return fmt.Sprintf("has the home %08x in epoch %d here, %08x in %d there", c.Home, c.Epoch, own[0].Home, own[0].Epoch)
		}
	}
	if len(own) != owners && !barred {
		where := "that is here"
		if len(own) == 0 || !present[own[0].Home] {
			where = "that has gone"
		}
		return fmt.Sprintf("has %d of %d copies, with a home %s", len(own), owners, where)
	}
	return ""
}

// judge looks at every session on every node.
func (r *report) judge(ctx context.Context, nodes []*node) {
	forks := forkedSessions(nodes)
	r.forked = len(forks)
	c := r.clients
	c.mu.Lock()
	defer c.mu.Unlock()
	var wg sync.WaitGroup
	var mu sync.Mutex
	slots := make(chan struct{}, 16)
	judge := func(s *session, f func(s *session, seen []answer) string) {
		if s.id == "" {
			return
		}
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			seen, late, err := r.agreed(ctx, nodes, s)
			what := ""
			if late {
				mu.Lock()
				r.late++
				mu.Unlock()
			}
			if errors.Is(err, errUnavailable) && r.barred[key(s.id)] {
				mu.Lock()
				r.stuck++
				mu.Unlock()
			} else if err != nil {
				what = fmt.Sprintf("session %s: %v", s.id, err)
			} else {
				what = f(s, seen)
			}
			if what != "" {
				mu.Lock()
				r.broken = append(r.broken, what)
				mu.Unlock()
			}
		})
	}
	for _, s := range c.live {
		r.live++
		judge(s, func(s *session, seen []answer) string {
			what, lost := r.living(s, seen, forks)
			if lost {
				mu.Lock()
				r.lost++
				mu.Unlock()
			}
			return what
		})
	}
	for _, s := range c.dead {
		r.dead++
		judge(s, r.ended)
	}
	wg.Wait()
}

// errUnavailable is what strict may answer for a session if its owners have all lost
// their memory.
var errUnavailable = errors.New("503")

// agreed asks every node for a session, and asks again while a request that was
// without an answer may have been carried out between two of the reads: a node that
// stood still, or was cut off, finds it in its socket when it goes on, and the client
// that has left by then does not call it back. Such a request shows as one step, from
// what was to what is; everything else is for the caller to judge at once.
func (r *report) agreed(ctx context.Context, nodes []*node, s *session) (seen []answer, late bool, err error) {
	for until := time.Now().Add(settleWithin); ; late = true {
		seen, err = r.everywhere(ctx, nodes, s)
		if err != nil || !s.overtaken(seen) || time.Now().After(until) {
			return seen, late, err
		}
	}
}

// overtaken reports whether answers in the order of time differ as they do if requests
// without an answer were carried out between them.
func (s *session) overtaken(seen []answer) bool {
	first, last := seen[0], seen[len(seen)-1]
	for i, a := range seen[1:] {
		if before := seen[i]; before.fresh && !a.fresh || !a.fresh && a.n < before.n {
			return false // it went back
		}
	}
	if last.fresh {
		return s.doubt && !first.fresh
	}
	return first.n < last.n && last.n <= s.tried && s.sure < s.tried
}

// everywhere asks every node for a session.
func (r *report) everywhere(ctx context.Context, nodes []*node, s *session) (seen []answer, err error) {
	until := time.Now().Add(settleWithin)
	for i := 0; i < len(nodes); i++ {
		a, err := r.clients.get(ctx, s, i+1, "/read")
		if err == nil && a.status == http.StatusServiceUnavailable && time.Now().Before(until) {
			i-- // not yet: a claim may be under way
			continue
		}
		if err == nil && a.status == http.StatusServiceUnavailable && r.o.consistency == "strict" {
			err = errUnavailable
		} else if err == nil && a.status != http.StatusOK {
			err = fmt.Errorf("status %d", a.status)
		}
		if err != nil {
			return nil, fmt.Errorf("node %d, when everything is well: %w", i+1, err)
		}
		seen = append(seen, a)
	}
	return seen, nil
}

// living judges a session that has not been ended.
func (r *report) living(s *session, seen []answer, forks map[string]bool) (broken string, lost bool) {
	values := fmt.Sprint(counts(seen))
	for _, a := range seen {
		if a.n != seen[0].n || a.fresh != seen[0].fresh {
			return fmt.Sprintf("session %s is not the same everywhere: %s", s.id, values), false
		}
	}
	n := seen[0].n
	if seen[0].fresh {
		n = 0
	}
	switch {
	case n > s.tried:
		return fmt.Sprintf("session %s has %d after %d requests", s.id, n, s.tried), false
	case n >= s.sure:
		return "", false
	case r.o.consistency == "strict":
		return fmt.Sprintf("session %s has %d, and %d was acknowledged", s.id, n, s.sure), false
	case !forks[key(s.id)]:
		return fmt.Sprintf("session %s has %d, %d was acknowledged, and no node says that it was forked", s.id, n, s.sure), false
	}
	return "", true
}

// ended judges a session whose end was acknowledged, or is in doubt.
func (r *report) ended(s *session, seen []answer) string {
	alive := 0
	for _, a := range seen {
		if !a.fresh {
			alive++
		}
	}
	if s.dead && alive > 0 {
		return fmt.Sprintf("the invalidated session %s answers: %v", s.id, counts(seen))
	}
	if s.doubt && alive > 0 && alive < len(seen) {
		return fmt.Sprintf("session %s has ended on some nodes only: %v", s.id, counts(seen))
	}
	return ""
}

func counts(seen []answer) (out []int) {
	for _, a := range seen {
		n := a.n
		if a.fresh {
			n = 0
		}
		out = append(out, n)
	}
	return out
}

// key is the part of an id that the logs tell: its placement bytes, without the last
// character, which has bits of what follows.
func key(id string) string { return id[:min(len(id), 10)] }

// forkedSessions are those that some node's log calls so.
func forkedSessions(nodes []*node) map[string]bool {
	found := map[string]bool{}
	for _, x := range nodes {
		f, err := os.Open(filepath.Clean(x.log()))
		if err != nil {
			continue
		}
		for lines := bufio.NewScanner(f); lines.Scan(); {
			var line struct{ Msg, Session string }
			if strings.Contains(lines.Text(), "written on two nodes") && json.Unmarshal(lines.Bytes(), &line) == nil {
				found[key(line.Session)] = true
			}
		}
		f.Close()
	}
	return found
}

package demo

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// sample is what the nodes had counted at a time.
type sample struct {
	at    time.Time
	nodes []sums
	ids   []uint32
}

// row is a node as the table shows it.
type row struct {
	name        string
	state       nodeState
	pid         int
	sums        sums
	deltas      float64 // per second
	bytes       float64 // per second
	memory      int64   // resident, bytes; 0: not known
	rated, live bool
}

// picture is everything that the table shows.
type picture struct {
	url                       string
	rows                      []row
	requests, retried, failed uint64
	shoppers                  int
	checked, lost             uint64
	news                      []string
}

// sampler computes rates from looks.
type sampler struct{ samples []sample }

// picture is the demo as it is now.
func (s *sampler) picture(d *Demo, now time.Time) picture {
	p := picture{
		url: d.url, requests: d.balancer.requests.Load(), retried: d.balancer.retried.Load(), failed: d.balancer.failed.Load(),
		shoppers: d.opt.Shoppers, news: d.news.last(),
	}
	if d.shoppers != nil {
		p.checked, p.lost = d.shoppers.checked.Load(), d.shoppers.lost.Load()
	}
	next := sample{at: now}
	for _, n := range d.nodes {
		n.mu.Lock()
		r := row{name: n.name, state: n.state, sums: sum(&n.status), live: n.state == stateReady || n.state == stateJoining}
		if n.cmd != nil {
			r.pid = n.cmd.Process.Pid
		}
		next.nodes, next.ids = append(next.nodes, r.sums), append(next.ids, n.status.ID)
		n.mu.Unlock()
		r.memory = resident(r.pid)
		p.rows = append(p.rows, r)
	}
	s.samples = append(s.samples, next)
	for len(s.samples) > 2 && now.Sub(s.samples[1].at) >= rateOver {
		s.samples = s.samples[1:]
	}
	old := s.samples[0]
	if seconds := now.Sub(old.at).Seconds(); seconds > 0 {
		for i := range p.rows {
			r := &p.rows[i]
			if r.live && old.ids[i] == next.ids[i] {
				r.rated = true
				r.deltas = float64(r.sums.commits-old.nodes[i].commits) / seconds
				r.bytes = float64(r.sums.sent-old.nodes[i].sent) / seconds
			}
		}
	}
	return p
}

// resident is a process's memory, 0 where the system does not tell it this way.
func resident(pid int) int64 {
	if pid == 0 {
		return 0
	}
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(data))
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize())
}

// lines are the table as text.
func (p picture) lines(keys bool) []string {
	var b strings.Builder
	fmt.Fprintf(&b, "Serval demo: %d nodes, one shop, a sticky balancer        %s/shop/\n\n", len(p.rows), p.url)
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "NODE\tSTATE\tPID\tSESSIONS\tCOPIES\tDELTAS/S\tBYTES/S\tLAG\tMEMORY\t")
	for _, r := range p.rows {
		if !r.live {
			fmt.Fprintf(w, "%s\t%s\t%s\t-\t-\t-\t-\t-\t-\t\n", r.name, r.state, number(r.pid))
			continue
		}
		deltas, bytes := "-", "-"
		if r.rated {
			deltas, bytes = fmt.Sprintf("%.1f", r.deltas), size(int64(r.bytes))
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%s\t%s\t%s\t%s\t\n", r.name, r.state, number(r.pid), r.sums.home, r.sums.copies, deltas, bytes, size(int64(r.sums.lag)), memory(r.memory))
	}
	_ = w.Flush() // into memory
	fmt.Fprintf(&b, "\nrequests %d   retried at another node %d   failed %d", p.requests, p.retried, p.failed)
	if p.shoppers > 0 {
		fmt.Fprintf(&b, "\n%d shoppers   carts looked at %d   carts not as they were %d", p.shoppers, p.checked, p.lost)
	}
	b.WriteString("\n\n")
	for _, n := range p.news {
		b.WriteString(n + "\n")
	}
	if keys {
		fmt.Fprintf(&b, "\n1 to %d: kill a node, or revive it     q: end\n", len(p.rows))
	}
	return strings.Split(strings.TrimRight(b.String(), "\n"), "\n")
}

func number(n int) string {
	if n == 0 {
		return "-"
	}
	return strconv.Itoa(n)
}

func memory(n int64) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprintf("%d MiB", n>>20)
}

// size is a number of bytes for people.
func size(n int64) string {
	switch {
	case n < 10<<10:
		return strconv.FormatInt(n, 10)
	case n < 10<<20:
		return strconv.FormatInt(n>>10, 10) + " KiB"
	}
	return strconv.FormatInt(n>>20, 10) + " MiB"
}

package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/serval-server/serval/cluster"
)

// clusterView is what all nodes say of themselves, as a person reads it.
type clusterView struct {
	nodes []cluster.Status
	// before is what they said the time elapsed earlier, for rates; nil: none.
	before  []cluster.Status
	elapsed time.Duration
	now     time.Time // for the days that certificates have left
}

// String is the view as text.
func (v clusterView) String() string {
	parts := []string{v.nodeTable(), v.appTable(), v.linkTable(), v.healthTable()}
	if len(v.nodes) > 0 {
		parts = append(parts, cacheTable(v.nodes[0].Caches))
	}
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), "\n")
}

// nodeTotals sums up what a node says.
type nodeTotals struct {
	home, copies            int
	commits, forks, degrade uint64
	sent, received, queued  uint64
	lagging                 []string
}

func totals(n *cluster.Status) (t nodeTotals) {
	for i := range n.Apps {
		a := &n.Apps[i]
		t.home, t.copies = t.home+a.Home, t.copies+a.Copies
		t.commits, t.forks = t.commits+a.Counters.Commits, t.forks+a.Counters.Forks
		t.degrade += a.Counters.Degraded
	}
	for _, m := range n.Members {
		t.sent, t.received, t.queued = t.sent+m.Sent, t.received+m.Received, max(t.queued, uint64(m.Queued))
		if m.Lagging {
			t.lagging = append(t.lagging, m.Name)
		}
	}
	return t
}

// state is a node's state in a word.
func state(n *cluster.Status) string {
	switch {
	case n.Error != "":
		return "NO ANSWER"
	case n.Draining:
		return "DRAINING"
	case !n.Ready:
		return "JOINING"
	}
	return "READY"
}

func (v clusterView) nodeTable() string {
	return table(func(w *tabwriter.Writer) {
		head := "NODE\tZONE\tADDRESS\tSTATE\tHOME\tCOPIES\tCOMMITS\tDEGRADED\tFORKS\tLAG\tSENT\tRECEIVED"
		if v.before != nil {
			head += "\tCOMMITS/S\tBYTES/S"
		}
		fmt.Fprintln(w, head)
		for i := range v.nodes {
			n := &v.nodes[i]
			if n.Error != "" {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s%s\n", n.Node, dash(n.Zone), dash(n.Address), state(n), strings.Repeat("\t-", strings.Count(head, "\t")-3))
				continue
			}
			t := totals(n)
			lag := bytesOf(t.queued)
			if len(t.lagging) > 0 {
				lag += " (" + strings.Join(t.lagging, ", ") + ")"
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%s\t%s\t%s", n.Node, dash(n.Zone), n.Address, state(n),
				t.home, t.copies, t.commits, t.degrade, t.forks, lag, bytesOf(t.sent), bytesOf(t.received))
			if v.before != nil {
				fmt.Fprint(w, "\t", v.rates(n, t))
			}
			fmt.Fprintln(w)
		}
	}) + v.problems()
}

// rates are a node's commits and bytes per second.
func (v clusterView) rates(n *cluster.Status, now nodeTotals) string {
	i := slices.IndexFunc(v.before, func(o cluster.Status) bool { return o.Node == n.Node && o.ID == n.ID && o.Error == "" })
	if i < 0 || v.elapsed <= 0 {
		return "-\t-"
	}
	then, seconds := totals(&v.before[i]), v.elapsed.Seconds()
	return fmt.Sprintf("%.0f\t%s", float64(now.commits-min(then.commits, now.commits))/seconds,
		bytesOf(uint64(float64(now.sent-min(then.sent, now.sent))/seconds)))
}

// problems says why nodes did not answer.
func (v clusterView) problems() string {
	var b strings.Builder
	for i := range v.nodes {
		if n := &v.nodes[i]; n.Error != "" {
			fmt.Fprintf(&b, "%s: %s\n", n.Node, n.Error)
		}
	}
	return b.String()
}

// appView is an application over all nodes.
type appView struct {
	cluster.AppStatus
	nodes           []string
	sessions        int
	epoch           uint32
	forks, claims   uint64
	inStep, partial bool
	copying         bool // some node makes copies for others
}

// apps joins what the nodes say of each application, by key.
func (v clusterView) apps() []appView {
	var out []appView
	for i := range v.nodes {
		n := &v.nodes[i]
		for _, a := range n.Apps {
			j := slices.IndexFunc(out, func(o appView) bool { return o.Key == a.Key })
			if j < 0 {
				j = len(out)
				out = append(out, appView{AppStatus: a, inStep: true})
			}
			o := &out[j]
			o.nodes = append(o.nodes, n.Node)
			o.sessions += a.Home
			o.epoch = max(o.epoch, a.MaxEpoch)
			o.forks, o.claims = o.forks+a.Counters.Forks, o.claims+a.Counters.Claims
			o.inStep = o.inStep && slices.Equal(o.Digests, a.Digests)
			o.partial = o.partial || !a.Level
			o.copying = o.copying || a.Copying
		}
	}
	slices.SortFunc(out, func(a, b appView) int { return cmp.Compare(a.Key, b.Key) })
	return out
}

func (v clusterView) appTable() string {
	apps := v.apps()
	if len(apps) == 0 {
		return "no application keeps its sessions in the cluster\n"
	}
	return table(func(w *tabwriter.Writer) {
		fmt.Fprintln(w, "APPLICATION\tCACHE\tMODE\tOWNERS\tACK\tGRANULARITY\tREPLICATION\tSESSIONS\tEPOCH\tCLAIMS\tFORKS\tIN STEP\tNODES")
		for i := range apps {
			a := &apps[i]
			owners, replication := "all", "on"
			if a.Owners > 0 && a.Mode == cluster.ModeDIST {
				owners = strconv.Itoa(a.Owners)
			}
			if !a.Replicating {
				replication = "OFF"
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%d\t%d\t%d\t%s\t%s\n", a.Key, a.Cache, a.Mode, owners, a.Ack, a.Granularity,
				replication, a.sessions, a.epoch, a.claims, a.forks, a.step(), strings.Join(a.nodes, " "))
		}
	})
}

// step says whether the nodes that run the application have the same sessions, or what
// they are about. With DIST no two nodes have.
func (a *appView) step() string {
	switch {
	case a.partial:
		return "joining"
	case a.inStep && a.Mode != cluster.ModeDIST:
		return "yes"
	case a.copying:
		return "copying"
	case a.Mode == cluster.ModeDIST:
		return "-"
	}
	return "no"
}

func (v clusterView) linkTable() string {
	if !slices.ContainsFunc(v.nodes, func(n cluster.Status) bool { return len(n.Members) > 0 }) {
		return ""
	}
	return table(func(w *tabwriter.Writer) {
		fmt.Fprintln(w, "LINK\tSTATE\tRTT\tQUEUED\tSENT\tRECEIVED")
		for i := range v.nodes {
			n := &v.nodes[i]
			for _, m := range n.Members {
				state := "connected"
				switch {
				case !m.Connected:
					state = "CUT"
				case m.Lagging:
					state = "LAGGING"
				}
				fmt.Fprintf(w, "%s > %s\t%s\t%s\t%s\t%s\t%s\n", n.Node, m.Name, state, shortDuration(m.RTT), bytesOf(uint64(m.Queued)), bytesOf(m.Sent), bytesOf(m.Received))
			}
		}
	})
}

// healthTable says how well the nodes see each other.
func (v clusterView) healthTable() string {
	if !slices.ContainsFunc(v.nodes, func(n cluster.Status) bool { return n.Error == "" }) {
		return ""
	}
	return table(func(w *tabwriter.Writer) {
		fmt.Fprintln(w, "HEALTH\tDEATHS\tCRASHES\tFALSE ALARMS\tRETURNS\tSUSPICIONS\tPAUSES\tCERTIFICATE")
		for i := range v.nodes {
			n := &v.nodes[i]
			if n.Error != "" {
				continue
			}
			h := n.Health
			fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%s\n", n.Node, h.Deaths, h.Crashes, h.FalseAlarms, h.Returns, h.Suspicions, h.Pauses, v.daysLeft(n.CertificateEnds))
		}
	})
}

// daysLeft is for how many whole days a certificate is still good.
func (v clusterView) daysLeft(end time.Time) string {
	left := end.Sub(v.now)
	switch days := int(left / (24 * time.Hour)); {
	case end.IsZero():
		return "-"
	case left <= 0:
		return "ENDED " + end.UTC().Format(time.DateOnly)
	case days == 1:
		return "1 day left"
	default:
		return strconv.Itoa(days) + " days left"
	}
}

// cacheTable lists the settings of caches.
func cacheTable(caches []cluster.CacheStatus) string {
	return table(func(w *tabwriter.Writer) {
		fmt.Fprintln(w, "CACHE\tMODE\tOWNERS\tACK\tACK TIMEOUT\tON TIMEOUT\tMISROUTE\tCONSISTENCY\tEPOCH")
		for i := range caches {
			c := &caches[i]
			fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\t%d\n", c.Name, c.Mode, c.Owners, c.Ack, c.AckTimeout, c.OnTimeout, c.Misroute, c.Consistency, c.Epoch)
		}
	})
}

// shortDuration is a round trip time for people.
func shortDuration(d time.Duration) string {
	if d <= 0 {
		return "-"
	}
	return d.Round(10 * time.Microsecond).String()
}

// bytesOf is a number of bytes for people.
func bytesOf(n uint64) string {
	switch {
	case n < 10<<10:
		return strconv.FormatUint(n, 10) + " B"
	case n < 10<<20:
		return fmt.Sprintf("%.0f KiB", float64(n)/(1<<10))
	case n < 10<<30:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
}

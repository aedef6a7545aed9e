package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/serval-server/serval/cluster"
	"github.com/serval-server/serval/server/control"
)

// clusterCmd is serval cluster.
type clusterCmd struct {
	Init   clusterInitCmd   `cmd:"" help:"Make a new cluster's authority, which its nodes' certificates come from."`
	Enroll clusterEnrollCmd `cmd:"" help:"Make a node's certificate."`
	Status clusterStatusCmd `cmd:"" help:"Show the nodes, their applications and sessions, as all nodes tell it."`
	Cache  clusterCacheCmd  `cmd:"" help:"Show a cache's settings, or change them on all nodes while they run."`
}

// clusterStatusCmd is serval cluster status.
type clusterStatusCmd struct {
	home
	JSON     bool          `name:"json" help:"Print a JSON array with an object for each node."`
	Watch    bool          `short:"w" help:"Show it again and again, with rates, until Ctrl-C."`
	Interval time.Duration `help:"Time between two looks with --watch." default:"1s" placeholder:"DURATION"`
}

// Help is what --help adds.
func (clusterStatusCmd) Help() string {
	return `Any node can be asked: it asks the others. A node that is known and does not answer
is shown as such. HOME counts the sessions that a node serves, COPIES those that it keeps for
others; LAG is what waits to be sent to the slowest peer. IN STEP says whether all nodes know
the same versions of an application's sessions just now, or that a node is joining, or that
copies are on their way.`
}

// Run shows the cluster.
func (c *clusterStatusCmd) Run(e *env) error {
	client, err := c.client(e)
	if err != nil {
		return err
	}
	if c.Watch {
		return c.watch(e, client)
	}
	nodes, err := client.Cluster(e.ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		return e.json(nodes)
	}
	e.printf("%s", clusterView{nodes: nodes, now: time.Now()}.String())
	return nil
}

// watch shows the cluster until a signal comes.
func (c *clusterStatusCmd) watch(e *env, client *control.Client) error {
	if c.Interval < 100*time.Millisecond {
		return fmt.Errorf("--interval %s is too short: at least 100ms", c.Interval)
	}
	ctx, stop := signal.NotifyContext(e.ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	tick := time.NewTicker(c.Interval)
	defer tick.Stop()
	v := clusterView{}
	for last := time.Now(); ; {
		nodes, err := client.Cluster(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		case c.JSON:
			if err := e.json(nodes); err != nil {
				return err
			}
		default:
			now := time.Now()
			v = clusterView{nodes: nodes, before: v.nodes, elapsed: now.Sub(last), now: now}
			last = now
			if isTerminal(e.Stdout) {
				e.printf("\x1b[H\x1b[2J")
			}
			e.printf("%s\n", v.String())
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// clusterCacheCmd is serval cluster cache.
type clusterCacheCmd struct {
	home
	Name        string        `arg:"" optional:"" help:"Name of the [[cache]] (default: show all)."`
	Mode        string        `help:"REPL: every node has every session. DIST: its home and owners-1 others." placeholder:"MODE"`
	Owners      *int          `help:"Copies of a session with DIST, the home's included." placeholder:"N"`
	Ack         string        `help:"Who must have a change before it is answered: none, one, quorum or all other owners." placeholder:"ACK"`
	AckTimeout  time.Duration `help:"How long that is waited for." placeholder:"DURATION"`
	OnTimeout   string        `help:"What then: degrade (answer, and count it) or fail (503)." placeholder:"WHAT"`
	Misroute    string        `help:"Requests at another node than the session's home: forward them, or claim the session." placeholder:"WHAT"`
	Consistency string        `help:"What a partition costs: available (forks are joined and counted) or strict (503)." placeholder:"WHAT"`
	JSON        bool          `name:"json" help:"Print JSON."`
}

// Help is what --help adds.
func (clusterCacheCmd) Help() string {
	return `Without flags it shows the settings. A change takes effect on all nodes at once, without a
restart, and is kept in the data folder of each: it then counts more than conf/server.toml.`
}

// Run shows or changes a cache.
func (c *clusterCacheCmd) Run(e *env) error {
	client, err := c.client(e)
	if err != nil {
		return err
	}
	change := c.change()
	if change == (cluster.CacheChange{}) {
		return c.show(e, client)
	}
	if c.Name == "" {
		return errors.New("say which cache to change: serval cluster cache NAME --ack all")
	}
	now, err := client.SetCache(e.ctx, control.CacheRequest{Name: c.Name, Change: change})
	if err != nil {
		return err
	}
	if c.JSON {
		return e.json(now)
	}
	e.printf("%s", cacheTable([]cluster.CacheStatus{now}))
	return nil
}

// change is what the flags ask for.
func (c *clusterCacheCmd) change() cluster.CacheChange {
	ch := cluster.CacheChange{
		Mode: given(cluster.Mode(strings.ToUpper(c.Mode))), Owners: c.Owners, Ack: given(cluster.Ack(c.Ack)),
		AckTimeout: given(c.AckTimeout), OnTimeout: given(cluster.OnTimeout(c.OnTimeout)),
		Misroute: given(cluster.Misroute(c.Misroute)), Consistency: given(cluster.Consistency(c.Consistency)),
	}
	return ch
}

// given is nil for a flag that was not given.
func given[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

// show prints the settings as the asked node has them.
func (c *clusterCacheCmd) show(e *env, client *control.Client) error {
	status, err := client.Status(e.ctx)
	if err != nil {
		return err
	}
	nodes, err := client.Cluster(e.ctx)
	if err != nil {
		return err
	}
	var caches []cluster.CacheStatus
	var names []string
	for _, n := range nodes {
		if n.Node != status.Node {
			continue
		}
		for _, k := range n.Caches {
			names = append(names, k.Name)
			if c.Name == "" || k.Name == c.Name {
				caches = append(caches, k)
			}
		}
	}
	if len(caches) == 0 && c.Name != "" {
		return fmt.Errorf("no cache %q; there are %s", c.Name, strings.Join(names, ", "))
	}
	if c.JSON {
		return e.json(caches)
	}
	e.printf("%s", cacheTable(caches))
	return nil
}

// replicationCmd is serval replication.
type replicationCmd struct {
	home
	hostFlag
	Switch string        `arg:"" enum:"on,off" help:"on or off."`
	App    string        `arg:"" optional:"" help:"Context path, such as /shop, / for ROOT (default: all applications)."`
	Wait   time.Duration `help:"How long to wait, when it is switched on, until the copies are made; 0: not at all." default:"1m" placeholder:"DURATION"`
}

// Help is what --help adds.
func (replicationCmd) Help() string {
	return `It counts on all nodes, at once, without a restart. Off: sessions are served where they are,
and nobody else hears of their changes, so a node that dies takes its own with it. On again:
every session is sent once, then its changes; the command ends when the others have them all.`
}

// Run switches replication.
func (c *replicationCmd) Run(e *env) error {
	client, err := c.client(e)
	if err != nil {
		return err
	}
	if err := client.SetReplication(e.ctx, control.ReplicationRequest{Host: c.Host, Path: c.App, On: c.Switch == "on"}); err != nil {
		return err
	}
	what := c.App
	if what == "" {
		what = "all applications"
	}
	e.printf("replication of %s is now %s, on all nodes\n", what, c.Switch)
	if c.Switch == "off" || c.Wait <= 0 {
		return nil
	}
	return c.awaitCopies(e, client.Cluster)
}

// awaitCopies waits until all nodes say that others have copies of what they have, and
// shows meanwhile which do not.
func (c *replicationCmd) awaitCopies(e *env, status func(context.Context) ([]cluster.Status, error)) error {
	ctx, cancel := context.WithTimeout(e.ctx, c.Wait)
	defer cancel()
	var waiting []string
	for began, printed := time.Now(), time.Now(); ; {
		nodes, err := status(ctx)
		if err != nil && ctx.Err() == nil {
			return err
		}
		if err == nil {
			if waiting = cluster.Unsettled(nodes); len(waiting) == 0 {
				e.printf("all copies are made, after %s\n", time.Since(began).Round(time.Millisecond))
				return nil
			}
		}
		if time.Since(printed) >= time.Second {
			printed = time.Now()
			e.printf("copies are being made by %s\n", strings.Join(waiting, ", "))
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("copies are still being made by %s after %s: serval cluster status shows how they get on", strings.Join(waiting, ", "), c.Wait)
		}
	}
}

// drainCmd is serval drain.
type drainCmd struct{ home }

// Help is what --help adds.
func (drainCmd) Help() string {
	return `The node says that it is not ready (health check), hands every session that is at home on it
over to another node, and goes on serving what still comes by forwarding it. Stopping it
(SIGTERM) does the same by itself; this is for looking on, or for a machine that must be
empty before somebody touches it. A drained node takes sessions again when it is restarted.`
}

// Run drains the node.
func (c *drainCmd) Run(e *env) error {
	client, err := c.client(e)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(e.ctx)
	defer cancel()
	terminal := isTerminal(e.Stdout)
	first, began, printed := -1, time.Now(), time.Time{}
	err = client.Drain(ctx, func(left int) {
		if first < 0 {
			first = left
		}
		switch {
		case terminal:
			e.printf("\r\x1b[K%d of %d sessions left", left, first)
		case time.Since(printed) >= time.Second:
			printed = time.Now()
			e.printf("%d of %d sessions left\n", left, first)
		}
	})
	if terminal && first >= 0 {
		e.printf("\r\x1b[K")
	}
	if err != nil {
		return err
	}
	e.printf("drained: %d sessions handed over in %s; the node can be stopped\n", max(first, 0), time.Since(began).Round(time.Millisecond))
	return nil
}

// table writes rows of cells in columns.
func table(rows func(w *tabwriter.Writer)) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	rows(w)
	_ = w.Flush() // into memory
	lines := strings.Split(b.String(), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}

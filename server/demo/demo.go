package demo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// Options say what the demo is like.
type Options struct {
	// Nodes is how many there are: 2 to 9, so that each has a key. Zero is 3.
	Nodes int
	// Address is the balancer's, "localhost:8080" if empty.
	Address string
	// Shoppers fill carts through the balancer; zero is none.
	Shoppers int
	// Program is the serval that nodes run, with the arguments before "run";
	// the running program if empty. Its applications must have "shop" linked in.
	Program []string
	// Env is added to the environment of the nodes.
	Env []string
	// Stdout gets the table or the lines, os.Stdout if nil. There is a table if
	// it and the standard input are a terminal.
	Stdout io.Writer
	// Dir is where the homes are made, in a folder that is removed at the end;
	// the system's temporary folder if empty.
	Dir string
}

func (o Options) withDefaults() (Options, error) {
	o.Nodes = cmp.Or(o.Nodes, 3)
	if o.Nodes < 2 || o.Nodes > 9 {
		return o, fmt.Errorf("--nodes %d: a demo has 2 to 9 nodes", o.Nodes)
	}
	if o.Shoppers < 0 || o.Shoppers > 200 {
		return o, fmt.Errorf("--shoppers %d: 0 to 200", o.Shoppers)
	}
	o.Address = cmp.Or(o.Address, "localhost:8080")
	if o.Stdout == nil {
		o.Stdout = os.Stdout
	}
	if len(o.Program) == 0 {
		self, err := os.Executable()
		if err != nil {
			return o, err
		}
		o.Program = []string{self}
	}
	return o, nil
}

// Demo is a demo that runs.
type Demo struct {
	opt      Options
	dir      string
	nodes    []*node
	balancer *balancer
	front    *http.Server
	url      string
	shoppers *shoppers
	stop     context.CancelFunc
	tasks    sync.WaitGroup
	news     *news
}

// Start makes the homes and starts the nodes. It returns when all of them are ready;
// progress, which may be nil, hears of what happens until then and later.
func Start(ctx context.Context, o Options, progress func(line string)) (*Demo, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	// The one port that is not free to choose comes first: it is what may fail.
	listener, err := net.Listen("tcp", o.Address)
	if err != nil {
		return nil, fmt.Errorf("the balancer's address %s cannot be used (choose another with --http :9090): %w", o.Address, err)
	}
	d := &Demo{opt: o, news: newNews(progress)}
	run, stop := context.WithCancel(context.Background())
	d.stop = stop
	if err := d.start(ctx, run, listener); err != nil {
		return nil, errors.Join(err, listener.Close(), d.Close())
	}
	return d, nil
}

func (d *Demo) start(ctx, run context.Context, listener net.Listener) error {
	dir, err := os.MkdirTemp(d.opt.Dir, "serval-demo-")
	if err != nil {
		return err
	}
	d.dir = dir
	if d.nodes, err = makeNodes(dir, d.opt); err != nil {
		return err
	}
	d.balancer = newBalancer(d.nodes)
	d.url = "http://" + displayAddress(d.opt.Address, listener.Addr())
	d.front = &http.Server{Handler: d.balancer, ReadHeaderTimeout: 20 * time.Second, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)}
	d.tasks.Go(func() { _ = d.front.Serve(listener) }) // ends with Close
	for _, n := range d.nodes {
		if err := d.launch(n); err != nil {
			return err
		}
	}
	d.tasks.Go(func() { d.watch(run) })
	for _, n := range d.nodes {
		if err := n.await(ctx, stateReady, startTimeout); err != nil {
			return err
		}
	}
	d.shoppers = startShoppers(run, d.url, d.opt.Shoppers, d.news)
	return nil
}

// startTimeout is how long a node may take to be ready.
const startTimeout = 60 * time.Second

// displayAddress is how a person reaches the balancer.
func displayAddress(asked string, got net.Addr) string {
	host, _, _ := net.SplitHostPort(asked)
	_, port, _ := net.SplitHostPort(got.String())
	if ip := net.ParseIP(host); host == "" || ip != nil && (ip.IsUnspecified() || ip.IsLoopback()) {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}

// URL is where the balancer is, without a slash at the end.
func (d *Demo) URL() string { return d.url }

// launch starts a node's process, and waits for it in the background.
func (d *Demo) launch(n *node) error {
	ended, err := n.launch(d.opt)
	if err != nil {
		return err
	}
	d.tasks.Go(func() {
		if line := n.bury(<-ended); line != "" {
			d.news.add(line)
		}
	})
	return nil
}

// Kill ends a node, by number from 1, with SIGKILL: it cannot say goodbye.
func (d *Demo) Kill(number int) error {
	n, err := d.node(number)
	if err != nil {
		return err
	}
	if !n.kill() {
		return fmt.Errorf("%s does not run", n.name)
	}
	d.news.add(n.name + " is killed (SIGKILL)")
	return nil
}

// Revive starts a node again that was killed. It does not wait until it is ready.
func (d *Demo) Revive(number int) error {
	n, err := d.node(number)
	if err != nil {
		return err
	}
	if n.running() {
		return fmt.Errorf("%s runs", n.name)
	}
	d.news.add(n.name + " starts again")
	return d.launch(n)
}

// Toggle kills a node that runs and revives one that does not.
func (d *Demo) Toggle(number int) error {
	n, err := d.node(number)
	if err != nil {
		return err
	}
	if n.running() {
		return d.Kill(number)
	}
	return d.Revive(number)
}

// Await waits until a node is ready, or the context ends.
func (d *Demo) Await(ctx context.Context, number int) error {
	n, err := d.node(number)
	if err != nil {
		return err
	}
	return n.await(ctx, stateReady, startTimeout)
}

func (d *Demo) node(number int) (*node, error) {
	if number < 1 || number > len(d.nodes) {
		return nil, fmt.Errorf("there is no node %d: 1 to %d", number, len(d.nodes))
	}
	return d.nodes[number-1], nil
}

// Close ends the nodes and the balancer, and removes what they wrote.
func (d *Demo) Close() error {
	d.stop()
	if d.shoppers != nil {
		d.shoppers.wait()
	}
	var errs []error
	if d.front != nil {
		errs = append(errs, d.front.Close())
	}
	for _, n := range d.nodes {
		n.kill()
	}
	d.tasks.Wait()
	if d.balancer != nil {
		d.balancer.close()
	}
	if d.dir != "" {
		errs = append(errs, os.RemoveAll(d.dir))
	}
	return errors.Join(errs...)
}

// news are the last things that happened.
type news struct {
	tell func(string)

	mu    sync.Mutex
	lines []string // guarded by mu
}

const newsLines = 6

func newNews(tell func(string)) *news { return &news{tell: tell} }

func (n *news) add(line string) {
	line = time.Now().Format("15:04:05") + "  " + line
	n.mu.Lock()
	n.lines = append(n.lines, line)
	n.lines = n.lines[max(0, len(n.lines)-newsLines):]
	n.mu.Unlock()
	if n.tell != nil {
		n.tell(line)
	}
}

func (n *news) last() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]string(nil), n.lines...)
}

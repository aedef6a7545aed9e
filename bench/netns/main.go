// Command netns runs a cluster on a network of its own, in which links can be cut,
// and does to it under load what networks and machines do: partitions, one-way cuts,
// kill -9, pauses, restarts, in an order that a seed fixes. Its clients know
// what was acknowledged to them. Then it lets everything heal, and looks:
//
//   - all owners of each session have the same, within 10 s;
//   - no invalidated session answers on any node;
//   - strict: nothing that was acknowledged is lost, at no time;
//   - available: only sessions lose that the nodes have logged as written on two
//     sides of a cut, and these at most what one side wrote.
//
// An update may be lost if all nodes that acknowledged it have lost their memory: when
// a node is killed while another fault is on, or has been a moment ago, sessions
// need only have what they had when everything was last well.
//
//	go run ./bench/netns -duration 10m -consistency strict
//	go run ./bench/netns -duration 60s                       both profiles, half each
//
// Each node is a real server in a network namespace, joined by a bridge; links are cut by
// nftables in the namespaces. It needs root, ip (iproute2) and nft; nothing outside
// the namespaces is changed but the bridge, which is removed at the end. The exit
// status is 1 if a promise was broken.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// options are what a run is to be like.
type options struct {
	duration    time.Duration
	consistency string
	ack         string
	nodes       int
	owners      int
	sessions    int
	clients     int
	seed        uint64
	serval      string // the program; "": it is built
	lasting     bool   // no process ends
	keep        bool   // the homes, with the logs
	progress    io.Writer
}

func main() {
	o := options{progress: os.Stderr}
	flag.DurationVar(&o.duration, "duration", time.Minute, "how long faults are made, of all profiles together")
	flag.StringVar(&o.consistency, "consistency", "available,strict", "profiles, comma-separated")
	flag.StringVar(&o.ack, "ack", "one", "ack policy")
	flag.IntVar(&o.nodes, "nodes", 5, "nodes")
	flag.IntVar(&o.owners, "owners", 3, "owners of a session")
	flag.IntVar(&o.sessions, "sessions", 200, "sessions that are used")
	flag.IntVar(&o.clients, "clients", 12, "requests at a time")
	flag.Uint64Var(&o.seed, "seed", rand.Uint64()%1e6, "seed of the faults")
	flag.StringVar(&o.serval, "serval", "", "the program (default: build it)")
	flag.BoolVar(&o.lasting, "lasting", false, "cut and pause only: no process ends")
	flag.BoolVar(&o.keep, "keep", false, "keep the nodes' homes and logs")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	broken, err := runAll(ctx, o)
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "netns:", err)
		os.Exit(2)
	case len(broken) > 0:
		os.Exit(1)
	}
}

// possible says what keeps this machine from running it, nil if nothing does.
func possible() error {
	if os.Getuid() != 0 {
		return errors.New("only root can make network namespaces")
	}
	for _, name := range []string{"ip", "nft"} {
		if _, err := exec.LookPath(name); err != nil {
			return fmt.Errorf("%w: install iproute2 and nftables", err)
		}
	}
	if out, err := exec.Command("unshare", "--net", "true").CombinedOutput(); err != nil {
		return fmt.Errorf("no network namespaces here: %s: %w", out, err)
	}
	return nil
}

// runAll runs each profile and returns what was broken.
func runAll(ctx context.Context, o options) (broken []string, err error) {
	if err := possible(); err != nil {
		return nil, err
	}
	if o.owners > o.nodes || o.nodes > 9 || o.nodes < 2 {
		return nil, fmt.Errorf("%d nodes with %d owners: 2 to 9 nodes, no more owners than nodes", o.nodes, o.owners)
	}
	tmp, err := os.MkdirTemp("", "serval-netns-")
	if err != nil {
		return nil, err
	}
	if !o.keep {
		defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	}
	root, err := moduleRoot()
	if err != nil {
		return nil, err
	}
	if o.serval == "" {
		o.serval = filepath.Join(tmp, "serval")
		build := exec.CommandContext(ctx, "go", "build", "-o", o.serval, ".")
		build.Dir = root
		if out, err := build.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("building the server: %s: %w", out, err)
		}
	}
	profiles := strings.Split(o.consistency, ",")
	o.duration /= time.Duration(len(profiles))
	for _, p := range profiles {
		one := o
		one.consistency = strings.TrimSpace(p)
		r, err := run(ctx, one, root, filepath.Join(tmp, one.consistency))
		if err != nil {
			return broken, fmt.Errorf("%s, seed %d: %w", one.consistency, o.seed, err)
		}
		fmt.Fprint(o.progress, r.String())
		broken = append(broken, r.broken...)
		if len(r.broken) > 0 && o.keep {
			fmt.Fprintf(o.progress, "logs: %s\n", filepath.Join(tmp, one.consistency))
		}
	}
	return broken, nil
}

func moduleRoot() (string, error) {
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", err
	}
	mod := strings.TrimSpace(string(out))
	if filepath.Base(mod) != "go.mod" {
		return "", errors.New("run this command inside the module")
	}
	return filepath.Dir(mod), nil
}

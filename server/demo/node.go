package demo

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/serval-server/serval/cluster"
	"github.com/serval-server/serval/cluster/identity"
	"github.com/serval-server/serval/server/connector"
	"github.com/serval-server/serval/server/control"
)

//go:embed all:bundle
var bundle embed.FS

// nodeState is what a person is told of a node.
type nodeState string

const (
	stateStarting nodeState = "STARTING"
	stateJoining  nodeState = "JOINING"
	stateReady    nodeState = "READY"
	stateKilled   nodeState = "KILLED"
	stateFailed   nodeState = "FAILED" // it has ended by itself
)

// node is a node's home and, while it runs, its process.
type node struct {
	number  int
	name    string
	home    string
	control *control.Client

	mu      sync.Mutex
	state   nodeState      // guarded by mu
	changed chan struct{}  // guarded by mu; closed when state changes
	cmd     *exec.Cmd      // guarded by mu; nil: it does not run
	url     *url.URL       // guarded by mu; nil: not known yet
	status  cluster.Status // guarded by mu: what it said last
}

// makeNodes makes the homes of all nodes, with certificates of a new authority.
func makeNodes(dir string, o Options) ([]*node, error) {
	authority := filepath.Join(dir, "authority")
	if _, err := identity.InitCA(authority); err != nil {
		return nil, err
	}
	ports := make([]int, o.Nodes)
	for i := range ports {
		var err error
		if ports[i], err = freePort(); err != nil {
			return nil, err
		}
	}
	var nodes []*node
	for i := range o.Nodes {
		n := &node{number: i + 1, name: fmt.Sprintf("node%d", i+1), state: stateKilled, changed: make(chan struct{})}
		n.home = filepath.Join(dir, n.name)
		n.control = control.NewClient(filepath.Join(n.home, "run", "serval.sock"), connector.DialUnix)
		if err := n.furnish(i, ports); err != nil {
			return nil, err
		}
		if err := identity.Enroll(authority, n.name, filepath.Join(n.home, "conf", "cluster")); err != nil {
			return nil, err
		}
		nodes = append(nodes, n)
	}
	return nodes, nil
}

// freePort finds a port of TCP and UDP that nobody uses just now.
func freePort() (int, error) {
	var last error
	for range 20 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return 0, err
		}
		port := l.Addr().(*net.TCPAddr).Port
		p, err := net.ListenPacket("udp", l.Addr().String())
		if err == nil {
			return port, errors.Join(p.Close(), l.Close())
		}
		last = err
		_ = l.Close() // it was only to see whether it is free
	}
	return 0, fmt.Errorf("no free port for a node: %w", last)
}

// furnish writes the home: the shop and the configuration.
func (n *node) furnish(index int, ports []int) error {
	files, err := fs.Sub(bundle, "bundle")
	if err != nil {
		return err
	}
	if err := os.CopyFS(filepath.Join(n.home, "webapps", "shop"), files); err != nil {
		return err
	}
	var seeds []string
	for i, p := range ports {
		if i != index {
			seeds = append(seeds, strconv.Quote("127.0.0.1:"+strconv.Itoa(p)))
		}
	}
	conf := fmt.Sprintf(`[server]
node = %q
drain-timeout = "5s"
[log]
format = "json"
[[connectors]]
name = "http"
address = "127.0.0.1:0"
[valves.remote-ip]
enabled = true
[valves.access-log]
enabled = false
[valves.health]
enabled = true
[cluster]
enabled = true
address = "127.0.0.1:%d"
seeds = [%s]
`, n.name, ports[index], strings.Join(seeds, ", "))
	if err := os.MkdirAll(filepath.Join(n.home, "conf"), 0o750); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(n.home, "conf", "server.toml"), []byte(conf), 0o600)
}

// launch starts the process. What it ends with comes from the channel.
func (n *node) launch(o Options) (<-chan error, error) {
	log, err := os.OpenFile(n.logFile(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	args := append(o.Program[1:len(o.Program):len(o.Program)], "run", "--home", n.home)
	cmd := exec.Command(o.Program[0], args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), o.Env...)
	cmd.Env = append(cmd.Env, "SERVAL_HOME=")
	apart(cmd)
	err = errors.Join(cmd.Start(), log.Close())
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", n.name, err)
	}
	n.mu.Lock()
	n.cmd, n.url, n.status = cmd, nil, cluster.Status{}
	n.set(stateStarting)
	n.mu.Unlock()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }() // Demo.launch waits for it
	return ended, nil
}

func (n *node) logFile() string { return filepath.Join(n.home, "log") }

// set changes the state. The caller holds mu.
func (n *node) set(s nodeState) {
	if n.state != s {
		n.state = s
		close(n.changed)
		n.changed = make(chan struct{})
	}
}

// kill ends the process; false if there is none.
func (n *node) kill() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cmd == nil || n.state == stateKilled {
		return false
	}
	n.set(stateKilled)
	_ = n.cmd.Process.Kill() // it may have ended a moment ago
	return true
}

// bury notes that the process has ended, and returns a line about it if nobody
// had asked for that.
func (n *node) bury(err error) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cmd, n.url = nil, nil
	if n.state == stateKilled {
		return ""
	}
	n.set(stateFailed)
	return fmt.Sprintf("%s has ended: %v: %s", n.name, err, lastLine(n.logFile()))
}

// running reports whether there is a process.
func (n *node) running() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.cmd != nil
}

// await waits for a state.
func (n *node) await(ctx context.Context, want nodeState, most time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	for {
		n.mu.Lock()
		state, changed := n.state, n.changed
		n.mu.Unlock()
		switch {
		case state == want:
			return nil
		case state == stateFailed:
			return fmt.Errorf("%s has ended: %s", n.name, lastLine(n.logFile()))
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("%s is %s, not %s: %w: %s", n.name, state, want, ctx.Err(), lastLine(n.logFile()))
		}
	}
}

// lastLine is the end of a log, where the reason stands.
func lastLine(name string) string {
	data, err := os.ReadFile(name)
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	return lines[len(lines)-1]
}

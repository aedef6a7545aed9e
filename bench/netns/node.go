package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/serval-server/serval/server/connector"
	"github.com/serval-server/serval/server/control"
)

const (
	httpPort    = 18080
	clusterPort = 14000
)

// node is a server in its namespace.
type node struct {
	i      int
	net    *network
	serval string
	home   string

	cmd    *exec.Cmd
	ended  chan struct{} // closed when the process has ended
	paused bool
}

// makeNodes writes the nodes' homes and certificates.
func makeNodes(o options, n *network, root, dir string) ([]*node, error) {
	ca := filepath.Join(dir, "ca")
	if out, err := exec.Command(o.serval, "cluster", "init", "--dir", ca).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("serval cluster init: %s: %w", out, err)
	}
	var nodes []*node
	for i := 1; i <= o.nodes; i++ {
		x := &node{i: i, net: n, serval: o.serval, home: filepath.Join(dir, fmt.Sprintf("node%d", i))}
		var seeds []string
		for j := 1; j <= min(2, o.nodes); j++ {
			seeds = append(seeds, fmt.Sprintf("%q", fmt.Sprintf("%s:%d", n.address(j), clusterPort)))
		}
		conf := fmt.Sprintf(`[log]
format = "json"
[[connectors]]
name = "http"
address = "%[1]s:%[2]d"
[valves.access-log]
enabled = false
[valves.health]
enabled = true
[cluster]
enabled = true
address = "%[1]s:%[3]d"
seeds = [%[4]s]
[[cache]]
name = "default"
mode = "DIST"
owners = %[5]d
ack = %[6]q
consistency = %[7]q
`, n.address(i), httpPort, clusterPort, strings.Join(seeds, ", "), o.owners, o.ack, o.consistency)
		if err := os.CopyFS(filepath.Join(x.home, "webapps", "bench"), os.DirFS(filepath.Join(root, "bench", "home", "webapps", "bench"))); err != nil {
			return nil, err
		}
		if err := os.MkdirAll(filepath.Join(x.home, "conf"), 0o755); err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(x.home, "conf", "server.toml"), []byte(conf), 0o600); err != nil {
			return nil, err
		}
		enroll := exec.Command(o.serval, "cluster", "enroll", fmt.Sprintf("node%d", i), "--dir", ca, "--out", filepath.Join(x.home, "conf", "cluster"))
		if out, err := enroll.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("serval cluster enroll: %s: %w", out, err)
		}
		nodes = append(nodes, x)
	}
	return nodes, nil
}

// url is the base of the application's URLs.
func (x *node) url() string { return fmt.Sprintf("http://%s:%d", x.net.address(x.i), httpPort) }

func (x *node) log() string { return filepath.Join(x.home, "log") }

func (x *node) running() bool { return x.cmd != nil }

// start starts the process; it does not wait until the node is ready.
func (x *node) start() error {
	log, err := os.OpenFile(x.log(), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() // the process has it
	// ip replaces itself by the server, so that its process id is the server's.
	c := exec.Command("ip", "netns", "exec", x.net.space(x.i), x.serval, "run", "--home", x.home)
	c.Env = append(os.Environ(), fmt.Sprintf("BENCH_NODE=node%d", x.i))
	c.Stdout, c.Stderr = log, log
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := c.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() { _ = c.Wait(); close(ended) }() // end waits for it
	x.cmd, x.ended, x.paused = c, ended, false
	return nil
}

func (x *node) signal(s syscall.Signal) error {
	if err := syscall.Kill(x.cmd.Process.Pid, s); err != nil {
		return fmt.Errorf("node %d: %w", x.i, err)
	}
	return nil
}

// endWithin is more than a node takes to hand its sessions over (30 s, if nobody can
// take them), to wait for open requests (10 s), and to stop.
const endWithin = 75 * time.Second

// end ends the process and waits for it: SIGTERM asks, SIGKILL does not.
func (x *node) end(s syscall.Signal) error {
	if !x.running() {
		return nil
	}
	if x.paused {
		_ = x.signal(syscall.SIGCONT) // SIGTERM would wait for it
	}
	err := x.signal(s)
	select {
	case <-x.ended:
	case <-time.After(endWithin):
		err = errors.Join(err, fmt.Errorf("node %d does not end", x.i), x.signal(syscall.SIGKILL))
		<-x.ended
	}
	x.cmd, x.paused = nil, false
	return err
}

// died says that the process has ended by itself.
func (x *node) died() bool {
	if !x.running() {
		return false
	}
	select {
	case <-x.ended:
		return true
	default:
		return false
	}
}

// ready asks the node whether it is.
func (x *node) ready(ctx context.Context, client *http.Client) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, x.url()+"/health", nil)
	if err != nil {
		return false
	}
	res, err := client.Do(req)
	if err != nil {
		return false
	}
	res.Body.Close()
	return res.StatusCode == http.StatusOK
}

// control is the node's control socket.
func (x *node) control() *control.Client {
	return control.NewClient(filepath.Join(x.home, "run", "serval.sock"), connector.DialUnix)
}

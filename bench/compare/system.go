package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/serval-server/serval/bench/rig"
)

// system is one competitor in one configuration.
type system struct {
	name, about string
	nodes       int
	java        bool // it takes long to warm up
	start       func(ctx context.Context, b *bench) (*running, error)
	app         string // path of the application, /bench if empty
	cookie      string // name of the session cookie, JSESSIONID if empty
	// noSessions: only hello can be asked of it.
	noSessions bool
}

// running is a system that has been started.
type running struct {
	targets []string
	pids    func() string // of all processes that count, comma-separated
	stop    func()
	cluster *rig.Cluster // for what only clusters can: kill, join; nil if it is none
}

// missing is the error of a system that this machine cannot run.
type missing string

func (m missing) Error() string { return "missing: " + string(m) }

func servalCluster(n int, mode string, args ...string) func(context.Context, *bench) (*running, error) {
	return func(ctx context.Context, b *bench) (*running, error) {
		return clusterSystem(b.StartServal(ctx, n, append([]string{"--mode", mode}, args...)...))
	}
}

func tomcat(n int, args ...string) func(context.Context, *bench) (*running, error) {
	return func(ctx context.Context, b *bench) (*running, error) {
		home := os.Getenv("CATALINA_HOME")
		if home == "" {
			home = "/usr/share/tomcat10"
		}
		if _, err := os.Stat(filepath.Join(home, "bin", "bootstrap.jar")); err != nil {
			return nil, missing("Tomcat 10.1 (Debian: tomcat10, libtomcat10-java)")
		}
		if _, err := exec.LookPath("javac"); err != nil {
			return nil, missing("a JDK, for the application in Java")
		}
		return clusterSystem(b.StartCluster(ctx, filepath.Join(b.Shared, "tomcat-cluster.sh"), n, nil, args...))
	}
}

// systems are the competitors, floor first.
var systems = []system{
	{name: "net/http", about: "bare net/http server, the floor", nodes: 1, noSessions: true, start: startHello},
	{name: "linked", about: "Serval, one node, application linked in", nodes: 1, start: startServal("bench")},
	{name: "worker", about: "Serval, one node, application in a worker process", nodes: 1, app: "/bench-worker", start: startServal("bench-worker")},
	{name: "wasm", about: "Serval, one node, application in WebAssembly", nodes: 1, app: "/bench-wasm", start: startServal("bench-wasm")},
	{name: "repl-none", about: "Serval, 3 nodes, REPL, ack none", nodes: 3, start: servalCluster(3, "repl", "--ack", "none")},
	{name: "repl-one", about: "Serval, 3 nodes, REPL, ack one (default)", nodes: 3, start: servalCluster(3, "repl", "--ack", "one")},
	{name: "repl-all", about: "Serval, 3 nodes, REPL, ack all", nodes: 3, start: servalCluster(3, "repl", "--ack", "all")},
	{name: "dist-3", about: "Serval, 3 nodes, DIST with 2 owners", nodes: 3, start: servalCluster(3, "dist", "--owners", "2")},
	{name: "dist-6", about: "Serval, 6 nodes, DIST with 2 owners", nodes: 6, start: servalCluster(6, "dist", "--owners", "2")},
	{name: "tomcat", about: "Tomcat 10.1, one node", nodes: 1, java: true, start: tomcat(1, "--manager", "none")},
	{name: "tomcat-async", about: "Tomcat 10.1, 3 nodes, DeltaManager, asynchronous (its default)", nodes: 3, java: true, start: tomcat(3, "--send", "8")},
	{name: "tomcat-sync", about: "Tomcat 10.1, 3 nodes, DeltaManager, synchronous with acks", nodes: 3, java: true, start: tomcat(3, "--send", "6")},
	{name: "tomcat-backup", about: "Tomcat 10.1, 3 nodes, BackupManager", nodes: 3, java: true, start: tomcat(3, "--manager", "backup", "--send", "6")},
	{name: "redis-hash", about: "net/http, 3 nodes, hand-written sessions in Redis", nodes: 3, cookie: "session", start: startRedis("hash")},
	{name: "redis-scs", about: "net/http, 3 nodes, scs sessions in Redis", nodes: 3, cookie: "session", start: startRedis("scs-redis")},
	{name: "redis-gorilla", about: "net/http, 3 nodes, gorilla sessions in Redis", nodes: 3, cookie: "session", start: startRedis("gorilla")},
}

// clusterSystem is the cluster as a system that has been started.
func clusterSystem(c *rig.Cluster, err error) (*running, error) {
	if err != nil {
		return nil, err
	}
	return &running{targets: c.Targets, pids: c.Pids, stop: c.Stop, cluster: c}, nil
}

func startHello(ctx context.Context, b *bench) (*running, error) {
	return b.process(ctx, "http://127.0.0.1:18090", "/bench/hello", b.hello)
}

// startServal starts one node with one bundle, so that its memory is that of what
// is measured.
func startServal(bundle string) func(context.Context, *bench) (*running, error) {
	return func(ctx context.Context, b *bench) (*running, error) {
		home := filepath.Join(b.Tmp, "home-"+bundle)
		if _, err := os.Stat(home); err != nil { // else: its program is built already
			if err := os.CopyFS(filepath.Join(home, "webapps", bundle), os.DirFS(filepath.Join(b.Root, "bench", "home", "webapps", bundle))); err != nil {
				return nil, err
			}
		}
		// A restart keeps the sessions: those of the last round are not this one's memory.
		if err := os.RemoveAll(filepath.Join(home, "data")); err != nil {
			return nil, err
		}
		return b.process(ctx, "http://127.0.0.1:18081", "/"+bundle+"/hello", b.Serval, "run", "--home", home, "--http", "127.0.0.1:18081")
	}
}

// process starts one server and waits until it answers.
func (b *bench) process(ctx context.Context, url, path string, command ...string) (*running, error) {
	c := exec.Command(command[0], command[1:]...)
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	log, err := os.Create(filepath.Join(b.Tmp, filepath.Base(command[0])+".log"))
	if err != nil {
		return nil, err
	}
	c.Stdout, c.Stderr = log, log
	if err := c.Start(); err != nil {
		return nil, errors.Join(err, log.Close())
	}
	r := &running{targets: []string{url}, pids: func() string { return rig.Family(c.Process.Pid) }}
	r.stop = func() {
		_ = c.Process.Signal(syscall.SIGTERM)
		_ = c.Wait()
		_ = log.Close()
	}
	if err := rig.WaitFor(ctx, url+path, 3*time.Minute); err != nil {
		r.stop()
		return nil, err
	}
	return r, nil
}

func startRedis(mode string) func(context.Context, *bench) (*running, error) {
	return func(ctx context.Context, b *bench) (*running, error) {
		if _, err := exec.LookPath("redis-server"); err != nil {
			return nil, missing("redis-server (Debian: redis-server)")
		}
		var parts []*running
		stop := func() {
			for _, p := range parts {
				p.stop()
			}
		}
		redis := exec.Command("redis-server", "--port", "19190", "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", b.Tmp)
		if err := redis.Start(); err != nil {
			return nil, err
		}
		parts = append(parts, &running{stop: func() { _ = redis.Process.Kill(); _ = redis.Wait() },
			pids: func() string { return strconv.Itoa(redis.Process.Pid) }})
		if err := rig.WaitPort(ctx, "127.0.0.1:19190", 10*time.Second); err != nil {
			stop()
			return nil, err
		}
		r := &running{stop: stop}
		for i := 1; i <= 3; i++ {
			address := fmt.Sprintf("127.0.0.1:%d", 19180+i)
			p, err := b.process(ctx, "http://"+address, "/bench/hello", b.goredis, "-mode", mode, "-node", fmt.Sprintf("node%d", i), "-addr", address)
			if err != nil {
				stop()
				return nil, err
			}
			parts = append(parts, p)
			r.targets = append(r.targets, p.targets...)
		}
		r.pids = func() string {
			var all []string
			for _, p := range parts {
				all = append(all, p.pids())
			}
			return strings.Join(all, ",")
		}
		return r, nil
	}
}

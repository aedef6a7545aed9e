package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/serval-server/serval/cluster"
	"github.com/serval-server/serval/cluster/identity"
	"github.com/serval-server/serval/deploy"
	"github.com/serval-server/serval/webapp/servlet"
)

// counting counts in the session, and says who asked how and on which node.
var counting = servlet.App{Servlets: map[string]http.Handler{
	"count": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			servlet.Fail(w, r, err)
			return
		}
		n := 0
		if err := servlet.Update(servlet.SessionOf(r), "n", func(v int, _ bool) (int, error) { n = v + 1; return n, nil }); err != nil {
			servlet.Fail(w, r, err)
			return
		}
		node, _ := servlet.ContextOf(r).Attribute("serval.node").(string)
		fmt.Fprintf(w, "%d %s %s %s %q", n, node, r.RemoteAddr, r.Host, body)
	}),
}}

const countingTOML = `distributable = true
[[servlet]]
name = "count"
class = "count"
patterns = ["/count"]
[runtime]
app = "counting"
`

// clusterNode is a server of a cluster in this process.
type clusterNode struct {
	*Server
	w   *world
	url string
}

// newCluster makes servers that find each other, but does not start them.
func newCluster(t *testing.T, count int, extra string) []*clusterNode {
	t.Helper()
	if testing.Short() {
		t.Skip("it uses the network")
	}
	authority := t.TempDir()
	if _, err := identity.InitCA(authority); err != nil {
		t.Fatal(err)
	}
	var ports []string
	for range count {
		ports = append(ports, freeAddress(t))
	}
	var nodes []*clusterNode
	for i := range count {
		name := fmt.Sprintf("n%d", i+1)
		w := newWorld(t, fmt.Sprintf("[server]\nnode = %q\ndrain-timeout = \"10s\"\n[valves.health]\n[valves.access-log]\nenabled = false\n[cluster]\nenabled = true\naddress = %q\nseeds = [%s]\n%s",
			name, ports[i], `"`+strings.Join(ports, `", "`)+`"`, extra))
		w.write(t, "webapps/app/WEB-INF/web.toml", countingTOML)
		if err := identity.Enroll(authority, name, filepath.Join(w.home, "conf", "cluster")); err != nil {
			t.Fatal(err)
		}
		nodes = append(nodes, &clusterNode{w: w, Server: clusterServer(t, w)})
	}
	return nodes
}

func clusterServer(t *testing.T, w *world) *Server {
	t.Helper()
	cfg, err := w.load()
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(cfg, Options{Logger: slog.New(slog.DiscardHandler), Linked: map[string]servlet.App{"counting": counting}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// freeAddress is an address that was free for UDP and TCP a moment ago.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 20 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		p, err := net.ListenPacket("udp", l.Addr().String())
		l.Close()
		if err == nil {
			p.Close()
			return l.Addr().String()
		}
	}
	t.Fatal("no address is free for UDP and TCP")
	return ""
}

func (n *clusterNode) run(t *testing.T) {
	t.Helper()
	if err := n.Start(t.Context()); err != nil {
		t.Error(err)
		return
	}
	n.url = n.URLs()[0]
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := n.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
}

// startAll starts servers and waits until they are ready and see each other.
func startAll(t *testing.T, nodes ...*clusterNode) {
	t.Helper()
	var wg sync.WaitGroup
	for _, n := range nodes {
		wg.Go(func() { n.run(t) })
	}
	wg.Wait()
	await(t, "all nodes to be ready", func() bool {
		return !slices.ContainsFunc(nodes, func(n *clusterNode) bool {
			st := n.cluster.node.Status()
			return !n.Ready() || len(st.Members) < len(nodes)-1 || len(st.Apps) != 1 || len(st.Apps[0].Nodes) < len(nodes)
		})
	})
}

// await waits for a condition.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// user is a client with one cookie.
type user struct {
	t      *testing.T
	cookie string
}

// count asks for /app/count, and returns the number and the node that counted.
func (u *user) count(url, body string) (n int, node, rest string) {
	u.t.Helper()
	status, answer := u.ask(url, body)
	if status != http.StatusOK {
		u.t.Fatalf("%s: %d %s", url, status, answer)
	}
	var remote string
	if _, err := fmt.Sscanf(answer, "%d %s %s", &n, &node, &remote); err != nil {
		u.t.Fatalf("%q: %v", answer, err)
	}
	return n, node, answer
}

func (u *user) ask(url, body string) (int, string) {
	req, err := http.NewRequest(http.MethodPost, url+"/app/count", strings.NewReader(body))
	if err != nil {
		return 0, err.Error()
	}
	req.Host, req.Close = "shop.example", true
	req.Header.Set("X-Forwarded-For", "192.0.2.7")
	if u.cookie != "" {
		req.Header.Set("Cookie", "JSESSIONID="+u.cookie)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	for _, c := range res.Cookies() {
		if c.Name == "JSESSIONID" {
			u.cookie = c.Value
		}
	}
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err.Error()
	}
	return res.StatusCode, string(b)
}

// TestClusterForwards: a request at another node is counted at home, with its body,
// its host and its client as they came; a second one in a row moves the home.
func TestClusterForwards(t *testing.T) {
	nodes := newCluster(t, 2, "[valves.remote-ip]\n")
	startAll(t, nodes...)
	u := &user{t: t}
	if n, node, _ := u.count(nodes[0].url, ""); n != 1 || node != "n1" {
		t.Fatalf("%d at %s", n, node)
	}
	n, node, answer := u.count(nodes[1].url, "a body")
	if want := `2 n1 192.0.2.7:0 shop.example "a body"`; answer != want {
		t.Errorf("forwarded: %d %s: %s, want %s", n, node, answer, want)
	}
	if s := nodes[1].cluster.client.Stats(); s.Forwarded != 1 || s.Failed != 0 || nodes[0].cluster.server.Served() != 1 {
		t.Errorf("stats %+v, %d served", s, nodes[0].cluster.server.Served())
	}
	for i := 3; i < 8 && node == "n1"; i++ {
		if n, node, _ = u.count(nodes[1].url, ""); n != i {
			t.Fatalf("%d instead of %d at %s", n, i, node)
		}
	}
	if node != "n2" || !strings.HasSuffix(u.cookie, ".n2") {
		t.Errorf("the session stays at %s (%s)", node, u.cookie)
	}
}

// TestClusterDrains: a node that stops loses no session and fails no request except
// those that cannot connect any more.
func TestClusterDrains(t *testing.T) {
	nodes := newCluster(t, 3, "")
	startAll(t, nodes...)
	const users = 20
	var wg sync.WaitGroup
	var done atomic.Bool
	var stopped atomic.Bool
	for i := range users {
		wg.Go(func() {
			u := &user{t: t}
			at := i % len(nodes)
			for want := 1; !done.Load() || want < 5; want++ {
				status, answer := u.ask(nodes[at].url, "")
				if status == 0 && stopped.Load() && at == 0 { // refused: a balancer goes on
					at = 1 + i%2
					status, answer = u.ask(nodes[at].url, "")
				}
				n := 0
				_, _ = fmt.Sscanf(answer, "%d", &n)
				if status != http.StatusOK || n != want {
					t.Errorf("user %d at %s: %d %q instead of %d", i, nodes[at].url, status, answer, want)
					return
				}
			}
		})
	}
	await(t, "sessions", func() bool { return nodes[1].cluster.node.Status().Apps[0].Copies > 3 })
	stopped.Store(true)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := nodes[0].Stop(ctx); err != nil {
		t.Error(err)
	}
	await(t, "sessions to be at the others", func() bool {
		return nodes[1].cluster.node.Status().Apps[0].Home+nodes[2].cluster.node.Status().Apps[0].Home == users
	})
	done.Store(true)
	wg.Wait()
}

// TestClusterReady: the health check is down while the node drains, and up before.
func TestClusterReady(t *testing.T) {
	nodes := newCluster(t, 2, "")
	startAll(t, nodes...)
	if status, body := fetch(t, nodes[0].url+"/health", "localhost"); status != http.StatusOK {
		t.Errorf("ready: %d %s", status, body)
	}
	u := &user{t: t}
	u.count(nodes[0].url, "")
	var left []int
	if err := nodes[0].Drain(t.Context(), func(n int) { left = append(left, n) }); err != nil {
		t.Fatal(err)
	}
	if status, body := fetch(t, nodes[0].url+"/health", "localhost"); status != http.StatusServiceUnavailable || !strings.Contains(body, "draining") {
		t.Errorf("drained: %d %s", status, body)
	}
	if n, node, _ := u.count(nodes[0].url, ""); n != 2 || node != "n2" {
		t.Errorf("after the drain: %d at %s (%v)", n, node, left)
	}
}

// TestClusterSettings: what is changed at one node holds at the others; replication
// of an unknown application cannot be switched.
func TestClusterSettings(t *testing.T) {
	nodes := newCluster(t, 2, "")
	startAll(t, nodes...)
	all := cluster.AckAll
	now, err := nodes[0].SetCache(t.Context(), "default", cluster.CacheChange{Ack: &all})
	if err != nil || now.Ack != all || now.Epoch == 0 {
		t.Fatalf("%+v, %v", now, err)
	}
	await(t, "the other node to hear of it", func() bool { return nodes[1].cluster.node.Status().Caches[0].Ack == all })
	if _, err := nodes[0].SetCache(t.Context(), "none", cluster.CacheChange{Ack: &all}); err == nil {
		t.Error("a cache that does not exist was changed")
	}
	if err := nodes[1].SetReplication(t.Context(), "", "/app", false); err != nil {
		t.Fatal(err)
	}
	await(t, "replication to be off", func() bool { return !nodes[0].cluster.node.Status().Apps[0].Replicating })
	for _, bad := range [][2]string{{"", "/none"}, {"none", "/app"}} {
		if err := nodes[1].SetReplication(t.Context(), bad[0], bad[1], false); err == nil {
			t.Errorf("%q was switched off", bad)
		}
	}
}

// TestClusterUnknownCache: an application that names a cache which is not there is
// not deployed, and is told which there are.
func TestClusterUnknownCache(t *testing.T) {
	nodes := newCluster(t, 1, "[[cache]]\nname = \"carts\"\n")
	nodes[0].w.write(t, "webapps/app/WEB-INF/web.toml", countingTOML+"[replication]\ncache-name = \"cart\"\n")
	nodes[0].run(t)
	if err := nodes[0].Settled(t.Context()); err != nil {
		t.Fatal(err)
	}
	apps := nodes[0].Apps()
	i := slices.IndexFunc(apps, func(a deploy.AppInfo) bool { return a.Path == "/app" })
	if i < 0 || !strings.Contains(apps[i].Error, `"cart"`) || !strings.Contains(apps[i].Error, "carts, default") {
		t.Errorf("reported as %+v", apps)
	}
}

// TestNoCluster: a server without a cluster says so.
func TestNoCluster(t *testing.T) {
	s := newWorld(t, "").start(t)
	_, statusErr := s.ClusterStatus(t.Context())
	_, cacheErr := s.SetCache(t.Context(), "default", cluster.CacheChange{})
	_, nodeErr := s.NodeStatus()
	for _, err := range []error{statusErr, cacheErr, nodeErr, s.SetReplication(t.Context(), "", "", true), s.Drain(t.Context(), nil)} {
		if !errors.Is(err, errNoCluster) {
			t.Errorf("got %v", err)
		}
	}
	if !s.Ready() {
		t.Error("it is not ready")
	}
}

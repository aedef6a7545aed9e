package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/serval-server/serval/cluster"
	"github.com/serval-server/serval/deploy"
)

// backend is a server whose cluster answers with what it was asked.
type backend struct {
	asked []string
	err   error
}

func (b *backend) Status() Status                     { return Status{Node: "node1"} }
func (b *backend) Apps() []deploy.AppInfo             { return nil }
func (b *backend) Host(string) (deploy.Manager, bool) { return nil, false }
func (b *backend) note(format string, args ...any) error {
	b.asked = append(b.asked, fmt.Sprintf(format, args...))
	return b.err
}

func (b *backend) Copies() ([]cluster.Copy, error) {
	return []cluster.Copy{{App: "localhost/x", Session: "abc", Live: true, Owners: 3}}, nil
}

func (b *backend) ClusterStatus(context.Context) ([]cluster.Status, error) {
	return []cluster.Status{{Node: "node1", Ready: true}}, b.note("status")
}

func (b *backend) NodeStatus() (cluster.Status, error) {
	return cluster.Status{Node: "node1"}, b.note("node")
}

func (b *backend) SetCache(_ context.Context, name string, ch cluster.CacheChange) (cluster.CacheStatus, error) {
	return cluster.CacheStatus{Cache: cluster.Cache{Name: name, Ack: *ch.Ack}, Epoch: 4}, b.note("cache %s %s %v", name, *ch.Ack, ch.Owners == nil)
}

func (b *backend) SetReplication(_ context.Context, host, path string, on bool) error {
	return b.note("replication %q %q %t", host, path, on)
}

func (b *backend) Drain(_ context.Context, progress func(int)) error {
	for left := 2; left > 0; left-- {
		progress(left)
	}
	return b.note("drain")
}

// start serves a backend on a socket and returns a client.
func start(t *testing.T, b Backend) *Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(l, b, slog.New(slog.DiscardHandler))
	s.Start()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return NewClient(path, func(p string) (net.Conn, error) { return net.Dial("unix", p) })
}

func TestClusterCommands(t *testing.T) {
	b := &backend{}
	c := start(t, b)
	nodes, err := c.Cluster(t.Context())
	if err != nil || len(nodes) != 1 || nodes[0].Node != "node1" || !nodes[0].Ready {
		t.Errorf("status: %+v, %v", nodes, err)
	}
	if node, err := c.Node(t.Context()); err != nil || node.Node != "node1" {
		t.Errorf("node: %+v, %v", node, err)
	}
	all := cluster.AckAll
	now, err := c.SetCache(t.Context(), CacheRequest{Name: "carts", Change: cluster.CacheChange{Ack: &all}})
	if err != nil || now.Name != "carts" || now.Ack != all || now.Epoch != 4 {
		t.Errorf("cache: %+v, %v", now, err)
	}
	if err := c.SetReplication(t.Context(), ReplicationRequest{Path: "/shop", On: true}); err != nil {
		t.Error(err)
	}
	var left []int
	if err := c.Drain(t.Context(), func(n int) { left = append(left, n) }); err != nil || !slices.Equal(left, []int{2, 1}) {
		t.Errorf("drain: %v, %v", left, err)
	}
	if want := []string{"status", "node", "cache carts all true", `replication "" "/shop" true`, "drain"}; !slices.Equal(b.asked, want) {
		t.Errorf("the server was asked %q", b.asked)
	}
}

// TestClusterErrors: what the server says is what the client says.
func TestClusterErrors(t *testing.T) {
	b := &backend{err: errors.New("not now")}
	c := start(t, b)
	ack := cluster.AckOne
	_, statusErr := c.Cluster(t.Context())
	_, cacheErr := c.SetCache(t.Context(), CacheRequest{Change: cluster.CacheChange{Ack: &ack}})
	for _, err := range []error{statusErr, cacheErr, c.SetReplication(t.Context(), ReplicationRequest{}), c.Drain(t.Context(), nil)} {
		if err == nil || err.Error() != "not now" {
			t.Errorf("got %v", err)
		}
	}
	if err := c.do(t.Context(), "POST", "cache", map[string]any{"nonsense": 1}, nil); err == nil || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("an unknown field: %v", err)
	}
}

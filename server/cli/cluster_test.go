package cli

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/serval-server/serval/cluster"
)

// threeNodes are what three nodes might say: the first is level, the second does
// not keep up, the third does not answer.
func threeNodes() []cluster.Status {
	cache := cluster.CacheStatus{Epoch: 2, Cache: cluster.Cache{
		Name: "default", Mode: cluster.ModeREPL, Owners: 2, Ack: cluster.AckOne, AckTimeout: 2 * time.Second,
		OnTimeout: cluster.Degrade, Misroute: cluster.MisrouteForward, Consistency: cluster.Available,
	}}
	app := func(home, copies int, digest string, commits uint64) cluster.AppStatus {
		return cluster.AppStatus{
			Key: "localhost/shop", Cache: "default", Mode: cluster.ModeREPL, Ack: cluster.AckOne, Granularity: "SESSION", Replicating: true,
			Level: true, Home: home, Copies: copies, MaxEpoch: 3, Digests: []string{digest}, Counters: cluster.Counters{Commits: commits, Forks: 1, Claims: 4},
		}
	}
	return []cluster.Status{
		{Node: "node1", ID: 11, Zone: "a", Address: "10.0.0.1:4000", Ready: true, CertificateEnds: today.Add(100*24*time.Hour + time.Minute),
			Health: cluster.Health{Deaths: 2, Crashes: 1, FalseAlarms: 1, Returns: 1, Suspicions: 3, Pauses: 4}, Caches: []cluster.CacheStatus{cache},
			Apps: []cluster.AppStatus{app(600, 400, "x", 12345)}, Members: []cluster.MemberStatus{
				{Name: "node2", Address: "10.0.0.2:4000", Connected: true, Lagging: true, RTT: 234567, Sent: 5 << 20, Received: 3000, Queued: 70 << 20},
				{Name: "node3", Address: "10.0.0.3:4000"},
			}},
		{Node: "node2", ID: 12, Zone: "b", Address: "10.0.0.2:4000", Draining: true, CertificateEnds: today.Add(-time.Hour), Caches: []cluster.CacheStatus{cache},
			Apps: []cluster.AppStatus{app(400, 600, "y", 99)}, Members: []cluster.MemberStatus{
				{Name: "node1", Address: "10.0.0.1:4000", Connected: true, RTT: 200000, Sent: 100 << 10, Received: 11 << 30},
			}},
		{Node: "node3", Address: "10.0.0.3:4000", Error: "no answer within 1s"},
	}
}

// today is when they say it.
var today = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// golden compares with a file of testdata, which UPDATE=1 writes.
func golden(t *testing.T, name, got string) {
	t.Helper()
	name = filepath.Join("testdata", name)
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil || got != string(want) {
		t.Errorf("%s differs (UPDATE=1 writes it): %v\n%s", name, err, got)
	}
}

func TestClusterView(t *testing.T) {
	before := threeNodes()
	before[0].Apps[0].Counters.Commits -= 345
	before[0].Members[0].Sent -= 1 << 20
	before[1].ID = 7 // another incarnation
	golden(t, "cluster-status.golden", clusterView{nodes: threeNodes(), now: today}.String())
	golden(t, "cluster-watch.golden", clusterView{nodes: threeNodes(), before: before, elapsed: 500 * time.Millisecond, now: today}.String())
	alone := []cluster.Status{{Node: "node1", Address: "10.0.0.1:4000", Ready: true}}
	if got := (clusterView{nodes: alone}).String(); !strings.Contains(got, "no application keeps") || strings.Contains(got, "LINK") {
		t.Errorf("a node alone:\n%s", got)
	}
}

// TestInStep: whether all have the same, and if not, what is done about it.
func TestInStep(t *testing.T) {
	for want, a := range map[string]appView{
		"joining": {partial: true, inStep: true, copying: true},
		"yes":     {inStep: true, copying: true},
		"copying": {copying: true},
		"no":      {},
	} {
		if got := a.step(); got != want {
			t.Errorf("%+v: %s, want %s", a, got, want)
		}
	}
	for want, a := range map[string]appView{"-": {inStep: true}, "copying": {inStep: true, copying: true}} {
		a.Mode = cluster.ModeDIST
		if got := a.step(); got != want {
			t.Errorf("DIST %+v: %s, want %s", a, got, want)
		}
	}
}

// TestCacheChange: only what a flag says is changed.
func TestCacheChange(t *testing.T) {
	three := 3
	c := clusterCacheCmd{Mode: "dist", Owners: &three, Ack: "all", AckTimeout: time.Second}
	got, err := json.Marshal(c.change())
	if want := `{"mode":"DIST","owners":3,"ack":"all","ackTimeout":1000000000}`; err != nil || string(got) != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
	if (&clusterCacheCmd{}).change() != (cluster.CacheChange{}) {
		t.Error("no flag is a change")
	}
}

// TestReplicationWaits: switched on, it shows who makes copies, and ends when nobody does
// any more, or when the time is up.
func TestReplicationWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		e := &env{Options: Options{Stdout: &out}, ctx: t.Context()}
		began := time.Now()
		status := func(context.Context) ([]cluster.Status, error) {
			nodes := threeNodes()[:1]
			nodes[0].Apps[0].Nodes = []string{"node1"}
			nodes[0].Apps[0].Copying = time.Since(began) < 2500*time.Millisecond
			return nodes, nil
		}
		if err := (&replicationCmd{Wait: time.Minute}).awaitCopies(e, status); err != nil {
			t.Error(err)
		}
		if got, want := out.String(), "copies are being made by node1\ncopies are being made by node1\nall copies are made, after 2.5s\n"; got != want {
			t.Errorf("it says %q, want %q", got, want)
		}
		began = time.Now()
		if err := (&replicationCmd{Wait: time.Second}).awaitCopies(e, status); err == nil || !strings.Contains(err.Error(), "by node1 after 1s") {
			t.Errorf("when the time is up: %v", err)
		}
	})
}

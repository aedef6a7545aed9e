package cluster

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/serval-server/serval/sessions"
)

// BenchmarkCommit is what a request that changes one attribute pays for the cluster:
// alone, all but the sending; with three nodes, all up to the last acknowledgement,
// with what the other nodes allocate. Their time is that of the network in memory,
// which takes a millisecond each way.
func BenchmarkCommit(b *testing.B) {
	for _, nodes := range []int{1, 3} {
		b.Run(strconv.Itoa(nodes), func(b *testing.B) {
			sm := benchCluster(b, nodes)
			s, err := sm.Create(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			defer s.End()
			change := [1]sessions.Change{{Name: "n", Value: []byte{1}}}
			ctx := context.Background()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Commit(ctx, &sessions.Changes{Attributes: change[:]}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// benchCluster starts nodes with an application and returns the sessions of one.
func benchCluster(b *testing.B, nodes int) *sessions.Manager {
	b.Helper()
	m := newMemory()
	var all []*Node
	var sm *sessions.Manager
	b.Cleanup(func() {
		for _, n := range all {
			_ = n.Close(context.Background())
		}
		m.wg.Wait()
	})
	for i := range nodes {
		name := fmt.Sprintf("n%d", i)
		n, err := Start(b.Context(), Config{Name: name, Address: name + ":1", DataDir: b.TempDir(), Connect: m.connect}, nil)
		if err != nil {
			b.Fatal(err)
		}
		all = append(all, n)
		dm, err := n.Open(AppConfig{Key: shop})
		if err != nil {
			b.Fatal(err)
		}
		if sm, err = sessions.New(sessions.Options{App: shop, Replicator: dm, Node: n.ID()}); err != nil {
			b.Fatal(err)
		}
		dm.Attach(sm)
	}
	for _, n := range all {
		for !n.Ready() || len(n.Status().Members) != nodes-1 {
			time.Sleep(time.Millisecond)
		}
	}
	return sm
}

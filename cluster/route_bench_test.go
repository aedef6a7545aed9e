package cluster

import (
	"context"
	"testing"

	"github.com/serval-server/serval/sessions"
)

// BenchmarkRouteAtHome is what each request with a session pays: the verdict on one
// that is at home here.
func BenchmarkRouteAtHome(b *testing.B) {
	m := newMemory()
	n, err := Start(b.Context(), Config{Name: "a", Address: "a:1", DataDir: b.TempDir(), Connect: m.connect}, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = n.Close(context.Background())
		m.wg.Wait()
	})
	dm, err := n.Open(AppConfig{Key: shop})
	if err != nil {
		b.Fatal(err)
	}
	sm, err := sessions.New(sessions.Options{App: shop, Replicator: dm, Node: n.ID()})
	if err != nil {
		b.Fatal(err)
	}
	s, err := sm.Create(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	if err := s.Announce(b.Context()); err != nil {
		b.Fatal(err)
	}
	id := s.ID()
	s.End()
	b.ReportAllocs()
	for b.Loop() {
		if r, err := dm.Route(context.Background(), id, 0); err != nil || r.Action != RouteServe {
			b.Fatal(r, err)
		}
	}
}

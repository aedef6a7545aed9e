package deploy

import (
	"context"
	"io"
	"math"
	"sync"
	"sync/atomic"
)

// generation is one running Application with the bundle that it is made from,
// and the count of the requests inside it.
type generation struct {
	app    Application
	number int
	bundle io.Closer // the zip or the folder it is served from

	// inflight counts open requests. Once the generation drains, draining is
	// subtracted from it, so that entering and draining need no lock.
	inflight atomic.Int64
	once     sync.Once
	drained  chan struct{} // closed when it drains and no request is left
}

const draining = math.MinInt64 / 2

func newGeneration(number int) *generation {
	return &generation{number: number, drained: make(chan struct{})}
}

// enter counts a request in. It fails once the generation drains.
func (g *generation) enter() bool {
	if g.inflight.Add(1) > 0 {
		return true
	}
	g.leave()
	return false
}

func (g *generation) leave() {
	if g.inflight.Add(-1) == draining {
		g.once.Do(func() { close(g.drained) })
	}
}

// requests is the number of requests inside.
func (g *generation) requests() int64 {
	n := g.inflight.Load()
	if n < 0 {
		n -= draining
	}
	return n
}

// drain lets no more requests in and waits for those inside, or until ctx
// ends. It reports how many are left.
func (g *generation) drain(ctx context.Context) int64 {
	if g.inflight.Add(draining) == draining {
		g.once.Do(func() { close(g.drained) })
	}
	select {
	case <-g.drained:
		return 0
	case <-ctx.Done():
		return g.requests()
	}
}

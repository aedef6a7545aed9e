package connector

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"
)

// presence notices that a client has gone while its request is answered. net/http
// reads a byte in a goroutine of its own meanwhile, which it has to start, let wait
// and wake again for each request: as much work as to parse a small one. So that read
// is answered at once with nothing, which net/http takes for its end, and the sweeper
// looks whether the connection has ended, for requests that are still being answered
// then. They are canceled up to two sweeps later than net/http would.
type presence struct {
	cancel context.CancelFunc // of the connection's context; nil: net/http watches
	clock  *atomic.Int64      // the sweeper's
	single bool               // a read for one byte was answered with nothing
	// since is when that was, by the sweeper's clock and at least 1; 0: the
	// connection is read from, so that it is seen to end.
	since    atomic.Int64
	hijacked atomic.Bool // what is read belongs to the application
}

// watch has the sweeper, whose clock it is given, look after the client, and returns
// the context that ends with it.
func (p *presence) watch(ctx context.Context, clock *atomic.Int64) context.Context {
	p.clock = clock
	ctx, p.cancel = context.WithCancel(ctx)
	return ctx
}

// background reports that a read of n bytes is that of net/http's goroutine, to be
// answered with nothing. Only the first in a row is: others who read one byte, a
// buffer that is all but full, try again.
func (p *presence) background(n int) bool {
	if n != 1 || p.single || p.cancel == nil || p.hijacked.Load() {
		p.single = false
		p.since.Store(0)
		return false
	}
	p.single = true
	p.since.Store(max(p.clock.Load(), 1))
	return true
}

// sweep ends the connection's context if its client has gone.
func (p *presence) sweep(now int64, c net.Conn) {
	since := p.since.Load()
	if since == 0 || now-since < int64(sweep) || !gone(c) {
		return
	}
	if p.since.CompareAndSwap(since, 0) {
		p.cancel()
	}
}

// forget is for a connection that is closed.
func (p *presence) forget() {
	p.since.Store(0)
	if p.cancel != nil {
		p.cancel()
	}
}

// connState tells of connections that net/http has given to a handler.
func connState(c net.Conn, s http.ConnState) {
	if p, ok := c.(*plainConn); ok && s == http.StateHijacked {
		p.presence.hijacked.Store(true)
		p.presence.since.Store(0)
	}
}

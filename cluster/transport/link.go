package transport

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/serval-server/serval/cluster/replica"
	"github.com/serval-server/serval/cluster/wire"
)

// link is what connects two incarnations: a live and a bulk connection with
// their streams, from the handshake until both are gone.
type link struct {
	t       *Transport
	p       *peer
	id      replica.NodeID
	num     uint64 // tells the connections of this link from those of another
	dialed  bool   // by this node
	maxItem int    // the largest item that the peer takes

	live, bulk *quic.Conn
	control    *control
	lanes      []*lane // of live
	bulkLane   *lane
	bulkUp     chan *attached // acceptor: the bulk connection, when it has come

	trip chan net.Conn            // a tripwire that is to be guarded
	wire atomic.Pointer[net.Conn] // the one that is guarded

	queued  atomic.Int64 // bytes that wait on all lanes
	lagging atomic.Bool  // what is sent is dropped
	nudged  chan struct{}

	ctx    context.Context // done when the link is to end; its cause says why
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup // whatever calls the Handler or uses the streams
	gone   chan struct{}  // closed when nothing of the link is left
}

// attached is a bulk connection with its streams.
type attached struct {
	conn *quic.Conn
	lane *quic.Stream
	r    *bufio.Reader // of lane
}

func newLink(p *peer, id replica.NodeID, num uint64, dialed bool) *link {
	l := &link{
		t: p.t, p: p, id: id, num: num, dialed: dialed, maxItem: maxFrame,
		bulkUp: make(chan *attached, 1), nudged: make(chan struct{}, 1), trip: make(chan net.Conn, 1), gone: make(chan struct{}),
	}
	l.ctx, l.cancel = context.WithCancelCause(p.t.ctx)
	return l
}

// close has the link end, for the first reason that it is given.
func (l *link) close(err error) { l.cancel(reason(err)) }

// addLanes makes the lanes of the live connection and the bulk lane.
func (l *link) addLanes(streams []*quic.Stream, readers []*bufio.Reader, b *attached) {
	for i, s := range streams {
		l.lanes = append(l.lanes, newLane(l, s, readers[i], 0))
	}
	l.bulk = b.conn
	l.bulkLane = newLane(l, b.lane, b.r, l.t.cfg.BulkWindow)
}

// each calls f for all lanes.
func (l *link) each(f func(*lane)) {
	for _, ln := range l.lanes {
		f(ln)
	}
	f(l.bulkLane)
}

// run has the link work until it is closed, and cleans up.
func (l *link) run(p Peer) {
	t := l.t
	t.log.Info("peer connected", "peer", p.Name, "incarnation", p.ID, "address", p.Address, "dialed", l.dialed, "lanes", len(l.lanes))
	l.p.up.Store(l)
	t.h.Connected(p)
	l.each(func(ln *lane) {
		l.wg.Go(ln.reader)
		l.wg.Go(ln.writer)
	})
	l.wg.Go(l.control.reader)
	l.wg.Go(l.control.writer)
	l.wg.Go(l.accept)
	watched := make(chan struct{})
	l.wg.Go(func() { l.watch(); close(watched) })
	l.wg.Go(func() { l.guard(p) })
	for _, c := range []*quic.Conn{l.live, l.bulk} {
		l.wg.Go(func() {
			select {
			case <-c.Context().Done():
				l.close(context.Cause(c.Context()))
			case <-l.ctx.Done():
			}
		})
	}
	<-l.ctx.Done()
	l.end(p)
}

// end closes the connections, waits for all goroutines and says so.
func (l *link) end(p Peer) {
	err := context.Cause(l.ctx)
	l.p.up.CompareAndSwap(l, nil)
	l.each((*lane).shut)
	l.hangUp(err)
	l.wg.Wait()
	l.p.account(l)
	l.t.log.Info("peer disconnected", "peer", p.Name, "incarnation", p.ID, "reason", err)
	l.t.h.Disconnected(l.id, err)
}

// hangUp closes the connections and tells the peer why.
func (l *link) hangUp(err error) {
	select {
	case b := <-l.bulkUp: // it came too late
		l.bulk = b.conn
	default:
	}
	code, text := closeCode(err)
	for _, c := range []*quic.Conn{l.live, l.bulk} {
		if c != nil {
			_ = c.CloseWithError(code, text)
		}
	}
}

// accept takes the streams that the peer opens on the bulk connection.
func (l *link) accept() {
	for {
		s, err := l.bulk.AcceptStream(l.ctx)
		if err != nil {
			l.close(err)
			return
		}
		l.wg.Go(func() { l.t.takeStream(l, s) })
	}
}

// overflow: too much waits. The watcher says so; who sends holds locks.
func (l *link) overflow() {
	l.lagging.Store(true)
	l.nudge()
}

func (l *link) nudge() {
	select {
	case l.nudged <- struct{}{}:
	default:
	}
}

// watchTicks is how often a lane is found without progress before the peer lags.
// Ticks are counted, not time: a node that is itself short of CPU misses ticks,
// and does not blame its peers.
const watchTicks = 4

// watch finds out whether the peer lags, and when it no longer does.
func (l *link) watch() {
	tick := time.NewTicker(l.t.cfg.AckDeadline / watchTicks)
	defer tick.Stop()
	stuck := make([]struct {
		acked uint64
		ticks int
	}, len(l.lanes))
	told := false
	for {
		select {
		case <-l.ctx.Done():
			return
		case <-l.nudged:
		case <-tick.C:
			for i, ln := range l.lanes {
				s := &stuck[i]
				acked, flying := ln.progress()
				if flying && acked == s.acked {
					s.ticks++
				} else {
					s.acked, s.ticks = acked, 0
				}
				if s.ticks > watchTicks {
					l.lagging.Store(true)
				}
			}
		}
		if l.lagging.Load() {
			told = l.lag(told)
		}
	}
}

// lag drops what waits for a peer that lags, and tells the Handler that it does
// or that it has caught up. It returns whether the peer still lags.
func (l *link) lag(told bool) bool {
	l.each((*lane).drop)
	if !told {
		l.t.log.Warn("peer lags: what is sent to it is dropped", "incarnation", l.id)
		l.t.h.Lagging(l.id, true)
	}
	switch most := int64(l.t.cfg.MaxQueue); {
	case l.drained() && l.queued.Load() < most:
		l.lagging.Store(false)
		l.t.log.Info("peer has caught up", "incarnation", l.id)
		l.t.h.Lagging(l.id, false)
		return false
	case l.queued.Load() > 2*most:
		l.close(fmt.Errorf("%w: it takes no acknowledgements", errMalformed))
	}
	return true
}

// drained reports whether the peer has acknowledged all that it was sent.
func (l *link) drained() bool {
	all := true
	l.each(func(ln *lane) { all = all && ln.drained() })
	return all
}

// send queues an item on its lane. What came in bulk is acknowledged there.
func (l *link) send(it *wire.Item) {
	if it.Bulk() || l.bulkLane.enc.Acknowledges(it) {
		l.bulkLane.send(it)
		return
	}
	l.lanes[it.Lane(len(l.lanes))].send(it)
}

// The codes with which a connection is closed. Append only.
const (
	codeClosed    quic.ApplicationErrorCode = iota + 1 // the node leaves
	codeForgotten                                      // the peer is no member any more
	codeReplaced                                       // there is a newer link
	codeMalformed                                      // the text says what
	codeRefused                                        // not of this cluster, or of no common version
	codeDuplicate                                      // another link is being made
	codeFailed                                         // anything else
)

// errRefused and errDuplicate end a link before it has begun.
var (
	errRefused   = errors.New("refused")
	errDuplicate = errors.New("another link is being made")
)

func closeCode(err error) (quic.ApplicationErrorCode, string) {
	switch {
	case errors.Is(err, ErrClosed):
		return codeClosed, ""
	case errors.Is(err, ErrForgotten):
		return codeForgotten, ""
	case errors.Is(err, ErrReplaced):
		return codeReplaced, ""
	case errors.Is(err, errDuplicate):
		return codeDuplicate, ""
	case errors.Is(err, errMalformed):
		return codeMalformed, err.Error()
	case errors.Is(err, errRefused):
		return codeRefused, err.Error()
	}
	return codeFailed, err.Error()
}

// reason makes one of this package's errors of the one that QUIC has for a
// connection that the peer closed.
func reason(err error) error {
	var e *quic.ApplicationError
	if !errors.As(err, &e) || !e.Remote {
		return err
	}
	switch e.ErrorCode {
	case codeClosed:
		return ErrLeft
	case codeForgotten:
		return fmt.Errorf("%w by the peer", ErrForgotten)
	case codeReplaced:
		return ErrReplaced
	case codeDuplicate:
		return errDuplicate
	case codeRefused:
		return fmt.Errorf("%w by the peer: %s", errRefused, e.ErrorMessage)
	}
	return fmt.Errorf("closed by the peer: %s", e.ErrorMessage)
}

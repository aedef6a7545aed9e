package cluster

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/serval-server/serval/cluster/replica"
	"github.com/serval-server/serval/cluster/transport"
	"github.com/serval-server/serval/cluster/wire"
)

// memory is a network in memory: ordered lanes with a delay, that can be cut. What
// they carry is not encoded: synctest and shared zstd encoders do not go together.
type memory struct {
	delay time.Duration
	wg    sync.WaitGroup

	mu    sync.Mutex
	ends  map[replica.NodeID]*memoryEnd    // guarded by mu
	cuts  map[[2]string]bool               // guarded by mu; by names
	lanes map[[2]replica.NodeID]*memoryWay // guarded by mu; from, to
}

func newMemory() *memory {
	return &memory{
		delay: time.Millisecond, ends: map[replica.NodeID]*memoryEnd{}, cuts: map[[2]string]bool{},
		lanes: map[[2]replica.NodeID]*memoryWay{},
	}
}

// memoryEnd is a node's Network.
type memoryEnd struct {
	m    *memory
	self Peer
	in   Inbound
	dead bool   // guarded by m.mu
	mute bool   // guarded by m.mu; what it sends and what is sent to it waits
	left bool   // guarded by m.mu
	live []Peer // guarded by m.mu
	sent uint64 // guarded by m.mu; messages
}

// memoryWay is one direction of a connection.
type memoryWay struct {
	wake chan struct{}
	stop chan struct{}

	mu    sync.Mutex
	queue []any // guarded by mu; parcels and frames
}

// detect is how long membership takes to notice that a node is gone.
const detect = 100 * time.Millisecond

func (m *memory) connect(_ context.Context, self Peer, in Inbound) (Network, error) {
	e := &memoryEnd{m: m, self: self, in: in}
	m.mu.Lock()
	m.ends[self.ID] = e
	m.mu.Unlock()
	m.rewire()
	return e, nil
}

func (m *memory) cutLocked(a, b *memoryEnd) bool {
	return a.dead || b.dead || a.left || b.left || m.cuts[[2]string{a.self.Name, b.self.Name}] || m.cuts[[2]string{b.self.Name, a.self.Name}]
}

// rewire brings connections and views to what can reach what.
func (m *memory) rewire() {
	type event struct {
		e  *memoryEnd
		to Peer
		on bool
	}
	var events []event
	m.mu.Lock()
	for _, a := range m.ends {
		for _, b := range m.ends {
			if a.self.ID >= b.self.ID {
				continue
			}
			ab, ba := [2]replica.NodeID{a.self.ID, b.self.ID}, [2]replica.NodeID{b.self.ID, a.self.ID}
			is, was := !m.cutLocked(a, b), m.lanes[ab] != nil
			switch {
			case is && !was:
				m.lanes[ab], m.lanes[ba] = newWay(), newWay()
				events = append(events, event{a, b.self, true}, event{b, a.self, true})
			case !is && was:
				close(m.lanes[ab].stop)
				close(m.lanes[ba].stop)
				delete(m.lanes, ab)
				delete(m.lanes, ba)
				events = append(events, event{a, b.self, false}, event{b, a.self, false})
			}
		}
	}
	m.mu.Unlock()
	for _, ev := range events {
		if ev.on {
			m.see()
			ev.e.in.Connected(ev.to)
			m.pump(ev.e, ev.to)
		} else if !m.isDead(ev.e) {
			ev.e.in.Disconnected(ev.to.ID, errors.New("cut"))
		}
	}
	m.wg.Go(func() {
		time.Sleep(detect)
		m.see()
	})
}

func newWay() *memoryWay {
	return &memoryWay{wake: make(chan struct{}, 1), stop: make(chan struct{})}
}

// see updates the views.
func (m *memory) see() {
	var changed []*memoryEnd
	m.mu.Lock()
	for _, a := range m.ends {
		var live []Peer
		for _, b := range m.ends {
			if a != b && !m.cutLocked(a, b) {
				live = append(live, b.self)
			}
		}
		slices.SortFunc(live, func(x, y Peer) int { return int(int64(x.ID) - int64(y.ID)) })
		if !slices.Equal(live, a.live) && !a.dead {
			a.live = live
			changed = append(changed, a)
		}
	}
	m.mu.Unlock()
	for _, a := range changed {
		a.in.Changed()
	}
}

func (m *memory) isDead(e *memoryEnd) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return e.dead
}

func (m *memory) isMute(e *memoryEnd) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return e.mute && !e.dead
}

// mute makes a node silent as if its process was stopped, or lets it go on.
func (m *memory) mute(e *memoryEnd, mute bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e.mute = mute
}

// pump carries what e sends to a peer, until the connection is cut.
func (m *memory) pump(e *memoryEnd, to Peer) {
	m.mu.Lock()
	w, other := m.lanes[[2]replica.NodeID{e.self.ID, to.ID}], m.ends[to.ID]
	m.mu.Unlock()
	if w == nil {
		return
	}
	m.wg.Go(func() {
		for {
			select {
			case <-w.stop:
				return
			case <-w.wake:
			}
			w.mu.Lock()
			batch := w.queue
			w.queue = nil
			w.mu.Unlock()
			time.Sleep(m.delay)
			for m.isMute(e) || m.isMute(other) {
				time.Sleep(10 * time.Millisecond)
			}
			if m.isDead(other) {
				return
			}
			w.deliver(other.in, e.self.ID, batch)
		}
	})
}

func (w *memoryWay) deliver(in Inbound, from replica.NodeID, batch []any) {
	for _, x := range batch {
		switch x := x.(type) {
		case parcel:
			in.Receive(from, x.app, x.shard, x.m)
		case wire.Frame:
			in.Control(from, x)
		}
	}
	in.BatchEnd(from)
}

// parcel is a message on its way.
type parcel struct {
	app   uint32
	shard uint8
	m     replica.Message
}

func (e *memoryEnd) push(to replica.NodeID, x any) bool {
	e.m.mu.Lock()
	w := e.m.lanes[[2]replica.NodeID{e.self.ID, to}]
	e.sent++
	e.m.mu.Unlock()
	if w == nil {
		return false
	}
	w.mu.Lock()
	w.queue = append(w.queue, x)
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
	return true
}

func (e *memoryEnd) Send(to []replica.NodeID, app uint32, shard uint8, m replica.Message, _ bool) {
	for _, id := range to {
		e.push(id, parcel{app, shard, replica.Own(m)})
	}
}
func (e *memoryEnd) Control(to replica.NodeID, f wire.Frame) bool { return e.push(to, f) }
func (e *memoryEnd) Queued(replica.NodeID) int                    { return 0 }
func (e *memoryEnd) OpenStream(context.Context, replica.NodeID) (net.Conn, error) {
	return nil, errors.New("no streams")
}
func (e *memoryEnd) Streams() net.Listener  { return nil }
func (e *memoryEnd) Stats() transport.Stats { return transport.Stats{} }
func (e *memoryEnd) Live() []Peer {
	e.m.mu.Lock()
	defer e.m.mu.Unlock()
	return e.live
}
func (e *memoryEnd) Suspect(replica.NodeID) {}
func (e *memoryEnd) Joined() bool           { return true }
func (e *memoryEnd) Health() Health         { return Health{} }
func (e *memoryEnd) Leave(context.Context) error {
	e.m.mu.Lock()
	e.left = true
	e.m.mu.Unlock()
	e.m.see()
	return nil
}
func (e *memoryEnd) Close(context.Context) error {
	e.m.kill(e)
	return nil
}

// kill makes a node silent for ever.
func (m *memory) kill(e *memoryEnd) {
	m.mu.Lock()
	e.dead = true
	m.mu.Unlock()
	m.rewire()
}

// cut cuts or mends the way between two nodes, by their names.
func (m *memory) cut(a, b string, cut bool) {
	m.mu.Lock()
	m.cuts[[2]string{a, b}] = cut
	m.mu.Unlock()
	m.rewire()
}

// testLog logs to the test.
func testLog(t *testing.T) *slog.Logger {
	if !testing.Verbose() {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

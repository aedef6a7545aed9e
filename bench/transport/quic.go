//go:build linux

package main

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/serval-server/serval/cluster/replica"
	"github.com/serval-server/serval/cluster/transport"
	"github.com/serval-server/serval/cluster/wire"
)

// app is the number of the application in the messages.
const app = 1

// dial starts the sender's end.
func dial(proto, dir, addr string, w *writers) (link, error) {
	if proto != "quic" {
		return dialTCP(proto, dir, addr, w)
	}
	s := &sender{w: w, up: make(chan struct{}, 1), ids: map[replica.SessionID]int{}}
	for i := range w.acked {
		s.sessions = append(s.sessions, session(i))
		s.ids[session(i)] = i
	}
	c, err := clusterConfig(dir, "send", 1)
	if err != nil {
		return nil, err
	}
	if s.Transport, err = transport.New(c, s); err != nil {
		return nil, err
	}
	s.Dial(transport.Peer{ID: 2, Name: "recv", Address: addr})
	select {
	case <-s.up:
		return s, nil
	case <-time.After(10 * time.Second):
		return nil, fmt.Errorf("no link to %s", addr)
	}
}

func clusterConfig(dir, name string, id replica.NodeID) (transport.Config, error) {
	t, err := loadTLS(dir, name)
	return transport.Config{
		Self: transport.Peer{ID: id, Name: name}, Listen: "127.0.0.1:0", TLS: t, Lanes: *fLanes, Pause: *fPause,
	}, err
}

// session is the id of a writer's session.
func session(i int) replica.SessionID {
	var b [24]byte
	binary.BigEndian.PutUint64(b[:], uint64(i+1)*0x9e3779b97f4a7c15)
	binary.BigEndian.PutUint64(b[8:], uint64(i))
	return replica.SessionID(base64.RawURLEncoding.EncodeToString(b[:]))
}

// handler takes what both ends have no use for.
type handler struct{}

func (handler) Connected(transport.Peer)            {}
func (handler) Disconnected(replica.NodeID, error)  {}
func (handler) BatchEnd(replica.NodeID)             {}
func (handler) Control(replica.NodeID, wire.Frame)  {}
func (handler) Lagging(n replica.NodeID, lags bool) {}
func (handler) Crashed(replica.NodeID)              {}

// sender writes updates and takes acknowledgements.
type sender struct {
	*transport.Transport
	handler
	w        *writers
	up       chan struct{}
	sessions []replica.SessionID
	ids      map[replica.SessionID]int
}

func (s *sender) Connected(transport.Peer) { s.up <- struct{}{} }

// Lagging means that the figures are worth nothing.
func (s *sender) Lagging(replica.NodeID, bool) { check(fmt.Errorf("the receiver lags")) }

func (s *sender) Control(replica.NodeID, wire.Frame) {}

func (s *sender) Receive(_ replica.NodeID, _ uint32, _ uint8, m replica.Message) {
	if a, ok := m.(replica.Ack); ok {
		s.w.acked[s.ids[a.ID]] <- struct{}{}
	}
}

func (s *sender) write(writer, n int) {
	value := make([]byte, *fValue)
	for i := range value {
		value[i] = byte(n >> (i % 3 * 5))
	}
	u := &replica.Update{Reign: replica.Reign{Epoch: 1, Home: 1}, Delta: replica.Delta{
		ID: s.sessions[writer], Dot: dot(n), Ops: []replica.Op{{Key: "acount", Value: replica.Value{Bytes: value}}},
	}}
	if n > 1 {
		u.Delta.Base = []replica.Dot{dot(n - 1)}
	}
	s.Send(2, wire.NewItem(app, uint8(writer)&7, u, false))
}

func dot(n int) replica.Dot { return replica.Dot{Epoch: 1, Node: 1, Clock: uint64(n) << 16} }

func (s *sender) traffic() (bytes, batches uint64) {
	for _, p := range s.Stats().Peers {
		const headers = 20 + 8 // IPv4 and UDP
		bytes += p.BytesIn + p.BytesOut + headers*(p.PacketsIn+p.PacketsOut)
		batches += p.BatchesOut
	}
	return bytes, batches
}

func (s *sender) close() { _ = s.Close(context.Background()) }

// owner acknowledges updates.
type owner struct {
	handler
	t *transport.Transport
}

func (o *owner) Receive(from replica.NodeID, _ uint32, shard uint8, m replica.Message) {
	u, ok := m.(*replica.Update)
	if !ok {
		return
	}
	s := replica.State{ID: u.Delta.ID, Heads: []replica.Dot{u.Delta.Dot}}
	o.t.Send(from, wire.NewItem(app, shard, replica.Ack{ID: u.Delta.ID, Reign: u.Reign, Dot: u.Delta.Dot, Sum: s.Sum()}, false))
}

// receive starts the receiver's end.
func receive(proto, dir string) (addr string, end func(), err error) {
	if proto != "quic" {
		return receiveTCP(dir)
	}
	c, err := clusterConfig(dir, "recv", 2)
	if err != nil {
		return "", nil, err
	}
	o := &owner{}
	if o.t, err = transport.New(c, o); err != nil {
		return "", nil, err
	}
	return o.t.Addr(), func() { _ = o.t.Close(context.Background()) }, nil
}

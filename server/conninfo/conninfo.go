// Package conninfo says through which connection a request came.
//
// A valve may change what a request says of its client (Request.RemoteAddr, when
// the client sits behind a proxy), so whoever wants to know the connection itself
// asks here: the address of the peer, the number of the connection, and the name
// of the connector. The connector attaches a Conn to the context of a connection
// once, so a request pays nothing for it.
//
// The context also carries a profiler label with the connection's number. A valve
// that sets it on its goroutine can find that goroutine's stack later.
package conninfo

import (
	"context"
	"net"
	"runtime/pprof"
	"strconv"
	"sync/atomic"
)

// Conn describes a connection. It is not changed after it was made.
type Conn struct {
	// ID numbers the connections of this process from 1.
	ID uint64
	// Connector is the name of the connector that accepted it.
	Connector string
	// Peer and Local are the addresses of its two ends, as "ip:port"; for a
	// Unix socket Peer is "" or "@".
	Peer, Local string
}

type key struct{}

var lastID atomic.Uint64

// Label is the name of the profiler label that holds the connection's number.
const Label = "connection"

// With attaches a new Conn to the context of a connection.
func With(ctx context.Context, connector string, local, peer net.Addr) context.Context {
	c := &Conn{ID: lastID.Add(1), Connector: connector}
	if local != nil {
		c.Local = local.String()
	}
	if peer != nil {
		c.Peer = peer.String()
	}
	ctx = context.WithValue(ctx, key{}, c)
	return pprof.WithLabels(ctx, pprof.Labels(Label, strconv.FormatUint(c.ID, 10)))
}

// Of returns the connection that a request's context belongs to, nil if there is
// none (in tests).
func Of(ctx context.Context) *Conn {
	c, _ := ctx.Value(key{}).(*Conn)
	return c
}

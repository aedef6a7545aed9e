package transport

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
)

const (
	addressRate  = 50   // handshakes per second that one address may start
	addressBurst = 100  // and at once
	maxAddresses = 4096 // that are remembered
)

var errBusy = errors.New("too many handshakes")

// admission limits what peers can cause before they are authenticated: how many
// handshakes are in flight and how many per second an address may start.
type admission struct {
	max int
	now func() time.Time

	mu      sync.Mutex
	flying  int                    // guarded by mu
	refused uint64                 // guarded by mu
	buckets map[netip.Addr]*bucket // guarded by mu
	swept   time.Time              // guarded by mu: when buckets were last forgotten
}

type bucket struct {
	tokens float64
	at     time.Time
}

func newAdmission(most int) *admission {
	return &admission{max: most, now: time.Now, buckets: map[netip.Addr]*bucket{}}
}

// busy reports whether addresses must be proven before anything is kept for
// them (QUIC's Retry).
func (a *admission) busy(net.Addr) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.flying >= a.max/2
}

// enter takes a place for a handshake, to be given back by calling leave once
// or more. Only addresses that are proven to be the peer's are held to their
// rate: others could be anybody's, and with too many of them proof is asked.
func (a *admission) enter(from net.Addr, proven bool) (leave func(), err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.flying >= a.max || proven && !a.allow(addrOf(from)) {
		a.refused++
		return nil, errBusy
	}
	a.flying++
	return sync.OnceFunc(func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.flying--
	}), nil
}

// allow takes a token of the address; mu is held.
func (a *admission) allow(ip netip.Addr) bool {
	now := a.now()
	b := a.buckets[ip]
	if b == nil {
		if len(a.buckets) >= maxAddresses && now.Sub(a.swept) >= time.Second {
			a.swept = now
			a.forget(now)
		}
		if len(a.buckets) >= maxAddresses {
			return false
		}
		b = &bucket{tokens: addressBurst, at: now}
		a.buckets[ip] = b
	}
	b.tokens = min(addressBurst, b.tokens+now.Sub(b.at).Seconds()*addressRate)
	b.at = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// forget drops the addresses that have not been seen since their buckets must
// be full again; mu is held.
func (a *admission) forget(now time.Time) {
	for ip, b := range a.buckets {
		if now.Sub(b.at).Seconds()*addressRate >= addressBurst {
			delete(a.buckets, ip)
		}
	}
}

// count is how many were turned away.
func (a *admission) count() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.refused
}

type leaveKey struct{}

// connContext is quic.Transport's hook for each connection attempt: its place
// is given back when the handshake fails or, by done, when it is over.
func (a *admission) connContext(ctx context.Context, i *quic.ClientInfo) (context.Context, error) {
	leave, err := a.enter(i.RemoteAddr, i.AddrVerified)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, leave)
	return context.WithValue(ctx, leaveKey{}, leave), nil
}

// done says that the connection is authenticated.
func (a *admission) done(c *quic.Conn) {
	if leave, ok := c.Context().Value(leaveKey{}).(func()); ok {
		leave()
	}
}

func addrOf(a net.Addr) netip.Addr {
	switch a := a.(type) {
	case *net.UDPAddr:
		ip, _ := netip.AddrFromSlice(a.IP)
		return ip.Unmap()
	case *net.TCPAddr:
		ip, _ := netip.AddrFromSlice(a.IP)
		return ip.Unmap()
	}
	return netip.Addr{}
}

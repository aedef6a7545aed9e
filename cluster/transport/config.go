package transport

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/serval-server/serval/cluster/wire"
)

// Config says who this node is and how it talks. The zero value of each field
// but Self, TLS and Address is a sensible default.
type Config struct {
	// Self is this node: ID and Name are required. Address is what peers dial;
	// empty means the address that Listen turned out to be.
	Self Peer
	// Cluster is the cluster's name: nodes of another one are refused.
	Cluster string
	// Build is the server's version, told to peers for people to read.
	Build string
	// Listen is the host:port to listen on, UDP and TCP; empty is
	// Self.Address, port 0 any free port (the same for both).
	Listen string
	// TLS is for both ends: certificate, RootCAs or ClientCAs, verification of
	// the peer. Versions, protocols and session tickets are set here.
	TLS *tls.Config
	// PeerName takes the node's name from a verified certificate; nil means
	// the first DNS name, or the common name if there is none.
	PeerName func(tls.ConnectionState) (string, error)

	// Lanes is the number of ordered lanes per peer that this node wants; a
	// link has the smaller number of both ends. 0 means 1, at most 16.
	Lanes int
	// MaxQueue is how many bytes may wait for one peer, counted by wire.Item's
	// Size; beyond that the peer is lagging. 0 means 64 MiB.
	MaxQueue int
	// MaxBatch is how many bytes of items one batch takes. 0 means 256 KiB;
	// an item that is larger travels alone.
	MaxBatch int
	// BulkWindow is how many bytes of bulk items may be on the way and not yet
	// processed by the peer. 0 means 4 MiB, at most wire.MaxFlight.
	BulkWindow int
	// Pause is how long a lane waits at most, after an acknowledgement and
	// only while messages come fast, for more to put in the next batch. 0 is
	// not at all: bench/transport shows what it gains and costs.
	Pause time.Duration
	// AckDeadline is how long a live batch may stay unacknowledged before the
	// peer is lagging. 0 means 1 s.
	AckDeadline time.Duration
	// IdleTimeout is how long a peer may be silent (keep-alives are sent)
	// before its link is given up. 0 means 5 s, which is also the least that
	// the QUIC implementation takes from its peer.
	IdleTimeout time.Duration
	// HandshakeTimeout is for TLS and the hello after it. 0 means 3 s.
	HandshakeTimeout time.Duration
	// MaxHandshakes is how many handshakes of unknown peers may be in flight;
	// beyond half of it addresses must be proven first. 0 means 64.
	MaxHandshakes int

	// Logger takes what happens to links; nil discards it.
	Logger *slog.Logger

	// PacketConn and Listener are used instead of sockets of its own; a test's
	// network. With PacketConn but no Listener there is no tripwire.
	PacketConn net.PacketConn
	Listener   net.Listener
}

// withDefaults checks the configuration and fills it in.
func (c Config) withDefaults() (Config, error) {
	var errs []error
	if c.Self.ID == 0 || c.Self.Name == "" {
		errs = append(errs, errors.New("this node needs an id and a name"))
	}
	if c.TLS == nil {
		errs = append(errs, errors.New("no TLS configuration"))
	}
	if c.Lanes < 0 || c.Lanes > maxLanes {
		errs = append(errs, fmt.Errorf("%d lanes, at most %d allowed", c.Lanes, maxLanes))
	}
	c.Lanes = cmp.Or(c.Lanes, 1)
	c.Listen = cmp.Or(c.Listen, c.Self.Address, "127.0.0.1:0")
	c.MaxQueue = cmp.Or(c.MaxQueue, 64<<20)
	c.MaxBatch = min(cmp.Or(c.MaxBatch, 256<<10), maxFrame/2)
	c.BulkWindow = min(cmp.Or(c.BulkWindow, 4<<20), wire.MaxFlight)
	c.AckDeadline = cmp.Or(c.AckDeadline, time.Second)
	c.IdleTimeout = cmp.Or(c.IdleTimeout, 5*time.Second)
	c.HandshakeTimeout = cmp.Or(c.HandshakeTimeout, 3*time.Second)
	c.MaxHandshakes = cmp.Or(c.MaxHandshakes, 64)
	if c.PeerName == nil {
		c.PeerName = certificateName
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, errors.Join(errs...)
}

// maxLanes is how many lanes a link has at most.
const maxLanes = 16

// maxStreams is how many streams a peer may have open on a connection:
// forwarded requests, mostly.
const maxStreams = 1024

// quic is the configuration of each QUIC connection. The windows let a whole
// batch through at once, and a stream that nobody reads does not use up the
// connection's. A peer's silence is noticed by other means first; the idle
// timeout only ends what is certainly of no use any more.
func (c *Config) quic() *quic.Config {
	return &quic.Config{
		HandshakeIdleTimeout:           c.HandshakeTimeout,
		MaxIdleTimeout:                 c.IdleTimeout,
		KeepAlivePeriod:                c.IdleTimeout / 3,
		InitialStreamReceiveWindow:     2 << 20,
		MaxStreamReceiveWindow:         8 << 20,
		InitialConnectionReceiveWindow: 8 << 20,
		MaxConnectionReceiveWindow:     64 << 20,
		MaxIncomingStreams:             maxStreams,
		MaxIncomingUniStreams:          -1,
		Allow0RTT:                      false,
	}
}

// sockets are the UDP and the TCP port of one number.
type sockets struct {
	packets net.PacketConn
	tcp     net.Listener // nil: no tripwire
	own     bool         // opened here
}

// openSockets opens the port, unless the configuration has sockets, and sets
// Self.Address if it is not known.
func openSockets(c *Config) (*sockets, error) {
	s := &sockets{packets: c.PacketConn, tcp: c.Listener}
	if s.packets == nil {
		if err := s.open(c.Listen); err != nil {
			return nil, err
		}
	}
	if _, port, err := net.SplitHostPort(c.Self.Address); err != nil || port == "0" {
		c.Self.Address = s.packets.LocalAddr().String()
	}
	return s, nil
}

// open binds both. If any port will do, the one that UDP gets may be taken for
// TCP, so it tries a few times.
func (s *sockets) open(listen string) error {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return fmt.Errorf("address to listen on: %w", err)
	}
	for try := 0; ; try++ {
		s.packets, err = net.ListenPacket("udp", listen)
		if err != nil {
			return err
		}
		n := s.packets.LocalAddr().(*net.UDPAddr).Port
		s.tcp, err = net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(n)))
		if err == nil {
			s.own = true
			return nil
		}
		_ = s.packets.Close()
		if port != "0" || try == 20 {
			return err
		}
	}
}

// close closes what open opened.
func (s *sockets) close() {
	if s.own {
		_ = s.packets.Close()
		_ = s.tcp.Close()
	}
}

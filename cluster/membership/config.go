package membership

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"time"

	"github.com/hashicorp/memberlist"
)

// Node is one process of the cluster.
type Node struct {
	// ID tells the processes of one name apart: random per start, never 0.
	ID uint32
	// Name is the node's name, that of its certificate.
	Name string
	// Zone is where it stands ("" if that is not said): copies of a session
	// are spread over zones.
	Zone string
	// Address is where the others reach it: IP and port.
	Address string
}

// Config is what Start needs.
type Config struct {
	// Self is this node. Its Address is what the others are told.
	Self Node
	// Seeds are other nodes' addresses, "host:port"; a host name may stand for
	// several addresses and is looked up again and again. This node's own
	// may be among them. Empty: the node waits to be found.
	Seeds []string
	// Transport carries packets and streams. Close shuts it down.
	Transport memberlist.NodeAwareTransport
	// Key encrypts packets and streams, 32 bytes; nil: they are not (tests).
	Key []byte
	// Resolve looks a host name up; nil asks the system's resolver.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)
	// Refuses reports that for certain no node listens at an address, IP:port, because
	// its host says so. A first node does not wait for seeds that all refuse. Nil:
	// that is never certain.
	Refuses func(ctx context.Context, addr string) bool
	// Changed is called after the view has changed, from any goroutine, one
	// call at a time; it must not block. May be nil.
	Changed func()
	// Conflict is called at most once, if this node had to give way to another
	// one of the same name after Start. May be nil.
	Conflict func(error)
	// Logger takes what happens; memberlist's own messages come at debug level.
	// Nil: they are lost.
	Logger *slog.Logger
}

var validName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// maxZone bounds the length of a zone's name: it travels with each announcement.
const maxZone = 64

func (c *Config) validate() error {
	var errs []error
	if c.Self.ID == 0 {
		errs = append(errs, errors.New("the node has no id"))
	}
	if !validName.MatchString(c.Self.Name) {
		errs = append(errs, fmt.Errorf("%q cannot be a node's name: 1 to 64 letters, digits, - or _", c.Self.Name))
	}
	if len(c.Self.Zone) > maxZone {
		errs = append(errs, fmt.Errorf("the zone %q is longer than %d bytes", c.Self.Zone, maxZone))
	}
	if a, err := netip.ParseAddrPort(c.Self.Address); err != nil || a.Port() == 0 || a.Addr().IsUnspecified() {
		errs = append(errs, fmt.Errorf("%q is not an address that others can reach: IP and port", c.Self.Address))
	}
	for _, s := range c.Seeds {
		if _, _, err := splitSeed(s); err != nil {
			errs = append(errs, err)
		}
	}
	if c.Transport == nil {
		errs = append(errs, errors.New("there is no transport"))
	}
	return errors.Join(errs...)
}

// splitSeed takes a seed apart.
func splitSeed(s string) (host string, port uint16, err error) {
	host, p, err := net.SplitHostPort(s)
	n, perr := strconv.ParseUint(p, 10, 16)
	if err != nil || perr != nil || n == 0 || host == "" {
		return "", 0, fmt.Errorf("seed %q is not HOST:PORT", s)
	}
	return host, uint16(n), nil
}

const (
	probeInterval = 200 * time.Millisecond
	probeTimeout  = 100 * time.Millisecond
	// joinTimeout bounds an exchange of everything that is known with one node.
	joinTimeout = 2 * time.Second
)

// tuned is memberlist's configuration for a LAN of a few nodes. A silent host is
// first suspected after at most (n-1) probes of one of n-1 probers, some 400 ms,
// plus one interval; then it has SuspicionMult intervals (1 s) to speak up if
// enough others agree, or in clusters of up to 4, and twice that if none does. So
// it is out within 2.5 s, and a node that starves of CPU has a second.
func tuned(c *Config, ip string, port int) *memberlist.Config {
	m := memberlist.DefaultLANConfig()
	m.Name = c.Self.mlName()
	m.Transport = c.Transport
	m.AdvertiseAddr, m.AdvertisePort = ip, port
	m.BindAddr, m.BindPort = ip, port
	m.ProbeInterval = probeInterval
	m.ProbeTimeout = probeTimeout
	m.SuspicionMult = 5           // × ProbeInterval × max(1, log10 n)
	m.SuspicionMaxTimeoutMult = 2 // if nobody confirms
	m.AwarenessMaxMultiplier = 4  // Lifeguard: a node that misses answers probes up to 4 times less often
	m.IndirectChecks = 3
	m.RetransmitMult = 8 // × log10 n: with the default 4 one of eight nodes sometimes hears of nothing until the next exchange
	m.GossipInterval = 50 * time.Millisecond
	m.GossipNodes = 3
	m.GossipToTheDeadTime = 30 * time.Second
	m.PushPullInterval = 5 * time.Second // everything, with one random node: a few hundred bytes
	m.TCPTimeout = joinTimeout
	m.UDPBufferSize = 1200 // QUIC forbids fragments on the socket that we share
	m.EnableCompression = false
	m.SecretKey = c.Key
	m.DNSConfigPath = "" // addresses are looked up here, not there
	m.LogOutput = &logWriter{logger: c.Logger}
	return m
}

// Advertise finds the address that others reach this node at: advertise
// ("host", "host:port") if it is set, else the host that it listens on, and if that
// is every interface ("", "0.0.0.0", "::") the one from which the first seed that is
// not this machine is reached, or else the machine's first address that is not loopback.
func Advertise(listen, advertise string, seeds []string) (netip.AddrPort, error) {
	host, p, err := net.SplitHostPort(listen)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("listening address %q: %w", listen, err)
	}
	if advertise != "" {
		host = advertise
		if h, ap, err := net.SplitHostPort(advertise); err == nil {
			host, p = h, ap
		}
	}
	port, err := strconv.ParseUint(p, 10, 16)
	if err != nil || port == 0 {
		return netip.AddrPort{}, fmt.Errorf("port %q of the cluster's address: 1 to 65535 (others must know it)", p)
	}
	if ip, err := netip.ParseAddr(host); host != "" && (err != nil || !ip.IsUnspecified()) {
		ctx, cancel := context.WithTimeout(context.Background(), joinTimeout)
		defer cancel()
		ips, err := lookup(ctx, host)
		if err != nil || len(ips) == 0 {
			return netip.AddrPort{}, fmt.Errorf("looking up the address %q to tell other nodes: %w", host, err)
		}
		return netip.AddrPortFrom(ips[0], uint16(port)), nil
	}
	for _, s := range seeds {
		// Nothing is sent: this asks the routing table.
		if c, err := net.Dial("udp", s); err == nil {
			a := c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
			c.Close()
			if !a.IsLoopback() {
				return netip.AddrPortFrom(a, uint16(port)), nil
			}
		}
	}
	return ownAddress(uint16(port))
}

// ownAddress is the machine's first address that others may know, IPv4 before IPv6.
func ownAddress(port uint16) (netip.AddrPort, error) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return netip.AddrPort{}, err
	}
	var found netip.Addr
	for _, a := range addrs {
		n, ok := a.(*net.IPNet)
		if !ok || !n.IP.IsGlobalUnicast() {
			continue
		}
		ip, _ := netip.AddrFromSlice(n.IP)
		if ip = ip.Unmap(); !found.IsValid() || found.Is6() && ip.Is4() {
			found = ip
		}
	}
	if !found.IsValid() {
		return netip.AddrPort{}, errors.New("this machine has no address but loopback: say with advertise where other nodes reach it")
	}
	return netip.AddrPortFrom(found, port), nil
}

// lookup asks the system's resolver, IPv4 first.
func lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{ip.Unmap()}, nil
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	var out []netip.Addr
	for _, want4 := range []bool{true, false} {
		for _, ip := range ips {
			if ip = ip.Unmap(); ip.Is4() == want4 {
				out = append(out, ip)
			}
		}
	}
	return out, err
}

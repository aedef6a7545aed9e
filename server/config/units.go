package config

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Duration is a time span, written as Go writes it: "20s", "500ms", "1h30m".
// "0" means none; what that does is said at each key.
type Duration time.Duration

// UnmarshalText parses a duration. A bare number is refused, because nobody
// knows whether it was meant as seconds or as Tomcat's milliseconds.
func (d *Duration) UnmarshalText(text []byte) error {
	s := string(text)
	if s == "0" {
		*d = 0
		return nil
	}
	v, err := time.ParseDuration(s)
	if err != nil {
		return fmt.Errorf("%q is not a duration: write a number with a unit, such as \"20s\", \"500ms\" or \"1h30m\"", s)
	}
	if v < 0 {
		return fmt.Errorf("%q is negative; \"0\" switches it off", s)
	}
	*d = Duration(v)
	return nil
}

// D returns the duration as the standard library's type.
func (d Duration) D() time.Duration { return time.Duration(d) }

func (d Duration) String() string { return time.Duration(d).String() }

// Size is a number of bytes: an integer, or a string with a unit: "8KiB", "2MiB",
// "1GiB" (powers of 1024; KB, MB, GB and K, M, G mean the same).
type Size int64

// UnmarshalText parses a size.
func (z *Size) UnmarshalText(text []byte) error {
	s := strings.TrimSpace(string(text))
	digits := strings.TrimRight(s, "KMGTiBkmgtb ")
	factor, ok := map[string]int64{"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}[unit(s[len(digits):])]
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || !ok || n < 0 || n > (1<<62)/factor {
		return fmt.Errorf("%q is not a size: write bytes as a number, or with a unit as in \"8KiB\", \"2MiB\", \"1GiB\"", s)
	}
	*z = Size(n * factor)
	return nil
}

func unit(s string) string {
	s = strings.ToLower(strings.TrimSpace(s))
	return strings.TrimSuffix(strings.TrimSuffix(s, "b"), "i")
}

func (z Size) String() string {
	for _, u := range []struct {
		name string
		size Size
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if z >= u.size && z%u.size == 0 {
			return fmt.Sprintf("%d%s", z/u.size, u.name)
		}
	}
	return strconv.FormatInt(int64(z), 10)
}

// Address is where a connector listens: "host:port", ":port" for all
// interfaces, or "unix:PATH" for a Unix socket.
type Address string

// UnmarshalText parses an address. A bare port number is taken as ":port".
func (a *Address) UnmarshalText(text []byte) error {
	s := string(text)
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		if path == "" {
			return fmt.Errorf("%q has no path: write \"unix:run/http.sock\"", s)
		}
		*a = Address(s)
		return nil
	}
	if _, err := strconv.ParseUint(s, 10, 16); err == nil {
		s = ":" + s
	}
	_, port, err := net.SplitHostPort(s)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return fmt.Errorf("%q is not an address: write \":8080\", \"localhost:8080\", \"[::1]:8080\" or \"unix:run/http.sock\"", s)
	}
	*a = Address(s)
	return nil
}

// Unix returns the path of a Unix socket.
func (a Address) Unix() (path string, ok bool) { return strings.CutPrefix(string(a), "unix:") }

// Port returns the TCP port, 0 for a Unix socket or a port that the system chooses.
func (a Address) Port() int {
	_, port, _ := net.SplitHostPort(string(a))
	n, _ := strconv.Atoi(port)
	return n
}

// Networks is a list of IP networks: "10.0.0.0/8", or a single "127.0.0.1".
type Networks []Network

// Network is one IP network.
type Network struct{ netip.Prefix }

// UnmarshalText parses a network in CIDR form or a single address.
func (n *Network) UnmarshalText(text []byte) error {
	s := string(text)
	if p, err := netip.ParsePrefix(s); err == nil {
		n.Prefix = p.Masked()
		return nil
	}
	addr, err := netip.ParseAddr(s)
	if err != nil || addr.Zone() != "" {
		return fmt.Errorf("%q is not an IP address or network: write \"10.0.0.0/8\" or \"::1\"", s)
	}
	n.Prefix = netip.PrefixFrom(addr, addr.BitLen())
	return nil
}

// Contain reports whether an address is in one of the networks. An IPv4 address
// in IPv6 form counts as IPv4.
func (ns Networks) Contain(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	for _, n := range ns {
		if n.Contains(a) {
			return true
		}
	}
	return false
}

// mustNetworks parses networks that are written in this package.
func mustNetworks(list ...string) Networks {
	out := make(Networks, len(list))
	for i, s := range list {
		if err := out[i].UnmarshalText([]byte(s)); err != nil {
			panic("config: " + err.Error())
		}
	}
	return out
}

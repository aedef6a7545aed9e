package valves

import (
	"net/netip"
	"strconv"
	"strings"
)

// ValidHost reports whether the value of a Host header is one that a server should
// answer (RFC 9112 §3.2 asks for 400 otherwise): a name of letters, digits, dots,
// hyphens and underscores, an IPv4 address, or an IPv6 address in brackets, each
// with an optional port. Empty is valid. RFC 3986 §3.2.2 would allow more in a name,
// such as percent-encoding and ";", which no DNS name has.
func ValidHost(s string) bool {
	name, port := s, ""
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return false
		}
		if ip, err := netip.ParseAddr(s[1:end]); err != nil || !ip.Is6() || ip.Zone() != "" {
			return false
		}
		name, port = "", s[end+1:]
		if port != "" && port[0] != ':' {
			return false
		}
		port = strings.TrimPrefix(port, ":")
	} else if i := strings.IndexByte(s, ':'); i >= 0 {
		name, port = s[:i], s[i+1:]
	}
	if port != "" {
		if _, err := strconv.ParseUint(port, 10, 32); err != nil {
			return false
		}
	}
	for _, c := range []byte(name) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '-' && c != '.' && c != '_' {
			return false
		}
	}
	return name == "" || name[0] != '.' && name[0] != '-'
}

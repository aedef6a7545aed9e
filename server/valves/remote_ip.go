package valves

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/serval-server/serval/server/config"
)

// remoteIP makes a request say who the client is when it came through proxies, by
// the rules of Tomcat's RemoteIpValve: the header's addresses are walked from right
// to left while they are proxies that are trusted; the first that is not is the
// client. Nothing is changed if the connection does not come from a trusted proxy.
//
// That the client spoke HTTPS is shown by a Request.TLS that is not nil, as if the
// connection itself were secure: it holds no details.
func remoteIP(c *config.RemoteIP) func(http.Handler) http.Handler {
	v := &remoteIPValve{c: *c}
	v.c.Header = http.CanonicalHeaderKey(c.Header)
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			v.apply(r)
			next.ServeHTTP(w, r)
		})
	}
}

type remoteIPValve struct{ c config.RemoteIP }

// maxProxies bounds how many addresses of the header are looked at.
const maxProxies = 64

func (v *remoteIPValve) apply(r *http.Request) {
	peer, ok := parseAddr(r.RemoteAddr)
	switch {
	case !ok && !isUnixPeer(r.RemoteAddr):
		return
	case ok && !v.c.InternalProxies.Contain(peer) && !v.c.TrustedProxies.Contain(peer):
		return
	}
	var listed []string // trusted proxies that were passed, the client's side first
	if ok && !v.c.InternalProxies.Contain(peer) {
		listed = append(listed, peer.String())
	}
	client, rest := netip.Addr{}, 0
	hops := forwarded(r.Header[v.c.Header])
	for i, hop := range slices.Backward(hops) {
		addr, ok := parseAddr(hop)
		if !ok {
			break // what comes before it cannot be trusted either
		}
		client, rest = addr, i
		if v.c.InternalProxies.Contain(addr) {
			continue
		}
		if !v.c.TrustedProxies.Contain(addr) {
			break
		}
		listed = append(listed, addr.String())
	}
	v.protocol(r)
	if !client.IsValid() {
		return
	}
	r.RemoteAddr = net.JoinHostPort(client.String(), "0")
	if rest == 0 {
		r.Header.Del(v.c.Header)
	} else {
		r.Header[v.c.Header] = []string{strings.Join(hops[:rest], ", ")}
	}
	if v.c.ProxiesHeader != "" {
		slices.Reverse(listed)
		if len(listed) > 0 && listed[0] == client.String() {
			listed = listed[1:]
		}
		if len(listed) == 0 {
			r.Header.Del(v.c.ProxiesHeader)
		} else {
			r.Header.Set(v.c.ProxiesHeader, strings.Join(listed, ", "))
		}
	}
}

// protocol takes scheme, host and port from the proxy's headers. Every value of
// the protocol header must be https (a chain of proxies appends its own).
func (v *remoteIPValve) protocol(r *http.Request) {
	if h := v.c.ProtocolHeader; h != "" {
		if protos := forwarded(r.Header.Values(h)); len(protos) > 0 {
			secure := !slices.ContainsFunc(protos, func(p string) bool { return !strings.EqualFold(p, "https") })
			switch {
			case secure && r.TLS == nil:
				r.TLS = &tls.ConnectionState{HandshakeComplete: true, ServerName: r.Host}
			case !secure:
				r.TLS = nil
			}
		}
	}
	if h := v.c.HostHeader; h != "" {
		if hosts := forwarded(r.Header.Values(h)); len(hosts) > 0 && ValidHost(hosts[0]) {
			r.Host = hosts[0]
		}
	}
	if h := v.c.PortHeader; h != "" {
		if port, err := strconv.ParseUint(r.Header.Get(h), 10, 16); err == nil && port > 0 {
			name := r.Host
			if n, _, err := net.SplitHostPort(name); err == nil {
				name = n
			}
			r.Host = net.JoinHostPort(strings.Trim(name, "[]"), strconv.FormatUint(port, 10))
		}
	}
}

// forwarded splits header lines at their commas; the rightmost maxProxies remain.
func forwarded(lines []string) []string {
	var out []string
	for _, line := range lines {
		for part := range strings.SplitSeq(line, ",") {
			if part = strings.TrimSpace(part); part != "" {
				out = append(out, part)
			}
		}
	}
	return out[max(0, len(out)-maxProxies):]
}

// parseAddr reads an address with or without a port.
func parseAddr(s string) (netip.Addr, bool) {
	if host, _, err := net.SplitHostPort(s); err == nil {
		s = host
	}
	a, err := netip.ParseAddr(strings.Trim(s, "[]"))
	return a.Unmap(), err == nil
}

// isUnixPeer reports whether the request came through a Unix socket, whose file mode
// says who may use it: its peer is trusted as an internal proxy.
func isUnixPeer(addr string) bool { return addr == "" || addr == "@" || strings.HasPrefix(addr, "/") }

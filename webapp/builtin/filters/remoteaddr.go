package filters

import (
	"net/http"
	"net/netip"
	"regexp"
)

// matcher tells some addresses from others, by networks or by a regular
// expression for the address as text.
type matcher struct {
	networks []netip.Prefix
	pattern  *regexp.Regexp
}

// set reports whether there is anything to match.
func (m matcher) set() bool { return len(m.networks) > 0 || m.pattern != nil }

func (m matcher) match(a netip.Addr) bool {
	if !a.IsValid() {
		return false
	}
	for _, n := range m.networks {
		if n.Contains(a) {
			return true
		}
	}
	return m.pattern != nil && m.pattern.MatchString(a.String())
}

// matcher reads a parameter that is a list of networks or a regular expression.
func (p *params) matcher(name, def string) matcher {
	text := p.text(name, def)
	if text == "" {
		return matcher{}
	}
	if networks, bad := parseNetworks(text); bad == "" {
		return matcher{networks: networks}
	}
	// Java's possessive quantifiers and the like are no loss to address patterns.
	pattern, err := regexp.Compile("^(?:" + text + ")$")
	if err != nil {
		p.wrong(name, "%q: neither a list of networks nor a regular expression: %w", text, err)
		return matcher{}
	}
	return matcher{pattern: pattern}
}

// parseNetworks reads a list of networks and addresses, or returns the member
// that is neither.
func parseNetworks(text string) (networks []netip.Prefix, bad string) {
	for _, s := range splitList(text) {
		if n, err := netip.ParsePrefix(s); err == nil {
			networks = append(networks, n.Masked())
			continue
		}
		a := parseAddr(s)
		if !a.IsValid() {
			return nil, s
		}
		networks = append(networks, netip.PrefixFrom(a, a.BitLen()))
	}
	return networks, ""
}

// NewRemoteAddr makes a filter that lets clients in by their address:
//
//	allow      none; a regular expression for the whole address, or networks
//	deny       none; the same, and asked first
//	denyStatus 403
//
// Who matches deny is refused; if there is an allow, who does not match it too.
// Without either nobody gets in, as with Tomcat: an empty list is a slip.
func NewRemoteAddr(values map[string]string) (func(http.Handler) http.Handler, error) {
	p := newParams("remote-addr", values)
	return accessFilter(p, p.matcher("allow", ""), p.matcher("deny", ""))
}

// NewRemoteHost is NewRemoteAddr for descriptors that name Tomcat's
// RemoteHostFilter: a client's host is its address unless names are looked up,
// which a server should not wait for, and does not by default there either.
func NewRemoteHost(values map[string]string) (func(http.Handler) http.Handler, error) {
	p := newParams("remote-host", values)
	return accessFilter(p, p.matcher("allow", ""), p.matcher("deny", ""))
}

// NewRemoteCIDR is NewRemoteAddr with networks only (10.0.0.0/8,::1), so that a
// slip is an error and not an expression that matches something else.
func NewRemoteCIDR(values map[string]string) (func(http.Handler) http.Handler, error) {
	p := newParams("remote-cidr", values)
	network := func(name string) matcher {
		networks, bad := parseNetworks(p.text(name, ""))
		if bad != "" {
			p.wrong(name, "%q: not a network such as 10.0.0.0/8 or an address", bad)
		}
		return matcher{networks: networks}
	}
	return accessFilter(p, network("allow"), network("deny"))
}

func accessFilter(p *params, allow, deny matcher) (func(http.Handler) http.Handler, error) {
	status := p.int("denyStatus", http.StatusForbidden, 400, 599)
	for _, name := range []string{"addConnectorPort", "usePeerAddress", "invalidAuthenticationWhenDeny"} {
		if p.bool(name, false) {
			p.wrong(name, "true is not supported; remote-ip decides what the address is")
		}
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			addr := remoteAddr(r)
			if deny.match(addr) || allow.set() && !allow.match(addr) || !deny.set() && !allow.set() {
				refuse(w, r, status, "")
				return
			}
			next.ServeHTTP(w, r)
		})
	}, nil
}

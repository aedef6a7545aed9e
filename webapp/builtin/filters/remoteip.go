package filters

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// DefaultInternalProxies are the networks whose proxies are believed without
// being listed: the private, link-local, shared and loopback ranges.
const DefaultInternalProxies = "10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,169.254.0.0/16,100.64.0.0/10,127.0.0.0/8,::1/128,fe80::/10,fc00::/7"

// NewRemoteIP makes a filter that takes the client's address, the scheme and
// the host from the headers of a proxy in front, if the proxy is one that may
// be believed:
//
//	internalProxies          DefaultInternalProxies
//	trustedProxies           none; believed like the others, and listed in proxiesHeader
//	remoteIpHeader           X-Forwarded-For
//	proxiesHeader            X-Forwarded-By
//	protocolHeader           X-Forwarded-Proto; "" takes no notice
//	protocolHeaderHttpsValue https
//	hostHeader, portHeader   none
//	httpServerPort           80
//	httpsServerPort          443
//	requestAttributesEnabled true: sets org.apache.catalina.AccessLog.RemoteAddr
//
// Proxies are networks (10.0.0.0/8) and addresses, or a regular expression for
// the whole address as older descriptors have it. remoteIpHeader is read from
// its end, over the proxies that are believed; the first other address is the
// client. A value that is no address ends the reading: what comes before it
// could be anybody's invention.
//
// The handlers behind see the client in RemoteAddr, with the port 0; what came
// over https has a TLS state, empty if it is the proxy's word only.
func NewRemoteIP(values map[string]string) (func(http.Handler) http.Handler, error) {
	p := newParams("remote-ip", values)
	f := &remoteIP{
		internal:      p.matcher("internalProxies", DefaultInternalProxies),
		trusted:       p.matcher("trustedProxies", ""),
		header:        http.CanonicalHeaderKey(p.text("remoteIpHeader", "X-Forwarded-For")),
		proxiesHeader: http.CanonicalHeaderKey(p.text("proxiesHeader", "X-Forwarded-By")),
		protoHeader:   http.CanonicalHeaderKey(p.text("protocolHeader", "X-Forwarded-Proto")),
		httpsValue:    p.text("protocolHeaderHttpsValue", "https"),
		hostHeader:    http.CanonicalHeaderKey(p.text("hostHeader", "")),
		portHeader:    http.CanonicalHeaderKey(p.text("portHeader", "")),
		httpPort:      p.int("httpServerPort", 80, 1, 65535),
		httpsPort:     p.int("httpsServerPort", 443, 1, 65535),
		attributes:    p.bool("requestAttributesEnabled", true),
	}
	p.ignore("changeLocalName", "changeLocalPort", "enableLookups")
	if err := p.err(); err != nil {
		return nil, err
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(w, f.rewrite(r))
		})
	}, nil
}

type remoteIP struct {
	internal, trusted      matcher
	header, proxiesHeader  string
	protoHeader            string
	httpsValue             string
	hostHeader, portHeader string
	httpPort, httpsPort    int
	attributes             bool
}

// rewrite returns the request as the client sent it to the proxy; the request
// itself if its sender is not to be believed.
func (f *remoteIP) rewrite(r *http.Request) *http.Request {
	peer := remoteAddr(r)
	internal := f.internal.match(peer)
	if !internal && !f.trusted.match(peer) {
		return r
	}
	r2 := r.WithContext(r.Context())
	r2.Header = r.Header.Clone()
	if f.header != "" {
		f.setClient(r2, peer, internal)
	}
	f.setProtocol(r2)
	f.setHost(r2)
	return r2
}

// setClient walks over the proxies, from the nearest one.
func (f *remoteIP) setClient(r *http.Request, peer netip.Addr, internal bool) {
	var hops []string
	for _, v := range r.Header[f.header] {
		hops = append(hops, splitList(v)...)
	}
	var client netip.Addr
	var proxies []string
	if !internal {
		proxies = append(proxies, peer.String())
	}
	for len(hops) > 0 {
		hop := parseHop(hops[len(hops)-1])
		if !hop.IsValid() {
			break
		}
		client, hops = hop, hops[:len(hops)-1]
		if f.internal.match(hop) {
			continue
		}
		if !f.trusted.match(hop) {
			break
		}
		proxies = append(proxies, hop.String())
	}
	if !client.IsValid() {
		return
	}
	r.RemoteAddr = net.JoinHostPort(client.String(), "0")
	slices.Reverse(proxies)
	setOrDelete(r.Header, f.proxiesHeader, strings.Join(proxies, ", "))
	setOrDelete(r.Header, f.header, strings.Join(hops, ", "))
	if f.attributes {
		tell(r, "org.apache.catalina.AccessLog.RemoteAddr", client.String())
	}
}

func setOrDelete(h http.Header, name, value string) {
	switch {
	case name == "":
	case value == "":
		h.Del(name)
	default:
		h.Set(name, value)
	}
}

// parseHop reads an address of the header, which may have brackets and a port.
func parseHop(s string) netip.Addr {
	if a := parseAddr(strings.Trim(s, "[]")); a.IsValid() {
		return a
	}
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}

// setProtocol takes the scheme; all proxies have to have been spoken to by TLS.
func (f *remoteIP) setProtocol(r *http.Request) {
	if f.protoHeader == "" {
		return
	}
	var protos []string
	for _, v := range r.Header[f.protoHeader] {
		protos = append(protos, splitList(v)...)
	}
	if len(protos) == 0 {
		return
	}
	for _, p := range protos {
		if !strings.EqualFold(p, f.httpsValue) {
			r.TLS = nil
			return
		}
	}
	if r.TLS == nil {
		r.TLS = &tls.ConnectionState{}
	}
}

// setHost takes the host and the port, and leaves away a port that goes with
// the scheme without saying.
func (f *remoteIP) setHost(r *http.Request) {
	host := ""
	if f.hostHeader != "" {
		host = strings.TrimSpace(r.Header.Get(f.hostHeader))
	}
	if host == "" || strings.ContainsAny(host, " \t,/\\@?#") {
		return
	}
	usual := f.httpPort
	if r.TLS != nil {
		usual = f.httpsPort
	}
	if f.portHeader != "" {
		port, err := strconv.Atoi(strings.TrimSpace(r.Header.Get(f.portHeader)))
		if err == nil && port > 0 && port <= 65535 {
			if name, _, err := net.SplitHostPort(host); err == nil {
				host = name
			}
			host = strings.Trim(host, "[]")
			if port != usual {
				r.Host = net.JoinHostPort(host, strconv.Itoa(port))
				return
			}
			if strings.Contains(host, ":") {
				host = "[" + host + "]"
			}
		}
	}
	r.Host = host
}

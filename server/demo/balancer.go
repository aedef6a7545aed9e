package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// balancer sends requests to the nodes: to the one whose name the session's cookie
// ends with, else to each in turn. If that one cannot be reached, another gets the
// request, provided that it was not sent or may be executed twice (RFC 9110 §9.2.2).
type balancer struct {
	nodes []*node
	base  *http.Transport
	proxy httputil.ReverseProxy
	turn  atomic.Uint64

	requests, retried, failed atomic.Uint64
}

func newBalancer(nodes []*node) *balancer {
	b := &balancer{nodes: nodes, base: &http.Transport{
		DialContext:         (&net.Dialer{Timeout: time.Second}).DialContext,
		MaxIdleConnsPerHost: 64, IdleConnTimeout: 30 * time.Second, ResponseHeaderTimeout: 30 * time.Second,
		DisableCompression: true,
	}}
	b.proxy = httputil.ReverseProxy{
		Transport: b, FlushInterval: -1, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.Host = p.In.Host
			p.Out.URL.Scheme, p.Out.URL.Host = "http", "node" // RoundTrip chooses it
			p.SetXForwarded()
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if r.Context().Err() != nil {
				return // the client has gone
			}
			b.failed.Add(1)
			w.Header().Set("Retry-After", "1")
			http.Error(w, "No node could answer: "+err.Error(), http.StatusBadGateway)
		},
	}
	return b
}

// ServeHTTP implements http.Handler.
func (b *balancer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/" {
		http.Redirect(w, r, "/shop/", http.StatusFound)
		return
	}
	b.requests.Add(1)
	b.proxy.ServeHTTP(w, r)
}

func (b *balancer) close() { b.base.CloseIdleConnections() }

// sessionCookie is what the route is read from.
const sessionCookie = "JSESSIONID"

// routeOf is the name of the node in the request's session id, "" if there is none.
func routeOf(r *http.Request) string {
	c, err := r.Cookie(sessionCookie)
	if err != nil {
		return ""
	}
	_, route, _ := strings.Cut(c.Value, ".")
	return route
}

// candidates are the nodes that run, in the order in which they are tried.
func (b *balancer) candidates(route string) []*url.URL {
	var first, rest, last []*url.URL
	start := int(b.turn.Add(1) % uint64(len(b.nodes)))
	for i := range b.nodes {
		n := b.nodes[(start+i)%len(b.nodes)]
		n.mu.Lock()
		state, u := n.state, n.url
		n.mu.Unlock()
		switch {
		case u == nil:
		case state != stateReady:
			last = append(last, u) // it can still pass a request on
		case n.name == route:
			first = append(first, u)
		default:
			rest = append(rest, u)
		}
	}
	return slices.Concat(first, rest, last)
}

// errNoNode is what clients hear when nobody is left.
var errNoNode = errors.New("no node is ready")

// RoundTrip implements http.RoundTripper.
func (b *balancer) RoundTrip(r *http.Request) (*http.Response, error) {
	body := r.Body
	if body != nil {
		defer body.Close()
	}
	err := errNoNode
	for i, u := range b.candidates(routeOf(r)) {
		if i > 0 {
			b.retried.Add(1)
		}
		out := r.Clone(r.Context())
		out.URL.Scheme, out.URL.Host = u.Scheme, u.Host
		if body != nil {
			out.Body = io.NopCloser(body) // for the next attempt
		}
		var res *http.Response
		if res, err = b.base.RoundTrip(out); err == nil {
			return res, nil
		}
		if r.Context().Err() != nil || !unsent(err) && !(idempotent(r.Method) && (body == nil || body == http.NoBody)) {
			break
		}
	}
	return nil, err
}

// unsent reports that no connection was made, so that nothing was executed.
func unsent(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

func idempotent(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPut, http.MethodDelete:
		return true
	}
	return false
}

// probe asks a node of which only the process is known where it listens.
func (n *node) probe(ctx context.Context) error {
	st, err := n.control.Status(ctx)
	if err != nil {
		return err
	}
	if len(st.Connectors) == 0 {
		return fmt.Errorf("%s has no connector", n.name)
	}
	u, err := url.Parse("http://" + st.Connectors[0].Address)
	if err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cmd != nil && st.PID == n.cmd.Process.Pid {
		n.url = u
	}
	return nil
}

package forward

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/http/httputil"
	"net/textproto"
	"slices"
	"sync"
	"sync/atomic"
)

// Client forwards requests.
type Client struct {
	open      func(ctx context.Context, node uint32) (net.Conn, error)
	proxy     httputil.ReverseProxy
	forwarded atomic.Uint64
	failed    atomic.Uint64

	mu      sync.Mutex
	streams map[uint32]map[net.Conn]struct{} // guarded by mu: those that are open, by node
}

// NewClient makes a Client that opens its streams with open: to the node of a
// number, as the cluster's members are numbered. open must fail at once, or soon, for
// a node that is not connected.
func NewClient(open func(ctx context.Context, node uint32) (net.Conn, error), log *slog.Logger) *Client {
	c := &Client{open: open, streams: map[uint32]map[net.Conn]struct{}{}}
	c.proxy = httputil.ReverseProxy{
		Rewrite: rewrite, Transport: (*transport)(c), FlushInterval: -1, BufferPool: &buffers{},
		ErrorHandler: func(_ http.ResponseWriter, r *http.Request, err error) { passOf(r.Context()).err = err },
		ErrorLog:     slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	return c
}

// Stats are a Client's counters since it was made.
type Stats struct {
	// Forwarded requests, and those among them that failed before their answer began.
	Forwarded, Failed uint64
}

// Stats returns the counters.
func (c *Client) Stats() Stats {
	return Stats{Forwarded: c.forwarded.Load(), Failed: c.failed.Load()}
}

// Nodes are the nodes to which requests are open.
func (c *Client) Nodes() []uint32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Collect(maps.Keys(c.streams))
}

// Abort breaks off the requests that are open to a node: it is dead, or silent, and
// will not answer. They fail as if the connection had been lost.
func (c *Client) Abort(node uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn := range c.streams[node] {
		_ = conn.Close() // who reads from it says what is wrong
	}
}

func (c *Client) opened(node uint32, conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.streams[node] == nil {
		c.streams[node] = map[net.Conn]struct{}{}
	}
	c.streams[node][conn] = struct{}{}
}

func (c *Client) closed(node uint32, conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.streams[node], conn)
	if len(c.streams[node]) == 0 {
		delete(c.streams, node)
	}
}

// Error is what Forward returns when no answer has begun.
type Error struct {
	// Node is where the request was to go.
	Node uint32
	// Retryable: the body has not been read, and the request was not executed or
	// may be executed again.
	Retryable bool
	Err       error
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("forward to node %d: %v", e.Node, e.Err) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// pass is one attempt at forwarding a request, in its context.
type pass struct {
	node     uint32
	preamble []byte
	err      error
	sent     bool // the other node may have begun to execute it
}

type passKey struct{}

func passOf(ctx context.Context) *pass {
	p, _ := ctx.Value(passKey{}).(*pass)
	return p
}

// Forward carries a request to a node and its answer to w. The error is an *Error
// that says whether the request can be tried elsewhere; nothing has then been
// written to w. An answer that breaks off panics with http.ErrAbortHandler, so that
// the client sees that it is not whole.
func (c *Client) Forward(w http.ResponseWriter, r *http.Request, node uint32) error {
	p := &pass{node: node}
	var err error
	if p.preamble, err = describe(r, Hops(r.Context())+1).append(nil); err != nil {
		return &Error{Node: node, Err: err}
	}
	c.forwarded.Add(1)
	in := r.WithContext(context.WithValue(r.Context(), passKey{}, p))
	body := &body{under: r.Body}
	if r.Body != nil && r.Body != http.NoBody {
		in.Body = body
	}
	// No type must be guessed for an answer that has none: the other node would
	// have done so.
	h := w.Header()
	_, typed := h["Content-Type"]
	if !typed {
		h["Content-Type"] = nil
	}
	c.proxy.ServeHTTP(w, in)
	untouched, bodyErr := body.end()
	if p.err == nil {
		return nil
	}
	if !typed {
		delete(h, "Content-Type")
	}
	c.failed.Add(1)
	if bodyErr != nil {
		p.err = bodyErr // the stream was closed because of it
	}
	return &Error{Node: node, Retryable: untouched && (!p.sent || idempotent(r.Method)), Err: p.err}
}

// idempotent methods may be executed twice (RFC 9110 §9.2.2).
func idempotent(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	return false
}

// rewrite keeps a request as it came: ReverseProxy takes away what a proxy at the
// border of a network should not pass on, but this is the inside of one server.
func rewrite(p *httputil.ProxyRequest) {
	for _, name := range [...]string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
		if v := p.In.Header[name]; v != nil {
			p.Out.Header[name] = v
		}
	}
	p.Out.URL.RawQuery = p.In.URL.RawQuery
	p.Out.URL.ForceQuery = p.In.URL.ForceQuery
	p.Out.Trailer = p.In.Trailer
	// The client is told to continue when its body is read.
	p.Out.Header.Del("Expect")
}

// body is a request's body during one attempt. It is not closed with the attempt,
// since there may be another, and whoever made the request closes it.
type body struct {
	under io.ReadCloser

	mu    sync.Mutex
	begun bool  // guarded by mu: somebody has read, or waits for what comes
	ended bool  // guarded by mu: the attempt is over
	err   error // guarded by mu: why it could not be read to its end
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	if b.ended {
		b.mu.Unlock()
		return 0, http.ErrBodyReadAfterClose
	}
	b.begun = true
	b.mu.Unlock()
	n, err := b.under.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		b.mu.Lock()
		b.err = err
		b.mu.Unlock()
	}
	return n, err
}

// Close implements io.Closer.
func (b *body) Close() error {
	_, err := b.end()
	return err
}

// end lets nothing be read any more, and reports whether nothing has been, and what
// was wrong with it.
func (b *body) end() (untouched bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
	return !b.begun, b.err
}

// transport sends one request on a stream of its own.
type transport Client

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	p := passOf(r.Context())
	conn, err := t.open(r.Context(), p.node)
	if err != nil {
		return nil, err
	}
	c := (*Client)(t)
	c.opened(p.node, conn)
	x := &exchange{conn: conn, pass: p, r: r, ended: func() { c.closed(p.node, conn) }}
	// The end of the request ends the stream, whoever waits for it.
	x.stop = context.AfterFunc(r.Context(), func() { _ = conn.Close() })
	res, err := x.run()
	if err != nil {
		x.close()
		return nil, err
	}
	return res, nil
}

// exchange is a request on its stream.
type exchange struct {
	conn  net.Conn
	pass  *pass
	r     *http.Request
	stop  func() bool
	once  sync.Once
	ended func()
}

func (x *exchange) close() {
	x.once.Do(func() {
		x.stop()
		_ = x.conn.Close()
		x.ended()
	})
}

// run sends the request and reads the head of the answer. The body is sent while
// the answer is read, since a handler may answer before it has read all.
func (x *exchange) run() (*http.Response, error) {
	if x.r.Body == nil || x.r.Body == http.NoBody {
		var head bytes.Buffer
		head.Write(x.pass.preamble)
		if err := x.r.Write(&head); err != nil {
			return nil, err
		}
		x.pass.sent = true
		if _, err := x.conn.Write(head.Bytes()); err != nil {
			return nil, err
		}
	} else {
		x.pass.sent = true
		go x.send() // ends with the body, which the server closes, or with the stream
	}
	head := &headReader{conn: x.conn, left: maxHead}
	br := bufio.NewReader(head)
	if first, err := br.Peek(len(refusal)); err == nil && string(first) == refusal {
		x.pass.sent = false
		return nil, ErrRefused
	}
	for {
		res, err := http.ReadResponse(br, x.r)
		if err != nil {
			return nil, fmt.Errorf("reading the answer: %w", err)
		}
		switch {
		case res.StatusCode == http.StatusSwitchingProtocols:
			head.left = math.MaxInt64
			res.Body = &upgraded{x: x, br: br}
			return res, nil
		case res.StatusCode >= 100 && res.StatusCode < 200:
			if err := informational(x.r.Context(), res); err != nil {
				return nil, err
			}
			continue
		}
		head.left = math.MaxInt64
		res.Body = &answer{ReadCloser: res.Body, x: x}
		return res, nil
	}
}

// maxHead bounds the head of an answer, with the informational ones before it.
const maxHead = 1 << 20

// headReader bounds what is read of an answer until its head is known.
type headReader struct {
	conn net.Conn
	left int64
}

// Read implements io.Reader.
func (h *headReader) Read(p []byte) (int, error) {
	if h.left <= 0 {
		return 0, fmt.Errorf("the head of the answer has more than %d bytes", maxHead)
	}
	if int64(len(p)) > h.left {
		p = p[:h.left]
	}
	n, err := h.conn.Read(p)
	if h.left != math.MaxInt64 {
		h.left -= int64(n)
	}
	return n, err
}

// send sends a request that has a body.
func (x *exchange) send() {
	w := bufio.NewWriter(x.conn)
	_, err := w.Write(x.pass.preamble)
	if err == nil {
		err = x.r.Write(w)
	}
	if err == nil {
		err = w.Flush()
	}
	if err != nil {
		// The other node must not take what it got for the whole body.
		_ = x.conn.Close()
	}
}

// informational passes on an answer that is not the last (RFC 9110 §15.2).
func informational(ctx context.Context, res *http.Response) error {
	trace := httptrace.ContextClientTrace(ctx)
	if trace == nil || trace.Got1xxResponse == nil || res.StatusCode == http.StatusContinue {
		return nil
	}
	return trace.Got1xxResponse(res.StatusCode, textproto.MIMEHeader(res.Header))
}

// answer is the body of a response; closing it ends the stream.
type answer struct {
	io.ReadCloser
	x *exchange
}

// Close implements io.Closer.
func (a *answer) Close() error {
	a.x.close()
	return nil
}

// upgraded is the stream after 101: it belongs to both ends' protocol.
type upgraded struct {
	x  *exchange
	br *bufio.Reader
}

// Read implements io.Reader.
func (u *upgraded) Read(p []byte) (int, error) { return u.br.Read(p) }

// Write implements io.Writer.
func (u *upgraded) Write(p []byte) (int, error) { return u.x.conn.Write(p) }

// Close implements io.Closer.
func (u *upgraded) Close() error {
	u.x.close()
	return nil
}

// CloseWrite ends this side only, where the stream can do that.
func (u *upgraded) CloseWrite() error {
	if half, ok := u.x.conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// buffers are for copying bodies.
type buffers struct{ pool sync.Pool }

const bufferSize = 32 << 10

// Get implements httputil.BufferPool.
func (b *buffers) Get() []byte {
	if p, ok := b.pool.Get().(*[]byte); ok {
		return *p
	}
	return make([]byte, bufferSize)
}

// Put implements httputil.BufferPool.
func (b *buffers) Put(p []byte) { b.pool.Put(&p) }

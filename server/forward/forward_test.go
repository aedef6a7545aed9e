package forward

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// pipes is a listener on a Unix socket: its connections have buffers, as streams have.
type pipes struct{ net.Listener }

func newPipes(t *testing.T) *pipes {
	t.Helper()
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	return &pipes{l}
}

func (p *pipes) open(ctx context.Context, _ uint32) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "unix", p.Addr().String())
}

// pair is a node that forwards everything to another, which handler answers.
type pair struct {
	url    string
	client *Client
	server *Server
	pipes  *pipes
	errs   chan error
}

func newPair(t *testing.T, handler http.HandlerFunc) *pair {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	p := &pair{pipes: newPipes(t), errs: make(chan error, 10)}
	p.server = NewServer(ServerOptions{Handler: handler, Logger: log})
	p.server.Serve(p.pipes)
	p.client = NewClient(p.pipes.open, log)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Front", "1")
		if err := p.client.Forward(w, r, 7); err != nil {
			p.errs <- err
			http.Error(w, err.Error(), http.StatusBadGateway)
		}
	}))
	p.url = front.URL
	t.Cleanup(func() {
		front.Close()
		if err := p.server.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
	return p
}

func (p *pair) do(t *testing.T, r *http.Request) (*http.Response, string) {
	t.Helper()
	r.Close = true
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(b)
}

func request(t *testing.T, method, url string, body io.Reader, header ...string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return r
}

// TestForwardAsItCame: the other node sees the request as its client made it.
func TestForwardAsItCame(t *testing.T) {
	p := newPair(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
		fmt.Fprintf(w, "%s %s %s host=%s hops=%d remote=%t local=%t xff=%q proto=%q ua=%q expect=%q body=%q conn=%q",
			r.Method, r.RequestURI, r.Proto, r.Host, Hops(r.Context()), strings.HasPrefix(r.RemoteAddr, "127.0.0.1:"),
			local != nil && strings.HasPrefix(local.String(), "127.0.0.1:"), r.Header.Get("X-Forwarded-For"), r.Header.Get("X-Forwarded-Proto"),
			r.UserAgent(), r.Header.Get("Expect"), b, r.Header.Get("Connection"))
	})
	r := request(t, "POST", p.url+"/a%2Fb;jsessionid=x/%C3%A4?q=1;2&z=%zz", strings.NewReader("hello"),
		"X-Forwarded-For", "10.0.0.1", "X-Forwarded-Proto", "https", "Expect", "100-continue", "Connection", "x-hop")
	r.Header["User-Agent"] = nil
	r.Host = "shop.example"
	res, got := p.do(t, r)
	want := `POST /a%2Fb;jsessionid=x/%C3%A4?q=1;2&z=%zz HTTP/1.1 host=shop.example hops=1 remote=true local=true xff="10.0.0.1" proto="https" ua="" expect="" body="hello" conn=""`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if res.Header.Get("X-Front") != "1" || res.Header.Get("Date") == "" || len(res.Header["Date"]) != 1 {
		t.Errorf("header %v", res.Header)
	}
	if s := p.client.Stats(); s.Forwarded != 1 || s.Failed != 0 || p.server.Served() != 1 {
		t.Errorf("stats %+v, served %d", s, p.server.Served())
	}
}

// TestForwardTLS: the client's TLS state arrives with its certificates.
func TestForwardTLS(t *testing.T) {
	p := newPair(t, func(w http.ResponseWriter, r *http.Request) {
		if r.TLS == nil {
			fmt.Fprint(w, "none")
			return
		}
		fmt.Fprintf(w, "%x %x %s %d %s", r.TLS.Version, r.TLS.CipherSuite, r.TLS.ServerName, len(r.TLS.PeerCertificates), r.Proto)
	})
	if _, got := p.do(t, request(t, "GET", p.url, nil)); got != "none" {
		t.Errorf("without TLS: %s", got)
	}
	ts := httptest.NewUnstartedServer(nil)
	ts.StartTLS()
	defer ts.Close()
	r := httptest.NewRequest("GET", "/x", nil).WithContext(t.Context())
	r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/2.0", 2, 0
	r.TLS = &tls.ConnectionState{Version: tls.VersionTLS13, CipherSuite: tls.TLS_AES_128_GCM_SHA256, ServerName: "shop", PeerCertificates: nil}
	r.TLS.PeerCertificates = append(r.TLS.PeerCertificates, ts.Certificate())
	w := httptest.NewRecorder()
	if err := p.client.Forward(w, r, 7); err != nil || w.Body.String() != "304 1301 shop 1 HTTP/2.0" {
		t.Errorf("with TLS: %v %s", err, w.Body)
	}
}

// TestForwardStreams: what is written is seen at once, on both sides.
func TestForwardStreams(t *testing.T) {
	p := newPair(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		w.WriteHeader(http.StatusEarlyHints)
		rc := http.NewResponseController(w)
		_ = rc.EnableFullDuplex()
		lines := bufio.NewScanner(r.Body)
		for lines.Scan() {
			fmt.Fprintf(w, "got %s\n", lines.Text())
			if err := rc.Flush(); err != nil {
				t.Error(err)
			}
		}
		w.Header().Set("X-Sum", "7")
	})
	// The front does not use full duplex, so it is called directly.
	body, feed := io.Pipe()
	r := httptest.NewRequest("POST", "/x", body).WithContext(t.Context())
	out := newFlow()
	done := make(chan error, 1)
	go func() { done <- p.client.Forward(out, r, 7) }()
	for _, word := range []string{"one", "two"} {
		if _, err := io.WriteString(feed, word+"\n"); err != nil {
			t.Fatal(err)
		}
		if got := out.line(t); got != "got "+word {
			t.Fatalf("got %q", got)
		}
	}
	feed.Close()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if out.header.Get("X-Sum") != "7" && out.header.Get(http.TrailerPrefix+"X-Sum") != "7" {
		t.Errorf("the trailer is missing: %v", out.header)
	}
}

// flow is a ResponseWriter whose lines can be waited for.
type flow struct {
	header http.Header
	lines  chan string
	part   bytes.Buffer
}

func newFlow() *flow { return &flow{header: http.Header{}, lines: make(chan string, 10)} }

func (f *flow) Header() http.Header { return f.header }
func (f *flow) WriteHeader(int)     {}
func (f *flow) Flush()              {}
func (f *flow) Write(p []byte) (int, error) {
	f.part.Write(p)
	for {
		i := bytes.IndexByte(f.part.Bytes(), '\n')
		if i < 0 {
			return len(p), nil
		}
		f.lines <- string(f.part.Next(i + 1)[:i])
	}
}

func (f *flow) line(t *testing.T) string {
	t.Helper()
	select {
	case l := <-f.lines:
		return l
	case <-time.After(10 * time.Second):
		t.Fatal("nothing came")
		return ""
	}
}

// TestForwardUpgrade: after 101 the stream is the application's.
func TestForwardUpgrade(t *testing.T) {
	p := newPair(t, func(w http.ResponseWriter, r *http.Request) {
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		fmt.Fprintf(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		_ = rw.Flush()
		line, _ := rw.ReadString('\n')
		fmt.Fprintf(rw, "echo %s %s", r.Proto, line)
		_ = rw.Flush()
	})
	c, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	br := bufio.NewReader(c)
	res, err := http.ReadResponse(br, nil)
	if err != nil || res.StatusCode != 101 {
		t.Fatalf("%v %v", res, err)
	}
	fmt.Fprintf(c, "hello\n")
	if line, err := br.ReadString('\n'); line != "echo HTTP/1.1 hello\n" {
		t.Errorf("got %q, %v", line, err)
	}
}

// TestForwardNoType: an answer without a type gets none on its way.
func TestForwardNoType(t *testing.T) {
	p := newPair(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = nil
		_, _ = io.WriteString(w, "<html>")
	})
	if res, _ := p.do(t, request(t, "GET", p.url, nil)); res.Header["Content-Type"] != nil {
		t.Errorf("Content-Type %q", res.Header["Content-Type"])
	}
}

// TestForwardFails: what can be tried again, and what cannot.
func TestForwardFails(t *testing.T) {
	hangUp := func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Read") != "" {
			_, _ = io.ReadAll(r.Body)
		}
		panic(http.ErrAbortHandler)
	}
	for _, c := range []struct {
		name, method, body string
		closed, retry      bool
	}{
		{"no stream", "POST", "x", true, true},
		{"no stream, no body", "GET", "", true, true},
		{"breaks off", "GET", "", false, true},
		{"breaks off, with a body", "PUT", "body", false, false},
		{"breaks off, not idempotent", "POST", "", false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPair(t, hangUp)
			if c.closed {
				p.pipes.Close()
			}
			var body io.Reader
			if c.body != "" {
				body = strings.NewReader(c.body)
			}
			res, got := p.do(t, request(t, c.method, p.url, body, "Read", "1"))
			err := <-p.errs
			var e *Error
			if !errors.As(err, &e) || e.Node != 7 || e.Retryable != c.retry {
				t.Errorf("got %#v", err)
			}
			if res.StatusCode != http.StatusBadGateway || !strings.Contains(got, "forward to node 7") || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/plain") {
				t.Errorf("%s %s %s", res.Status, got, res.Header)
			}
		})
	}
}

// TestForwardBreaksOff: a client sees that an answer is not whole.
func TestForwardBreaksOff(t *testing.T) {
	p := newPair(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	res, err := http.DefaultTransport.RoundTrip(request(t, "GET", p.url, nil))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if b, err := io.ReadAll(res.Body); err == nil {
		t.Errorf("got %q without an error", b)
	}
}

// TestForwardClientGone: the other node hears that nobody waits any more.
func TestForwardClientGone(t *testing.T) {
	began, ended := make(chan struct{}), make(chan struct{})
	p := newPair(t, func(_ http.ResponseWriter, r *http.Request) {
		close(began)
		<-r.Context().Done()
		close(ended)
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-began; cancel() }()
	err := p.client.Forward(newFlow(), httptest.NewRequest("GET", "/", nil).WithContext(ctx), 7)
	if err == nil {
		t.Error("no error")
	}
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("the handler was not told")
	}
}

// TestAbort: a node that is silent is given up, and the request can be tried again.
func TestAbort(t *testing.T) {
	began := make(chan struct{})
	p := newPair(t, func(_ http.ResponseWriter, r *http.Request) {
		close(began)
		<-r.Context().Done()
	})
	go func() {
		<-began
		if nodes := p.client.Nodes(); len(nodes) != 1 || nodes[0] != 7 {
			t.Errorf("requests are open to %v", nodes)
		}
		p.client.Abort(8)
		p.client.Abort(7)
	}()
	err := p.client.Forward(newFlow(), httptest.NewRequest("GET", "/", nil).WithContext(t.Context()), 7)
	if e, ok := errors.AsType[*Error](err); !ok || !e.Retryable {
		t.Errorf("got %v", err)
	}
	if nodes := p.client.Nodes(); len(nodes) != 0 {
		t.Errorf("requests are still open to %v", nodes)
	}
}

// TestForwardBodyError: what is wrong with the client's body is the error.
func TestForwardBodyError(t *testing.T) {
	p := newPair(t, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.ReadAll(r.Body) })
	r := httptest.NewRequest("POST", "/", io.MultiReader(strings.NewReader("x"), failing{})).WithContext(t.Context())
	err := p.client.Forward(newFlow(), r, 7)
	var large *http.MaxBytesError
	if !errors.As(err, &large) {
		t.Errorf("got %v", err)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, &http.MaxBytesError{Limit: 1} }

// TestServerRefuses: what does not begin with a preamble is no request.
func TestServerRefuses(t *testing.T) {
	p := newPair(t, func(http.ResponseWriter, *http.Request) { t.Error("a request came through") })
	long, _ := (&preamble{Hops: 1, Major: 1, TLS: &tlsState{Certificates: [][]byte{{1, 2}}}}).append(nil)
	for name, bytes := range map[string]string{
		"plain HTTP": "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "another version": "sF\x02\x00\x00GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"too long": "sF\x01\xff\xff", "empty": "sF\x01\x00\x00GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"no certificate": string(long) + "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			c, err := p.pipes.open(t.Context(), 1)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			go func() { _, _ = io.WriteString(c, bytes) }() // what is refused is not read to its end
			b, _ := io.ReadAll(c)
			if len(b) > 0 && !strings.HasPrefix(string(b), "HTTP/1.1 400") {
				t.Errorf("answered with %q", b)
			}
		})
	}
}

// TestRefuse: open requests are waited for, others can be tried again.
func TestRefuse(t *testing.T) {
	began, gate := make(chan struct{}), make(chan struct{})
	p := newPair(t, func(w http.ResponseWriter, _ *http.Request) {
		close(began)
		<-gate
		_, _ = io.WriteString(w, "whole")
	})
	late := newFlow()
	out := httptest.NewRecorder()
	answered := make(chan error, 1)
	go func() { answered <- p.client.Forward(out, httptest.NewRequest("GET", "/", nil), 7) }()
	<-began
	stopped := make(chan error, 1)
	go func() { stopped <- p.server.Refuse(context.Background()) }()
	for !p.server.refuse.Load() {
		time.Sleep(time.Millisecond)
	}
	err := p.client.Forward(late, httptest.NewRequest("POST", "/", nil), 7)
	if e, ok := errors.AsType[*Error](err); !ok || !e.Retryable || !errors.Is(err, ErrRefused) {
		t.Errorf("a late request: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := p.server.Refuse(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("it does not wait: %v", err)
	}
	close(gate)
	if err := errors.Join(<-answered, <-stopped); err != nil || out.Body.String() != "whole" {
		t.Errorf("%v, %q", err, out.Body)
	}
}

func FuzzPreamble(f *testing.F) {
	for _, p := range []*preamble{
		{Hops: 1, Major: 1, Minor: 1},
		{Hops: 2, Remote: "[::1]:7", Local: "10.0.0.1:80", Major: 2, TLS: &tlsState{Version: tls.VersionTLS13, ServerName: "x", Certificates: [][]byte{{1}}}},
	} {
		b, err := p.append(nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(magic + "\x00\x01\xa0"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bytes.NewReader(data)
		p, err := readPreamble(r)
		if err != nil {
			return
		}
		if used := len(data) - r.Len(); used > maxPreamble+len(magic)+2 {
			t.Fatalf("read %d bytes", used)
		}
		_, _ = p.state()
		_ = address(p.Remote)
		again, err := p.append(nil)
		if err != nil {
			t.Fatal(err)
		}
		q, err := readPreamble(bytes.NewReader(again))
		if err != nil || fmt.Sprintf("%+v", q.TLS) != fmt.Sprintf("%+v", p.TLS) && q.TLS == nil {
			t.Fatalf("%v: %+v became %+v", err, p, q)
		}
		if q.Hops != p.Hops || q.Remote != p.Remote || q.Major != p.Major {
			t.Fatalf("%+v became %+v", p, q)
		}
	})
}

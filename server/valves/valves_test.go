package valves

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/serval-server/serval/server/accesslog"
	"github.com/serval-server/serval/server/config"
	"github.com/serval-server/serval/server/conninfo"
)

// buffer is a log that can be read while it is written, and waited for.
type buffer struct {
	mu   sync.Mutex
	b    bytes.Buffer
	news chan struct{}
}

func newBuffer() *buffer { return &buffer{news: make(chan struct{}, 1)} }

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case b.news <- struct{}{}:
	default:
	}
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// await waits until the log has the text.
func (b *buffer) await(t *testing.T, text string) {
	t.Helper()
	for !strings.Contains(b.String(), text) {
		select {
		case <-b.news:
		case <-t.Context().Done():
			t.Fatalf("no %q in %s", text, b.String())
		}
	}
}

func env(t *testing.T) (Env, *buffer) {
	log := newBuffer()
	dir := t.TempDir()
	return Env{Path: func(s string) string { return filepath.Join(dir, s) }, Logger: slog.New(slog.NewTextHandler(log, nil)), Server: "Serval/1"}, log
}

func pipeline(t *testing.T, c *config.Valves, e Env, h http.HandlerFunc) (http.Handler, *Set) {
	t.Helper()
	s, err := New(c, e)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s.Handler(h), s
}

func get(h http.Handler, path string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.RemoteAddr = "203.0.113.7:1234"
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

type app struct{ id string }

func (a app) SessionID() string                { return a.id }
func (a app) User() string                     { return "" }
func (a app) RequestAttribute(string) string   { return "" }
func (a app) SessionAttribute(s string) string { return s }

func TestAccessLog(t *testing.T) {
	e, _ := env(t)
	e.App = func(r *http.Request) accesslog.App { return app{r.URL.Path} }
	var c config.Valves
	c.AccessLog = &config.AccessLog{}
	c.AccessLog.SetDefaults()
	c.AccessLog.Pattern = "%r %s %b %S %{a}s"
	c.AccessLog.Rotate = "never"
	c.AccessLog.Exclude = []string{"/health"}
	h, s := pipeline(t, &c, e, func(w http.ResponseWriter, r *http.Request) {
		if o, ok := w.(interface{ ObserveRequest(*http.Request) }); ok {
			o.ObserveRequest(r.WithContext(context.Background()))
		}
		switch r.URL.Path {
		case "/early":
			w.WriteHeader(http.StatusTeapot)
			_, _ = io.WriteString(w, "12345")
		case "/copy":
			_, _ = io.Copy(w, strings.NewReader("abc"))
		case "/panic":
			panic(http.ErrAbortHandler)
		}
	})
	for _, p := range []string{"/early", "/copy?q", "/none", "/health/x"} {
		get(h, p)
	}
	func() {
		defer func() { _ = recover() }()
		get(h, "/panic")
	}()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(e.Path("logs/access_log.txt"))
	if err != nil {
		t.Fatal(err)
	}
	want := "GET /early HTTP/1.1 418 5 /early a\nGET /copy?q HTTP/1.1 200 3 /copy a\nGET /none HTTP/1.1 200 - /none a\nGET /panic HTTP/1.1 200 - /panic a\n"
	if strings.ReplaceAll(string(data), "\r", "") != want {
		t.Errorf("got:\n%swant:\n%s", data, want)
	}
}

func TestRequestID(t *testing.T) {
	e, _ := env(t)
	c := config.Valves{RequestID: &config.RequestID{Enabled: true, Header: "x-request-id", Trust: true}}
	h, _ := pipeline(t, &c, e, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Header.Get("X-Request-Id"))
	})
	one, two := get(h, "/"), get(h, "/")
	if id := one.Header().Get("X-Request-Id"); len(id) != 32 || id != one.Body.String() || id == two.Body.String() {
		t.Errorf("id %q, handler saw %q and %q", id, one.Body, two.Body)
	}
	if got := get(h, "/", "X-Request-Id", "abc-1").Body.String(); got != "abc-1" {
		t.Errorf("trusted id became %q", got)
	}
	for _, bad := range []string{"a b", strings.Repeat("x", 129), "<script>"} {
		if got := get(h, "/", "X-Request-Id", bad).Body.String(); got == bad {
			t.Errorf("id %q was kept", bad)
		}
	}
}

// TestRemoteIP has the scenarios of Tomcat's TestRemoteIpValve (tomcat.md F8).
func TestRemoteIP(t *testing.T) {
	var c config.RemoteIP
	c.SetDefaults()
	if err := addNetworks(&c.TrustedProxies, "198.51.100.0/24"); err != nil {
		t.Fatal(err)
	}
	c.HostHeader, c.PortHeader = "X-Forwarded-Host", "X-Forwarded-Port"
	for _, tt := range []struct {
		name, peer string
		header     []string
		addr, xff  string
		by         string
		secure     bool
		host       string
	}{
		{name: "no header", peer: "10.1.1.1:5", addr: "10.1.1.1:5"},
		{name: "internal peer", peer: "10.1.1.1:5", header: []string{"X-Forwarded-For", "140.211.11.130"}, addr: "140.211.11.130:0"},
		{name: "all internal", peer: "127.0.0.1:5", header: []string{"X-Forwarded-For", "192.168.0.10, 10.0.0.2"}, addr: "192.168.0.10:0"},
		{name: "forged first", peer: "10.1.1.1:5", header: []string{"X-Forwarded-For", "6.6.6.6, 140.211.11.130, 192.168.0.1"}, addr: "140.211.11.130:0", xff: "6.6.6.6"},
		{name: "trusted", peer: "10.1.1.1:5", header: []string{"X-Forwarded-For", "140.211.11.130, 198.51.100.1, 198.51.100.2"}, addr: "140.211.11.130:0", by: "198.51.100.1, 198.51.100.2"},
		{name: "trusted peer", peer: "198.51.100.9:1", header: []string{"X-Forwarded-For", "140.211.11.130"}, addr: "140.211.11.130:0", by: "198.51.100.9"},
		{name: "untrusted peer", peer: "140.211.11.1:5", header: []string{"X-Forwarded-For", "1.2.3.4", "X-Forwarded-Proto", "https"}, addr: "140.211.11.1:5", xff: "1.2.3.4"},
		{name: "two lines", peer: "[::1]:5", header: []string{"X-Forwarded-For", "6.6.6.6", "X-Forwarded-For", "2001:db8::1"}, addr: "[2001:db8::1]:0", xff: "6.6.6.6"},
		{name: "garbage", peer: "10.1.1.1:5", header: []string{"X-Forwarded-For", "6.6.6.6, garbage, 10.0.0.1"}, addr: "10.0.0.1:0", xff: "6.6.6.6, garbage"},
		{name: "with ports", peer: "10.1.1.1:5", header: []string{"X-Forwarded-For", "[2001:db8::1]:80"}, addr: "[2001:db8::1]:0"},
		{name: "https", peer: "10.1.1.1:5", header: []string{"X-Forwarded-For", "1.2.3.4", "X-Forwarded-Proto", "https"}, addr: "1.2.3.4:0", secure: true},
		{name: "https, http", peer: "10.1.1.1:5", header: []string{"X-Forwarded-For", "1.2.3.4", "X-Forwarded-Proto", "https, http"}, addr: "1.2.3.4:0"},
		{name: "host and port", peer: "10.1.1.1:5", header: []string{"X-Forwarded-For", "1.2.3.4", "X-Forwarded-Host", "shop.example", "X-Forwarded-Port", "8443"}, addr: "1.2.3.4:0", host: "shop.example:8443"},
		{name: "bad host", peer: "10.1.1.1:5", header: []string{"X-Forwarded-For", "1.2.3.4", "X-Forwarded-Host", "a b"}, addr: "1.2.3.4:0"},
		{name: "unix socket", peer: "@", header: []string{"X-Forwarded-For", "1.2.3.4"}, addr: "1.2.3.4:0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.RemoteAddr = tt.peer
			for i := 0; i < len(tt.header); i += 2 {
				r.Header.Add(tt.header[i], tt.header[i+1])
			}
			called := false
			remoteIP(&c)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				called = true
				host := tt.host
				if host == "" {
					host = "example.com"
				}
				if r.RemoteAddr != tt.addr || strings.Join(r.Header["X-Forwarded-For"], "|") != tt.xff || r.Header.Get("X-Forwarded-By") != tt.by || (r.TLS != nil) != tt.secure || r.Host != host {
					t.Errorf("client %s, for %q, by %q, secure %v, host %s; want %s, %q, %q, %v, %s", r.RemoteAddr, r.Header["X-Forwarded-For"],
						r.Header.Get("X-Forwarded-By"), r.TLS != nil, r.Host, tt.addr, tt.xff, tt.by, tt.secure, host)
				}
			})).ServeHTTP(httptest.NewRecorder(), r)
			if !called {
				t.Error("not called")
			}
		})
	}
}

func addNetworks(ns *config.Networks, list ...string) error {
	for _, s := range list {
		var n config.Network
		if err := n.UnmarshalText([]byte(s)); err != nil {
			return err
		}
		*ns = append(*ns, n)
	}
	return nil
}

func TestRemoteAddress(t *testing.T) {
	e, _ := env(t)
	for _, tt := range []struct {
		allow, deny []string
		status      int
	}{
		{nil, nil, 200}, {nil, []string{"203.0.113.0/24"}, 404}, {[]string{"203.0.113.7"}, nil, 200}, {[]string{"10.0.0.0/8"}, nil, 404},
		{[]string{"203.0.113.7"}, []string{"203.0.113.7"}, 404}, {[]string{"::ffff:203.0.113.7"}, nil, 404},
	} {
		c := config.RemoteAddress{Enabled: true, Status: 404}
		if err := errors.Join(addNetworks(&c.Allow, tt.allow...), addNetworks(&c.Deny, tt.deny...)); err != nil {
			t.Fatal(err)
		}
		h, _ := pipeline(t, &config.Valves{RemoteAddress: &c}, e, func(http.ResponseWriter, *http.Request) {})
		if w := get(h, "/"); w.Code != tt.status {
			t.Errorf("allow %v, deny %v: %d, want %d", tt.allow, tt.deny, w.Code, tt.status)
		}
	}
}

func TestHealth(t *testing.T) {
	e, _ := env(t)
	var failed []string
	var unready []string
	e.Failed, e.Unready = func() []string { return failed }, func() []string { return unready }
	h, _ := pipeline(t, &config.Valves{Health: &config.Health{Enabled: true, Path: "/health", CheckApps: true}}, e, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	if w := get(h, "/health"); w.Code != 200 || w.Body.String() != "{\n  \"status\": \"UP\",\n  \"checks\": []\n}\n" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := get(h, "/healthy"); w.Code != 418 {
		t.Errorf("another path: %d", w.Code)
	}
	failed, unready = []string{"localhost/shop"}, []string{"server"}
	if w := get(h, "/health"); w.Code != 503 || !strings.Contains(w.Body.String(), "localhost/shop") || !strings.Contains(w.Body.String(), "server") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestErrorReport(t *testing.T) {
	e, log := env(t)
	e.Development = true
	c := config.Valves{ErrorReport: &config.ErrorReport{}}
	c.ErrorReport.SetDefaults()
	h, s := pipeline(t, &c, e, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/late" {
			w.WriteHeader(http.StatusOK)
		}
		w.Header().Set("Content-Encoding", "br")
		panic("oops <b>")
	})
	w := get(h, "/")
	if w.Code != 500 || !strings.Contains(w.Body.String(), "HTTP Status 500 – Internal Server Error") || !strings.Contains(w.Body.String(), "oops &lt;b&gt;") || w.Header().Get("Content-Encoding") != "" {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	if strings.Contains(w.Body.String(), "Serval") {
		t.Error("the page tells the server's name")
	}
	if !strings.Contains(log.String(), "valves_test.go") {
		t.Errorf("no stack in the log: %s", log)
	}
	func() {
		defer func() {
			if err, _ := recover().(error); !errors.Is(err, http.ErrAbortHandler) {
				t.Errorf("a panic after the header became %v", err)
			}
		}()
		get(h, "/late")
	}()
	rec := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, "/x", nil)
	r.Header.Set("Accept", "application/json")
	s.Report()(rec, r, 404, "no <such> thing", nil)
	var got map[string]any
	if err := json.Unmarshal(rec.Body.Bytes(), &got); err != nil || got["status"] != 404.0 || got["message"] != "no <such> thing" || got["type"] != "Status Report" {
		t.Errorf("%v: %s", err, rec.Body)
	}
	for accept, want := range map[string]bool{"": false, "*/*": false, "text/html,application/json": false, "application/problem+json;q=1, */*": true, "text/plain": false} {
		r.Header.Set("Accept", accept)
		if prefersJSON(r) != want {
			t.Errorf("Accept %q: json %v", accept, !want)
		}
	}
}

func TestStuckRequests(t *testing.T) {
	e, log := env(t)
	c := config.Valves{StuckRequests: &config.StuckRequests{Enabled: true, Threshold: config.Duration(1)}}
	release := make(chan struct{})
	h, _ := pipeline(t, &c, e, func(http.ResponseWriter, *http.Request) { waitHere(release) })
	var wg sync.WaitGroup
	wg.Go(func() {
		r := httptest.NewRequest(http.MethodGet, "/stuck", nil)
		h.ServeHTTP(httptest.NewRecorder(), r.WithContext(conninfo.With(r.Context(), "http", nil, &net.TCPAddr{Port: 1})))
	})
	log.await(t, "a request is stuck")
	if !strings.Contains(log.String(), "waitHere") || !strings.Contains(log.String(), "uri=/stuck") {
		t.Errorf("log: %s", log)
	}
	close(release)
	log.await(t, "a stuck request has ended")
	wg.Wait()
	if n := strings.Count(log.String(), "a request is stuck"); n != 1 {
		t.Errorf("told %d times", n)
	}
}

//go:noinline
func waitHere(release chan struct{}) { <-release }

func TestCompression(t *testing.T) {
	e, _ := env(t)
	var c config.Compression
	c.SetDefaults()
	h, _ := pipeline(t, &config.Valves{Compression: &c}, e, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain;charset=utf-8")
		w.Header().Set("ETag", `W/"17"`)
		if r.Header.Get("If-None-Match") == `W/"17"` {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		n := 5000
		if r.URL.Path == "/small" {
			n = 10
		}
		_, _ = io.WriteString(w, strings.Repeat("a", n))
	})
	w := get(h, "/", "Accept-Encoding", "gzip")
	if w.Header().Get("Content-Encoding") != "gzip" || w.Header().Get("Vary") == "" {
		t.Fatalf("header %v", w.Header())
	}
	z, err := gzip.NewReader(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(z); err != nil || len(body) != 5000 {
		t.Errorf("%d bytes, %v", len(body), err)
	}
	tag := w.Header().Get("ETag")
	if tag != `W/"17"` || get(h, "/", "Accept-Encoding", "gzip", "If-None-Match", tag).Code != http.StatusNotModified {
		t.Errorf("tag %s does not revalidate", tag)
	}
	if w := get(h, "/", "Accept-Encoding", "zstd"); w.Header().Get("Content-Encoding") != "zstd" {
		t.Errorf("zstd: %v", w.Header())
	}
	for _, p := range []string{"/small", "/"} {
		enc := "gzip"
		if p == "/" {
			enc = "identity"
		}
		if w := get(h, p, "Accept-Encoding", enc); w.Header().Get("Content-Encoding") != "" {
			t.Errorf("%s with %s: %v", p, enc, w.Header())
		}
	}
}

func TestCustom(t *testing.T) {
	e, _ := env(t)
	e.Custom = map[string]Maker{"stamp": func(table map[string]any, _ Env) (func(http.Handler) http.Handler, error) {
		v, ok := table["value"].(string)
		if !ok {
			return nil, errors.New("value is missing")
		}
		return func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("X-Stamp", v)
				next.ServeHTTP(w, r)
			})
		}, nil
	}}
	h, _ := pipeline(t, &config.Valves{Custom: map[string]map[string]any{"stamp": {"value": "x"}}}, e, func(http.ResponseWriter, *http.Request) {})
	if got := get(h, "/").Header().Get("X-Stamp"); got != "x" {
		t.Errorf("stamp %q", got)
	}
	if _, err := New(&config.Valves{Custom: map[string]map[string]any{"stamp": {}}}, e); err == nil || !strings.Contains(err.Error(), "valves.custom.stamp: value is missing") {
		t.Errorf("got %v", err)
	}
}

func TestValidHost(t *testing.T) {
	for host, want := range map[string]bool{
		"": true, "h": true, "H.ExAmPlE": true, "a_b": true, "a.": true, "h:8080": true, "h:": true, "1.2.3": true, "[::1]": true, "[::1]:80": true, "xn--a": true,
		"h:x": false, "h:-1": false, "[::1": false, "a@b": false, "-a": false, ".a": false, "h;g": false, `"h"`: false, "a b": false, "h\t": false, "é": false, "[x]": false, "[1::2::3]": false, "[1:2:3]": false, "[::1%eth0]": false, "[1.2.3.4]": false, "[::ffff:1.2.3.4]": true, "[]": false, "[::1]x": false, "a/b": false, "a%41": false,
	} {
		if got := ValidHost(host); got != want {
			t.Errorf("ValidHost(%q) = %v", host, got)
		}
	}
}

// FuzzRemoteIP checks that whatever a header says, the client's address is one, and
// an untrusted peer changes nothing.
func FuzzRemoteIP(f *testing.F) {
	f.Add("1.2.3.4, 10.0.0.1", "https", "h:1")
	f.Add("[::1]:80,,x", "http,https", "a b")
	var c config.RemoteIP
	c.SetDefaults()
	c.HostHeader = "X-Forwarded-Host"
	f.Fuzz(func(t *testing.T, xff, proto, host string) {
		for _, peer := range []string{"10.0.0.1:5", "8.8.8.8:5"} {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.RemoteAddr = peer
			r.Header = http.Header{"X-Forwarded-For": {xff}, "X-Forwarded-Proto": {proto}, "X-Forwarded-Host": {host}}
			(&remoteIPValve{c: c}).apply(r)
			if _, ok := parseAddr(r.RemoteAddr); !ok {
				t.Fatalf("client %q", r.RemoteAddr)
			}
			if peer == "8.8.8.8:5" && (r.RemoteAddr != peer || r.TLS != nil || r.Host != "example.com") {
				t.Fatalf("an untrusted peer was believed: %q", r.RemoteAddr)
			}
			if !ValidHost(r.Host) {
				t.Fatalf("host %q", r.Host)
			}
		}
	})
}

// TestRunningOf: the record of a request lies in its tap, once; a second valve and a request
// without a tap have their own.
func TestRunningOf(t *testing.T) {
	tap := TapOf(httptest.NewRecorder())
	first := runningOf(tap)
	first.r = httptest.NewRequest(http.MethodGet, "/", nil)
	if first != &tap.running || runningOf(tap) == first || runningOf(httptest.NewRecorder()) == nil {
		t.Error("records are shared, or not kept in the tap")
	}
}

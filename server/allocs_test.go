//go:build !race

package server

import (
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/serval-server/serval/webapp/servlet"
)

// TestRequestAllocations: a request without a session allocates nothing beyond net/http's
// own, over a socket and with the valves of the shipped configuration: as many objects as
// one to a bare net/http server. (One more, with all that belongs to the request; one less,
// which a connection saves.) Not with the race detector, which has sync.Pool lose objects at
// random; .ci/run runs it without. What else happens in this process only adds to a count,
// so the least of several holds.
func TestRequestAllocations(t *testing.T) {
	hello := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") })
	w := newWorld(t, "")
	w.write(t, "webapps/app/WEB-INF/web.toml", "[[servlet]]\nname = \"hello\"\nclass = \"hello\"\npatterns = [\"/hello\"]\n[runtime]\napp = \"hello\"\n")
	cfg, err := w.load()
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(cfg, Options{Logger: slog.New(slog.DiscardHandler), Linked: map[string]servlet.App{"hello": {Servlets: map[string]http.Handler{"hello": hello}}}})
	if err != nil {
		t.Fatal(err)
	}
	n := &clusterNode{w: w, Server: s}
	n.run(t)
	if err := s.Settled(t.Context()); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	bare := &http.Server{Handler: hello}
	go func() { _ = bare.Serve(l) }()
	t.Cleanup(func() { _ = bare.Close() })

	ours, theirs := math.Inf(1), math.Inf(1)
	for range 5 {
		ours = min(ours, allocations(t, strings.Trim(strings.TrimPrefix(n.url, "http:"), "/")))
		theirs = min(theirs, allocations(t, l.Addr().String()))
	}
	t.Logf("%.2f objects for a request, %.2f with net/http alone", ours, theirs)
	if ours-theirs > 0.5 {
		t.Error("more than net/http allocates itself")
	}
}

// allocations is how many objects this process allocates for a request on one connection.
func allocations(t *testing.T, addr string) float64 {
	t.Helper()
	const requests = 2000
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ask, answer := []byte("GET /app/hello HTTP/1.1\r\nHost: localhost\r\n\r\n"), make([]byte, 4096)
	var before, after runtime.MemStats
	for i := range 2 * requests {
		if i == requests { // the first half warms up
			runtime.ReadMemStats(&before)
		}
		if _, err := c.Write(ask); err != nil {
			t.Fatal(err)
		}
		if k, err := c.Read(answer); err != nil || !strings.HasSuffix(string(answer[:k]), "hello") {
			t.Fatalf("%q, error %v", answer[:k], err)
		}
	}
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / requests
}

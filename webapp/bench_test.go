package webapp_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/serval-server/serval/descriptor"
	"github.com/serval-server/serval/sessions"
	"github.com/serval-server/serval/webapp"
	"github.com/serval-server/serval/webapp/runtime/linked"
	"github.com/serval-server/serval/webapp/servlet"
)

// sink is the cheapest http.ResponseWriter.
type sink struct{ h http.Header }

func (s *sink) Header() http.Header         { return s.h }
func (s *sink) Write(b []byte) (int, error) { return len(b), nil }
func (s *sink) WriteHeader(int)             {}

var hello = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain")
	_, _ = io.WriteString(w, "hello")
})

func benchContext(b testing.TB) *webapp.Context {
	b.Helper()
	return benchContextWith(b, nil)
}

func benchContextWith(b testing.TB, f webapp.Forwarder) *webapp.Context {
	b.Helper()
	d := *descriptor.BuiltinDefaults()
	d.Servlets = append(d.Servlets, descriptor.Servlet{Name: "hello", Class: "hello"}, descriptor.Servlet{Name: "count", Class: "count"})
	d.ServletMappings = append(d.ServletMappings,
		descriptor.ServletMapping{Servlet: "hello", Patterns: []descriptor.Pattern{{URL: "/hello"}}},
		descriptor.ServletMapping{Servlet: "count", Patterns: []descriptor.Pattern{{URL: "/count"}}})
	app := servlet.App{Servlets: map[string]http.Handler{
		"hello": hello,
		"count": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s := servlet.SessionOf(r)
			n, _ := servlet.Get[int](s, "n")
			if err := servlet.Set(s, "n", n+1); err != nil {
				servlet.Fail(w, r, err)
			}
			_, _ = io.WriteString(w, "x")
		}),
	}}
	c, err := webapp.New(webapp.Options{Path: "/bench", Host: "localhost", Descriptor: &d, Forwarder: f, Runtime: linked.New(map[string]servlet.App{"bench": app})})
	if err != nil {
		b.Fatal(err)
	}
	if err := c.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	return c
}

func BenchmarkHello(b *testing.B) {
	b.Run("bare", func(b *testing.B) { run(b, hello, "/bench/hello", nil) })
	c := benchContext(b)
	b.Run("context", func(b *testing.B) { run(b, c, "/bench/hello", nil) })
}

func BenchmarkCount(b *testing.B) {
	c := benchContext(b)
	cookies := get(c, "/bench/count").Cookies
	run(b, c, "/bench/count", cookies)
}

// homeForwarder finds every session at home.
type homeForwarder struct{ webapp.Forwarder }

func (homeForwarder) Route(context.Context, sessions.ID) (webapp.Route, error) {
	return webapp.Route{}, nil
}

// BenchmarkForwarder is what a Forwarder costs beside its own work: a request that
// uses its session, and one that does not.
func BenchmarkForwarder(b *testing.B) {
	for _, f := range []webapp.Forwarder{nil, homeForwarder{}} {
		c := benchContextWith(b, f)
		cookies := get(c, "/bench/count").Cookies
		for _, path := range []string{"/bench/count", "/bench/hello"} {
			b.Run(fmt.Sprintf("%s/%t", path[7:], f != nil), func(b *testing.B) { run(b, c, path, cookies) })
		}
	}
}

func run(b *testing.B, h http.Handler, path string, cookies []*http.Cookie) {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	for _, k := range cookies {
		r.AddCookie(k)
	}
	w := &sink{h: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		clear(w.h)
		h.ServeHTTP(w, r)
	}
}

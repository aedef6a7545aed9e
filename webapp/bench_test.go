package webapp_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/serval-server/serval/descriptor"
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
	c, err := webapp.New(webapp.Options{Path: "/bench", Host: "localhost", Descriptor: &d, Runtime: linked.New(map[string]servlet.App{"bench": app})})
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

package webapp_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/serval-server/serval/descriptor"
	"github.com/serval-server/serval/webapp"
	"github.com/serval-server/serval/webapp/runtime/linked"
	"github.com/serval-server/serval/webapp/servlet"
)

// app is an application under test: its code, its files, its web.xml (what
// stands between the web-app tags).
type app struct {
	code   servlet.App
	files  fstest.MapFS
	xml    string
	opts   webapp.Options // what is set here is kept
	change func(*descriptor.WebApp)
}

type logBuffer struct {
	mu sync.Mutex
	b  strings.Builder // guarded by mu
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// build makes the Context without starting it.
func (a app) build(t testing.TB) (*webapp.Context, *logBuffer) {
	t.Helper()
	fsys := fstest.MapFS{}
	for name, f := range a.files {
		fsys[name] = f
	}
	fsys["WEB-INF/web.xml"] = &fstest.MapFile{Data: []byte(`<?xml version="1.0"?>` +
		`<web-app xmlns="https://jakarta.ee/xml/ns/jakartaee" version="6.1">` + a.xml + `</web-app>`)}
	d, diags := descriptor.Load(fsys, descriptor.LoadOptions{})
	if err := diags.Err(); err != nil {
		t.Fatal(err)
	}
	if a.change != nil {
		a.change(d)
	}
	log := &logBuffer{}
	o := a.opts
	o.FS, o.Descriptor, o.Host = fsys, d, "localhost"
	o.Logger = slog.New(slog.NewTextHandler(log, nil))
	if o.Runtime == nil {
		o.Runtime = linked.New(map[string]servlet.App{strings.TrimPrefix(o.Path, "/"): a.code, "ROOT": a.code})
	}
	c, err := webapp.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c, log
}

// start starts the application, to be stopped at the test's end.
func (a app) start(t testing.TB) (*webapp.Context, *logBuffer) {
	t.Helper()
	c, log := a.build(t)
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(context.Background(), webapp.DropSessions); err != nil {
			t.Error(err)
		}
	})
	return c, log
}

// answer is a response with its body read.
type answer struct {
	StatusCode int
	Header     http.Header
	Body       string
	Cookies    []*http.Cookie
}

// get asks the Context directly.
func get(h http.Handler, target string) answer {
	return do(h, httptest.NewRequest(http.MethodGet, target, nil))
}

func do(h http.Handler, r *http.Request) answer {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	res := w.Result()
	_ = res.Body.Close() // it is a recorder's
	return answer{StatusCode: res.StatusCode, Header: res.Header, Body: w.Body.String(), Cookies: res.Cookies()}
}

// want checks status and body of a GET.
func want(t testing.TB, h http.Handler, target string, status int, body string) answer {
	t.Helper()
	res := get(h, target)
	if res.StatusCode != status || body != "*" && res.Body != body {
		t.Errorf("%s: %d %q, want %d %q", target, res.StatusCode, res.Body, status, body)
	}
	return res
}

func handler(f http.HandlerFunc) http.Handler { return f }

// echo says what a servlet sees of its request.
var echo = handler(func(w http.ResponseWriter, r *http.Request) {
	m := servlet.MappingOf(r)
	_, _ = io.WriteString(w, m.Servlet+"|"+servlet.ServletPath(r)+"|"+servlet.PathInfo(r)+"|"+m.Match.String()+"|"+m.Value)
})

func servlets(names ...string) servlet.App {
	a := servlet.App{Servlets: map[string]http.Handler{}}
	for _, n := range names {
		a.Servlets[n] = echo
	}
	return a
}

// declare is the XML of a servlet with its patterns.
func declare(name string, patterns ...string) string {
	s := "<servlet><servlet-name>" + name + "</servlet-name><servlet-class>" + name + "</servlet-class></servlet>"
	if len(patterns) > 0 {
		s += "<servlet-mapping><servlet-name>" + name + "</servlet-name>"
		for _, p := range patterns {
			s += "<url-pattern>" + p + "</url-pattern>"
		}
		s += "</servlet-mapping>"
	}
	return s
}

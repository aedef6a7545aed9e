package runtimetest

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/serval-server/serval/descriptor"
	"github.com/serval-server/serval/sessions"
	"github.com/serval-server/serval/webapp"
	"github.com/serval-server/serval/webapp/runtimetest/testapp"
	"github.com/serval-server/serval/webapp/servlet"
)

// App is the application that the suite deploys. Each call makes one with its own
// state.
func App() servlet.App { return testapp.App() }

// harness is a deployed application with one browser.
type harness struct {
	t      *testing.T
	ctx    *webapp.Context
	srv    *httptest.Server
	client *http.Client
	log    *logBuffer

	sessions sessions.Options // given to the application
	seen     int              // of log, by quiet
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer // guarded by mu
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

// bundle writes the bundle's files.
func bundle(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"static/a.txt": "static text", "WEB-INF/data.txt": "private data", "static/big.bin": strings.Repeat("0123456789abcdef", 1<<14),
	} {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// describe is the bundle's descriptor.
func describe() *descriptor.WebApp {
	d := *descriptor.BuiltinDefaults()
	d.DisplayName = "Conformance"
	d.ContextParams = []descriptor.Param{{Name: "color", Value: "green"}}
	for name := range testapp.App().Servlets {
		d.Servlets = append(d.Servlets, descriptor.Servlet{Name: name, Class: name, InitParams: []descriptor.Param{{Name: "p", Value: "v"}}})
		d.ServletMappings = append(d.ServletMappings, mapping(name, "/"+name+"/*"))
	}
	d.Servlets = append(d.Servlets, descriptor.Servlet{Name: "one", Class: "param", InitParams: []descriptor.Param{{Name: "p", Value: "1"}}},
		descriptor.Servlet{Name: "two", Class: "param", InitParams: []descriptor.Param{{Name: "p", Value: "2"}}})
	d.ServletMappings = append(d.ServletMappings, mapping("one", "/one"), mapping("two", "/two"))
	d.Filters = []descriptor.Filter{
		{Name: "f1", Class: "named", InitParams: []descriptor.Param{{Name: "as", Value: "f1"}}},
		{Name: "f2", Class: "named", InitParams: []descriptor.Param{{Name: "as", Value: "f2"}}},
		{Name: "charset", Class: "set-character-encoding", InitParams: []descriptor.Param{{Name: "encoding", Value: "UTF-8"}}},
		{Name: "block", Class: "block"}, {Name: "shout", Class: "shout"},
	}
	all := []descriptor.Dispatcher{descriptor.DispatchRequest, descriptor.DispatchForward, descriptor.DispatchInclude, descriptor.DispatchError}
	d.FilterMappings = []descriptor.FilterMapping{
		filterMapping("f1", all, "/echo/*", "/attrs/*", "/static/traced/*"),
		filterMapping("charset", all, "/echo/*"),
		filterMapping("f2", []descriptor.Dispatcher{descriptor.DispatchRequest}, "/echo/*"),
		filterMapping("block", nil, "/echo/blocked/*"),
		filterMapping("shout", nil, "/static/*", "/dispatch/loud"),
	}
	d.Listeners = []descriptor.Listener{{Class: "events"}}
	d.ErrorPages = []descriptor.ErrorPage{
		{Code: 418, Location: "/errorpage/418"}, {ErrorType: "testapp.OutOfStock", Location: "/errorpage/stock"},
	}
	return &d
}

func mapping(name string, patterns ...string) descriptor.ServletMapping {
	m := descriptor.ServletMapping{Servlet: name}
	for _, p := range patterns {
		m.Patterns = append(m.Patterns, descriptor.Pattern{URL: p})
	}
	return m
}

func filterMapping(name string, types []descriptor.Dispatcher, patterns ...string) descriptor.FilterMapping {
	m := descriptor.FilterMapping{Filter: name, Dispatchers: types}
	for _, p := range patterns {
		m.Patterns = append(m.Patterns, descriptor.Pattern{URL: p})
	}
	return m
}

// deploy starts the application; change may alter the descriptor first.
func deploy(t *testing.T, o Options, change func(*descriptor.WebApp)) *harness {
	t.Helper()
	return deployWith(t, o, sessions.Options{}, change)
}

// deployWith is deploy with options for the session manager.
func deployWith(t *testing.T, o Options, so sessions.Options, change func(*descriptor.WebApp)) *harness {
	t.Helper()
	h := &harness{t: t, log: &logBuffer{}, sessions: so}
	var err error
	if h.ctx, err = h.newContext(o, change); err != nil {
		t.Fatal(err)
	}
	if err := h.ctx.Start(t.Context()); err != nil {
		t.Fatalf("start: %v\n%s", err, h.log)
	}
	h.srv = httptest.NewServer(h.ctx)
	h.client = h.browser()
	t.Cleanup(func() {
		h.srv.CloseClientConnections()
		h.srv.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := h.ctx.Stop(ctx, webapp.DropSessions); err != nil {
			t.Errorf("stop: %v", err)
		}
		if t.Failed() {
			t.Log(h.log)
		}
	})
	return h
}

func (h *harness) newContext(o Options, change func(*descriptor.WebApp)) (*webapp.Context, error) {
	h.t.Helper()
	d := describe()
	if change != nil {
		change(d)
	}
	dir := bundle(h.t)
	root, err := os.OpenRoot(dir)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = root.Close() })
	return webapp.New(webapp.Options{
		Sessions: h.sessions,
		Path:     "/app", Version: "3", Host: "localhost", FS: root.FS(), Dir: dir, Descriptor: d, Runtime: o.Runtime,
		WorkDir: h.t.TempDir(), TempDir: h.t.TempDir(), Logger: slog.New(slog.NewTextHandler(h.log, nil)),
	})
}

// browser is a client with cookies of its own.
func (h *harness) browser() *http.Client {
	jar, err := cookiejar.New(nil)
	if err != nil {
		h.t.Fatal(err)
	}
	return &http.Client{Jar: jar, Transport: h.srv.Client().Transport}
}

// answer is the head of a response.
type answer struct {
	StatusCode int
	Header     http.Header
}

// get returns the answer with its body read.
func (h *harness) get(path string) (answer, string) {
	h.t.Helper()
	return h.do(http.MethodGet, path, nil)
}

func (h *harness) do(method, path string, body io.Reader) (answer, string) {
	h.t.Helper()
	req, err := http.NewRequestWithContext(h.t.Context(), method, h.srv.URL+"/app"+path, body)
	if err != nil {
		h.t.Fatal(err)
	}
	req.Header.Set("X-In", "in")
	res, err := h.client.Do(req)
	if err != nil {
		h.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		h.t.Fatalf("%s %s: %v", method, path, err)
	}
	return answer{StatusCode: res.StatusCode, Header: res.Header}, string(b)
}

// want checks status and body.
func (h *harness) want(path string, status int, body string) answer {
	h.t.Helper()
	res, got := h.get(path)
	if res.StatusCode != status || got != body {
		h.t.Errorf("%s: %d %q, want %d %q", path, res.StatusCode, got, status, body)
	}
	return res
}

// journal returns and empties the application's journal.
func (h *harness) journal() string {
	h.t.Helper()
	_, b := h.get("/journal")
	return b
}

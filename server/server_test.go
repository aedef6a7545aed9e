package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/serval-server/serval/deploy"
	"github.com/serval-server/serval/server/accesslog"
	"github.com/serval-server/serval/server/config"
	"github.com/serval-server/serval/server/connector"
	"github.com/serval-server/serval/server/control"
)

// fakeApp answers with its host's name, and can be held.
type fakeApp struct {
	host  string
	gate  chan struct{} // requests to /wait end when it is closed
	enter chan struct{}
}

func (a *fakeApp) Start(context.Context) error                    { return nil }
func (a *fakeApp) Stop(context.Context, deploy.SessionFate) error { return nil }
func (a *fakeApp) Owns(*http.Request) bool                        { return false }
func (a *fakeApp) Stats() deploy.Stats                            { return deploy.Stats{Sessions: 3} }
func (a *fakeApp) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/wait" {
		a.enter <- struct{}{}
		<-a.gate
	}
	fmt.Fprintf(w, "%s %s", a.host, r.RemoteAddr[:3])
}

// world is a home with a ROOT bundle for each host.
type world struct {
	home string
	app  *fakeApp
}

func newWorld(t *testing.T, toml string) *world {
	t.Helper()
	w := &world{home: t.TempDir(), app: &fakeApp{gate: make(chan struct{}), enter: make(chan struct{}, 10)}}
	for _, base := range []string{"webapps", "shop"} {
		w.write(t, base+"/ROOT/index.html", "x")
	}
	if toml != "" {
		w.write(t, "conf/server.toml", toml)
	}
	return w
}

func (w *world) write(t *testing.T, name, data string) {
	t.Helper()
	name = filepath.Join(w.home, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(data), 0o644)); err != nil {
		t.Fatal(err)
	}
}

func (w *world) load() (*config.Config, error) {
	return config.Load(config.Options{Home: w.home, HTTP: "localhost:0"})
}

func (w *world) server(t *testing.T, log io.Writer) *Server {
	t.Helper()
	cfg, err := w.load()
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(cfg, Options{Logger: slog.New(slog.NewTextHandler(log, nil)), Factory: w.factory})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (w *world) factory(h *config.Host) deploy.Factory {
	app := *w.app
	app.host = h.Name
	return func(context.Context, deploy.Launch) (deploy.Application, deploy.Traits, error) {
		return &app, deploy.Traits{}, nil
	}
}

func (w *world) start(t *testing.T) *Server {
	t.Helper()
	s := w.server(t, io.Discard)
	if err := errors.Join(s.Start(t.Context()), s.Settled(t.Context())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := s.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return s
}

func fetch(t *testing.T, url, host string, header ...string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host, req.Close = host, true
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err.Error()
	}
	return res.StatusCode, string(body)
}

const twoHosts = `
[[hosts]]
name = "localhost"
[[hosts]]
name = "shop.example"
app-base = "shop"
aliases = ["Store.example", "*.shop.example", "*.eu.shop.example.org"]
[hosts.valves.remote-address]
deny = ["10.0.0.0/8"]
[valves.remote-ip]
`

func TestVirtualHosts(t *testing.T) {
	s := newWorld(t, twoHosts).start(t)
	url := s.URLs()[0] + "/"
	for host, want := range map[string]string{
		"localhost": "localhost 127", "shop.example": "shop.example 127", "SHOP.example:80": "shop.example 127", "store.example.": "shop.example 127",
		"a.b.shop.example": "shop.example 127", "x.eu.shop.example.org": "shop.example 127", "shop.example.org": "localhost 127", "other": "localhost 127", "[::1]:80": "localhost 127",
	} {
		if status, body := fetch(t, url, host); status != 200 || body != want {
			t.Errorf("%s: %d %q, want %q", host, status, body, want)
		}
	}
	if status, body := fetch(t, url, "shop.example", "X-Forwarded-For", "10.1.2.3"); status != 403 || !strings.Contains(body, "HTTP Status 403") {
		t.Errorf("the host's own valve: %d %s", status, body)
	}
	if status, _ := fetch(t, url, "localhost", "X-Forwarded-For", "10.1.2.3"); status != 200 {
		t.Errorf("another host's valve: %d", status)
	}
}

func TestStopDrains(t *testing.T) {
	w := newWorld(t, "")
	s := w.start(t)
	url := s.URLs()[0]
	got := make(chan string, 1)
	go func() {
		_, body := fetch(t, url+"/wait", "localhost")
		got <- body
	}()
	<-w.app.enter
	stopped := make(chan error, 1)
	go func() { stopped <- s.Stop(context.Background()) }()
	for { // until the port is closed
		c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			break
		}
		_ = c.Close()
	}
	if !s.Status().Stopping {
		t.Error("the status does not say that the server is stopping")
	}
	close(w.app.gate)
	if body := <-got; body != "localhost 127" {
		t.Errorf("the open request got %q", body)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(w.home, "run", "serval.sock")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the control socket is left: %v", err)
	}
}

func TestStopAtTheDeadline(t *testing.T) {
	w := newWorld(t, "")
	s := w.start(t)
	got := make(chan int, 1)
	go func() {
		status, _ := fetch(t, s.URLs()[0]+"/wait", "localhost")
		got <- status
	}()
	<-w.app.enter
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	time.AfterFunc(500*time.Millisecond, func() { close(w.app.gate) }) // the handler ends long after its connection
	if err := s.Stop(ctx); err != nil {
		t.Error(err)
	}
	if status := <-got; status != 0 {
		t.Errorf("the request was answered with %d", status)
	}
}

func TestReload(t *testing.T) {
	w := newWorld(t, "[valves.access-log]\nenabled = false\n")
	var mu sync.Mutex
	var log strings.Builder
	s := w.server(t, writerFunc(func(p []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return log.Write(p)
	}))
	if err := errors.Join(s.Start(t.Context()), s.Settled(t.Context())); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Stop(context.Background()) }()
	url := s.URLs()[0]
	got := make(chan string, 1)
	go func() {
		_, body := fetch(t, url+"/wait", "localhost")
		got <- body
	}()
	<-w.app.enter
	w.write(t, "conf/server.toml", "[valves.access-log]\npattern = \"%m %U %s\"\nrotate = \"never\"\nflush = \"0\"\n[valves.health]\n[server]\nnode = \"n2\"\n")
	if err := s.Reload(w.load); err != nil {
		t.Fatal(err)
	}
	if status, body := fetch(t, url+"/health", "localhost"); status != 200 || !strings.Contains(body, `"UP"`) {
		t.Errorf("the new valve: %d %s", status, body)
	}
	close(w.app.gate)
	if body := <-got; body != "localhost 127" {
		t.Errorf("the request of before the reload got %q", body)
	}
	data, err := os.ReadFile(filepath.Join(w.home, "logs", "access_log.txt"))
	if err != nil || string(data) != "GET /health 200\n" {
		t.Errorf("access log %q, %v", data, err)
	}
	mu.Lock()
	if !strings.Contains(log.String(), "sections=[server]") {
		t.Errorf("the log does not say what waits for a restart:\n%s", log.String())
	}
	mu.Unlock()
	w.write(t, "conf/server.toml", "[valves.nonsense]\n")
	if err := s.Reload(w.load); err == nil || !strings.Contains(err.Error(), "server.toml:1:1") {
		t.Errorf("a broken file: %v", err)
	}
	if status, _ := fetch(t, url+"/health", "localhost"); status != 200 {
		t.Errorf("after a failed reload: %d", status)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// TestStartFails: each failure is one line, and leaves nothing behind.
func TestStartFails(t *testing.T) {
	w := newWorld(t, "")
	running := w.start(t)
	t.Run("a second server in the home", func(t *testing.T) {
		err := w.server(t, io.Discard).Start(t.Context())
		if err == nil || !strings.Contains(err.Error(), "serval.sock is in use by another server") {
			t.Errorf("got %v", err)
		}
		if _, err := connector.DialUnix(filepath.Join(w.home, "run", "serval.sock")); err != nil {
			t.Errorf("the running server's socket is gone: %v", err)
		}
	})
	addr := strings.TrimPrefix(running.URLs()[0], "http://")
	for name, tt := range map[string]struct{ toml, file, want string }{
		"taken port":   {"[[connectors]]\nname='a'\naddress='localhost:0'\n[connectors.tls]\nself-signed=true\n[[connectors]]\nname='b'\naddress='" + addr + "'\n[connectors.tls]\nself-signed=true\n", "", "connector b: "},
		"app base":     {"[[connectors]]\naddress='localhost:0'\n[[hosts]]\nname='localhost'\napp-base='file'\n", "file", "not a directory"},
		"log folder":   {"[[connectors]]\naddress='localhost:0'\n[valves.access-log]\ndirectory='file'\n", "file", "not a directory"},
		"certificates": {"[[connectors]]\naddress=':0'\n[connectors.tls]\ncertificates=[{cert='c',key='k'}]\n", "", "certificate c: "},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, tt.toml)
			if tt.file != "" {
				w.write(t, tt.file, "")
			}
			cfg, err := config.Load(config.Options{Home: w.home})
			if err != nil {
				t.Fatal(err)
			}
			s, err := New(cfg, Options{Factory: w.factory})
			if err == nil {
				err = s.Start(t.Context())
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want %s", err, tt.want)
			}
			if _, err := os.Stat(filepath.Join(w.home, "run", "serval.sock")); err == nil {
				t.Error("the control socket is left")
			}
		})
	}
}

func TestNothingIsLeft(t *testing.T) {
	w := newWorld(t, "[[connectors]]\naddress='localhost:0'\n[[connectors]]\naddress='localhost:0'\n[connectors.tls]\nself-signed=true\n[valves.access-log]\n[valves.stuck-requests]\n")
	before := 0
	for i := range 6 {
		s := w.server(t, io.Discard)
		if err := errors.Join(s.Start(t.Context()), s.Settled(t.Context())); err != nil {
			t.Fatal(err)
		}
		if status, body := fetch(t, s.URLs()[0]+"/", "localhost"); status != 200 {
			t.Fatalf("%d %s", status, body)
		}
		if err := s.Stop(context.Background()); err != nil {
			t.Fatal(err)
		}
		if i == 1 { // what is made once has been made
			before = settledGoroutines(0)
		}
	}
	if after := settledGoroutines(before); after > before {
		buf := make([]byte, 1<<20)
		t.Errorf("%d goroutines, %d before\n%s", after, before, buf[:runtime.Stack(buf, true)])
	}
}

// settledGoroutines counts goroutines when those that are ending have ended.
func settledGoroutines(want int) int {
	n := runtime.NumGoroutine()
	for range 100 {
		if n <= want {
			break
		}
		runtime.Gosched()
		time.Sleep(5 * time.Millisecond) // HTTP clients end their connections in the background
		n = runtime.NumGoroutine()
	}
	return n
}

func TestControl(t *testing.T) {
	w := newWorld(t, twoHosts)
	s := w.start(t)
	client := control.NewClient(filepath.Join(w.home, "run", "serval.sock"), connector.DialUnix)
	ctx := t.Context()
	if info, err := os.Stat(filepath.Join(w.home, "run", "serval.sock")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket's mode: %v, %v", info, err)
	}
	st, err := client.Status(ctx)
	if err != nil || st.PID != os.Getpid() || st.Connectors[0].URL != s.URLs()[0] || len(st.Hosts) != 2 || st.Apps != 2 {
		t.Errorf("%+v, %v", st, err)
	}
	apps, err := client.Apps(ctx)
	if err != nil || len(apps) != 2 || apps[0].Path != "/" || apps[0].State != deploy.Running || apps[0].Sessions != 3 {
		t.Errorf("%+v, %v", apps, err)
	}
	w.write(t, "elsewhere/hello/index.html", "hello")
	bundle := filepath.Join(w.home, "elsewhere", "hello")
	info, err := client.Deploy(ctx, control.Request{Host: "store.example", Bundle: bundle, Name: "greet##2"})
	if err != nil || info.Path != "/greet" || info.Version != "2" || info.Host != "shop.example" {
		t.Fatalf("%+v, %v", info, err)
	}
	again, err := client.Reload(ctx, control.Request{Host: "shop.example", Path: "/greet", Version: "2"})
	if err != nil || again.Generation != info.Generation+1 {
		t.Errorf("%+v, %v", again, err)
	}
	if err := client.Undeploy(ctx, control.Request{Host: "shop.example", Path: "greet", Version: "2"}); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(w.home, "shop", "greet##2")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the bundle is left: %v", err)
	}
	for name, f := range map[string]func() error{
		"no host \"x\"":           func() error { _, err := client.Reload(ctx, control.Request{Host: "x", Path: "/"}); return err },
		"is not an absolute name": func() error { _, err := client.Deploy(ctx, control.Request{Bundle: "x"}); return err },
		"/nowhere":                func() error { return client.Undeploy(ctx, control.Request{Path: "/nowhere"}) },
	} {
		if err := f(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v, want %s", err, name)
		}
	}
}

func TestHostTableIsTotal(t *testing.T) {
	table := &hostTable{exact: map[string]http.Handler{}, wild: map[string]http.Handler{}, fallback: http.NotFoundHandler()}
	for _, name := range []string{"", ":", ".", "..", "[", "]", "[::1]", "a:b:c", "*"} {
		if table.find(name) == nil {
			t.Errorf("%q has no host", name)
		}
	}
}

var _ accesslog.App = servedRequest{}

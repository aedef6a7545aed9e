package worker_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/serval-server/serval/descriptor"
	"github.com/serval-server/serval/webapp"
	"github.com/serval-server/serval/webapp/runtime/worker"
	"github.com/serval-server/serval/webapp/runtimetest"
	"github.com/serval-server/serval/webapp/servlet"
)

// The test binary is its own worker.
func TestMain(m *testing.M) {
	if os.Getenv(servlet.WorkerEnv) != "" {
		if f := os.Getenv("WORKER_FAILS"); f != "" {
			if _, err := os.Stat(f); err == nil {
				os.Exit(3)
			}
		}
		app := testApp()
		switch os.Getenv("WORKER_APP") {
		case "runtimetest":
			app = runtimetest.App()
		case "events":
			app = eventApp()
		}
		servlet.Main(app)
		return
	}
	os.Exit(m.Run())
}

type bag struct{ Items map[string]int }

func testApp() servlet.App {
	h := func(f http.HandlerFunc) http.Handler { return f }
	return servlet.App{
		Servlets: map[string]http.Handler{
			"hello": h(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("X-Query", r.URL.Query().Get("q"))
				fmt.Fprintf(w, "hello %s from %s", servlet.PathInfo(r), servlet.ContextPath(r))
			}),
			"count": h(count), "big": h(big), "echo": h(echo), "sse": h(sse),
			"pid": h(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, os.Getpid()) }),
			"abort": h(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.WriteString(w, "part")
				_ = http.NewResponseController(w).Flush()
				panic(http.ErrAbortHandler)
			}),
			"die": h(func(http.ResponseWriter, *http.Request) { _ = syscall.Kill(os.Getpid(), syscall.SIGKILL); select {} }),
			"fail": h(func(w http.ResponseWriter, r *http.Request) {
				switch r.URL.Query().Get("how") {
				case "panic":
					panic("boom")
				case "error":
					servlet.Fail(w, r, errors.New("went wrong"))
				default:
					_ = servlet.SendError(w, r, 418, "teapot")
				}
			}),
			"forward": h(func(w http.ResponseWriter, r *http.Request) {
				servlet.SetAttribute(r, "from", "forward")
				fmt.Fprint(w, "dropped")
				if err := servlet.ContextOf(r).Dispatcher("/target?x=1").Forward(w, r); err != nil {
					panic(err)
				}
			}),
			"include": h(func(w http.ResponseWriter, r *http.Request) {
				servlet.SetAttribute(r, "from", "include")
				fmt.Fprint(w, "[")
				if err := servlet.ContextOf(r).Dispatcher("/target").Include(w, r); err != nil {
					panic(err)
				}
				fmt.Fprint(w, "]")
			}),
			"target": h(func(w http.ResponseWriter, r *http.Request) {
				fmt.Fprintf(w, "target %v %s %s", servlet.Attribute(r, "from"), servlet.DispatcherTypeOf(r), r.URL.RawQuery)
			}),
			"block": h(func(w http.ResponseWriter, r *http.Request) {
				w.(http.Flusher).Flush()
				<-r.Context().Done()
			}),
			"spin": h(func(w http.ResponseWriter, r *http.Request) { select {} }),
			"hijack": h(func(w http.ResponseWriter, r *http.Request) {
				c, rw, err := http.NewResponseController(w).Hijack()
				if err != nil {
					panic(err)
				}
				defer c.Close()
				fmt.Fprint(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
				_ = rw.Flush()
				_, _ = io.Copy(c, rw)
			}),
			"eat": h(func(w http.ResponseWriter, r *http.Request) {
				n, _ := strconv.Atoi(r.URL.Query().Get("mb"))
				hog = make([]byte, n<<20)
				for i := range hog {
					hog[i] = 1
				}
				fmt.Fprint(w, len(hog))
			}),
		},
		Filters: map[string]servlet.Filter{
			"wrap": func(next http.Handler) http.Handler {
				return h(func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("X-Wrapped", "yes")
					next.ServeHTTP(w, r)
				})
			},
			"upper": func(next http.Handler) http.Handler {
				return h(func(w http.ResponseWriter, r *http.Request) {
					u := &upper{ResponseWriter: w}
					next.ServeHTTP(u, r)
				})
			},
		},
	}
}

var hog []byte

type upper struct{ http.ResponseWriter }

func (u *upper) Write(p []byte) (int, error) {
	return u.ResponseWriter.Write([]byte(strings.ToUpper(string(p))))
}

func count(w http.ResponseWriter, r *http.Request) {
	s := servlet.SessionOf(r)
	if r.URL.Query().Get("update") != "" {
		var now int
		err := servlet.Update(s, "n", func(n int, _ bool) (int, error) { now = n + 1; return now, nil })
		fmt.Fprint(w, now, err)
		return
	}
	n, _ := servlet.Get[int](s, "n")
	_ = servlet.Set(s, "n", n+1)
	b, err := servlet.Get[bag](s, "bag")
	if err != nil {
		b = bag{Items: map[string]int{"pad": 1}}
		for i := range 100 {
			b.Items["item"+strconv.Itoa(i)] = i
		}
	}
	b.Items["n"] = n + 1
	_ = servlet.Set(s, "bag", b)
	fmt.Fprint(w, n+1, " ", b.Items["n"], " ", len(b.Items))
}

func big(w http.ResponseWriter, r *http.Request) {
	n, _ := strconv.Atoi(r.URL.Query().Get("n"))
	p := []byte(strings.Repeat("0123456789abcdef", 1024))
	for n > 0 {
		k, err := w.Write(p[:min(n, len(p))])
		if err != nil {
			return
		}
		n -= k
	}
}

func echo(w http.ResponseWriter, r *http.Request) {
	n, err := io.Copy(w, r.Body)
	w.Header().Set("X-Bytes", strconv.FormatInt(n, 10))
	if err != nil {
		panic(err)
	}
}

func sse(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	for i := range 3 {
		fmt.Fprintf(w, "data: %d\n\n", i)
		_ = http.NewResponseController(w).Flush()
	}
	<-r.Context().Done()
}

type harness struct {
	*httptest.Server
	t   *testing.T
	ctx *webapp.Context
	p   *worker.Program
	jar http.CookieJar
	log *logBuffer
}

// logBuffer collects what is logged.
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

// capture is a Runtime that remembers the Program.
type capture struct {
	webapp.Runtime
	p webapp.Program
}

func (c *capture) Start(ctx context.Context, l webapp.Launch) (webapp.Program, error) {
	p, err := c.Runtime.Start(ctx, l)
	c.p = p
	return p, err
}

func start(t *testing.T, opts worker.Options, rt descriptor.Runtime) *harness {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	opts.Command = []string{exe}
	opts.Env = append(opts.Env, "GORACE=halt_on_error=1")
	run, err := worker.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	app := testApp()
	d := descriptor.BuiltinDefaults()
	for name := range app.Servlets {
		d.Servlets = append(d.Servlets, descriptor.Servlet{Name: name, Class: name})
		d.ServletMappings = append(d.ServletMappings, descriptor.ServletMapping{Servlet: name, Patterns: []descriptor.Pattern{{URL: "/" + name + "/*"}}})
	}
	for name, pattern := range map[string]string{"wrap": "/hello/*", "upper": "/static/*"} {
		d.Filters = append(d.Filters, descriptor.Filter{Name: name, Class: name})
		d.FilterMappings = append(d.FilterMappings, descriptor.FilterMapping{Filter: name, Patterns: []descriptor.Pattern{{URL: pattern}}})
	}
	d.Runtime = rt
	dir := t.TempDir()
	if err := os.MkdirAll(dir+"/static", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/static/a.txt", []byte("static text"), 0o644); err != nil {
		t.Fatal(err)
	}
	h := &harness{t: t, log: new(logBuffer)}
	captured := &capture{Runtime: run}
	c, err := webapp.New(webapp.Options{
		Path: "/app", FS: os.DirFS(dir), Dir: dir, Descriptor: d, Runtime: captured, WorkDir: t.TempDir(), TempDir: t.TempDir(),
		Logger: slog.New(slog.NewTextHandler(h.log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.ctx, h.p = c, captured.p.(*worker.Program)
	h.Server = httptest.NewServer(c)
	h.jar, _ = cookiejar.New(nil)
	h.Client().Jar = h.jar
	t.Cleanup(func() {
		h.CloseClientConnections()
		h.Close()
		if err := c.Stop(context.Background(), webapp.DropSessions); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(h.log.String())
		}
	})
	return h
}

func (h *harness) get(path string) (int, string, http.Header) {
	h.t.Helper()
	res, err := h.Client().Get(h.URL + "/app" + path)
	if err != nil {
		h.t.Fatalf("%s: %v", path, err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		h.t.Fatalf("%s: %v", path, err)
	}
	return res.StatusCode, string(b), res.Header
}

func (h *harness) want(path string, code int, body string) http.Header {
	h.t.Helper()
	c, b, hd := h.get(path)
	if c != code || !strings.Contains(b, body) {
		h.t.Errorf("%s: %d %q, want %d %q", path, c, b, code, body)
	}
	return hd
}

func TestRequests(t *testing.T) {
	h := start(t, worker.Options{}, descriptor.Runtime{})
	hd := h.want("/hello/x?q=1", 200, "hello /x from /app")
	if hd.Get("X-Wrapped") != "yes" || hd.Get("X-Query") != "1" {
		t.Error(hd)
	}
	h.want("/count", 200, "1 1 102")
	h.want("/count", 200, "2 2 102")
	h.want("/count?update=1", 200, "3 <nil>")
	h.want("/count", 200, "4 4 102")
	h.want("/forward", 200, "target forward FORWARD x=1")
	h.want("/include", 200, "[target include INCLUDE ]")
	h.want("/static/a.txt", 200, "STATIC TEXT")
	h.want("/fail", 418, "")
	h.want("/fail?how=error", 500, "")
	h.want("/fail?how=panic", 500, "")
	if !strings.Contains(h.log.String(), "boom") {
		t.Error("the panic was not logged")
	}
}

func TestBodies(t *testing.T) {
	h := start(t, worker.Options{}, descriptor.Runtime{})
	for _, n := range []int{0, 1, 10000, 32 << 10, 40000, 300 << 10, 3 << 20} {
		if c, b, _ := h.get("/big?n=" + strconv.Itoa(n)); c != 200 || len(b) != n {
			t.Errorf("%d: %d, %d bytes", n, c, len(b))
		}
		body := strings.Repeat("x", n)
		for _, r := range []io.Reader{strings.NewReader(body), io.MultiReader(strings.NewReader(body))} {
			res, err := h.Client().Post(h.URL+"/app/echo", "text/plain", r)
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(res.Body)
			if err != nil || string(b) != body {
				t.Errorf("echo of %d: %d bytes, %v", n, len(b), err)
			}
			_ = res.Body.Close()
		}
	}
}

func TestStreaming(t *testing.T) {
	h := start(t, worker.Options{}, descriptor.Runtime{})
	res, err := h.Client().Get(h.URL + "/app/sse")
	if err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(res.Body)
	for i := range 3 {
		line, err := r.ReadString('\n')
		if err != nil || line != fmt.Sprintf("data: %d\n", i) {
			t.Fatal(line, err)
		}
		_, _ = r.ReadString('\n')
	}
	_ = res.Body.Close() // ends the handler through its context
	h.want("/hello/", 200, "hello")
}

func TestDeathAndRestart(t *testing.T) {
	h := start(t, worker.Options{}, descriptor.Runtime{})
	h.want("/count", 200, "1 1")
	_, before, _ := h.get("/pid")
	h.want("/die", 502, "")
	h.want("/count", 200, "2 2") // waited for the restart; the session lives
	_, after, _ := h.get("/pid")
	if before == after || h.p.Restarts() != 1 {
		t.Errorf("pid %s, then %s, %d restarts", before, after, h.p.Restarts())
	}
}

func TestUpgrade(t *testing.T) {
	h := start(t, worker.Options{}, descriptor.Runtime{})
	req, _ := http.NewRequest("GET", h.URL+"/app/hijack", nil)
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "echo")
	res, err := h.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != 101 {
		t.Fatal(res.Status)
	}
	rw := res.Body.(io.ReadWriteCloser)
	for _, s := range []string{"ping", strings.Repeat("y", 100000)} {
		go func() { _, _ = io.WriteString(rw, s) }()
		b := make([]byte, len(s))
		if _, err := io.ReadFull(rw, b); err != nil || string(b) != s {
			t.Fatal(err)
		}
	}
	_ = rw.Close()
}

func TestLimits(t *testing.T) {
	t.Run("requests", func(t *testing.T) {
		h := start(t, worker.Options{}, descriptor.Runtime{MaxRequests: 1})
		ctx, cancel := context.WithCancel(t.Context())
		req, _ := http.NewRequestWithContext(ctx, "GET", h.URL+"/app/block", nil)
		res, err := h.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if hd := h.want("/hello/", 503, ""); hd.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
		cancel()
		_ = res.Body.Close()
		deadline := time.Now().Add(5 * time.Second)
		for {
			if c, _, _ := h.get("/hello/"); c == 200 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatal("the place was not given back")
			}
		}
	})
	t.Run("deadline", func(t *testing.T) {
		h := start(t, worker.Options{Stuck: 100 * time.Millisecond}, descriptor.Runtime{RequestTimeout: 100 * time.Millisecond})
		h.want("/spin", 504, "")
		h.want("/hello/", 200, "hello")
		for h.p.Restarts() == 0 { // the endless request costs the worker its life
			time.Sleep(5 * time.Millisecond)
		}
		h.want("/hello/", 200, "hello")
	})
	t.Run("memory", func(t *testing.T) {
		h := start(t, worker.Options{}, descriptor.Runtime{Memory: 128 << 20})
		h.want("/eat?mb=10", 200, "")
		if c, _, _ := h.get("/eat?mb=200"); c != 200 && c != 502 {
			t.Error(c)
		}
		for h.p.Restarts() == 0 {
			time.Sleep(5 * time.Millisecond)
		}
		h.want("/hello/", 200, "hello")
		// The watch, or the hard bound if the memory grew faster.
		if l := h.log.String(); !strings.Contains(l, "bytes of memory") && !strings.Contains(l, "exit status") {
			t.Error("the reason was not logged")
		}
	})
}

func TestConcurrentSessions(t *testing.T) {
	h := start(t, worker.Options{}, descriptor.Runtime{})
	h.want("/count?update=1", 200, "1 <nil>")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				h.get("/count?update=1")
			}
		})
	}
	wg.Wait()
	h.want("/count?update=1", 200, "162 <nil>")
}

// TestRuntime is the suite that every runtime must pass.
func TestRuntime(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	rt, err := worker.New(worker.Options{Command: []string{exe}, Env: []string{"WORKER_APP=runtimetest"}})
	if err != nil {
		t.Fatal(err)
	}
	runtimetest.Run(t, runtimetest.Options{Runtime: rt})
}

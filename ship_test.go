package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// built is the server's program, built once for the tests that start it.
var built struct {
	once sync.Once
	dir  string
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if built.dir != "" {
		if err := os.RemoveAll(built.dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
	os.Exit(code)
}

// program is the path of the built server.
func program(t *testing.T) string {
	t.Helper()
	built.once.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "serval-bin-"); built.err != nil {
			return
		}
		out, err := exec.CommandContext(context.Background(), "go", "build", "-o", filepath.Join(built.dir, "serval"), ".").CombinedOutput()
		if err != nil {
			built.err = fmt.Errorf("%w\n%s", err, out)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return filepath.Join(built.dir, "serval")
}

// serve copies folders into a new home, as a user would, runs the server from
// it, and returns its address once all applications have started.
func serve(t *testing.T, copies map[string]string) string {
	t.Helper()
	home := t.TempDir()
	for from, to := range copies {
		if err := os.CopyFS(filepath.Join(home, to), os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
	}
	serval := program(t)
	log, err := os.Create(filepath.Join(home, "server.log"))
	if err != nil {
		t.Fatal(err)
	}
	// The test's own context ends before its cleanup, which stops the server.
	cmd := exec.CommandContext(context.Background(), serval, "run", "--home", home, "--http", "localhost:0")
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("the server ends with: %v", err)
		}
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("server log:\n%s", text)
		}
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	})
	var status struct {
		Connectors []struct{ URL string }
	}
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		out, err := exec.CommandContext(t.Context(), serval, "status", "--home", home, "--json").Output()
		if err == nil && json.Unmarshal(out, &status) == nil && len(status.Connectors) > 0 && settled(t, serval, home) {
			return status.Connectors[0].URL
		}
	}
	text, _ := os.ReadFile(log.Name())
	t.Fatalf("the applications do not start:\n%s", text)
	return ""
}

// settled reports whether every application runs; one that has failed ends the test.
func settled(t *testing.T, serval, home string) bool {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), serval, "apps", "--home", home, "--json").Output()
	if err != nil {
		return false
	}
	if strings.Contains(string(out), "FAILED") {
		t.Fatalf("an application has failed:\n%s", out)
	}
	return strings.Contains(string(out), "RUNNING") && !strings.Contains(string(out), "STARTING")
}

// browser is a client with cookies.
type browser struct {
	t    *testing.T
	base string
	http *http.Client
}

func newBrowser(t *testing.T, base string) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &browser{t, base, &http.Client{Jar: jar, Timeout: time.Minute}}
}

// get asks for a path and checks status and content.
func (b *browser) get(path string, status int, contains ...string) string {
	b.t.Helper()
	r, err := b.http.Get(b.base + path)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.check("GET "+path, r, status, contains)
}

// post sends a form and follows the redirect.
func (b *browser) post(path string, form url.Values, status int, contains ...string) string {
	b.t.Helper()
	r, err := b.http.PostForm(b.base+path, form)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.check("POST "+path, r, status, contains)
}

func (b *browser) check(what string, r *http.Response, status int, contains []string) string {
	b.t.Helper()
	body, err := io.ReadAll(r.Body)
	if cerr := r.Body.Close(); err != nil || cerr != nil {
		b.t.Fatal(err, cerr)
	}
	if r.StatusCode != status {
		b.t.Fatalf("%s: status %d, want %d\n%s", what, r.StatusCode, status, body)
	}
	for _, c := range contains {
		if !strings.Contains(string(body), c) {
			b.t.Errorf("%s: no %q in\n%s", what, c, body)
		}
	}
	return string(body)
}

// TestShippedApplications uses what "go run ." serves as a visitor does, from
// another folder.
func TestShippedApplications(t *testing.T) {
	t.Parallel()
	b := newBrowser(t, serve(t, map[string]string{"webapps": "webapps"}))
	b.get("/", 200, "Serval is running", `href="/examples/"`, `href="/shop/"`)

	b.get("/examples/", 200, "Sessions", "WebSocket")
	for _, page := range []string{"session", "listeners", "filters", "dispatch", "errors", "upload", "pages", "sse", "websocket"} {
		b.get("/examples/"+page, 200, "package examples", "The source")
	}
	b.get("/examples/source/web.xml", 200, "<web-app")
	b.get("/examples/nosuch", 404, "errors/404.gohtml")
	b.get("/examples/errors?what=type", 409, "the tent is out of stock", "examples.OutOfStock")
	b.get("/examples/errors?what=status", 418)
	b.get("/examples/errors?what=panic", 500)
	b.get("/examples/dispatch?how=include&name=Ada", 200, "written by <b>dispatch</b>", "Hello, Ada", "INCLUDE", "And this one again")
	b.get("/examples/dispatch?how=forward&name=Ada", 200, "Hello, Ada", "FORWARD", "/examples/dispatch")
	b.get("/examples/pages?show=1", 200, "Hello from a servlet", "has prepared")
	b.get("/examples/filters", 200, "outer begins (REQUEST)", "inner begins (REQUEST)")
	b.post("/examples/session", url.Values{"do": {"count"}}, 200, "<dd>1</dd>")
	b.post("/examples/session", url.Values{"do": {"note"}, "note": {"a <note>"}}, 200, "<dd>1</dd>", "a &lt;note&gt;")
	b.post("/examples/session", url.Values{"do": {"id"}}, 200, "<dd>1</dd>")
	b.get("/examples/listeners", 200, "a session begins", "is now called")
	b.post("/examples/session", url.Values{"do": {"end"}}, 200, "There is no session yet")

	b.get("/shop/", 200, "Two-person tent")
	b.get("/shop/art.svg", 200, "symbol")
	b.get("/shop/product/nosuch", 404, "We looked everywhere")
	b.post("/shop/cart/add", url.Values{"id": {"tent"}}, 200, "Your cart", "€ 249.00")
	b.post("/shop/cart/add", url.Values{"id": {"map"}}, 200, "€ 261.90")
	b.post("/shop/cart/change", url.Values{"id": {"map"}, "count": {"3"}}, 200, "€ 287.70")
	b.post("/shop/checkout", url.Values{"name": {""}}, 422, "Nothing was ordered yet")
	b.post("/shop/checkout", url.Values{"name": {"Ada"}, "email": {"ada@example.com"}, "address": {"1 Lane"}}, 200, "Thank you, Ada", "€ 287.70")
	b.get("/shop/cart", 200, "nothing in it yet")
	for _, hidden := range []string{"/shop/WEB-INF/web.toml", "/shop/web-inf/../WEB-INF/src/shop.go", "/examples/WEB-INF/src/go.mod"} {
		b.get(hidden, 404)
	}
}

// TestBenchHome runs the benchmark application in its three forms from a copy of
// bench/home and checks that they answer alike.
func TestBenchHome(t *testing.T) {
	t.Parallel()
	base := serve(t, map[string]string{"bench/home": "."})
	for _, app := range []string{"/bench", "/bench-worker", "/bench-wasm"} {
		t.Run(app[1:], func(t *testing.T) {
			b := newBrowser(t, base+app)
			b.get("/hello", 200, "hello\n")
			b.get("/read", 200, "n=0 new=1 ")
			b.get("/invalidate", 200, "ok 0\n")
			b.get("/count?pad=100&attrs=3", 200, "n=1 new=1 node=")
			for n := 2; n <= 20; n++ {
				b.get("/count", 200, fmt.Sprintf("n=%d new=0 node=", n))
			}
			b.get("/read", 200, "n=20 new=0 ")
			b.get("/cart?size=4096", 200, "n=1 new=1 ", " items=16 sum=136 crc=fd70aba4\n")
			b.get("/cart?size=4096&touch=2", 200, "n=3 new=0 ", " items=16 ")
			b.get("/read", 200, "n=20 new=0 ", " items=16 ")
			b.get("/stats?gc=1", 200, "sessions=", " manager=serval node=", " heapUsed=") // counted per instance
			b.get("/count?pad=x", 400, "is not a number")
			b.get("/invalidate", 200, "ok 1\n")
			b.get("/read", 200, "n=0 new=1 ")
			crowd(t, base+app+"/count")
		})
	}
}

// crowd sends more requests at once than there are instances of a WebAssembly
// module, each of which makes a session and so has a listener told.
func crowd(t *testing.T, address string) {
	t.Helper()
	client := &http.Client{Timeout: 25 * time.Second} // five times what an event may wait
	defer client.CloseIdleConnections()
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			res, err := client.Get(address)
			if err != nil {
				t.Error(err)
				return
			}
			defer res.Body.Close()
			body, err := io.ReadAll(res.Body)
			if err != nil || res.StatusCode != http.StatusOK || !strings.HasPrefix(string(body), "n=1 new=1 ") {
				t.Errorf("%s: status %d, %q, %v", address, res.StatusCode, body, err)
			}
		})
	}
	wg.Wait()
}

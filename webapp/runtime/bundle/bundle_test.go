package bundle

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/serval-server/serval/descriptor"
	"github.com/serval-server/serval/webapp"
	"github.com/serval-server/serval/webapp/runtime/source"
	"github.com/serval-server/serval/webapp/runtime/worker"
	"github.com/serval-server/serval/webapp/runtimetest"
)

// wasmWorker builds what runs modules, once.
var wasmWorker = sync.OnceValues(func() (string, error) {
	exe := filepath.Join(shared, "wasmworker")
	out, err := exec.Command("go", "build", "-o", exe, "./internal/wasmworker").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return exe, nil
})

// shared keeps what is compiled from one test to the next.
var shared = filepath.Join(os.TempDir(), "serval-bundle-test")

// tree is a bundle of Go source.
func tree(t *testing.T) fstest.MapFS {
	t.Helper()
	main, err := os.ReadFile("testdata/app.go.txt")
	if err != nil {
		t.Fatal(err)
	}
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	return fstest.MapFS{
		"index.html":              file("static page"),
		"WEB-INF/data.txt":        file("data of the bundle"),
		"WEB-INF/src/go.mod":      file("module example.com/app\n\ngo 1.26.0\n\nrequire github.com/serval-server/serval v0.0.0\n"),
		"WEB-INF/src/main.go":     &fstest.MapFile{Data: main},
		"WEB-INF/src/go.sum":      file(""),
		"WEB-INF/src/cmd/empty":   file(""),
		"WEB-INF/web.toml":        file(""),
		"WEB-INF/src/ignored.txt": file(""),
	}
}

func descriptorOf(rt descriptor.Runtime, servlets []string) *descriptor.WebApp {
	d := descriptor.BuiltinDefaults()
	for _, name := range servlets {
		d.Servlets = append(d.Servlets, descriptor.Servlet{Name: name, Class: name})
		d.ServletMappings = append(d.ServletMappings, descriptor.ServletMapping{Servlet: name, Patterns: []descriptor.Pattern{{URL: "/" + name}}})
	}
	d.Runtime = rt
	return d
}

type app struct {
	*httptest.Server
	t *testing.T
}

func start(t *testing.T, f fs.FS, dir string, rt descriptor.Runtime) *app {
	t.Helper()
	if _, err := exec.LookPath("go"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("no Go toolchain")
	}
	t.Setenv("GOPROXY", "off")
	var opts Options
	if rt.Build == "wasm" {
		exe, err := wasmWorker()
		if err != nil {
			t.Fatal(err)
		}
		opts.WasmCommand = []string{exe}
	}
	return startWith(t, f, dir, rt, opts, "hello", "count", "file", "stream", "outer", "inner", "trap", "read")
}

func startWith(t *testing.T, f fs.FS, dir string, rt descriptor.Runtime, opts Options, servlets ...string) *app {
	t.Helper()
	opts.SDKDir, opts.Server = filepath.Join(shared, "sdk"), "test"
	run, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	c, err := webapp.New(webapp.Options{
		Path: "/app", FS: f, Dir: dir, Descriptor: descriptorOf(rt, servlets), Runtime: run, WorkDir: t.TempDir(), TempDir: t.TempDir(),
		Logger: slog.New(slog.NewTextHandler(&log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	a := &app{Server: httptest.NewServer(c), t: t}
	t.Cleanup(func() {
		a.Close()
		if err := c.Stop(context.Background(), webapp.DropSessions); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(log.String()) // all that wrote to it has ended
		}
	})
	return a
}

func (a *app) do(method, path, body string, cookie string) (int, string, string) {
	a.t.Helper()
	req, err := http.NewRequest(method, a.URL+"/app"+path, strings.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	if cookie != "" {
		req.Header.Set("Cookie", cookie)
	}
	res, err := a.Client().Do(req)
	if err != nil {
		a.t.Fatal(err)
	}
	defer res.Body.Close() // it was only read
	b, err := io.ReadAll(res.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	set, _, _ := strings.Cut(res.Header.Get("Set-Cookie"), ";")
	return res.StatusCode, string(b), set
}

func (a *app) want(path string, code int, body string) {
	a.t.Helper()
	if c, b, _ := a.do("GET", path, "", ""); c != code || !strings.Contains(b, body) {
		a.t.Errorf("%s: %d %q, want %d %q", path, c, b, code, body)
	}
}

// exercise is what every kind of program must do.
func exercise(t *testing.T, a *app) {
	t.Helper()
	a.want("/hello", 200, "hello from example /app")
	a.want("/file", 200, "data of the bundle")
	a.want("/outer", 200, "before inner set by outer after")
	a.want("/trap", 500, "")
	a.want("/hello", 200, "hello")
	_, first, cookie := a.do("GET", "/count", "", "")
	_, second, _ := a.do("GET", "/count", "", cookie)
	if first != "1" || second != "2" {
		t.Errorf("counted %q, %q", first, second)
	}
	body := strings.Repeat("0123456789", 100_000)
	if c, b, _ := a.do("POST", "/read", body, ""); c != 200 || b != "1000000 bytes" {
		t.Error(c, b)
	}
	if c, b, _ := a.do("GET", "/stream", "", ""); c != 200 || len(b) != 1_000_000 {
		t.Error(c, len(b), b[:min(len(b), 200)])
	}
}

// onDisk writes a bundle to a folder.
func onDisk(t *testing.T, f fs.FS) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, f); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestSource(t *testing.T) {
	dir := onDisk(t, tree(t))
	exercise(t, start(t, os.DirFS(dir), dir, descriptor.Runtime{}))
}

func TestSourceToWasm(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles a module")
	}
	dir := onDisk(t, tree(t))
	exercise(t, start(t, os.DirFS(dir), dir, descriptor.Runtime{Build: "wasm"}))
}

func TestNativeProgramInAZip(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("no Go toolchain")
	}
	t.Setenv("GOPROXY", "off")
	src := onDisk(t, tree(t))
	b := source.New(source.Options{SDKDir: filepath.Join(shared, "sdk")})
	r, err := b.Build(t.Context(), source.Request{Source: filepath.Join(src, "WEB-INF", "src"), Work: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(r.Path)
	if err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	for name, data := range map[string][]byte{
		"WEB-INF/bin/" + runtime.GOOS + "-" + runtime.GOARCH + "/app": program, "WEB-INF/data.txt": []byte("data of the bundle"),
	} {
		w, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	zr, err := zip.NewReader(bytes.NewReader(buf.Bytes()), int64(buf.Len()))
	if err != nil {
		t.Fatal(err)
	}
	exercise(t, start(t, zr, "", descriptor.Runtime{}))
}

func TestWhatIsMissing(t *testing.T) {
	for name, c := range map[string]struct {
		fs   fstest.MapFS
		want string
	}{
		"nothing":        {fstest.MapFS{"index.html": {}}, "no program"},
		"other platform": {fstest.MapFS{"WEB-INF/bin/plan9-mips/app": {}}, "plan9-mips"},
	} {
		_, _, err := find(webapp.Launch{FS: c.fs})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := find(webapp.Launch{}); !errors.Is(err, ErrNoProgram) {
		t.Error(err)
	}
}

func itoa(n int) string { return strconv.Itoa(n) }

// TestWasmReplication is the suite's part about replicated sessions, in WebAssembly.
func TestWasmReplication(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles a module")
	}
	exe, err := wasmWorker()
	if err != nil {
		t.Fatal(err)
	}
	module := filepath.Join(shared, "suite.wasm")
	build := exec.Command("go", "build", "-buildmode=c-shared", "-o", module, "./internal/suiteguest")
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0", "GOFLAGS=-trimpath")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	rt, err := worker.New(worker.Options{Command: []string{exe, module, "--cache", filepath.Join(shared, "cache")}})
	if err != nil {
		t.Fatal(err)
	}
	runtimetest.RunReplication(t, runtimetest.Options{Runtime: rt})
}

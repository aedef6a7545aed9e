package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/serval-server/serval/conf"
	"github.com/serval-server/serval/deploy"
	"github.com/serval-server/serval/descriptor"
	"github.com/serval-server/serval/webapp/servlet"
)

// linked is the application that the scripts' server has compiled in.
var linked = servlet.App{Servlets: map[string]http.Handler{
	"hello": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := 0
		_ = servlet.Update(servlet.SessionOf(r), "n", func(v int, _ bool) (int, error) { n = v + 1; return n, nil })
		fmt.Fprintf(w, "hello %d from %s", n, servlet.ContextPath(r))
	}),
}}

// programs are what the scripts call.
var programs = map[string]func(){
	"serval": func() {
		os.Exit(Main(Options{Args: os.Args[1:], Version: "0.0-test", Linked: map[string]servlet.App{"hello": linked}}))
	},
	"await": await,
	"get":   get,
}

// TestMain makes the test binary the programs.
func TestMain(m *testing.M) { testscript.Main(m, programs) }

// TestScripts runs testdata/*.txtar. Beside serval they have addresses for cluster
// nodes, $FREE1 to $FREE3, and
//
//	await HOME         wait until the server of the home is ready
//	get HOME PATH      print the answer's status and body
func TestScripts(t *testing.T) {
	env := goEnvironment(t)
	testscript.Run(t, testscript.Params{
		Dir:           "testdata",
		UpdateScripts: os.Getenv("UPDATE") != "",
		Deadline:      time.Now().Add(4 * time.Minute), // of a script that hangs; they take seconds
		Setup: func(e *testscript.Env) error {
			home := filepath.Join(e.WorkDir, ".user")
			e.Vars = append(e.Vars, env...)
			e.Setenv("HOME", home)
			e.Setenv("XDG_CACHE_HOME", filepath.Join(home, "cache"))
			for i := range 3 {
				e.Setenv(fmt.Sprintf("FREE%d", i+1), freeAddress(t))
			}
			return os.MkdirAll(home, 0o755)
		},
	})
}

// freeAddress is an address that was free for UDP and TCP a moment ago.
func freeAddress(t *testing.T) string {
	for range 20 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		p, err := net.ListenPacket("udp", l.Addr().String())
		_ = l.Close()
		if err == nil {
			_ = p.Close()
			return l.Addr().String()
		}
	}
	t.Fatal("no address is free for UDP and TCP")
	return ""
}

// goEnvironment lets scripts use the machine's Go caches.
func goEnvironment(t *testing.T) []string {
	out, err := exec.Command("go", "env", "GOCACHE", "GOMODCACHE", "GOPATH").Output()
	if err != nil {
		t.Logf("no go command: %v", err)
		return nil
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return []string{"GOCACHE=" + lines[0], "GOMODCACHE=" + lines[1], "GOPATH=" + lines[2], "GOFLAGS="}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// await is the program of that name.
func await() {
	h := home{Home: os.Args[1]}
	e := &env{ctx: context.Background()}
	client, err := h.client(e)
	if err != nil {
		fail(err)
	}
	for end := time.Now().Add(60 * time.Second); ; {
		apps, err := client.Apps(e.ctx)
		starting := false
		for _, a := range apps {
			starting = starting || a.State == deploy.Starting || a.State == deploy.Reloading
		}
		if err == nil && !starting {
			return
		}
		if time.Now().After(end) {
			fail(fmt.Errorf("not ready: %w %+v", err, apps))
		}
		time.Sleep(10 * time.Millisecond) // between two looks
	}
}

// get is the program of that name.
func get() {
	h := home{Home: os.Args[1]}
	e := &env{ctx: context.Background()}
	client, err := h.client(e)
	if err != nil {
		fail(err)
	}
	st, err := client.Status(e.ctx)
	if err != nil {
		fail(err)
	}
	res, err := http.Get(st.Connectors[0].URL + os.Args[2])
	if err != nil {
		fail(err)
	}
	body, err := io.ReadAll(res.Body)
	if err := errors.Join(err, res.Body.Close()); err != nil {
		fail(err)
	}
	fmt.Println(res.StatusCode, strings.TrimSpace(string(body)))
}

// TestShippedDefaults: conf/web.toml says what holds without it.
func TestShippedDefaults(t *testing.T) {
	got, found := descriptor.ParseWeb("conf/web.toml", conf.Web, nil)
	if len(found) > 0 {
		t.Fatal(found)
	}
	want := descriptor.BuiltinDefaults()
	names := func(w *descriptor.WebApp) (out []string) {
		for _, s := range w.Servlets {
			out = append(out, fmt.Sprint(s.Name, s.Class, *s.LoadOnStartup, s.InitParams))
		}
		for _, m := range w.ServletMappings {
			out = append(out, m.Servlet)
			for _, p := range m.Patterns {
				out = append(out, p.URL)
			}
		}
		out = append(out, w.WelcomeFiles...)
		return append(out, w.RequestEncoding, w.ResponseEncoding, w.SessionConfig.Timeout.String())
	}
	if g, w := names(got), names(want); !reflect.DeepEqual(g, w) {
		t.Errorf("conf/web.toml:\n%q\nbuilt in:\n%q", g, w)
	}
}

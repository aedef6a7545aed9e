package conformance

import (
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/serval-server/serval/webapp/servlet"
)

var command = flag.String("worker", "", "the worker to test, with its arguments; else the SDK's own")

// The test binary is a worker of the SDK.
func TestMain(m *testing.M) {
	if os.Getenv(servlet.WorkerEnv) != "" {
		servlet.Main(example)
		return
	}
	flag.Parse()
	os.Exit(m.Run())
}

var example = servlet.App{Servlets: map[string]http.Handler{
	"hello": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }),
	"count": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := servlet.SessionOf(r)
		n, _ := servlet.Get[int](s, "n") // 0 if there is none
		_ = servlet.Set(s, "n", n+1)
		_, _ = fmt.Fprint(w, n+1)
	}),
	"read": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil {
			panic(err)
		}
		_, _ = fmt.Fprint(w, n)
	}),
	"big": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.URL.RawQuery)
		_, _ = io.WriteString(w, strings.Repeat("x", n))
	}),
}}

func TestConformance(t *testing.T) {
	if *command != "" {
		Run(t, Command(strings.Fields(*command)...))
		return
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	Run(t, Command(exe))
}

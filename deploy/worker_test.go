//go:build unix

package deploy

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/serval-server/serval/webapp/runtime/worker"
	"github.com/serval-server/serval/webapp/servlet"
)

// TestMain lets the test binary be the program of the bundles that it deploys.
func TestMain(m *testing.M) {
	if os.Getenv(servlet.WorkerEnv) != "" {
		servlet.Main(counterApp())
		return
	}
	os.Exit(m.Run())
}

// newWorkerHost deploys one bundle whose code runs in worker processes.
func newWorkerHost(t *testing.T) *testHost {
	t.Helper()
	rt, err := worker.New(worker.Options{Command: []string{os.Args[0]}})
	if err != nil {
		t.Fatal(err)
	}
	h := newRealHost(t, func(_ *Options, c *Contexts) { c.Worker = rt })
	h.write("webapps/app/WEB-INF/web.xml", strings.Replace(fmt.Sprintf(counterXML, "worker"), "serval.runtime.app", "unused", 1))
	h.write("webapps/app/WEB-INF/bin/any/app", "the test binary is the program")
	h.start()
	h.wantState("/app", Running)
	return h
}

// TestFiftyWorkerRedeployments: processes do not pile up either, and the
// session outlives all of them.
func TestFiftyWorkerRedeployments(t *testing.T) {
	h := newWorkerHost(t)
	c := &client{h: h, cookies: map[string]*http.Cookie{}}
	var goroutines, files, memory [2]int
	seen := map[int]bool{}
	for i := range 55 {
		if i == 5 {
			goroutines[0], files[0], memory[0] = figures(t)
		}
		if _, err := h.Reload(t.Context(), ParseName("/app")); err != nil {
			t.Fatal(err)
		}
		h.wg.Wait()
		if got := c.get("/app/count"); got != fmt.Sprint("worker ", i+1) {
			t.Fatalf("got %q in generation %d", got, i)
		}
		seen[h.app("/app").WorkerPID] = true
	}
	goroutines[1], files[1], memory[1] = figures(t)
	t.Logf("goroutines %v, file descriptors %v, heap %v, %d processes", goroutines, files, memory, len(seen))
	if goroutines[1] > goroutines[0]+2 || files[1] > files[0]+2 || memory[1] > memory[0]+1<<20 {
		t.Errorf("goroutines %v, file descriptors %v, heap %v", goroutines, files, memory)
	}
	for pid := range seen {
		alive := syscall.Kill(pid, 0) == nil
		if want := pid == h.app("/app").WorkerPID; alive != want {
			t.Errorf("process %d alive: %v, want %v", pid, alive, want)
		}
	}
}

// TestWorkerUnderLoad: sessions count on while the application is redeployed
// and its workers are killed. Only requests inside a killed worker may fail,
// and none of them is counted twice or lost once it was answered.
func TestWorkerUnderLoad(t *testing.T) {
	h := newWorkerHost(t)
	var done atomic.Bool
	var failed, answered atomic.Int64
	var wg sync.WaitGroup
	const clients = 4
	for range clients {
		wg.Go(func() {
			cookies := map[string]*http.Cookie{}
			count := 0
			for !done.Load() {
				r := httptest.NewRequest(http.MethodGet, "/app/count", nil)
				for _, k := range cookies {
					r.AddCookie(k)
				}
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				if w.Code != http.StatusOK {
					failed.Add(1)
					continue
				}
				answered.Add(1)
				for _, k := range w.Result().Cookies() {
					cookies[k.Name] = k
				}
				var n int
				if _, err := fmt.Sscanf(w.Body.String(), "worker %d", &n); err != nil || n <= count {
					t.Errorf("counted %q after %d", w.Body, count)
					return
				}
				count = n
			}
		})
	}
	const kills = 3
	for i := range 10 {
		if _, err := h.Reload(t.Context(), ParseName("/app")); err != nil {
			t.Error(err)
		}
		at := answered.Load()
		waitFor(t, func() bool { return answered.Load() > at+20 })
		if i%3 == 2 {
			if err := syscall.Kill(h.app("/app").WorkerPID, syscall.SIGKILL); err != nil {
				t.Error(err)
			}
		}
	}
	done.Store(true)
	wg.Wait()
	t.Logf("%d answered, %d failed", answered.Load(), failed.Load())
	if failed.Load() > clients*kills {
		t.Errorf("%d requests failed, at most %d can have been inside a killed worker", failed.Load(), clients*kills)
	}
}

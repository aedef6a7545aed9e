package deploy

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestExchange: the old generation serves until the new one has started, and
// finishes its requests before it is stopped.
func TestExchange(t *testing.T) {
	h := newTestHost(t, nil)
	h.write("webapps/app/index.txt", "one")
	h.start()
	h.wantText("/app/", "one")

	h.world.inside, h.world.release = make(chan struct{}), make(chan struct{})
	answered := make(chan string)
	go func() {
		_, body := h.get("/app/?wait")
		answered <- body
	}()
	<-h.world.inside

	h.world.gate = make(chan struct{})
	h.write("webapps/app/index.txt", "two")
	reloaded := make(chan error)
	go func() {
		_, err := h.Reload(context.Background(), ParseName("/app"))
		reloaded <- err
	}()
	waitFor(t, func() bool { return h.app("/app").State == Reloading })
	h.wantText("/app/", "one")
	h.world.gate <- struct{}{}
	if err := <-reloaded; err != nil {
		t.Fatal(err)
	}
	h.wantText("/app/", "two")
	if events := h.world.take(); !slices.Equal(events, []string{"start /app one", "start /app two"}) {
		t.Errorf("before the old one's request has ended: %v", events)
	}
	h.world.release <- struct{}{}
	if body := <-answered; body != "one" {
		t.Errorf("the request inside was answered by %q", body)
	}
	h.wg.Wait()
	if events := h.world.take(); !slices.Equal(events, []string{fmt.Sprintf("stop /app one %d", KeepSessions)}) {
		t.Errorf("after it has ended: %v", events)
	}
}

func waitFor(t *testing.T, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !condition(); {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain")
		}
		runtime.Gosched()
	}
}

// TestFirstRequestsWait: requests for an application that starts wait for it.
func TestFirstRequestsWait(t *testing.T) {
	h := newTestHost(t, nil)
	h.world.gate = make(chan struct{})
	h.write("webapps/app/index.txt", "one")
	h.write("webapps/bad/fails", "no database")
	if err := h.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.wantState("/app", Starting)
	codes := make(chan string, 2)
	for _, url := range []string{"/app/", "/bad/"} {
		go func() {
			code, body := h.get(url)
			codes <- fmt.Sprint(url, code, body)
		}()
	}
	h.world.gate <- struct{}{}
	h.world.gate <- struct{}{}
	got := []string{<-codes, <-codes}
	slices.Sort(got)
	if !slices.Equal(got, []string{"/app/200one", "/bad/404The application /bad is not available."}) {
		t.Errorf("got %q", got)
	}
}

// TestWaitIsBounded, in virtual time.
func TestWaitIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTestHost(t, nil)
		h.world.gate = make(chan struct{})
		h.write("webapps/app/index.txt", "one")
		if err := h.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/app/", nil))
		if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || time.Since(began) != 10*time.Second {
			t.Errorf("%d %v after %v", w.Code, w.Header(), time.Since(began))
		}
		close(h.world.gate)
		if err := h.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestDrainIsBounded: a request that does not end holds an old generation for
// DrainTimeout, no longer.
func TestDrainIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTestHost(t, nil)
		h.world.inside, h.world.release = make(chan struct{}), make(chan struct{})
		h.write("webapps/app/index.txt", "one")
		h.start()
		go h.get("/app/?wait")
		<-h.world.inside
		began := time.Now()
		if _, err := h.Reload(t.Context(), ParseName("/app")); err != nil {
			t.Fatal(err)
		}
		h.wg.Wait()
		if took := time.Since(began); took != 10*time.Second || !strings.HasPrefix(strings.Join(h.world.take(), ","), "start /app one,start /app one,stop /app one") {
			t.Errorf("the old generation ended after %v", took)
		}
		h.world.release <- struct{}{}
	})
}

// TestBackgroundScan: what is dropped answers, in virtual time, within 3 s.
func TestBackgroundScan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTestHost(t, func(o *Options) { o.NoAutoDeploy = false })
		h.start()
		h.zip("webapps/a.zip", "zip")
		h.write("webapps/b/index.txt", "folder")
		h.wantCode("/a/", 404)
		time.Sleep(1100 * time.Millisecond)
		synctest.Wait()
		h.wantText("/a/", "zip")
		h.wantText("/b/", "folder")
		h.delete("webapps/a.zip")
		h.delete("webapps/b")
		time.Sleep(1100 * time.Millisecond)
		synctest.Wait()
		h.wantCode("/a/", 404)
		h.wantCode("/b/", 404)
		if err := h.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestFailureKeepsTheOld: whatever goes wrong with the new generation, the
// old one serves, with its files, and mending it is noticed.
func TestFailureKeepsTheOld(t *testing.T) {
	for _, how := range []string{"broken", "fails", "panics", "not a zip"} {
		for _, unpack := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s,unpack=%v", how, unpack), func(t *testing.T) {
				h := newTestHost(t, func(o *Options) { o.NoUnpack = !unpack })
				h.zip("webapps/app.war", "one", "more.txt", "of one")
				h.start()
				if how == "not a zip" {
					h.write("webapps/app.war", "PK but not a zip")
				} else {
					h.zip("webapps/app.war", "two", how, "because")
				}
				h.scan2()
				h.wantText("/app/", "one")
				h.wantText("/app/?file=more.txt", "of one")
				info := h.wantState("/app", Failed)
				if !info.Serving || info.Error == "" || info.Generation != 1 {
					t.Errorf("reported as %+v", info)
				}
				tries := h.world.launches
				h.scan2()
				if h.world.launches != tries {
					t.Error("tried again although nothing has changed")
				}
				h.zip("webapps/app.war", "three")
				h.scan2()
				h.wantText("/app/", "three")
				h.wantState("/app", Running)
				if left, _ := filepath.Glob(h.path("webapps/" + tempPrefix + "*")); len(left) > 0 {
					t.Errorf("left over: %v", left)
				}
			})
		}
	}
}

// TestBrokenFolderIsMended: a bundle that never ran is tried again when
// anything in it changes, and harms nobody.
func TestBrokenFolderIsMended(t *testing.T) {
	h := newTestHost(t, nil)
	h.write("webapps/good/index.txt", "good")
	h.write("webapps/bad/index.txt", "bad")
	h.write("webapps/bad/broken", "by design")
	h.start()
	h.wantText("/good/", "good")
	h.wantCode("/bad/", 404)
	if info := h.wantState("/bad", Failed); info.Serving || !strings.Contains(info.Error, "by design") {
		t.Errorf("reported as %+v", info)
	}
	h.delete("webapps/bad/broken")
	h.scan2()
	h.wantText("/bad/", "bad")
	h.write("webapps/bad2/broken", "for ever")
	h.scan2()
	if info := h.wantState("/bad2", Failed); info.Bundle != h.path("webapps/bad2") {
		t.Errorf("reported as %+v", info)
	}
	h.delete("webapps/bad2")
	h.scan2()
	h.wantState("/bad2", "")
}

func TestDevelopmentShowsTheReason(t *testing.T) {
	h := newTestHost(t, func(o *Options) { o.Development = true })
	h.write("webapps/app/index.txt", "one")
	h.write("webapps/app/broken", "line 3: <undefined>")
	h.start()
	if code, body := h.get("/app/"); code != 503 || !strings.Contains(body, "line 3: &lt;undefined&gt;") {
		t.Errorf("%d %s", code, body)
	}
	h.delete("webapps/app/broken")
	h.scan2()
	h.wantText("/app/", "one")
	h.write("webapps/app/broken", "again")
	h.write("webapps/app/WEB-INF/web.xml", "<web-app/>")
	h.scan2()
	h.wantText("/app/", "one")
	if code, body := h.get("/app/", "Accept", "text/html,*/*"); code != 503 || !strings.Contains(body, "again") {
		t.Errorf("a browser sees %d %s", code, body)
	}
}

// TestSaveAndRefresh: in development mode the next page that a person asks
// for is what was saved, or the reason why it cannot be, without a scan.
func TestSaveAndRefresh(t *testing.T) {
	h := newTestHost(t, func(o *Options) { o.Development = true })
	h.write("webapps/app/index.txt", "one")
	h.write("webapps/app/WEB-INF/src/app.go", "one")
	h.start()
	refresh := func(wantCode int, want string) {
		t.Helper()
		if code, body := h.get("/app/", "Accept", "text/html"); code != wantCode || !strings.Contains(body, want) {
			t.Errorf("%d %s, want %d %s", code, body, wantCode, want)
		}
	}
	refresh(200, "one")
	h.write("webapps/app/index.txt", "two")
	h.write("webapps/app/WEB-INF/src/app.go", "two")
	h.wantText("/app/", "one") // a script's request does not wait
	refresh(200, "two")
	h.write("webapps/app/broken", "line 7")
	h.write("webapps/app/WEB-INF/src/app.go", "three")
	refresh(503, "line 7")
	h.wantText("/app/", "two")
	h.delete("webapps/app/broken")
	refresh(200, "two")
	h.wantState("/app", Running)
}

func TestHalfCopiedZip(t *testing.T) {
	h := newTestHost(t, nil)
	h.start()
	whole := zipBytes(t, "index.txt", "whole", "filler", strings.Repeat("x", 1000))
	for _, n := range []int{1, len(whole) / 2, len(whole) - 1} {
		h.write("webapps/app.war", string(whole[:n]))
		h.Scan() // never the same twice: not even tried
		if h.app("/app").State != "" {
			t.Fatalf("after %d bytes it is %v", n, h.app("/app"))
		}
	}
	h.scan2() // the copying has stalled
	if info := h.wantState("/app", Failed); !strings.Contains(info.Error, "still being copied") || h.has("webapps/app") {
		t.Errorf("reported as %+v", info)
	}
	h.write("webapps/app.war", string(whole))
	h.scan2()
	h.wantText("/app/", "whole")
}

// TestZipWrittenJustBeforeTheStart: the start does not trust it either, and
// requests wait meanwhile.
func TestZipWrittenJustBeforeTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTestHost(t, nil)
		whole := zipBytes(t, "index.txt", "whole")
		recently := func(content []byte) {
			h.write("webapps/app.war", string(content))
			if err := os.Chtimes(h.path("webapps/app.war"), time.Now(), time.Now()); err != nil {
				t.Fatal(err)
			}
		}
		recently(whole[:100])
		if err := h.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		for n := 101; n < 105; n++ {
			time.Sleep(400 * time.Millisecond)
			recently(whole[:n])
		}
		h.wantState("/app", Starting)
		recently(whole)
		h.wantText("/app/", "whole")
		if err := h.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestWatchedFilesReload(t *testing.T) {
	h := newTestHost(t, func(o *Options) { o.GlobalFiles = []string{filepath.Join(o.AppBase, "../conf/web.toml")} })
	h.write("webapps/app/index.txt", "one")
	h.start()
	steps := []struct {
		file string
		want int // generation afterwards
	}{
		{"webapps/app/index.txt", 1},          // a page
		{"webapps/app/WEB-INF/web.xml", 2},    // added
		{"webapps/app/WEB-INF/web.xml", 3},    // changed
		{"webapps/app/WEB-INF/web.toml", 4},   // added
		{"webapps/app/watched", 5},            // WatchedResource
		{"conf/web.toml", 6},                  // of every application
		{"webapps/app/WEB-INF/src/a.go", 7},   // sources
		{"webapps/app/WEB-INF/src/b/c.go", 8}, // sources
		{"webapps/app/WEB-INF/bin/app", 8},    // a program, not reloadable
		{"webapps/app/META-INF/context.xml", 9},
	}
	for _, step := range steps {
		content := step.file
		if strings.HasSuffix(step.file, "context.xml") {
			content = "<Context/>"
		}
		h.write(step.file, content)
		h.scan2()
		if got := h.wantState("/app", Running).Generation; got != step.want {
			t.Fatalf("%s: generation %d, want %d", step.file, got, step.want)
		}
	}
	h.delete("webapps/app/WEB-INF/web.xml")
	h.Scan()
	if got := h.app("/app").Generation; got != 10 {
		t.Errorf("descriptor deleted: generation %d, want 10", got)
	}
}

func TestReloadable(t *testing.T) {
	for setting, want := range map[string]int{"true": 3, "false": 1} {
		h := newTestHost(t, nil)
		h.write("webapps/app/reloadable", setting)
		h.start()
		h.write("webapps/app/WEB-INF/bin/app", "program")
		h.scan2()
		h.write("webapps/app/WEB-INF/src/app.go", "source")
		h.scan2()
		if got := h.app("/app").Generation; got != want {
			t.Errorf("reloadable=%s: generation %d, want %d", setting, got, want)
		}
	}
}

// TestLinksStayInside: a bundle's folder cannot lend files from outside.
func TestLinksStayInside(t *testing.T) {
	h := newTestHost(t, nil)
	h.write("secret", "secret")
	h.write("webapps/app/index.txt", "app")
	if err := os.Symlink(h.path("secret"), h.path("webapps/app/link")); err != nil {
		t.Skip("no symbolic links here:", err)
	}
	h.start()
	h.wantText("/app/", "app")
	h.wantCode("/app/?file=link", 404)
}

// TestKilledWhileUnpacking: the next start puts things in order.
func TestKilledWhileUnpacking(t *testing.T) {
	h := newTestHost(t, nil)
	h.write("webapps/"+tempPrefix+"unpack-1/index.txt", "half")
	h.write("webapps/"+tempPrefix+"old-1/app/index.txt", "moved away")
	h.write("work/app/"+copyPrefix+"1.zip", "a copy")
	h.start()
	h.wantText("/app/", "moved away")
	if h.has("work/app/" + copyPrefix + "1.zip") {
		t.Error("the copy is left")
	}
	if left, _ := filepath.Glob(h.path("webapps/.*")); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}

// TestRedeployUnderLoad: while an application is redeployed again and again,
// no request fails, and no generation answers after it was stopped.
func TestRedeployUnderLoad(t *testing.T) {
	h := newTestHost(t, nil)
	h.zip("webapps/app.war", "0")
	h.start()
	var done atomic.Bool
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for !done.Load() {
				r := httptest.NewRequest(http.MethodGet, "/app/", nil)
				w := &httptest.ResponseRecorder{Body: new(bytes.Buffer), Code: 200}
				if h.ServeHTTP(w, r); w.Code != http.StatusOK {
					t.Errorf("%d %s", w.Code, w.Body)
					return
				}
			}
		})
	}
	for i := range 20 {
		h.zip("webapps/app.war", fmt.Sprint(i+1))
		h.scan2()
	}
	done.Store(true)
	wg.Wait()
	h.wantText("/app/", "20")
}

// TestFiftyRedeployments: goroutines, file descriptors and files stay as many
// as they were.
func TestFiftyRedeployments(t *testing.T) {
	for _, unpack := range []bool{true, false} {
		h := newTestHost(t, func(o *Options) { o.NoUnpack = !unpack })
		h.zip("webapps/app.war", "0")
		h.start()
		var goroutines, files, memory [2]int
		for i := range 55 {
			if i == 5 {
				goroutines[0], files[0], memory[0] = figures(t)
			}
			h.zip("webapps/app.war", fmt.Sprint(i))
			h.scan2()
			h.wantText("/app/", fmt.Sprint(i))
		}
		goroutines[1], files[1], memory[1] = figures(t)
		t.Logf("unpack=%v: goroutines %v, file descriptors %v, heap %v", unpack, goroutines, files, memory)
		if goroutines[1] > goroutines[0] || files[1] > files[0] || memory[1] > memory[0]+1<<20 {
			t.Errorf("unpack=%v: goroutines %v, file descriptors %v, heap %v", unpack, goroutines, files, memory)
		}
		if left, _ := filepath.Glob(h.path("work/app/*")); len(left) > 1 {
			t.Errorf("left over: %v", left)
		}
	}
}

func figures(t *testing.T) (goroutines, files, heap int) {
	t.Helper()
	for range 3 { // what is pooled outlives one collection
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Log("file descriptors cannot be counted here:", err)
	}
	return runtime.NumGoroutine(), len(entries), int(m.HeapAlloc)
}

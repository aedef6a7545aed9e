package runtimetest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/serval-server/serval/descriptor"
	"github.com/serval-server/serval/webapp"
)

// Options say what is tested.
type Options struct {
	// Runtime starts programs that serve App.
	Runtime webapp.Runtime
	// NoUpgrade leaves out upgraded connections, for programs that cannot
	// have them.
	NoUpgrade bool
}

// Run runs the suite.
func Run(t *testing.T, o Options) {
	t.Run("Requests", func(t *testing.T) { testRequests(deploy(t, o, nil)) })
	t.Run("Lifecycle", func(t *testing.T) { testLifecycle(t, o) })
	t.Run("Filters", func(t *testing.T) { testFilters(deploy(t, o, nil)) })
	t.Run("Sessions", func(t *testing.T) { testSessions(deploy(t, o, nil)) })
	t.Run("SessionEvents", func(t *testing.T) { testSessionEvents(deploy(t, o, nil)) })
	t.Run("CommitPoints", func(t *testing.T) { testCommitPoints(deploy(t, o, nil)) })
	t.Run("Concurrency", func(t *testing.T) { testConcurrency(deploy(t, o, nil)) })
	t.Run("Serialized", func(t *testing.T) {
		testSerialized(deploy(t, o, func(d *descriptor.WebApp) { d.SessionConfig.Serialized = true }))
	})
	t.Run("Dispatch", func(t *testing.T) { testDispatch(deploy(t, o, nil)) })
	t.Run("Errors", func(t *testing.T) { testErrors(deploy(t, o, nil)) })
	t.Run("Bodies", func(t *testing.T) { testBodies(deploy(t, o, nil)) })
	t.Run("Streams", func(t *testing.T) { testStreams(deploy(t, o, nil)) })
	RunReplication(t, o)
	if !o.NoUpgrade {
		t.Run("Upgrade", func(t *testing.T) { testUpgrade(deploy(t, o, nil)) })
	}
}

func testRequests(h *harness) {
	h.want("/echo/a%20b/c?x=1&y=%41", 200, "/app|/echo|/a b/c|/echo/a b/c|/app/echo/a%20b/c|x=1&y=%41|REQUEST|PATH")
	h.want("/one", 200, "one 1")
	h.want("/two", 200, "two 2")
	h.want("/static/a.txt", 200, "STATIC TEXT!")
	h.want("/context", 200, "/app|3|Conformance|green|private data|<nil>|text/html|true|30m0s")
	res, body := h.do(http.MethodHead, "/echo", nil)
	if res.StatusCode != http.StatusOK || body != "" || res.Header.Get("X-Method") != "HEAD" {
		h.t.Errorf("HEAD: %d %q", res.StatusCode, body)
	}
	if res, _ := h.get("/WEB-INF/data.txt"); res.StatusCode != http.StatusNotFound {
		h.t.Errorf("WEB-INF: %d", res.StatusCode)
	}
	if res, _ := h.get("/forbidden"); res.StatusCode != http.StatusInternalServerError {
		h.t.Errorf("a request that a listener refuses: %d", res.StatusCode)
	}
}

func testLifecycle(t *testing.T, o Options) {
	h := deploy(t, o, func(d *descriptor.WebApp) {
		for i := range d.Servlets {
			if d.Servlets[i].Name == "journal" {
				first := 0
				d.Servlets[i].LoadOnStartup = &first
			}
		}
	})
	if got := h.journal(); !strings.HasSuffix(got, "context /app initialized") {
		t.Errorf("after the start: %q", got)
	}
	h.want("/lazy", 200, "initialised 1")
	h.want("/lazy", 200, "initialised 1")
	if got := h.journal(); !strings.HasPrefix(got, "init lazy v\n") {
		t.Errorf("after the first request: %q", got)
	}
	if res, _ := h.get("/broken"); res.StatusCode != http.StatusNotFound {
		t.Errorf("a servlet that is unavailable for good: %d", res.StatusCode)
	}

	refuse := &harness{t: t, log: &logBuffer{}}
	c, err := refuse.newContext(o, func(d *descriptor.WebApp) {
		d.ContextParams = append(d.ContextParams, descriptor.Param{Name: "refuse", Value: "yes"})
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "refused by a context listener") {
		t.Errorf("a context listener that refuses: %v", err)
	}
	unknown, err := refuse.newContext(o, func(d *descriptor.WebApp) {
		d.Servlets = append(d.Servlets, descriptor.Servlet{Name: "x", Class: "nobody.has.This"})
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := unknown.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "nobody.has.This") {
		t.Errorf("an unknown class: %v", err)
	}
}

func testFilters(h *harness) {
	res := h.want("/echo/x", 200, "/app|/echo|/x|/echo/x|/app/echo/x||REQUEST|PATH")
	if got := strings.Join(res.Header["X-Trace"], " "); got != "f1:REQUEST f2:REQUEST" {
		h.t.Errorf("filters: %q", got)
	}
	h.want("/echo/blocked/x", 402, "")
	res, _ = h.get("/static/traced/none")
	if got := strings.Join(res.Header["X-Trace"], " "); res.StatusCode != http.StatusNotFound || got != "f1:REQUEST" {
		h.t.Errorf("an application's filter before the server's servlet: %d %q", res.StatusCode, got)
	}
	h.want("/wrap", 200, "STATIC TEXT")
}

func testSessions(h *harness) {
	h.want("/session?exists", 200, "false\n")
	h.want("/session?new&set.a=1&get=a&get=none", 200, "true\n1\nerror servlet: no such attribute\n")
	h.want("/session?new&get=a&names", 200, "false\n1\n[a greeting]\n")
	h.want("/session?inc=n&inc=n", 200, "1\n2\n")
	h.want("/session?update=n&inc=n", 200, "4\n")
	h.want("/session?remove=a&names", 200, "[greeting n]\n")
	h.want("/session?names", 200, "[greeting n]\n")
	h.want("/session?local.x=here&getlocal=x&getlocal=y", 200, "here true\n false\n")
	h.want("/session?getlocal=x", 200, "here true\n")
	h.want("/session?getidle&idle=99&getidle", 200, "30m0s\n1m39s\n")
	h.want("/session?getidle", 200, "1m39s\n")
	if _, got := h.get("/session?bad&set.c=kept"); !strings.Contains(got, "error") {
		h.t.Errorf("a value that cannot be encoded: %q", got)
	}
	h.want("/session?names", 200, "[c greeting n]\n")
	h.want("/session?changeid&get=c", 200, "true\nkept\n")
	h.want("/session?get=c", 200, "kept\n")
	for i, want := range []string{"1", "2", "2"} {
		h.want(fmt.Sprintf("/basket?item=%d", min(i, 1)), 200, want)
	}
	h.want("/session?invalidate&exists", 200, "false\n")
	h.want("/session?exists", 200, "false\n")
	h.want("/session?set.a=again&invalidate&new&names", 200, "true\n[greeting]\n")
	h.want("/session?exists", 200, "true\n")
}

func testSessionEvents(h *harness) {
	h.journal()
	h.want("/session?set.a=1", 200, "")
	if got := h.journal(); got != "added greeting\nsession created CREATE\nadded a\nrequest /session" {
		h.t.Errorf("create: %q", got)
	}
	h.want("/session?set.a=2&remove=a&changeid", 200, "true\n")
	if got := h.journal(); got != "replaced a 1\nremoved a\nsession id changed true\nrequest /session" {
		h.t.Errorf("change: %q", got)
	}
	h.want("/basket?item=x", 200, "1")
	if got := h.journal(); got != "bound basket 0\nadded basket\nrequest /basket" {
		h.t.Errorf("bind: %q", got)
	}
	h.want("/session?set.a=3&invalidate", 200, "")
	if got := h.journal(); !strings.HasPrefix(got, "added a\nsession destroyed INVALIDATE a=3\n") ||
		!strings.Contains(got, "unbound basket 1") || !strings.Contains(got, "removed basket") || !strings.Contains(got, "removed a") {
		h.t.Errorf("invalidate: %q", got)
	}
}

// testCommitPoints looks from a second request at what a first one, which has
// not ended, has changed.
func testCommitPoints(h *harness) {
	h.want("/session?set.a=1", 200, "")
	pr, pw := io.Pipe()
	done := make(chan string, 1)
	go func() {
		_, b := h.do(http.MethodPost, "/barrier", pr)
		done <- b
	}()
	h.eventually("the barrier's change", func() bool {
		_, b := h.get("/session?get=barrier")
		return b == "passed\n"
	})
	_ = pw.Close()
	if got := <-done; got != "done" {
		h.t.Errorf("after the barrier: %q", got)
	}
}

// eventually waits for a condition.
func (h *harness) eventually(what string, ok func() bool) {
	h.t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			h.t.Errorf("waited in vain for %s", what)
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func testConcurrency(h *harness) {
	h.want("/session?set.a=1", 200, "")
	const workers, each = 8, 20
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range each {
				h.get("/session?update=n")
			}
		})
	}
	wg.Wait()
	h.want("/session?inc=n", 200, fmt.Sprintf("%d\n", workers*each+1))
}

// testSerialized: with serialised access not even read-modify-write by Get and
// Set loses anything.
func testSerialized(h *harness) {
	h.want("/session?set.a=1", 200, "")
	const workers, each = 6, 15
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range each {
				h.get("/session?inc=n")
			}
		})
	}
	wg.Wait()
	h.want("/session?inc=n", 200, fmt.Sprintf("%d\n", workers*each+1))
	h.want("/basket?item=x", 200, "1")
	h.want("/basket?item=y", 200, "2")
}

func testDispatch(h *harness) {
	h.want("/dispatch?to=/attrs", 200, "FORWARD dispatch 7|/dispatch|<nil>")
	h.want("/dispatch?to=/attrs&how=include", 200, "[INCLUDE dispatch 7|<nil>|/attrs]")
	h.want("/dispatch/x?to=/echo/y%253Fq%3Fz%3D1", 200, "/app|/echo|/y?q|/echo/y?q|/app/echo/y%3Fq|z=1&to=/echo/y%253Fq%3Fz%3D1|FORWARD|PATH")
	h.want("/dispatch/x?to=../one", 200, "one 1")
	h.want("/dispatch/x?to=../../one", 200, "no dispatcher")
	h.want("/dispatch?name=attrs", 200, "FORWARD dispatch 7|<nil>|<nil>")
	h.want("/dispatch?name=nobody", 200, "no dispatcher")
	h.want("/dispatch?to=/static/a.txt", 200, "static text")
	h.want("/dispatch?to=/WEB-INF/data.txt", 200, "private data")
	h.want("/dispatch?to=/static/a.txt&how=include", 200, "[static text]")
	h.want("/dispatch?to=/static/none.txt&how=include", 200, "[missing]")
	h.want("/dispatch/loud?to=/static/a.txt&how=include", 200, "[STATIC TEXT]!")
	if res, _ := h.get("/dispatch?to=/static/none.txt"); res.StatusCode != http.StatusNotFound {
		h.t.Errorf("forward to what does not exist: %d", res.StatusCode)
	}
	res := h.want("/dispatch?to=/echo", 200, "/app|/echo||/echo|/app/echo|to=/echo|FORWARD|PATH")
	if got := strings.Join(res.Header["X-Trace"], " "); got != "f1:FORWARD" {
		h.t.Errorf("filters of a forward: %q", got)
	}
	h.want("/dispatch?to=/session%3Fset.a=fromforward", 200, "")
	h.want("/session?get=a", 200, "fromforward\n")
}

func testErrors(h *harness) {
	h.want("/fail?how=senderror", 418, "page: 418 short and stout fail ERROR")
	h.want("/fail?how=fail", 500, "page: 500 ordering: out of stock: cup fail ERROR")
	h.want("/fail?how=panicerror", 500, "page: 500 out of stock: tea fail ERROR")
	if res, b := h.get("/fail?how=panic"); res.StatusCode != http.StatusInternalServerError || strings.Contains(b, "goroutine") {
		h.t.Errorf("panic: %d %q", res.StatusCode, b)
	}
	if !strings.Contains(h.log.String(), "panicked on purpose") {
		h.t.Error("a panic is not in the log")
	}
	h.want("/fail?how=late", 200, "part committed")
	if res, _ := h.get("/fail?how=unavailable"); res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") != "7" {
		h.t.Errorf("unavailable: %d %v", res.StatusCode, res.Header)
	}
	res, err := h.client.Get(h.srv.URL + "/app/fail?how=abort")
	if err == nil {
		_, err = io.ReadAll(res.Body)
		res.Body.Close()
	}
	if err == nil {
		h.t.Error("an aborted response ended well")
	}
	h.want("/one", 200, "one 1")
}

func testBodies(h *harness) {
	for _, n := range []int{0, 1, 100, 70_000, 3_000_000} {
		res, got := h.do(http.MethodPost, "/body", strings.NewReader(strings.Repeat("z", n)))
		want := fmt.Sprintf("%d %s in", n, strings.Repeat("z", min(n, 3)))
		if res.StatusCode != http.StatusOK || got != want {
			h.t.Errorf("a body of %d bytes: %d %q", n, res.StatusCode, got)
		}
	}
	// A body without a length.
	res, got := h.do(http.MethodPut, "/body", io.MultiReader(strings.NewReader("abc"), strings.NewReader(strings.Repeat("d", 10_000))))
	if res.StatusCode != http.StatusOK || got != "10003 abc in" {
		h.t.Errorf("a chunked body: %d %q", res.StatusCode, got)
	}
	if res, b := h.get("/dispatch?to=/static/big.bin"); res.StatusCode != http.StatusOK || len(b) != 16<<14 {
		h.t.Errorf("a large file: %d, %d bytes", res.StatusCode, len(b))
	}
	if _, b := h.get("/stream?n=50&size=20000"); len(b) != 50*20_010-10 {
		h.t.Errorf("a large stream: %d bytes", len(b))
	}
}

func testStreams(h *harness) {
	ctx, cancel := context.WithTimeout(h.t.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, h.srv.URL+"/app/stream?n=3&wait", nil)
	if err != nil {
		h.t.Fatal(err)
	}
	res, err := h.client.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	sc := bufio.NewScanner(res.Body)
	for i := range 3 {
		if !sc.Scan() || sc.Text() != fmt.Sprintf("data: %d", i) {
			h.t.Fatalf("event %d: %q %v", i, sc.Text(), sc.Err())
		}
		sc.Scan()
	}
	res.Body.Close() // the handler hears of it by its context
	h.eventually("the end of the stream", func() bool { return h.ctx.InFlight() == 0 })
}

func testUpgrade(h *harness) {
	h.want("/session?set.a=1", 200, "")
	c, err := net.Dial("tcp", strings.TrimPrefix(h.srv.URL, "http://"))
	if err != nil {
		h.t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	req, err := http.NewRequestWithContext(h.t.Context(), http.MethodGet, h.srv.URL+"/app/upgrade", nil)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, k := range h.client.Jar.Cookies(req.URL) {
		req.AddCookie(k)
	}
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "lines")
	if err := req.Write(c); err != nil {
		h.t.Fatal(err)
	}
	br := bufio.NewReader(c)
	res, err := http.ReadResponse(br, req)
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		h.t.Fatalf("upgrade: %v %v", res, err)
	}
	defer func() { _ = res.Body.Close() }()
	for _, word := range []string{"one", "two"} {
		if _, err := io.WriteString(c, word+"\n"); err != nil {
			h.t.Fatal(err)
		}
		line, err := br.ReadString('\n')
		if err != nil || line != "<"+word+">\n" {
			h.t.Fatalf("line %q, %v", line, err)
		}
	}
	h.want("/session?get=upgraded", 200, "yes\n")
	c.Close()
	h.eventually("the end of the upgraded connection", func() bool { return h.ctx.InFlight() == 0 })
}

package webapp_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/serval-server/serval/descriptor"
	"github.com/serval-server/serval/webapp"
	"github.com/serval-server/serval/webapp/servlet"
)

// recorder notes what happens in what order.
type recorder struct {
	mu    sync.Mutex
	lines []string // guarded by mu
}

func (r *recorder) add(s string) { r.mu.Lock(); defer r.mu.Unlock(); r.lines = append(r.lines, s) }

func (r *recorder) take() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := strings.Join(r.lines, " ")
	r.lines = nil
	return s
}

// part is a servlet and a context listener that notes its life.
type part struct {
	rec  *recorder
	name string
	err  error
}

func (p part) Init(*servlet.Config) error                       { p.rec.add("init-" + p.name); return p.err }
func (p part) Destroy()                                         { p.rec.add("destroy-" + p.name) }
func (p part) ServeHTTP(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, p.name) }
func (p part) ContextInitialized(*servlet.Context) error        { p.rec.add("start-" + p.name); return p.err }
func (p part) ContextDestroyed(*servlet.Context)                { p.rec.add("stop-" + p.name) }

func lifecycle(rec *recorder) app {
	load := func(name, n string) string {
		return strings.Replace(declare(name, "/"+name), "</servlet>", "<load-on-startup>"+n+"</load-on-startup></servlet>", 1)
	}
	return app{
		code: servlet.App{
			Servlets: map[string]http.Handler{"a": part{rec: rec, name: "a"}, "b": part{rec: rec, name: "b"}, "c": part{rec: rec, name: "c"}, "lazy": part{rec: rec, name: "lazy"}},
			NewFilters: map[string]func(*servlet.Config) (servlet.Filter, error){"f": func(*servlet.Config) (servlet.Filter, error) {
				rec.add("filter")
				return func(next http.Handler) http.Handler { return next }, nil
			}},
			Listeners: map[string]any{"l1": part{rec: rec, name: "l1"}, "l2": part{rec: rec, name: "l2"}},
		},
		xml: "<listener><listener-class>l1</listener-class></listener><listener><listener-class>l2</listener-class></listener>" +
			"<filter><filter-name>f</filter-name><filter-class>f</filter-class></filter>" +
			load("b", "2") + load("a", "1") + load("c", "2") + declare("lazy", "/lazy"),
	}
}

func TestLifecycleOrder(t *testing.T) {
	rec := &recorder{}
	c, _ := lifecycle(rec).build(t)
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := rec.take(); got != "start-l1 start-l2 filter init-a init-b init-c" {
		t.Errorf("start: %s", got)
	}
	want(t, c, "/lazy", 200, "lazy")
	want(t, c, "/lazy", 200, "lazy")
	if got := rec.take(); got != "init-lazy" {
		t.Errorf("lazy: %s", got)
	}
	if err := c.Stop(t.Context(), webapp.DropSessions); err != nil {
		t.Fatal(err)
	}
	if got := rec.take(); got != "destroy-lazy destroy-c destroy-b destroy-a stop-l2 stop-l1" {
		t.Errorf("stop: %s", got)
	}
	want(t, c, "/a", 503, "*")
	if err := c.Start(t.Context()); err == nil {
		t.Error("started twice")
	}
}

func TestStartFailure(t *testing.T) {
	rec := &recorder{}
	a := lifecycle(rec)
	a.code.Listeners["l1"] = part{rec: rec, name: "l1", err: errors.New("no database")}
	c, _ := a.build(t)
	if err := c.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "no database") {
		t.Fatalf("start: %v", err)
	}
	if got := rec.take(); got != "start-l1 start-l2 stop-l2 stop-l1" {
		t.Errorf("a context listener fails: %s", got)
	}

	// A servlet that fails does not fail the application, unless it is to.
	a = lifecycle(rec)
	a.code.Servlets["b"] = part{rec: rec, name: "b", err: errors.New("no licence")}
	c, log := a.start(t)
	if got := rec.take(); got != "start-l1 start-l2 filter init-a init-b init-c" {
		t.Errorf("a servlet fails: %s", got)
	}
	if !strings.Contains(log.String(), "no licence") {
		t.Error("the failure is not in the log")
	}
	want(t, c, "/b", 500, "*")
	want(t, c, "/a", 200, "a")
	yes := true
	a.change = func(d *descriptor.WebApp) { d.Context.FailOnServletStart = &yes }
	c, _ = a.build(t)
	rec.take()
	if err := c.Start(t.Context()); err == nil {
		t.Fatal("a servlet's failure did not fail the application")
	}
	if got := rec.take(); got != "start-l1 start-l2 filter init-a init-b destroy-a stop-l2 stop-l1" {
		t.Errorf("rollback: %s", got)
	}
}

func TestUnavailable(t *testing.T) {
	rec := &recorder{}
	c, _ := app{code: servlet.App{Servlets: map[string]http.Handler{
		"gone": part{rec: rec, name: "gone", err: &servlet.Unavailable{Reason: "x", Permanent: true}},
		"rest": part{rec: rec, name: "rest", err: &servlet.Unavailable{Reason: "x", RetryAfter: 90 * time.Second}},
		"off":  part{rec: rec, name: "off"},
	}}, xml: declare("gone", "/gone") + declare("rest", "/rest") + strings.Replace(declare("off", "/off"), "</servlet>", "<enabled>false</enabled></servlet>", 1)}.start(t)
	for range 2 {
		want(t, c, "/gone", 404, "*")
		if res := want(t, c, "/rest", 503, "*"); res.Header.Get("Retry-After") != "90" {
			t.Errorf("Retry-After: %q", res.Header.Get("Retry-After"))
		}
	}
	if got := rec.take(); got != "init-gone init-rest" {
		t.Errorf("tried: %s", got)
	}
	want(t, c, "/off", 404, "*")
}

func TestDrain(t *testing.T) {
	entered, leave := make(chan bool), make(chan bool)
	c, _ := app{code: servlet.App{Servlets: map[string]http.Handler{"slow": handler(func(http.ResponseWriter, *http.Request) {
		entered <- true
		<-leave
	})}}, xml: declare("slow", "/slow")}.start(t)
	var wg sync.WaitGroup
	wg.Go(func() { want(t, c, "/slow", 200, "") })
	<-entered
	if n := c.InFlight(); n != 1 {
		t.Errorf("in flight: %d", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Drain(ctx); err == nil || !strings.Contains(err.Error(), "1 requests") {
		t.Errorf("draining without patience: %v", err)
	}
	want(t, c, "/slow", 503, "*")
	drained := make(chan error)
	wg.Go(func() { drained <- c.Drain(t.Context()) })
	leave <- true
	if err := <-drained; err != nil {
		t.Error(err)
	}
	wg.Wait()
}

// TestRouterInside: a router of the kind that the server itself uses works
// inside an application, also behind a forward from another one.
func TestRouterInside(t *testing.T) {
	inner := chi.NewRouter()
	inner.Get("/api/items/{id}", func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "item "+chi.URLParam(r, "id")) })
	inner.Get("/api/go", func(w http.ResponseWriter, r *http.Request) {
		if err := servlet.DispatcherOf(r, "/second/5").Forward(w, r); err != nil {
			t.Error(err)
		}
	})
	second := chi.NewRouter()
	second.Get("/second/{n}", func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "second "+chi.URLParam(r, "n")) })
	mux := http.NewServeMux()
	mux.HandleFunc("GET /mux/{x}", func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "mux "+r.PathValue("x")) })
	c, _ := app{
		code: servlet.App{Servlets: map[string]http.Handler{"api": inner, "second": second, "mux": mux}},
		xml:  declare("api", "/api/*") + declare("second", "/second/*") + declare("mux", "/mux/*"), opts: webapp.Options{Path: "/shop"},
	}.start(t)
	outer := chi.NewRouter()
	outer.Mount("/", c)
	want(t, outer, "/shop/api/items/7", 200, "item 7")
	want(t, outer, "/shop/api/go", 200, "second 5")
	want(t, outer, "/shop/mux/y", 200, "mux y")
}

func TestFormEncoding(t *testing.T) {
	a := app{code: servlet.App{Servlets: map[string]http.Handler{"form": handler(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.PostFormValue("name"))
	})}}, xml: declare("form", "/form") + "<request-character-encoding>ISO-8859-1</request-character-encoding>"}
	c, _ := a.start(t)
	for _, k := range []struct{ contentType, body, name string }{
		{"application/x-www-form-urlencoded", "name=J%FCrgen", "Jürgen"},
		{"application/x-www-form-urlencoded;charset=windows-1252", "name=%80", "€"},
		{"application/x-www-form-urlencoded; charset=UTF-8", "name=J%C3%BCrgen", "Jürgen"},
	} {
		r := httptest.NewRequest(http.MethodPost, "/form", strings.NewReader(k.body))
		r.Header.Set("Content-Type", k.contentType)
		if got := do(c, r).Body; got != k.name {
			t.Errorf("%s %s: %q", k.contentType, k.body, got)
		}
	}
	r := httptest.NewRequest(http.MethodPost, "/form", strings.NewReader("name=%F"))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if res := do(c, r); res.StatusCode != http.StatusBadRequest {
		t.Errorf("a form that cannot be decoded: %d", res.StatusCode)
	}
}

func TestTrace(t *testing.T) {
	c, _ := app{code: servlets("x"), xml: declare("x", "/x")}.start(t)
	res := do(c, httptest.NewRequest(http.MethodTrace, "/x", nil))
	if res.StatusCode != http.StatusMethodNotAllowed || res.Header.Get("Allow") == "" {
		t.Errorf("TRACE: %d, Allow %q", res.StatusCode, res.Header.Get("Allow"))
	}
}

// TestCrossContext: an application with crossContext dispatches into another,
// which sees its own context and session and the first one's attributes.
func TestCrossContext(t *testing.T) {
	contexts := map[string]*webapp.Context{}
	cross := func(path string) *webapp.Context { return contexts[path] }
	target := servlet.App{Servlets: map[string]http.Handler{
		"t": handler(func(w http.ResponseWriter, r *http.Request) {
			s := servlet.SessionOf(r)
			n, _ := servlet.Get[int](s, "n")
			_ = servlet.Set(s, "n", n+1)
			_, _ = io.WriteString(w, servlet.ContextPath(r)+" "+servlet.Attribute(r, "a").(string)+" "+servlet.DispatcherTypeOf(r).String())
		}),
		"e": handler(func(w http.ResponseWriter, r *http.Request) { _ = servlet.SendError(w, r, 410, "gone") }),
	}}
	source := servlet.App{Servlets: map[string]http.Handler{"s": handler(func(w http.ResponseWriter, r *http.Request) {
		servlet.SetAttribute(r, "a", "attr")
		o := servlet.ContextOf(r).Context(r.URL.Query().Get("c"))
		if o == nil {
			_, _ = io.WriteString(w, "none")
			return
		}
		d := o.Dispatcher(r.URL.Query().Get("p"))
		if r.URL.Query().Has("include") {
			_, _ = io.WriteString(w, "[")
			if err := d.Include(w, r); err != nil {
				t.Error(err)
			}
			_, _ = io.WriteString(w, "] "+servlet.ContextPath(r))
			return
		}
		if err := d.Forward(w, r); err != nil {
			t.Error(err)
		}
	})}}
	yes := true
	open := func(d *descriptor.WebApp) { d.Context.CrossContext = &yes }
	contexts["/t"], _ = app{code: target, xml: declare("t", "/t") + declare("e", "/e"), opts: webapp.Options{Path: "/t", Cross: cross}}.start(t)
	contexts["/s"], _ = app{code: source, xml: declare("s", "/s"), opts: webapp.Options{Path: "/s", Cross: cross}, change: open}.start(t)
	contexts["/closed"], _ = app{code: source, xml: declare("s", "/s"), opts: webapp.Options{Path: "/closed", Cross: cross}}.start(t)
	res := want(t, contexts["/s"], "/s/s?c=/t&p=/t", 200, "/t attr FORWARD")
	if len(res.Cookies) != 1 || res.Cookies[0].Path != "/t" {
		t.Errorf("cookies: %v", res.Cookies)
	}
	want(t, contexts["/s"], "/s/s?c=/t&p=/t&include", 200, "[/t attr INCLUDE] /s")
	want(t, contexts["/s"], "/s/s?c=/t&p=/e", 410, "*")
	want(t, contexts["/s"], "/s/s?c=/nobody&p=/t", 200, "none")
	want(t, contexts["/closed"], "/closed/s?c=/t&p=/t", 200, "none")
	if n := contexts["/t"].InFlight() + contexts["/s"].InFlight(); n != 0 {
		t.Errorf("%d requests are still counted", n)
	}
}

// TestGenerations: a new generation goes on with the sessions of the old one.
func TestGenerations(t *testing.T) {
	count := servlet.App{Servlets: map[string]http.Handler{"n": handler(func(w http.ResponseWriter, r *http.Request) {
		s := servlet.SessionOf(r)
		n, _ := servlet.Get[int](s, "n")
		_ = servlet.Set(s, "n", n+1)
		_, _ = io.WriteString(w, strings.Repeat("x", n+1))
	})}}
	a := app{code: count, xml: declare("n", "/n")}
	old, _ := a.build(t)
	if err := old.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	res := want(t, old, "/n", 200, "x")
	again := func(c *webapp.Context, body string) {
		t.Helper()
		r := httptest.NewRequest(http.MethodGet, "/n", nil)
		r.AddCookie(res.Cookies[0])
		if !c.Owns(r) {
			t.Error("the session is not known")
		}
		if got := do(c, r).Body; got != body {
			t.Errorf("got %q, want %q", got, body)
		}
	}
	again(old, "xx")
	a.opts.Previous = old
	next, _ := a.start(t)
	again(next, "xxx")
	if err := old.Stop(t.Context(), webapp.KeepSessions); err != nil {
		t.Fatal(err)
	}
	again(next, "xxxx")
	if i := next.Info(); i.Sessions != 1 || i.Runtime != "linked" {
		t.Errorf("info: %+v", i)
	}
}

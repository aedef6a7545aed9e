package deploy

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/serval-server/serval/webapp/runtime/linked"
	"github.com/serval-server/serval/webapp/servlet"
)

// counterApp counts in the session.
func counterApp() servlet.App {
	return servlet.App{Servlets: map[string]http.Handler{
		"count": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s := servlet.SessionOf(r)
			n, err := servlet.Get[int](s, "n")
			if err != nil && !errors.Is(err, servlet.ErrNoAttribute) {
				servlet.Fail(w, r, err)
				return
			}
			_ = servlet.Set(s, "n", n+1)
			_, _ = fmt.Fprintf(w, "%s %d", servlet.ContextOf(r).InitParam("label"), n+1)
		}),
		"label": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = fmt.Fprint(w, servlet.ContextOf(r).InitParam("label"))
		}),
	}}
}

// newRealHost is a testHost whose applications are webapp.Contexts.
func newRealHost(t *testing.T, adjust func(*Options, *Contexts)) *testHost {
	t.Helper()
	return newTestHost(t, func(o *Options) {
		rt := linked.New(map[string]servlet.App{"counter": counterApp()})
		c := &Contexts{Linked: rt, IsLinked: rt.Has, WebDefaults: filepath.Join(o.AppBase, "../conf/web.toml")}
		o.GlobalFiles = []string{c.WebDefaults}
		o.New = c.New
		if adjust != nil {
			adjust(o, c)
		}
	})
}

const counterXML = `<web-app>
  <context-param><param-name>label</param-name><param-value>%s</param-value></context-param>
  <context-param><param-name>serval.runtime.app</param-name><param-value>counter</param-value></context-param>
  <servlet><servlet-name>count</servlet-name><servlet-class>count</servlet-class></servlet>
  <servlet-mapping><servlet-name>count</servlet-name><url-pattern>/count</url-pattern></servlet-mapping>
  <servlet><servlet-name>label</servlet-name><servlet-class>label</servlet-class></servlet>
  <servlet-mapping><servlet-name>label</servlet-name><url-pattern>/label</url-pattern></servlet-mapping>
</web-app>`

// TestRealBundle: a zip, its redeployment, an edited descriptor, an edited
// page, a broken descriptor and the removal, with real applications.
func TestRealBundle(t *testing.T) {
	h := newRealHost(t, nil)
	h.start()
	h.write("webapps/app.zip", string(zipBytes(t, "index.html", "<h1>page</h1>", "WEB-INF/web.xml", fmt.Sprintf(counterXML, "one"))))
	h.scan2()
	h.wantState("/app", Running)
	h.wantText("/app/", "<h1>page</h1>")
	h.wantText("/app/label", "one")
	h.wantCode("/app/WEB-INF/web.xml", 404)
	h.wantCode("/app/META-INF/war-tracker", 404)
	h.write("webapps/app/index.html", "<h1>edited</h1>")
	h.wantText("/app/", "<h1>edited</h1>")
	h.write("webapps/app/WEB-INF/web.xml", fmt.Sprintf(counterXML, "two"))
	h.Scan()
	h.wantText("/app/label", "two")
	h.write("webapps/app/WEB-INF/web.xml", "<web-app>\n<servlet></web-app>")
	h.scan2()
	h.wantText("/app/label", "two")
	if info := h.wantState("/app", Failed); !info.Serving || !strings.Contains(info.Error, "WEB-INF/web.xml:2:") {
		t.Errorf("reported as %+v", info)
	}
	h.write("webapps/app.zip", string(zipBytes(t, "WEB-INF/web.xml", fmt.Sprintf(counterXML, "three"))))
	h.scan2()
	h.wantText("/app/label", "three")
	h.wantCode("/app/index.html", 404)
	h.delete("webapps/app.zip")
	h.scan2()
	h.wantCode("/app/count", 404)
	if h.has("webapps/app") || h.has("work/app") {
		t.Error("files are left")
	}
}

// TestUnknownClassesFail: one message lists all.
func TestUnknownClassesFail(t *testing.T) {
	h := newRealHost(t, nil)
	h.write("webapps/app/WEB-INF/web.xml", `<web-app>
<servlet><servlet-name>a</servlet-name><servlet-class>com.example.A</servlet-class></servlet>
<filter><filter-name>b</filter-name><filter-class>com.example.B</filter-class></filter></web-app>`)
	h.start()
	info := h.wantState("/app", Failed)
	if !strings.Contains(info.Error, "com.example.A") || !strings.Contains(info.Error, "com.example.B") {
		t.Errorf("reported as %s", info.Error)
	}
	h.wantCode("/app/", 404)
}

// TestProgramWithoutRuntime: a bundle that needs what the server has not got.
func TestProgramWithoutRuntime(t *testing.T) {
	h := newRealHost(t, nil)
	h.write("webapps/worker/WEB-INF/src/go.mod", "module x")
	h.write("webapps/linked/WEB-INF/web.toml", "[runtime]\nkind = \"linked\"\napp = \"none\"\n")
	h.start()
	for path, want := range map[string]string{"/worker": "program of its own", "/linked": `no linked application "none"`} {
		if info := h.wantState(path, Failed); !strings.Contains(info.Error, want) {
			t.Errorf("%s: %s", path, info.Error)
		}
	}
}

// client keeps cookies, as a browser does.
type client struct {
	h       *testHost
	cookies map[string]*http.Cookie
}

func (c *client) get(url string) string {
	c.h.t.Helper()
	r := httptest.NewRequest(http.MethodGet, url, nil)
	for _, k := range c.cookies {
		r.AddCookie(k)
	}
	w := httptest.NewRecorder()
	c.h.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		c.h.t.Errorf("GET %s: %d %s", url, w.Code, w.Body)
	}
	for _, k := range w.Result().Cookies() {
		c.cookies[k.Name] = k
	}
	return strings.TrimSpace(w.Body.String())
}

// TestSessionsSurvive a reload, a redeployment and a restart, but not the end
// of the application; with parallel versions they stay with theirs.
func TestSessionsSurvive(t *testing.T) {
	h := newRealHost(t, nil)
	bundle := func(name, label string) {
		t.Helper()
		h.write(name, string(zipBytes(t, "WEB-INF/web.xml", fmt.Sprintf(counterXML, label))))
	}
	bundle("webapps/app.war", "one")
	h.start()
	ann := &client{h: h, cookies: map[string]*http.Cookie{}}
	want := func(want string) {
		t.Helper()
		if got := ann.get("/app/count"); got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
	want("one 1")
	want("one 2")
	if n := h.app("/app").Sessions; n != 1 {
		t.Errorf("%d sessions", n)
	}
	if _, err := h.Reload(t.Context(), ParseName("/app")); err != nil {
		t.Fatal(err)
	}
	want("one 3")
	bundle("webapps/app.war", "two")
	h.scan2()
	want("two 4")
	if err := h.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.restart()
	h.start()
	want("two 5")
	bundle("webapps/app##2.war", "parallel")
	h.scan2()
	want("two 6")
	bob := &client{h: h, cookies: map[string]*http.Cookie{}}
	if got := bob.get("/app/count"); got != "parallel 1" {
		t.Errorf("a new session is counted by %q", got)
	}
	if err := h.Undeploy(t.Context(), ParseName("/app")); err != nil {
		t.Fatal(err)
	}
	want("parallel 1")
	h.wg.Wait()
}

// TestPassivation: with jboss-web.xml's passivation-config a session more than the
// maximum sends the oldest one to a file, from which it comes back, also after a
// reload and a restart; without, it is refused.
func TestPassivation(t *testing.T) {
	h := newRealHost(t, nil)
	const jboss = `<jboss-web><max-active-sessions>1</max-active-sessions>%s</jboss-web>`
	const on = `<passivation-config><use-session-passivation>true</use-session-passivation><passivation-min-idle-time>0</passivation-min-idle-time></passivation-config>`
	h.write("webapps/app.zip", string(zipBytes(t, "WEB-INF/web.xml", fmt.Sprintf(counterXML, "x"), "WEB-INF/jboss-web.xml", fmt.Sprintf(jboss, on))))
	h.write("webapps/full.zip", string(zipBytes(t, "WEB-INF/web.xml", fmt.Sprintf(counterXML, "x"), "WEB-INF/jboss-web.xml", fmt.Sprintf(jboss, ""))))
	h.start()
	h.scan2()
	ann, bob := &client{h: h, cookies: map[string]*http.Cookie{}}, &client{h: h, cookies: map[string]*http.Cookie{}}
	want := func(n int) {
		t.Helper()
		for _, c := range []*client{ann, bob} {
			if got := c.get("/app/count"); got != fmt.Sprint("x ", n) {
				t.Fatalf("got %q, want %d", got, n)
			}
		}
	}
	want(1)
	want(2)
	if _, err := h.Reload(t.Context(), ParseName("/app")); err != nil {
		t.Fatal(err)
	}
	want(3)
	if err := h.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.restart()
	h.start()
	want(4)
	h.wantText("/full/count", "x 1")
	h.wantCode("/full/count", http.StatusServiceUnavailable)
	h.wg.Wait()
}

// TestStoreThatCannotOpen: passivation that is asked for and cannot be had fails the
// deployment, with the reason; it is never quietly off.
func TestStoreThatCannotOpen(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "sessions")
	h := newRealHost(t, func(_ *Options, c *Contexts) { c.SessionsDir = dir })
	const xml = `<jboss-web><passivation-config><use-session-passivation>true</use-session-passivation><passivation-max-idle-time>60</passivation-max-idle-time></passivation-config></jboss-web>`
	h.write("webapps/app.zip", string(zipBytes(t, "WEB-INF/web.xml", fmt.Sprintf(counterXML, "x"), "WEB-INF/jboss-web.xml", xml)))
	h.start()
	h.scan2()
	h.wantState("/app", Running)
	kept, err := filepath.Glob(filepath.Join(dir, "*.passive"))
	if err != nil || len(kept) != 1 {
		t.Fatal(kept, err)
	}
	if err := h.Undeploy(t.Context(), ParseName("/app")); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(kept[0]); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(kept[0], nil, 0o600); err != nil { // in the folder's place
		t.Fatal(err)
	}
	h.write("webapps/app.zip", string(zipBytes(t, "WEB-INF/web.xml", fmt.Sprintf(counterXML, "y"), "WEB-INF/jboss-web.xml", xml)))
	h.scan2()
	h.wantState("/app", Failed)
	if a := h.app("/app"); !strings.Contains(a.Error, "store of passivated sessions") {
		t.Errorf("%q", a.Error)
	}
}

// TestRedeployRealUnderLoad counts in sessions while the application is
// redeployed: no update is lost, no session is reset.
func TestRedeployRealUnderLoad(t *testing.T) {
	h := newRealHost(t, nil)
	bundle := func(label int) {
		t.Helper()
		h.write("webapps/app.war", string(zipBytes(t, "WEB-INF/web.xml", fmt.Sprintf(counterXML, fmt.Sprint(label)))))
	}
	bundle(0)
	h.start()
	var done atomic.Bool
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			c := &client{h: h, cookies: map[string]*http.Cookie{}}
			for n := 1; !done.Load(); n++ {
				if _, count, _ := strings.Cut(c.get("/app/count"), " "); count != fmt.Sprint(n) {
					t.Errorf("counted %s, want %d", count, n)
					return
				}
			}
		})
	}
	for i := range 10 {
		bundle(i + 1)
		h.scan2()
	}
	done.Store(true)
	wg.Wait()
	h.wantText("/app/label", "10")
}

// TestFiftyRealRedeployments is TestFiftyRedeployments with real applications.
func TestFiftyRealRedeployments(t *testing.T) {
	h := newRealHost(t, nil)
	bundle := func(label int) {
		t.Helper()
		h.write("webapps/app.war", string(zipBytes(t, "index.html", "page", "WEB-INF/web.xml", fmt.Sprintf(counterXML, fmt.Sprint(label)))))
	}
	bundle(0)
	h.start()
	c := &client{h: h, cookies: map[string]*http.Cookie{}}
	var goroutines, files, memory [2]int
	for i := range 55 {
		if i == 5 {
			goroutines[0], files[0], memory[0] = figures(t)
		}
		bundle(i)
		h.scan2()
		if got := c.get("/app/count"); got != fmt.Sprint(i, " ", i+1) {
			t.Fatalf("got %q in generation %d", got, i)
		}
		h.wantText("/app/", "page")
	}
	goroutines[1], files[1], memory[1] = figures(t)
	t.Logf("goroutines %v, file descriptors %v, heap %v", goroutines, files, memory)
	if goroutines[1] > goroutines[0] || files[1] > files[0] || memory[1] > memory[0]+1<<20 {
		t.Errorf("goroutines %v, file descriptors %v, heap %v", goroutines, files, memory)
	}
}

// TestListing is what a welcome page shows.
func TestListing(t *testing.T) {
	h := newRealHost(t, nil)
	h.write("webapps/ROOT/index.html", "root")
	h.write("webapps/app##2/WEB-INF/web.xml", "<web-app><display-name>An application</display-name></web-app>")
	h.start()
	want := []map[string]string{
		{"path": "", "version": "", "name": "", "state": "RUNNING"},
		{"path": "/app", "version": "2", "name": "An application", "state": "RUNNING"},
	}
	if got := h.Listing(); !slices.EqualFunc(got, want, maps.Equal) {
		t.Errorf("got %v", got)
	}
	if c := h.Context("/app/x"); c == nil || c.Info().Path != "/app" {
		t.Errorf("Context: %v", c)
	}
}

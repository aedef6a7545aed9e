package deploy

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestVersions(t *testing.T) {
	h := newTestHost(t, func(o *Options) { o.UndeployOldVersions = true })
	h.write("webapps/app##1/index.txt", "one")
	h.start()
	h.wantText("/app/?new=ann", "one")
	h.write("webapps/app##2/index.txt", "two")
	h.scan2()
	h.wantText("/app/", "two")
	h.wantText("/app/?new=bob", "two")
	for session, want := range map[string]string{"ann": "one", "bob": "two", "eve": "two"} {
		if _, got := h.get("/app/", "Session", session); got != want {
			t.Errorf("%s is served by %q, want %q", session, got, want)
		}
	}
	if apps := h.Apps(); len(apps) != 2 || apps[0].Version != "1" || apps[1].Version != "2" || apps[0].Path != "/app" {
		t.Errorf("reported as %+v", apps)
	}
	// A newer version that fails changes nothing for anybody.
	h.write("webapps/app##3/index.txt", "three")
	h.write("webapps/app##3/fails", "no")
	h.scan2()
	h.wantText("/app/", "two")
	h.wantState("/app##3", Failed)
	h.wantState("/app##1", Running)
	// The last session of the old version ends.
	if _, got := h.get("/app/?end=ann", "Session", "ann"); got != "one" {
		t.Error(got)
	}
	h.scan2()
	h.wantState("/app##1", "")
	if h.has("webapps/app##1") || !h.has("webapps/app##2") {
		t.Error("the wrong files were removed")
	}
}

// TestRoutes: the longest context path that is a whole-segment prefix.
func TestRoutes(t *testing.T) {
	h := newTestHost(t, nil)
	for _, name := range []string{"ROOT", "foo", "foo#bar"} {
		h.write("webapps/"+name+"/index.txt", name)
	}
	h.write("webapps/WEB-INF/index.txt", "no")
	h.write("webapps/.git/index.txt", "no")
	h.write("webapps/notes.txt", "no")
	h.write("webapps/foo#/index.txt", "no")
	h.start()
	for url, want := range map[string]string{
		"/": "ROOT", "/foo": "foo", "/foo/": "foo", "/foox": "ROOT", "/foo/bar": "foo#bar", "/foo/bar/x/y": "foo#bar", "/foo/barx": "foo",
		"/FOO": "ROOT", "/foo;jsessionid=1/bar": "foo#bar", "/foo/x/../bar/": "foo#bar", "/foo//bar": "foo#bar", "/%66oo/": "foo",
		"/foo/./bar": "foo#bar", "/foo/.../x": "foo",
	} {
		h.wantText(url, want)
	}
	for _, url := range []string{"/foo/../../x", "/foo%00", "/foo%2fbar"} {
		h.wantCode(url, http.StatusBadRequest)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, url, nil))
		if w.Header().Get("Connection") != "close" {
			t.Errorf("%s: the connection is kept", url)
		}
	}
	if n := len(h.Apps()); n != 3 {
		t.Errorf("%d applications: %+v", n, h.Apps())
	}
	h.delete("webapps/ROOT")
	h.scan2()
	h.wantCode("/nowhere", 404)
}

func TestDeployIgnore(t *testing.T) {
	h := newTestHost(t, func(o *Options) { o.DeployIgnore = `foo.*|.*\.zip` })
	for _, name := range []string{"foo", "foobar", "afoo"} {
		h.write("webapps/"+name+"/index.txt", name)
	}
	h.zip("webapps/x.zip", "x")
	h.start()
	if apps := h.Apps(); len(apps) != 1 || apps[0].Path != "/afoo" {
		t.Errorf("%+v", apps)
	}
}

// BenchmarkServeHTTP is what the host adds to every request.
func BenchmarkServeHTTP(b *testing.B) {
	h, err := New(Options{AppBase: b.TempDir(), WorkDir: b.TempDir(), New: (&world{}).make})
	if err != nil {
		b.Fatal(err)
	}
	for _, name := range []string{"", "/app", "/docs", "/examples"} {
		a := h.register(ParseName(name))
		g := newGeneration(1)
		g.app = idleApp{}
		a.current.Store(g)
	}
	r := httptest.NewRequest(http.MethodGet, "/app/some/where", nil)
	w := httptest.NewRecorder()
	b.ReportAllocs()
	for b.Loop() {
		h.ServeHTTP(w, r)
	}
}

type idleApp struct{ Application }

func (idleApp) ServeHTTP(http.ResponseWriter, *http.Request) {}

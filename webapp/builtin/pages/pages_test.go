package pages

import (
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

func get(h http.Handler, method, target string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, target, nil))
	return w
}

func bundle(files ...string) fstest.MapFS {
	m := fstest.MapFS{}
	for i := 0; i < len(files); i += 2 {
		m[files[i]] = &fstest.MapFile{Data: []byte(files[i+1])}
	}
	return m
}

func TestPage(t *testing.T) {
	fsys := bundle(
		"index.gohtml", `{{template "/WEB-INF/layout.gohtml" .}}{{define "body"}}Hello {{.Request.Param "who" | default "you"}} {{template "parts/p.gohtml" "x"}}{{end}}`,
		"WEB-INF/layout.gohtml", `<title>{{block "title" .}}Shop{{end}}</title><body>{{block "body" .}}nothing{{end}}</body>`,
		"parts/p.gohtml", `<i>{{.}}</i>{{template "q.gohtml" dict "a" .}}`,
		"parts/q.gohtml", `<b>{{.a}}</b>`,
		"deep/page.gohtml", "\ufeff{{define \"title\"}}Deep{{end}}{{template \"../WEB-INF/layout.gohtml\" .}}",
		"empty.gohtml", "",
		"defs.gohtml", `{{define "x"}}y{{end}}`,
		"session.gohtml", `{{with .Session}}has one{{else}}none{{end}}{{.Session.Get "user"}}{{.Session.ID}}`,
		"request.gohtml", `{{.Request.Method}} {{.Request.URI}} {{.Request.Header "X-A"}} {{.Request.Cookie "c"}} {{.Request.Params "a"}} {{.Request.Secure}} {{.URL "/x?a=b"}} {{.Init.color}}`,
		"functions.gohtml", `{{add 1 2}}{{sub 3 1}}{{mul 2 3}} {{upper "a"}} {{range list 1 2}}{{.}},{{end}} {{join "-" (split "," "a,b")}} {{date "2006" .Session.Created}} {{hasPrefix "a" "ab"}}`,
		"head.gohtml", `{{.SetHeader "Cache-Control" "no-store"}}x`,
	)
	s := New(Options{FS: fsys, Config: Config{Init: map[string]string{"color": "red"}}})
	for target, want := range map[string]string{
		"/index.gohtml":                  "<title>Shop</title><body>Hello you <i>x</i><b>x</b></body>",
		"/index.gohtml?who=%3Cscript%3E": "<title>Shop</title><body>Hello &lt;script&gt; <i>x</i><b>x</b></body>",
		"/deep/page.gohtml":              "<title>Deep</title><body>nothing</body>",
		"/empty.gohtml":                  "",
		"/defs.gohtml":                   "",
		"/session.gohtml":                "none",
		"/request.gohtml?a=1&a=2":        "GET /request.gohtml   [1 2] false /x?a=b red",
		"/functions.gohtml":              "326 A 1,2, a-b 0001 true",
		"/head.gohtml":                   "x",
	} {
		w := get(s, "GET", target)
		if w.Code != 200 || w.Body.String() != want || w.Header().Get("Content-Type") != "text/html;charset=UTF-8" {
			t.Errorf("%s: %d %q %s; want %q", target, w.Code, w.Body, w.Header().Get("Content-Type"), want)
		}
	}
	if w := get(s, "GET", "/head.gohtml"); w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("header %v", w.Header())
	}
	for target, want := range map[string]int{"/none.gohtml": 404, "/WEB-INF/layout.gohtml": 404, "/web-inf/layout.gohtml": 404, "/parts/": 404, "/parts": 404} {
		if w := get(s, "GET", target); w.Code != want {
			t.Errorf("%s: %d, want %d", target, w.Code, want)
		}
	}
	for method, want := range map[string]int{"HEAD": 200, "POST": 200, "OPTIONS": 200, "PUT": 405, "DELETE": 405} {
		if w := get(s, method, "/head.gohtml"); w.Code != want {
			t.Errorf("%s: %d, want %d", method, w.Code, want)
		}
	}
	fixed := New(Options{FS: fsys, Config: Config{Page: "/parts/q.gohtml"}})
	if w := get(fixed, "GET", "/anything"); w.Code != 500 && w.Body.String() != "<b></b>" {
		t.Errorf("a page by its init parameter: %d %q", w.Code, w.Body)
	}
}

// TestErrors shows the place of each kind of error, and that only development
// mode tells the client.
func TestErrors(t *testing.T) {
	fsys := bundle(
		"parse.gohtml", "line one\n{{if}}\n",
		"function.gohtml", "\n\n{{nosuch 1}}",
		"undefined.gohtml", "{{define \"a\"}}\n  {{template \"b\"}}{{end}}",
		"missing.gohtml", "x\n{{template \"part.gohtml\"}}",
		"exec.gohtml", "a\nb\n  {{.Request.NoSuch}}",
		"fails.gohtml", "{{dict 1}}",
		"inpart.gohtml", "{{template \"bad.gohtml\" .}}",
		"bad.gohtml", "\n{{index .Init 1 2}}",
		"escape.gohtml", "<a href='\n{{if .}}x{{end}}",
		"outside.gohtml", "{{template \"../../etc/passwd.gohtml\"}}",
	)
	for name, want := range map[string]string{
		"parse": "/parse.gohtml:2: missing value for if", "function": "/function.gohtml:3: function &#34;nosuch&#34; not defined",
		"undefined": "/undefined.gohtml:2:", "missing": "/missing.gohtml:2:", "exec": "/exec.gohtml:3:", "fails": "/fails.gohtml:1:",
		"inpart": "/bad.gohtml:2:", "escape": "/escape.gohtml", "outside": "/outside.gohtml:1:",
	} {
		var failed error
		s := New(Options{FS: fsys, Fail: func(w http.ResponseWriter, _ *http.Request, err error) {
			failed = err
			http.Error(w, "plain", 500)
		}})
		if w := get(s, "GET", "/"+name+".gohtml"); w.Code != 500 || strings.TrimSpace(w.Body.String()) != "plain" {
			t.Errorf("%s: %d %q", name, w.Code, w.Body)
		}
		var e *Error
		if !errors.As(failed, &e) || !strings.HasPrefix(strings.ReplaceAll(e.Error(), `"`, "&#34;"), want) {
			t.Errorf("%s: error %q, want %q", name, failed, want)
		}
		failed = nil
		s.Config.Development = true
		w := get(s, "GET", "/"+name+".gohtml")
		if place, _, _ := strings.Cut(want, ": "); w.Code != 500 || failed != nil || !strings.Contains(w.Body.String(), place) || !strings.Contains(w.Body.String(), `class="bad"`) && name != "escape" {
			t.Errorf("%s in development: %d %v %s", name, w.Code, failed, w.Body)
		}
	}
}

// TestReload changes a page and one that it uses.
func TestReload(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, age time.Duration) {
		t.Helper()
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		when := time.Unix(1_700_000_000, 0).Add(age)
		if err := os.Chtimes(file, when, when); err != nil {
			t.Fatal(err)
		}
	}
	s := New(Options{FS: os.DirFS(dir), Fail: func(w http.ResponseWriter, _ *http.Request, err error) { http.Error(w, err.Error(), 500) }})
	expect := func(status int, text string) {
		t.Helper()
		if w := get(s, "GET", "/a.gohtml"); w.Code != status || !strings.Contains(w.Body.String(), text) {
			t.Errorf("%d %q, want %d %q", w.Code, w.Body, status, text)
		}
	}
	expect(404, "")
	write("a.gohtml", `A {{template "b.gohtml"}}`, 0)
	expect(500, "no file /b.gohtml")
	write("b.gohtml", "one", 0)
	expect(200, "A one")
	write("b.gohtml", "two", time.Second) // of the same size
	expect(200, "A two")
	write("a.gohtml", `B {{template "b.gohtml"}}`, time.Second)
	expect(200, "B two")
	write("b.gohtml", "longer", time.Second) // of the same time
	expect(200, "B longer")
	write("a.gohtml", "{{", time.Second)
	expect(500, "/a.gohtml:1")
	write("a.gohtml", "mended", time.Second)
	expect(200, "mended")
	if err := os.Remove(filepath.Join(dir, "a.gohtml")); err != nil {
		t.Fatal(err)
	}
	expect(404, "")
}

// TestLong shows that a page longer than the buffer is sent as it comes, and
// that it ends when the client goes.
func TestLong(t *testing.T) {
	s := New(Options{FS: bundle("long.gohtml", `{{range 300000}}0123456789{{end}}`, "late.gohtml", `{{range 300000}}0123456789{{end}}{{dict 1}}`)})
	if w := get(s, "GET", "/long.gohtml"); w.Body.Len() != 3_000_000 || w.Header().Get("Content-Length") != "" {
		t.Errorf("%d bytes, Content-Length %q", w.Body.Len(), w.Header().Get("Content-Length"))
	}
	var failed error
	s.Fail = func(_ http.ResponseWriter, _ *http.Request, err error) { failed = err }
	if w := get(s, "GET", "/late.gohtml"); w.Code != 200 || failed == nil {
		t.Errorf("a page that fails late: %d, %v", w.Code, failed)
	}
}

func TestParseParams(t *testing.T) {
	c, err := ParseParams(map[string]string{"development": "true", "page": "/a.gohtml", "mine": "x"})
	if err != nil || !c.Development || c.Page != "/a.gohtml" || c.Init["mine"] != "x" {
		t.Errorf("%+v, %v", c, err)
	}
	_, err = ParseParams(map[string]string{"development": "yes", "page": "a.gohtml"})
	if err == nil || strings.Count(err.Error(), "init-param") != 2 {
		t.Errorf("error %v", err)
	}
}

// FuzzLoad compiles any page: it is taken, or refused with an error of this
// package that is not taken for a missing file.
func FuzzLoad(f *testing.F) {
	for _, s := range []string{`{{template "part.gohtml" .}}`, `{{block "x" .}}{{end}}`, `{{define "/page.gohtml"}}x{{end}}`, `{{template "page.gohtml"}}`, `{{range list 1 2}}{{else}}{{break}}{{end}}`, "<script>{{.}}", `{{with $x := 1}}{{template "y"}}{{end}}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src string) {
		fsys := bundle("page.gohtml", src, "part.gohtml", "part")
		_, err := load(fsys, "page.gohtml")
		var e *Error
		if err != nil && (!errors.As(err, &e) || errors.Is(err, fs.ErrNotExist)) {
			t.Errorf("%q: error %T %v", src, err, err)
		}
	})
}

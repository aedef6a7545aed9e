package static

import (
	"archive/zip"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/serval-server/serval/webapp/builtin/resources"
)

func newServlet(t *testing.T, fsys fs.FS, params map[string]string, kind Kind) *Servlet {
	t.Helper()
	cfg, err := ParseParams(params)
	if err != nil {
		t.Fatal(err)
	}
	return New(Options{FS: fsys, Config: cfg, ServerInfo: "Serval", Target: func(r *http.Request) Target {
		return Target{Path: r.URL.Path, URI: "/app" + r.URL.EscapedPath(), ContextPath: "/app", Kind: kind}
	}})
}

func do(h http.Handler, method, target, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ":")
		r.Header.Add(name, strings.TrimSpace(value))
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

var tree = fstest.MapFS{
	"a.txt":           {Data: []byte("hello"), ModTime: time.Unix(1609556645, 0)},
	"dir/b.html":      {Data: []byte("<p>")},
	"WEB-INF/web.xml": {Data: []byte("secret")},
	"META-INF/x":      {Data: []byte("secret")},
	"x/WEB-INF/y.txt": {Data: []byte("not secret")},
	"bin":             {Data: []byte("\x7fELF")},
	"latin.txt":       {Data: []byte("\xe9")},
	"bom8.txt":        {Data: []byte("\xef\xbb\xbf\xc3\xa9")},
	"bom16.txt":       {Data: []byte("\xff\xfe\xe9\x00")},
	"README.txt":      {Data: []byte("<read me>")},
}

func TestPaths(t *testing.T) {
	s := newServlet(t, tree, nil, Direct)
	for target, want := range map[string]int{
		"/a.txt": 200, "/a.txt/": 404, "/A.TXT": 404, "/none": 404, "/a.txt/b": 404, "/dir": 302, "/dir/": 404, "/": 404, "/dir/b.html": 200,
		"/WEB-INF/web.xml": 404, "/web-inf/web.xml": 404, "/WEB-INF": 404, "/WEB-INF/": 404, "/META-INF/x": 404, "/Meta-Inf": 404,
		"/x/WEB-INF/y.txt": 200, "/dir/../WEB-INF/web.xml": 404, "/./WEB-INF/web.xml": 404, "//WEB-INF/web.xml": 404, "/dir%5c..%5cWEB-INF/web.xml": 404,
		"/a.txt%00": 404, "/%2e%2e/a.txt": 404, "/dir//b.html": 404,
	} {
		w := do(s, "GET", target, "")
		if w.Code != want || strings.Contains(w.Body.String(), "secret") && !strings.Contains(w.Body.String(), "not") {
			t.Errorf("GET %s: %d %q, want %d", target, w.Code, w.Body, want)
		}
	}
	// Another servlet may hand a private file on (Servlet 6.1 §9.1).
	if w := do(newServlet(t, tree, nil, Forward), "GET", "/WEB-INF/web.xml", ""); w.Body.String() != "secret" {
		t.Errorf("a forward to WEB-INF: %d %q", w.Code, w.Body)
	}
}

func FuzzPaths(f *testing.F) {
	for _, s := range []string{"/a.txt", "/WEB-INF/web.xml", "/x/../WEB-INF/web.xml", "/web-inf\\web.xml", "/\x00", "//", "", "/WEB-INF./web.xml"} {
		f.Add(s)
	}
	cfg, err := ParseParams(map[string]string{"listings": "true", "readonly": "false"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, path string) {
		s := New(Options{FS: tree, Config: cfg, Target: func(*http.Request) Target { return Target{Path: path, URI: path} }})
		w := do(s, "GET", "/", "")
		if strings.Contains(strings.ReplaceAll(w.Body.String(), "not secret", ""), "secret") {
			t.Errorf("%q leads to WEB-INF", path)
		}
		if l := w.Header().Get("Location"); l != "" && (!strings.HasPrefix(l, "/") || strings.HasPrefix(l, "//") || strings.HasPrefix(l, "/\\")) {
			t.Errorf("%q redirects to %q", path, l)
		}
	})
}

func TestMethodsAllowed(t *testing.T) {
	for _, tt := range []struct {
		params map[string]string
		allow  string
		post   int
	}{
		{nil, "OPTIONS, GET, HEAD, POST", 200},
		{map[string]string{"readonly": "false"}, "OPTIONS, GET, HEAD, POST, PUT, DELETE", 200},
		{map[string]string{"allowPostAsGet": "false"}, "OPTIONS, GET, HEAD", 405},
	} {
		s := newServlet(t, tree, tt.params, Direct)
		for _, target := range []string{"/a.txt", "/none", "/dir/"} {
			if w := do(s, "OPTIONS", target, ""); w.Code != 200 || w.Header().Get("Allow") != tt.allow {
				t.Errorf("%v OPTIONS %s: %d %q", tt.params, target, w.Code, w.Header().Get("Allow"))
			}
		}
		if w := do(s, "POST", "/a.txt", ""); w.Code != tt.post {
			t.Errorf("%v POST: %d, want %d", tt.params, w.Code, tt.post)
		}
		if w := do(s, "TRACE", "/a.txt", ""); w.Code != 405 || w.Header().Get("Allow") != tt.allow {
			t.Errorf("%v TRACE: %d %q", tt.params, w.Code, w.Header().Get("Allow"))
		}
		if w := do(s, "PROPFIND", "/a.txt", ""); w.Code != 501 {
			t.Errorf("%v PROPFIND: %d", tt.params, w.Code)
		}
	}
}

func TestRedirect(t *testing.T) {
	for _, code := range []string{"301", "302", "307", "308"} {
		s := newServlet(t, tree, map[string]string{"directoryRedirectStatusCode": code}, Direct)
		if w := do(s, "GET", "/dir?a=b", ""); w.Result().Status[:3] != code || w.Header().Get("Location") != "/app/dir/?a=b" {
			t.Errorf("%s: %d %q", code, w.Code, w.Header().Get("Location"))
		}
	}
}

// TestError shows that an error page is sent whatever the request was, with
// the status that is set, and without what belongs to a file of its own.
func TestError(t *testing.T) {
	s := newServlet(t, tree, nil, Error)
	w := httptest.NewRecorder()
	w.WriteHeader(http.StatusTeapot) // the container's
	r := httptest.NewRequest("DELETE", "/a.txt", nil)
	r.Header.Set("If-None-Match", "*")
	r.Header.Set("Range", "bytes=0-0")
	s.ServeHTTP(w, r)
	if w.Code != http.StatusTeapot || w.Body.String() != "hello" || w.Header().Get("ETag") != "" {
		t.Errorf("%d %q, ETag %q", w.Code, w.Body, w.Header().Get("ETag"))
	}
}

func TestInclude(t *testing.T) {
	for _, tt := range []struct {
		params            map[string]string
		name, ctype, want string
	}{
		{nil, "/a.txt", "text/html", "hello"},
		{nil, "/bin", "", "\x7fELF"},
		{nil, "/latin.txt", "", "\xe9"},
		{map[string]string{"fileEncoding": "ISO-8859-1"}, "/latin.txt", "text/html;charset=UTF-8", "é"},
		{map[string]string{"fileEncoding": "ISO-8859-1"}, "/latin.txt", "text/html;charset=ISO-8859-1", "\xe9"},
		{map[string]string{"fileEncoding": "ISO-8859-1"}, "/bom8.txt", "text/html;charset=UTF-8", "é"},
		{nil, "/bom8.txt", "text/html;charset=UTF-8", "é"},
		{nil, "/bom16.txt", "text/html;charset=UTF-8", "é"},
		{nil, "/bom16.txt", "text/html;charset=ISO-8859-1", "\xe9"},
		{map[string]string{"useBomIfPresent": "false"}, "/bom8.txt", "text/html", "\xef\xbb\xbfé"},
		{map[string]string{"useBomIfPresent": "pass-through"}, "/bom8.txt", "text/html", "\xef\xbb\xbfé"},
	} {
		s := newServlet(t, tree, tt.params, Include)
		w := httptest.NewRecorder()
		if tt.ctype != "" {
			w.Header().Set("Content-Type", tt.ctype)
		}
		r := httptest.NewRequest("PUT", tt.name, nil)
		r.Header.Set("If-Match", `"x"`)
		s.ServeHTTP(w, r)
		if w.Body.String() != tt.want || w.Header().Get("ETag")+w.Header().Get("Content-Length") != "" {
			t.Errorf("%v %s into %q: %q, want %q", tt.params, tt.name, tt.ctype, w.Body, tt.want)
		}
	}
	var failed error
	s := newServlet(t, tree, nil, Include)
	s.Fail = func(_ http.ResponseWriter, _ *http.Request, err error) { failed = err }
	if do(s, "GET", "/none", ""); !errors.Is(failed, fs.ErrNotExist) {
		t.Errorf("a missing file fails with %v", failed)
	}
}

// TestArchive serves out of a zip, where files cannot be read from the middle.
func TestArchive(t *testing.T) {
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	for name, data := range map[string]string{"a.txt": "0123456789", "b.txt": "plain", "b.txt.gz": "coded", "d/": "", "d/x": "x"} {
		f, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: time.Unix(1609556645, 0)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(f, data); err != nil {
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
	s := newServlet(t, zr, map[string]string{"precompressed": "true", "listings": "true", "readonly": "false", "useStrongETags": "true"}, Direct)
	if w := do(s, "GET", "/a.txt", "", "Range: bytes=3-5"); w.Code != 206 || w.Body.String() != "345" {
		t.Errorf("a range: %d %q", w.Code, w.Body)
	}
	w := do(s, "GET", "/a.txt", "", "Range: bytes=7-8,1-2")
	if b := w.Body.String(); w.Code != 206 || !strings.Contains(b, "\r\n\r\n78\r\n") || !strings.Contains(b, "\r\n\r\n12\r\n") {
		t.Errorf("two ranges: %d %q", w.Code, b)
	}
	plain := do(s, "GET", "/b.txt", "")
	coded := do(s, "GET", "/b.txt", "", "Accept-Encoding: gzip")
	if plain.Body.String() != "plain" || coded.Body.String() != "coded" || plain.Header().Get("ETag") == coded.Header().Get("ETag") {
		t.Errorf("variants: %q %q, tags %s %s", plain.Body, coded.Body, plain.Header().Get("ETag"), coded.Header().Get("ETag"))
	}
	if w := do(s, "GET", "/b.txt", "", "Accept-Encoding: gzip", "If-None-Match: "+coded.Header().Get("ETag")); w.Code != 304 {
		t.Errorf("the coded variant again: %d", w.Code)
	}
	if w := do(s, "GET", "/b.txt", "", "Accept-Encoding: gzip", "Range: bytes=0-0,4-4"); !strings.Contains(w.Body.String(), "\r\n\r\nd\r\n") {
		t.Errorf("ranges of the coded variant: %q", w.Body)
	}
	if w := do(s, "GET", "/d/", ""); !strings.Contains(w.Body.String(), `href="/app/d/x"`) || !strings.Contains(w.Body.String(), `href="/app/"`) {
		t.Errorf("a listing: %s", w.Body)
	}
	if w := do(s, "PUT", "/new", "x"); w.Code != 409 {
		t.Errorf("PUT into an archive: %d, want 409", w.Code)
	}
	if w := do(s, "DELETE", "/a.txt", ""); w.Code != 405 {
		t.Errorf("DELETE in an archive: %d, want 405", w.Code)
	}
}

func TestListing(t *testing.T) {
	s := newServlet(t, tree, map[string]string{"listings": "true", "readmeFile": "README.txt", "sortListings": "true", "sortDirectoriesFirst": "true"}, Direct)
	page := do(s, "GET", "/", "").Body.String()
	for _, want := range []string{`href="/app/dir/"`, `href="/app/a.txt"`, "<pre>&lt;read me&gt;</pre>", "Serval", "?C=S;O=D"} {
		if !strings.Contains(page, want) {
			t.Errorf("the listing lacks %s:\n%s", want, page)
		}
	}
	if strings.Contains(page, "WEB-INF") || strings.Contains(page, "META-INF") {
		t.Errorf("the listing shows private folders:\n%s", page)
	}
	order := func(query string, names ...string) {
		t.Helper()
		page := do(s, "GET", "/?"+query, "").Body.String()
		last := -1
		for _, n := range names {
			i := strings.Index(page, ">"+n+"<")
			if i < last {
				t.Errorf("?%s: %s is not after the one before", query, n)
			}
			last = i
		}
	}
	order("C=N;O=A", "dir/", "x/", "a.txt", "bin", "latin.txt")
	order("C=N;O=D", "x/", "dir/", "latin.txt", "bin", "a.txt")
	order("C=S;O=A", "latin.txt", "bin", "a.txt", "README.txt")
	order("C=S;O=D", "README.txt", "a.txt", "bin", "latin.txt")
	order("C=M;O=D", "a.txt", "bin")
	evil := fstest.MapFS{`"><script>x`: {}, "a?b#c%41": {}}
	page = do(newServlet(t, evil, map[string]string{"listings": "true"}, Direct), "GET", "/", "").Body.String()
	if strings.Contains(page, "<script>x") || !strings.Contains(page, `href="/app/a%3Fb%23c%2541"`) {
		t.Errorf("names are not escaped:\n%s", page)
	}
}

func TestPut(t *testing.T) {
	dir := t.TempDir()
	d, err := resources.OpenDir(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	s := newServlet(t, d, map[string]string{"readonly": "false"}, Direct)
	if w := do(s, "PUT", "/a.txt", "12345"); w.Code != 201 {
		t.Fatalf("PUT: %d", w.Code)
	}
	for _, tt := range []struct {
		name, body string
		header     string
		status     int
		after      string
	}{
		{"whole", "abc", "", 204, "abc"},
		{"longer", "xyz", "Content-Range: bytes 3-5/6", 204, "abcxyz"},
		{"with a gap", "!", "Content-Range: bytes 7-7/8", 204, "abcxyz\x00!"},
		{"shorter", "Z", "Content-Range: bytes 0-0/2", 204, "Zb"},
		{"too many zeros", "!", "Content-Range: bytes 0-0/9000000000000000000", 400, "Zb"},
		{"body too short", "1", "Content-Range: bytes 0-1/2", 400, "Zb"},
		{"body too long", "123", "Content-Range: bytes 0-1/2", 400, "Zb"},
	} {
		var headers []string
		if tt.header != "" {
			headers = []string{tt.header}
		}
		w := do(s, "PUT", "/a.txt", tt.body, headers...)
		got, err := os.ReadFile(filepath.Join(dir, "a.txt"))
		if w.Code != tt.status || err != nil || string(got) != tt.after {
			t.Errorf("%s: %d %q %v, want %d %q", tt.name, w.Code, got, err, tt.status, tt.after)
		}
	}
	// A body of unknown length that is too short or breaks off changes nothing.
	for _, body := range []io.Reader{io.MultiReader(strings.NewReader("x")), io.MultiReader(strings.NewReader("xy"), strings.NewReader("z")), brokenReader{}} {
		r := httptest.NewRequest("PUT", "/a.txt", body)
		r.ContentLength = -1
		r.Header.Set("Content-Range", "bytes 0-1/2")
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if got, _ := os.ReadFile(filepath.Join(dir, "a.txt")); w.Code < 400 || string(got) != "Zb" {
			t.Errorf("%T: %d, file %q", body, w.Code, got)
		}
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Errorf("files left behind: %v %v", left, err)
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errors.New("connection reset") }

// readFromRecorder notes the largest piece that arrived whole.
type readFromRecorder struct {
	*httptest.ResponseRecorder
	file bool
}

func (w *readFromRecorder) ReadFrom(r io.Reader) (int64, error) {
	if lr, ok := r.(*io.LimitedReader); ok {
		_, w.file = lr.R.(*os.File)
	}
	return io.Copy(w.ResponseRecorder, r)
}

// TestSendfile shows that large files reach the writer as files.
func TestSendfile(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "big"), make([]byte, 100<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "small"), make([]byte, 10), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := resources.OpenDir(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	for _, tt := range []struct {
		size, name string
		file       bool
	}{{"48", "/big", true}, {"48", "/small", false}, {"-1", "/big", false}, {"0", "/small", true}} {
		s := newServlet(t, d, map[string]string{"sendfileSize": tt.size}, Direct)
		w := &readFromRecorder{ResponseRecorder: httptest.NewRecorder()}
		s.ServeHTTP(w, httptest.NewRequest("GET", tt.name, nil))
		if w.file != tt.file || w.Code != 200 {
			t.Errorf("sendfileSize=%s %s: file %v, want %v", tt.size, tt.name, w.file, tt.file)
		}
	}
}

func TestParseParams(t *testing.T) {
	c, err := ParseParams(map[string]string{
		"listings": " TRUE ", "precompressed": "br=.br, gzip=.gz", "sendfileSize": "-1", "debug": "0", "input": "4096", "directoryRedirectStatusCode": "308",
	})
	if err != nil || !c.Listings || len(c.Precompressed) != 2 || c.SendfileSize >= 0 || c.Input != 4096 || c.DirectoryRedirectStatusCode != 308 || len(c.Ignored) != 1 {
		t.Errorf("%+v, %v", c, err)
	}
	bad := map[string]string{
		"listings": "maybe", "readonly": "1", "precompressed": "gzip", "sendfileSize": "big", "fileEncoding": "klingon", "directoryRedirectStatusCode": "200",
		"input": "-5", "useBomIfPresent": "x", "output": "", "sortListings": "", "allowPartialPut": "no", "useStrongETags": "weak",
	}
	_, err = ParseParams(bad)
	if err == nil {
		t.Fatal("no error")
	}
	for name := range bad {
		if !strings.Contains(err.Error(), "init-param "+name+": ") {
			t.Errorf("the error does not name %s:\n%v", name, err)
		}
	}
}

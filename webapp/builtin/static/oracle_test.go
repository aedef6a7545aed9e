package static

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/serval-server/serval/webapp/builtin/filters"
	"github.com/serval-server/serval/webapp/builtin/mime"
	"github.com/serval-server/serval/webapp/builtin/resources"
)

// The recorded answers of a real Tomcat's DefaultServlet (../shared/oracle,
// static.json) are replayed against this package alone, behind the smallest
// container that will do. What differs has to be explained by a rule below.

type oracleFile struct {
	MTime       int64
	Connectors  map[string]map[string]any
	Deployments []struct{ Apps []oracleApp }
	Cases       []struct {
		Grp, Conn string
		Steps     []oracleStep
		R         []oracleAnswer
	}
}

type oracleApp struct {
	ContextPath, WebXML string
	Files               map[string]json.RawMessage
}

type oracleStep struct {
	M, T string
	H    [][2]string
	Body string
}

type oracleAnswer struct {
	S      int
	H      map[string]string
	B, Sha *string
	Hrefs  []string
	Readme bool
	Msg    *bool
}

func TestOracle(t *testing.T) {
	data := loadOracle(t)
	apps := map[string]*testApp{}
	for _, a := range data.Deployments[0].Apps {
		apps[a.ContextPath] = startApp(t, a, time.Unix(data.MTime, 0))
	}
	addrs := map[string]string{}
	for name, settings := range data.Connectors {
		srv := httptest.NewServer(connector(t, settings)(container(apps)))
		defer srv.Close()
		addrs[name] = srv.Listener.Addr().String()
	}
	checked, explained := 0, map[string]int{}
	for _, c := range data.Cases {
		addr := addrs[c.Conn]
		for i, step := range c.Steps {
			checked++
			got := send(t, addr, step)
			for _, d := range compare(step, c.R[i], got) {
				if reason := explain(step, c.R[i], d); reason != "" {
					explained[reason]++
					continue
				}
				t.Errorf("%s: %s %s %q: %s is %q, recorded %q", c.Grp, step.M, step.T, step.H, d.what, d.got, d.want)
			}
		}
	}
	t.Logf("%d requests", checked)
	for reason, n := range explained {
		t.Logf("%4d explained: %s", n, reason)
	}
}

// connector is the compression of a connector, by its attributes in
// server.xml, which are the filter's parameters.
func connector(t *testing.T, settings map[string]any) func(http.Handler) http.Handler {
	t.Helper()
	if settings["compression"] != "on" {
		return func(h http.Handler) http.Handler { return h }
	}
	params := map[string]string{}
	for name, value := range settings {
		if name == "noCompressionStrongETag" {
			continue // the recorded version has it no more: it never compresses those
		}
		if v := fmt.Sprint(value); !strings.HasPrefix(v, "(default") {
			params[name] = v
		}
	}
	wrap, err := filters.NewCompression(params)
	if err != nil {
		t.Fatal(err)
	}
	return wrap
}

// difference is one property in which an answer is not the recorded one.
type difference struct{ what, got, want string }

// explain gives the reason why a difference is right, or "".
func explain(step oracleStep, want oracleAnswer, d difference) string {
	value := func(name string) string {
		for _, h := range step.H {
			if strings.EqualFold(h[0], name) {
				return h[1]
			}
		}
		return ""
	}
	accept := value("Accept-Encoding")
	switch {
	case d.what == "Content-Type" && d.want == "" && d.got == mime.ByName(step.T):
		return "the extension has a registered media type that Tomcat's list lacks"
	case step.M == http.MethodTrace && d.what == "Allow":
		return "Allow names what is allowed, not what the servlet's class has methods for (RFC 9110 §10.2.1)"
	case d.what == "Vary" && want.S == http.StatusNotModified:
		return "304 carries the Vary of the 200 (RFC 9110 §15.4.5)"
	case strings.Contains(accept, "q=0") && !strings.Contains(accept, "q=0."):
		return "q=0 means not acceptable (RFC 9110 §12.4.2)"
	case strings.Contains(accept, "q=abc"):
		return "a malformed Accept-Encoding is no reason for 500"
	case strings.EqualFold(accept, "gzip") && accept != "gzip" || accept == "x-gzip":
		return "codings have no case, and x-gzip is gzip (RFC 9110 §8.4.1)"
	case emptyElement.MatchString(value("If-None-Match") + value("If-Match") + value("Range")):
		return "empty list elements are ignored (RFC 9110 §5.6.1.2)"
	case regexp.MustCompile(`\d{19,}`).MatchString(value("Range")):
		return "a large number is no syntax error (RFC 9110 §14.1.1)"
	case want.H["Content-Encoding"] == "gzip" && want.H["Transfer-Encoding"] != "" && (d.what == "Content-Length" || d.what == "Accept-Ranges"):
		return "what is compressed on the way has no ranges, and may have a length"
	case want.Msg != nil && d.what == "Content-Encoding":
		return "the error page is another one"
	case d.what == "order" && strings.Contains(step.T, "O=A"):
		return "ascending is ascending; Tomcat takes O=A for descending"
	}
	return ""
}

var emptyElement = regexp.MustCompile(`^\s*,|,\s*,`)

func loadOracle(t *testing.T) *oracleFile {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for !exists(filepath.Join(dir, "go.mod")) {
		dir = filepath.Dir(dir)
	}
	// The shared material lies beside the repository, also for a worktree of it.
	name := ""
	for ; name == "" && dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if n := filepath.Join(filepath.Dir(dir), "shared/oracle/static.json.gz"); exists(n) {
			name = n
		}
	}
	if name == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("../shared/oracle/static.json.gz is missing")
		}
		t.Skip("../shared/oracle/static.json.gz is missing")
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var data oracleFile
	if err := json.NewDecoder(z).Decode(&data); err != nil {
		t.Fatal(err)
	}
	return &data
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// testApp is one application: its tree and its default servlet.
type testApp struct {
	contextPath string
	dir         *resources.Dir
	handler     *Servlet
}

type targetKey struct{}

func startApp(t *testing.T, a oracleApp, mtime time.Time) *testApp {
	t.Helper()
	root := t.TempDir()
	for name, raw := range a.Files {
		writeFile(t, filepath.Join(root, filepath.FromSlash(name)), fileBytes(t, raw))
	}
	writeFile(t, filepath.Join(root, "WEB-INF/web.xml"), []byte(a.WebXML))
	err := filepath.WalkDir(root, func(p string, _ os.DirEntry, _ error) error { return os.Chtimes(p, mtime, mtime) })
	if err != nil {
		t.Fatal(err)
	}
	var desc struct {
		Params []struct {
			Name  string `xml:"param-name"`
			Value string `xml:"param-value"`
		} `xml:"servlet>init-param"`
		Mimes []struct {
			Ext  string `xml:"extension"`
			Type string `xml:"mime-type"`
		} `xml:"mime-mapping"`
	}
	if err := xml.Unmarshal([]byte(a.WebXML), &desc); err != nil {
		t.Fatal(err)
	}
	params, mimes := map[string]string{}, map[string]string{}
	for _, p := range desc.Params {
		params[p.Name] = p.Value
	}
	for _, m := range desc.Mimes {
		mimes[m.Ext] = m.Type
	}
	cfg, err := ParseParams(params)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := resources.OpenDir(root, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dir.Close() })
	return &testApp{a.ContextPath, dir, New(Options{
		FS: dir, Config: cfg, ServerInfo: "Serval",
		MIMEType: func(name string) string {
			if typ, ok := mimes[strings.ToLower(mime.Extension(name))]; ok {
				return typ
			}
			return mime.ByName(name)
		},
		Target: func(r *http.Request) Target { return r.Context().Value(targetKey{}).(Target) },
	})}
}

func writeFile(t *testing.T, name string, data []byte) {
	t.Helper()
	if strings.HasSuffix(name, "/") {
		name, data = name+".keep", nil
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func fileBytes(t *testing.T, raw json.RawMessage) []byte {
	t.Helper()
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return []byte(text)
	}
	var b struct{ B64 string }
	if err := json.Unmarshal(raw, &b); err != nil {
		t.Fatal(err)
	}
	data, err := base64.StdEncoding.DecodeString(b.B64)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// container maps a request to an application as webapp does, as far as these
// recordings need it: context path, path parameters, dot segments, welcome file.
func container(apps map[string]*testApp) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, _, _ := strings.Cut(r.RequestURI, "?")
		lower := strings.ToLower(raw)
		if strings.Contains(lower, "%2f") || strings.Contains(lower, "%00") {
			http.Error(w, "bad path", http.StatusBadRequest)
			return
		}
		p, err := url.PathUnescape(regexp.MustCompile(`;[^/]*`).ReplaceAllString(raw, ""))
		if err != nil {
			http.Error(w, "bad path", http.StatusBadRequest)
			return
		}
		slash := strings.HasSuffix(p, "/")
		p = path.Clean(p)
		if slash && p != "/" {
			p += "/"
		}
		app := apps[""]
		for cp, a := range apps {
			if cp != "" && (p == cp || strings.HasPrefix(p, cp+"/")) {
				app = a
			}
		}
		inside := strings.TrimPrefix(p, app.contextPath)
		if inside == "" {
			w.Header().Set("Location", app.contextPath+"/")
			w.WriteHeader(http.StatusFound)
			return
		}
		if strings.HasSuffix(inside, "/") {
			if info, err := app.dir.Stat(strings.Trim(inside+"index.html", "/")); err == nil && !info.IsDir() {
				inside += "index.html"
			}
		}
		target := Target{Path: inside, URI: raw, ContextPath: app.contextPath}
		app.handler.ServeHTTP(w, r.WithContext(withTarget(r, target)))
	})
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func send(t *testing.T, addr string, s oracleStep) answer {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: s0\r\nConnection: close\r\n", s.M, latin1(s.T))
	for _, h := range s.H {
		fmt.Fprintf(&b, "%s: %s\r\n", h[0], h[1])
	}
	if s.Body != "" {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(latin1(s.Body)))
	}
	b.WriteString("\r\n" + latin1(s.Body))
	if _, err := c.Write(b.Bytes()); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: s.M})
	if err != nil {
		t.Fatalf("%s %s: %v", s.M, s.T, err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", s.M, s.T, err)
	}
	return answer{resp.StatusCode, resp.Header, body}
}

// latin1 turns characters into the bytes that they stand for.
func latin1(s string) string {
	b := make([]byte, 0, len(s))
	for _, c := range s {
		b = append(b, byte(c))
	}
	return string(b)
}

var (
	boundaryRE = regexp.MustCompile(`boundary=(\S+)`)
	etagTimeRE = regexp.MustCompile(`-\d+"`)
	hrefRE     = regexp.MustCompile(`href="([^"]*)"`)
)

func compare(step oracleStep, want oracleAnswer, got answer) (ds []difference) {
	check := func(what, g, w string) {
		if g != w {
			ds = append(ds, difference{what, g, w})
		}
	}
	check("status", fmt.Sprint(got.status), fmt.Sprint(want.S))
	body := string(got.body)
	if m := boundaryRE.FindStringSubmatch(got.header.Get("Content-Type")); m != nil {
		body = strings.ReplaceAll(body, m[1], "BOUNDARY")
		got.header.Set("Content-Type", "multipart/byteranges; boundary=BOUNDARY")
		got.header.Del("Content-Length")
	}
	for _, name := range []string{"Content-Type", "ETag", "Last-Modified", "Accept-Ranges", "Content-Range", "Content-Encoding", "Location", "Allow", "Vary", "Content-Length"} {
		g, w := got.header.Get(name), want.H[name]
		switch {
		case name == "Content-Type" && want.Msg != nil, // the error page
			name == "Content-Length" && (want.Msg != nil || want.Hrefs != nil || want.S != 200 && want.S != 206 || g == "" || step.M == "HEAD" && w == ""):
			continue
		case w == "NOW":
			w = g
		case strings.Contains(w, "MTIME"):
			g = etagTimeRE.ReplaceAllString(g, `-MTIME"`)
		case name == "Vary":
			g, w = strings.ToLower(g), strings.ToLower(w)
		}
		check(name, g, w)
	}
	switch {
	case want.Hrefs != nil:
		compareLinks(step, want, body, check)
	case want.B != nil:
		check("body", body, latin1(*want.B))
	case want.Sha != nil:
		sum := sha256.Sum256(got.body)
		check("body", hex.EncodeToString(sum[:])[:len(*want.Sha)], *want.Sha)
	}
	return ds
}

// compareLinks compares the links of a listing, the order only where there is
// one: Tomcat's listings without sortListings are in the order of the disk.
func compareLinks(step oracleStep, want oracleAnswer, body string, check func(what, got, want string)) {
	var hrefs []string
	for _, m := range hrefRE.FindAllStringSubmatch(body, -1) {
		href := strings.NewReplacer("&amp;", "&", "&#39;", "'", "&#43;", "+").Replace(m[1])
		hrefs = append(hrefs, href)
	}
	if slices.ContainsFunc(want.Hrefs, func(h string) bool { return strings.HasPrefix(h, "?C=") }) {
		check("order", strings.Join(hrefs, " "), strings.Join(want.Hrefs, " "))
	}
	slices.Sort(hrefs)
	sorted := slices.Sorted(slices.Values(want.Hrefs))
	check("links", strings.Join(hrefs, " "), strings.Join(sorted, " "))
	if want.Readme != strings.Contains(body, "README-TEXT") {
		check("readme", fmt.Sprint(!want.Readme), fmt.Sprint(want.Readme))
	}
}

func withTarget(r *http.Request, t Target) context.Context {
	return context.WithValue(r.Context(), targetKey{}, t)
}

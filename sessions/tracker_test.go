package sessions

import (
	"compress/gzip"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/serval-server/serval/descriptor"
)

const sid = ID("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")

func tracker(t *testing.T, path string, s descriptor.SessionConfig, c descriptor.ContextFile) *Tracker {
	t.Helper()
	tr, err := NewTracker(path, s, c)
	if err != nil {
		t.Fatal(err)
	}
	tr.format.now = func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }
	return tr
}

func params(kv ...string) (p []descriptor.Param) {
	for i := 0; i < len(kv); i += 2 {
		p = append(p, descriptor.Param{Name: kv[i], Value: kv[i+1]})
	}
	return p
}

func TestSetCookie(t *testing.T) {
	type cookie = descriptor.SessionCookie
	type file = descriptor.ContextFile
	yes, no, minute, zero, minus := new(bool), new(bool), 60, 0, -1
	*yes = true
	for name, c := range map[string]struct {
		path   string
		cookie cookie
		file   file
		secure bool
		want   string // after the value
	}{
		"default":             {path: "/a", want: "; Path=/a; HttpOnly; SameSite=Lax"},
		"root":                {want: "; Path=/; HttpOnly; SameSite=Lax"},
		"tls":                 {secure: true, want: "; Path=/; Secure; HttpOnly; SameSite=Lax"},
		"tls, secure false":   {secure: true, cookie: cookie{Secure: no}, want: "; Path=/; Secure; HttpOnly; SameSite=Lax"},
		"encoded path":        {path: "/ü b", want: "; Path=/%C3%BC%20b; HttpOnly; SameSite=Lax"},
		"max-age":             {cookie: cookie{MaxAge: &minute}, want: "; Max-Age=60; Expires=Fri, 02 Jan 2026 03:05:05 GMT; Path=/; HttpOnly; SameSite=Lax"},
		"max-age 0":           {cookie: cookie{MaxAge: &zero}, want: "; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:10 GMT; Path=/; HttpOnly; SameSite=Lax"},
		"max-age -1":          {cookie: cookie{MaxAge: &minus}, want: "; Path=/; HttpOnly; SameSite=Lax"},
		"http-only false":     {cookie: cookie{HTTPOnly: no}, want: "; Path=/; HttpOnly; SameSite=Lax"},
		"useHttpOnly false":   {file: file{UseHTTPOnly: no}, want: "; Path=/; SameSite=Lax"},
		"either turns it on":  {cookie: cookie{HTTPOnly: yes}, file: file{UseHTTPOnly: no}, want: "; Path=/; HttpOnly; SameSite=Lax"},
		"trailing slash":      {path: "/a", file: file{SessionCookiePathSlash: yes}, want: "; Path=/a/; HttpOnly; SameSite=Lax"},
		"trailing slash root": {file: file{SessionCookiePathSlash: yes}, want: "; Path=/; HttpOnly; SameSite=Lax"},
		"file over descriptor": {cookie: cookie{Path: "/p", Domain: "a.example"}, file: file{SessionCookiePath: "/q", SessionCookieDomain: "b.example"},
			want: "; Domain=b.example; Path=/q; HttpOnly; SameSite=Lax"},
		"leading dot":              {cookie: cookie{Domain: ".a.example"}, want: "; Domain=a.example; Path=/; HttpOnly; SameSite=Lax"},
		"same-site of the file":    {file: file{CookieProcessor: descriptor.CookieProcessor{SameSite: "strict"}}, want: "; Path=/; HttpOnly; SameSite=Strict"},
		"same-site unset":          {file: file{CookieProcessor: descriptor.CookieProcessor{SameSite: "unset"}}, want: "; Path=/; HttpOnly"},
		"attribute over same-site": {cookie: cookie{Attributes: params("samesite", "none")}, file: file{CookieProcessor: descriptor.CookieProcessor{SameSite: "strict"}}, want: "; Path=/; HttpOnly; SameSite=None"},
		"partitioned":              {file: file{UsePartitioned: yes}, want: "; Path=/; HttpOnly; SameSite=Lax; Partitioned"},
		"partitioned, processor":   {file: file{CookieProcessor: descriptor.CookieProcessor{Partitioned: yes}}, want: "; Path=/; HttpOnly; SameSite=Lax; Partitioned"},
		"partitioned, attribute":   {cookie: cookie{Attributes: params("Partitioned", "")}, want: "; Path=/; HttpOnly; SameSite=Lax; Partitioned"},
		"others":                   {cookie: cookie{Comment: "c", Attributes: params("Foo", "", "Priority", "High")}, want: "; Path=/; HttpOnly; SameSite=Lax; Foo=; Priority=High"},
		"all": {path: "/a", secure: true, cookie: cookie{Domain: "example.com", Path: "/p", MaxAge: &minute, Attributes: params("SameSite", "Strict", "X", "y", "Partitioned", "true")},
			want: "; Max-Age=60; Expires=Fri, 02 Jan 2026 03:05:05 GMT; Domain=example.com; Path=/p; Secure; HttpOnly; SameSite=Strict; Partitioned; X=y"},
		"__Host-":   {path: "/a", cookie: cookie{Name: "__Host-SID"}, want: "; Path=/; Secure; HttpOnly; SameSite=Lax"},
		"__secure-": {path: "/a", cookie: cookie{Name: "__secure-SID"}, want: "; Path=/a; Secure; HttpOnly; SameSite=Lax"},
	} {
		t.Run(name, func(t *testing.T) {
			tr := tracker(t, c.path, descriptor.SessionConfig{Cookie: c.cookie}, c.file)
			h := http.Header{}
			h.Add("Set-Cookie", "other=1")
			h.Add("Set-Cookie", tr.CookieName()+"=OLD; Path=/")
			tr.SetCookie(h, sid+".n1", c.secure)
			want := []string{"other=1", tr.CookieName() + "=" + string(sid) + ".n1" + c.want}
			if got := h["Set-Cookie"]; !reflect.DeepEqual(got, want) {
				t.Errorf("got  %q\nwant %q", got, want)
			}
		})
	}
}

func TestBadCookieConfig(t *testing.T) {
	type cookie = descriptor.SessionCookie
	for want, c := range map[string]cookie{
		`name "a b"`:                  {Name: "a b"},
		`path "/a;b"`:                 {Path: "/a;b"},
		`domain "exa mple"`:           {Domain: "exa mple"},
		`browsers refuse`:             {Name: "__Host-S", Domain: "a.example"},
		`with another path than /`:    {Name: "__host-S", Path: "/a"},
		`SameSite "bogus": allowed`:   {Attributes: params("SameSite", "bogus")},
		`attribute "F oo"="x"`:        {Attributes: params("F oo", "x")},
		`attribute "Foo"="a;b"`:       {Attributes: params("Foo", "a;b")},
		`attribute Max-Age "soon"`:    {Attributes: params("max-age", "soon")},
		`attribute Expires: use max-`: {Attributes: params("Expires", "never")},
	} {
		_, err := NewTracker("/a", descriptor.SessionConfig{Cookie: c}, descriptor.ContextFile{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: error %v, want %q", c, err, want)
		}
	}
}

// Scenarios of Tomcat's TestCookies and TestCookieParsing, for the session cookie.
func TestReadIDs(t *testing.T) {
	const a, b = "A23", "B45"
	for _, c := range []struct {
		uri     string
		cookies []string
		want    string // ids; in parentheses from the URL
	}{
		{"/x", nil, ""},
		{"/x", []string{"JSESSIONID=" + a}, "A23"},
		{"/x", []string{"foo=bar; JSESSIONID=" + a + ";a=b"}, "A23"},
		{"/x", []string{";;; ;JSESSIONID=" + a + ";"}, "A23"},
		{"/x", []string{"JSESSIONID = " + a}, "A23"},
		{"/x", []string{`JSESSIONID="` + a + `"`}, "A23"},
		{"/x", []string{`JSESSIONID="` + a}, ""},
		{"/x", []string{"JSESSIONID"}, ""},
		{"/x", []string{"JSESSIONID="}, ""},
		{"/x", []string{"=JSESSIONID"}, ""},
		{"/x", []string{"JSESSIONID=a b; JSESSIONID=" + a}, "A23"},
		{"/x", []string{"jsessionid=" + a}, ""},
		{"/x", []string{"$Version=1; JSESSIONID=" + a + "; $Path=/"}, "A23"},
		{"/x", []string{"JSESSIONID=" + a + "; JSESSIONID=" + b}, "A23 B45"},
		{"/x", []string{"JSESSIONID=" + a, "JSESSIONID=" + b, "JSESSIONID=" + a}, "A23 B45"},
		{"/x", []string{"JSESSIONID=c=d/e"}, "c=d/e"},
		{"/x;jsessionid=" + a, nil, "(A23)"},
		{"/x;jsessionid=" + a + "/y?q", nil, "(A23)"},
		{"/x;b=1;jsessionid=" + a + ";c=2", nil, "(A23)"},
		{"/x;JSESSIONID=" + a, nil, ""},
		{"/x?jsessionid=" + a, nil, ""},
		{"/x?q;jsessionid=" + a, nil, ""},
		{"/x;jsessionid=", nil, ""},
		{"http://h/x;jsessionid=" + a, nil, "(A23)"},
		{"http://h;jsessionid=" + a, nil, ""},
		{"/x;jsessionid=" + a, []string{"JSESSIONID=" + b}, "B45"},
		{"*", nil, ""},
	} {
		tr := tracker(t, "", descriptor.SessionConfig{}, descriptor.ContextFile{})
		r := &http.Request{RequestURI: c.uri, Header: http.Header{"Cookie": c.cookies}, URL: &url.URL{}}
		var got []string
		for _, id := range tr.ReadIDs(r) {
			if id.Cookie {
				got = append(got, string(id.ID))
			} else {
				got = append(got, "("+string(id.ID)+")")
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s %q: %q, want %q", c.uri, c.cookies, got, c.want)
		}
		for size := range 3 {
			room := slices.Repeat([]Requested{{ID: a, Cookie: true}}, size)
			if into := tr.ReadIDsInto(room, r); !slices.Equal(into, tr.ReadIDs(r)) {
				t.Errorf("%s %q: %v into room for %d", c.uri, c.cookies, into, size)
			}
		}
	}
}

func TestTrackingModes(t *testing.T) {
	no := false
	for _, c := range []struct {
		modes    []descriptor.TrackingMode
		file     descriptor.ContextFile
		cookie   bool
		rewrites bool
	}{
		{nil, descriptor.ContextFile{}, true, true},
		{[]descriptor.TrackingMode{"COOKIE"}, descriptor.ContextFile{}, true, false},
		{[]descriptor.TrackingMode{"URL"}, descriptor.ContextFile{}, false, true},
		{[]descriptor.TrackingMode{"COOKIE", "URL"}, descriptor.ContextFile{}, true, true},
		{[]descriptor.TrackingMode{"SSL"}, descriptor.ContextFile{}, false, false},
		{nil, descriptor.ContextFile{Cookies: &no}, false, true},
	} {
		tr := tracker(t, "/a", descriptor.SessionConfig{TrackingModes: c.modes}, c.file)
		h := http.Header{}
		tr.SetCookie(h, sid, false)
		r := httptest.NewRequest("GET", "/a/x", nil)
		if got := len(h) > 0; got != c.cookie {
			t.Errorf("%v: cookie is set: %v", c.modes, got)
		}
		if got := tr.EncodeURL(r, "y", sid, false) != "y"; got != c.rewrites {
			t.Errorf("%v: URL is rewritten: %v", c.modes, got)
		}
		r.Header.Set("Cookie", "JSESSIONID="+string(sid))
		if got := len(tr.ReadIDs(r)) > 0; got != c.cookie {
			t.Errorf("%v: cookie is read: %v", c.modes, got)
		}
	}
}

// Scenarios of Tomcat's TestResponse.testEncodeURL01-16 and testBug53062.
func TestEncodeURL(t *testing.T) {
	p := ";jsessionid=" + string(sid)
	for _, c := range []struct{ context, request, address, want string }{
		{"/l1", "/l1/l2/foo.html", "bar.html", "bar.html" + p},
		{"/l1", "/l1/l2/foo.html", "./bar.html", "./bar.html" + p},
		{"/l1", "/l1/l2/foo.html", "../bar.html", "../bar.html" + p},
		{"/l1", "/l1/l2/foo.html", "../../bar.html", "../../bar.html"},
		{"/l1", "/l1/l2/foo.html", "..", ".." + p},
		{"/l1", "/l1/l2/foo.html", "../..", "../.."},
		{"/l1", "/l1/l2/foo.html", "bar.html?x=/../..", "bar.html" + p + "?x=/../.."},
		{"/l1", "/l1/l2/foo.html", "bar.html#/../../..", "bar.html" + p + "#/../../.."},
		{"/l1", "/l1/l2/foo.html", "bar.html?x=1#f", "bar.html" + p + "?x=1#f"},
		{"/l1", "/l1/l2/foo.html", "bar.html;m=1", "bar.html;m=1" + p},
		{"/l1", "/l1/l2/foo.html", "?q", "?q"},
		{"/l1", "/l1/l2/foo.html", "#f", "#f"},
		{"/l1", "/l1/l2/foo.html", " ", " "},
		{"/l1", "/l1/l2/foo.html", "", "/l1/l2/foo.html" + p},
		{"/l1", "/l1/x;jsessionid=OLD;b=1", "", "/l1/x;b=1" + p},
		{"/l1", "/l1/x", "/l1", "/l1" + p},
		{"/l1", "/l1/x", "/l1x", "/l1x"},
		{"/l1", "/l1/x", "/other/x", "/other/x"},
		{"/l1", "/l1/x", "/l1/../other", "/l1/../other"},
		{"/l1", "/l1/x", "/l1/y" + p, "/l1/y" + p},
		{"/l1", "/l1/x", "http://example.com/l1/y", "http://example.com/l1/y" + p},
		{"/l1", "/l1/x", "http://example.com:80/l1/y", "http://example.com:80/l1/y" + p},
		{"/l1", "/l1/x", "HTTP://EXAMPLE.COM/l1/y", "HTTP://EXAMPLE.COM/l1/y" + p},
		{"/l1", "/l1/x", "http://example.com:81/l1/y", "http://example.com:81/l1/y"},
		{"/l1", "/l1/x", "https://example.com/l1/y", "https://example.com/l1/y"},
		{"/l1", "/l1/x", "http://other.example/l1/y", "http://other.example/l1/y"},
		{"/l1", "/l1/x", "http://u@example.com/l1/y", "http://u@example.com/l1/y"},
		{"/l1", "/l1/x", "//example.com/l1/y", "//example.com/l1/y" + p},
		{"/l1", "/l1/x", "//evil.example/l1/y", "//evil.example/l1/y"},
		{"/l1", "/l1/x", `/\evil.example/l1`, `/\evil.example/l1`},
		{"/l1", "/l1/x", "mailto:x", "mailto:x"},
		{"/l1", "/l1/x", "javascript:void(0)", "javascript:void(0)"},
		{"/l1", "/l1/x", "http:/l1/y", "http:/l1/y"},
		{"/l1", "/l1/x", ":80", ":80"},
		{"/l1", "/l1/x", "%zz", "%zz"},
		{"", "/x", "y", "y" + p},
		{"", "/x", "http://example.com", "http://example.com/" + p},
		{"", "/x", "http://example.com?q", "http://example.com/" + p + "?q"},
		{"", "/x", "//example.com", "//example.com/" + p},
		{"", "/x", "//", "//"},
		{"", "/x", "///evil.example", "///evil.example"},
		{"", "/x", "a//b", "a//b" + p},
		{"", "/x", "a//", "a//" + p},
		{"", "/x", "/", "/" + p},
		{"/ü", "/%C3%BC/x", "/%C3%BC/y", "/%C3%BC/y" + p},
		{"/ü", "/%C3%BC/x", "y", "y" + p},
	} {
		tr := tracker(t, c.context, descriptor.SessionConfig{}, descriptor.ContextFile{})
		r := httptest.NewRequest("GET", c.request, nil)
		if got := tr.EncodeURL(r, c.address, sid, false); got != c.want {
			t.Errorf("%s at %s: %q becomes\n %q, want\n %q", c.context, c.request, c.address, got, c.want)
		}
	}
	tr := tracker(t, "", descriptor.SessionConfig{}, descriptor.ContextFile{})
	r := httptest.NewRequest("GET", "/x", nil)
	r.TLS = &tls.ConnectionState{}
	if got := tr.EncodeURL(r, "https://example.com:443/y", sid, true); !strings.HasSuffix(got, p) {
		t.Errorf("over TLS: %q", got)
	}
}

// shared opens a file of the shared material.
func shared(t *testing.T, name string) *os.File {
	t.Helper()
	f, err := os.Open(filepath.Join("..", "..", "shared", name))
	if errors.Is(err, fs.ErrNotExist) {
		if os.Getenv("CI") == "true" {
			t.Fatalf("../shared/%s is missing", name)
		}
		t.Skipf("../shared/%s is missing", name)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// The recorded Tomcat's session cookies and rewritten URLs, against those of a
// tracker made from the same descriptors. Where nothing is said of SameSite, ours
// has SameSite=Lax.
func TestRecordedCookies(t *testing.T) {
	z, err := gzip.NewReader(shared(t, "oracle/cookies.json.gz"))
	if err != nil {
		t.Fatal(err)
	}
	type step struct {
		What, T, Script, Body string
		SetCookie             []string
	}
	var rec struct {
		Deployments []struct {
			Apps []struct{ Name, ContextPath, Webxml, Contextxml, Deploy string }
		}
		SessionCookie []struct {
			App, Name string
			Steps     []step
		} `json:"session_cookie"`
	}
	if err := json.NewDecoder(z).Decode(&rec); err != nil {
		t.Fatal(err)
	}
	trackers, failed := map[string]*Tracker{}, map[string]error{}
	for _, a := range rec.Deployments[0].Apps {
		files := fstest.MapFS{"WEB-INF/web.xml": {Data: []byte(a.Webxml)}}
		if a.Contextxml != "" {
			files["META-INF/context.xml"] = &fstest.MapFile{Data: []byte(a.Contextxml)}
		}
		app, diags := descriptor.Load(files, descriptor.LoadOptions{})
		if failed[a.Name] = diags.Err(); failed[a.Name] == nil {
			trackers[a.Name], failed[a.Name] = NewTracker(a.ContextPath, app.SessionConfig, app.Context)
		}
	}
	compared := 0
	for _, c := range rec.SessionCookie {
		tr := trackers[c.Name]
		if tr == nil {
			// An empty name element is refused by the descriptor.
			refused := failed[c.Name] != nil && strings.Contains(failed[c.Name].Error(), "<name> is empty")
			if want := strings.Join(c.Steps[0].SetCookie, ""); want != "" && !refused {
				t.Errorf("%s: %v, Tomcat sets %s", c.Name, failed[c.Name], want)
			}
			continue
		}
		for _, s := range c.Steps {
			if s.What == "new session" && len(s.SetCookie) > 0 {
				compared++
				compareCookie(t, c.Name, tr, s.SetCookie[0])
			}
			if s.What == "new session" {
				compared += compareURLs(t, c.Name, tr, s.T, s.Script, s.Body)
			}
		}
	}
	if compared < 100 {
		t.Errorf("only %d comparisons were made", compared)
	}
}

var date = regexp.MustCompile(`Expires=[^;]*`)

func compareCookie(t *testing.T, name string, tr *Tracker, want string) {
	t.Helper()
	h := http.Header{}
	tr.SetCookie(h, "<SID>", false)
	got := date.ReplaceAllString(h.Get("Set-Cookie"), "Expires=<DATE>")
	if !strings.Contains(want, "SameSite") && name != "cp samesite unset" {
		got = strings.Replace(got, "; SameSite=Lax", "", 1)
	}
	if got != want {
		t.Errorf("%s:\n got %s\nwant %s", name, got, want)
	}
}

// compareURLs encodes what the script encodes, in the order of the answer's lines.
func compareURLs(t *testing.T, name string, tr *Tracker, target, script, body string) (n int) {
	t.Helper()
	r := httptest.NewRequest("GET", target, nil)
	r.Host = "ck.example"
	var want []string
	for line := range strings.Lines(body) {
		if w, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "encode "); ok {
			want = append(want, w)
		}
	}
	for cmd := range strings.SplitSeq(script, " ;; ") {
		arg, ok := strings.CutPrefix(cmd, "encode ")
		if !ok || len(want) == 0 {
			continue
		}
		arg, err := url.PathUnescape(arg)
		if err != nil {
			t.Fatal(err)
		}
		got := tr.EncodeURL(r, arg, "<SID>", false)
		if strings.Trim(got, " ") != strings.Trim(want[0], " ") {
			t.Errorf("%s: %s: %q becomes %q, want %q", name, target, arg, got, want[0])
		}
		want = want[1:]
		n++
	}
	return n
}

// What is read from a Cookie header stands in it, has no character that would end
// a cookie or a header, and is the same read alone.
func FuzzReadCookies(f *testing.F) {
	for _, s := range []string{"JSESSIONID=abc", `a=b; JSESSIONID="x"; JSESSIONID=y`, "JSESSIONID==;=;;", "JSESSIONID \t= z\x00", "$Version=1; JSESSIONID=ü"} {
		f.Add(s)
	}
	tr, err := NewTracker("", descriptor.SessionConfig{}, descriptor.ContextFile{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, line string) {
		ids := tr.readCookies(nil, line)
		if len(ids) > maxRequested {
			t.Fatalf("%d ids", len(ids))
		}
		for _, id := range ids {
			v := string(id.ID)
			if !strings.Contains(line, v) || strings.ContainsAny(v, "; \t\r\n\x00\"") || v == "" {
				t.Fatalf("%q gives %q", line, v)
			}
			if alone := tr.readCookies(nil, fmt.Sprintf(`JSESSIONID="%s"`, v)); len(alone) != 1 || alone[0] != id {
				t.Fatalf("%q read alone gives %v", v, alone)
			}
		}
	})
}

// An address that is rewritten is the same but for one parameter, and stays on
// this host.
func FuzzEncodeURL(f *testing.F) {
	for _, s := range []string{"a", "/l1/b?c#d", "//h/l1", "http://example.com/l1", "..", "%2e%2e/x", `\\evil`} {
		f.Add(s)
	}
	tr, err := NewTracker("/l1", descriptor.SessionConfig{}, descriptor.ContextFile{})
	if err != nil {
		f.Fatal(err)
	}
	r := httptest.NewRequest("GET", "/l1/x", nil)
	f.Fuzz(func(t *testing.T, address string) {
		got := tr.EncodeURL(r, address, sid, false)
		if got == address || address == "" {
			return
		}
		p := ";jsessionid=" + string(sid)
		if strings.Replace(got, p, "", 1) != address && strings.Replace(got, "/"+p, "", 1) != address {
			t.Fatalf("%q becomes %q", address, got)
		}
		got, _, _ = strings.Cut(got, "#") // a fragment may be anything
		u, err := url.Parse(got)
		if err != nil {
			t.Fatalf("%q becomes %q: %v", address, got, err)
		}
		if at := (&url.URL{Scheme: "http", Host: "example.com", Path: "/l1/x"}).ResolveReference(u); !strings.EqualFold(at.Hostname(), "example.com") {
			t.Fatalf("%q leads to %q with a session id", got, at)
		}
	})
}

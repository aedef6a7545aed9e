package filters

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

func TestSetCharacterEncoding(t *testing.T) {
	for _, tt := range []struct {
		params map[string]string
		ctype  string
		body   string
		want   string // the parameter a
	}{
		{map[string]string{"encoding": "UTF-8"}, "application/x-www-form-urlencoded", "a=%C3%A9", "é"},
		{map[string]string{"encoding": "ISO-8859-1"}, "application/x-www-form-urlencoded", "b&a=%E9+x&c=", "é x"},
		{map[string]string{"encoding": "ISO-8859-1"}, "application/x-www-form-urlencoded;charset=utf-8", "a=%C3%A9", "é"},
		{map[string]string{"encoding": "ISO-8859-1", "ignore": "true"}, "application/x-www-form-urlencoded;charset=utf-8", "a=%E9", "é"},
		{map[string]string{"encoding": "UTF-8"}, "application/x-www-form-urlencoded;charset=windows-1251", "a=%DF", "Я"},
		{map[string]string{"encoding": "EUC_JP"}, "application/x-www-form-urlencoded", "a=%C6%FC", "日"},
		{map[string]string{"encoding": "GBK", "forceEncoding": "true"}, "application/x-www-form-urlencoded;charset=utf-8", "a=%C8%D5", "日"},
		{map[string]string{"encoding": "Shift_JIS"}, "application/x-www-form-urlencoded", "a=%93%FA", "日"},
	} {
		h, _ := wrap(t, NewSetCharacterEncoding, tt.params, func(_ http.ResponseWriter, r *http.Request) {
			if got := r.PostFormValue("a"); got != tt.want {
				t.Errorf("%v %s %s: %q, want %q", tt.params, tt.ctype, tt.body, got, tt.want)
			}
			if !strings.Contains(r.Header.Get("Content-Type"), "charset=") {
				t.Errorf("%v: no charset in %q", tt.params, r.Header.Get("Content-Type"))
			}
		})
		r := httptest.NewRequest("POST", "/", strings.NewReader(tt.body))
		r.Header.Set("Content-Type", tt.ctype)
		serve(h, r)
	}
	for _, params := range []map[string]string{nil, {"encoding": "klingon"}, {"encoding": "UTF-8", "ignore": "perhaps"}} {
		if _, err := NewSetCharacterEncoding(params); err == nil {
			t.Errorf("%v: no error", params)
		}
	}
	h, reached := wrap(t, NewSetCharacterEncoding, map[string]string{"encoding": "latin1"}, nil)
	r := httptest.NewRequest("POST", "/", strings.NewReader("a=%zz"))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if w := serve(h, r); w.Code != 400 || *reached != 0 {
		t.Errorf("a malformed form: %d", w.Code)
	}
}

func TestAddDefaultCharset(t *testing.T) {
	for _, tt := range []struct{ encoding, ctype, want string }{
		{"", "text/plain", "text/plain;charset=ISO-8859-1"},
		{"default", "text/html", "text/html;charset=ISO-8859-1"},
		{"system", "text/plain", "text/plain;charset=UTF-8"},
		{"utf-8", "TEXT/plain", "TEXT/plain;charset=utf-8"},
		{"utf-8", "text/plain; Charset=koi8-r", "text/plain; Charset=koi8-r"},
		{"utf-8", "image/png", "image/png"},
	} {
		params := map[string]string{"encoding": tt.encoding}
		h, _ := wrap(t, NewAddDefaultCharset, params, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", tt.ctype)
			w.WriteHeader(201)
		})
		if got := serve(h, request("GET", "/")).Header().Get("Content-Type"); got != tt.want {
			t.Errorf("%q on %q: %q, want %q", tt.encoding, tt.ctype, got, tt.want)
		}
	}
	if _, err := NewAddDefaultCharset(map[string]string{"encoding": "klingon"}); err == nil {
		t.Error("unknown encoding: no error")
	}
}

func TestFailedRequest(t *testing.T) {
	for _, tt := range []struct {
		method, target, body string
		status               int
	}{
		{"GET", "/?a=b&c", "", 200},
		{"GET", "/?a=b;c=d", "", 200},
		{"GET", "/?a=%zz", "", 400},
		{"POST", "/", "a=b", 200},
		{"POST", "/?x=a;b", "a=b", 200},
		{"POST", "/", "a=%", 400},
		{"POST", "/", "a=" + strings.Repeat("x", 11<<20), 413},
	} {
		h, _ := wrap(t, NewFailedRequest, nil, nil)
		r := httptest.NewRequest(tt.method, tt.target, strings.NewReader(tt.body))
		if tt.body != "" {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		if w := serve(h, r); w.Code != tt.status {
			t.Errorf("%s %s: %d, want %d", tt.method, tt.target, w.Code, tt.status)
		}
	}
}

func TestCSRFPrevention(t *testing.T) {
	for _, tt := range []struct {
		name    string
		params  map[string]string
		method  string
		headers []string
		status  int
	}{
		{"read", nil, "GET", []string{"Sec-Fetch-Site: cross-site"}, 200},
		{"other site", nil, "POST", []string{"Sec-Fetch-Site: cross-site"}, 403},
		{"same site, other origin", nil, "POST", []string{"Sec-Fetch-Site: same-site"}, 403},
		{"own page", nil, "POST", []string{"Sec-Fetch-Site: same-origin"}, 200},
		{"typed by the user", nil, "POST", []string{"Sec-Fetch-Site: none"}, 200},
		{"old browser", nil, "DELETE", []string{"Origin: http://evil.example"}, 403},
		{"old browser, own page", nil, "POST", []string{"Origin: http://example.com"}, 200},
		{"no browser", nil, "POST", nil, 200},
		{"status", map[string]string{"denyStatus": "404"}, "POST", []string{"Sec-Fetch-Site: cross-site"}, 404},
		{"not enforced", map[string]string{"enforce": "false"}, "POST", []string{"Sec-Fetch-Site: cross-site"}, 200},
		{"trusted", map[string]string{"trustedOrigins": "https://pay.example"}, "POST", []string{"Sec-Fetch-Site: cross-site", "Origin: https://pay.example"}, 200},
		{"Tomcat's parameters", map[string]string{"entryPoints": "/a", "nonceCacheSize": "5"}, "POST", nil, 200},
	} {
		h, _ := wrap(t, NewCSRFPrevention, tt.params, nil)
		if w := serve(h, request(tt.method, "http://example.com/", tt.headers...)); w.Code != tt.status {
			t.Errorf("%s: %d, want %d", tt.name, w.Code, tt.status)
		}
	}
	if _, err := NewRESTCSRFPrevention(map[string]string{"trustedOrigins": "pay.example"}); err == nil {
		t.Error("an origin without scheme: no error")
	}
}

func TestRequestDumper(t *testing.T) {
	var log bytes.Buffer
	f := RequestDumper(slog.New(slog.NewTextHandler(&log, nil)))
	h := f(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Set-Cookie", "JSESSIONID=secret1")
		w.Header().Set("X-Out", "out")
		w.WriteHeader(418)
	}))
	serve(h, request("GET", "/a?b=c", "Authorization: Basic secret2", "X-In: in"))
	text := log.String()
	for _, want := range []string{"msg=request", "uri=\"/a?b=c\"", "headers.X-In=in", "msg=response", "status=418", "headers.X-Out=out", "msg=done", `"headers.Authorization bytes"=13`} {
		if !strings.Contains(text, want) {
			t.Errorf("the log lacks %s:\n%s", want, text)
		}
	}
	if strings.Contains(text, "secret") {
		t.Errorf("the log has secrets:\n%s", text)
	}
	// Outside of an application there is no log to write to.
	h2, reached := wrap(t, NewRequestDumper, nil, nil)
	if serve(h2, request("GET", "/")); *reached != 1 {
		t.Error("the request did not go through")
	}
}

func TestCompression(t *testing.T) {
	long := strings.Repeat("compress me ", 500)
	text := func(headers ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			for _, h := range headers {
				name, value, _ := strings.Cut(h, ": ")
				w.Header().Set(name, value)
			}
			_, _ = io.WriteString(w, long)
		}
	}
	tests := []struct {
		name    string
		params  map[string]string
		accept  string
		handler http.HandlerFunc
		coding  string
		vary    bool
	}{
		{"gzip", nil, "gzip", text(), "gzip", true},
		{"zstd first", nil, "gzip, deflate, br, zstd", text(), "zstd", true},
		{"gzip first", map[string]string{"algorithms": "gzip,zstd"}, "gzip, zstd", text(), "gzip", true},
		{"by quality", nil, "gzip, zstd;q=0.5", text(), "gzip", true},
		{"gzip only", map[string]string{"algorithms": "gzip"}, "zstd", text(), "", true},
		{"level", map[string]string{"level": "9"}, "gzip", text(), "gzip", true},
		{"refused", nil, "gzip;q=0", text(), "", true},
		{"not asked for", nil, "", text(), "", true},
		{"type", nil, "gzip", text("Content-Type: image/png"), "", false},
		{"type with charset", nil, "gzip", text("Content-Type: Text/HTML; charset=utf-8"), "gzip", true},
		{"own types", map[string]string{"compressibleMimeType": "image/png"}, "gzip", text("Content-Type: image/png"), "gzip", true},
		{"event stream", nil, "gzip", text("Content-Type: text/event-stream"), "", false},
		{"small", map[string]string{"compressionMinSize": "100000"}, "gzip", text("Content-Length: 6000"), "", false},
		{"strong etag", nil, "gzip", text(`ETag: "x"`), "", false},
		{"strong etag allowed", map[string]string{"noCompressionStrongETag": "false"}, "gzip", text(`ETag: "x"`), "gzip", true},
		{"weak etag", nil, "gzip", text(`ETag: W/"x"`), "gzip", true},
		{"encoded already", nil, "gzip", text("Content-Encoding: br"), "br", false},
		{"no-transform", nil, "gzip", text("Cache-Control: no-transform"), "", false},
		{"own Vary stays", nil, "gzip", text("Content-Type: image/png", "Vary: Accept-Encoding"), "", false},
		{"error page", nil, "gzip", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(404)
			_, _ = io.WriteString(w, long)
		}, "gzip", true},
		{"type by content", nil, "gzip", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(200)
			_, _ = io.WriteString(w, "<html>"+long)
		}, "gzip", true},
		{"flushed before the first byte", nil, "gzip", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(200)
			_ = http.NewResponseController(w).Flush()
			_, _ = io.WriteString(w, long)
		}, "", false},
		{"flushed in the middle", nil, "gzip", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, long)
			_ = http.NewResponseController(w).Flush()
			_, _ = io.WriteString(w, long)
		}, "gzip", true},
		{"304", nil, "gzip", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(304) }, "", true},
		{"nothing at all", nil, "gzip", func(http.ResponseWriter, *http.Request) {}, "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h, _ := wrap(t, NewCompression, tt.params, tt.handler)
			srv := httptest.NewServer(h)
			defer srv.Close()
			r, err := http.NewRequest("GET", srv.URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Accept-Encoding", tt.accept)
			resp, err := http.DefaultTransport.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = resp.Body.Close() }()
			if got := resp.Header.Get("Content-Encoding"); got != tt.coding {
				t.Fatalf("Content-Encoding %q, want %q", got, tt.coding)
			}
			if got := len(resp.Header["Vary"]); tt.name != "own Vary stays" && (got == 1) != tt.vary {
				t.Errorf("Vary %q, want it: %v", resp.Header["Vary"], tt.vary)
			}
			if body := decode(t, tt.coding, resp.Body); tt.coding != "br" && strings.Contains(body, "me") && !strings.HasSuffix(body, long) {
				t.Errorf("the body is not what was written: %.40q...", body)
			}
		})
	}
	for _, params := range []map[string]string{{"algorithms": "br"}, {"level": "10"}, {"compressionMinSize": "big"}, {"compresion": "on"}} {
		if _, err := NewCompression(params); err == nil {
			t.Errorf("%v: no error", params)
		}
	}
}

func decode(t *testing.T, coding string, body io.Reader) string {
	t.Helper()
	switch coding {
	case "gzip":
		z, err := gzip.NewReader(body)
		if err != nil {
			t.Fatal(err)
		}
		body = z
	case "zstd":
		z, err := zstd.NewReader(body)
		if err != nil {
			t.Fatal(err)
		}
		defer z.Close()
		body = z
	}
	data, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// readFromWriter notes whether a file came to the connection whole.
type readFromWriter struct {
	*httptest.ResponseRecorder
	whole bool
}

func (w *readFromWriter) ReadFrom(r io.Reader) (int64, error) {
	_, w.whole = r.(*os.File)
	return io.Copy(w.ResponseRecorder, r)
}

// TestFilesStayWhole shows that filters keep the way to sendfile open.
func TestFilesStayWhole(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(name, bytes.Repeat([]byte("x"), 10_000), 0o600); err != nil {
		t.Fatal(err)
	}
	for filter, params := range map[string]map[string]string{
		"compression": nil, "expires": {"ExpiresDefault": "A60"}, "add-default-charset": nil,
	} {
		h, _ := wrap(t, All[filter], params, func(w http.ResponseWriter, _ *http.Request) {
			f, err := os.Open(name)
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = f.Close() }()
			w.Header().Set("Content-Type", "video/mp4")
			if rf, ok := w.(io.ReaderFrom); ok {
				_, _ = rf.ReadFrom(f)
			}
		})
		w := &readFromWriter{ResponseRecorder: httptest.NewRecorder()}
		h.ServeHTTP(w, request("GET", "/", "Accept-Encoding: gzip"))
		if !w.whole || w.Body.Len() != 10_000 {
			t.Errorf("%s: the file did not come whole (%d bytes)", filter, w.Body.Len())
		}
	}
}

// TestHijack shows that an upgrade gets through the filters that wrap the writer.
func TestHijack(t *testing.T) {
	for filter, params := range map[string]map[string]string{"compression": nil, "expires": {"ExpiresDefault": "A60"}} {
		h, _ := wrap(t, All[filter], params, func(w http.ResponseWriter, _ *http.Request) {
			c, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Errorf("%s: %v", filter, err)
				return
			}
			_, _ = io.WriteString(c, "HTTP/1.1 299 Mine\r\nContent-Length: 0\r\n\r\n")
			_ = c.Close()
		})
		srv := httptest.NewServer(h)
		resp, err := http.Get(srv.URL)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = bufio.NewReader(resp.Body).Peek(1)
		_ = resp.Body.Close()
		if resp.StatusCode != 299 {
			t.Errorf("%s: status %d", filter, resp.StatusCode)
		}
		srv.Close()
	}
}

// TestAll makes each filter without parameters, or learns that it needs some,
// and shows that none takes a parameter that it does not know.
func TestAll(t *testing.T) {
	for name, c := range All {
		if _, err := c(nil); err != nil && name != "set-character-encoding" {
			t.Errorf("%s without parameters: %v", name, err)
		}
		_, err := c(map[string]string{"no such parameter": "x"})
		if err == nil || !strings.Contains(err.Error(), "filter "+name+": init-param no such parameter") {
			t.Errorf("%s with an unknown parameter: %v", name, err)
		}
	}
}

package accesslog

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/serval-server/serval/server/conninfo"
)

type fakeApp struct{}

func (fakeApp) SessionID() string                   { return "ABC.n1" }
func (fakeApp) User() string                        { return "alice" }
func (fakeApp) RequestAttribute(name string) string { return "attr-" + name }
func (fakeApp) SessionAttribute(name string) string { return "sess-" + name }

func entry() *Entry {
	r := httptest.NewRequest(http.MethodGet, "/a/b?x=1&y=%22", nil)
	r.RequestURI = "/a/b?x=1&y=%22"
	r.Host = "example.org:8080"
	r.RemoteAddr = "203.0.113.7:1234"
	r.Header.Set("User-Agent", "evil\" \\ \n\x01é\xff😀")
	r.Header.Add("X-Two", "1")
	r.Header.Add("X-Two", "2")
	r.AddCookie(&http.Cookie{Name: "c", Value: "v"})
	local, peer := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8080}, &net.TCPAddr{IP: net.IPv4(10, 0, 0, 9), Port: 999}
	r = r.WithContext(conninfo.With(context.Background(), "http", local, peer))
	w := httptest.NewRecorder()
	w.Header().Set("Content-Type", "text/html")
	return &Entry{
		Request: r, Response: w, Status: 200, Bytes: 1234,
		Start: time.Date(2026, 11, 22, 6, 7, 8, 9_000_000, time.FixedZone("", 3600)), FirstByte: 12 * time.Millisecond, Elapsed: 2345678 * time.Microsecond,
	}
}

func TestCodes(t *testing.T) {
	e := entry()
	e.App = fakeApp{}
	for pattern, want := range map[string]string{
		"common":                           `203.0.113.7 - alice [22/Nov/2026:06:07:08 +0100] "GET /a/b?x=1&y=%22 HTTP/1.1" 200 1234`,
		"%a %A %h %l %I":                   "203.0.113.7 127.0.0.1 203.0.113.7 - -",
		"%{peer}a %{remote}a":              "10.0.0.9 203.0.113.7",
		"%p %{local}p %{remote}p":          "8080 8080 999",
		"%b %B %s":                         "1234 1234 200",
		"%D %T %F":                         "2345678 2 12",
		"%{ns}T %{us}T %{ms}T %{s}T":       "2345678000 2345678 2345 2",
		"%{fracsec}T":                      "2.346",
		"%H %m %U%q %v":                    "HTTP/1.1 GET /a/b?x=1&y=%22 example.org",
		"%S %u %{k}r %{k}s":                "ABC.n1 alice attr-k sess-k",
		"%{User-Agent}i":                   `evil\" \\ \n\u0001\u00e9\u00ff\ud83d\ude00`,
		"%{x-two}i %{None}i %{Host}i":      "1,2 - example.org:8080",
		"%{content-type}o %{c}c %{d}c":     "text/html v -",
		"100%% %X":                         "100% +",
		"%{yyyy-MM-dd'T'HH:mm:ss.SSSXXX}t": "2026-11-22T06:07:08.009+01:00",
		"%{end:sec}t %{sec}t %{msec}t":     "1795324030 1795324028 1795324028009",
		"%{msec_frac}t %{EEE d MMM yy}t":   "009 Sun 22 Nov 26",
		"%{begin}t|%{''}t":                 "[22/Nov/2026:06:07:08 +0100]|'",
	} {
		p, err := Parse(pattern)
		if err != nil {
			t.Errorf("%s: %v", pattern, err)
			continue
		}
		if got := string(p.Append(nil, e)); got != want {
			t.Errorf("%s:\n got %s\nwant %s", pattern, got, want)
		}
	}
}

func TestNothingKnown(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Close = true
	ctx, cancel := context.WithCancel(context.Background())
	e := &Entry{Request: r.WithContext(ctx), Status: 304}
	p, err := Parse("%b %B %S %u %{k}r %A %p %{c}L %X %q")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(p.Append(nil, e)), "- 0 - - - - - - - "; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	cancel()
	if got := string(p.Append(nil, e)); !strings.Contains(got, " X ") {
		t.Errorf("aborted: %q", got)
	}
	if !p.NeedsApp() {
		t.Error("%S needs the application")
	}
	if p, _ := Parse(`%h "%r" %s`); p.NeedsApp() {
		t.Error("nothing here needs the application")
	}
}

func TestBadPatterns(t *testing.T) {
	for pattern, want := range map[string]string{
		"": "empty", "%": "column 1", "abc %Z": "column 5: unknown code %Z", "%{x}q": "unknown code %{x}q", "%{abc": "without }", "%{abc}": "without }",
		"%{nope}a": "want remote or peer", "%{x}p": "want local", "%{x}T": "want ns", "%{x}L": "want c", "%{yyyy-QQ}t": "not a letter", "%{'x}t": "not closed", "%h\n": "one line",
	} {
		if _, err := Parse(pattern); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", pattern, err, want)
		}
	}
}

func TestJSON(t *testing.T) {
	p, err := ParseJSON(Combined + ` %D %{fracsec}T %{c}c %{peer}a %h`)
	if err != nil {
		t.Fatal(err)
	}
	line := p.Append(nil, entry())
	var got map[string]any
	if err := json.Unmarshal(line, &got); err != nil {
		t.Fatalf("%v in %s", err, line)
	}
	if got["statusCode"] != 200.0 || got["request"] != "GET /a/b?x=1&y=%22 HTTP/1.1" || got["elapsedTime"] != 2345678.0 || got["user"] != "-" ||
		got["requestHeaders"].(map[string]any)["User-Agent"] != "evil\" \\ \n\x01éÿ😀" || got["cookies"].(map[string]any)["c"] != "v" || got["remoteAddr-peer"] != "10.0.0.9" {
		t.Errorf("got %s", line)
	}
}

// FuzzParse checks that a line stays one line, and JSON stays JSON, whatever the
// client sends.
func FuzzParse(f *testing.F) {
	f.Add(Combined, "curl\"\r\n")
	f.Add("%{yyyy}t %{x}c %X%%", "\xff\x00\x7f")
	f.Fuzz(func(t *testing.T, pattern, value string) {
		e := entry()
		e.Request.Header["User-Agent"] = []string{value}
		e.Request.Method, e.Request.RequestURI = value, value
		p, err := Parse(pattern)
		if err != nil {
			return
		}
		for _, c := range p.Append(nil, e) {
			if c == '\n' || c == '\r' {
				t.Fatalf("a line end in the line of %q", pattern)
			}
		}
		j, err := ParseJSON(pattern)
		if err != nil {
			t.Fatal(err)
		}
		if line := j.Append(nil, e); !json.Valid(line) {
			t.Fatalf("not JSON: %s", line)
		}
	})
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

// put writes a line at a time.
func put(l *File, at time.Time, text string) {
	line := NewLine()
	line.Text, line.At = append(line.Text, text...), at
	l.Write(line)
}

func TestRotation(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "logs")
	now := time.Date(2026, 11, 22, 23, 59, 59, 0, time.UTC)
	l, err := Open(FileOptions{Directory: dir, Prefix: "a", Suffix: ".txt", MaxSize: 10, MaxDays: 2, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"12345\n", "123\n", "new\n"} {
		put(l, now, s)
	}
	now = now.Add(time.Second)
	put(l, now, "tomorrow\n")
	want := []string{"a.2026-11-22.1.txt", "a.2026-11-22.txt", "a.2026-11-23.txt"}
	if got := names(t, dir); !slices.Equal(got, want) {
		t.Errorf("files %v, want %v", got, want)
	}
	now = now.AddDate(0, 0, 3)
	put(l, now, "later\n")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	put(l, now, "too late\n")
	if got, want := names(t, dir), []string{"a.2026-11-26.txt"}; !slices.Equal(got, want) {
		t.Errorf("files %v, want %v", got, want)
	}
}

func TestHourlyAndBuffered(t *testing.T) {
	dir := t.TempDir()
	now := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	l, err := Open(FileOptions{Directory: dir, Prefix: "a", Rotation: Hourly, Flush: time.Hour, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	put(l, now, "x\n")
	file := filepath.Join(dir, "a.2026-01-02.03")
	if data, _ := os.ReadFile(file); len(data) != 0 {
		t.Errorf("written at once: %q", data)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if data, _ := os.ReadFile(file); string(data) != "x\n" {
		t.Errorf("got %q", data)
	}
}

// TestManyWriters: requests that end at the same time do not wait for one another, and none
// of their lines is lost, doubled or torn; those of one client stay in their order.
func TestManyWriters(t *testing.T) {
	const writers, each = 8, 3000
	dir := t.TempDir()
	l, err := Open(FileOptions{Directory: dir, Prefix: "a", Rotation: Never, Flush: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				put(l, time.Now(), fmt.Sprintf("%d %d %s\n", w, i, strings.Repeat("x", i%200)))
			}
		})
	}
	wg.Wait()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if n := l.pile.bytes.Load(); n != 0 || l.pile.top.Load() != nil {
		t.Errorf("%d bytes still wait", n)
	}
	data, err := os.ReadFile(filepath.Join(dir, "a"))
	if err != nil {
		t.Fatal(err)
	}
	var next [writers]int
	for line := range strings.Lines(string(data)) {
		var w, i int
		var x string
		if _, err := fmt.Sscan(line, &w, &i, &x); err != nil && i%200 != 0 || i != next[w] || len(x) != i%200 {
			t.Fatalf("line %q where %d of writer %d was expected: %v", line, next[w], w, err)
		}
		next[w]++
	}
	if want := [writers]int{each, each, each, each, each, each, each, each}; next != want {
		t.Errorf("%v lines, want %d each", next, each)
	}
}

// TestLinesDoNotPileUp: a lot is written before its time is up, and what comes after Close
// is not kept.
func TestLinesDoNotPileUp(t *testing.T) {
	dir := t.TempDir()
	l, err := Open(FileOptions{Directory: dir, Prefix: "a", Rotation: Never, Flush: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Repeat("x", 999) + "\n"
	for range 200 {
		put(l, time.Now(), text)
	}
	if n := l.pile.bytes.Load(); n >= bufferSize {
		t.Errorf("%d bytes wait", n)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for range 200 {
		put(l, time.Now(), text)
	}
	if n := l.pile.bytes.Load(); n >= bufferSize {
		t.Errorf("%d bytes wait for a file that is closed", n)
	}
	if info, err := os.Stat(filepath.Join(dir, "a")); err != nil || info.Size() != 200_000 {
		t.Errorf("%v, %v", info, err)
	}
}

func TestUnwritable(t *testing.T) {
	dir := t.TempDir()
	blocked := filepath.Join(dir, "file")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(FileOptions{Directory: blocked, Prefix: "a"}); err == nil {
		t.Error("a file as directory: no error")
	}
	var log strings.Builder
	now := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	logs := filepath.Join(dir, "logs")
	l, err := Open(FileOptions{Directory: logs, Prefix: "a", Rotation: Hourly, Now: func() time.Time { return now }, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(logs); err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Hour)
	for i := range 3 {
		put(l, now, fmt.Sprintf("%d\n", i))
	}
	if n := strings.Count(log.String(), "cannot be written"); n != 1 {
		t.Errorf("reported %d times:\n%s", n, log.String())
	}
	if err := os.Mkdir(logs, 0o750); err != nil {
		t.Fatal(err)
	}
	put(l, now, "back\n")
	if !strings.Contains(log.String(), "lines_lost=3") {
		t.Errorf("log:\n%s", log.String())
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func BenchmarkCommon(b *testing.B) {
	p, err := Parse("common")
	if err != nil {
		b.Fatal(err)
	}
	e := entry()
	buf := make([]byte, 0, 256)
	b.ReportAllocs()
	for b.Loop() {
		buf = p.Append(buf[:0], e)
	}
}

// BenchmarkWrite is the way of a line into the file, with several requests at a time.
func BenchmarkWrite(b *testing.B) {
	l, err := Open(FileOptions{Directory: b.TempDir(), Prefix: "a", Rotation: Never, Flush: time.Second})
	if err != nil {
		b.Fatal(err)
	}
	now := time.Now()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			put(l, now, "127.0.0.1 - - [22/Nov/2026:06:07:08 +0100] \"GET /bench/hello HTTP/1.1\" 200 6\n")
		}
	})
	b.StopTimer()
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
}

// The text of a second is kept, so lines of one second, of the next and of another
// time zone must not get each other's.
func TestTimeOfLinesThatShareASecond(t *testing.T) {
	p, err := Parse("%t")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 3, 29, 1, 59, 59, 0, time.UTC)
	berlin := time.FixedZone("", 3600)
	for _, c := range []struct {
		at   time.Time
		want string
	}{
		{at, "[29/Mar/2026:01:59:59 +0000]"},
		{at.Add(999 * time.Millisecond), "[29/Mar/2026:01:59:59 +0000]"},
		{at.In(berlin), "[29/Mar/2026:02:59:59 +0100]"},
		{at.Add(time.Second), "[29/Mar/2026:02:00:00 +0000]"},
		{at, "[29/Mar/2026:01:59:59 +0000]"},
	} {
		if got := string(p.Append(nil, &Entry{Start: c.at})); got != c.want {
			t.Errorf("%v: got %s, want %s", c.at, got, c.want)
		}
	}
}

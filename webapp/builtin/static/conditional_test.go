package static

import (
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestPrecondition ports Tomcat's TestDefaultServletRfc9110Section13: each
// condition with each kind of tag, on a file that is there and one that is not.
func TestPrecondition(t *testing.T) {
	modified := time.Date(2021, 1, 2, 3, 4, 5, 0, time.UTC)
	const (
		same   = "Sat, 02 Jan 2021 03:04:05 GMT"
		before = "Fri, 01 Jan 2021 00:00:00 GMT"
		after  = "Sun, 03 Jan 2021 00:00:00 GMT"
	)
	for _, tt := range []struct {
		headers   string // "Name: value; Name: value"
		get       int    // strong tag "a", GET and HEAD
		put       int    // the same, PUT, POST and DELETE
		weakGet   int    // weak tag W/"a", GET
		missing   int    // nothing there, GET
		missedPut int    // nothing there, PUT
	}{
		{"", 0, 0, 0, 0, 0},
		{`If-Match: *`, 0, 0, 0, 412, 412},
		{`If-Match: "a"`, 0, 0, 412, 412, 412},
		{`If-Match: "x", "a"`, 0, 0, 412, 412, 412},
		{`If-Match: W/"a"`, 412, 412, 412, 412, 412},
		{`If-Match: "b"`, 412, 412, 412, 412, 412},
		{`If-Match: a`, 400, 400, 400, 400, 400},
		{`If-Match: `, 400, 400, 400, 400, 400},
		{`If-None-Match: *`, 304, 412, 304, 0, 0},
		{`If-None-Match: "a"`, 304, 412, 304, 0, 0},
		{`If-None-Match: W/"a"`, 304, 412, 304, 0, 0},
		{`If-None-Match: "b"`, 0, 0, 0, 0, 0},
		{`If-None-Match: "b", W/"a"`, 304, 412, 304, 0, 0},
		{`If-None-Match: b`, 400, 400, 400, 400, 400},
		{"If-Unmodified-Since: " + same, 0, 0, 0, 0, 0},
		{"If-Unmodified-Since: " + after, 0, 0, 0, 0, 0},
		{"If-Unmodified-Since: " + before, 412, 412, 412, 0, 0},
		{"If-Unmodified-Since: never", 0, 0, 0, 0, 0},
		{"If-Modified-Since: " + same, 304, 0, 304, 0, 0},
		{"If-Modified-Since: " + after, 304, 0, 304, 0, 0},
		{"If-Modified-Since: " + before, 0, 0, 0, 0, 0},
		{"If-Modified-Since: never", 0, 0, 0, 0, 0},
		// The order of §13.2.2: tags before dates, If-Match before If-None-Match.
		{`If-Match: "a"; If-Unmodified-Since: ` + before, 0, 0, 412, 412, 412},
		{`If-None-Match: "b"; If-Modified-Since: ` + same, 0, 0, 0, 0, 0},
		{`If-None-Match: "a"; If-Modified-Since: ` + before, 304, 412, 304, 0, 0},
		{`If-Match: "b"; If-None-Match: "a"`, 412, 412, 412, 412, 412},
		{`If-Match: "a"; If-None-Match: "a"`, 304, 412, 412, 412, 412},
		{"If-Unmodified-Since: " + before + `; If-None-Match: "a"`, 412, 412, 412, 0, 0},
	} {
		check := func(method string, exists bool, tag etag, want int) {
			t.Helper()
			r := httptest.NewRequest(method, "/", nil)
			for h := range strings.SplitSeq(tt.headers, "; ") {
				if name, value, ok := strings.Cut(h, ":"); ok {
					r.Header.Add(name, strings.TrimSpace(value))
				}
			}
			m := modified
			if !exists {
				m = time.Time{}
			}
			if got := precondition(r, exists, tag, m); got != want {
				t.Errorf("%s with %q, tag %s: %d, want %d", method, tt.headers, tag, got, want)
			}
		}
		for _, m := range []string{"GET", "HEAD"} {
			check(m, true, `"a"`, tt.get)
		}
		for _, m := range []string{"PUT", "POST", "DELETE"} {
			check(m, true, `"a"`, tt.put)
		}
		check("GET", true, `W/"a"`, tt.weakGet)
		check("GET", false, "", tt.missing)
		check("PUT", false, "", tt.missedPut)
	}
}

func TestParseETagList(t *testing.T) {
	for value, want := range map[string]string{
		`"a"`: `"a"`, `W/"a"`: `W/"a"`, ` "a" , W/"b" `: `"a" W/"b"`, `,,"a",,"b",`: `"a" "b"`, `"a,b"`: `"a,b"`, `""`: `""`, "\"\xc3\xa9\"": "\"\xc3\xa9\"",
	} {
		tags, all, ok := parseETagList(value)
		var got []string
		for _, e := range tags {
			got = append(got, string(e))
		}
		if !ok || all || strings.Join(got, " ") != want {
			t.Errorf("parseETagList(%q) = %q, %v, %v", value, got, all, ok)
		}
	}
	if _, all, ok := parseETagList(" * "); !all || !ok {
		t.Error("* is not taken for any")
	}
	for _, bad := range []string{"", ",", "a", `"a`, `w/"a"`, `"a" "b"`, `"a""b"`, `*, "a"`, `"a", *`, `W/`, `W/a`, `"a b"`, "'a'"} {
		if _, _, ok := parseETagList(bad); ok {
			t.Errorf("parseETagList(%q): accepted", bad)
		}
	}
}

func FuzzParseETagList(f *testing.F) {
	for _, s := range []string{`"a", W/"b"`, "*", `"a""b"`, ",,", `W/"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		tags, all, ok := parseETagList(s)
		if !ok || all {
			return
		}
		// What has been read reads the same again.
		var list []string
		for _, e := range tags {
			list = append(list, string(e))
		}
		again, _, ok := parseETagList(strings.Join(list, ", "))
		if !ok || !slices.Equal(tags, again) {
			t.Errorf("%q: %q, and again %q", s, tags, again)
		}
	})
}

func TestIfRange(t *testing.T) {
	modified := time.Date(2021, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, tt := range []struct {
		value  string
		tag    etag
		valid  bool
		status int
	}{
		{`"a"`, `"a"`, true, 0},
		{`"b"`, `"a"`, false, 0},
		{`W/"a"`, `W/"a"`, false, 0},
		{`"a"`, `W/"a"`, false, 0},
		{"Sat, 02 Jan 2021 03:04:05 GMT", `W/"a"`, true, 0},
		{"Saturday, 02-Jan-21 03:04:05 GMT", `W/"a"`, true, 0},
		{"Sun, 03 Jan 2021 03:04:05 GMT", `W/"a"`, false, 0},
		{"a", `"a"`, false, 400},
		{"", `"a"`, false, 400},
		{"*", `"a"`, false, 400},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("If-Range", tt.value)
		if valid, status := rangeStillValid(r, tt.tag, modified); valid != tt.valid || status != tt.status {
			t.Errorf("If-Range: %s for %s: %v, %d", tt.value, tt.tag, valid, status)
		}
	}
	if valid, _ := rangeStillValid(httptest.NewRequest("GET", "/", nil), `"a"`, modified); !valid {
		t.Error("without If-Range a range is valid")
	}
}

func TestChoose(t *testing.T) {
	codings := defaultCodings // br, zstd, gzip
	all := func(int) bool { return true }
	for accept, want := range map[string]int{
		"": -1, "gzip": 2, "br": 0, "zstd": 1, "GZIP": 2, "x-gzip": 2, "gzip, br": 0, "br;q=0.5, gzip;q=0.9": 2, "*": 0, "*;q=0": -1, "gzip;q=0": -1,
		"identity": -1, "identity, br": 0, "identity;q=1, gzip;q=0.5": -1, "br;q=0, *": 1, "gzip;q=1.0, identity;q=0.5, *;q=0": 2, "gzip;q=abc": -1,
		"gzip;q=2": 2, "gzip;;q=1": 2, "gzip ; q=0.8": 2, "br;level=3": 0, "deflate": -1, ",,gzip,,": 2, "gzip;q=NaN": -1, "gzip;q=-1": -1, "identity;q=0": -1,
	} {
		if got := choose(accept, codings, all); got != want {
			t.Errorf("choose(%q) = %d, want %d", accept, got, want)
		}
	}
	if got := choose("br, gzip", codings, func(i int) bool { return i == 2 }); got != 2 {
		t.Errorf("with .gz only: %d, want 2", got)
	}
}

func FuzzChoose(f *testing.F) {
	for _, s := range []string{"gzip;q=1.0, identity;q=0.5, *;q=0", "*", "br;q=", "gzip;q=0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, accept string) {
		q, identity := quality(accept, defaultCodings)
		for _, w := range append(q, identity) {
			if !(w >= 0 && w <= 1) {
				t.Errorf("%q: a quality of %v", accept, w)
			}
		}
		choose(accept, defaultCodings, func(int) bool { return true })
	})
}

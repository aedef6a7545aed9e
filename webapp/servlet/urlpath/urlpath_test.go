package urlpath

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		raw, clean string
		err        error
	}{
		{"/", "/", nil},
		{"/a/b.txt", "/a/b.txt", nil},
		{"/a/b/", "/a/b/", nil},
		{"//a///b//", "/a/b/", nil},
		{"/a/./b", "/a/b", nil},
		{"/a/.", "/a", nil},
		{"/a/./", "/a/", nil},
		{"/a/..", "/", nil},
		{"/a/b/..", "/a", nil},
		{"/a/b/../", "/a/", nil},
		{"/a/../../b", "", ErrAbove},
		{"/..", "", ErrAbove},
		{"/..;x=1/a", "", ErrAbove},
		{"/%2e%2e/a", "", ErrAbove},
		{"/a/.%2E/b", "/b", nil},
		{"/...", "/...", nil},
		{"/..hidden/.x", "/..hidden/.x", nil},
		{"/a;x=1/b;y/c;", "/a/b/c", nil},
		{"/;x/a", "/a", nil},
		{"/a/;x", "/a/", nil},
		{"/a%3bx/b", "/a;x/b", nil},
		{"/%61%70p", "/app", nil},
		{"/%25", "/%", nil},
		{"/%252f", "/%2f", nil},
		{"/%c3%a9", "/é", nil},
		{"/%c3", "", ErrUTF8},
		{"/%c0%af", "", ErrUTF8},
		{"/%2f", "", ErrSlash},
		{"/a%5cb", "", ErrSlash},
		{`/a\b`, "", ErrSlash},
		{"/a%00", "", ErrNUL},
		{"/a;%00", "/a", nil},
		{"/a\x00", "", ErrNUL},
		{"/a%2", "", ErrEncoding},
		{"/a%zz", "", ErrEncoding},
		{"/%u002f", "", ErrEncoding},
		{"/é", "", ErrCharacter},
		{"/<>", "", ErrCharacter},
		{"/a b", "", ErrCharacter},
		{"/%7f+", "/\x7f+", nil},
		{"", "", ErrNotAbsolute},
		{"*", "", ErrNotAbsolute},
		{";/e/a", "", ErrNotAbsolute},
	} {
		p, err := Parse(c.raw, Options{})
		if !errors.Is(err, c.err) || err == nil && p.Clean != c.clean {
			t.Errorf("Parse(%q) = %q, %v; want %q, %v", c.raw, p.Clean, err, c.clean, c.err)
		}
	}
}

func TestParseInternal(t *testing.T) {
	for _, c := range []struct {
		raw, clean string
		err        error
	}{
		{`/pub\a.txt`, "/pub/a.txt", nil},
		{"/WEB-INF%2fsecret", "/WEB-INF/secret", nil},
		{"/a b/é", "/a b/é", nil},
		{"/../x", "", ErrAbove},
		{`/x\..\..\y`, "", ErrAbove},
		{"/x%00", "", ErrNUL},
	} {
		p, err := Parse(c.raw, Options{Internal: true})
		if !errors.Is(err, c.err) || err == nil && p.Clean != c.clean {
			t.Errorf("Parse(%q) = %q, %v; want %q, %v", c.raw, p.Clean, err, c.clean, c.err)
		}
	}
}

func TestFromRequest(t *testing.T) {
	for _, c := range []struct{ target, clean string }{
		{"/a%20b?x=/../y", "/a b"},
		{"http://example.test/a/../b", "/b"},
		{"http://example.test", "/"},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RequestURI = c.target
		if p, err := FromRequest(r); err != nil || p.Clean != c.clean {
			t.Errorf("FromRequest(%q) = %q, %v; want %q", c.target, p.Clean, err, c.clean)
		}
	}
	for _, target := range []string{"*", "e/a", "http:/e/a"} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RequestURI = target
		if p, err := FromRequest(r); err == nil {
			t.Errorf("FromRequest(%q) = %q, want an error", target, p.Clean)
		}
	}
}

func TestProtected(t *testing.T) {
	for p, want := range map[string]bool{
		"/WEB-INF": true, "/web-inf/x": true, "/Meta-Inf/": true, "/META-INF": true,
		"/WEB-INFX": false, "/x/WEB-INF": false, "/WEB-INF./x": false, "/": false, "": false,
		"/WEB-ıNF/x": false, // a dotless i is another letter, and another file name
	} {
		if got := Protected(p); got != want {
			t.Errorf("Protected(%q) = %v, want %v", p, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"/", "/a/../b", "/%2e%2e/x", "/a;b/c", "//x/./y/..", "/WEB-INF/web.xml", "/%57EB-INF;x/..;/a", `/a\..\b`, "/%252e%252e/", "/é%c3%a9"} {
		f.Add(s, false)
		f.Add(s, true)
	}
	f.Fuzz(func(t *testing.T, raw string, internal bool) {
		p, err := Parse(raw, Options{Internal: internal})
		if err != nil {
			return
		}
		c := p.Clean
		if !strings.HasPrefix(c, "/") || strings.Contains(c, "//") || strings.ContainsAny(c, "\x00\\") || !utf8.ValidString(c) {
			t.Fatalf("Parse(%q) = %q is not clean", raw, c)
		}
		for _, seg := range strings.Split(c, "/") {
			if seg == "." || seg == ".." {
				t.Fatalf("Parse(%q) = %q has a dot segment", raw, c)
			}
			if strings.EqualFold(seg, "WEB-INF") && strings.HasPrefix(c, "/"+seg) && !Protected(c) {
				t.Fatalf("Parse(%q) = %q reaches WEB-INF", raw, c)
			}
		}
	})
}

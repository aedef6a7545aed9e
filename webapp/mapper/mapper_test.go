package mapper

import (
	"testing"

	"github.com/serval-server/serval/webapp/servlet"
)

// TestHost follows Tomcat's TestMapper (tomcat.md F1).
func TestHost(t *testing.T) {
	var entries []Entry[string]
	for _, p := range []string{"", "/foo", "/foo/bar", "/foo/bar/bla", "/longer/than/the/rest"} {
		entries = append(entries, Entry[string]{Path: p, App: "ctx " + p})
	}
	h, err := NewHost(entries)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"/": "ctx ", "/fo": "ctx ", "/foo": "ctx /foo", "/foo/": "ctx /foo", "/foobar": "ctx ",
		"/foo/bar/blah/bobou/foo": "ctx /foo/bar", "/foo/bar/bla": "ctx /foo/bar/bla",
		"/foo/bar/bla/x/y/z/a/b/c/d/e/f/g": "ctx /foo/bar/bla", "/longer/than/the": "ctx ",
	} {
		if e, ok := h.Map(path, nil); !ok || e.App != want {
			t.Errorf("Map(%q) = %q, %v; want %q", path, e.App, ok, want)
		}
	}
	if _, err := NewHost(append(entries, Entry[string]{Path: "/foo"})); err == nil {
		t.Error("a path that is there twice was accepted")
	}
	if _, err := NewHost([]Entry[string]{{Path: "foo"}}); err == nil {
		t.Error("a path without slash was accepted")
	}
	none, _ := NewHost[string](nil)
	if _, ok := none.Map("/x", nil); ok {
		t.Error("a host without applications mapped something")
	}
}

func TestHostVersions(t *testing.T) {
	h, err := NewHost([]Entry[string]{{"/a", "", "v"}, {"/a", "2", "v2"}, {"/a", "10", "v10"}, {"", "1", "root"}})
	if err != nil {
		t.Fatal(err)
	}
	// As in Tomcat, versions compare as strings.
	if e, _ := h.Map("/a/x", nil); e.App != "v2" {
		t.Errorf("the newest is %q, want v2", e.App)
	}
	if e, _ := h.Map("/a/x", func(s string) bool { return s == "v" }); e.App != "v" {
		t.Errorf("the session's is %q, want v", e.App)
	}
	if e, _ := h.Map("/a/x", func(string) bool { return false }); e.App != "v2" {
		t.Errorf("without a session it is %q, want v2", e.App)
	}
	if e, _ := h.Map("/", func(string) bool { t.Error("asked though there is one only"); return false }); e.App != "root" {
		t.Errorf("the root is %q", e.App)
	}
}

func TestTable(t *testing.T) {
	files := map[string]bool{"/w/index.jsp": true, "/w2/index.html": true}
	tab, err := NewTable(Config{
		Mappings: []Mapping{
			{Pattern: "/", Servlet: "default"},
			{Pattern: "/fo/*", Servlet: "fo"}, {Pattern: "/foo/bar/*", Servlet: "foobar"},
			{Pattern: "/exact", Servlet: "exact"}, {Pattern: "*.do", Servlet: "do"},
			{Pattern: "*.jsp", Servlet: "jsp", ResourceOnly: true}, {Pattern: "", Servlet: "root"},
			{Pattern: "/exact.do", Servlet: "exactdo"},
		},
		Welcome: []string{"index.jsp", "index.html", "index.do"},
		IsFile:  func(p string) bool { return files[p] },
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path, sv, sp, pi string
		match            servlet.MappingMatch
		value            string
	}{
		{"/", "root", "", "/", servlet.ContextRootMatch, ""},
		{"/exact", "exact", "/exact", "", servlet.ExactMatch, "exact"},
		{"/exact/", "do", "/exact/index.do", "", servlet.ExtensionMatch, "exact/index"},
		{"/exact.do", "exactdo", "/exact.do", "", servlet.ExactMatch, "exact.do"},
		{"/fo", "fo", "/fo", "", servlet.PathMatch, ""},
		{"/fo/", "fo", "/fo", "/", servlet.PathMatch, ""},
		{"/fo/a/b.do", "fo", "/fo", "/a/b.do", servlet.PathMatch, "a/b.do"},
		{"/foo/bar/x", "foobar", "/foo/bar", "/x", servlet.PathMatch, "x"},
		{"/foo", "default", "/foo", "", servlet.DefaultMatch, ""},
		{"/a.b/c", "default", "/a.b/c", "", servlet.DefaultMatch, ""},
		{"/a/b.do", "do", "/a/b.do", "", servlet.ExtensionMatch, "a/b"},
		{"/w/", "jsp", "/w/index.jsp", "", servlet.ExtensionMatch, "w/index"},
		{"/w2/", "default", "/w2/index.html", "", servlet.DefaultMatch, ""},
		{"/w3/", "do", "/w3/index.do", "", servlet.ExtensionMatch, "w3/index"},
	} {
		m, ok := tab.Map(c.path)
		if !ok || m.Servlet != c.sv || m.ServletPath != c.sp || m.PathInfo != c.pi || m.Match != c.match || m.Value != c.value {
			t.Errorf("Map(%q) = %+v, %v", c.path, m, ok)
		}
	}
	if m, ok := tab.Map(""); !ok || !m.Redirect {
		t.Errorf("the bare context path: %+v, %v; want a redirect", m, ok)
	}
}

func TestTableRoot(t *testing.T) {
	tab, err := NewTable(Config{Mappings: []Mapping{{Pattern: "/*", Servlet: "all"}}})
	if err != nil {
		t.Fatal(err)
	}
	if m, ok := tab.Map(""); !ok || m.Servlet != "all" || m.Redirect || m.PathInfo != "" {
		t.Errorf("Map() = %+v, %v", m, ok)
	}
	none, _ := NewTable(Config{NoRootRedirect: true})
	if _, ok := none.Map(""); ok {
		t.Error("a table without mappings mapped something")
	}
}

func TestCheckPattern(t *testing.T) {
	for p, ok := range map[string]bool{"": true, "/": true, "/*": true, "/a/*": true, "*.do": true, "/a*": true, "*.a.b": true,
		"a": false, "*": false, "/a/*.do": false, "*.a/b": false, "/a\n": false} {
		if err := CheckPattern(p); (err == nil) != ok {
			t.Errorf("CheckPattern(%q) = %v", p, err)
		}
	}
}

func TestMatchPattern(t *testing.T) {
	for _, c := range []struct {
		pattern, path string
		want          bool
	}{
		{"/*", "/x", true}, {"/*", "", true}, {"/", "/", true}, {"/", "/x", false}, {"/a/*", "/a", true}, {"/a/*", "/a/b", true}, {"/a/*", "/ab", false},
		{"*.do", "/x.do", true}, {"*.do", "/x.do/y", false}, {"", "/", true}, {"/a", "/a", true}, {"/a", "/a/", false},
	} {
		if got := MatchPattern(c.pattern, c.path); got != c.want {
			t.Errorf("MatchPattern(%q, %q) = %v", c.pattern, c.path, got)
		}
	}
}

func FuzzTable(f *testing.F) {
	tab, err := NewTable(Config{Mappings: []Mapping{{Pattern: "/a/*", Servlet: "a"}, {Pattern: "/a/b/c/*", Servlet: "c"}, {Pattern: "*.x", Servlet: "x"}, {Pattern: "/", Servlet: "d"}},
		Welcome: []string{"i.x"}})
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{"/", "/a", "/a/b/c/d", "/q.x", "/z/", "/a/b/c.x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, path string) {
		if path == "" || path[0] != '/' {
			return
		}
		m, ok := tab.Map(path)
		if !ok || m.ServletPath+m.PathInfo != m.Path || m.Path != path && path[len(path)-1] != '/' {
			t.Fatalf("Map(%q) = %+v, %v", path, m, ok)
		}
	})
}

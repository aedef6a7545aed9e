package deploy

import (
	"strings"
	"testing"
)

// TestNameForms holds the 22 forms of Tomcat's TestContextName.
func TestNameForms(t *testing.T) {
	tests := []struct {
		label                        string
		got                          Name
		base, path, ver, name, human string
	}{
		{"nothing", MakeName("", ""), "ROOT", "", "", "", "/"},
		{"empty path", MakeName("", ""), "ROOT", "", "", "", "/"},
		{"slash", MakeName("/", ""), "ROOT", "", "", "", "/"},
		{"/foo", MakeName("/foo", ""), "foo", "/foo", "", "/foo", "/foo"},
		{"/foo/bar", MakeName("/foo/bar", ""), "foo#bar", "/foo/bar", "", "/foo/bar", "/foo/bar"},
		{"version A", MakeName("", "A"), "ROOT##A", "", "A", "##A", "/##A"},
		{"version B", MakeName("", "B"), "ROOT##B", "", "B", "##B", "/##B"},
		{"slash, version C", MakeName("/", "C"), "ROOT##C", "", "C", "##C", "/##C"},
		{"/foo, D", MakeName("/foo", "D"), "foo##D", "/foo", "D", "/foo##D", "/foo##D"},
		{"/foo/bar, E", MakeName("/foo/bar", "E"), "foo#bar##E", "/foo/bar", "E", "/foo/bar##E", "/foo/bar##E"},
		{"ROOT", ParseFileName("ROOT", false), "ROOT", "", "", "", "/"},
		{"foo", ParseFileName("foo", false), "foo", "/foo", "", "/foo", "/foo"},
		{"foo#bar", ParseFileName("foo#bar", false), "foo#bar", "/foo/bar", "", "/foo/bar", "/foo/bar"},
		{"ROOT##A", ParseFileName("ROOT##A", false), "ROOT##A", "", "A", "##A", "/##A"},
		{"foo##D", ParseFileName("foo##D", false), "foo##D", "/foo", "D", "/foo##D", "/foo##D"},
		{"foo#bar##E", ParseFileName("foo#bar##E", false), "foo#bar##E", "/foo/bar", "E", "/foo/bar##E", "/foo/bar##E"},
		{"/ROOT", MakeName("/ROOT", ""), "ROOT", "", "", "", "/"},
		{"/ROOT#bar", ParseFileName("/ROOT#bar", false), "ROOT#bar", "/ROOT/bar", "", "/ROOT/bar", "/ROOT/bar"},
		{"/ROOT#bar##A", ParseFileName("/ROOT#bar##A", false), "ROOT#bar##A", "/ROOT/bar", "A", "/ROOT/bar##A", "/ROOT/bar##A"},
		{"/ROOT##A", ParseFileName("/ROOT##A", false), "ROOT##A", "", "A", "##A", "/##A"},
		{"folder foo.war", ParseFileName("foo.war", false), "foo.war", "/foo.war", "", "/foo.war", "/foo.war"},
		{"file foo.war", ParseFileName("foo.war", true), "foo", "/foo", "", "/foo", "/foo"},
		{"file foo.ZIP", ParseFileName("foo.ZIP", true), "foo", "/foo", "", "/foo", "/foo"},
		{"file foo##1.xml", ParseFileName("foo##1.xml", true), "foo##1", "/foo", "1", "/foo##1", "/foo##1"},
		{"path without slash", MakeName("foo", "A"), "foo##A", "/foo", "A", "/foo##A", "/foo##A"},
	}
	for _, tt := range tests {
		t.Run(tt.label, func(t *testing.T) {
			n := tt.got
			if n.BaseName() != tt.base || string(n.Path) != tt.path || string(n.Version) != tt.ver ||
				n.String() != tt.name || n.Display() != tt.human {
				t.Errorf("got base %q path %q version %q name %q display %q", n.BaseName(), n.Path, n.Version, n, n.Display())
			}
			for _, spelling := range []string{n.BaseName(), n.String(), n.Display()} {
				if again := ParseName(spelling); again != n {
					t.Errorf("ParseName(%q) = %+v, want %+v", spelling, again, n)
				}
			}
		})
	}
}

func TestNameCheck(t *testing.T) {
	for _, base := range []string{"ROOT", "foo", "foo#bar", "foo##1.2", "a b", "größe", "foo.bar", "ROOT##2", "foo##", "##", "foo##bar"} {
		if err := ParseName(base).Check(); err != nil {
			t.Errorf("%s: %v", base, err)
		}
	}
	for _, base := range []string{
		"foo#..#bar", "..", ".", "foo##a/b", "foo#", "#foo", "WEB-INF", "meta-inf", "META-INF#x",
		"a\\b", "a;b", "a\nb", "foo##a\\b", "foo##\x00",
	} {
		if n := ParseName(base); n.Check() == nil {
			t.Errorf("%q: accepted as %+v", base, n)
		}
	}
}

func TestVersionOrder(t *testing.T) {
	ordered := []Name{{"", ""}, {"", "1"}, {"/a", ""}, {"/a", "001"}, {"/a", "11"}, {"/a", "2"}, {"/a/b", ""}}
	for i := 1; i < len(ordered); i++ {
		if compareNames(ordered[i-1], ordered[i]) >= 0 {
			t.Errorf("%v does not come before %v", ordered[i-1], ordered[i])
		}
	}
}

// FuzzParseName checks that every spelling of an acceptable name reads back
// as the same name, and that its base name stays within one folder.
func FuzzParseName(f *testing.F) {
	for _, s := range []string{"ROOT", "foo#bar##2", "/foo/bar", "/##1", "a##b##c", "..", "/ROOT/", "###"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n := ParseName(s)
		if n.Check() != nil {
			return
		}
		if strings.ContainsAny(n.BaseName(), "/\\") || n.BaseName() == "." || n.BaseName() == ".." {
			t.Fatalf("base name %q leaves its folder", n.BaseName())
		}
		if strings.HasPrefix(string(n.Version), "#") {
			return // foo## and #1: the marker is found one character early, as in Tomcat
		}
		for _, spelling := range []string{n.BaseName(), n.String(), n.Display()} {
			if again := ParseName(spelling); again != n {
				t.Fatalf("%q of %+v reads back as %+v", spelling, n, again)
			}
		}
	})
}

package deploy

import (
	"fmt"
	"strings"
)

// ContextPath is the path below which a context answers: "" for the root
// context, otherwise a path such as "/shop" or "/shop/admin" that starts with
// a slash and does not end with one.
type ContextPath string

// Version is the version of a context, "" for none. Versions are ordered by
// plain string comparison ("" is the oldest, "11" comes before "2"), as in
// Tomcat's parallel deployment: pad numbers with zeros.
type Version string

const (
	rootName      = "ROOT"
	versionMarker = "##"
	pathReplace   = "#"
)

// Name identifies a context within its host: by path and version. The zero
// value is the root context without a version. Names are comparable.
type Name struct {
	Path    ContextPath
	Version Version
}

// MakeName builds a name from a context path and a version. The path may lack
// its leading slash; "/", "" and "/ROOT" are the root context.
func MakeName(path, version string) Name {
	path = strings.ReplaceAll(strings.TrimPrefix(path, "/"), pathReplace, "/")
	if path == "" || path == rootName {
		return Name{Version: Version(version)}
	}
	return Name{Path: ContextPath("/" + path), Version: Version(version)}
}

// ParseName reads a name from any of its spellings: a base name (foo#bar##2),
// a context name (/foo/bar##2) or a display name (/##2). The first ## splits
// off the version, # stands for a slash within the path, and ROOT (in capital
// letters) is the root context. It is the rule of Tomcat's ContextName.
func ParseName(s string) Name {
	path, version, _ := strings.Cut(s, versionMarker)
	return MakeName(path, version)
}

// ParseFileName reads the name of the context that a file or a folder of the
// appBase or the xmlBase stands for. An extension .war, .zip, .xml or .toml
// (in any case) is dropped if isFile; a folder keeps whatever its name ends in.
func ParseFileName(name string, isFile bool) Name {
	if isFile {
		name = stripExtension(name)
	}
	return ParseName(name)
}

// stripExtension drops the extension of a bundle or of a context file.
func stripExtension(name string) string {
	for _, ext := range [...]string{".war", ".zip", ".xml", ".toml"} {
		if hasSuffixFold(name, ext) {
			return name[:len(name)-len(ext)]
		}
	}
	return name
}

func hasSuffixFold(s, suffix string) bool {
	return len(s) >= len(suffix) && strings.EqualFold(s[len(s)-len(suffix):], suffix)
}

// BaseName is the name of the context's files without an extension: ROOT,
// foo, foo#bar, foo##42.
func (n Name) BaseName() string {
	base := rootName
	if n.Path != "" {
		base = strings.ReplaceAll(strings.TrimPrefix(string(n.Path), "/"), "/", pathReplace)
	}
	return base + n.suffix()
}

// String is the context name: the path, followed by ## and the version if
// there is one. The root context's is "" or ##version.
func (n Name) String() string { return string(n.Path) + n.suffix() }

// Display is the name for people: as String, but the root context is "/".
func (n Name) Display() string {
	if n.Path == "" {
		return "/" + n.suffix()
	}
	return n.String()
}

func (n Name) suffix() string {
	if n.Version == "" {
		return ""
	}
	return versionMarker + string(n.Version)
}

// Check reports why no context can have this name, or nil. A name that a URL
// could spell in two ways, or that would leave its folder as a file name, is
// refused: dot segments, empty segments, backslashes, control characters, and
// the semicolon that starts a path parameter.
func (n Name) Check() error {
	bad := func(r rune) bool { return r < 0x20 || r == 0x7f || r == '\\' || r == ';' }
	if strings.ContainsFunc(string(n.Path), bad) {
		return fmt.Errorf("context path %q: control characters, backslash and semicolon are not allowed", n.Path)
	}
	if strings.ContainsFunc(string(n.Version), bad) || strings.ContainsAny(string(n.Version), "/") {
		return fmt.Errorf("version %q of context path %q: control characters, slash, backslash and semicolon are not allowed", n.Version, n.Path)
	}
	if n.Path == "" {
		return nil
	}
	if !strings.HasPrefix(string(n.Path), "/") {
		return fmt.Errorf("context path %q: must be empty or start with a slash", n.Path)
	}
	for i, segment := range strings.Split(string(n.Path)[1:], "/") {
		switch {
		case segment == "" || segment == "." || segment == "..":
			return fmt.Errorf("context path %q: segment %q is not allowed", n.Path, segment)
		case i == 0 && hidden(segment):
			return fmt.Errorf("context path %q: a name that begins with a dot is not deployed", n.Path)
		case i == 0 && isReserved(segment):
			return fmt.Errorf("context path %q: %s is reserved", n.Path, segment)
		}
	}
	return nil
}

// hidden reports the name of a file that is no bundle's: editors, version
// control and unpacking leave such files.
func hidden(name string) bool { return strings.HasPrefix(name, ".") }

// isReserved reports whether a name directly in an appBase is not a bundle's.
func isReserved(name string) bool {
	return strings.EqualFold(name, "WEB-INF") || strings.EqualFold(name, "META-INF")
}

// compareNames orders by path, then by version, oldest first.
func compareNames(a, b Name) int {
	if c := strings.Compare(string(a.Path), string(b.Path)); c != 0 {
		return c
	}
	return strings.Compare(string(a.Version), string(b.Version))
}

package mapper

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/serval-server/serval/webapp/servlet"
)

// Mapping maps one url-pattern to a servlet.
type Mapping struct {
	Pattern string
	Servlet string
	// ResourceOnly says that a welcome file is looked for under an extension
	// of this servlet only if the file exists: pages that are files.
	ResourceOnly bool
}

// Config is what a Table is made from.
type Config struct {
	// Mappings are the descriptor's. Of two with the same pattern the later
	// one counts (an application's own follow those of the defaults).
	Mappings []Mapping
	// Welcome are the welcome files, in order.
	Welcome []string
	// IsFile reports that a path of the application is a file. Nil: none is.
	IsFile func(path string) bool
	// IsDir reports that a path is a folder. It is asked only with
	// DirectoryRedirect.
	IsDir func(path string) bool
	// NoRootRedirect maps the bare context path like any other instead of
	// redirecting it to the one with a slash
	// (mapperContextRootRedirectEnabled=false).
	NoRootRedirect bool
	// DirectoryRedirect redirects a folder's path to the one with a slash
	// before the default servlet does (mapperDirectoryRedirectEnabled=true).
	DirectoryRedirect bool
}

// Match is what a path was mapped to.
type Match struct {
	servlet.Mapping
	// ServletPath and PathInfo are the two parts of Path.
	ServletPath, PathInfo string
	// Path is the path that was mapped: the request's, or that of a welcome
	// file.
	Path string
	// Redirect says that the client has to ask again with a slash at the
	// path's end. Nothing else is set then.
	Redirect bool
}

// Table maps the paths of one application to its servlets.
type Table struct {
	cfg        Config
	root       *Mapping            // pattern ""
	exact      map[string]*Mapping // pattern "/a/b"
	prefix     map[string]*Mapping // pattern "/a/*" by "/a"; "/*" by ""
	extension  map[string]*Mapping // pattern "*.x" by "x"
	fallback   *Mapping            // pattern "/"
	longPrefix int                 // length of the longest key of prefix
}

// CheckPattern says what is wrong with a url-pattern (Servlet 6.1 §12.2).
func CheckPattern(p string) error {
	switch {
	case strings.ContainsAny(p, "\r\n"):
		return fmt.Errorf("url-pattern %q has a line break", p)
	case p == "":
		return nil
	case strings.HasPrefix(p, "*."):
		if strings.Contains(p, "/") {
			return fmt.Errorf("url-pattern %q: an extension pattern has no slash", p)
		}
		return nil
	case p[0] != '/':
		return fmt.Errorf("url-pattern %q: want %q, a path that begins with a slash, or *.extension", p, "")
	case strings.Contains(p, "*."):
		return fmt.Errorf("url-pattern %q: a path pattern cannot have *.extension in it", p)
	}
	return nil
}

// NewTable makes the table of an application. All bad patterns are reported.
func NewTable(cfg Config) (*Table, error) {
	t := &Table{
		cfg:       cfg,
		exact:     map[string]*Mapping{},
		prefix:    map[string]*Mapping{},
		extension: map[string]*Mapping{},
	}
	t.cfg.Mappings = slices.Clone(cfg.Mappings)
	var errs []error
	for i := range t.cfg.Mappings {
		m := &t.cfg.Mappings[i]
		if err := CheckPattern(m.Pattern); err != nil {
			errs = append(errs, err)
			continue
		}
		t.add(m)
	}
	return t, errors.Join(errs...)
}

func (t *Table) add(m *Mapping) {
	p := m.Pattern
	switch {
	case p == "":
		t.root = m
	case p == "/":
		t.fallback = m
	case strings.HasSuffix(p, "/*"):
		key := p[:len(p)-2]
		t.prefix[key] = m
		t.longPrefix = max(t.longPrefix, len(key))
	case strings.HasPrefix(p, "*."):
		t.extension[p[2:]] = m
	default:
		t.exact[p] = m
	}
}

// Map maps a path within the application: "" is the bare context path, all
// others begin with a slash. It returns false if there is no servlet for it.
func (t *Table) Map(path string) (Match, bool) {
	if m, ok := t.mapExact(path); ok {
		return m, true
	}
	if m, ok := t.mapPrefix(path); ok {
		return m, true
	}
	if path == "" {
		if !t.cfg.NoRootRedirect {
			return Match{Redirect: true}, true
		}
	} else {
		if m, ok := t.mapExtension(path, true); ok {
			return m, true
		}
		if path[len(path)-1] == '/' {
			if m, ok := t.mapWelcome(path); ok {
				return m, true
			}
		}
	}
	if t.cfg.DirectoryRedirect && path != "" && path[len(path)-1] != '/' && t.cfg.IsDir != nil && t.cfg.IsDir(path) {
		return Match{Redirect: true}, true
	}
	if t.fallback == nil {
		return Match{}, false
	}
	return t.mapDefault(path), true
}

func (t *Table) mapDefault(path string) Match {
	return Match{
		Mapping:     servlet.Mapping{Match: servlet.DefaultMatch, Pattern: "/", Servlet: t.fallback.Servlet},
		ServletPath: path, Path: path,
	}
}

func (t *Table) mapExact(path string) (Match, bool) {
	if path == "/" && t.root != nil {
		return Match{
			Mapping:  servlet.Mapping{Match: servlet.ContextRootMatch, Pattern: "", Servlet: t.root.Servlet},
			PathInfo: "/", Path: path,
		}, true
	}
	m := t.exact[path]
	if m == nil {
		return Match{}, false
	}
	return Match{
		Mapping:     servlet.Mapping{Match: servlet.ExactMatch, Value: strings.TrimPrefix(path, "/"), Pattern: m.Pattern, Servlet: m.Servlet},
		ServletPath: path, Path: path,
	}, true
}

// mapPrefix finds the longest pattern "/x/*" of which "/x" is the path or a
// whole-segment prefix of it.
func (t *Table) mapPrefix(path string) (Match, bool) {
	if len(t.prefix) == 0 {
		return Match{}, false
	}
	end := len(path)
	if end > t.longPrefix {
		end = strings.LastIndexByte(path[:t.longPrefix+1], '/')
	}
	for {
		if m := t.prefix[path[:end]]; m != nil {
			info := path[end:]
			return Match{
				Mapping:     servlet.Mapping{Match: servlet.PathMatch, Value: strings.TrimPrefix(info, "/"), Pattern: m.Pattern, Servlet: m.Servlet},
				ServletPath: path[:end], PathInfo: info, Path: path,
			}, true
		}
		if end == 0 {
			return Match{}, false
		}
		end = strings.LastIndexByte(path[:end], '/')
	}
}

// mapExtension finds the pattern for what follows the last dot of the last
// segment. With strict off, mappings to pages that are files do not count.
func (t *Table) mapExtension(path string, strict bool) (Match, bool) {
	if len(t.extension) == 0 {
		return Match{}, false
	}
	ext, ok := Extension(path)
	if !ok {
		return Match{}, false
	}
	m := t.extension[ext]
	if m == nil || !strict && m.ResourceOnly {
		return Match{}, false
	}
	return Match{
		Mapping: servlet.Mapping{
			Match: servlet.ExtensionMatch, Pattern: m.Pattern, Servlet: m.Servlet,
			Value: strings.TrimPrefix(path[:len(path)-len(ext)-1], "/"),
		},
		ServletPath: path, Path: path,
	}, true
}

// mapWelcome tries the welcome files of a path that ends with a slash: those
// that a servlet is mapped to by path, or that exist; and after all of them
// those that a servlet is mapped to by extension, though there is no file.
func (t *Table) mapWelcome(dir string) (Match, bool) {
	for _, name := range t.cfg.Welcome {
		path := dir + name
		if m, ok := t.mapExact(path); ok {
			return m, true
		}
		if m, ok := t.mapPrefix(path); ok {
			return m, true
		}
		if t.cfg.IsFile == nil || !t.cfg.IsFile(path) {
			continue
		}
		if m, ok := t.mapExtension(path, true); ok {
			return m, true
		}
		if t.fallback != nil {
			return t.mapDefault(path), true
		}
	}
	for _, name := range t.cfg.Welcome {
		if m, ok := t.mapExtension(dir+name, false); ok {
			return m, true
		}
	}
	return Match{}, false
}

// Extension is what follows the last dot of a path's last segment; false if
// there is none.
func Extension(path string) (string, bool) {
	for i := len(path) - 1; i >= 0; i-- {
		switch path[i] {
		case '/':
			return "", false
		case '.':
			return path[i+1:], true
		}
	}
	return "", false
}

// MatchPattern reports that a path is matched by a filter's url-pattern: as a
// servlet's, but that each stands for itself, and "/" matches only the path "/"
// (Servlet 6.1 §12.2, Tomcat).
func MatchPattern(pattern, path string) bool {
	switch {
	case pattern == "/*":
		return true
	case pattern == "":
		return path == "" || path == "/"
	case strings.HasSuffix(pattern, "/*"):
		p := pattern[:len(pattern)-2]
		return strings.HasPrefix(path, p) && (len(path) == len(p) || path[len(p)] == '/')
	case strings.HasPrefix(pattern, "*."):
		ext, ok := Extension(path)
		return ok && ext == pattern[2:]
	}
	return pattern == path
}

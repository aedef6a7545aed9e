package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// files are the files of the checkout that match, without what a run leaves
// behind and hidden folders.
func files(t *testing.T, match func(name string) bool) []string {
	t.Helper()
	left := map[string]bool{"data": true, "logs": true, "work": true, "run": true, "bench/home/work": true, "bench/home/run": true}
	var all []string
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		switch slashed := filepath.ToSlash(name); {
		case err != nil:
			return err
		case d.IsDir() && (left[slashed] || slashed != "." && strings.HasPrefix(d.Name(), ".")):
			return filepath.SkipDir
		case !d.IsDir() && match(slashed):
			all = append(all, slashed)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestPackageDocs holds each package against the house's rule: one package
// comment, which says what the package is for, at some length where others
// import it.
func TestPackageDocs(t *testing.T) {
	const short, public = 1, 10 // lines
	docs := make(map[string][]string)
	for _, name := range files(t, func(name string) bool {
		return strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") && !strings.Contains(name, "testdata/")
	}) {
		dir := filepath.ToSlash(filepath.Dir(name))
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			t.Error(err)
			continue
		}
		if _, known := docs[dir]; !known {
			docs[dir] = nil
		}
		if file.Doc == nil {
			continue
		}
		docs[dir] = append(docs[dir], name)
		if got, want := len(strings.Split(strings.TrimSpace(file.Doc.Text()), "\n")), least(dir, file, short, public); got < want {
			t.Errorf("%s: the package comment has %d lines: it says too little of what the package is for", name, got)
		}
	}
	for dir, where := range docs {
		if len(where) != 1 {
			t.Errorf("%s: %d package comments, want one: %v", dir, len(where), where)
		}
	}
}

// least is how many lines a package's comment must have.
func least(dir string, file *ast.File, short, public int) int {
	if file.Name.Name == "main" || strings.Contains(dir, "internal/") || strings.HasPrefix(dir, "bench/") || dir == "webapps" || strings.Contains(dir, "WEB-INF/") {
		return short
	}
	return public
}

// TestDependenciesHaveReasons checks that docs/dependencies.md lists what go.mod
// requires directly, and nothing else.
func TestDependenciesHaveReasons(t *testing.T) {
	mod, doc := read(t, "go.mod"), read(t, "docs/dependencies.md")
	listed := make(map[string]bool)
	for _, m := range regexp.MustCompile(`(?m)^\| ([a-z0-9.]+\.[a-z]+/[^ |]+) \|`).FindAllStringSubmatch(doc, -1) {
		listed[m[1]] = true
	}
	for _, m := range regexp.MustCompile(`(?m)^\t([^ ]+) v[^ ]+$`).FindAllStringSubmatch(mod, -1) {
		if !listed[m[1]] {
			t.Errorf("docs/dependencies.md gives no reason for %s", m[1])
		}
		delete(listed, m[1])
	}
	for name := range listed {
		t.Errorf("docs/dependencies.md lists %s, which go.mod does not require directly", name)
	}
}

// TestLinks checks that relative links of the documents lead somewhere.
func TestLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#\s]+)(#[^)\s]*)?\)`)
	for _, name := range files(t, func(name string) bool { return strings.HasSuffix(name, ".md") }) {
		for _, m := range link.FindAllStringSubmatch(read(t, name), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(name), filepath.FromSlash(m[1]))); err != nil {
				t.Errorf("%s: link to %s: %v", name, m[1], err)
			}
		}
	}
}

// TestNothingLeftOpen looks for what must not be committed: open ends in the code,
// and the hosts of package registries, which are the business of whoever builds.
func TestNothingLeftOpen(t *testing.T) {
	open := regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b`)
	registry := regexp.MustCompile(`(proxy|sum)\.gol` + `ang\.org|registry\.npm` + `js|deb\.deb` + `ian\.org`)
	for _, name := range files(t, func(name string) bool {
		switch filepath.Ext(name) {
		case ".go", ".tmpl", ".sh", ".md", ".toml", ".xml", ".gohtml", ".html", ".yml", ".mod":
			return !strings.Contains(name, "testdata/")
		}
		return false
	}) {
		for i, line := range strings.Split(read(t, name), "\n") {
			if open.MatchString(line) || registry.MatchString(line) {
				t.Errorf("%s:%d: %s", name, i+1, strings.TrimSpace(line))
			}
		}
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestCitedTestsExist: where docs/testing.md says that something is tested, there is
// a test of that name.
func TestCitedTestsExist(t *testing.T) {
	have := map[string]bool{}
	function := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)`)
	for _, name := range files(t, func(name string) bool { return strings.HasSuffix(name, "_test.go") }) {
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range function.FindAllSubmatch(source, -1) {
			have[string(m[1])] = true
		}
	}
	text, err := os.ReadFile("docs/testing.md")
	if err != nil {
		t.Fatal(err)
	}
	cited := regexp.MustCompile(`\b((?:Test|Fuzz)[A-Z]\w+)(…?)`)
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.TrimSuffix(strings.TrimSpace(line), "|"), "|")
		if len(cells) < 3 {
			continue
		}
		for _, m := range cited.FindAllStringSubmatch(cells[len(cells)-1], -1) {
			if !have[m[1]] && m[2] == "" {
				t.Errorf("docs/testing.md cites %s, which there is not: %s", m[1], strings.TrimSpace(line))
			}
		}
	}
}

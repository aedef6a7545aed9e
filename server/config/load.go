package config

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/serval-server/serval/descriptor"
	"github.com/serval-server/serval/descriptor/stricttoml"
)

// Options say where to look for the configuration and what overrides it.
type Options struct {
	// Home is the folder that holds conf, webapps, work, logs and data; ""
	// is the current one.
	Home string
	// File is the file to read; "" is conf/server.toml in the home, which
	// need not exist. A file that is named must exist.
	File string
	// Sets are overrides key=value, in order, the later one winning.
	Sets []string
	// HTTP is the address of the first connector without TLS, Node the
	// node's name; "" leaves what the file says. They are applied before Sets.
	HTTP, Node string
	// CustomValves are the names that [valves.custom] may use.
	CustomValves []string
}

// Load reads and checks the configuration. The error lists every problem, one a
// line; it is a joined error of descriptor.Diagnostic values.
func Load(o Options) (*Config, error) {
	c, problems := Check(o)
	if err := problems.Err(); err != nil {
		return nil, err
	}
	return c, nil
}

// Check is Load for those who want to show the problems themselves. The Config is
// nil if the file could not be read at all.
func Check(o Options) (*Config, descriptor.Diagnostics) {
	l := &loader{options: o}
	home, err := filepath.Abs(o.Home)
	if err != nil {
		l.config("home: %v", err)
		return nil, l.found
	}
	if info, err := os.Stat(home); err != nil {
		l.config("home: %v", err)
		return nil, l.found
	} else if !info.IsDir() {
		l.config("home: %s is not a folder", home)
		return nil, l.found
	}
	l.c = Default(home)
	if !l.read() {
		return nil, l.found
	}
	l.override()
	for _, p := range l.tree.Bind(l.c) {
		l.problem(p)
	}
	l.validate()
	slices.SortStableFunc(l.found, func(a, b descriptor.Diagnostic) int { return cmp.Compare(a.Pos.Line, b.Pos.Line) })
	return l.c, l.found
}

type loader struct {
	options Options
	c       *Config
	name    string // of the file, as messages show it
	tree    *stricttoml.Tree
	set     map[string]string // by path: the option that has set it
	found   descriptor.Diagnostics
	blamed  map[string]bool // keys that have a problem
}

// read parses the file, if there is one.
func (l *loader) read() bool {
	file, required := l.options.File, true
	if file == "" {
		file, required = filepath.Join(l.c.Home, "conf", "server.toml"), false
	}
	l.name = file
	if wd, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(wd, file); err == nil && !strings.HasPrefix(rel, "..") {
			l.name = rel
		}
	}
	l.tree = stricttoml.Empty()
	data, err := readBounded(file)
	if errors.Is(err, fs.ErrNotExist) && !required {
		return true
	}
	if err != nil {
		l.config("reading the configuration: %v", err)
		return false
	}
	if l.c.File, err = filepath.Abs(file); err != nil {
		l.config("%v", err)
		return false
	}
	tree, err := stricttoml.Parse(data)
	if err != nil {
		if p, ok := errors.AsType[*stricttoml.Problem](err); ok {
			l.problem(*p)
		} else {
			l.config("%v", err)
		}
		return false
	}
	l.tree = tree
	return true
}

// maxFile bounds the configuration file; a real one has a few kilobytes.
const maxFile = 4 << 20

func readBounded(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a file", name)
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("%s has %d bytes, more than %d", name, info.Size(), maxFile)
	}
	return os.ReadFile(name)
}

// override applies --http, --node and --set to the tree, so that they are bound
// and checked as if they were in the file.
func (l *loader) override() {
	l.set = map[string]string{}
	for _, kv := range l.options.Sets {
		if strings.HasPrefix(kv, "connectors.") {
			l.materialize("connectors")
		}
		if strings.HasPrefix(kv, "hosts.") {
			l.materialize("hosts")
		}
		if strings.HasPrefix(kv, "cache.") {
			l.materialize("cache")
		}
	}
	if l.options.HTTP != "" {
		l.materialize("connectors")
		l.apply("--http "+l.options.HTTP, l.firstHTTP(), l.options.HTTP)
	}
	if l.options.Node != "" {
		l.apply("--node "+l.options.Node, stricttoml.Path{"server", "node"}, quote(l.options.Node))
	}
	for _, kv := range l.options.Sets {
		key, value, ok := strings.Cut(kv, "=")
		if !ok || key == "" {
			l.config("--set %s: want key=value, such as --set server.drain-timeout=10s", kv)
			continue
		}
		l.apply("--set "+kv, strings.Split(strings.TrimSpace(key), "."), strings.TrimSpace(value))
	}
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", "") + "'" }

func (l *loader) apply(what string, path stricttoml.Path, value string) {
	at, err := l.tree.Set(path, value)
	if err != nil {
		l.config("%s: %v", what, err)
		return
	}
	l.set[at.String()] = what
}

// materialize puts the default connector, host or cache into a tree that has none, so
// that the command line can change one key of it.
func (l *loader) materialize(table string) {
	if l.tree.Has(stricttoml.Path{table}) {
		return
	}
	def := map[string]string{
		"connectors": `[{ name = "http", address = ":8080" }]`,
		"hosts":      `[{ name = "localhost" }]`,
		"cache":      `[{ name = "default" }]`,
	}[table]
	l.apply("command line", stricttoml.Path{table}, def)
}

// firstHTTP is the path of the address of the first connector without TLS.
func (l *loader) firstHTTP() stricttoml.Path {
	for i := 0; ; i++ {
		at := stricttoml.Path{"connectors", fmt.Sprint(i)}
		if !l.tree.Has(at) {
			return stricttoml.Path{"connectors", "0", "address"}
		}
		if !l.tree.Has(append(at, "tls")) {
			return append(at, "address")
		}
	}
}

func (l *loader) config(format string, args ...any) {
	l.found = append(l.found, descriptor.Diagnostic{
		Severity: descriptor.SeverityError, Kind: descriptor.KindConfig, Message: fmt.Sprintf(format, args...),
	})
}

func (l *loader) problem(p stricttoml.Problem) {
	if l.blamed == nil {
		l.blamed = map[string]bool{}
	}
	l.blamed[p.Path.String()] = true
	d := descriptor.Diagnostic{Severity: descriptor.SeverityError, Kind: descriptor.KindConfig, Message: p.Error()}
	if p.Kind == stricttoml.Syntax {
		d.Kind = descriptor.KindSyntax
	}
	switch what := l.saidBy(p.Path); {
	case what != "":
		d.Message = what + ": " + d.Message
	case l.c.File != "":
		d.Pos = descriptor.Pos{File: l.name, Line: p.Pos.Line, Col: p.Pos.Col}
	}
	l.found = append(l.found, d)
}

// saidBy returns the option of the command line that gave a key its value, "" if
// the file did.
func (l *loader) saidBy(path stricttoml.Path) string {
	for ; len(path) > 0; path = path[:len(path)-1] {
		if what := l.set[path.String()]; what != "" {
			return what
		}
	}
	return ""
}

// bad reports a value that is of the right type and yet wrong. A key that has a
// problem already, or a table that has, gets no second one: it may follow from the first.
func (l *loader) bad(path, format string, args ...any) {
	p := stricttoml.Path(strings.Split(path, "."))
	for q := p; len(q) > 0; q = q[:len(q)-1] {
		if l.blamed[q.String()] {
			return
		}
	}
	l.problem(stricttoml.Problem{Pos: l.tree.Pos(p), Path: p, Kind: stricttoml.Value, Message: fmt.Sprintf(format, args...)})
}

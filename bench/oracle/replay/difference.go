package replay

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// Case is one recorded request with what rules may know of it.
type Case struct {
	// Label names the case for people. Rules cannot see it.
	Label string
	vars  map[string]string
	diffs []Difference
}

// Difference is one property of an answer that is not as recorded.
type Difference struct {
	Case  *Case
	Field string // such as "status", "header.ETag", "echo.pi", "log"
	Want  string // recorded
	Got   string
}

// File implements rules.Subject.
func (d *Difference) File() string { return d.Case.vars["file"] }

// Var implements rules.Subject.
func (d *Difference) Var(name string) string {
	switch name {
	case "field":
		return d.Field
	case "want":
		return d.Want
	case "got":
		return d.Got
	}
	return d.Case.vars[name]
}

func (d *Difference) String() string {
	return fmt.Sprintf("%s: %s: %s: want %s, got %s", d.Case.vars["file"], d.Case.Label, d.Field, clip(d.Want), clip(d.Got))
}

func clip(s string) string {
	const limit = 300
	q := fmt.Sprintf("%q", s)
	if len(q) > limit {
		q = q[:limit] + "…"
	}
	return q
}

// variables that cases can have, besides want.header.X, got.header.X and
// request.header.X.
var variables = []string{
	"field", "want", "got", "file",
	"method", "target", "path", "query", // of the request; target = path?query
	"protocol.bytes", // http: all that was sent, one character a byte
	"script",         // what the script servlet was told to do in this request
	"descriptor",     // text of the application's web.xml
	"context",        // text of its context.xml
	"app.path", "app.version",
	"profile",     // connector settings of the recorded server, "default" if stock
	"credentials", // user of BASIC credentials sent, "" if none
	"want.status", "got.status", "want.body", "got.body", "want.location", "got.location",
	"want.closed", "got.closed", // http: whether the server ended the connection: true, false
	"got.log",             // all that the application logged in this request
	"app.want", "app.got", // whether the application that the request is for started: ok, failed
}

// KnownVariable tells whether a rule may use a variable.
func KnownVariable(name string) bool {
	if slices.Contains(variables, name) {
		return true
	}
	for _, p := range []string{"want.header.", "got.header.", "request.header."} {
		if rest, ok := strings.CutPrefix(name, p); ok && rest != "" {
			return true
		}
	}
	return false
}

// Result is what came of a recording.
type Result struct {
	Name        string // of the recording
	Checked     int    // cases and steps sent
	Differences []Difference
}

// collector gathers the cases of parallel workers, in the order of their keys,
// so that the same run prints the same lines.
type collector struct {
	file string

	mu    sync.Mutex
	cases map[int][]*Case // guarded by mu
}

func newCollector(file string) *collector {
	return &collector{file: file, cases: map[int][]*Case{}}
}

// add starts a case. key orders it among the others.
func (c *collector) add(key int, label string, vars map[string]string) *Case {
	vars["file"] = c.file
	if t, ok := vars["target"]; ok {
		vars["path"], vars["query"], _ = strings.Cut(t, "?")
	}
	k := &Case{Label: label, vars: vars}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cases[key] = append(c.cases[key], k)
	return k
}

// drop forgets the cases of a key, before they are sent again.
func (c *collector) drop(key int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.cases, key)
}

// clean reports whether the cases of a key have no difference.
func (c *collector) clean(key int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range c.cases[key] {
		if len(k.diffs) > 0 {
			return false
		}
	}
	return true
}

func (c *collector) result() *Result {
	c.mu.Lock()
	defer c.mu.Unlock()
	var keys []int
	for k := range c.cases {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	r := &Result{Name: c.file}
	for _, k := range keys {
		for _, cs := range c.cases[k] {
			r.Checked++
			r.Differences = append(r.Differences, cs.diffs...)
		}
	}
	return r
}

// set records a variable of the case.
func (k *Case) set(name, value string) { k.vars[name] = value }

// text compares two texts.
func (k *Case) text(field, want, got string) {
	if want != got {
		k.diffs = append(k.diffs, Difference{k, field, want, got})
	}
}

func (k *Case) num(field string, want, got int) {
	k.text(field, fmt.Sprint(want), fmt.Sprint(got))
}

// list compares two lists of texts as one, a line each.
func (k *Case) list(field string, want, got []string) {
	k.text(field, strings.Join(want, "\n"), strings.Join(got, "\n"))
}

// echo compares the lines of the echo servlet, member by member.
func (k *Case) echo(want, got []any) {
	if len(want) != len(got) {
		k.text("echo.lines", canonical(want), canonical(got))
		return
	}
	for i := range want {
		w, wok := want[i].(map[string]any)
		g, gok := got[i].(map[string]any)
		if !wok || !gok {
			k.text("echo.text", canonical(want[i]), canonical(got[i]))
			continue
		}
		for _, name := range union(w, g) {
			k.text("echo."+name, member(w, name), member(g, name))
		}
	}
}

func member(m map[string]any, name string) string {
	v, ok := m[name]
	if !ok || v == nil {
		return ""
	}
	if s, ok := v.(string); ok {
		return s
	}
	return canonical(v)
}

func union(a, b map[string]any) []string {
	var names []string
	for n := range a {
		names = append(names, n)
	}
	for n := range b {
		if _, ok := a[n]; !ok {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	return names
}

// canonical renders a decoded JSON value with sorted members.
func canonical(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return fmt.Sprint(v)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

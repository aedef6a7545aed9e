package pages

import (
	"bytes"
	"fmt"
	"html/template"
	"io/fs"
	"regexp"
	"strconv"
	"strings"

	"github.com/serval-server/serval/webapp/builtin/resources"
)

// Place is a position in a page's source. The zero Place is unknown.
type Place struct {
	File      string // path in the bundle, with its slash
	Line, Col int    // from 1; 0 is unknown
}

func (p Place) String() string {
	switch {
	case p.File == "":
		return ""
	case p.Col > 0:
		return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Col)
	case p.Line > 0:
		return fmt.Sprintf("%s:%d", p.File, p.Line)
	}
	return p.File
}

// Error is what is wrong with a page, and where.
type Error struct {
	Place
	Message string
	// Err is the error that a method or a function of the page returned, or
	// nil.
	Err error
}

func (e *Error) Error() string {
	if e.File == "" {
		return "page: " + e.Message
	}
	return e.String() + ": " + e.Message
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// The errors of text/template and html/template begin with the place.
var (
	placeRE = regexp.MustCompile(`^(/[^:]+)(?::(\d+))?(?::(\d+))?`)
	errorRE = regexp.MustCompile(`^(?:html/)?template: ?(/[^:]+(?::\d+){0,2}): ?`)
)

func parsePlace(s string) Place {
	m := placeRE.FindStringSubmatch(s)
	if m == nil {
		return Place{}
	}
	p := Place{File: m[1]}
	p.Line, _ = strconv.Atoi(m[2])
	p.Col, _ = strconv.Atoi(m[3])
	return p
}

// newError takes the place out of an error of the template packages.
func newError(err error) error {
	text := err.Error()
	e := &Error{Message: text, Err: err}
	if m := errorRE.FindStringSubmatch(text); m != nil {
		e.Place = parsePlace(m[1])
		e.Message = text[len(m[0]):]
	}
	return e
}

// sourceLine is a line of the page of an error.
type sourceLine struct {
	N    int
	Text string
	Bad  bool
}

// around is how many lines before and after the wrong one are shown.
const around = 5

// source reads the lines round the place of an error.
func source(fsys fs.FS, p Place) []sourceLine {
	data, err := resources.ReadAll(fsys, strings.TrimPrefix(p.File, "/"), maxSource)
	if err != nil || p.Line == 0 {
		return nil
	}
	var lines []sourceLine
	n := 0
	for line := range bytes.Lines(data) {
		if n++; n >= p.Line-around && n <= p.Line+around {
			lines = append(lines, sourceLine{n, strings.TrimRight(string(line), "\r\n"), n == p.Line})
		}
	}
	return lines
}

// errorPage is the answer of development mode.
var errorPage = template.Must(template.New("error").Parse(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Page error</title>
<style>
:root{color-scheme:light dark}
body{font:16px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}
pre{overflow-x:auto;border:1px solid #8886;border-radius:.4rem;padding:.5rem 0}
pre span{display:block;padding:0 .8rem}
pre .bad{background:#f443;font-weight:600}
small{color:#888}
</style></head><body>
<h1>This page has an error</h1>
<p><strong>{{.Place}}</strong><br>{{.Message}}</p>
{{with .Source}}<pre>{{range .}}<span{{if .Bad}} class="bad"{{end}}>{{printf "%4d" .N}}  {{.Text}}</span>{{end}}</pre>
{{end}}<p><small>You see this because the page runs in development mode. Visitors otherwise get a plain error.</small></p>
</body></html>
`))

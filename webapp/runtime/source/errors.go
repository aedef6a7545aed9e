package source

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
)

// Error is a build that failed because of the source.
type Error struct {
	// Source is the folder that was built.
	Source string
	// Problems are the compiler's messages, in its order; never empty.
	Problems []Problem
	// Output is all that the go command said.
	Output string
}

// maxShown is how many problems an error's text names.
const maxShown = 10

// Error implements error.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "the Go source does not build (%s):", e.Source)
	for i, p := range e.Problems {
		if i == maxShown {
			fmt.Fprintf(&b, "\n\tand %d more", len(e.Problems)-maxShown)
			break
		}
		b.WriteString("\n\t" + p.String())
	}
	return b.String()
}

func newError(src, output string) *Error {
	e := &Error{Source: src, Output: output, Problems: parse(src, output)}
	if len(e.Problems) == 0 {
		text := strings.TrimSpace(output)
		if text == "" {
			text = "the go command failed without a message"
		}
		e.Problems = []Problem{{Message: text}}
	}
	return e
}

// parse reads the go command's output: lines "file:line:col: message", which
// following lines that are indented continue, and lines "# package".
func parse(src, output string) []Problem {
	var list []Problem
	for line := range strings.Lines(output) {
		line = strings.TrimRight(line, "\r\n")
		switch {
		case strings.TrimSpace(line) == "" || strings.HasPrefix(line, "# "):
			continue
		case (line[0] == '\t' || line[0] == ' ') && len(list) > 0:
			list[len(list)-1].Message += "\n" + line
			continue
		}
		if p, ok := parseLine(src, line); ok {
			list = append(list, p)
			continue
		}
		list = append(list, Problem{Message: strings.TrimPrefix(line, "go: ")})
	}
	return list
}

// parseLine reads one message that has a place.
func parseLine(src, line string) (Problem, bool) {
	start := 0
	if len(line) > 2 && line[1] == ':' && (line[2] == '\\' || line[2] == '/') {
		start = 2 // a drive letter
	}
	i := strings.IndexByte(line[start:], ':')
	if i <= 0 {
		return Problem{}, false
	}
	p := Problem{File: line[:start+i]}
	rest := line[start+i+1:]
	var ok bool
	if p.Line, rest, ok = number(rest); !ok {
		return Problem{}, false
	}
	if p.Col, rest, ok = number(rest); !ok {
		p.Col = 0
	}
	p.Message = strings.TrimSpace(rest)
	p.File = strings.TrimPrefix(filepath.ToSlash(p.File), "./")
	if rel, err := filepath.Rel(src, filepath.FromSlash(p.File)); err == nil && filepath.IsAbs(p.File) && filepath.IsLocal(rel) {
		p.File = filepath.ToSlash(rel)
	}
	return p, p.Message != ""
}

// number reads "12:".
func number(s string) (n int, rest string, ok bool) {
	digits, rest, found := strings.Cut(s, ":")
	if !found {
		return 0, s, false
	}
	n, err := strconv.Atoi(digits)
	if err != nil || n < 0 {
		return 0, s, false
	}
	return n, rest, true
}

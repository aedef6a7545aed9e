// Package rules reads the table of docs/conformance.md that explains where
// Serval answers otherwise than the recorded server, and decides whether a
// difference is explained.
//
// A rule names the recordings that it is for, a property, and the reason. The
// property is a conjunction of conditions on the case and its two answers:
//
//	field = 'header.ETag' and want ~ '^W/' and got ~ '^"'
//
// The left side of a condition is a variable, the right side a 'quoted string'
// or another $variable. The operators are = and != (equal text), ~ and !~ (a
// regular expression, RE2, matches somewhere). A variable that a case does not
// have is the empty string; one that no case can have is an error, so that a
// slip of the pen does not become a rule that never matches. There is no
// variable for the name of a case: a rule has to hold for cases that nobody
// has seen yet.
package rules

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
)

// Subject is a difference as rules see it.
type Subject interface {
	// File is the base name of the recording without its extensions.
	File() string
	// Var returns the value of a variable, "" if the case has none.
	Var(name string) string
}

// Rule is one row of the table.
type Rule struct {
	Files    []string // base names, or "*"
	Text     string   // the property as written
	Reason   string
	Line     int // in the Markdown file
	property []condition
	hits     atomic.Int64
}

// Hits returns how many differences the rule has explained.
func (r *Rule) Hits() int { return int(r.hits.Load()) }

type condition struct {
	left    string
	negate  bool
	pattern *regexp.Regexp // nil: compare with literal or variable
	literal string
	right   string // variable, if not ""
}

// Table is the set of rules of one document.
type Table struct{ Rules []*Rule }

// Explain returns the first rule that the difference satisfies, nil if none.
func (t *Table) Explain(s Subject) *Rule {
	for _, r := range t.Rules {
		if !slices.Contains(r.Files, "*") && !slices.Contains(r.Files, s.File()) {
			continue
		}
		if r.matches(s) {
			r.hits.Add(1)
			return r
		}
	}
	return nil
}

func (r *Rule) matches(s Subject) bool {
	for _, c := range r.property {
		if !c.holds(s) {
			return false
		}
	}
	return true
}

func (c *condition) holds(s Subject) bool {
	v := s.Var(c.left)
	switch {
	case c.pattern != nil:
		return c.pattern.MatchString(v) != c.negate
	case c.right != "":
		return (v == s.Var(c.right)) != c.negate
	default:
		return (v == c.literal) != c.negate
	}
}

// Parse reads the tables of a Markdown document whose heading row is
// "File | Property rule | Reason". known tells the variables that exist. All
// errors of the document are returned together, each with its line.
func Parse(r io.Reader, known func(name string) bool) (*Table, error) {
	t := &Table{}
	var errs []error
	sc := bufio.NewScanner(r)
	inTable := false
	for line := 1; sc.Scan(); line++ {
		cells := splitRow(sc.Text())
		switch {
		case len(cells) == 0:
			inTable = false
		case len(cells) == 3 && strings.EqualFold(cells[0], "file") && strings.EqualFold(cells[1], "property rule"):
			inTable = true
		case !inTable || strings.Trim(cells[0], "-: ") == "":
		case len(cells) != 3:
			errs = append(errs, fmt.Errorf("line %d: %d cells, want file, property rule and reason", line, len(cells)))
		default:
			rule, err := newRule(cells, line, known)
			if err != nil {
				errs = append(errs, fmt.Errorf("line %d: %w", line, err))
				continue
			}
			t.Rules = append(t.Rules, rule)
		}
	}
	if err := sc.Err(); err != nil {
		errs = append(errs, err)
	}
	return t, errors.Join(errs...)
}

// splitRow returns the trimmed cells of a table row, none if it is not one.
// A vertical bar inside a cell is written \|, as in GitHub's Markdown.
func splitRow(s string) []string {
	s = strings.TrimSpace(s)
	if !strings.HasPrefix(s, "|") || !strings.HasSuffix(s, "|") || len(s) < 2 {
		return nil
	}
	var cells []string
	var cell strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s) && s[i+1] == '|':
			cell.WriteByte('|')
			i++
		case s[i] == '|':
			cells = append(cells, strings.TrimSpace(cell.String()))
			cell.Reset()
		default:
			cell.WriteByte(s[i])
		}
	}
	return cells
}

func newRule(cells []string, line int, known func(string) bool) (*Rule, error) {
	text := strings.TrimSpace(strings.Trim(cells[1], "`"))
	r := &Rule{Text: text, Reason: cells[2], Line: line}
	for f := range strings.SplitSeq(cells[0], ",") {
		r.Files = append(r.Files, strings.TrimSpace(f))
	}
	if r.Reason == "" {
		return nil, errors.New("a rule needs a reason")
	}
	p := parser{rest: text, known: known}
	for {
		c, err := p.condition()
		if err != nil {
			return nil, fmt.Errorf("%w (in %q)", err, text)
		}
		r.property = append(r.property, c)
		if p.done() {
			return r, nil
		}
		if w := p.word(); w != "and" {
			return nil, fmt.Errorf("%q where \"and\" was expected (in %q)", w, text)
		}
	}
}

// parser reads a property from the front of rest.
type parser struct {
	rest  string
	known func(string) bool
}

func (p *parser) done() bool {
	p.rest = strings.TrimLeft(p.rest, " ")
	return p.rest == ""
}

func (p *parser) word() string {
	p.rest = strings.TrimLeft(p.rest, " ")
	w, rest, _ := strings.Cut(p.rest, " ")
	p.rest = rest
	return w
}

func (p *parser) variable() (string, error) {
	w := p.word()
	if !p.known(w) {
		return "", fmt.Errorf("unknown variable %q", w)
	}
	return w, nil
}

func (p *parser) condition() (condition, error) {
	var c condition
	var err error
	if c.left, err = p.variable(); err != nil {
		return c, err
	}
	op := p.word()
	regex := strings.HasSuffix(op, "~")
	c.negate = strings.HasPrefix(op, "!")
	if strings.TrimPrefix(op, "!") != "=" && strings.TrimPrefix(op, "!") != "~" {
		return c, fmt.Errorf("unknown operator %q; there are = != ~ !~", op)
	}
	p.rest = strings.TrimLeft(p.rest, " ")
	if v, ok := strings.CutPrefix(p.rest, "$"); ok && !regex {
		p.rest = v
		c.right, err = p.variable()
		return c, err
	}
	lit, rest, ok := cutQuoted(p.rest)
	if !ok {
		return c, fmt.Errorf("a 'quoted' value is expected after %s", op)
	}
	p.rest = rest
	if regex {
		c.pattern, err = regexp.Compile(lit)
	}
	c.literal = lit
	return c, err
}

// cutQuoted takes a 'string' from the front of s; two quotes inside it stand for one.
func cutQuoted(s string) (lit, rest string, ok bool) {
	if !strings.HasPrefix(s, "'") {
		return "", s, false
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		if s[i] != '\'' {
			b.WriteByte(s[i])
			continue
		}
		if i+1 < len(s) && s[i+1] == '\'' {
			b.WriteByte('\'')
			i++
			continue
		}
		return b.String(), s[i+1:], true
	}
	return "", s, false
}

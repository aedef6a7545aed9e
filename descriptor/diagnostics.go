package descriptor

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Pos is a place in a descriptor. The zero value means "nowhere in particular":
// a value that came from Serval's own defaults.
type Pos struct {
	File string // as given to the loader, for instance WEB-INF/web.xml
	Line int    // from 1; 0 when only the file is known
	Col  int    // from 1, in characters; 0 when only the line is known
}

// String formats the place as file:line:column, leaving out what is unknown.
func (p Pos) String() string {
	switch {
	case p.Line == 0:
		return p.File
	case p.Col == 0:
		return fmt.Sprintf("%s:%d", p.File, p.Line)
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Col)
}

// IsZero reports whether the place is unknown.
func (p Pos) IsZero() bool { return p == Pos{} }

// Severity says whether a finding stops a deployment.
type Severity string

// The severities.
const (
	SeverityError   Severity = "error"   // the application cannot be deployed
	SeverityWarning Severity = "warning" // it can, but something is not as its author may think
)

// Kind groups findings by what is wrong.
type Kind string

// The kinds, as `serval check --json` prints them.
const (
	KindSyntax    Kind = "syntax"    // not well-formed XML, not TOML, not decodable text
	KindSemantics Kind = "semantics" // well-formed, but it does not say anything sensible
	KindClass     Kind = "class"     // a class that has no counterpart here
	KindConfig    Kind = "config"    // files that contradict each other, keys that do not exist
)

// Diagnostic is one finding about a descriptor.
type Diagnostic struct {
	Pos      Pos
	Severity Severity
	Kind     Kind
	Message  string // lower-case, without the place
}

// String formats the finding as file:line:column: severity: message.
func (d Diagnostic) String() string {
	if d.Pos.IsZero() {
		return fmt.Sprintf("%s: %s", d.Severity, d.Message)
	}
	return fmt.Sprintf("%s: %s: %s", d.Pos, d.Severity, d.Message)
}

// Error makes a finding usable as an error: its place and message.
func (d Diagnostic) Error() string {
	if d.Pos.IsZero() {
		return d.Message
	}
	return d.Pos.String() + ": " + d.Message
}

// Diagnostics is what a reader found, in the order of the files and their lines.
type Diagnostics []Diagnostic

// Errors returns the findings that stop a deployment.
func (ds Diagnostics) Errors() Diagnostics { return ds.with(SeverityError) }

// Warnings returns the findings that do not.
func (ds Diagnostics) Warnings() Diagnostics { return ds.with(SeverityWarning) }

func (ds Diagnostics) with(s Severity) Diagnostics {
	var out Diagnostics
	for _, d := range ds {
		if d.Severity == s {
			out = append(out, d)
		}
	}
	return out
}

// HasErrors reports whether at least one finding stops a deployment.
func (ds Diagnostics) HasErrors() bool {
	return slices.ContainsFunc(ds, func(d Diagnostic) bool { return d.Severity == SeverityError })
}

// Err returns nil if no finding is an error, else one error whose message has a
// line per error. Each [Diagnostic] can be reached with errors.As.
func (ds Diagnostics) Err() error {
	var errs []error
	for _, d := range ds.Errors() {
		errs = append(errs, d)
	}
	return errors.Join(errs...)
}

// String formats all findings, one a line.
func (ds Diagnostics) String() string {
	var b strings.Builder
	for _, d := range ds {
		b.WriteString(d.String())
		b.WriteByte('\n')
	}
	return b.String()
}

// sort orders by file in order of first mention, then line and column.
func (ds Diagnostics) sort() {
	order := map[string]int{}
	for _, d := range ds {
		if _, ok := order[d.Pos.File]; !ok {
			order[d.Pos.File] = len(order)
		}
	}
	slices.SortStableFunc(ds, func(a, b Diagnostic) int {
		return cmp.Or(
			cmp.Compare(order[a.Pos.File], order[b.Pos.File]),
			cmp.Compare(a.Pos.Line, b.Pos.Line),
			cmp.Compare(a.Pos.Col, b.Pos.Col),
		)
	})
}

func (ds *Diagnostics) add(p Pos, s Severity, k Kind, format string, args ...any) {
	*ds = append(*ds, Diagnostic{Pos: p, Severity: s, Kind: k, Message: fmt.Sprintf(format, args...)})
}

func (ds *Diagnostics) errorf(p Pos, format string, args ...any) {
	ds.add(p, SeverityError, KindSemantics, format, args...)
}

func (ds *Diagnostics) warnf(p Pos, format string, args ...any) {
	ds.add(p, SeverityWarning, KindSemantics, format, args...)
}

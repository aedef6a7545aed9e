package stricttoml

import (
	"strconv"
	"strings"

	"github.com/serval-server/serval/descriptor/tomltree"
)

// Pos is a place in the source: line and column count from 1, columns in characters.
// The zero Pos means that the place is unknown (a key that was set from the
// command line, or one that the file does not mention).
type Pos struct{ Line, Col int }

// IsValid reports whether the place is known.
func (p Pos) IsValid() bool { return p.Line > 0 }

// Path names a key from the top of a document: table names, keys, and for
// elements of arrays their index from 0, as in connectors.0.address.
type Path []string

// String joins the path with dots; a segment that has a dot, a blank or a quote
// in it, or is empty, is quoted.
func (p Path) String() string {
	var b strings.Builder
	for i, s := range p {
		if i > 0 {
			b.WriteByte('.')
		}
		if s == "" || strings.ContainsAny(s, ". \t\"'=[]\n") {
			b.WriteString(strconv.Quote(s))
		} else {
			b.WriteString(s)
		}
	}
	return b.String()
}

func (p Path) with(s string) Path {
	q := make(Path, len(p)+1)
	copy(q, p)
	q[len(p)] = s
	return q
}

// places maps the Path of each key, table and array element to its place: where
// the key stands, or the header of the table.
func places(root *tomltree.Node) map[string]Pos {
	at := map[string]Pos{}
	var walk func(n *tomltree.Node, p Path)
	walk = func(n *tomltree.Node, p Path) {
		for i, c := range n.Children {
			name := c.Key
			if n.Kind == tomltree.Array {
				name = strconv.Itoa(i)
			}
			path := p.with(name)
			first := c.KeyPos
			if c.Pos.Line < first.Line || c.Pos.Line == first.Line && c.Pos.Col < first.Col {
				first = c.Pos
			}
			at[path.String()] = Pos(first)
			walk(c, path)
		}
	}
	walk(root, nil)
	return at
}

package descriptor

import (
	"errors"
	"maps"
	"slices"

	"github.com/serval-server/serval/descriptor/tomltree"
)

// tomlReader decodes a tree of TOML keys. Unlike an unknown element of XML, which
// may be another server's, an unknown key is an error: nobody else reads the file.
type tomlReader struct {
	reader
}

// keys says what to do with the keys of a table.
type keys map[string]func(*tomltree.Node)

func (t *tomlReader) open(data []byte) *tomltree.Node {
	doc, err := tomltree.Parse(data)
	if err != nil {
		var e *tomltree.Error
		if errors.As(err, &e) {
			t.diags.add(t.at(e.Pos), SeverityError, KindSyntax, "%s", e.Msg)
		} else {
			t.diags.add(Pos{File: t.file}, SeverityError, KindSyntax, "%v", err)
		}
		return nil
	}
	return doc
}

func (t *tomlReader) at(p tomltree.Pos) Pos { return Pos{File: t.file, Line: p.Line, Col: p.Col} }

// table calls the handler of each key and reports those that have none.
func (t *tomlReader) table(n *tomltree.Node, where string, k keys) {
	if !t.isKind(n, tomltree.Table) {
		return
	}
	for _, c := range n.Children {
		if do := k[c.Key]; do != nil {
			do(c)
			continue
		}
		t.diags.add(t.at(c.KeyPos), SeverityError, KindConfig, "the key %q is not known in %s%s", c.Key, where, didYouMean(c.Key, slices.Sorted(maps.Keys(k))))
	}
}

func (t *tomlReader) isKind(n *tomltree.Node, want tomltree.Kind) bool {
	if n.Kind == want {
		return true
	}
	t.errorf(t.at(n.Pos), "%s is %s; it must be %s", nodeName(n), article(n.Kind), article(want))
	return false
}

func nodeName(n *tomltree.Node) string {
	if n.Key == "" {
		return "the element"
	}
	return n.Key
}

// value is a key's scalar, placeholders in text substituted.
func (t *tomlReader) value(n *tomltree.Node) value {
	v := value{name: nodeName(n), text: n.Text, pos: t.at(n.Pos), kind: n.Kind}
	if n.Kind == tomltree.String {
		var ok bool
		v.text, ok = t.substitute(n.Text, v.name, v.pos)
		v.unknown = !ok
	}
	return v
}

// each calls do for each element of an array.
func (t *tomlReader) each(n *tomltree.Node, do func(*tomltree.Node)) {
	if !t.isKind(n, tomltree.Array) {
		return
	}
	for _, c := range n.Children {
		do(c)
	}
}

// strings reads an array of texts.
func (t *tomlReader) strings(n *tomltree.Node) []string {
	var out []string
	t.each(n, func(c *tomltree.Node) {
		v := t.value(c)
		v.name = "an element of " + n.Key
		if s := t.token(v); s != "" {
			out = append(out, s)
		}
	})
	return out
}

// params reads a table of names and values; numbers and booleans are taken as text.
func (t *tomlReader) params(n *tomltree.Node) []Param {
	var out []Param
	if !t.isKind(n, tomltree.Table) {
		return nil
	}
	for _, c := range n.Children {
		if c.Kind == tomltree.Table || c.Kind == tomltree.Array {
			t.errorf(t.at(c.Pos), "%s is %s; it must be a string, a number or a boolean", nodeName(c), article(c.Kind))
			continue
		}
		out = append(out, Param{Name: c.Key, Value: t.value(c).text, Pos: t.at(c.KeyPos)})
	}
	return out
}

// into makes a handler that passes a key's value on.
func (t *tomlReader) into(f func(value)) func(*tomltree.Node) {
	return func(n *tomltree.Node) { f(t.value(n)) }
}

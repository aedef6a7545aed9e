package stricttoml

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
)

// Kind says what sort of problem was found.
type Kind string

// The kinds of Problem.
const (
	Syntax  Kind = "syntax"  // the file is not TOML
	Unknown Kind = "unknown" // a key that means nothing here
	Value   Kind = "value"   // a value of the wrong type, or out of range
)

// Problem is one thing that is wrong with a document.
type Problem struct {
	Pos     Pos
	Path    Path // the key; nil for a syntax error
	Kind    Kind
	Message string // one line, says what is allowed
}

func (p Problem) Error() string {
	if len(p.Path) == 0 {
		return p.Message
	}
	return p.Path.String() + ": " + p.Message
}

// Tree is a parsed document.
type Tree struct {
	root map[string]any
	pos  map[string]Pos
}

// Parse reads a document. A syntax error is returned as a *Problem with its place.
func Parse(data []byte) (*Tree, error) {
	t := &Tree{root: map[string]any{}}
	if err := toml.Unmarshal(data, &t.root); err != nil {
		p := &Problem{Kind: Syntax, Message: strings.TrimPrefix(err.Error(), "toml: ")}
		if pe, ok := errors.AsType[toml.ParseError](err); ok {
			p.Pos = Pos{Line: pe.Position.Line, Col: max(pe.Position.Col, 1)}
			if pe.Message != "" {
				p.Message = pe.Message
			}
		}
		return nil, p
	}
	t.pos = scanPositions(string(data))
	return t, nil
}

// Empty is a tree without keys.
func Empty() *Tree { return &Tree{root: map[string]any{}, pos: map[string]Pos{}} }

// Pos returns the place of a key; of a key that is not in the file, the place
// of the nearest table around it.
func (t *Tree) Pos(p Path) Pos {
	for ; len(p) > 0; p = p[:len(p)-1] {
		if at, ok := t.pos[p.String()]; ok {
			return at
		}
	}
	return Pos{}
}

// Has reports whether the document has the key.
func (t *Tree) Has(p Path) bool {
	_, ok := t.get(p)
	return ok
}

func (t *Tree) get(p Path) (any, bool) {
	var v any = t.root
	for _, name := range p {
		switch x := v.(type) {
		case map[string]any:
			var ok bool
			if v, ok = x[name]; !ok {
				return nil, false
			}
		default:
			list, ok := elements(v)
			i, err := strconv.Atoi(name)
			if !ok || err != nil || i < 0 || i >= len(list) {
				return nil, false
			}
			v = list[i]
		}
	}
	return v, true
}

// elements returns the elements of either kind of array that the parser makes.
func elements(v any) ([]any, bool) {
	switch x := v.(type) {
	case []any:
		return x, true
	case []map[string]any:
		list := make([]any, len(x))
		for i := range x {
			list[i] = x[i]
		}
		return list, true
	}
	return nil, false
}

// Set gives a key a value, as --set key=value does. The text is taken as a TOML
// value if it is one (a number, true, a quoted string, an array), else as a
// string. Tables on the way are made; an element of an array of tables is named
// by its index, or by the value of its key "name", and must be there.
func (t *Tree) Set(path Path, text string) error {
	if len(path) == 0 {
		return errors.New("empty key")
	}
	table := t.root
	for i, name := range path[:len(path)-1] {
		switch x := table[name].(type) {
		case nil:
			next := map[string]any{}
			table[name] = next
			table = next
		case map[string]any:
			table = x
		default:
			return t.setElement(x, path, i, text)
		}
	}
	last := path[len(path)-1]
	table[last] = parseValue(text)
	delete(t.pos, path.String())
	return nil
}

// setElement continues Set inside the array that path[:i+1] names.
func (t *Tree) setElement(array any, path Path, i int, text string) error {
	list, ok := elements(array)
	if !ok {
		return fmt.Errorf("%s is not a table", path[:i+1])
	}
	want := path[i+1]
	n, err := strconv.Atoi(want)
	if err != nil {
		n = -1
		for j, e := range list {
			if m, ok := e.(map[string]any); ok && m["name"] == want {
				n = j
			}
		}
	}
	if n < 0 || n >= len(list) {
		return fmt.Errorf("%s has no element %q (it has %d, named by index from 0 or by name)", path[:i+1], want, len(list))
	}
	if i+2 == len(path) {
		if all, ok := array.([]any); ok {
			all[n] = parseValue(text)
			return nil
		}
		return fmt.Errorf("%s is a table: name one of its keys", path)
	}
	m, ok := list[n].(map[string]any)
	if !ok {
		return fmt.Errorf("%s is not a table", path[:i+2])
	}
	sub := &Tree{root: m, pos: map[string]Pos{}}
	delete(t.pos, append(append(Path{}, path[:i+1]...), append(Path{strconv.Itoa(n)}, path[i+2:]...)...).String())
	return sub.Set(path[i+2:], text)
}

func parseValue(text string) any {
	var v map[string]any
	if err := toml.Unmarshal([]byte("v = "+text), &v); err == nil && len(v) == 1 {
		return v["v"]
	}
	return text
}

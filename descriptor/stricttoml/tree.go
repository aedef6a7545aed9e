package stricttoml

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/BurntSushi/toml"

	"github.com/serval-server/serval/descriptor/tomltree"
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
	node, root, err := tomltree.Decode(data)
	if err != nil {
		p := &Problem{Kind: Syntax, Message: err.Error()}
		if e, ok := errors.AsType[*tomltree.Error](err); ok {
			p.Pos, p.Message = Pos(e.Pos), e.Msg
		}
		return nil, p
	}
	return &Tree{root: root, pos: places(node)}, nil
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

// Set gives a key a value, as --set key=value does, and returns the key's path
// with indexes in place of names. The text is taken as a TOML value if it is one
// (a number, true, a quoted string, an array), else as a string. Tables on the
// way are made; an element of an array of tables is named by its index, or by
// the value of its key "name", and must be there.
func (t *Tree) Set(path Path, text string) (Path, error) {
	if len(path) == 0 {
		return nil, errors.New("empty key")
	}
	table := t.root
	var done Path
	for len(path) > 1 {
		name := path[0]
		switch x := table[name].(type) {
		case nil:
			next := map[string]any{}
			table[name] = next
			table = next
			done, path = append(done, name), path[1:]
		case map[string]any:
			table = x
			done, path = append(done, name), path[1:]
		default:
			n, err := element(x, append(done, name), path[1])
			if err != nil {
				return nil, err
			}
			done = append(done, name, strconv.Itoa(n))
			list, _ := elements(x)
			if len(path) == 2 {
				all, ok := x.([]any)
				if !ok {
					return nil, fmt.Errorf("%s is a table: name one of its keys", done)
				}
				all[n] = parseValue(text)
				delete(t.pos, done.String())
				return done, nil
			}
			var ok bool
			if table, ok = list[n].(map[string]any); !ok {
				return nil, fmt.Errorf("%s is not a table", done)
			}
			path = path[2:]
		}
	}
	done = append(done, path[0])
	table[path[0]] = parseValue(text)
	delete(t.pos, done.String())
	return done, nil
}

// element finds an element of an array by its index or name.
func element(array any, at Path, want string) (int, error) {
	list, ok := elements(array)
	if !ok {
		return 0, fmt.Errorf("%s is not a table", at)
	}
	if n, err := strconv.Atoi(want); err == nil && n >= 0 && n < len(list) {
		return n, nil
	}
	for i, e := range list {
		if m, ok := e.(map[string]any); ok && m["name"] == want {
			return i, nil
		}
	}
	return 0, fmt.Errorf("%s has no element %q (it has %d, named by index from 0 or by name)", at, want, len(list))
}

func parseValue(text string) any {
	var v map[string]any
	if err := toml.Unmarshal([]byte("v = "+text), &v); err == nil && len(v) == 1 {
		return v["v"]
	}
	return text
}

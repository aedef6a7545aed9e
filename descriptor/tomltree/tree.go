package tomltree

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
)

// Pos is a place in the document: line and column from 1, the column in characters.
type Pos struct{ Line, Col int }

// Error says why a document was refused, and where.
type Error struct {
	Pos Pos
	Msg string
}

func (e *Error) Error() string { return fmt.Sprintf("%d:%d: %s", e.Pos.Line, e.Pos.Col, e.Msg) }

// Kind is a TOML type.
type Kind string

// The kinds of node, as messages name them.
const (
	Table  Kind = "table"
	Array  Kind = "array"
	String Kind = "string"
	Int    Kind = "integer"
	Float  Kind = "float"
	Bool   Kind = "boolean"
	Time   Kind = "date or time"
)

// Node is a key with its value, or an element of an array.
type Node struct {
	Key  string // "" for the root and for elements of arrays
	Kind Kind
	Pos  Pos // of the value; of a table, its key or header
	// KeyPos is where the key stands (of an element, the value).
	KeyPos Pos
	// Text is a scalar's value as text: the string itself, decimal digits, "true".
	Text string
	// Children are a table's keys in the order of the document, or an array's elements.
	Children []*Node
}

// Child returns the table's key of this name, or nil.
func (n *Node) Child(key string) *Node {
	for _, c := range n.Children {
		if c.Key == key {
			return c
		}
	}
	return nil
}

// Limits of a document.
const (
	maxSize  = 1 << 20 // bytes
	maxDepth = 32      // nested arrays and inline tables; segments of a dotted key
)

// Parse reads a whole document. The error is always an [*Error].
func Parse(data []byte) (*Node, error) {
	n, _, err := Decode(data)
	return n, err
}

// Decode is Parse that also returns the document as the TOML library decodes it.
func Decode(data []byte) (*Node, map[string]any, error) {
	if len(data) > maxSize {
		return nil, nil, &Error{Pos{1, 1}, fmt.Sprintf("the document has %d bytes, %d are allowed", len(data), maxSize)}
	}
	text := strings.TrimPrefix(string(data), "\uFEFF")
	if err := checkDepth(text); err != nil {
		return nil, nil, err
	}
	root := map[string]any{}
	if _, err := toml.Decode(text, &root); err != nil {
		return nil, nil, syntaxError(text, err)
	}
	b := builder{index: newIndex(text)}
	n := b.build("", root, "")
	n.Pos, n.KeyPos = Pos{1, 1}, Pos{1, 1}
	return n, root, nil
}

func syntaxError(text string, err error) error {
	var pe toml.ParseError
	if !errors.As(err, &pe) {
		return &Error{Pos{1, 1}, strings.TrimPrefix(err.Error(), "toml: ")}
	}
	start := min(max(pe.Position.Start, 0), len(text))
	msg := pe.Message
	if msg == "" {
		msg = strings.TrimPrefix(pe.Error(), "toml: ")
	}
	return &Error{posIn(text, start), msg}
}

// posIn counts lines and columns up to an offset.
func posIn(s string, off int) Pos {
	before := s[:off]
	line := strings.Count(before, "\n") + 1
	last := before[strings.LastIndexByte(before, '\n')+1:]
	return Pos{line, len([]rune(last)) + 1}
}

// builder joins decoded values with their places.
type builder struct{ index *index }

func (b *builder) build(key string, v any, path string) *Node {
	place := b.index.places[path]
	n := &Node{Key: key, Pos: place.value, KeyPos: place.key}
	switch v := v.(type) {
	case map[string]any:
		n.Kind = Table
		for k, child := range v {
			n.Children = append(n.Children, b.build(k, child, join(path, k)))
		}
		slices.SortFunc(n.Children, func(a, b *Node) int {
			return cmp.Or(cmp.Compare(a.KeyPos.Line, b.KeyPos.Line), cmp.Compare(a.KeyPos.Col, b.KeyPos.Col), strings.Compare(a.Key, b.Key))
		})
	case []map[string]any:
		n.Kind = Array
		for i, child := range v {
			n.Children = append(n.Children, b.build("", child, joinIndex(path, i)))
		}
	case []any:
		n.Kind = Array
		for i, child := range v {
			n.Children = append(n.Children, b.build("", child, joinIndex(path, i)))
		}
	default:
		n.Kind, n.Text = scalar(v)
	}
	return n
}

func scalar(v any) (Kind, string) {
	switch v := v.(type) {
	case string:
		return String, v
	case int64:
		return Int, strconv.FormatInt(v, 10)
	case float64:
		return Float, strconv.FormatFloat(v, 'g', -1, 64)
	case bool:
		return Bool, strconv.FormatBool(v)
	case time.Time:
		return Time, v.Format(time.RFC3339Nano)
	}
	return Time, fmt.Sprint(v)
}

// join makes the path of a key: segments are separated by a byte that no TOML key has.
func join(path, key string) string        { return path + "\x00" + key }
func joinIndex(path string, i int) string { return path + "\x00\x01" + strconv.Itoa(i) }

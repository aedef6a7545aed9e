package stricttoml

import (
	"encoding"
	"fmt"
	"math"
	"reflect"
	"sort"
	"strconv"
	"strings"
	"time"
)

// Defaulter is a struct that has defaults which are not its zero values. The
// method is called before keys are bound to it.
type Defaulter interface{ SetDefaults() }

// Bind sets the fields of the struct that into points to from the tree, and
// returns all that was wrong, in the order of the file. Keys that are absent
// leave their field as it was. An array replaces the field's former elements.
func (t *Tree) Bind(into any) []Problem {
	b := &binder{tree: t}
	b.value(t.root, reflect.ValueOf(into).Elem(), nil)
	sort.SliceStable(b.problems, func(i, j int) bool {
		p, q := b.problems[i].Pos, b.problems[j].Pos
		return p.Line < q.Line || p.Line == q.Line && p.Col < q.Col
	})
	return b.problems
}

type binder struct {
	tree     *Tree
	problems []Problem
}

func (b *binder) fail(path Path, kind Kind, format string, args ...any) {
	b.problems = append(b.problems, Problem{Pos: b.tree.Pos(path), Path: path, Kind: kind, Message: fmt.Sprintf(format, args...)})
}

var textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()

func (b *binder) value(v any, dst reflect.Value, path Path) {
	if dst.Kind() == reflect.Pointer {
		if dst.IsNil() {
			dst.Set(reflect.New(dst.Type().Elem()))
			setDefaults(dst)
		}
		b.value(v, dst.Elem(), path)
		return
	}
	if dst.Addr().Type().Implements(textUnmarshaler) {
		b.text(v, dst, path)
		return
	}
	switch dst.Kind() {
	case reflect.Struct:
		b.table(v, dst, path)
	case reflect.Map:
		b.mapping(v, dst, path)
	case reflect.Slice:
		b.slice(v, dst, path)
	default:
		b.scalar(v, dst, path)
	}
}

func setDefaults(ptr reflect.Value) {
	if d, ok := ptr.Interface().(Defaulter); ok {
		d.SetDefaults()
	}
}

func (b *binder) text(v any, dst reflect.Value, path Path) {
	var s string
	switch x := v.(type) {
	case string:
		s = x
	case int64:
		s = strconv.FormatInt(x, 10)
	default:
		b.fail(path, Value, "want a string, got %s", typeName(v))
		return
	}
	if err := dst.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(s)); err != nil {
		b.fail(path, Value, "%v", err)
	}
}

func (b *binder) table(v any, dst reflect.Value, path Path) {
	m, ok := v.(map[string]any)
	if !ok {
		b.fail(path, Value, "want a table, got %s", typeName(v))
		return
	}
	fields := fieldsOf(dst.Type())
	for _, key := range sortedKeys(m) {
		index, known := fields[key]
		if !known {
			b.unknown(path.with(key), fields)
			continue
		}
		b.value(m[key], dst.FieldByIndex(index), path.with(key))
	}
}

func (b *binder) unknown(path Path, fields map[string][]int) {
	key := path[len(path)-1]
	names := sortedKeys(fields)
	where := "here"
	if len(path) > 1 {
		where = "in " + path[:len(path)-1].String()
	}
	if near := Nearest(key, names); near != "" {
		b.fail(path, Unknown, "unknown key %s; did you mean %q?", where, near)
		return
	}
	b.fail(path, Unknown, "unknown key %s; known are %s", where, strings.Join(names, ", "))
}

func (b *binder) mapping(v any, dst reflect.Value, path Path) {
	m, ok := v.(map[string]any)
	if !ok {
		b.fail(path, Value, "want a table, got %s", typeName(v))
		return
	}
	if dst.IsNil() {
		dst.Set(reflect.MakeMap(dst.Type()))
	}
	for _, key := range sortedKeys(m) {
		elem := reflect.New(dst.Type().Elem())
		if old := dst.MapIndex(reflect.ValueOf(key)); old.IsValid() {
			elem.Elem().Set(old)
		} else {
			setDefaults(elem)
		}
		b.value(m[key], elem.Elem(), path.with(key))
		dst.SetMapIndex(reflect.ValueOf(key), elem.Elem())
	}
}

func (b *binder) slice(v any, dst reflect.Value, path Path) {
	list, ok := elements(v)
	if !ok {
		b.fail(path, Value, "want an array, got %s", typeName(v))
		return
	}
	out := reflect.MakeSlice(dst.Type(), len(list), len(list))
	for i, e := range list {
		setDefaults(out.Index(i).Addr())
		b.value(e, out.Index(i), path.with(strconv.Itoa(i)))
	}
	dst.Set(out)
}

func (b *binder) scalar(v any, dst reflect.Value, path Path) {
	switch dst.Kind() {
	case reflect.Interface:
		dst.Set(reflect.ValueOf(v))
		return
	case reflect.String:
		if s, ok := v.(string); ok {
			dst.SetString(s)
			return
		}
	case reflect.Bool:
		if x, ok := v.(bool); ok {
			dst.SetBool(x)
			return
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if x, ok := v.(int64); ok {
			if dst.OverflowInt(x) {
				b.fail(path, Value, "%d is out of range", x)
			}
			dst.SetInt(x)
			return
		}
	case reflect.Float64:
		switch x := v.(type) {
		case float64:
			if math.IsNaN(x) {
				b.fail(path, Value, "nan is not a number here")
			}
			dst.SetFloat(x)
			return
		case int64:
			dst.SetFloat(float64(x))
			return
		}
	}
	b.fail(path, Value, "want %s, got %s", kindName(dst.Kind()), typeName(v))
}

// fieldsOf maps the keys of a struct to its fields; those of an embedded struct
// without a tag are its own.
func fieldsOf(t reflect.Type) map[string][]int {
	fields := map[string][]int{}
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("toml"), ",")
		if name != "" && name != "-" && f.IsExported() {
			fields[name] = f.Index
		}
	}
	return fields
}

// Keys returns the keys of a struct type as paths, tables included, in the order of the
// fields. An element of an array of tables, or of a map, is written as "*".
func Keys(v any) []Path {
	var out []Path
	var walk func(t reflect.Type, at Path)
	walk = func(t reflect.Type, at Path) {
		for t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		if t.Kind() != reflect.Struct && t.Kind() != reflect.Slice && t.Kind() != reflect.Map ||
			reflect.PointerTo(t).Implements(textUnmarshaler) {
			return
		}
		if t.Kind() != reflect.Struct {
			walk(t.Elem(), at.with("*"))
			return
		}
		for _, f := range reflect.VisibleFields(t) {
			name, _, _ := strings.Cut(f.Tag.Get("toml"), ",")
			if name == "" || name == "-" {
				continue
			}
			out = append(out, at.with(name))
			walk(f.Type, at.with(name))
		}
	}
	walk(reflect.TypeOf(v), nil)
	return out
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

func typeName(v any) string {
	switch x := v.(type) {
	case string:
		return fmt.Sprintf("the string %q", x)
	case bool:
		return fmt.Sprintf("the boolean %v", x)
	case int64:
		return fmt.Sprintf("the integer %d", x)
	case float64:
		return fmt.Sprintf("the number %v", x)
	case time.Time:
		return "a date"
	case map[string]any:
		return "a table"
	}
	return "an array"
}

func kindName(k reflect.Kind) string {
	switch k {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Float64:
		return "a number"
	}
	return "an integer"
}

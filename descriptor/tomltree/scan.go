package tomltree

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/BurntSushi/toml"
)

// checkDepth refuses nesting that a recursive reader should not be asked to follow.
// Up to the first syntax error its idea of what is a string is TOML's own.
func checkDepth(s string) error {
	depth, dots := 0, 0
	for i := 0; i < len(s); {
		switch c := s[i]; c {
		case '"', '\'':
			i = skipString(s, i)
			continue
		case '#':
			for i < len(s) && s[i] != '\n' {
				i++
			}
			continue
		case '[', '{':
			depth++
			dots = 0
		case ']', '}':
			depth--
		case '.':
			dots++
		case '\n', '=', ',':
			dots = 0
		}
		if depth > maxDepth || dots > maxDepth {
			return &Error{posIn(s, i), "nested more than " + strconv.Itoa(maxDepth) + " deep"}
		}
		i++
	}
	return nil
}

// skipString returns the offset after the string that begins at i, or the end of
// the line or document if it is not closed.
func skipString(s string, i int) int {
	q := s[i : i+1]
	if triple := strings.Repeat(q, 3); strings.HasPrefix(s[i:], triple) {
		for i += 3; i < len(s); i++ {
			switch {
			case s[i] == '\\' && q == `"`:
				i++
			case strings.HasPrefix(s[i:], triple):
				i += 3
				for n := 0; n < 2 && i < len(s) && s[i] == q[0]; n++ { // up to two quotes may end the text
					i++
				}
				return i
			}
		}
		return len(s)
	}
	for i++; i < len(s) && s[i] != '\n'; i++ {
		switch {
		case s[i] == '\\' && q == `"`:
			i++
		case s[i] == q[0]:
			return i + 1
		}
	}
	return min(i, len(s))
}

// place is where a key and its value stand.
type place struct{ key, value Pos }

// index finds the places in a valid document.
type index struct {
	s       string
	off     int
	markOff int
	mark    Pos
	places  map[string]place
	arrays  map[string]int // elements so far of each array of tables
}

func newIndex(s string) *index {
	ix := &index{s: s, mark: Pos{1, 1}, places: map[string]place{}, arrays: map[string]int{}}
	table := ""
	for {
		ix.blank()
		if ix.off >= len(s) {
			return ix
		}
		if s[ix.off] == '[' {
			table = ix.header()
		} else {
			ix.keyValue(table)
		}
	}
}

// pos returns the place of the current offset; it only moves forward.
func (ix *index) pos() Pos {
	for i := ix.markOff; i < ix.off; i++ {
		switch c := ix.s[i]; {
		case c == '\n':
			ix.mark.Line++
			ix.mark.Col = 1
		case c < utf8.RuneSelf || utf8.RuneStart(c):
			ix.mark.Col++
		}
	}
	ix.markOff = max(ix.off, ix.markOff)
	return ix.mark
}

// blank skips white space, line ends and comments.
func (ix *index) blank() {
	for ix.off < len(ix.s) {
		switch ix.s[ix.off] {
		case ' ', '\t', '\r', '\n':
			ix.off++
		case '#':
			for ix.off < len(ix.s) && ix.s[ix.off] != '\n' {
				ix.off++
			}
		default:
			return
		}
	}
}

func (ix *index) accept(c byte) bool {
	ix.blank()
	if ix.off < len(ix.s) && ix.s[ix.off] == c {
		ix.off++
		return true
	}
	return false
}

// key reads one segment of a key.
func (ix *index) key() string {
	ix.blank()
	start := ix.off
	if ix.off < len(ix.s) && (ix.s[ix.off] == '"' || ix.s[ix.off] == '\'') {
		ix.off = skipString(ix.s, ix.off)
		return unquote(ix.s[start:ix.off])
	}
	for ix.off < len(ix.s) && !strings.ContainsRune(" \t\r\n.=]#,}", rune(ix.s[ix.off])) {
		ix.off++
	}
	if ix.off == start {
		ix.off++ // not valid TOML; go on
	}
	return ix.s[start:min(ix.off, len(ix.s))]
}

// unquote decodes a quoted key by the rules of the library that decoded the document.
func unquote(lit string) string {
	var m map[string]string
	if _, err := toml.Decode("k = "+lit, &m); err != nil {
		return lit
	}
	return m["k"]
}

// resolve goes into the last element where a path names an array of tables.
func (ix *index) resolve(path string) string {
	if n := ix.arrays[path]; n > 0 {
		return joinIndex(path, n-1)
	}
	return path
}

// note records a place if it is the first of its path.
func (ix *index) note(path string, p place) {
	if _, ok := ix.places[path]; !ok {
		ix.places[path] = p
	}
}

// header reads [a.b] or [[a.b]] and returns the table's path.
func (ix *index) header() string {
	at := ix.pos()
	ix.off++
	array := ix.accept('[')
	path := ""
	for {
		ix.blank()
		seg := ix.pos()
		path = join(ix.resolve(path), ix.key())
		last := !ix.accept('.')
		if !last || !array {
			ix.note(path, place{seg, at})
		} else {
			ix.note(path, place{at, at})
		}
		if last {
			break
		}
	}
	ix.accept(']')
	if array {
		ix.accept(']')
		path2 := joinIndex(path, ix.arrays[path])
		ix.arrays[path]++
		ix.note(path2, place{at, at})
		return path2
	}
	return ix.resolve(path)
}

// keyValue reads a.b = value within a table.
func (ix *index) keyValue(table string) {
	path := table
	for {
		ix.blank()
		at := ix.pos()
		path = join(path, ix.key())
		if ix.accept('.') {
			ix.note(path, place{at, at})
			continue
		}
		ix.accept('=')
		ix.blank()
		ix.note(path, place{at, ix.pos()})
		ix.value(path)
		return
	}
}

// value reads over a value, noting the places of what is in it.
func (ix *index) value(path string) {
	ix.blank()
	if ix.off >= len(ix.s) {
		return
	}
	switch ix.s[ix.off] {
	case '"', '\'':
		ix.off = skipString(ix.s, ix.off)
	case '[':
		ix.off++
		for i := 0; !ix.accept(']') && ix.off < len(ix.s); i++ {
			element := joinIndex(path, i)
			at := ix.pos()
			ix.note(element, place{at, at})
			ix.value(element)
			ix.accept(',')
		}
	case '{':
		ix.off++
		for !ix.accept('}') && ix.off < len(ix.s) {
			ix.keyValue(path)
			ix.accept(',')
		}
	default:
		start := ix.off
		for ix.off < len(ix.s) && !strings.ContainsRune(",]}#\r\n", rune(ix.s[ix.off])) {
			ix.off++
		}
		if ix.off == start {
			ix.off++ // not valid TOML; go on
		}
	}
}

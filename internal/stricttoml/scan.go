package stricttoml

import (
	"strconv"
	"strings"
)

// Pos is a place in the source: line and column count from 1, columns in bytes.
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

// scanner finds the positions of keys. It runs after the TOML parser has
// accepted the document, so it need not diagnose anything; on input that it
// does not understand it stops, and the remaining keys have no position.
type scanner struct {
	src   string
	off   int
	line  int
	start int // offset of the line's first byte
	at    map[string]Pos
	count map[string]int // elements seen of each array of tables
}

// scanPositions maps the Path of each key, table and array element to its place.
func scanPositions(src string) map[string]Pos {
	s := &scanner{src: strings.TrimPrefix(src, "\ufeff"), line: 1, at: map[string]Pos{}, count: map[string]int{}}
	var table Path
	for s.blank(true) {
		if s.peek() == '[' {
			next, ok := s.header()
			if !ok {
				return s.at
			}
			table = next
			continue
		}
		if !s.pair(table, 0) {
			return s.at
		}
	}
	return s.at
}

func (s *scanner) pos() Pos { return Pos{Line: s.line, Col: s.off - s.start + 1} }

func (s *scanner) peek() byte {
	if s.off < len(s.src) {
		return s.src[s.off]
	}
	return 0
}

func (s *scanner) next() byte {
	c := s.src[s.off]
	s.off++
	if c == '\n' {
		s.line++
		s.start = s.off
	}
	return c
}

func (s *scanner) record(p Path, at Pos) {
	k := p.String()
	if _, seen := s.at[k]; !seen {
		s.at[k] = at
	}
}

// blank skips white space, and with lines also line ends and comments. It
// reports whether anything is left.
func (s *scanner) blank(lines bool) bool {
	for s.off < len(s.src) {
		switch c := s.peek(); {
		case c == ' ' || c == '\t':
			s.off++
		case lines && (c == '\n' || c == '\r'):
			s.next()
		case lines && c == '#':
			for s.off < len(s.src) && s.peek() != '\n' {
				s.off++
			}
		default:
			return true
		}
	}
	return false
}

// header reads [a.b] or [[a.b]] and returns the path of the table, with the
// index of the current element after the name of each array of tables.
func (s *scanner) header() (Path, bool) {
	at := s.pos()
	s.off++
	array := s.peek() == '['
	if array {
		s.off++
	}
	names, ok := s.key()
	if !ok {
		return nil, false
	}
	for s.peek() == ']' {
		s.off++
	}
	path := s.resolve(nil, names[:len(names)-1]).with(names[len(names)-1])
	k := path.String()
	s.record(path, at)
	if array {
		path = path.with(strconv.Itoa(s.count[k]))
		s.count[k]++
		s.record(path, at)
	} else if n := s.count[k]; n > 0 {
		path = path.with(strconv.Itoa(n - 1))
	}
	return path, true
}

// resolve appends names to base; after a name that is an array of tables comes
// the index of its latest element.
func (s *scanner) resolve(base Path, names []string) Path {
	p := append(Path{}, base...)
	for _, n := range names {
		p = append(p, n)
		if c := s.count[p.String()]; c > 0 {
			p = append(p, strconv.Itoa(c-1))
		}
	}
	return p
}

// key reads a dotted key and the blanks after it.
func (s *scanner) key() ([]string, bool) {
	var names []string
	for {
		s.blank(false)
		name, ok := s.simpleKey()
		if !ok {
			return nil, false
		}
		names = append(names, name)
		s.blank(false)
		if s.peek() != '.' {
			return names, true
		}
		s.off++
	}
}

func (s *scanner) simpleKey() (string, bool) {
	if q := s.peek(); q == '"' || q == '\'' {
		from := s.off
		s.quoted(q)
		raw := s.src[from:s.off]
		if q == '"' {
			if v, err := strconv.Unquote(raw); err == nil {
				return v, true
			}
		}
		return strings.Trim(raw, string(q)), true
	}
	from := s.off
	for s.off < len(s.src) && !strings.ContainsRune(" \t\r\n.=[]#\"',{}", rune(s.src[s.off])) {
		s.off++
	}
	return s.src[from:s.off], s.off > from
}

// maxNesting bounds the recursion of inline tables and arrays.
const maxNesting = 200

// pair reads key = value inside the table.
func (s *scanner) pair(table Path, depth int) bool {
	at := s.pos()
	names, ok := s.key()
	if !ok || s.peek() != '=' {
		return false
	}
	s.off++
	path := append(append(Path{}, table...), names...)
	for i := len(table) + 1; i <= len(path); i++ {
		s.record(path[:i], at)
	}
	s.blank(false)
	return s.value(path, depth)
}

func (s *scanner) value(path Path, depth int) bool {
	if depth > maxNesting {
		return false
	}
	switch c := s.peek(); c {
	case '"', '\'':
		s.quoted(c)
	case '[':
		return s.array(path, depth)
	case '{':
		return s.inlineTable(path, depth)
	default:
		from := s.off
		for s.off < len(s.src) && !strings.ContainsRune(",]}#\n", rune(s.src[s.off])) {
			s.off++
		}
		return s.off > from
	}
	return true
}

func (s *scanner) array(path Path, depth int) bool {
	s.off++
	for i := 0; s.blank(true); {
		switch s.peek() {
		case ']':
			s.off++
			return true
		case ',':
			s.off++
		default:
			elem := path.with(strconv.Itoa(i))
			s.record(elem, s.pos())
			if !s.value(elem, depth+1) {
				return false
			}
			i++
		}
	}
	return false
}

func (s *scanner) inlineTable(path Path, depth int) bool {
	s.off++
	for s.blank(true) {
		switch s.peek() {
		case '}':
			s.off++
			return true
		case ',':
			s.off++
		default:
			if !s.pair(path, depth+1) {
				return false
			}
		}
	}
	return false
}

// quoted skips a string of any of TOML's four kinds, opening quote included.
func (s *scanner) quoted(q byte) {
	triple := strings.Repeat(string(q), 3)
	if strings.HasPrefix(s.src[s.off:], triple) {
		s.off += 3
		for s.off < len(s.src) {
			if strings.HasPrefix(s.src[s.off:], triple) {
				s.off += 3
				for s.peek() == q { // up to two quotes may precede the end
					s.off++
				}
				return
			}
			if s.next() == '\\' && q == '"' && s.off < len(s.src) {
				s.next()
			}
		}
		return
	}
	s.off++
	for s.off < len(s.src) {
		c := s.next()
		if c == q || c == '\n' {
			return
		}
		if c == '\\' && q == '"' && s.off < len(s.src) {
			s.next()
		}
	}
}

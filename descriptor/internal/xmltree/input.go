package xmltree

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// input is text being read: the document, or the replacement text of an entity.
type input struct {
	s   string
	off int
	// fixed is the place of the reference for an entity's text.
	fixed *Pos
	// mark is the place of the byte at markOff; places are found by walking on from it.
	mark    Pos
	markOff int
}

func newInput(s string) *input { return &input{s: s, mark: Pos{1, 1}} }

// at returns the place of an offset. Asked in ascending order, all calls together are linear.
func (in *input) at(off int) Pos {
	if in.fixed != nil {
		return *in.fixed
	}
	if off < in.markOff {
		// An error about something behind us: at most one walk from the start.
		return posIn(in.s, off)
	}
	for i := in.markOff; i < off; i++ {
		switch c := in.s[i]; {
		case c == '\n':
			in.mark.Line++
			in.mark.Col = 1
		case c < utf8.RuneSelf || utf8.RuneStart(c):
			in.mark.Col++
		}
	}
	in.markOff = off
	return in.mark
}

func (in *input) pos() Pos { return in.at(in.off) }

func (in *input) errorf(format string, args ...any) error {
	return &Error{in.pos(), fmt.Sprintf(format, args...)}
}

func (in *input) eof() bool              { return in.off >= len(in.s) }
func (in *input) rest() string           { return in.s[in.off:] }
func (in *input) has(prefix string) bool { return strings.HasPrefix(in.s[in.off:], prefix) }

// accept skips a literal if it comes next.
func (in *input) accept(lit string) bool {
	if in.has(lit) {
		in.off += len(lit)
		return true
	}
	return false
}

// space skips white space and reports whether there was any.
func (in *input) space() bool {
	start := in.off
	for in.off < len(in.s) && isSpace(in.s[in.off]) {
		in.off++
	}
	return in.off > start
}

// name reads a Name; "" if there is none.
func (in *input) name() string {
	start := in.off
	for in.off < len(in.s) {
		r, n := utf8.DecodeRuneInString(in.s[in.off:])
		if in.off == start && !isNameStart(r) || !isNameChar(r) {
			break
		}
		in.off += n
	}
	return in.s[start:in.off]
}

// next describes what comes next, for messages.
func (in *input) next() string {
	if in.eof() {
		return "the end of the document"
	}
	r, _ := utf8.DecodeRuneInString(in.rest())
	return fmt.Sprintf("%q", r)
}

// quoted reads a quoted literal and returns the text between the quotes and its offset.
func (in *input) quoted(what string) (string, int, error) {
	if in.eof() || in.s[in.off] != '"' && in.s[in.off] != '\'' {
		return "", 0, in.errorf("expected a quoted %s, found %s", what, in.next())
	}
	q := in.s[in.off]
	start := in.off + 1
	end := strings.IndexByte(in.s[start:], q)
	if end < 0 {
		return "", 0, in.errorf("the quoted %s is not closed", what)
	}
	in.off = start + end + 1
	return in.s[start : start+end], start, nil
}

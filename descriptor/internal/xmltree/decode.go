package xmltree

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"
)

// encodingDecl finds the encoding in the first bytes of an ASCII-compatible document.
// The declaration's syntax is checked later, on the decoded text.
var encodingDecl = regexp.MustCompile(`^<\?xml[ \t\r\n][^>]*?encoding[ \t\r\n]*=[ \t\r\n]*["']([A-Za-z][A-Za-z0-9._-]*)["']`)

// decode turns the bytes of a document into text with \n line ends, in which every
// character is one that XML allows.
func decode(data []byte) (string, *Error) {
	var text string
	var err *Error
	switch {
	case bytes.HasPrefix(data, []byte("\xEF\xBB\xBF")):
		text, err = decodeUTF8Marked(data[3:])
	case bytes.HasPrefix(data, []byte("\x00\x00\xFE\xFF")), bytes.HasPrefix(data, []byte("\xFF\xFE\x00\x00")):
		return "", &Error{Pos{1, 1}, "the document is UTF-32; save it as UTF-8"}
	case bytes.HasPrefix(data, []byte("\xFE\xFF")):
		text, err = decodeUTF16(data[2:], true)
	case bytes.HasPrefix(data, []byte("\xFF\xFE")):
		text, err = decodeUTF16(data[2:], false)
	case bytes.HasPrefix(data, []byte("\x00<\x00?")):
		text, err = decodeUTF16(data, true)
	case bytes.HasPrefix(data, []byte("<\x00?\x00")):
		text, err = decodeUTF16(data, false)
	default:
		text, err = decodeDeclared(data)
	}
	if err != nil {
		return "", err
	}
	if err := checkChars(text); err != nil {
		return "", err
	}
	if strings.Contains(text, "\r") {
		text = strings.ReplaceAll(text, "\r\n", "\n")
		text = strings.ReplaceAll(text, "\r", "\n")
	}
	return text, nil
}

// decodeUTF8Marked decodes after a UTF-8 byte order mark, which another declared
// encoding contradicts.
func decodeUTF8Marked(data []byte) (string, *Error) {
	if m := encodingDecl.FindSubmatch(head(data)); m != nil && !isUTF8Name(string(m[1])) {
		return "", &Error{Pos{1, 1}, fmt.Sprintf("the document begins with a UTF-8 byte order mark but declares the encoding %q", m[1])}
	}
	return string(data), nil
}

func isUTF8Name(name string) bool {
	n := strings.ToUpper(name)
	return n == "UTF-8" || n == "UTF8"
}

func head(data []byte) []byte { return data[:min(len(data), 1024)] }

// decodeDeclared decodes by the declared encoding, UTF-8 if there is none.
func decodeDeclared(data []byte) (string, *Error) {
	m := encodingDecl.FindSubmatch(head(data))
	if m == nil || isUTF8Name(string(m[1])) {
		return string(data), nil
	}
	name := string(m[1])
	if upper := strings.ToUpper(name); strings.HasPrefix(upper, "UTF-16") || strings.HasPrefix(upper, "UTF-32") || strings.HasPrefix(upper, "ISO-10646-UCS") {
		return "", &Error{Pos{1, 1}, fmt.Sprintf("the document declares the encoding %q but its bytes are not", name)}
	}
	enc := lookup(name)
	if enc == nil {
		return "", &Error{Pos{1, 1}, fmt.Sprintf("unknown encoding %q; save the document as UTF-8", name)}
	}
	out, err := enc.NewDecoder().Bytes(data)
	if err != nil {
		return "", &Error{Pos{1, 1}, fmt.Sprintf("decoding %s: %v", name, err)}
	}
	text := string(out)
	if i := strings.IndexRune(text, utf8.RuneError); i >= 0 {
		return "", &Error{posIn(text, i), fmt.Sprintf("a byte here is not %s, which the document declares", name)}
	}
	return text, nil
}

// lookup finds an encoding by its IANA name or, for names of the wild such as
// "cp1252", by the names browsers know. IANA first: a browser takes
// ISO-8859-1 for windows-1252.
func lookup(name string) encoding.Encoding {
	if enc, err := ianaindex.IANA.Encoding(name); err == nil && enc != nil {
		return enc
	}
	if enc, err := ianaindex.MIME.Encoding(name); err == nil && enc != nil {
		return enc
	}
	if enc, err := htmlindex.Get(name); err == nil && enc != encoding.Replacement {
		return enc
	}
	return nil
}

func decodeUTF16(data []byte, bigEndian bool) (string, *Error) {
	var b strings.Builder
	b.Grow(len(data) / 2)
	unit := func(i int) rune {
		if bigEndian {
			return rune(data[i])<<8 | rune(data[i+1])
		}
		return rune(data[i+1])<<8 | rune(data[i])
	}
	i := 0
	for ; i+1 < len(data); i += 2 {
		r := unit(i)
		if utf16.IsSurrogate(r) {
			next := rune(0)
			if i+3 < len(data) {
				next = unit(i + 2)
			}
			if r = utf16.DecodeRune(r, next); r == utf8.RuneError {
				return "", &Error{posIn(b.String(), b.Len()), "half of a UTF-16 surrogate pair"}
			}
			i += 2
		}
		b.WriteRune(r)
	}
	if i != len(data) {
		return "", &Error{posIn(b.String(), b.Len()), "the document ends within a UTF-16 character"}
	}
	return b.String(), nil
}

// checkChars refuses bytes that are not UTF-8 and characters that XML does not allow (§2.2).
func checkChars(s string) *Error {
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c < ' ' && c != '\t' && c != '\n' && c != '\r' {
				return &Error{posIn(s, i), fmt.Sprintf("the control character U+%04X is not allowed in XML", c)}
			}
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 {
			return &Error{posIn(s, i), fmt.Sprintf("the byte 0x%02X is not UTF-8; declare the document's encoding in <?xml encoding=\"...\"?>, or save it as UTF-8", c)}
		}
		if !isChar(r) {
			return &Error{posIn(s, i), fmt.Sprintf("the character U+%04X is not allowed in XML", r)}
		}
		i += n
	}
	return nil
}

// posIn counts lines and columns up to an offset; \r\n, \r and \n end a line.
func posIn(s string, off int) Pos {
	p := Pos{1, 1}
	for i, r := range s[:off] {
		switch {
		case r == '\n', r == '\r' && (i+1 >= len(s) || s[i+1] != '\n'):
			p.Line++
			p.Col = 1
		case r == '\r':
		default:
			p.Col++
		}
	}
	return p
}

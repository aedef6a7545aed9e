package accesslog

import (
	"strconv"
	"unicode/utf8"

	"github.com/serval-server/serval/server/conninfo"
)

// appendRequestLine is %r: the request line as it was sent.
func appendRequestLine(dst []byte, e *Entry) []byte {
	dst = appendRaw(dst, e.Request.Method)
	dst = append(dst, ' ')
	dst = appendRaw(dst, e.Request.RequestURI)
	dst = append(dst, ' ')
	return appendRaw(dst, e.Request.Proto)
}

func appendConnection(dst []byte, e *Entry) []byte {
	if c := conninfo.Of(e.Request.Context()); c != nil {
		return strconv.AppendUint(dst, c.ID, 16)
	}
	return append(dst, '-')
}

// appendEscaped is appendRaw, with "-" for nothing.
func appendEscaped(dst []byte, s string) []byte {
	if s == "" {
		return append(dst, '-')
	}
	return appendRaw(dst, s)
}

// appendRaw appends text from outside with escapes as Tomcat writes them: \" \\ \f
// \n \r \t, and \uXXXX for other control characters and what is not ASCII.
func appendRaw(dst []byte, s string) []byte {
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c < 0x7f && c != '"' && c != '\\' {
			i++
			continue
		}
		dst = append(dst, s[start:i]...)
		r, n := rune(c), 1
		if c >= utf8.RuneSelf {
			if d, size := utf8.DecodeRuneInString(s[i:]); d != utf8.RuneError {
				r, n = d, size
			}
		}
		dst = appendEscape(dst, r)
		i += n
		start = i
	}
	return append(dst, s[start:]...)
}

const hexDigits = "0123456789abcdef"

func appendEscape(dst []byte, r rune) []byte {
	switch r {
	case '"', '\\':
		return append(dst, '\\', byte(r))
	case '\f':
		return append(dst, `\f`...)
	case '\n':
		return append(dst, `\n`...)
	case '\r':
		return append(dst, `\r`...)
	case '\t':
		return append(dst, `\t`...)
	}
	if r > 0xffff { // as two UTF-16 units, which JSON reads as one character
		r -= 0x10000
		return appendEscape(appendEscape(dst, 0xd800+r>>10), 0xdc00+r&0x3ff)
	}
	return append(dst, '\\', 'u', hexDigits[r>>12&15], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
}

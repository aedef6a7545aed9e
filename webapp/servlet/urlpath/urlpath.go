// Package urlpath brings the path of a request into the one form that all
// decisions are made on: mapping, security constraints, files. It follows the
// rules of Servlet 6.1 §3.5.2 as Tomcat applies them: path parameters are taken
// off, percent-encoding is decoded once, dot segments and doubled slashes are
// resolved, and what different software reads differently (an encoded slash, a
// backslash, a NUL, what is not valid encoding, a path that climbs above its
// root) is refused rather than guessed at. So that a path can be spelled in
// only one way when it is compared, the rest of the server never looks at the
// spelling of the client again.
//
// It is a package of its own because both sides need the same rules: the server
// for requests, and an application's own process for the paths that it
// dispatches to.
package urlpath

import (
	"errors"
	"net/http"
	"strings"
	"unicode/utf8"
)

// Options vary what Parse takes.
type Options struct {
	// Internal is set for paths that an application's own code dispatches
	// to. They may have encoded slashes, backslashes (read as slashes) and
	// characters that a client would have to encode: who writes them could
	// as well write what they stand for.
	Internal bool
}

// Path is a path in its one form.
type Path struct {
	// Raw is what was parsed.
	Raw string
	// Clean begins with "/", is decoded, and has no parameters, no empty,
	// "." or ".." segments. A slash at its end is kept; a dot segment at
	// the end leaves none.
	Clean string
	// Params reports that there were path parameters (";name=value").
	Params bool
}

// What Parse refuses; a client is to be answered with 400.
var (
	ErrNotAbsolute = errors.New("path does not begin with a slash")
	ErrEncoding    = errors.New("path has a percent sign without two hex digits")
	ErrSlash       = errors.New("path has a backslash or an encoded slash")
	ErrCharacter   = errors.New("path or query has a character that has to be percent-encoded")
	ErrNUL         = errors.New("path has a NUL")
	ErrAbove       = errors.New("path leads above the root")
	ErrUTF8        = errors.New("path is not valid UTF-8")
)

// FromRequest parses the path that the client has sent, in any of the forms of
// RFC 9112 §3.2. A request that has no request target (one made by a program)
// is parsed from its URL. A query with characters that a URI cannot have is
// refused too (see CheckQuery).
func FromRequest(r *http.Request) (Path, error) {
	raw := r.RequestURI
	if raw == "" {
		return Parse(r.URL.EscapedPath(), Options{})
	}
	if i := strings.IndexByte(raw, '?'); i >= 0 {
		if err := CheckQuery(raw[i+1:]); err != nil {
			return Path{Raw: raw[:i]}, err
		}
		raw = raw[:i]
	}
	if raw != "" && raw[0] != '/' {
		// The absolute form: its path begins after the authority.
		_, rest, ok := strings.Cut(raw, "://")
		if !ok {
			return Path{Raw: raw}, ErrNotAbsolute
		}
		i := strings.IndexByte(rest, '/')
		if i < 0 {
			return Path{Raw: "/", Clean: "/"}, nil
		}
		raw = rest[i:]
	}
	return Parse(raw, Options{})
}

// CheckQuery refuses a raw query with bytes that neither a URI can have (RFC
// 3986 §3.4) nor a browser sends (the query percent-encode set of the URL
// standard): controls, spaces, quotes, angle brackets, and all beyond ASCII. It
// is stricter than net/http and more tolerant than Tomcat.
func CheckQuery(raw string) error {
	for i := range len(raw) {
		switch c := raw[i]; {
		case c <= ' ' || c >= 0x7f || c == '"' || c == '<' || c == '>' || c == '#':
			return ErrCharacter
		}
	}
	return nil
}

// Parse brings a raw path (percent-encoded, without query) into its one form.
func Parse(raw string, o Options) (Path, error) {
	p := Path{Raw: raw}
	if raw == "" || raw[0] != '/' && (!o.Internal || raw[0] != '\\') {
		return p, ErrNotAbsolute
	}
	if plain(raw) {
		p.Clean = raw
		return p, nil
	}
	b, err := decode(make([]byte, 0, len(raw)), raw, o, &p)
	if err != nil {
		return p, err
	}
	if !utf8.Valid(b) {
		return p, ErrUTF8
	}
	b, err = resolve(b)
	p.Clean = string(b)
	return p, err
}

// plain reports that a path is in its one form already; most are.
func plain(raw string) bool {
	for i := range len(raw) {
		c := raw[i]
		switch {
		case c == '%' || c == ';' || c == '\\' || !uriByte(c):
			return false
		case c == '/' && i+1 < len(raw) && (raw[i+1] == '/' || raw[i+1] == '.'):
			return false
		}
	}
	return true
}

// uriByte reports that a byte may be in a path unencoded: those of RFC 3986 §2,
// and "[", "]" and "|", which browsers send as they are.
func uriByte(c byte) bool {
	switch c {
	case '"', '<', '>', '^', '`', '{', '}', '#':
		return false
	}
	return c > ' ' && c < 0x7f
}

// decode takes off parameters and percent-encoding, once.
func decode(b []byte, raw string, o Options, p *Path) ([]byte, error) {
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		switch {
		case c == ';':
			// The segment's parameters reach up to the next slash.
			p.Params = true
			j := strings.IndexByte(raw[i:], '/')
			if j < 0 {
				j = len(raw) - i
			}
			if err := checkParams(raw[i:i+j], o); err != nil {
				return nil, err
			}
			i += j - 1
			continue
		case c == '%':
			if i+2 >= len(raw) || !isHex(raw[i+1]) || !isHex(raw[i+2]) {
				return nil, ErrEncoding
			}
			c = unhex(raw[i+1])<<4 | unhex(raw[i+2])
			i += 2
			if !o.Internal && (c == '/' || c == '\\') {
				return nil, ErrSlash
			}
		case c == 0:
			return nil, ErrNUL
		case c == '\\' && !o.Internal:
			return nil, ErrSlash
		case !o.Internal && !uriByte(c):
			return nil, ErrCharacter
		}
		if c == 0 {
			return nil, ErrNUL
		}
		if c == '\\' {
			c = '/'
		}
		b = append(b, c)
	}
	return b, nil
}

// checkParams refuses in parameters what is refused elsewhere, since what reads
// them (a session id) should not meet it.
func checkParams(s string, o Options) error {
	for i := range len(s) {
		switch c := s[i]; {
		case c == 0:
			return ErrNUL
		case !o.Internal && c == '\\':
			return ErrSlash
		case !o.Internal && !uriByte(c):
			return ErrCharacter
		}
	}
	return nil
}

// resolve takes out empty, "." and ".." segments, in place. What is read is
// never before what is written.
func resolve(b []byte) ([]byte, error) {
	out := b[:0]
	for i := 0; i < len(b); {
		// b[i] is a slash.
		j := i + 1
		for j < len(b) && b[j] != '/' {
			j++
		}
		seg := b[i+1 : j]
		last := j == len(b)
		switch {
		case len(seg) == 0:
			// A doubled slash, or the one at the end, which stays.
			if last {
				out = append(out, '/')
			}
		case len(seg) == 1 && seg[0] == '.':
		case len(seg) == 2 && seg[0] == '.' && seg[1] == '.':
			k := lastSlash(out)
			if k < 0 {
				return nil, ErrAbove
			}
			out = out[:k]
		default:
			out = append(out, b[i:j]...)
		}
		i = j
	}
	if len(out) == 0 {
		return append(out, '/'), nil
	}
	return out, nil
}

func lastSlash(b []byte) int {
	for i := len(b) - 1; i >= 0; i-- {
		if b[i] == '/' {
			return i
		}
	}
	return -1
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func unhex(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c <= 'F':
		return c - 'A' + 10
	default:
		return c - 'a' + 10
	}
}

// Protected reports that a path within an application, in its one form, is in a
// folder that is never served: WEB-INF or META-INF at the root, in any case
// (Servlet 6.1 §10.5).
func Protected(clean string) bool {
	return inFolder(clean, "/WEB-INF") || inFolder(clean, "/META-INF")
}

func inFolder(clean, folder string) bool {
	if len(clean) < len(folder) || len(clean) > len(folder) && clean[len(folder)] != '/' {
		return false
	}
	return strings.EqualFold(clean[:len(folder)], folder) && ascii(clean[:len(folder)])
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

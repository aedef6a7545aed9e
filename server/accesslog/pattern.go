package accesslog

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The patterns that have a name.
const (
	Common   = `%h %l %u %t "%r" %s %b`
	Combined = Common + ` "%{Referer}i" "%{User-Agent}i"`
)

// Pattern is a compiled pattern. It is safe for concurrent use.
type Pattern struct {
	fields  []field
	needApp bool
}

// field is one code of a pattern or the text between two.
type field struct {
	code   byte   // 0 for text between codes
	arg    string // of %{arg}c
	append func(dst []byte, e *Entry) []byte
}

// NeedsApp reports whether the pattern asks for something that only the
// application knows, so that Entry.App is worth filling.
func (p *Pattern) NeedsApp() bool { return p.needApp }

// Append appends a line without its end.
func (p *Pattern) Append(dst []byte, e *Entry) []byte {
	for i := range p.fields {
		dst = p.fields[i].append(dst, e)
	}
	return dst
}

// Parse compiles a pattern: "common", "combined" or codes (tomcat.apache.org,
// access log valve). An unknown code is an error that says where it stands.
func Parse(pattern string) (*Pattern, error) {
	switch pattern {
	case "common":
		pattern = Common
	case "combined":
		pattern = Combined
	}
	if strings.ContainsAny(pattern, "\r\n") {
		return nil, fmt.Errorf("a pattern is one line")
	}
	p := &Pattern{}
	var text []byte
	flush := func() {
		if len(text) > 0 {
			s := string(text)
			p.fields = append(p.fields, field{append: func(dst []byte, _ *Entry) []byte { return append(dst, s...) }})
			text = nil
		}
	}
	for i := 0; i < len(pattern); i++ {
		if pattern[i] != '%' {
			text = append(text, pattern[i])
			continue
		}
		f, n, err := parseCode(pattern[i:])
		if err != nil {
			return nil, fmt.Errorf("pattern, column %d: %w", i+1, err)
		}
		i += n - 1
		if f.code == '%' {
			text = append(text, '%')
			continue
		}
		flush()
		p.fields = append(p.fields, f)
	}
	flush()
	if len(p.fields) == 0 {
		return nil, fmt.Errorf("the pattern is empty")
	}
	for _, f := range p.fields {
		switch f.code {
		case 'u', 'S':
			p.needApp = true
		case 'r', 's':
			p.needApp = p.needApp || f.arg != ""
		}
	}
	return p, nil
}

// parseCode reads the code at the start of s and returns its length.
func parseCode(s string) (field, int, error) {
	if len(s) < 2 {
		return field{}, 0, fmt.Errorf("%% at the end; write %%%% for a percent sign")
	}
	if s[1] != '{' {
		f, err := plainCode(s[1])
		return f, 2, err
	}
	end := strings.IndexByte(s, '}')
	if end < 0 || end+1 >= len(s) {
		return field{}, 0, fmt.Errorf("%%{ without } and a letter after it")
	}
	if end == 2 {
		return field{}, 0, fmt.Errorf("%%{} without a name")
	}
	f, err := argCode(s[end+1], s[2:end])
	return f, end + 2, err
}

// text makes a field of a function that returns text from the client.
func text(code byte, get func(*Entry) string) field {
	return field{code: code, append: func(dst []byte, e *Entry) []byte { return appendEscaped(dst, get(e)) }}
}

func plainCode(c byte) (field, error) {
	f := field{code: c}
	switch c {
	case '%':
	case 'a', 'h':
		return text(c, func(e *Entry) string { return hostOf(e.Request.RemoteAddr) }), nil
	case 'A':
		return text(c, func(e *Entry) string { return hostOf(e.local()) }), nil
	case 'b', 'B':
		f.append = func(dst []byte, e *Entry) []byte {
			if c == 'b' && e.Bytes <= 0 {
				return append(dst, '-')
			}
			return strconv.AppendInt(dst, e.Bytes, 10)
		}
	case 'D':
		f.append = func(dst []byte, e *Entry) []byte { return strconv.AppendInt(dst, e.Elapsed.Microseconds(), 10) }
	case 'F':
		f.append = func(dst []byte, e *Entry) []byte { return strconv.AppendInt(dst, e.FirstByte.Milliseconds(), 10) }
	case 'H':
		return text(c, func(e *Entry) string { return e.Request.Proto }), nil
	case 'I', 'l': // no thread has a name here; nobody answers ident queries
		f.append = func(dst []byte, _ *Entry) []byte { return append(dst, '-') }
	case 'm':
		return text(c, func(e *Entry) string { return e.Request.Method }), nil
	case 'p':
		return text(c, func(e *Entry) string { return portOf(e.local()) }), nil
	case 'q':
		f.append = func(dst []byte, e *Entry) []byte { return appendRaw(dst, e.query()) }
	case 'r':
		f.append = appendRequestLine
	case 's':
		f.append = func(dst []byte, e *Entry) []byte { return strconv.AppendInt(dst, int64(e.Status), 10) }
	case 'S':
		return text(c, func(e *Entry) string { return e.app(App.SessionID) }), nil
	case 't':
		f.append = func(dst []byte, e *Entry) []byte { return e.Start.AppendFormat(dst, "[02/Jan/2006:15:04:05 -0700]") }
	case 'T':
		f.append = func(dst []byte, e *Entry) []byte { return strconv.AppendInt(dst, int64(e.Elapsed/time.Second), 10) }
	case 'u':
		return text(c, func(e *Entry) string { return e.app(App.User) }), nil
	case 'U':
		return text(c, (*Entry).path), nil
	case 'v':
		return text(c, (*Entry).serverName), nil
	case 'X':
		return text(c, (*Entry).connectionStatus), nil
	default:
		return f, fmt.Errorf("unknown code %%%c", c)
	}
	return f, nil
}

func argCode(c byte, arg string) (field, error) {
	f, err := argField(c, arg)
	f.code, f.arg = c, arg
	return f, err
}

func argField(c byte, arg string) (field, error) {
	switch c {
	case 'a':
		switch arg {
		case "remote":
			return plainCode('a')
		case "peer":
			return text(c, func(e *Entry) string { return hostOf(e.peer()) }), nil
		}
		return field{}, fmt.Errorf("%%{%s}a: want remote or peer", arg)
	case 'p':
		switch arg {
		case "local":
			return plainCode('p')
		case "remote":
			return text(c, func(e *Entry) string { return portOf(e.peer()) }), nil
		}
		return field{}, fmt.Errorf("%%{%s}p: want local or remote", arg)
	case 'i':
		key := http.CanonicalHeaderKey(arg)
		if key == "Host" {
			return text(c, func(e *Entry) string { return e.Request.Host }), nil
		}
		return text(c, func(e *Entry) string { return strings.Join(e.Request.Header[key], ",") }), nil
	case 'o':
		key := http.CanonicalHeaderKey(arg)
		return text(c, func(e *Entry) string { return strings.Join(e.Response.Header()[key], ",") }), nil
	case 'c':
		return text(c, func(e *Entry) string { return e.cookie(arg) }), nil
	case 'r':
		return text(c, func(e *Entry) string { return e.app(func(a App) string { return a.RequestAttribute(arg) }) }), nil
	case 's':
		return text(c, func(e *Entry) string { return e.app(func(a App) string { return a.SessionAttribute(arg) }) }), nil
	case 't':
		return timeField(arg)
	case 'T':
		return elapsedField(arg)
	case 'L':
		if arg == "c" {
			return field{append: appendConnection}, nil
		}
		return field{}, fmt.Errorf("%%{%s}L: want c, the connection", arg)
	}
	return field{}, fmt.Errorf("unknown code %%{%s}%c", arg, c)
}

// elapsedField is %{unit}T.
func elapsedField(unit string) (field, error) {
	div, ok := map[string]time.Duration{"ns": 1, "us": time.Microsecond, "ms": time.Millisecond, "s": time.Second}[unit]
	if ok {
		return field{append: func(dst []byte, e *Entry) []byte { return strconv.AppendInt(dst, int64(e.Elapsed/div), 10) }}, nil
	}
	if unit == "fracsec" {
		return field{append: func(dst []byte, e *Entry) []byte { return strconv.AppendFloat(dst, e.Elapsed.Seconds(), 'f', 3, 64) }}, nil
	}
	return field{}, fmt.Errorf("%%{%s}T: want ns, us, ms, s or fracsec", unit)
}

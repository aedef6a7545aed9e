package descriptor

import (
	"fmt"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"
)

const minInt32 = math.MinInt32

// This file holds the rules for single values; both syntaxes go through them.

// pattern reads a URL pattern of a servlet mapping or a constraint: %-decoded, and
// of one of the forms of Servlet 6.1 §12.2. Under the schema of 2.2 a missing slash is put before
// it, as Tomcat does.
func (r *reader) pattern(v value, v22 bool) Pattern {
	p := Pattern{Pos: v.pos, URL: r.str(v)}
	if v.unknown {
		return p
	}
	if strings.Contains(p.URL, "%") {
		decoded, err := url.PathUnescape(p.URL)
		if err != nil {
			r.errorf(v.pos, "the pattern %q is malformed: a \"%%\" must be followed by two hexadecimal digits", p.URL)
			return p
		}
		p.URL = decoded
	}
	if v22 && p.URL != "" && p.URL[0] != '/' && !strings.HasPrefix(p.URL, "*.") {
		r.warnf(v.pos, "the pattern %q does not begin with \"/\"; read as %q, as version 2.2 allows", p.URL, "/"+p.URL)
		p.URL = "/" + p.URL
	}
	if why := malformedPattern(p.URL); why != "" {
		r.errorf(v.pos, "the pattern %q is malformed: %s", p.URL, why)
		return p
	}
	if why := unusualPattern(p.URL); why != "" {
		r.warnf(v.pos, "the pattern %q is unusual: %s", p.URL, why)
	}
	return p
}

// malformedPattern says what is wrong with a decoded pattern, or "".
func malformedPattern(p string) string {
	switch {
	case strings.ContainsAny(p, "\r\n"):
		return "it contains a line break"
	case strings.ContainsRune(p, 0):
		return "it contains a NUL character"
	case p == "":
		return ""
	case strings.HasPrefix(p, "*."):
		if strings.Contains(p, "/") {
			return "an extension pattern (\"*.ext\") has no \"/\""
		}
		return ""
	case p[0] != '/':
		return "it must begin with \"/\" or be an extension (\"*.ext\")"
	case strings.Contains(p, "*."):
		return "a path and an extension cannot be combined; \"/path/*\" and \"*.ext\" are patterns"
	}
	return ""
}

// unusualPattern says why a valid pattern may not mean what its author thinks, or "".
func unusualPattern(p string) string {
	switch {
	case strings.HasPrefix(p, "*.") && strings.Contains(p[2:], "."):
		return "only what follows the last dot is an extension, so this matches nothing"
	case strings.HasPrefix(p, "*.") && len(p) == 2:
		return "the extension is empty"
	case strings.HasSuffix(p, "*") && !strings.HasSuffix(p, "/*") && p != "*":
		return "\"*\" is a wildcard only after \"/\", so this matches one path that ends with an asterisk"
	}
	return ""
}

// filterPattern is pattern for filters, for which "*" alone is "/*".
func (r *reader) filterPattern(v value, v22 bool) Pattern {
	if v.text == "*" && (v.kind == "" || v.kind == "string") {
		r.warnf(v.pos, "the pattern \"*\" is read as \"/*\"")
		return Pattern{URL: "/*", Pos: v.pos}
	}
	p := r.pattern(v, v22)
	if p.URL == "/" {
		r.warnf(v.pos, "the pattern \"/\" of a filter matches nothing; every request is \"/*\"")
	}
	return p
}

// location reads a path within the application, which begins with "/".
func (r *reader) location(v value, v22 bool) string {
	s := r.token(v)
	switch {
	case s == "" || v.unknown || s[0] == '/':
	case v22:
		r.warnf(v.pos, "%s %q does not begin with \"/\"; read as %q, as version 2.2 allows", v.name, s, "/"+s)
		s = "/" + s
	default:
		r.errorf(v.pos, "%s %q is relative; it must begin with \"/\"", v.name, s)
	}
	return s
}

// errorCode reads a status code of an error page. (0 is not a code: a page for
// all errors has no error-code at all.)
func (r *reader) errorCode(v value) int {
	n, _ := r.integer(v, 100, 999)
	return int(n)
}

// errorType reads the error type of an error page.
func (r *reader) errorType(v value) string {
	name := r.token(v)
	if errorTypes[name] {
		return name
	}
	if strings.HasPrefix(name, "java.") || strings.HasPrefix(name, "javax.") || strings.HasPrefix(name, "jakarta.") {
		r.diags.add(v.pos, SeverityWarning, KindClass, "%s %q is a Java exception, which no code here returns; \"error\" stands for every error, or name the application's own error type", v.name, name)
	}
	return name
}

// encoding reads the name of a character encoding.
func (r *reader) encoding(v value) string {
	s := r.token(v)
	if s != "" && !v.unknown && !knownEncoding(s) {
		r.errorf(v.pos, "%s is %q, which is not a known character encoding (UTF-8 is)", v.name, s)
	}
	return s
}

// localeEncoding is encoding for a locale, which fails only those who use it.
func (r *reader) localeEncoding(v value) string {
	s := r.token(v)
	if s != "" && !v.unknown && !knownEncoding(s) {
		r.warnf(v.pos, "%s is %q, which is not a known character encoding (UTF-8 is)", v.name, s)
	}
	return s
}

func knownEncoding(name string) bool {
	if e, err := ianaindex.IANA.Encoding(name); err == nil && e != nil {
		return true
	}
	if e, err := ianaindex.MIME.Encoding(name); err == nil && e != nil {
		return true
	}
	_, err := htmlindex.Get(name)
	return err == nil
}

// welcomeFile reads a file name relative to each folder.
func (r *reader) welcomeFile(v value) string {
	s := r.token(v)
	if strings.HasPrefix(s, "/") {
		r.warnf(v.pos, "the welcome file %q begins with \"/\", but it is relative to each folder; read as %q", s, strings.TrimLeft(s, "/"))
		s = strings.TrimLeft(s, "/")
	}
	return s
}

func (r *reader) extension(v value) string {
	s := strings.ToLower(r.token(v))
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "*.") {
		trimmed := strings.TrimLeft(s, "*.")
		r.warnf(v.pos, "the extension %q is read as %q", s, trimmed)
		s = trimmed
	}
	return s
}

func (r *reader) mimeType(v value) string {
	s := r.token(v)
	if !v.unknown && s != "" && strings.Count(strings.SplitN(s, ";", 2)[0], "/") != 1 {
		r.errorf(v.pos, "%s is %q; a media type is \"type/subtype\"", v.name, s)
	}
	return s
}

func (r *reader) transport(v value) TransportGuarantee {
	return enum(r, v, TransportNone, TransportIntegral, TransportConfidential)
}

// isToken reports whether s is an HTTP token (RFC 9110 §5.6.2).
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(c rune) bool {
		return c <= ' ' || c >= 0x7f || strings.ContainsRune("()<>@,;:\\\"/[]?={}", c)
	})
}

func (r *reader) method(v value) string {
	s := r.token(v)
	switch {
	case s == "" || v.unknown:
	case !isToken(s):
		r.errorf(v.pos, "%s is %q, which is not an HTTP method", v.name, s)
	case s != strings.ToUpper(s):
		r.warnf(v.pos, "the HTTP method %q is not in capitals; methods are case-sensitive, so it does not cover %s", s, strings.ToUpper(s))
	}
	return s
}

var dispatchers = []Dispatcher{DispatchRequest, DispatchForward, DispatchInclude, DispatchError, DispatchAsync}

func (r *reader) dispatcher(m *FilterMapping, v value) {
	if upper := strings.ToUpper(v.text); upper != v.text && slices.Contains(dispatchers, Dispatcher(upper)) {
		r.warnf(v.pos, "%s is %q; read as %q, as Tomcat does", v.name, v.text, upper)
		v.text = upper
	}
	d := enum(r, v, dispatchers...)
	if d != "" && !slices.Contains(m.Dispatchers, d) {
		m.Dispatchers = append(m.Dispatchers, d)
	}
}

func (r *reader) trackingMode(c *SessionConfig, v value) {
	m := enum(r, v, TrackCookie, TrackURL, TrackSSL)
	if m == TrackSSL {
		r.warnf(v.pos, "the tracking mode SSL tracks nothing: TLS 1.3 has no session id; use COOKIE")
	}
	if m != "" && !slices.Contains(c.TrackingModes, m) {
		c.TrackingModes = append(c.TrackingModes, m)
	}
}

// maxTimeout is the longest session timeout: as many minutes as a Java int has seconds for.
const maxTimeout = math.MaxInt32 / 60

// sessionTimeout reads minutes; 0 and less is never.
func (r *reader) sessionTimeout(v value) time.Duration {
	d, ok := r.duration(v, time.Minute, "minutes", minInt32)
	switch {
	case !ok:
		return 0
	case d > maxTimeout*time.Minute:
		r.errorf(v.pos, "%s is %q; at most %d minutes are allowed", v.name, v.text, maxTimeout)
		return 0
	case d <= 0:
		return -time.Minute
	}
	return d
}

func (r *reader) cookieName(v value) string {
	s := r.token(v)
	if s != "" && !v.unknown && !isToken(s) {
		r.errorf(v.pos, "the cookie name %q has a character that no cookie name may have", s)
	}
	return s
}

func (r *reader) cookiePath(v value) string {
	s := r.str(v)
	if s != "" && !v.unknown && (s[0] != '/' || strings.ContainsAny(s, ";\r\n")) {
		r.errorf(v.pos, "the cookie path %q must begin with \"/\" and have no \";\"", s)
	}
	return s
}

func newMultipart(at Pos) *Multipart {
	return &Multipart{MaxFileSize: -1, MaxRequestSize: -1, Pos: at}
}

func (r *reader) sizeInto(dst *int64, v value, lo int64) {
	if n, ok := r.size(v, lo); ok {
		*dst = n
	}
}

func (r *reader) checkCollection(c *ResourceCollection) {
	if len(c.Patterns) == 0 {
		r.errorf(c.Pos, "the web resource collection %q has no url-pattern, so it protects nothing", c.Name)
	}
	if len(c.Methods) > 0 && len(c.OmittedMethods) > 0 {
		r.errorf(c.Pos, "the web resource collection %q lists methods and omitted methods; only one of them may be there", c.Name)
	}
}

// loginMethods are the methods of the specification; another may be a realm's own.
var loginMethods = []string{"BASIC", "DIGEST", "FORM", "CLIENT-CERT"}

func (r *reader) checkLogin(l *LoginConfig) {
	if l.Method != "" && !slices.Contains(loginMethods, l.Method) {
		r.warnf(l.Pos, "the login method %q is not known; it must be %s%s", l.Method, orList(loginMethods), didYouMean(l.Method, loginMethods))
	}
	if l.Method == "FORM" && (l.FormLoginPage == "" || l.FormErrorPage == "") {
		r.errorf(l.Pos, "login by FORM needs a form-login-page and a form-error-page")
	}
}

// envTypes says how the value of an env-entry is checked.
var envTypes = map[string]func(string) error{
	"String":  func(string) error { return nil },
	"Boolean": func(string) error { return nil }, // anything but true is false
	"Byte":    func(s string) error { _, err := strconv.ParseInt(s, 0, 8); return err },
	"Short":   func(s string) error { _, err := strconv.ParseInt(s, 0, 16); return err },
	"Integer": func(s string) error { _, err := strconv.ParseInt(s, 0, 32); return err },
	"Long":    func(s string) error { _, err := strconv.ParseInt(s, 0, 64); return err },
	"Float":   func(s string) error { _, err := strconv.ParseFloat(s, 32); return err },
	"Double":  func(s string) error { _, err := strconv.ParseFloat(s, 64); return err },
	"Character": func(s string) error {
		if len([]rune(s)) != 1 {
			return fmt.Errorf("%q is not one character", s)
		}
		return nil
	},
}

func (r *reader) checkEnvEntry(e *EnvEntry) {
	if e.Name == "" {
		r.errorf(e.Pos, "the env-entry lacks its name")
	}
	check, ok := envTypes[e.Type]
	switch {
	case !ok:
		r.warnf(e.Pos, "the type %q of the env-entry %q is not known; its value is kept as text", e.Type, e.Name)
	case check(e.Value) != nil:
		r.errorf(e.Pos, "the env-entry %q is %q, which is not of the type %s", e.Name, e.Value, e.Type)
	}
}

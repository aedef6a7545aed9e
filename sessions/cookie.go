package sessions

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/serval-server/serval/descriptor"
)

// cookieFormat is the session cookie but for its value. The order of attributes is
// Tomcat's: Max-Age, Expires, Domain, Path, Secure, HttpOnly, SameSite,
// Partitioned, others.
type cookieFormat struct {
	name     string
	maxAge   int // seconds; negative: until the browser ends
	place    string
	secure   bool // on plain HTTP too
	after    string
	now      func() time.Time
	httpOnly bool
}

// cookieAttributes are the attributes of cookie-config by their lower-case names,
// as far as they have a meaning here, and the others in their order.
type cookieAttributes struct {
	domain, path, maxAge string
	secure, httpOnly     bool
	sameSite             *string
	partitioned          *bool
	others               strings.Builder
}

// newCookieFormat reads what descriptor and context file say of the session
// cookie. Two defaults are stricter than Tomcat's: SameSite is Lax if nothing is
// said ("unset" turns it off), and a name that begins with __Host- or __Secure-
// has what browsers require of it (RFC 6265bis §4.1.3).
func newCookieFormat(name, contextPath string, s descriptor.SessionCookie, c descriptor.ContextFile) (f cookieFormat, err error) {
	f = cookieFormat{name: name, maxAge: -1, now: time.Now}
	if !token(name) {
		return f, fmt.Errorf("name %q: only a token (RFC 9110 §5.6.2) can be a cookie's name", name)
	}
	a, err := readCookieAttributes(s.Attributes)
	if err != nil {
		return f, err
	}
	domain := strings.TrimPrefix(first(c.SessionCookieDomain, s.Domain, a.domain), ".")
	if domain != "" && !hostName(domain) {
		return f, fmt.Errorf("domain %q: not a host name", domain)
	}
	declared := first(c.SessionCookiePath, s.Path, a.path)
	path := first(declared, contextPath, "/")
	if isTrue(c.SessionCookiePathSlash) && !strings.HasSuffix(path, "/") {
		path += "/"
	}
	f.secure = isTrue(s.Secure) || a.secure
	if path, err = f.prefixRules(domain, declared, path); err != nil {
		return f, err
	}
	if !cookieText(path) {
		return f, fmt.Errorf("path %q: must not contain ';' or control characters", path)
	}
	if domain != "" {
		f.place = "; Domain=" + domain
	}
	f.place += "; Path=" + path
	if err := f.setMaxAge(s.MaxAge, a.maxAge); err != nil {
		return f, err
	}
	f.httpOnly = c.UseHTTPOnly == nil || *c.UseHTTPOnly || isTrue(s.HTTPOnly) || a.httpOnly
	f.after, err = trailing(&a, c)
	if f.httpOnly {
		f.after = "; HttpOnly" + f.after
	}
	return f, err
}

// prefixRules applies what browsers ask of cookies with certain names. It returns
// the path.
func (f *cookieFormat) prefixRules(domain, declared, path string) (string, error) {
	lower := strings.ToLower(f.name)
	if strings.HasPrefix(lower, "__secure-") {
		f.secure = true
	}
	if !strings.HasPrefix(lower, "__host-") {
		return path, nil
	}
	f.secure = true
	if domain != "" {
		return "", fmt.Errorf("domain %q: browsers refuse a cookie named %s with a domain", domain, f.name)
	}
	if declared != "" && declared != "/" {
		return "", fmt.Errorf("path %q: browsers refuse a cookie named %s with another path than /", declared, f.name)
	}
	return "/", nil
}

func (f *cookieFormat) setMaxAge(declared *int, attribute string) error {
	switch {
	case declared != nil:
		f.maxAge = *declared
	case attribute != "":
		n, err := strconv.Atoi(attribute)
		if err != nil {
			return fmt.Errorf("attribute Max-Age %q: not a number of seconds", attribute)
		}
		f.maxAge = n
	}
	return nil
}

// trailing is what comes after HttpOnly. The attribute of the descriptor goes
// before what the context file says.
func trailing(a *cookieAttributes, c descriptor.ContextFile) (string, error) {
	sameSite := "Lax"
	if s := c.CookieProcessor.SameSite; s != "" {
		sameSite = s
	}
	if a.sameSite != nil {
		sameSite = *a.sameSite
	}
	out := ""
	switch strings.ToLower(sameSite) {
	case "unset", "":
	case "none":
		out = "; SameSite=None"
	case "lax":
		out = "; SameSite=Lax"
	case "strict":
		out = "; SameSite=Strict"
	default:
		return "", fmt.Errorf("SameSite %q: allowed are Strict, Lax, None and unset", sameSite)
	}
	partitioned := isTrue(c.UsePartitioned) || isTrue(c.CookieProcessor.Partitioned)
	if a.partitioned != nil {
		partitioned = *a.partitioned
	}
	if partitioned {
		out += "; Partitioned"
	}
	return out + a.others.String(), nil
}

func readCookieAttributes(params []descriptor.Param) (a cookieAttributes, err error) {
	for _, p := range params {
		switch strings.ToLower(p.Name) {
		case "domain":
			a.domain = p.Value
		case "path":
			a.path = p.Value
		case "max-age":
			a.maxAge = p.Value
		case "expires":
			return a, fmt.Errorf("attribute Expires: use max-age")
		case "secure":
			a.secure = flag(p.Value)
		case "httponly":
			a.httpOnly = flag(p.Value)
		case "samesite":
			a.sameSite = &p.Value
		case "partitioned":
			v := flag(p.Value)
			a.partitioned = &v
		default:
			if !token(p.Name) || !cookieText(p.Value) {
				return a, fmt.Errorf("attribute %q=%q: the name must be a token, the value without ';' and control characters", p.Name, p.Value)
			}
			a.others.WriteString("; " + p.Name + "=" + p.Value)
		}
	}
	return a, nil
}

// flag is the value of an attribute that is there or not: anything but "false".
func flag(v string) bool { return !strings.EqualFold(v, "false") }

// render makes the Set-Cookie header.
func (f *cookieFormat) render(id ID, secure bool) string {
	var b strings.Builder
	b.Grow(len(f.name) + len(id) + len(f.place) + len(f.after) + 80)
	b.WriteString(f.name)
	b.WriteByte('=')
	b.WriteString(string(id))
	if f.maxAge >= 0 {
		b.WriteString("; Max-Age=")
		b.WriteString(strconv.Itoa(f.maxAge))
		b.WriteString("; Expires=")
		at := time.Unix(10, 0) // long ago, as Tomcat says it
		if f.maxAge > 0 {
			at = f.now().Add(time.Duration(f.maxAge) * time.Second)
		}
		b.WriteString(at.UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT"))
	}
	b.WriteString(f.place)
	if secure || f.secure {
		b.WriteString("; Secure")
	}
	b.WriteString(f.after)
	return b.String()
}

func isTrue(b *bool) bool { return b != nil && *b }

// token reports whether s is a token of RFC 9110 §5.6.2.
func token(s string) bool {
	for i := range len(s) {
		c := s[i]
		alnum := c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !alnum && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return s != ""
}

// cookieText reports whether s can stand in an attribute (RFC 6265 §4.1.1 av-octet).
func cookieText(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] >= 0x7f || s[i] == ';' {
			return false
		}
	}
	return true
}

// hostName reports whether s is labels of letters, digits and "-", with dots.
func hostName(s string) bool {
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || label[0] == '-' || label[len(label)-1] == '-' || len(label) > 63 {
			return false
		}
		for i := range len(label) {
			c := label[i]
			if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '-' {
				return false
			}
		}
	}
	return len(s) <= 253
}

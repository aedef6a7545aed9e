package sessions

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode"

	"github.com/serval-server/serval/descriptor"
)

const (
	defaultCookieName = "JSESSIONID"
	defaultParameter  = "jsessionid"
	// maxRequested bounds how many session ids of one request are tried.
	maxRequested = 16
)

// Tracker carries session ids between server and client for one application:
// in a cookie, or in URLs as a path parameter (Servlet 6.1 §7.1), as session-config
// and the context file say. It is safe for concurrent use.
type Tracker struct {
	cookies, urls bool
	name, param   string
	contextPath   string // percent-encoded, "" for the root application
	format        cookieFormat
}

// Requested is a session id that a request came with, as the client wrote it: it
// may be of any form.
type Requested struct {
	ID     ID
	Cookie bool // it came in a cookie; else in the URL
}

// NewTracker makes the tracker of the application at contextPath ("" for the
// root application) from its descriptor. What the context file says of the
// cookie's name, path and domain goes before the descriptor (Tomcat). The error
// says which element cannot be used.
func NewTracker(contextPath string, s descriptor.SessionConfig, c descriptor.ContextFile) (*Tracker, error) {
	t := &Tracker{name: defaultCookieName, param: defaultParameter, contextPath: (&url.URL{Path: contextPath}).EscapedPath()}
	if contextPath == "/" {
		t.contextPath = ""
	}
	t.cookies, t.urls = len(s.TrackingModes) == 0, len(s.TrackingModes) == 0
	for _, m := range s.TrackingModes {
		t.cookies = t.cookies || m == descriptor.TrackCookie
		t.urls = t.urls || m == descriptor.TrackURL
	}
	if c.Cookies != nil && !*c.Cookies {
		t.cookies = false
	}
	if name := first(c.SessionCookieName, s.Cookie.Name); name != "" {
		t.name, t.param = name, name
	}
	var err error
	if t.format, err = newCookieFormat(t.name, t.contextPath, s.Cookie, c); err != nil {
		return nil, fmt.Errorf("session cookie: %w", err)
	}
	return t, nil
}

// CookieName is the name of the session cookie.
func (t *Tracker) CookieName() string { return t.name }

// ParameterName is the name of the path parameter.
func (t *Tracker) ParameterName() string { return t.param }

// ReadIDs returns the session ids of a request in the order in which they are to
// be tried: the session cookies as they come; the one in the URL only if there
// is none (Tomcat: a cookie overrides the URL).
func (t *Tracker) ReadIDs(r *http.Request) []Requested { return t.ReadIDsInto(nil, r) }

// ReadIDsInto is ReadIDs for a caller that has room for the result, which is used
// if it is large enough. What is in it is lost.
func (t *Tracker) ReadIDsInto(room []Requested, r *http.Request) []Requested {
	ids := room[:0]
	if t.cookies {
		for _, line := range r.Header["Cookie"] {
			ids = t.readCookies(ids, line)
		}
	}
	if t.urls && len(ids) == 0 {
		if id := pathParameter(requestPath(r), t.param); id != "" {
			ids = append(ids, Requested{ID: ID(id)})
		}
	}
	return ids
}

// readCookies finds the session cookies in a Cookie header (RFC 6265 §4.2.1, as
// leniently as Tomcat: blanks around "=", quotes). A pair that is malformed is
// skipped.
func (t *Tracker) readCookies(ids []Requested, line string) []Requested {
	for line != "" && len(ids) < maxRequested {
		var pair string
		pair, line, _ = strings.Cut(line, ";")
		name, value, ok := strings.Cut(pair, "=")
		if !ok || strings.Trim(name, " \t") != t.name {
			continue
		}
		value = strings.Trim(value, " \t")
		if n := len(value); n >= 2 && value[0] == '"' && value[n-1] == '"' {
			value = value[1 : n-1]
		}
		id := Requested{ID: ID(value), Cookie: true}
		if value != "" && cookieValue(value) && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// cookieValue reports whether a cookie may have this value, quotes removed.
func cookieValue(v string) bool {
	for i := range len(v) {
		if c := v[i]; c <= ' ' || c == 0x7f || c == '"' || c == ',' || c == '\\' {
			return false
		}
	}
	return true
}

// requestPath is the path as the client wrote it, percent-encoded and with its
// path parameters.
func requestPath(r *http.Request) string {
	uri := r.RequestURI
	if uri == "" {
		return r.URL.EscapedPath()
	}
	if uri[0] != '/' { // absolute form, RFC 9112 §3.2.2
		_, after, ok := strings.Cut(uri, "://")
		if !ok {
			return ""
		}
		i := strings.IndexByte(after, '/')
		if i < 0 {
			return "/"
		}
		uri = after[i:]
	}
	if i := strings.IndexAny(uri, "?#"); i >= 0 {
		uri = uri[:i]
	}
	return uri
}

// pathParameter returns the value of the last path parameter of this name, in any
// segment; "" if there is none.
func pathParameter(path, name string) (value string) {
	for {
		_, rest, ok := strings.Cut(path, ";")
		if !ok {
			return value
		}
		end := strings.IndexAny(rest, ";/")
		if end < 0 {
			end = len(rest)
		}
		if n, v, ok := strings.Cut(rest[:end], "="); ok && n == name {
			value = v
		}
		path = rest[end:]
	}
}

// SetCookie puts the session cookie into a response's header, in place of an
// earlier one of the same name. Secure says that the request came by TLS. It does
// nothing if the application tracks sessions by URL only.
func (t *Tracker) SetCookie(h http.Header, id ID, secure bool) {
	if !t.cookies {
		return
	}
	cookie := t.format.render(id, secure)
	prefix := t.name + "="
	lines := h["Set-Cookie"]
	for i := range lines {
		if strings.HasPrefix(lines[i], prefix) {
			lines[i] = cookie
			return
		}
	}
	h["Set-Cookie"] = append(lines, cookie)
}

// EncodeURL adds the id to an address as a path parameter if the application may
// track by URL and the address leads into it: same scheme, host and port as the
// request, under the context path, with a path of its own. Secure says that the
// request came by TLS. It is for requests whose id did not come in a cookie. What
// is not to be encoded is returned as it is.
func (t *Tracker) EncodeURL(r *http.Request, address string, id ID, secure bool) string {
	if !t.urls || id == "" {
		return address
	}
	end := strings.IndexAny(address, "?#")
	if end < 0 {
		end = len(address)
	}
	path := address[:end]
	if path == "" && address != "" || strings.ContainsFunc(address, unicode.IsControl) {
		return address
	}
	if !t.inside(r, path, secure) || strings.Contains(path, ";"+t.param+"="+string(id)) {
		return address
	}
	if ref, err := url.Parse(path); err == nil && ref.Host != "" && ref.Path == "" {
		path += "/" // the parameter would be part of the authority
	}
	if address == "" {
		// The address of the request itself (Tomcat makes it absolute).
		path = requestPath(r)
		if old := pathParameter(path, t.param); old != "" {
			path = strings.Replace(path, ";"+t.param+"="+old, "", 1)
		}
	}
	return path + ";" + t.param + "=" + string(id) + address[end:]
}

// inside reports whether an address without query and fragment leads into the
// application.
func (t *Tracker) inside(r *http.Request, address string, secure bool) bool {
	ref, err := url.Parse(address)
	if err != nil || ref.Opaque != "" || ref.User != nil || strings.ContainsAny(address, " \t\\") {
		return false
	}
	if ref.Host == "" && strings.HasPrefix(address, "//") { // browsers take what follows for a host
		return false
	}
	scheme := "http"
	if secure {
		scheme = "https"
	}
	if ref.Scheme != "" && !strings.EqualFold(ref.Scheme, scheme) {
		return false
	}
	if ref.Host != "" && !sameHost(ref, r.Host, scheme) {
		return false
	}
	if ref.Host == "" && ref.Scheme != "" {
		return false
	}
	if ref.Host != "" {
		return under(ref.EscapedPath(), t.contextPath)
	}
	base := &url.URL{Path: "/"}
	if u, err := url.ParseRequestURI(requestPath(r)); err == nil {
		base = u
	}
	return under(base.ResolveReference(ref).EscapedPath(), t.contextPath)
}

func sameHost(u *url.URL, host, scheme string) bool {
	mine := url.URL{Host: host}
	port := func(u *url.URL) string {
		switch p := u.Port(); {
		case p != "":
			return p
		case scheme == "https":
			return "443"
		default:
			return "80"
		}
	}
	return strings.EqualFold(u.Hostname(), mine.Hostname()) && port(u) == port(&mine)
}

// under reports whether a path is the context path or below it.
func under(path, contextPath string) bool {
	rest, ok := strings.CutPrefix(path, contextPath)
	return ok && (rest == "" || rest[0] == '/' || rest[0] == ';')
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

package pages

import (
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"time"

	"github.com/serval-server/serval/webapp/servlet"
)

// Data is what a page is executed with: the dot. Its fields are never nil
// except Session.
type Data struct {
	// Request is the request that is answered.
	Request *Request
	// Session is the client's session, nil if it has none. A page makes no
	// session by being looked at; NewSession does.
	Session *Session
	// Context is the application.
	Context *Context
	// Init are the init parameters of the servlet.
	Init map[string]string

	w http.ResponseWriter
	r *http.Request
}

func newData(w http.ResponseWriter, r *http.Request, init map[string]string) *Data {
	d := &Data{Request: &Request{r: r}, Context: &Context{}, Init: init, w: w, r: r}
	if servlet.PassOf(r) != nil {
		d.Context.c = servlet.ContextOf(r)
		if s := servlet.ExistingSession(r); s != nil {
			d.Session = &Session{s}
		}
	}
	return d
}

// NewSession is the client's session, which is made if it has none.
func (d *Data) NewSession() (*Session, error) {
	if d.Session == nil {
		s, err := servlet.OpenSession(d.r)
		if err != nil {
			return nil, err
		}
		d.Session = &Session{s}
	}
	return d.Session, nil
}

// URL is the address of a path of the application ("/cart"): with the context
// path before it and, for a client without cookies, the session's id in it.
// Addresses that do not begin with one slash stay as they are.
func (d *Data) URL(path string) string {
	if strings.HasPrefix(path, "/") && !strings.HasPrefix(path, "//") {
		path = servlet.ContextPath(d.r) + path
	}
	return servlet.EncodeURL(d.r, path)
}

// Include is what another servlet or file of the application answers, by its
// path: relative to the page, or with a slash to the application.
func (d *Data) Include(path string) (template.HTML, error) {
	to := servlet.DispatcherOf(d.r, path)
	if to == nil {
		return "", fmt.Errorf("including %q: not a path of this application", path)
	}
	rec := &recorder{header: d.w.Header().Clone()}
	if err := to.Include(rec, d.r); err != nil {
		return "", fmt.Errorf("including %s: %w", path, err)
	}
	if rec.err != nil {
		return "", fmt.Errorf("including %s: %w", path, rec.err)
	}
	return template.HTML(rec.body.String()), nil //nolint:gosec // the application's own answer
}

// maxInclude bounds what Include keeps in memory.
const maxInclude = 8 << 20

var errTooLong = errors.New("the included answer is longer than 8 MiB")

// recorder keeps an included answer.
type recorder struct {
	header http.Header
	body   strings.Builder
	err    error
}

func (r *recorder) Header() http.Header { return r.header }
func (r *recorder) WriteHeader(int)     {}
func (r *recorder) Write(b []byte) (int, error) {
	if r.body.Len()+len(b) > maxInclude {
		r.err = errTooLong
		return 0, r.err
	}
	return r.body.Write(b)
}

// SetHeader sets a header of the answer, as long as the page is in the buffer.
func (d *Data) SetHeader(name, value string) string {
	d.w.Header().Set(name, value)
	return ""
}

// Request is the request as a page sees it.
type Request struct{ r *http.Request }

// Method is GET, POST or HEAD (any other for error pages).
func (q *Request) Method() string { return q.r.Method }

// Path is the path inside the application, decoded.
func (q *Request) Path() string { return servlet.ServletPath(q.r) + servlet.PathInfo(q.r) }

// URI is the path as the client wrote it, with the context path.
func (q *Request) URI() string { return servlet.RequestURI(q.r) }

// Query is the query string as the client wrote it, without its question mark.
func (q *Request) Query() string { return q.r.URL.RawQuery }

// ContextPath is the application's path, "" for the root application.
func (q *Request) ContextPath() string { return servlet.ContextPath(q.r) }

// Host is the host that the client asked for, with its port if it named one.
func (q *Request) Host() string { return q.r.Host }

// RemoteAddr is the client's address with its port.
func (q *Request) RemoteAddr() string { return q.r.RemoteAddr }

// Secure reports whether the request came over TLS.
func (q *Request) Secure() bool { return q.r.TLS != nil }

// Header is a header of the request, "" if it has none.
func (q *Request) Header(name string) string { return q.r.Header.Get(name) }

// Param is the first value of a parameter of the query or the form, "" if there
// is none.
func (q *Request) Param(name string) string { return q.r.FormValue(name) }

// Params are all values of a parameter.
func (q *Request) Params(name string) []string {
	q.r.FormValue(name) // parses the form
	return q.r.Form[name]
}

// Cookie is the value of a cookie, "" if there is none.
func (q *Request) Cookie(name string) string {
	c, err := q.r.Cookie(name)
	if err != nil {
		return ""
	}
	return c.Value
}

// Get is a request attribute, nil if there is none: what a servlet that
// forwards to a page hands to it.
func (q *Request) Get(name string) any { return servlet.Attribute(q.r, name) }

// Session is the client's session as a page sees it. A nil Session is one
// without attributes.
type Session struct{ s *servlet.Session }

// ID is the session's id.
func (s *Session) ID() string {
	if s == nil {
		return ""
	}
	return s.s.ID()
}

// IsNew reports whether the client has not sent the id back yet.
func (s *Session) IsNew() bool { return s != nil && s.s.IsNew() }

// Created is when the session was made.
func (s *Session) Created() time.Time {
	if s == nil {
		return time.Time{}
	}
	return s.s.Created()
}

// LastAccessed is when the session's last request ended.
func (s *Session) LastAccessed() time.Time {
	if s == nil {
		return time.Time{}
	}
	return s.s.LastAccessed()
}

// Names are the names of the attributes, sorted.
func (s *Session) Names() ([]string, error) {
	if s == nil {
		return nil, nil
	}
	return s.s.Names()
}

// Get is an attribute by its name, nil if there is none. A struct comes as a map
// by the names of its fields, so {{(.Session.Get "cart").Total}} works whatever
// the program's type is.
func (s *Session) Get(name string) (any, error) {
	if s == nil {
		return nil, nil
	}
	v, err := servlet.Get[any](s.s, name)
	if errors.Is(err, servlet.ErrNoAttribute) || errors.Is(err, servlet.ErrInvalid) {
		return nil, nil
	}
	return v, err
}

// Context is the application as a page sees it.
type Context struct{ c *servlet.Context }

// Path is the context path, "" for the root application.
func (c *Context) Path() string {
	if c.c == nil {
		return ""
	}
	return c.c.Path()
}

// Name is the descriptor's display-name.
func (c *Context) Name() string {
	if c.c == nil {
		return ""
	}
	return c.c.Name()
}

// Version is the bundle's version, "" if it has none.
func (c *Context) Version() string {
	if c.c == nil {
		return ""
	}
	return c.c.Version()
}

// InitParam is a context-param, "" if there is none.
func (c *Context) InitParam(name string) string {
	if c.c == nil {
		return ""
	}
	return c.c.InitParam(name)
}

// Get is an attribute of the application, nil if there is none. Those of a worker
// are in its own process and not seen here.
func (c *Context) Get(name string) any {
	if c.c == nil {
		return nil
	}
	return c.c.Attribute(name)
}

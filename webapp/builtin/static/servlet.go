package static

import (
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"

	"github.com/serval-server/serval/webapp/builtin/mime"
	"github.com/serval-server/serval/webapp/builtin/resources"
)

// Kind is how a request came to the servlet.
type Kind int

const (
	// Direct is a client's request. Nothing below WEB-INF and META-INF is
	// served to it.
	Direct Kind = iota
	// Forward is a request that another servlet handed on.
	Forward
	// Include adds the file's text to another servlet's answer: no header, no
	// status, no condition; a missing file is an error of the including servlet
	// (Servlet 6.1 §9.3).
	Include
	// Error is the dispatch to an error page: whatever the method, the file is
	// sent, under the status that is set already.
	Error
)

// Target is what a request asks for.
type Target struct {
	// Path of the resource inside the application, decoded and normalised,
	// beginning with a slash.
	Path string
	// URI is the path of the request as the client wrote it, with the context
	// path and without the query, for redirects.
	URI string
	// ContextPath is what the links of a listing begin with; "" for the root.
	ContextPath string
	Kind        Kind
}

// Options is what New needs. Only FS is required.
type Options struct {
	// FS is the application's tree. If it is a resources.Writer, PUT and DELETE
	// change it (when Config.ReadOnly is false).
	FS     fs.FS
	Config Config
	// MIMEType gives the type of a file name, "" for none. Nil is mime.ByName.
	MIMEType func(name string) string
	// Target says what a request asks for. Nil takes the request's URL as it is.
	Target func(*http.Request) Target
	// Error answers with a status of 400 or more. Nil is http.Error.
	Error func(w http.ResponseWriter, r *http.Request, status int, message string)
	// Fail reports an error that is the server's, and one inside an include.
	// Nil calls Error with 500, or 404 for fs.ErrNotExist.
	Fail func(w http.ResponseWriter, r *http.Request, err error)
	// KeepContentType is told before a file is sent that its Content-Type is to
	// stay as it is, without a charset. Nil: nobody needs to know.
	KeepContentType func(w http.ResponseWriter)
	// ServerInfo is the line below a listing. Empty is none.
	ServerInfo string
}

// Servlet is the default servlet. It is made by New and safe for concurrent use.
type Servlet struct {
	Options
	allow  string
	hashes hashCache
}

var _ http.Handler = (*Servlet)(nil)

// New makes a default servlet.
func New(o Options) *Servlet {
	if o.MIMEType == nil {
		o.MIMEType = mime.ByName
	}
	if o.Target == nil {
		o.Target = plainTarget
	}
	if o.Error == nil {
		o.Error = func(w http.ResponseWriter, _ *http.Request, status int, message string) {
			http.Error(w, message, status)
		}
	}
	if o.Fail == nil {
		o.Fail = func(w http.ResponseWriter, r *http.Request, err error) {
			status := http.StatusInternalServerError
			if notFound(err) {
				status = http.StatusNotFound
			}
			o.Error(w, r, status, http.StatusText(status))
		}
	}
	if o.KeepContentType == nil {
		o.KeepContentType = func(http.ResponseWriter) {}
	}
	allow := "OPTIONS, GET, HEAD"
	if o.Config.AllowPostAsGet {
		allow += ", POST"
	}
	if !o.Config.ReadOnly {
		allow += ", PUT, DELETE"
	}
	return &Servlet{Options: o, allow: allow}
}

func plainTarget(r *http.Request) Target {
	return Target{Path: r.URL.Path, URI: r.URL.EscapedPath()}
}

// ServeHTTP answers a request by its method.
func (s *Servlet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	t := s.Target(r)
	name, folder, ok := resourceName(t.Path)
	if !ok || t.Kind == Direct && resources.IsPrivate(name) {
		s.missing(w, r, t)
		return
	}
	if t.Kind == Error || t.Kind == Include {
		s.get(w, r, t, name, folder)
		return
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		s.get(w, r, t, name, folder)
	case http.MethodPost:
		if !s.Config.AllowPostAsGet {
			s.notAllowed(w, r)
			return
		}
		s.get(w, r, t, name, folder)
	case http.MethodPut:
		s.put(w, r, name, folder)
	case http.MethodDelete:
		s.delete(w, r, name)
	case http.MethodOptions:
		w.Header().Set("Allow", s.allow)
	case http.MethodTrace:
		s.notAllowed(w, r)
	default:
		s.error(w, r, http.StatusNotImplemented)
	}
}

// resourceName turns a path into a name of the tree, and tells whether the
// path asks for a folder by its last slash. What the container would not have
// let through is no name.
func resourceName(p string) (name string, folder, ok bool) {
	folder = strings.HasSuffix(p, "/")
	name = strings.TrimSuffix(strings.TrimPrefix(p, "/"), "/")
	if name == "" {
		name = "."
	}
	return name, folder, fs.ValidPath(name) && !strings.ContainsAny(name, "\x00\\")
}

func (s *Servlet) error(w http.ResponseWriter, r *http.Request, status int) {
	s.Error(w, r, status, http.StatusText(status))
}

func (s *Servlet) notAllowed(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Allow", s.allow)
	s.error(w, r, http.StatusMethodNotAllowed)
}

// missing reports that there is nothing of that name.
func (s *Servlet) missing(w http.ResponseWriter, r *http.Request, t Target) {
	if t.Kind == Include {
		s.Fail(w, r, fmt.Errorf("including %s: %w", t.Path, fs.ErrNotExist))
		return
	}
	s.error(w, r, http.StatusNotFound)
}

// redirect sends the client to the folder's path with its slash. The location
// is relative to the host, as Tomcat's is, and can name no other host: several
// slashes at its beginning become one.
func (s *Servlet) redirect(w http.ResponseWriter, r *http.Request, t Target) {
	uri := "/"
	if rest := strings.TrimLeft(t.URI, "/\\"); rest != "" {
		uri += rest + "/"
	}
	if r.URL.RawQuery != "" || r.URL.ForceQuery {
		uri += "?" + r.URL.RawQuery
	}
	w.Header().Set("Location", uri)
	w.WriteHeader(s.Config.DirectoryRedirectStatusCode)
}

// describe is the media type of a resource.
func (s *Servlet) describe(name string) string { return s.MIMEType(path.Base(name)) }

package pages

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"

	"github.com/serval-server/serval/webapp/builtin/resources"
	"github.com/serval-server/serval/webapp/servlet"
)

// Options is what New needs. Only FS is required.
type Options struct {
	// FS is the bundle.
	FS fs.FS
	// Config are the init parameters.
	Config Config
	// Path is the path of the page that a request asks for, inside the
	// bundle. Nil: ServletPath and PathInfo, or outside of an application the
	// URL's path.
	Path func(*http.Request) string
	// Fail reports an error of a page when it is not shown. Nil is servlet.Fail.
	Fail func(w http.ResponseWriter, r *http.Request, err error)
}

// Servlet serves the pages of a bundle. It is made by New.
type Servlet struct {
	Options

	mu    sync.RWMutex
	pages map[string]*page // guarded by mu; by name, only of files that exist
}

var _ http.Handler = (*Servlet)(nil)

// New makes the servlet.
func New(o Options) *Servlet {
	if o.Path == nil {
		o.Path = pagePath
	}
	if o.Fail == nil {
		o.Fail = servlet.Fail
	}
	return &Servlet{Options: o, pages: make(map[string]*page)}
}

func pagePath(r *http.Request) string {
	if servlet.PassOf(r) == nil {
		return r.URL.Path
	}
	return servlet.ServletPath(r) + servlet.PathInfo(r)
}

// ServeHTTP executes the page that the request asks for. Clients may use GET,
// HEAD and POST (as with JSPs); an error page is shown for any method.
func (s *Servlet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	kind := servlet.DispatcherTypeOf(r)
	p := s.Config.Page
	fixed := p != ""
	if !fixed {
		p = s.Path(r)
	}
	name := strings.TrimPrefix(path.Clean("/"+p), "/")
	if strings.HasSuffix(p, "/") || !fs.ValidPath(name) || kind == servlet.Request && !fixed && resources.IsPrivate(name) {
		s.sendError(w, r, http.StatusNotFound)
		return
	}
	if kind != servlet.Error && kind != servlet.Include && !s.methodAllowed(w, r) {
		return
	}
	pg, err := s.page(name)
	switch {
	case errors.Is(err, fs.ErrNotExist) && kind == servlet.Include:
		s.Fail(w, r, err)
	case errors.Is(err, fs.ErrNotExist):
		s.sendError(w, r, http.StatusNotFound)
	case err != nil:
		s.failed(w, r, err)
	default:
		s.execute(w, r, pg)
	}
}

func (s *Servlet) methodAllowed(w http.ResponseWriter, r *http.Request) bool {
	const allow = "GET, HEAD, POST, OPTIONS"
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost:
		return true
	case http.MethodOptions:
		w.Header().Set("Allow", allow)
		return false
	}
	w.Header().Set("Allow", allow)
	s.sendError(w, r, http.StatusMethodNotAllowed)
	return false
}

func (s *Servlet) sendError(w http.ResponseWriter, r *http.Request, status int) {
	// It fails only if the response has begun, and then nothing can be said.
	_ = servlet.SendError(w, r, status, http.StatusText(status))
}

// page is the compiled page, made anew if a file of it has changed.
func (s *Servlet) page(name string) (*page, error) {
	s.mu.RLock()
	pg := s.pages[name]
	s.mu.RUnlock()
	if pg != nil && pg.fresh(s.FS) {
		return pg, nil
	}
	pg, err := load(s.FS, name)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		delete(s.pages, name)
		return nil, err
	}
	s.pages[name] = pg
	return pg, nil
}

// maxBuffer is how much of a page is kept back before it is sent, so that a
// page that fails in the middle can still become an error page.
const maxBuffer = 1 << 20

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

func (s *Servlet) execute(w http.ResponseWriter, r *http.Request, pg *page) {
	h := w.Header()
	kind := servlet.DispatcherTypeOf(r)
	if kind != servlet.Include && h.Get("Content-Type") == "" {
		h.Set("Content-Type", "text/html;charset=UTF-8")
	}
	buf := buffers.Get().(*bytes.Buffer)
	defer func() {
		if buf.Cap() <= maxBuffer {
			buf.Reset()
			buffers.Put(buf)
		}
	}()
	out := &pageWriter{w: w, buf: buf, ctx: r.Context()}
	err := pg.tmpl.Execute(out, newData(w, r, s.Config.Init))
	switch {
	case err != nil && out.sent:
		s.Fail(w, r, newError(err)) // too late to show it
	case err != nil:
		h.Del("Content-Type")
		s.failed(w, r, newError(err))
	default:
		if !out.sent && kind == servlet.Request && h.Get("Content-Length") == "" {
			h.Set("Content-Length", strconv.Itoa(buf.Len()))
		}
		_ = out.flush() // the client has gone if it fails
	}
}

// pageWriter keeps the page back until it is too long for that.
type pageWriter struct {
	w    http.ResponseWriter
	buf  *bytes.Buffer
	ctx  context.Context
	sent bool
}

func (p *pageWriter) Write(b []byte) (int, error) {
	if err := p.ctx.Err(); err != nil {
		return 0, err // nobody waits for the rest
	}
	if p.buf.Len()+len(b) > maxBuffer {
		if err := p.flush(); err != nil {
			return 0, err
		}
	}
	return p.buf.Write(b)
}

func (p *pageWriter) flush() error {
	if p.buf.Len() == 0 {
		return nil
	}
	p.sent = true
	_, err := p.w.Write(p.buf.Bytes())
	p.buf.Reset()
	return err
}

// failed answers for a page that has an error: with its source in development
// mode, else as the application's error page has it.
func (s *Servlet) failed(w http.ResponseWriter, r *http.Request, err error) {
	var e *Error
	if !s.Config.Development || !errors.As(err, &e) || servlet.DispatcherTypeOf(r) == servlet.Include {
		s.Fail(w, r, err)
		return
	}
	if servlet.PassOf(r) != nil {
		servlet.ContextOf(r).Logger().Error("page error", "page", e.Place.String(), "error", e.Message)
	}
	var body bytes.Buffer
	data := struct {
		Place   Place
		Message string
		Source  []sourceLine
	}{e.Place, e.Message, source(s.FS, e.Place)}
	if terr := errorPage.Execute(&body, data); terr != nil {
		s.Fail(w, r, errors.Join(err, terr))
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html;charset=UTF-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(body.Len()))
	w.WriteHeader(http.StatusInternalServerError)
	_, _ = w.Write(body.Bytes()) // the client has gone if it fails
}

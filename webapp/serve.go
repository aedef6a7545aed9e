package webapp

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/serval-server/serval/webapp/builtin/filters"
	"github.com/serval-server/serval/webapp/mapper"
	"github.com/serval-server/serval/webapp/servlet"
	"github.com/serval-server/serval/webapp/servlet/urlpath"
)

// Observer is the http.ResponseWriter that the server's pipeline has made for a request.
type Observer interface {
	// ObserveRequest is called with the request as the application sees it, for the
	// access log.
	ObserveRequest(*http.Request)
	// Room is where the application may keep what belongs to the request.
	Room() *Room
}

// ServeHTTP serves a request whose path is within the context path.
func (c *Context) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p, err := urlpath.FromRequest(r)
	if err != nil {
		// Whoever sends such a target may have framed the rest as badly.
		w.Header().Set("Connection", "close")
		c.reportBare(w, r, http.StatusBadRequest, "bad request target: "+err.Error())
		return
	}
	c.ServePath(w, r, p)
}

// ServePath is ServeHTTP for a caller that has parsed the path already.
func (c *Context) ServePath(w http.ResponseWriter, r *http.Request, p urlpath.Path) {
	if !inContext(p.Clean, c.path) {
		c.reportBare(w, r, http.StatusNotFound, "")
		return
	}
	if !c.enter() {
		w.Header().Set("Retry-After", "1")
		c.reportBare(w, r, http.StatusServiceUnavailable, "the application is not running")
		return
	}
	defer c.leave()
	o, observed := w.(Observer)
	x := exchangeIn(o)
	x.c = c
	x.res = response{w: w, ex: x}
	x.Init(x, c.app, chi.RouteCtxKey)
	path := p.Clean[len(c.path):]
	m, found := c.table.Map(path)
	x.begin(r, p.Raw, path, &m)
	if observed {
		o.ObserveRequest(x.r)
	}
	if m.Redirect {
		x.redirectSlash(p.Clean)
		return
	}
	if c.opts.Forwarder != nil && found && x.statefulTarget(&m) && x.forwarded(w, r) {
		return
	}
	x.serve(&m, found)
}

func inContext(path, context string) bool {
	return strings.HasPrefix(path, context) && (len(path) == len(context) || path[len(context)] == '/')
}

// begin makes the request of the first pass.
func (x *exchange) begin(r *http.Request, raw, path string, m *mapper.Match) {
	p := x.First()
	p.Type = servlet.Request
	p.RequestURI = raw
	p.Query = r.URL.RawQuery
	p.ServletPath, p.PathInfo, p.Mapping = m.ServletPath, m.PathInfo, m.Mapping
	if m.Path != "" {
		path = m.Path
	}
	x.url = *r.URL
	x.url.Path, x.url.RawPath = rooted(path), ""
	x.r = x.StartFirst(r)
	x.r.URL = &x.url
	x.r.Pattern = m.Pattern
}

// rooted is the path that a handler sees for the bare context path.
func rooted(path string) string {
	if path == "" {
		return "/"
	}
	return path
}

// redirectSlash sends the client to the same path with a slash at its end.
func (x *exchange) redirectSlash(path string) {
	location := (&url.URL{Path: path + "/"}).EscapedPath()
	if q := x.First().Query; q != "" {
		location += "?" + q
	}
	x.res.Header().Set("Location", x.EncodeURL(x.r, location))
	x.res.WriteHeader(http.StatusFound)
	x.end()
}

// serve runs the request and ends its response.
func (x *exchange) serve(m *mapper.Match, found bool) {
	defer x.endSessions()
	c := x.c
	err := x.run(m, found)
	if err != nil && !x.aborted {
		x.fail(err)
	}
	if x.aborted {
		// The handler wants its client to see a broken answer, but what it
		// has changed in the session stands.
		_ = x.commitSession()
		if x.heard {
			_ = c.notifyRequest(servlet.RequestDestroyed, x.r) // as below
		}
		panic(http.ErrAbortHandler)
	}
	if x.failed() {
		x.answerError()
	}
	if x.heard {
		_ = c.notifyRequest(servlet.RequestDestroyed, x.r) // what a listener panics with is in the log
	}
	x.end()
}

// end commits the response, and with it what the request has changed.
func (x *exchange) end() {
	err := x.res.finish()
	if err == nil {
		return
	}
	if x.res.failed == nil {
		return // the client has gone
	}
	x.c.log.Error("session changes could not be committed", "path", x.First().RequestURI, "error", x.res.failed)
	if x.res.committed {
		panic(http.ErrAbortHandler)
	}
	cause := x.res.failed
	x.res.failed = nil
	x.res.Header().Set("Retry-After", "1")
	x.report(http.StatusServiceUnavailable, "the session could not be saved", cause)
	_ = x.res.commitWithout()
}

// run takes the request through listeners, constraints, filters and servlet.
// What stands in the exchange afterwards says how it went.
func (x *exchange) run(m *mapper.Match, found bool) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = x.recovered(p)
		}
	}()
	c, r := x.c, x.r
	if r.Method == http.MethodTrace && !c.opts.AllowTrace {
		x.res.Header().Set("Allow", "GET, HEAD, POST, PUT, DELETE, OPTIONS")
		x.setError(http.StatusMethodNotAllowed, "TRACE is not allowed", nil)
		return nil
	}
	if c.hearsRequests {
		if err := c.notifyRequest(servlet.RequestInitialized, r); err != nil {
			return err
		}
		x.heard = true
	}
	if c.security.any && !c.enforce(x, r, m.Path) {
		return nil
	}
	if !found || urlpath.Protected(m.Path) {
		x.setError(http.StatusNotFound, "", nil)
		return nil
	}
	w := c.wrappers[m.Servlet]
	if w == nil || !w.enabled {
		x.setError(http.StatusNotFound, "", nil)
		return nil
	}
	if !w.ready.Load() {
		if err := w.init(r.Context()); err != nil {
			return err
		}
	}
	h, err := w.handler(servlet.Request, false, m.Path)
	if err != nil {
		return err
	}
	x.res.files = w.files()
	if r.Method == http.MethodPost && c.recodes(r) {
		if r, err = filters.RecodeForm(r, c.d.RequestEncoding, false); err != nil {
			return formError(err)
		}
		x.r = r
	}
	h.ServeHTTP(&x.res, r)
	return nil
}

// recodes reports that a request has a form in an encoding other than UTF-8, by
// its own word or by the descriptor's request-character-encoding.
func (c *Context) recodes(r *http.Request) bool {
	ct := r.Header.Get("Content-Type")
	if !strings.HasPrefix(ct, "application/x-www-form-urlencoded") {
		return false
	}
	if _, charset, ok := strings.Cut(strings.ToLower(ct), "charset="); ok {
		return !strings.HasPrefix(strings.Trim(charset, `" `), "utf-8")
	}
	return c.d.RequestEncoding != "" && !strings.EqualFold(c.d.RequestEncoding, "UTF-8")
}

// formError is the status that a form which cannot be decoded stands for.
func formError(err error) error {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return err
	}
	return &servlet.StatusError{Code: http.StatusBadRequest, Message: "the form cannot be decoded: " + err.Error()}
}

// notifyRequest tells the request listeners.
func (c *Context) notifyRequest(kind servlet.EventKind, r *http.Request) error {
	return c.program.Notify(r.Context(), servlet.Event{Kind: kind, Request: r})
}

// reportBare answers a request that has not come as far as an exchange.
func (c *Context) reportBare(w http.ResponseWriter, r *http.Request, status int, message string) {
	if f := c.opts.ErrorReport; f != nil {
		f(w, r, status, message, nil)
		return
	}
	if message == "" {
		message = http.StatusText(status)
	}
	http.Error(w, message, status)
}

package servlettest

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"slices"
	"sync"

	"github.com/serval-server/serval/webapp/servlet"
)

// CookieName is the name of the session cookie.
const CookieName = "JSESSIONID"

// Harness runs an App.
type Harness struct {
	// Paths are the servlets that dispatchers find by path: "/cart" → "cart".
	// Set it before the first request.
	Paths map[string]string

	context  *servlet.Context
	instance *servlet.Instance

	mu       sync.Mutex
	sessions map[string]*Session // guarded by mu
}

// New starts the App: context listeners are told, all servlets and filters are
// made, without init parameters, under their own names. Close ends it.
func New(app servlet.App, cfg servlet.ContextConfig) (*Harness, error) {
	cfg.Servlets = slices.Concat(cfg.Servlets, slices.Collect(maps.Keys(app.Servlets)), slices.Collect(maps.Keys(app.NewServlets)))
	c := servlet.NewContext(cfg)
	h := &Harness{context: c, instance: servlet.NewInstance(app, c), sessions: map[string]*Session{}}
	k := h.instance.Components()
	if err := h.instance.InitContext(slices.Sorted(maps.Keys(k.Listeners)), ""); err != nil {
		h.Close()
		return nil, err
	}
	for _, name := range k.Filters {
		if err := h.instance.InitFilter(servlet.Definition{Name: name}); err != nil {
			h.Close()
			return nil, err
		}
	}
	for _, name := range k.Servlets {
		if err := h.instance.InitServlet(servlet.Definition{Name: name}); err != nil {
			h.Close()
			return nil, err
		}
	}
	return h, nil
}

// Close destroys the servlets and tells the context listeners.
func (h *Harness) Close() { h.instance.Destroy() }

// Context is the application.
func (h *Harness) Context() *servlet.Context { return h.context }

// Session is the session with that id, nil if there is none.
func (h *Harness) Session(id string) *Session {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.sessions[id]
}

// Servlet serves requests by the servlet of that name, behind the filters. It
// panics if there is none of the names.
func (h *Harness) Servlet(name string, filters ...string) http.Handler {
	seg, err := h.instance.Segment(filters, name, nil)
	if err != nil {
		panic(err)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := &exchange{h: h, w: w, r: r}
		x.Init(x, h.context, nil)
		p := x.First()
		p.RequestURI, p.Query, p.ServletPath = r.URL.EscapedPath(), r.URL.RawQuery, r.URL.Path
		p.Mapping = servlet.Mapping{Match: servlet.ExactMatch, Servlet: name, Pattern: r.URL.Path}
		r = x.Start(r, p)
		if err := h.instance.Notify(servlet.Event{Kind: servlet.RequestInitialized, Request: r}); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		seg.ServeHTTP(w, r)
		_ = h.instance.Notify(servlet.Event{Kind: servlet.RequestDestroyed, Request: r}) // only RequestInitialized fails
		if err := x.CommitSession(); err != nil && !errors.Is(err, servlet.ErrInvalid) {
			h.context.Logger().Error("session was not stored", "error", err)
		}
		x.endRequest()
	})
}

// exchange is one request; it is its own container.
type exchange struct {
	servlet.Exchange
	h    *Harness
	w    http.ResponseWriter
	r    *http.Request
	sess *Session
}

func (x *exchange) Session(create bool) (servlet.SessionBackend, error) {
	if c, err := x.r.Cookie(CookieName); err == nil && x.sess == nil {
		x.sess = x.h.Session(c.Value)
	}
	if x.sess != nil {
		x.sess.mu.Lock()
		over := x.sess.over
		x.sess.mu.Unlock()
		if !over {
			return x.sess, nil
		}
	}
	if !create {
		return nil, nil
	}
	s := NewSession(rand.Text())
	s.ended = x.h.ended
	x.h.mu.Lock()
	x.h.sessions[s.id] = s
	x.h.mu.Unlock()
	x.sess = s
	http.SetCookie(x.w, &http.Cookie{Name: CookieName, Value: s.id, Path: "/", HttpOnly: true})
	return s, x.h.instance.Notify(servlet.Event{Kind: servlet.SessionCreated, Session: s, Cause: servlet.Create, Local: true})
}

func (h *Harness) ended(s *Session) {
	h.mu.Lock()
	maps.DeleteFunc(h.sessions, func(_ string, o *Session) bool { return o == s })
	h.mu.Unlock()
	// Only RequestInitialized fails.
	_ = h.instance.Notify(servlet.Event{Kind: servlet.SessionDestroyed, Session: s, Cause: servlet.Invalidate, Local: true})
}

func (x *exchange) endRequest() {
	if x.sess != nil {
		x.sess.mu.Lock()
		x.sess.isNew = false
		x.sess.mu.Unlock()
	}
}

func (x *exchange) Dispatch(w http.ResponseWriter, r *http.Request, t servlet.DispatcherType, target servlet.Target) error {
	name := target.Name
	if name == "" {
		name = x.h.Paths[target.Path]
	}
	if name == "" {
		return fmt.Errorf("dispatching to %q: %w", target.Path, fs.ErrNotExist)
	}
	seg, err := x.h.instance.Segment(nil, name, nil)
	if err != nil {
		return err
	}
	from := servlet.PassOf(r)
	p := &servlet.Pass{Type: t, RequestURI: from.RequestURI, Query: from.Query, ServletPath: from.ServletPath, PathInfo: from.PathInfo, Mapping: from.Mapping}
	if target.Path != "" && t == servlet.Forward {
		p.RequestURI, p.ServletPath, p.PathInfo = target.Path, target.Path, ""
	}
	if t == servlet.Include {
		w = included{w, http.Header{}}
	}
	seg.ServeHTTP(w, x.Start(r, p))
	return nil
}

// included keeps an included target from changing status and headers.
type included struct {
	w      io.Writer
	header http.Header
}

func (i included) Header() http.Header         { return i.header }
func (i included) WriteHeader(int)             {}
func (i included) Write(b []byte) (int, error) { return i.w.Write(b) }

func (x *exchange) SendError(w http.ResponseWriter, _ *http.Request, code int, message string) error {
	http.Error(w, message, code)
	return nil
}

func (x *exchange) Fail(w http.ResponseWriter, _ *http.Request, err error) {
	http.Error(w, err.Error(), http.StatusInternalServerError)
}

func (x *exchange) Barrier(http.ResponseWriter, *http.Request) error { return x.CommitSession() }

func (x *exchange) EncodeURL(_ *http.Request, address string) string { return address }

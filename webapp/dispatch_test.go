package webapp_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/serval-server/serval/webapp"
	"github.com/serval-server/serval/webapp/servlet"
)

// TestIncludeRestricted: an included servlet changes neither status nor headers
// (Servlet 6.1 §9.3), whatever it tries.
func TestIncludeRestricted(t *testing.T) {
	c, _ := app{code: servlet.App{Servlets: map[string]http.Handler{
		"s": handler(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Outer", "1")
			w.WriteHeader(http.StatusAccepted)
			_, _ = io.WriteString(w, "a")
			if err := servlet.DispatcherOf(r, "/in?q=2").Include(w, r); err != nil {
				t.Error(err)
			}
			_, _ = io.WriteString(w, "c")
		}),
		"in": handler(func(w http.ResponseWriter, r *http.Request) {
			if w.Header().Get("X-Outer") != "1" || servlet.StatusOf(w) != http.StatusAccepted || servlet.Committed(w) {
				t.Error("the includer's response cannot be seen")
			}
			if r.URL.Query().Get("q") != "2" || r.URL.Query()["q"][1] != "1" || servlet.ServletPath(r) != "/s" {
				t.Errorf("parameters %v, path %s", r.URL.Query(), servlet.ServletPath(r))
			}
			w.Header().Set("X-Inner", "1")
			w.Header().Del("X-Outer")
			w.WriteHeader(http.StatusTeapot)
			w.(http.Flusher).Flush()
			for _, err := range []error{servlet.SendError(w, r, 404, ""), servlet.Redirect(w, r, "/x"), servlet.Reset(w), servlet.ResetBuffer(w), servlet.SetBufferSize(w, 1)} {
				if err != nil {
					t.Error(err)
				}
			}
			_, _ = io.WriteString(w, "b")
		}),
	}}, xml: declare("s", "/s") + declare("in", "/in")}.start(t)
	res := want(t, c, "/s?q=1", http.StatusAccepted, "abc")
	if res.Header.Get("X-Outer") != "1" || res.Header.Get("X-Inner") != "" || res.Header.Get("Location") != "" {
		t.Errorf("headers: %v", res.Header)
	}
}

// TestForwardForm: the dispatcher's parameters come before the request's, also
// when these have been parsed already.
func TestForwardForm(t *testing.T) {
	c, _ := app{code: servlet.App{Servlets: map[string]http.Handler{
		"s": handler(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Has("parse") {
				_ = r.ParseForm()
			}
			if err := servlet.DispatcherOf(r, "/t?a=new").Forward(w, r); err != nil {
				t.Error(err)
			}
			if err := servlet.DispatcherOf(r, "/t").Forward(w, r); !errors.Is(err, servlet.ErrCommitted) {
				t.Errorf("forwarded twice: %v", err)
			}
		}),
		"t": handler(func(w http.ResponseWriter, r *http.Request) {
			_ = r.ParseForm()
			_, _ = io.WriteString(w, strings.Join(r.Form["a"], ",")+" "+r.PostForm.Get("b"))
		}),
	}}, xml: declare("s", "/s") + declare("t", "/t")}.start(t)
	for _, target := range []string{"/s?a=old", "/s?a=old&parse"} {
		r := httptest.NewRequest(http.MethodPost, target, strings.NewReader("b=body"))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if got := do(c, r).Body; got != "new,old body" {
			t.Errorf("%s: %q", target, got)
		}
	}
}

// TestForwardCircle ends.
func TestForwardCircle(t *testing.T) {
	c, _ := app{code: servlet.App{Servlets: map[string]http.Handler{
		"a": handler(func(w http.ResponseWriter, r *http.Request) { _ = servlet.DispatcherOf(r, "/a").Forward(w, r) }),
		"i": handler(func(w http.ResponseWriter, r *http.Request) {
			if err := servlet.DispatcherOf(r, "/i").Include(w, r); err != nil {
				servlet.Fail(w, r, err)
			}
		}),
	}}, xml: declare("a", "/a") + declare("i", "/i")}.start(t)
	want(t, c, "/a", http.StatusInternalServerError, "*")
	want(t, c, "/i", http.StatusInternalServerError, "*")
}

type typedError struct {
	names []string
	cause error
}

func (e *typedError) Error() string        { return e.names[0] }
func (e *typedError) ErrorTypes() []string { return e.names }
func (e *typedError) Unwrap() error        { return e.cause }

// TestTypedErrors: an error that names its own types is found by them, and only
// a ServletException gives way to its cause.
func TestTypedErrors(t *testing.T) {
	state := &typedError{names: []string{"java.lang.IllegalStateException", "java.lang.RuntimeException"}}
	other := &typedError{names: []string{"x.Other"}, cause: state}
	wrapped := &typedError{names: []string{"jakarta.servlet.ServletException"}, cause: state}
	fails := map[string]error{"/state": state, "/other": other, "/wrapped": wrapped, "/joined": errors.Join(state)}
	page := func(name, loc string) string {
		return "<error-page><exception-type>" + name + "</exception-type><location>" + loc + "</location></error-page>"
	}
	c, _ := app{code: servlet.App{Servlets: map[string]http.Handler{
		"s": handler(func(w http.ResponseWriter, r *http.Request) { panic(fails[servlet.ServletPath(r)]) }),
		"p": handler(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, servlet.PathInfo(r)+" "+servlet.Attribute(r, servlet.AttrErrorExceptionType).(string))
		}),
	}}, xml: declare("s", "/state", "/other", "/wrapped", "/joined") + declare("p", "/p/*") + page("java.lang.RuntimeException", "/p/runtime")}.start(t)
	want(t, c, "/state", 500, "/runtime java.lang.IllegalStateException")
	want(t, c, "/wrapped", 500, "/runtime java.lang.IllegalStateException")
	want(t, c, "/joined", 500, "/runtime java.lang.IllegalStateException")
	want(t, c, "/other", 500, "500 x.Other\n")
}

// TestFailAfterCommit: the client sees that its answer is not whole.
func TestFailAfterCommit(t *testing.T) {
	a := one(func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		_, _ = io.WriteString(w, "part")
		servlet.Fail(w, r, errors.New("too late"))
	})
	c, _ := a.start(t)
	srv := httptest.NewServer(c)
	defer srv.Close()
	res, err := srv.Client().Get(srv.URL + "/s")
	if err == nil {
		_, err = io.ReadAll(res.Body)
		_ = res.Body.Close()
	}
	if err == nil {
		t.Error("the response ended well")
	}
	if n := c.InFlight(); n != 0 {
		t.Errorf("%d requests in flight", n)
	}
}

func TestAbsoluteRedirects(t *testing.T) {
	code := servlet.App{Servlets: map[string]http.Handler{"s": handler(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "dropped")
		if err := servlet.Redirect(w, r, r.URL.Query().Get("to")); err != nil {
			t.Error(err)
		}
		_, _ = io.WriteString(w, "dropped")
	})}}
	a := app{code: code, xml: declare("s", "/s/*"), opts: webapp.Options{Path: "/app"}}
	for target, location := range map[string]string{"x": "x", "/y": "/y", "https://other.test/": "https://other.test/"} {
		c, _ := a.start(t)
		if res := want(t, c, "/app/s/a?to="+target, http.StatusFound, ""); res.Header.Get("Location") != location {
			t.Errorf("%s: %q", target, res.Header.Get("Location"))
		}
	}
}

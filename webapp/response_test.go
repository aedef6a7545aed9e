package webapp_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/serval-server/serval/descriptor"
	"github.com/serval-server/serval/sessions"
	"github.com/serval-server/serval/webapp"
	"github.com/serval-server/serval/webapp/servlet"
)

// peek is a ResponseWriter that notes what has left, and whether a file was
// handed to it as such.
type peek struct {
	*httptest.ResponseRecorder
	left     int
	status   int
	readFrom io.Reader
}

func (p *peek) WriteHeader(code int) { p.status = code; p.ResponseRecorder.WriteHeader(code) }

func (p *peek) Write(b []byte) (int, error) {
	if p.status == 0 {
		p.status = 200
	}
	p.left += len(b)
	return p.ResponseRecorder.Write(b)
}

func (p *peek) WriteString(s string) (int, error) { return p.Write([]byte(s)) }

func (p *peek) ReadFrom(r io.Reader) (int64, error) {
	p.readFrom = r
	n, err := io.Copy(p.ResponseRecorder, r)
	p.left += int(n)
	return n, err
}

func one(f http.HandlerFunc) app {
	return app{code: servlet.App{Servlets: map[string]http.Handler{"s": f}}, xml: declare("s", "/s")}
}

func TestBuffer(t *testing.T) {
	var p *peek
	c, _ := one(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, strings.Repeat("x", webapp.DefaultBufferSize))
		w.Header().Set("X-Late", "yes") // not yet committed
		if p.status != 0 || servlet.Committed(w) || servlet.StatusOf(w) != 201 {
			t.Error("committed before the buffer was over")
		}
		_, _ = io.WriteString(w, "x")
		if p.status != 201 || !servlet.Committed(w) {
			t.Error("not committed when the buffer was over")
		}
		if !errors.Is(servlet.ResetBuffer(w), servlet.ErrCommitted) || !errors.Is(servlet.SendError(w, r, 500, ""), servlet.ErrCommitted) {
			t.Error("reset after the commit")
		}
		w.WriteHeader(http.StatusInternalServerError)
	}).start(t)
	p = &peek{ResponseRecorder: httptest.NewRecorder()}
	c.ServeHTTP(p, httptest.NewRequest(http.MethodGet, "/s", nil))
	if p.left != webapp.DefaultBufferSize+1 || p.status != 201 || p.Header().Get("X-Late") != "yes" {
		t.Errorf("%d bytes, status %d, %v", p.left, p.status, p.Header())
	}
}

func TestReset(t *testing.T) {
	c, _ := one(func(w http.ResponseWriter, r *http.Request) {
		if err := servlet.SetBufferSize(w, 100_000); err != nil {
			t.Error(err)
		}
		servlet.SessionOf(r)
		w.Header().Set("X-Gone", "1")
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, strings.Repeat("x", 50_000))
		if err := servlet.SetBufferSize(w, 10); !errors.Is(err, servlet.ErrCommitted) {
			t.Errorf("SetBufferSize after a write: %v", err)
		}
		if err := servlet.Reset(w); err != nil {
			t.Error(err)
		}
		_, _ = io.WriteString(w, "rest")
	}).start(t)
	res := want(t, c, "/s", 200, "rest")
	if res.Header.Get("X-Gone") != "" || len(res.Cookies) != 1 {
		t.Errorf("headers after Reset: %v", res.Header)
	}
}

// TestSendfile: a static file is handed through as a file.
func TestSendfile(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/big.bin", make([]byte, 200_000), 0o644); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = root.Close() }()
	c, err := webapp.New(webapp.Options{FS: root.FS()})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Stop(context.Background(), webapp.DropSessions) }()
	p := &peek{ResponseRecorder: httptest.NewRecorder()}
	c.ServeHTTP(p, httptest.NewRequest(http.MethodGet, "/big.bin", nil))
	src := p.readFrom
	if l, ok := src.(*io.LimitedReader); ok {
		src = l.R
	}
	if _, ok := src.(*os.File); !ok || p.left != 200_000 {
		t.Errorf("%d bytes came from a %T", p.left, src)
	}
}

func TestEarlyHints(t *testing.T) {
	c, _ := one(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</x.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusNoContent)
		if _, err := io.WriteString(w, "x"); !errors.Is(err, http.ErrBodyNotAllowed) {
			t.Errorf("a body with 204: %v", err)
		}
	}).start(t)
	srv := httptest.NewServer(c)
	defer srv.Close()
	res, err := srv.Client().Get(srv.URL + "/s")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusNoContent {
		t.Errorf("status %d", res.StatusCode)
	}
}

func TestHead(t *testing.T) {
	c, _ := one(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, strings.Repeat("x", 5000)) }).start(t)
	srv := httptest.NewServer(c)
	defer srv.Close()
	for _, m := range []string{"GET", "HEAD"} {
		req, _ := http.NewRequest(m, srv.URL+"/s", nil)
		res, err := srv.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.ContentLength != 5000 || m == "HEAD" && len(b) != 0 {
			t.Errorf("%s: length %d, %d bytes", m, res.ContentLength, len(b))
		}
	}
}

// replicator notes commits and fails when told to.
type replicator struct {
	deltas []*sessions.Delta
	err    error
	before func()
}

func (r *replicator) Find(context.Context, sessions.AppKey, sessions.ID) (*sessions.Snapshot, error) {
	return nil, nil
}

func (r *replicator) Commit(d *sessions.Delta) sessions.Receipt {
	if r.before != nil {
		r.before()
	}
	r.deltas = append(r.deltas, d)
	return receipt{r.err}
}

type receipt struct{ err error }

func (r receipt) Wait(context.Context) error { return r.err }

// TestCommitBeforeFirstByte: the session's changes are safe before anything of
// the response leaves, at each kind of commit point.
func TestCommitBeforeFirstByte(t *testing.T) {
	for name, f := range map[string]func(w http.ResponseWriter, r *http.Request){
		"end":      func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "x") },
		"overflow": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 20_000)) },
		"flush":    func(w http.ResponseWriter, _ *http.Request) { _ = http.NewResponseController(w).Flush() },
		"empty":    func(http.ResponseWriter, *http.Request) {},
		"error":    func(w http.ResponseWriter, r *http.Request) { _ = servlet.SendError(w, r, 404, "") },
		"panic":    func(http.ResponseWriter, *http.Request) { panic("x") },
		"file": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.(io.ReaderFrom).ReadFrom(strings.NewReader("x"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			rep := &replicator{}
			a := one(func(w http.ResponseWriter, r *http.Request) {
				if err := servlet.Set(servlet.SessionOf(r), "a", 1); err != nil {
					t.Error(err)
				}
				f(w, r)
			})
			a.opts.Sessions.Replicator = rep
			c, _ := a.start(t)
			p := &peek{ResponseRecorder: httptest.NewRecorder()}
			rep.before = func() {
				if p.status != 0 || p.left != 0 {
					t.Error("something has left before the commit")
				}
			}
			c.ServeHTTP(p, httptest.NewRequest(http.MethodGet, "/s", nil))
			rep.before = nil
			set := 0
			for _, d := range rep.deltas {
				set += len(d.Set)
			}
			if set != 1 {
				t.Errorf("%d attributes committed in %d deltas", set, len(rep.deltas))
			}
		})
	}
}

// TestCommitFails: a session that cannot be made safe is 503, not the answer
// that the handler has given.
func TestCommitFails(t *testing.T) {
	rep := &replicator{}
	for _, size := range []int{10, 100_000} {
		a := one(func(w http.ResponseWriter, r *http.Request) {
			_ = servlet.Set(servlet.SessionOf(r), "a", 1)
			_, _ = w.Write(make([]byte, size))
		})
		a.opts.Sessions.Replicator = rep
		c, log := a.start(t)
		rep.err = errors.New("no owner has acknowledged")
		res := get(c, "/s")
		rep.err = nil
		if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" {
			t.Errorf("%d bytes: %d", size, res.StatusCode)
		}
		if !strings.Contains(log.String(), "no owner") {
			t.Error("the reason is not in the log")
		}
	}
}

func TestUpgradeIsCommitPoint(t *testing.T) {
	rep := &replicator{}
	a := one(func(w http.ResponseWriter, r *http.Request) {
		_ = servlet.Set(servlet.SessionOf(r), "a", 1)
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		if len(rep.deltas) == 0 {
			t.Error("hijacked before the commit")
		}
		_, _ = io.WriteString(conn, "raw")
		conn.Close()
	})
	a.opts.Sessions.Replicator = rep
	c, _ := a.start(t)
	srv := httptest.NewServer(c)
	defer srv.Close()
	conn, err := net.Dial("tcp", strings.TrimPrefix(srv.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "GET /s HTTP/1.1\r\nHost: x\r\n\r\n")
	if b, _ := io.ReadAll(conn); string(b) != "raw" {
		t.Errorf("got %q", b)
	}
}

func TestErrorReport(t *testing.T) {
	a := one(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		servlet.Fail(w, r, errors.New("secret"))
	})
	a.opts.ErrorReport = func(w http.ResponseWriter, _ *http.Request, status int, message string, cause error) {
		if status == 500 && cause == nil {
			t.Error("no cause")
		}
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "report "+http.StatusText(status))
	}
	c, _ := a.start(t)
	if res := want(t, c, "/s", 500, "report Internal Server Error"); res.Header.Get("Content-Encoding") != "" {
		t.Errorf("headers: %v", res.Header)
	}
	want(t, c, "/none", 404, "report Not Found")
	want(t, c, "/%00", 400, "report Bad Request")
}

// TestErrorPages follows tomcat.md D4.
func TestErrorPages(t *testing.T) {
	page := func(sel, loc string) string {
		return "<error-page>" + sel + "<location>" + loc + "</location></error-page>"
	}
	a := app{code: servlet.App{Servlets: map[string]http.Handler{
		"s": handler(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "dropped")
			switch r.URL.Query().Get("how") {
			case "io":
				_, err := os.Open("/does/not/exist")
				servlet.Fail(w, r, err)
			case "own":
				panic(&ownError{})
			case "nil":
				none := len(r.Header["None"])
				_, _ = w.Write(make([]byte, 1/none))
			case "large":
				servlet.Fail(w, r, &http.MaxBytesError{Limit: 1})
			case "teapot":
				_ = servlet.SendError(w, r, 418, "m")
			case "page":
				_ = servlet.SendError(w, r, 409, "m")
			}
		}),
		"p": handler(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodGet {
				t.Errorf("an error page is asked with %s", r.Method)
			}
			_, _ = io.WriteString(w, servlet.PathInfo(r)+" "+servlet.Attribute(r, servlet.AttrErrorRequestURI).(string))
			if servlet.PathInfo(r) == "/broken" {
				panic("again")
			}
		}),
	}}, xml: declare("s", "/s") + declare("p", "/p/*") +
		page("<exception-type>java.io.FileNotFoundException</exception-type>", "/p/fnf") +
		page("<exception-type>webapp_test.ownError</exception-type>", "/p/own") +
		page("<exception-type>java.lang.RuntimeException</exception-type>", "/p/runtime") +
		page("<error-code>418</error-code>", "/p/teapot") + page("<error-code>409</error-code>", "/p/broken") + page("", "/p/all")}
	c, log := a.start(t)
	want(t, c, "/s?how=io", 500, "/fnf /s")
	want(t, c, "/s?how=own", 500, "/own /s")
	want(t, c, "/s?how=nil", 500, "/runtime /s")
	want(t, c, "/s?how=large", 413, "/all /s")
	want(t, c, "/s?how=teapot", 418, "/teapot /s")
	want(t, c, "/s?how=page", 409, "/broken /s")
	want(t, c, "/nowhere", 404, "/all /nowhere")
	want(t, c, "/WEB-INF/x", 404, "/all /WEB-INF/x")
	res := do(c, httptest.NewRequest(http.MethodPost, "/s?how=teapot", nil))
	if res.StatusCode != http.StatusTeapot {
		t.Errorf("POST: %d", res.StatusCode)
	}
	if !strings.Contains(log.String(), "error page failed") {
		t.Error("the broken page is not in the log")
	}
}

type ownError struct{}

func (*ownError) Error() string { return "own" }

func TestMultipartOverLimit(t *testing.T) {
	a := one(func(w http.ResponseWriter, r *http.Request) {
		if _, _, err := r.FormFile("f"); err != nil {
			servlet.Fail(w, r, err)
		}
	})
	a.change = func(d *descriptor.WebApp) {
		for i := range d.Servlets {
			if d.Servlets[i].Name == "s" {
				d.Servlets[i].Multipart = &descriptor.Multipart{MaxFileSize: 10, MaxRequestSize: -1}
			}
		}
	}
	c, _ := a.start(t)
	for n, status := range map[int]int{10: 200, 11: 413} {
		body := "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x\"\r\n\r\n" + strings.Repeat("x", n) + "\r\n--b--\r\n"
		r := httptest.NewRequest(http.MethodPost, "/s", strings.NewReader(body))
		r.Header.Set("Content-Type", "multipart/form-data; boundary=b")
		if res := do(c, r); res.StatusCode != status {
			t.Errorf("a file of %d bytes: %d, want %d", n, res.StatusCode, status)
		}
	}
}

package testapp

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/serval-server/serval/webapp/servlet"
)

// newScript makes the servlet that runs the script of its init parameter, or
// of the request's X-Script header.
//
// Statements are separated by newlines or ";;", words by blanks; the words
// after the command are percent-decoded. "try CMD" logs what came of the
// command, without it an error ends the request.
func (l *Logs) newScript(c *servlet.Config) (http.Handler, error) {
	s := &scripted{name: c.Name, text: c.Params["script"], log: l.of(c.Context.Path()), logs: l}
	c.Context.SetAttribute(logAttribute, s.log)
	return s, nil
}

type scripted struct {
	name, text string
	log        *log
	logs       *Logs
}

// run is the script of one request.
type run struct {
	*scripted
	w http.ResponseWriter
	r *http.Request
	// requested is the session that the request came with, nil if none.
	requested *servlet.Session
	bounds    map[string]int
}

const (
	depthAttribute = "oracle.depth"
	heldAttribute  = "held"
	maxDepth       = 5 // of dispatches within one request, against loops
)

func (s *scripted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	text := s.text
	if text == "" {
		text = r.Header.Get("X-Script")
	}
	depth, _ := servlet.Attribute(r, depthAttribute).(int)
	servlet.SetAttribute(r, depthAttribute, depth+1)
	c := &run{scripted: s, w: w, r: r, requested: servlet.ExistingSession(r), bounds: map[string]int{}}
	if depth >= maxDepth {
		c.out("deep\n")
		return
	}
	for statement := range strings.SplitSeq(strings.ReplaceAll(text, ";;", "\n"), "\n") {
		statement = strings.TrimSpace(statement)
		if statement == "" {
			continue
		}
		rest, try := strings.CutPrefix(statement, "try ")
		words := strings.Fields(rest)
		for i, w := range words[1:] {
			if d, err := url.PathUnescape(w); err == nil {
				words[i+1] = d
			}
		}
		if !try {
			c.exec(words)
			continue
		}
		if err := c.attempt(words); err != nil {
			s.log.add("caught %s %s", words[0], className(err))
		} else {
			s.log.add("ok %s", words[0])
		}
	}
}

// attempt runs a command and returns what it panicked with.
func (c *run) attempt(words []string) (caught any) {
	defer func() { caught = recover() }()
	c.exec(words)
	return nil
}

// throw ends the request with an error if there is one.
func throw(err error) {
	if err != nil {
		panic(err)
	}
}

func illegalState(format string, args ...any) error {
	return &Throwable{Class: "java.lang.IllegalStateException", Message: fmt.Sprintf(format, args...)}
}

// classOfError gives the errors of package servlet the class that the same
// mistake has in Java.
func classOfError(err error) string {
	var typed servlet.Typed
	switch {
	case errors.Is(err, servlet.ErrCommitted), errors.Is(err, servlet.ErrInvalid), errors.Is(err, servlet.ErrTooManySessions):
		return "java.lang.IllegalStateException"
	case errors.As(err, &typed) && len(typed.ErrorTypes()) > 0:
		return typed.ErrorTypes()[0]
	}
	return fmt.Sprintf("%T", err)
}

func (c *run) out(s string) { _, _ = c.w.Write([]byte(s)) }

func (c *run) outf(format string, args ...any) { c.out(fmt.Sprintf(format, args...)) }

// exec runs one command; it panics with the error that Java would throw.
func (c *run) exec(w []string) {
	a, b := word(w, 1), word(w, 2)
	switch group, _, dotted := strings.Cut(w[0], "."); {
	case dotted && group == "s", w[0] == "session":
		c.session(w[0], a, b)
	case dotted && group == "h":
		c.held(w[0], a, b)
	case dotted && group == "c":
		c.context(w[0], a, b)
	default:
		if !c.response(w[0], a, b) && !c.dispatch(w[0], a, b) && !c.request(w, a, b) {
			panic(&Throwable{Class: "jakarta.servlet.ServletException", Message: "unknown script command " + w[0]})
		}
	}
}

func word(w []string, i int) string {
	if i < len(w) {
		return w[i]
	}
	return ""
}

// response runs the commands that shape the response.
func (c *run) response(cmd, a, b string) bool {
	switch cmd {
	case "print", "stream":
		c.out(a + "\n")
	case "fill":
		c.out(strings.Repeat("x", number(a)))
	case "status":
		c.w.WriteHeader(number(a))
	case "header":
		c.w.Header().Set(a, b)
	case "addheader":
		c.w.Header().Add(a, b)
	case "type":
		c.w.Header().Set("Content-Type", a)
	case "length":
		c.w.Header().Set("Content-Length", a)
	case "flush":
		throw(http.NewResponseController(c.w).Flush())
	case "error":
		throw(servlet.SendError(c.w, c.r, number(a), b))
	case "redirect":
		throw(servlet.Redirect(c.w, c.r, a))
	case "buffer":
		throw(servlet.SetBufferSize(c.w, number(a)))
	case "reset":
		throw(servlet.Reset(c.w))
	case "resetbuffer":
		throw(servlet.ResetBuffer(c.w))
	case "close":
		// A Go handler closes its response by returning; until then, what
		// it writes is lost.
		if s := servlet.StateOf(c.w); s != nil {
			s.Suspend()
		}
	case "throw":
		throwKind(a, b)
	case "logstate":
		c.log.add("state committed=%v status=%d", servlet.Committed(c.w), servlet.StatusOf(c.w))
	default:
		return false
	}
	return true
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	throw(err)
	return n
}

// dispatch runs the commands about dispatchers.
func (c *run) dispatch(cmd, a, b string) bool {
	ctx := servlet.ContextOf(c.r)
	switch cmd {
	case "forward":
		c.pass(servlet.DispatcherOf(c.r, a), true)
	case "include":
		c.pass(servlet.DispatcherOf(c.r, a), false)
	case "ctxforward":
		c.pass(ctx.Dispatcher(a), true)
	case "ctxinclude":
		c.pass(ctx.Dispatcher(a), false)
	case "nforward":
		c.pass(ctx.NamedDispatcher(a), true)
	case "ninclude":
		c.pass(ctx.NamedDispatcher(a), false)
	case "rdnull":
		state := "ok"
		if servlet.DispatcherOf(c.r, a) == nil {
			state = "null"
		}
		c.outf("rd %s %s\n", a, state)
	case "xctx":
		x := ctx.Context(a)
		if x == nil {
			c.out("ctx null\n")
			return true
		}
		c.outf("ctx %s\n", x.Path())
		if b != "" {
			c.pass(x.Dispatcher(b), false)
		}
	default:
		return false
	}
	return true
}

func (c *run) pass(d *servlet.Dispatcher, forward bool) {
	if d == nil {
		panic(&Throwable{Class: "java.lang.NullPointerException", Message: "no dispatcher"})
	}
	if forward {
		throw(d.Forward(c.w, c.r))
		return
	}
	throw(d.Include(c.w, c.r))
}

// request runs the commands about the request and the application's resources.
func (c *run) request(w []string, a, b string) bool {
	ctx := servlet.ContextOf(c.r)
	switch w[0] {
	case "vars":
		c.vars()
	case "setattr":
		servlet.SetAttribute(c.r, a, b)
	case "rmattr":
		servlet.RemoveAttribute(c.r, a)
	case "getattr":
		c.outf("attr %s=%s\n", a, show(servlet.Attribute(c.r, a)))
	case "param":
		throw(c.r.ParseForm())
		values := append(c.r.URL.Query()[a], c.r.PostForm[a]...)
		if values == nil {
			c.outf("param %s=null\n", a)
		} else {
			c.outf("param %s=[%s]\n", a, strings.Join(values, ", "))
		}
	case "log":
		c.log.add("log %s", a)
	case "sleep":
		time.Sleep(time.Duration(number(a)) * time.Millisecond)
	case "boom":
		c.logs.Boom(ctx.Path(), a)
	case "realpath":
		c.outf("realpath %s %s\n", a, set(ctx.RealPath(a) != ""))
	case "resource":
		_, err := fs.Stat(ctx.FS(), resource(a))
		c.outf("resource %s %s\n", a, set(err == nil))
	case "paths":
		c.outf("paths %s %s\n", a, resourcePaths(ctx, a))
	case "mime":
		t := ctx.MIMEType(a)
		if t == "" {
			t = "null"
		}
		c.outf("mime %s %s\n", a, t)
	default:
		return c.cookies(w, a, b)
	}
	return true
}

func set(ok bool) string {
	if ok {
		return "set"
	}
	return "null"
}

// resource is the name in the bundle's file tree of a path.
func resource(p string) string {
	if rel := path.Clean(strings.TrimLeft(p, "/")); rel == ".." || strings.HasPrefix(rel, "../") {
		panic(&Throwable{Class: "java.lang.IllegalArgumentException", Message: p + " leaves the application"})
	}
	return strings.TrimPrefix(path.Clean("/"+p), "/")
}

func resourcePaths(ctx *servlet.Context, p string) string {
	if !strings.HasPrefix(p, "/") {
		panic(&Throwable{Class: "java.lang.IllegalArgumentException", Message: p + " does not begin with /"})
	}
	dir := resource(p)
	if dir == "" {
		dir = "."
	}
	entries, err := fs.ReadDir(ctx.FS(), dir)
	if err != nil {
		return "null"
	}
	var names []string
	for _, e := range entries { // sorted by name
		n := path.Join("/", dir, e.Name())
		if e.IsDir() {
			n += "/"
		}
		names = append(names, n)
	}
	return "[" + strings.Join(names, ", ") + "]"
}

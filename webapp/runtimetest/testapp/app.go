// Package testapp is the application that the suite of package runtimetest
// deploys. It is a package of its own, with nothing but package servlet in it, so
// that it can be compiled into programs that are not tests: a worker, or a module
// for WebAssembly.
//
// Its servlets do what their names and the query say: session runs operations on
// the request's session, gate lets something of an answer out between two changes,
// fail ends badly in many ways. What its listeners, policies and attributes hear
// goes into a journal, which the servlet of that name answers with, and into the
// application's log, where the suite finds the lines of all instances of a program
// together.
package testapp

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/serval-server/serval/webapp/servlet"
)

// journal is what listeners and servlets write down; the servlet "journal"
// answers with it and empties it.
type journal struct {
	mu    sync.Mutex
	lines []string     // guarded by mu
	log   *slog.Logger // guarded by mu; takes the lines too, for programs with more than one memory
}

func (j *journal) add(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	line := fmt.Sprintf(format, args...)
	j.lines = append(j.lines, line)
	if j.log != nil {
		j.log.Info("journal", "line", line)
	}
}

func (j *journal) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	j.mu.Lock()
	defer j.mu.Unlock()
	_, _ = io.WriteString(w, strings.Join(j.lines, "\n"))
	j.lines = nil
}

// Basket is a session attribute that listens.
type Basket struct {
	Items map[string]int
	Seen  time.Time
}

// ValueBound implements servlet.BindingListener.
func (b *Basket) ValueBound(e servlet.BindingEvent) {
	if j, ok := e.Context.Attribute("journal").(*journal); ok {
		j.add("bound %s %d", e.Name, len(b.Items))
	}
}

// ValueUnbound implements servlet.BindingListener.
func (b *Basket) ValueUnbound(e servlet.BindingEvent) {
	if j, ok := e.Context.Attribute("journal").(*journal); ok {
		j.add("unbound %s %d", e.Name, len(b.Items))
	}
}

// OutOfStock is an error with a type of its own, for an error page by type.
type OutOfStock struct{ Item string }

// Error implements error.
func (e *OutOfStock) Error() string { return "out of stock: " + e.Item }

// App is the application that the suite deploys. Each call makes one with its
// own state.
func App() servlet.App {
	j := &journal{}
	h := func(f http.HandlerFunc) http.Handler { return f }
	return servlet.App{
		Servlets: map[string]http.Handler{
			"journal": j, "echo": h(echo), "session": h(session), "basket": h(basket), "stream": h(stream),
			"fail": h(fail), "body": h(body), "dispatch": h(dispatch), "attrs": h(attrs), "errorpage": h(errorPage),
			"upgrade": h(upgrade), "context": h(contextInfo), "lazy": &lazy{j: j}, "broken": broken{}, "barrier": h(barrier),
			"wrap": h(wrap), "gate": h(gate),
		},
		NewServlets: map[string]func(*servlet.Config) (http.Handler, error){
			"param": func(c *servlet.Config) (http.Handler, error) {
				return h(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, c.Name, " ", c.Params["p"]) }), nil
			},
		},
		Filters: map[string]servlet.Filter{"trace": trace("trace"), "block": block, "shout": shout},
		NewFilters: map[string]func(*servlet.Config) (servlet.Filter, error){
			"named": func(c *servlet.Config) (servlet.Filter, error) { return trace(c.Params["as"]), nil },
		},
		Listeners:  map[string]any{"events": &events{j: j}},
		Policies:   map[string]servlet.NotificationPolicy{"deny": deny{}, "spy": &spy{j: j}},
		Attributes: map[string]any{"basket": &Basket{}, "parcel": &Parcel{}},
	}
}

func trace(name string) servlet.Filter {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Add("X-Trace", name+":"+servlet.DispatcherTypeOf(r).String())
			next.ServeHTTP(w, r)
		})
	}
}

func block(http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusPaymentRequired) })
}

// shout turns what comes after it into capitals, so it has to see it.
func shout(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Del("Content-Length")
		next.ServeHTTP(upper{w}, r)
		fmt.Fprint(w, "!")
	})
}

type upper struct{ http.ResponseWriter }

func (u upper) WriteHeader(code int) {
	u.Header().Del("Content-Length")
	u.ResponseWriter.WriteHeader(code)
}

func (u upper) Write(b []byte) (int, error) {
	u.Header().Del("Content-Length")
	return u.ResponseWriter.Write([]byte(strings.ToUpper(string(b))))
}

func (u upper) Unwrap() http.ResponseWriter { return u.ResponseWriter }

func echo(w http.ResponseWriter, r *http.Request) {
	m := servlet.MappingOf(r)
	w.Header().Set("X-Method", r.Method)
	fmt.Fprintf(w, "%s|%s|%s|%s|%s|%s|%s|%s", servlet.ContextPath(r), servlet.ServletPath(r), servlet.PathInfo(r), r.URL.Path,
		servlet.RequestURI(r), r.URL.RawQuery, servlet.DispatcherTypeOf(r), m.Match)
}

// session runs the operations of the query in order: set.NAME=VALUE,
// get=NAME, inc=NAME, update=NAME, remove=NAME, local.NAME=VALUE, getlocal=NAME,
// names, new, invalidate, changeid, idle=SECONDS.
func session(w http.ResponseWriter, r *http.Request) {
	for _, op := range strings.Split(r.URL.RawQuery, "&") {
		name, arg, _ := strings.Cut(op, "=")
		if name == "exists" {
			fmt.Fprintln(w, servlet.ExistingSession(r) != nil)
			continue
		}
		if err := sessionOp(w, servlet.SessionOf(r), name, arg); err != nil {
			fmt.Fprintln(w, "error", err)
		}
	}
}

func sessionOp(w io.Writer, s *servlet.Session, op, arg string) error {
	op, name, _ := strings.Cut(op, ".")
	switch op {
	case "set":
		return servlet.Set(s, name, arg)
	case "get":
		v, err := servlet.Get[string](s, arg)
		if err == nil {
			fmt.Fprintln(w, v)
		}
		return err
	case "inc":
		n, _ := servlet.Get[int](s, arg)
		fmt.Fprintln(w, n+1)
		return servlet.Set(s, arg, n+1)
	case "update":
		return servlet.Update(s, arg, func(n int, _ bool) (int, error) { return n + 1, nil })
	case "remove":
		return servlet.Remove(s, arg)
	case "local":
		servlet.SetLocal(s, name, arg)
	case "getlocal":
		v, ok := servlet.GetLocal[string](s, arg)
		fmt.Fprintln(w, v, ok)
	case "names":
		names, err := s.Names()
		fmt.Fprintln(w, names)
		return err
	case "new":
		fmt.Fprintln(w, s.IsNew())
	case "invalidate":
		return s.Invalidate()
	case "changeid":
		old := s.ID()
		id, err := s.ChangeID()
		fmt.Fprintln(w, id != old && id == s.ID())
		return err
	case "idle":
		n, err := strconv.Atoi(arg)
		if err != nil {
			return err
		}
		return s.SetMaxInactive(time.Duration(n) * time.Second)
	case "getidle":
		fmt.Fprintln(w, s.MaxInactive())
	case "look":
		_, err := servlet.Get[*Basket](s, arg)
		return err
	case "send":
		return servlet.Set(s, "parcel", &Parcel{To: arg})
	case "badlocal":
		if err := servlet.Set(s, "bad", make(chan int)); err != nil {
			return err
		}
		_, err := servlet.Get[chan int](s, "bad")
		return err
	case "bad":
		return servlet.Set(s, "bad", make(chan int))
	}
	return nil
}

// basket changes a value in place, without Set.
func basket(w http.ResponseWriter, r *http.Request) {
	s := servlet.SessionOf(r)
	b, err := servlet.Get[*Basket](s, "basket")
	if errors.Is(err, servlet.ErrNoAttribute) {
		b = &Basket{Items: map[string]int{}}
		err = servlet.Set(s, "basket", b)
	}
	if err != nil {
		servlet.Fail(w, r, err)
		return
	}
	b.Items[r.URL.Query().Get("item")]++
	fmt.Fprint(w, len(b.Items))
}

// stream flushes line by line; it waits for the client between them if asked to.
func stream(w http.ResponseWriter, r *http.Request) {
	n, _ := strconv.Atoi(r.URL.Query().Get("n"))
	size, _ := strconv.Atoi(r.URL.Query().Get("size"))
	w.Header().Set("Content-Type", "text/event-stream")
	for i := range n {
		if _, err := fmt.Fprintf(w, "data: %d%s\n\n", i, strings.Repeat("x", size)); err != nil {
			return
		}
		if err := http.NewResponseController(w).Flush(); err != nil {
			return
		}
	}
	if r.URL.Query().Has("wait") {
		<-r.Context().Done()
	}
}

func fail(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Query().Get("how") {
	case "panic":
		panic("panicked on purpose")
	case "panicerror":
		panic(&OutOfStock{"tea"})
	case "abort":
		_, _ = io.WriteString(w, "part")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	case "fail":
		servlet.Fail(w, r, fmt.Errorf("ordering: %w", &OutOfStock{"cup"}))
	case "senderror":
		fmt.Fprint(w, "lost")
		if err := servlet.SendError(w, r, http.StatusTeapot, "short and stout"); err != nil {
			panic(err)
		}
		fmt.Fprint(w, "lost too")
	case "late":
		_, _ = io.WriteString(w, "part")
		_ = http.NewResponseController(w).Flush()
		if errors.Is(servlet.SendError(w, r, http.StatusTeapot, ""), servlet.ErrCommitted) {
			_, _ = io.WriteString(w, " committed")
		}
	case "unavailable":
		servlet.Fail(w, r, &servlet.Unavailable{Reason: "resting", RetryAfter: 7 * time.Second})
	}
}

// body reads the request's body and answers with its length and ends.
func body(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		servlet.Fail(w, r, err)
		return
	}
	fmt.Fprintf(w, "%d %.3s %s", len(b), b, r.Header.Get("X-In"))
}

func dispatch(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	servlet.SetAttribute(r, "from", "dispatch")
	servlet.SetAttribute(r, "number", 7)
	var d *servlet.Dispatcher
	if name := q.Get("name"); name != "" {
		d = servlet.ContextOf(r).NamedDispatcher(name)
	} else {
		d = servlet.DispatcherOf(r, q.Get("to"))
	}
	if d == nil {
		fmt.Fprint(w, "no dispatcher")
		return
	}
	if q.Get("how") == "include" {
		fmt.Fprint(w, "[")
		err := d.Include(w, r)
		if errors.Is(err, fs.ErrNotExist) {
			fmt.Fprint(w, "missing")
		} else if err != nil {
			fmt.Fprint(w, "error")
		}
		fmt.Fprint(w, "]")
		return
	}
	fmt.Fprint(w, "dropped")
	if err := d.Forward(w, r); err != nil {
		servlet.Fail(w, r, err)
	}
	fmt.Fprint(w, "ignored")
}

func attrs(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "%v %v %v|%v|%v", servlet.DispatcherTypeOf(r), servlet.Attribute(r, "from"), servlet.Attribute(r, "number"),
		servlet.Attribute(r, servlet.AttrForwardServletPath), servlet.Attribute(r, servlet.AttrIncludeServletPath))
}

func errorPage(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "page: %v %v %v %v", servlet.Attribute(r, servlet.AttrErrorStatusCode), servlet.Attribute(r, servlet.AttrErrorMessage),
		servlet.Attribute(r, servlet.AttrErrorServletName), servlet.DispatcherTypeOf(r))
}

// upgrade answers lines with lines on the bare connection.
func upgrade(w http.ResponseWriter, r *http.Request) {
	_ = servlet.Set(servlet.SessionOf(r), "upgraded", "yes")
	c, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer c.Close()
	_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: lines\r\n\r\n")
	sc := bufio.NewScanner(rw)
	for sc.Scan() {
		if _, err := fmt.Fprintf(c, "<%s>\n", sc.Text()); err != nil {
			return
		}
	}
}

func contextInfo(w http.ResponseWriter, r *http.Request) {
	c := servlet.ContextOf(r)
	data, err := fs.ReadFile(c.FS(), "WEB-INF/data.txt")
	fmt.Fprintf(w, "%s|%s|%s|%s|%s|%v|%s|%v|%v", c.Path(), c.Version(), c.Name(), c.InitParam("color"), data, err, c.MIMEType("a.html"),
		c.TempDir() != "", c.SessionTimeout())
}

// barrier stores a value, makes it safe, and waits until it is told to go on.
func barrier(w http.ResponseWriter, r *http.Request) {
	if err := servlet.Set(servlet.SessionOf(r), "barrier", "passed"); err != nil {
		servlet.Fail(w, r, err)
		return
	}
	if err := servlet.Barrier(w, r); err != nil {
		servlet.Fail(w, r, err)
		return
	}
	_, _ = io.Copy(io.Discard, r.Body) // the client holds its end open meanwhile
	fmt.Fprint(w, "done")
}

// wrap forwards through a writer of its own.
func wrap(w http.ResponseWriter, r *http.Request) {
	if err := servlet.DispatcherOf(r, "/static/a.txt").Forward(upper{w}, r); err != nil {
		servlet.Fail(w, r, err)
	}
}

// lazy notes when it is initialised and destroyed.
type lazy struct {
	j *journal
	n int
}

// Init implements servlet.Initializer.
func (l *lazy) Init(c *servlet.Config) error {
	l.n++
	l.j.add("init %s %s", c.Name, c.Params["p"])
	return nil
}

// Destroy implements servlet.Destroyer.
func (l *lazy) Destroy() { l.j.add("destroy") }

func (l *lazy) ServeHTTP(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "initialised ", l.n) }

// broken cannot be initialised.
type broken struct{}

// Init implements servlet.Initializer.
func (broken) Init(*servlet.Config) error {
	return &servlet.Unavailable{Reason: "for ever", Permanent: true}
}

func (broken) ServeHTTP(http.ResponseWriter, *http.Request) {}

// events hears everything and writes down what the suite looks at.
type events struct{ j *journal }

func (l *events) ContextInitialized(c *servlet.Context) error {
	c.SetAttribute("journal", l.j)
	l.j.mu.Lock()
	l.j.log = c.Logger()
	l.j.mu.Unlock()
	l.j.add("context %s initialized", c.Path())
	if c.InitParam("refuse") != "" {
		return errors.New("refused by a context listener")
	}
	return nil
}

func (l *events) ContextDestroyed(*servlet.Context) { l.j.add("context destroyed") }

func (l *events) RequestInitialized(r *http.Request) error {
	if strings.HasPrefix(r.URL.Path, "/forbidden") {
		return errors.New("refused by a request listener")
	}
	return nil
}

func (l *events) RequestDestroyed(r *http.Request) {
	if r.URL.Path != "/journal" {
		l.j.add("request %s", r.URL.Path)
	}
}

func (l *events) SessionCreated(e servlet.SessionEvent) {
	_ = servlet.Set(e.Session, "greeting", "hello")
	l.j.add("session created %v", e.Cause)
}

func (l *events) SessionDestroyed(e servlet.SessionEvent) {
	v, _ := servlet.Get[string](e.Session, "a")
	l.j.add("session destroyed %v a=%s", e.Cause, v)
}

func (l *events) SessionIDChanged(e servlet.SessionEvent, old string) {
	l.j.add("session id changed %v", e.Session.ID() != old)
}

func (l *events) SessionAttributeAdded(e servlet.SessionAttributeEvent) { l.j.add("added %s", e.Name) }

func (l *events) SessionAttributeRemoved(e servlet.SessionAttributeEvent) {
	l.j.add("removed %s", e.Name)
}

func (l *events) SessionAttributeReplaced(e servlet.SessionAttributeEvent) {
	l.j.add("replaced %s %v", e.Name, e.Old)
}

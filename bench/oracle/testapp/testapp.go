// Package testapp is the application that the recordings were made with,
// written in Go: an echo servlet, a tracing filter, a servlet that runs
// scripts, listeners that log every event, and a session attribute that knows
// when it is bound. Its names are those of the Java classes, so that the
// recorded descriptors deploy as they are.
//
// What Java's API has and Go's has not (a writer beside a stream, a requested
// session id, exception classes) is done as a Go author would do it, or
// answered in a way that the rules of docs/conformance.md can recognise.
package testapp

import (
	"fmt"
	"net/http"
	"strings"
	"sync"

	"github.com/serval-server/serval/webapp/servlet"
)

// Logs holds an event log for each application, by its context path.
type Logs struct {
	mu   sync.Mutex
	logs map[string]*log // guarded by mu
}

// log is the ordered event log of one application, and what makes it throw.
type log struct {
	mu    sync.Mutex
	lines []string // guarded by mu
	boom  string   // guarded by mu
}

func (l *Logs) of(contextPath string) *log {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.logs == nil {
		l.logs = map[string]*log{}
	}
	lg := l.logs[contextPath]
	if lg == nil {
		lg = &log{}
		l.logs[contextPath] = lg
	}
	return lg
}

// Drain returns and clears the log of an application.
func (l *Logs) Drain(contextPath string) []string {
	lg := l.of(contextPath)
	lg.mu.Lock()
	defer lg.mu.Unlock()
	lines := lg.lines
	lg.lines = nil
	return lines
}

// Boom makes an application's listeners panic at an event; "" disarms them.
func (l *Logs) Boom(contextPath, event string) {
	lg := l.of(contextPath)
	lg.mu.Lock()
	defer lg.mu.Unlock()
	lg.boom = event
}

func (l *log) add(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, fmt.Sprintf(format, args...))
}

// armed reports whether an event shall throw.
func (l *log) armed(event string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.boom == event
}

// New makes the application, logging to logs.
func New(logs *Logs) servlet.App {
	return servlet.App{
		NewServlets: map[string]func(*servlet.Config) (http.Handler, error){
			"oracle.EchoServlet":   logs.newEcho,
			"oracle.ScriptServlet": logs.newScript,
			"oracle.CtlServlet":    logs.newCtl,
		},
		NewFilters: map[string]func(*servlet.Config) (servlet.Filter, error){
			"oracle.TraceFilter": newTrace,
		},
		Listeners: map[string]any{
			"oracle.Events":   &events{name: "L", logs: logs},
			"oracle.Events$A": &events{name: "A", logs: logs},
			"oracle.Events$B": &events{name: "B", logs: logs},
		},
		Attributes: map[string]any{"k": Bound{}, "k1": Bound{}, "k2": Bound{}},
	}
}

// newCtl answers with the event log and arms the listeners (?boom=EVENT).
func (l *Logs) newCtl(c *servlet.Config) (http.Handler, error) {
	path := c.Context.Path()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if q := r.URL.Query(); q.Has("boom") {
			l.Boom(path, q.Get("boom"))
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(quote(l.Drain(path))))
	}), nil
}

const traceAttribute = "oracle.trace"

// newTrace makes the filter that notes its passing in a request attribute and a header.
func newTrace(c *servlet.Config) (servlet.Filter, error) {
	name := c.Params["name"]
	if name == "" {
		name = c.Name
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			trace, _ := servlet.Attribute(r, traceAttribute).([]string)
			entry := name + ":" + servlet.DispatcherTypeOf(r).String()
			servlet.SetAttribute(r, traceAttribute, append(trace[:len(trace):len(trace)], entry))
			w.Header().Add("X-Trace", entry)
			next.ServeHTTP(w, r)
		})
	}, nil
}

// Throwable stands for a Java exception of a class.
type Throwable struct {
	Class   string
	Message string
	Cause   error
}

// Error implements error.
func (t *Throwable) Error() string { return t.Message }

// Unwrap returns the cause.
func (t *Throwable) Unwrap() error { return t.Cause }

// superclasses are those of the exceptions that scripts throw.
var superclasses = map[string]string{
	"java.lang.IllegalStateException":         "java.lang.RuntimeException",
	"java.lang.IllegalArgumentException":      "java.lang.RuntimeException",
	"java.lang.NullPointerException":          "java.lang.RuntimeException",
	"java.lang.UnsupportedOperationException": "java.lang.RuntimeException",
	"oracle.ScriptServlet$AppException":       "java.lang.RuntimeException",
	"oracle.ScriptServlet$SubAppException":    "oracle.ScriptServlet$AppException",
	"java.lang.RuntimeException":              "java.lang.Exception",
	"java.io.FileNotFoundException":           "java.io.IOException",
	"java.io.IOException":                     "java.lang.Exception",
	"jakarta.servlet.ServletException":        "java.lang.Exception",
	"jakarta.servlet.UnavailableException":    "jakarta.servlet.ServletException",
	"java.lang.AssertionError":                "java.lang.Error",
	"java.lang.Error":                         "java.lang.Throwable",
	"java.lang.Exception":                     "java.lang.Throwable",
	"org.apache.coyote.BadRequestException":   "java.io.IOException",
}

// ErrorTypes implements servlet.Typed: the class and its superclasses.
func (t *Throwable) ErrorTypes() []string {
	var out []string
	for c := t.Class; c != ""; c = superclasses[c] {
		out = append(out, c)
	}
	return out
}

// className is the Java class of an error, as the recording has it.
func className(err any) string {
	switch e := err.(type) {
	case *Throwable:
		return e.Class
	case error:
		return classOfError(e)
	}
	return "java.lang.Throwable"
}

// quote renders a value as ASCII JSON. Objects keep the order of their members.
func quote(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case object:
		var parts []string
		for _, m := range v {
			if m.value != nil {
				parts = append(parts, quote(m.name)+":"+quote(m.value))
			}
		}
		return "{" + strings.Join(parts, ",") + "}"
	case []any:
		parts := make([]string, len(v))
		for i, x := range v {
			parts[i] = quote(x)
		}
		return "[" + strings.Join(parts, ",") + "]"
	case []string:
		parts := make([]string, len(v))
		for i, x := range v {
			parts[i] = quote(x)
		}
		return "[" + strings.Join(parts, ",") + "]"
	case int, int64, bool:
		return fmt.Sprint(v)
	}
	return quoteText(fmt.Sprint(v))
}

// object is a JSON object in the order of its members; nil members are left out.
type object []memberOf

type memberOf struct {
	name  string
	value any
}

func (o *object) put(name string, value any) { *o = append(*o, memberOf{name, value}) }

// text is a member that is left out when empty, as Java's null is.
func (o *object) text(name, value string) {
	if value != "" {
		o.put(name, value)
	}
}

func quoteText(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r > 0xffff:
			r -= 0x10000
			fmt.Fprintf(&b, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		case r < 32 || r > 126:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

package testapp

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/serval-server/serval/webapp/servlet"
)

// newEcho makes the servlet that answers with a line of JSON describing the
// request as it sees it. ?fwd=PATH and ?inc=PATH forward and include, in a
// REQUEST dispatch; the init parameter body=true reads and reports the body.
func (l *Logs) newEcho(c *servlet.Config) (http.Handler, error) {
	e := &echo{name: c.Name, log: l.of(c.Context.Path()), body: c.Params["body"] == "true"}
	return e, nil
}

type echo struct {
	name string
	log  *log
	body bool
}

// describe is what every echo line has.
func describe(r *http.Request, servletName string) object {
	var o object
	o.put("sv", servletName)
	o.put("cp", servlet.ContextPath(r))
	o.put("sp", servlet.ServletPath(r))
	o.text("pi", servlet.PathInfo(r))
	o.put("uri", servlet.RequestURI(r))
	if p := servlet.PassOf(r); p != nil {
		o.text("qs", p.Query)
	}
	o.put("dt", servlet.DispatcherTypeOf(r).String())
	m := servlet.MappingOf(r)
	o.put("map", []any{match(m), matchValue(m, servlet.PathInfo(r)), m.Pattern, m.Servlet})
	if trace, _ := servlet.Attribute(r, traceAttribute).([]string); trace != nil {
		o.put("f", trace)
	}
	return o
}

func match(m servlet.Mapping) string {
	if m.Match == servlet.NoMatch {
		return "null"
	}
	return m.Match.String()
}

// matchValue is nil where Tomcat's is: a prefix that matched the whole path.
func matchValue(m servlet.Mapping, pathInfo string) any {
	if m.Match == servlet.PathMatch && pathInfo == "" {
		return nil
	}
	return m.Value
}

func (e *echo) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if e.body {
		uri := servlet.RequestURI(r)
		if r.URL.RawQuery != "" {
			uri += "?" + r.URL.RawQuery
		}
		e.log.add("begin %s %s %s", r.Method, uri, r.Proto)
	}
	if servlet.DispatcherTypeOf(r) != servlet.Request {
		e.line(w, describe(r, e.name))
		return
	}
	q := r.URL.Query()
	if q.Has("fwd") && !e.body {
		d := servlet.DispatcherOf(r, q.Get("fwd"))
		if d == nil {
			e.text(w, `{"rd":null}`)
		} else if err := d.Forward(w, r); err != nil {
			panic(err)
		}
		return
	}
	o := describe(r, e.name)
	o.text("ver", servlet.ContextOf(r).InitParam("version"))
	if e.body {
		if !e.readBody(w, &o, r) {
			return
		}
	}
	e.line(w, o)
	if q.Has("inc") && !e.body {
		d := servlet.DispatcherOf(r, q.Get("inc"))
		if d == nil {
			e.text(w, `{"rd":null}`)
		} else if err := d.Include(w, r); err != nil {
			panic(err)
		}
	}
}

func (e *echo) line(w http.ResponseWriter, o object) { e.text(w, quote(o)) }

func (e *echo) text(w http.ResponseWriter, s string) {
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	_, _ = io.WriteString(w, s+"\n")
}

// readBody adds what the http recordings have. A body that cannot be read is the
// client's mistake.
func (e *echo) readBody(w http.ResponseWriter, o *object, r *http.Request) bool {
	o.put("hdr", headers(r))
	length := r.ContentLength
	if length == 0 && r.Header.Get("Content-Length") == "" {
		length = -1
	}
	host, port := hostPort(r)
	o.put("cl", length)
	o.put("sn", host)
	o.put("spt", port)
	o.put("sch", "http")
	o.put("proto", r.Proto)
	o.put("meth", r.Method)
	body, err := io.ReadAll(r.Body)
	if err != nil {
		e.log.add("bodyerr %s", bodyError(err))
		_ = servlet.SendError(w, r, http.StatusBadRequest, err.Error()) // if it is too late, so be it
		return false
	}
	o.put("bl", len(body))
	var text strings.Builder
	for _, b := range body[:min(len(body), 300)] {
		text.WriteRune(rune(b))
	}
	o.put("body", text.String())
	var trailers object
	for n, v := range r.Trailer {
		if len(v) > 0 {
			trailers.put(strings.ToLower(n), v[0])
		}
	}
	if trailers != nil {
		o.put("trailers", trailers)
	}
	e.log.add("done %s %s body=%d", r.Method, servlet.RequestURI(r), len(body))
	return true
}

// bodyError is the recorded server's name for an error of a request's body: the
// client's mistake, or the end of its connection.
func bodyError(err error) string {
	if s, ok := errors.AsType[*servlet.StatusError](err); ok && s.Code == http.StatusBadRequest {
		return "org.apache.coyote.BadRequestException"
	}
	return "org.apache.catalina.connector.ClientAbortException"
}

// headers gives back the fields that net/http takes out of the header.
func headers(r *http.Request) object {
	h := r.Header.Clone()
	if r.Host != "" || r.ProtoAtLeast(1, 1) { // which must have one; it may be empty
		h.Set("Host", r.Host)
	}
	if len(r.TransferEncoding) > 0 {
		h.Set("Transfer-Encoding", strings.Join(r.TransferEncoding, ", "))
	}
	if len(r.Trailer) > 0 {
		var names []string
		for n := range r.Trailer {
			names = append(names, n)
		}
		slices.Sort(names)
		h.Set("Trailer", strings.Join(names, ", "))
	}
	var o object
	for n, v := range h {
		o.put(strings.ToLower(n), v)
	}
	return o
}

func hostPort(r *http.Request) (string, int) {
	host := r.Host
	if host == "" && r.ProtoAtLeast(1, 1) {
		return "", 80
	}
	if host == "" {
		return "localhost", 80
	}
	name, port, err := net.SplitHostPort(host)
	if err != nil {
		return host, 80
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return name, 80
	}
	if strings.Contains(name, ":") {
		name = fmt.Sprintf("[%s]", name)
	}
	return name, n
}

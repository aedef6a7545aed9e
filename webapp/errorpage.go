package webapp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/serval-server/serval/descriptor"
	"github.com/serval-server/serval/webapp/servlet"
)

// errorPages are the descriptor's error-page elements (Servlet 6.1 §10.9).
type errorPages struct {
	codes  map[int]string    // status → path; 0 is the page for all others
	types  map[string]string // name of an error type → path
	byKind []kindPage        // known Java exception types
}

// kindPage is an error page for a Java exception class that has a counterpart
// in Go.
type kindPage struct {
	location string
	matches  func(error) bool
}

// javaKinds are the Java exception classes that Go errors correspond to, the
// more specific before the more general.
var javaKinds = []struct {
	name    string
	matches func(error) bool
}{
	{"java.io.FileNotFoundException", func(err error) bool { return errors.Is(err, fs.ErrNotExist) }},
	{"java.util.concurrent.TimeoutException", func(err error) bool { return errors.Is(err, context.DeadlineExceeded) }},
	{"java.lang.IllegalStateException", func(err error) bool {
		return errors.Is(err, servlet.ErrCommitted) || errors.Is(err, servlet.ErrInvalid) || errors.Is(err, servlet.ErrTooManySessions)
	}},
	{"jakarta.servlet.UnavailableException", isUnavailable},
	{"javax.servlet.UnavailableException", isUnavailable},
	{"java.lang.NullPointerException", func(err error) bool { return runtimeError(err, "nil pointer") }},
	{"java.lang.ArrayIndexOutOfBoundsException", func(err error) bool { return runtimeError(err, "out of range") }},
	{"java.lang.IndexOutOfBoundsException", func(err error) bool { return runtimeError(err, "out of range") }},
	{"java.lang.ArithmeticException", func(err error) bool { return runtimeError(err, "divide by zero") }},
	{"java.lang.ClassCastException", func(err error) bool { return runtimeError(err, "interface conversion") }},
	{"java.io.IOException", func(err error) bool {
		var p *fs.PathError
		return errors.As(err, &p) || errors.Is(err, fs.ErrNotExist)
	}},
	{"java.lang.RuntimeException", func(err error) bool { return runtimeError(err, "") }},
	{"jakarta.servlet.ServletException", anyError},
	{"javax.servlet.ServletException", anyError},
	{"java.lang.Exception", anyError},
	{"java.lang.Throwable", anyError},
	{"java.lang.Error", anyError},
	{"error", anyError},
}

func anyError(error) bool { return true }

func isUnavailable(err error) bool {
	var u *servlet.Unavailable
	return errors.As(err, &u)
}

func runtimeError(err error, text string) bool {
	var r runtime.Error
	return errors.As(err, &r) && strings.Contains(r.Error(), text)
}

func newErrorPages(list []descriptor.ErrorPage, log *slog.Logger) errorPages {
	p := errorPages{codes: map[int]string{}, types: map[string]string{}}
	for _, e := range list {
		if e.ErrorType != "" {
			p.types[e.ErrorType] = e.Location
			continue
		}
		p.codes[e.Code] = e.Location
	}
	for _, k := range javaKinds {
		if location, ok := p.types[k.name]; ok {
			p.byKind = append(p.byKind, kindPage{location, k.matches})
		}
	}
	for name := range p.types {
		if (strings.HasPrefix(name, "java.") || strings.HasPrefix(name, "javax.")) && !knownKind(name) {
			log.Warn("error-page for a Java exception class that no Go error corresponds to; name the Go type, or let the error implement servlet.Typed", "exception_type", name)
		}
	}
	return p
}

func knownKind(name string) bool {
	for _, k := range javaKinds {
		if k.name == name {
			return true
		}
	}
	return false
}

// byError is the page for an error: by its own names, most specific first, then
// those of what it wraps, then by the Java classes that correspond to it. A
// Typed error has said all there is to say about itself; only a
// ServletException gives way to its cause.
func (p *errorPages) byError(err error) (string, bool) {
	if len(p.types) == 0 {
		return "", false
	}
	chain := errorChain(err)
	for _, e := range chain {
		for _, name := range typeNames(e) {
			if l, ok := p.types[name]; ok {
				return l, true
			}
		}
	}
	if l, ok := p.types["error"]; ok {
		return l, true // "error" stands for every error
	}
	for _, k := range p.byKind {
		if _, ok := typed(chain[len(chain)-1]); !ok && k.matches(err) {
			return k.location, true
		}
	}
	return "", false
}

// errorChain is an error and what it wraps, as far as error pages are looked for.
func errorChain(err error) (chain []error) {
	for e := err; e != nil; e = unwrapOne(e) {
		chain = append(chain, e)
		if t, ok := typed(e); ok {
			if cause := unwrapOne(e); cause != nil && servletException(t) {
				chain = append(chain, cause)
			}
			break
		}
	}
	return chain
}

// typed is an error itself as a Typed one, not what it wraps.
func typed(err error) (servlet.Typed, bool) {
	t, ok := err.(servlet.Typed)
	return t, ok
}

// servletException reports that an error is a mere wrapper in the sense of
// Servlet 6.1 §10.9.2.
func servletException(t servlet.Typed) bool {
	names := t.ErrorTypes()
	return len(names) > 0 && (names[0] == "jakarta.servlet.ServletException" || names[0] == "javax.servlet.ServletException")
}

// pageError is the error that an error page is told of, after the name of its
// type: the error itself, but for a ServletException its cause; the type is that
// of the first error that is not made by fmt.Errorf or errors.Join.
func pageError(err error) (kind string, told error) {
	chain := errorChain(err)
	if t, ok := typed(err); ok && servletException(t) && len(chain) > 1 {
		return typeNames(chain[1])[0], chain[1]
	}
	for _, e := range chain {
		if n := typeNames(e)[0]; !strings.HasPrefix(n, "fmt.") && !strings.HasPrefix(n, "errors.") {
			return n, err
		}
	}
	return typeNames(err)[0], err
}

// byCode is the page for a status, or that for all others.
func (p *errorPages) byCode(code int) (string, bool) {
	if l, ok := p.codes[code]; ok {
		return l, true
	}
	l, ok := p.codes[0]
	return l, ok
}

// unwrapOne is what an error wraps; of several the first.
func unwrapOne(err error) error {
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		return e.Unwrap()
	case interface{ Unwrap() []error }:
		if l := e.Unwrap(); len(l) > 0 {
			return l[0]
		}
	}
	return nil
}

// typeNames are the names that an error is found by: those that it gives itself,
// or those of its Go type ("shop.OutOfStock", and with the whole import path).
func typeNames(err error) []string {
	if t, ok := typed(err); ok {
		if names := t.ErrorTypes(); len(names) > 0 {
			return names
		}
	}
	t := reflect.TypeOf(err)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.PkgPath() == "" || t.Name() == "" {
		return []string{t.String()}
	}
	return []string{t.String(), t.PkgPath() + "." + t.Name()}
}

// panicError is the error that a handler has panicked with.
func panicError(p any) error {
	if err, ok := p.(error); ok {
		return err
	}
	return fmt.Errorf("panic: %v", p)
}

// statusOf is the status of an error that no page by type answers.
func statusOf(err error) int {
	var (
		s *servlet.StatusError
		u *servlet.Unavailable
		m *http.MaxBytesError
	)
	switch {
	case errors.As(err, &s):
		return s.Code
	case errors.As(err, &u):
		if u.Permanent {
			return http.StatusNotFound
		}
		return http.StatusServiceUnavailable
	case errors.As(err, &m):
		return http.StatusRequestEntityTooLarge
	case errors.Is(err, servlet.ErrTooManySessions):
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// answerError makes the response for the error that the request has ended with:
// the descriptor's page, or the server's report.
func (x *exchange) answerError() {
	if x.res.committed {
		x.answerLate()
		return
	}
	x.res.drop()
	h := x.res.Header()
	for _, name := range [...]string{"Content-Length", "Content-Encoding", "Content-Type", "Etag", "Last-Modified"} {
		h.Del(name) // they spoke of what has been dropped
	}
	if x.errCode != http.StatusRequestedRangeNotSatisfiable { // there it is part of the error (RFC 9110 §15.5.17)
		h.Del("Content-Range")
	}
	page, found := "", false
	told, kind := x.err, ""
	code, message, cause := x.errCode, x.errMessage, x.err
	if cause != nil {
		code = statusOf(cause)
		if message == "" {
			message = cause.Error()
		}
		var u *servlet.Unavailable
		if errors.As(cause, &u) && !u.Permanent && u.RetryAfter > 0 {
			h.Set("Retry-After", strconv.Itoa(int((u.RetryAfter+time.Second-1)/time.Second)))
		}
		if errors.As(cause, new(*clusterError)) {
			h.Set("Retry-After", "1")
		}
		kind = typeNames(cause)[0]
		if u == nil {
			if page, found = x.c.errors.byError(cause); found {
				kind, told = pageError(cause)
			}
		}
	}
	x.res.status, x.res.suspended = code, false
	if !found {
		page, found = x.c.errors.byCode(code)
	}
	if found && x.errorDispatch(page, code, message, told, kind) {
		return
	}
	x.report(code, message, cause)
}

// answerLate ends a response of which a part has left already. The client
// learns of it by the connection's end.
func (x *exchange) answerLate() {
	if x.err != nil {
		panic(http.ErrAbortHandler)
	}
}

// report is the server's own error page.
func (x *exchange) report(code int, message string, cause error) {
	x.res.drop()
	x.res.status, x.res.suspended = code, false
	if code < http.StatusBadRequest || !bodyAllowed(code) {
		return
	}
	if f := x.c.opts.ErrorReport; f != nil {
		f(&x.res, x.r, code, message, cause)
		x.res.status = code
		return
	}
	if message == "" {
		message = http.StatusText(code)
	}
	x.res.Header().Set("Content-Type", "text/plain; charset=utf-8")
	x.res.Header().Set("X-Content-Type-Options", "nosniff")
	x.res.status = code
	_, _ = fmt.Fprintf(&x.res, "%d %s\n", code, message)
}

// errorDispatch runs the error page; false if there is none after all, or it
// has failed.
func (x *exchange) errorDispatch(page string, code int, message string, cause error, kind string) bool {
	t, ok := x.c.resolve(page)
	if !ok {
		x.c.log.Error("error page does not exist", "page", page, "status", code)
		return false
	}
	p := x.First()
	x.SetAttribute(servlet.AttrErrorStatusCode, code)
	x.SetAttribute(servlet.AttrErrorMessage, message)
	x.SetAttribute(servlet.AttrErrorRequestURI, p.RequestURI)
	x.SetAttribute(servlet.AttrErrorServletName, p.Mapping.Servlet)
	x.SetAttribute(servlet.AttrErrorMethod, x.r.Method)
	x.SetAttribute(servlet.AttrErrorQueryString, p.Query)
	if cause != nil {
		x.SetAttribute(servlet.AttrErrorException, cause)
		x.SetAttribute(servlet.AttrErrorExceptionType, kind)
	}
	x.errCode, x.errMessage, x.err = 0, "", nil
	err := x.runProtected(func() error { return x.forward(&x.res, x.r, servlet.Error, t) })
	if x.aborted {
		panic(http.ErrAbortHandler)
	}
	if err == nil {
		err = x.err
	}
	if err != nil {
		x.c.log.Error("error page failed", "page", page, "status", code, "error", err)
	}
	if x.res.committed {
		return true
	}
	if err != nil || x.errCode != 0 {
		if x.res.buf != nil && len(*x.res.buf) > 0 {
			return true // what it has written is better than nothing
		}
		return false
	}
	return true
}

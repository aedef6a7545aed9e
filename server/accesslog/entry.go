package accesslog

import (
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/serval-server/serval/server/conninfo"
)

// Entry is what is known of a request when it has been answered.
type Entry struct {
	// Request is the request as it reached the valve.
	Request *http.Request
	// Response has the header of the answer. It is asked for it only if the pattern
	// does, since net/http copies the header for whoever asks so late.
	Response http.ResponseWriter
	Status   int
	// Bytes counts the body's bytes that were sent.
	Bytes int64
	// Start is when the request arrived, FirstByte how long after it the
	// answer was begun, Elapsed how long the whole took.
	Start              time.Time
	FirstByte, Elapsed time.Duration
	// App answers what only the application knows; nil if no application
	// has seen the request.
	App App
}

// App answers for the application that served a request; "" where there is nothing.
type App interface {
	SessionID() string
	User() string
	RequestAttribute(name string) string
	SessionAttribute(name string) string
}

// hostOf returns the address without its port.
func hostOf(addr string) string {
	if host, _, err := net.SplitHostPort(addr); err == nil {
		return host
	}
	return addr
}

func portOf(addr string) string {
	_, port, _ := net.SplitHostPort(addr)
	return port
}

func (e *Entry) peer() string {
	if c := conninfo.Of(e.Request.Context()); c != nil {
		return c.Peer
	}
	return e.Request.RemoteAddr
}

func (e *Entry) local() string {
	if c := conninfo.Of(e.Request.Context()); c != nil {
		return c.Local
	}
	return ""
}

func (e *Entry) serverName() string { return hostOf(e.Request.Host) }

// path is the path as it was sent, without the query.
func (e *Entry) path() string {
	p, _, _ := strings.Cut(e.Request.RequestURI, "?")
	return p
}

func (e *Entry) query() string {
	if _, q, ok := strings.Cut(e.Request.RequestURI, "?"); ok {
		return "?" + q
	}
	return ""
}

// connectionStatus is Tomcat's %X: X when the client went away before the end, +
// when the connection may be used again, - when it will be closed.
func (e *Entry) connectionStatus() string {
	switch {
	case e.Request.Context().Err() != nil:
		return "X"
	case e.Request.Close || strings.EqualFold(e.Response.Header().Get("Connection"), "close"):
		return "-"
	}
	return "+"
}

func (e *Entry) app(f func(App) string) string {
	if e.App == nil {
		return ""
	}
	return f(e.App)
}

func (e *Entry) cookie(name string) string {
	for _, c := range e.Request.CookiesNamed(name) {
		return c.Value
	}
	return ""
}

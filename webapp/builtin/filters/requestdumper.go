package filters

import (
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/serval-server/serval/webapp/servlet"
)

// NewRequestDumper makes a filter that logs each request and its answer: the
// line, the addresses and all headers, to the application's log. It has no
// parameters. Of headers that carry secrets (Authorization, Proxy-Authorization,
// Cookie, Set-Cookie) only the length is logged. It is for finding faults, not
// for every day.
func NewRequestDumper(values map[string]string) (func(http.Handler) http.Handler, error) {
	if err := newParams("request-dumper", values).err(); err != nil {
		return nil, err
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if servlet.PassOf(r) == nil {
				next.ServeHTTP(w, r)
				return
			}
			dump(servlet.ContextOf(r).Logger(), w, r, next)
		})
	}, nil
}

// RequestDumper is the same filter outside of an application, with a logger.
func RequestDumper(log *slog.Logger) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { dump(log, w, r, next) })
	}
}

func dump(log *slog.Logger, w http.ResponseWriter, r *http.Request, next http.Handler) {
	start := time.Now()
	log.Info("request", "method", r.Method, "uri", r.RequestURI, "protocol", r.Proto, "host", r.Host,
		"remote", r.RemoteAddr, "tls", r.TLS != nil, "length", r.ContentLength, headers("headers", r.Header))
	beforeHeader(w, r, next, func(h http.Header, status int) {
		log.Info("response", "method", r.Method, "uri", r.RequestURI, "status", status,
			"after", time.Since(start), headers("headers", h))
	})
	log.Info("done", "method", r.Method, "uri", r.RequestURI, "after", time.Since(start))
}

// headers is a group with each header.
func headers(key string, h http.Header) slog.Attr {
	attrs := make([]any, 0, len(h))
	for _, name := range slices.Sorted(maps.Keys(h)) {
		value := strings.Join(h[name], ", ")
		switch name {
		case "Authorization", "Proxy-Authorization", "Cookie", "Set-Cookie":
			attrs = append(attrs, slog.Int(name+" bytes", len(value)))
		default:
			attrs = append(attrs, slog.String(name, value))
		}
	}
	return slog.Group(key, attrs...)
}

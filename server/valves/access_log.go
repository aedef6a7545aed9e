package valves

import (
	"net/http"
	"strings"
	"time"

	"github.com/serval-server/serval/server/accesslog"
	"github.com/serval-server/serval/server/config"
)

// accessLog writes a line for each request when it has been answered, as Tomcat's
// AccessLogValve does.
func accessLog(c *config.AccessLog, env Env) (func(http.Handler) http.Handler, func() error, error) {
	parse := accesslog.Parse
	if c.Format == "json" {
		parse = accesslog.ParseJSON
	}
	source := c.Pattern
	if c.Format == "json" {
		source = namedPattern(source)
	}
	pattern, err := parse(source)
	if err != nil {
		return nil, nil, err
	}
	file, err := accesslog.Open(accesslog.FileOptions{
		Directory: env.Path(c.Directory), Prefix: c.Prefix, Suffix: c.Suffix,
		Rotation: accesslog.Rotation(c.Rotate), MaxSize: int64(c.MaxSize), MaxDays: c.MaxDays,
		Flush: c.Flush.D(), Logger: env.Logger,
	})
	if err != nil {
		return nil, nil, err
	}
	l := &accessLogger{pattern: pattern, file: file, exclude: c.Exclude}
	if pattern.NeedsApp() {
		l.app = env.App
	}
	return l.valve, file.Close, nil
}

// namedPattern is what the named patterns stand for.
func namedPattern(p string) string {
	switch p {
	case "common":
		return accesslog.Common
	case "combined":
		return accesslog.Combined
	}
	return p
}

type accessLogger struct {
	pattern *accesslog.Pattern
	file    *accesslog.File
	exclude []string
	app     func(*http.Request) accesslog.App
}

func (l *accessLogger) valve(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, p := range l.exclude {
			if strings.HasPrefix(r.URL.Path, p) {
				next.ServeHTTP(w, r)
				return
			}
		}
		tap := TapOf(w)
		if http.ResponseWriter(tap) != w && tap.ResponseWriter == w {
			w = tap
		}
		defer l.log(tap, r)
		next.ServeHTTP(w, r)
	})
}

// log writes the line, also when the handler has panicked.
func (l *accessLogger) log(tap *Tap, r *http.Request) {
	line := accesslog.NewLine()
	e := &line.Entry
	*e = accesslog.Entry{
		Request: r, Response: tap, Status: tap.status, Bytes: tap.bytes,
		Start: tap.start, FirstByte: tap.firstByte, Elapsed: time.Since(tap.start),
	}
	if e.Status == 0 {
		e.Status, e.FirstByte = http.StatusOK, e.Elapsed
	}
	if l.app != nil && tap.inner != nil {
		e.App = l.app(tap.inner)
	}
	line.Text = append(l.pattern.Append(line.Text, e), '\n')
	line.At = e.Start.Add(e.Elapsed)
	l.file.Write(line)
}

package valves

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/serval-server/serval/server/config"
)

// Reporter answers a request with a page for an error. The message may be "", which
// leaves what is generally said of the status; cause is shown in development only.
// It must be called before anything of the answer has been sent.
type Reporter func(w http.ResponseWriter, r *http.Request, status int, message string, cause error)

// plainReport is the reporter of a server without the valve.
func plainReport(w http.ResponseWriter, _ *http.Request, status int, message string, _ error) {
	http.Error(w, cmp.Or(message, http.StatusText(status)), status)
}

// errorReport is the page for errors that no application has a page for, in the
// shape of Tomcat's ErrorReportValve and JsonErrorReportValve. It never tells the
// version of the server unless that is asked for.
type errorReport struct {
	c           config.ErrorReport
	server      string
	development bool
}

func newErrorReport(c *config.ErrorReport, env Env) *errorReport {
	return &errorReport{c: *c, server: env.Server, development: env.Development}
}

// report is what the page and the JSON object show.
type report struct {
	Type        string `json:"type"`
	Status      int    `json:"status"`
	Reason      string `json:"-"`
	Message     string `json:"message,omitempty"`
	Description string `json:"description"`
	Cause       string `json:"cause,omitempty"`
	Server      string `json:"server,omitempty"`
}

func (e *errorReport) write(w http.ResponseWriter, r *http.Request, status int, message string, cause error) {
	rep := report{Type: "Status Report", Status: status, Reason: reason(status), Description: describe(status)}
	if cause != nil {
		rep.Type = "Exception Report"
	}
	if e.c.ShowReport {
		rep.Message = message
		if cause != nil && e.development {
			rep.Cause = cause.Error()
		}
	}
	if e.c.ShowServer {
		rep.Server = e.server
	}
	var body []byte
	h := w.Header()
	if e.c.Format == "json" || e.c.Format == "auto" && prefersJSON(r) {
		h.Set("Content-Type", "application/json;charset=utf-8")
		body, _ = json.Marshal(rep) // strings and a number: cannot fail
		body = append(body, '\n')
	} else {
		h.Set("Content-Type", "text/html;charset=utf-8")
		h.Set("Content-Language", "en")
		var b strings.Builder
		if err := page.Execute(&b, rep); err != nil {
			plainReport(w, r, status, message, cause)
			return
		}
		body = []byte(b.String())
	}
	// What a handler had prepared for another answer does not hold for this one.
	for _, name := range []string{"Content-Encoding", "Etag", "Last-Modified"} {
		h.Del(name)
	}
	if status != http.StatusRequestedRangeNotSatisfiable { // there they are part of the error (RFC 9110 §15.5.17)
		h.Del("Content-Range")
		h.Del("Accept-Ranges")
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // a client that has gone needs no answer
	}
}

// prefersJSON reports whether the client names a JSON type and no HTML.
func prefersJSON(r *http.Request) bool {
	accept := strings.Join(r.Header["Accept"], ",")
	if len(accept) > 1024 || strings.Contains(accept, "html") {
		return false
	}
	for part := range strings.SplitSeq(accept, ",") {
		kind, _, _ := strings.Cut(strings.TrimSpace(part), ";")
		if kind == "application/json" || strings.HasPrefix(kind, "application/") && strings.HasSuffix(kind, "+json") {
			return true
		}
	}
	return false
}

func reason(status int) string { return cmp.Or(http.StatusText(status), "Unknown") }

var page = template.Must(template.New("error").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>HTTP Status {{.Status}} – {{.Reason}}</title>
<style>body{font:1rem/1.5 system-ui,sans-serif;max-width:50rem;margin:2rem auto;padding:0 1rem;color:#222}h1{font-size:1.4rem}pre{white-space:pre-wrap;background:#f4f4f4;padding:.8rem;overflow-wrap:anywhere}hr{border:0;border-top:1px solid #bbb}</style></head>
<body><h1>HTTP Status {{.Status}} – {{.Reason}}</h1><hr>
<p><b>Type</b> {{.Type}}</p>
{{- if .Message}}
<p><b>Message</b> {{.Message}}</p>
{{- end}}
<p><b>Description</b> {{.Description}}</p>
{{- if .Cause}}
<p><b>Cause</b></p><pre>{{.Cause}}</pre>
{{- end}}
{{- if .Server}}
<hr><p>{{.Server}}</p>
{{- end}}
</body></html>
`))

// describe says what a status means, for the person who sees the page.
func describe(status int) string {
	if d, ok := descriptions[status]; ok {
		return d
	}
	switch {
	case status >= 500:
		return "The server could not answer the request."
	case status >= 400:
		return "The request cannot be answered as it was sent."
	}
	return reason(status) + "."
}

var descriptions = map[int]string{
	400: "The server will not process the request, because it is malformed.",
	401: "The request needs credentials that are valid for this resource.",
	403: "The server understood the request and refuses to answer it.",
	404: "There is nothing at this address, or nothing that the server wants to show.",
	405: "The resource is known, but does not support the method of the request.",
	408: "The request did not arrive completely in the time that the server waits.",
	413: "The body of the request is larger than the server accepts.",
	414: "The address is longer than the server accepts.",
	415: "The body of the request has a format that the resource does not support.",
	416: "None of the ranges that were asked for lies within the resource.",
	417: "The server cannot meet what the Expect header asks for.",
	429: "Too many requests have come from this client in a short time.",
	431: "The headers of the request are larger or more than the server accepts.",
	500: "The server met an unexpected condition that kept it from answering the request.",
	501: "The server does not support what is needed to answer the request.",
	502: "The application's program ended before it had answered the request.",
	503: "The application cannot answer at the moment. Trying again later may help.",
	504: "The application's program did not answer in time.",
	505: "The server does not support this version of HTTP.",
}

// recoverer turns a panic that no application has caught into a 500 page, or cuts
// the connection if part of the answer is out.
func recoverer(env Env) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			tap := TapOf(w)
			if tap.ResponseWriter == w {
				w = tap
			}
			defer func() {
				p := recover()
				if p == nil {
					return
				}
				if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
					panic(p)
				}
				env.Logger.Error("panic while serving a request", "method", r.Method, "uri", r.RequestURI, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
				if tap.status != 0 {
					panic(http.ErrAbortHandler)
				}
				clear(w.Header())
				env.Report(w, r, http.StatusInternalServerError, "", fmt.Errorf("panic: %v", p))
			}()
			next.ServeHTTP(w, r)
		})
	}
}

// Package examples shows each feature of the servlet package at work, on a page
// that also shows the source it came from. Each feature is one file here; this
// one holds what they share: the table of them, and the pages' frame.
package examples

import (
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"path"
	"strings"

	"github.com/serval-server/serval/webapp/servlet"
)

// App is what the names in WEB-INF/web.xml refer to.
var App = servlet.App{
	Servlets: map[string]http.Handler{
		"index":     http.HandlerFunc(index),
		"source":    http.HandlerFunc(source),
		"session":   http.HandlerFunc(sessionDemo),
		"listeners": http.HandlerFunc(listenersDemo),
		"filters":   http.HandlerFunc(filtersDemo),
		"dispatch":  http.HandlerFunc(dispatchDemo),
		"part":      http.HandlerFunc(part),
		"errors":    http.HandlerFunc(errorsDemo),
		"sorry":     http.HandlerFunc(sorry),
		"upload":    http.HandlerFunc(uploadDemo),
		"pages":     http.HandlerFunc(pagesDemo),
		"sse":       http.HandlerFunc(sseDemo),
		"websocket": http.HandlerFunc(websocketDemo),
	},
	Filters: map[string]servlet.Filter{
		"timing": timing,
		"outer":  trace("outer"),
		"inner":  trace("inner"),
	},
	Listeners: map[string]any{"journal": &events},
}

// feature is one example.
type feature struct {
	Path, Name, Text string
	File             string // its source in this folder
	More             string // another file that belongs to it, in the bundle
}

var features = []feature{
	{"/session", "Sessions", "Typed attributes, an atomic update, a new id, the end of a session.", "session.go", ""},
	{"/listeners", "Listeners", "Hear of the application's start, of sessions and of what changes in them.", "listeners.go", ""},
	{"/filters", "Filters", "Plain Go middleware, mapped by the descriptor, in the descriptor's order.", "filters.go", ""},
	{"/dispatch", "Forward and include", "Let another servlet answer, or write a part of the answer.", "dispatch.go", ""},
	{"/errors", "Errors", "Error pages by status code and by the type of the error.", "errors.go", ""},
	{"/upload", "Upload", "Forms with files, with limits from the descriptor.", "upload.go", ""},
	{"/pages", "Pages", "Templates that need no program, reloaded when you save them.", "pages.go", "pages/hello.gohtml"},
	{"/sse", "Server-sent events", "An answer that goes on: flushed as it comes.", "sse.go", ""},
	{"/websocket", "WebSocket", "Take over the connection and talk both ways.", "websocket.go", ""},
}

//go:embed *.go
var sourceFiles embed.FS

//go:embed layout/*.html
var layoutFiles embed.FS

var layout = template.Must(template.ParseFS(layoutFiles, "layout/*.html"))

// view is what a page is given.
type view struct {
	Base     string // context path
	Feature  feature
	Features []feature
	Data     any
	Source   string
	Extra    string // source of Feature.More
	r        *http.Request
}

// Link is the address of a path of this application, with the session's id in
// it if the browser takes no cookies.
func (v view) Link(p string) string { return servlet.EncodeURL(v.r, v.Base+p) }

// show renders the page of a feature around its demonstration, which is the
// template of the feature's name in layout/.
func show(w http.ResponseWriter, r *http.Request, at string, data any) {
	v := view{Base: servlet.ContextPath(r), Features: features, Data: data, r: r}
	for _, f := range features {
		if f.Path != at {
			continue
		}
		v.Feature = f
		if b, err := sourceFiles.ReadFile(f.File); err == nil {
			v.Source = string(b)
		}
		v.Extra = bundleFile(r, f.More)
	}
	name := strings.TrimPrefix(at, "/")
	if name == "" {
		name = "index"
	}
	var b strings.Builder
	if err := layout.ExecuteTemplate(&b, name+".html", v); err != nil {
		servlet.Fail(w, r, fmt.Errorf("page %s: %w", name, err))
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write([]byte(b.String())) // an error means that the browser has gone
}

func index(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/" {
		_ = servlet.SendError(w, r, http.StatusNotFound, "no such example")
		return
	}
	show(w, r, "", nil)
}

// bundleFile is a text file of the bundle; "" if there is none.
func bundleFile(r *http.Request, name string) string {
	if name == "" || servlet.PassOf(r) == nil {
		return ""
	}
	f, err := servlet.ContextOf(r).FS().Open(name)
	if err != nil {
		return ""
	}
	defer f.Close()
	var b strings.Builder
	buf := make([]byte, 16<<10)
	n, _ := f.Read(buf)
	b.Write(buf[:n])
	return b.String()
}

// source shows the descriptor and the files of this folder as text.
func source(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	name := path.Base(r.URL.Path)
	if name == "web.xml" {
		_, _ = w.Write([]byte(bundleFile(r, "WEB-INF/web.xml")))
		return
	}
	b, err := sourceFiles.ReadFile(name)
	if err != nil {
		_ = servlet.SendError(w, r, http.StatusNotFound, "no such file")
		return
	}
	_, _ = w.Write(b)
}

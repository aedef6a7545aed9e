package examples

import (
	"fmt"
	"html"
	"net/http"
	"net/url"

	"github.com/serval-server/serval/webapp/servlet"
)

// dispatchDemo shows its page, or with ?how=forward lets /part answer in its
// place, or with ?how=include writes a frame around what /part writes.
func dispatchDemo(w http.ResponseWriter, r *http.Request) {
	target := servlet.DispatcherOf(r, "/part?name="+url.QueryEscape(r.FormValue("name")))
	var err error
	switch r.FormValue("how") {
	case "forward":
		servlet.SetAttribute(r, "from", "dispatchDemo") // handed on with the request
		err = target.Forward(w, r)
	case "include":
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, "<p>This line is written by <b>dispatch</b>.</p>")
		if err = target.Include(w, r); err == nil {
			fmt.Fprint(w, "<p>And this one again.</p>")
		}
	default:
		show(w, r, "/dispatch", nil)
	}
	if err != nil {
		servlet.Fail(w, r, err)
	}
}

// part answers a part of a page, or a whole one.
func part(w http.ResponseWriter, r *http.Request) {
	name := r.FormValue("name")
	if name == "" {
		name = "nobody"
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8") // ignored within an include
	fmt.Fprintf(w, "<p>Hello, %s! Here is <b>part</b>, in a dispatch of type %s.", html.EscapeString(name), servlet.DispatcherTypeOf(r))
	if from, ok := servlet.Attribute(r, "from").(string); ok {
		fmt.Fprintf(w, " The attribute <i>from</i> is %q.", html.EscapeString(from))
	}
	if p, ok := servlet.Attribute(r, servlet.AttrForwardRequestURI).(string); ok {
		fmt.Fprintf(w, " The browser asked for %s.", html.EscapeString(p))
	}
	fmt.Fprint(w, "</p>")
}

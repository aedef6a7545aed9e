package examples

import (
	"net/http"
	"time"

	"github.com/serval-server/serval/webapp/servlet"
)

// pagesDemo prepares attributes and forwards to a page, as a servlet forwards
// to a JSP. The page pages/hello.gohtml is a html/template that the server
// renders: it can be edited while the server runs, and a bundle of pages alone
// needs no program at all.
func pagesDemo(w http.ResponseWriter, r *http.Request) {
	if r.FormValue("show") == "" {
		show(w, r, "/pages", nil)
		return
	}
	servlet.SetAttribute(r, "greeting", "Hello from a servlet")
	servlet.SetAttribute(r, "now", time.Now().Format(time.RFC1123))
	servlet.SetAttribute(r, "list", []string{"what", "the servlet", "has prepared"})
	if err := servlet.DispatcherOf(r, "/pages/hello.gohtml").Forward(w, r); err != nil {
		servlet.Fail(w, r, err)
	}
}

package examples

import (
	"fmt"
	"net/http"
	"time"

	"github.com/serval-server/serval/webapp/servlet"
)

// timing is a filter as any Go middleware: it wraps what comes next. The
// descriptor maps it to /*, so it runs for every request of the application.
func timing(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		w.Header().Set("X-Filter", "timing")
		next.ServeHTTP(w, r)
		servlet.ContextOf(r).Logger().Debug("request timed", "path", r.URL.Path, "took", time.Since(start))
	})
}

// trace makes a filter that notes its passing in an attribute of the request.
func trace(name string) servlet.Filter {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			note(r, name+" begins")
			next.ServeHTTP(w, r)
			note(r, name+" ends") // too late to be seen on the page
		})
	}
}

func note(r *http.Request, s string) {
	seen, _ := servlet.Attribute(r, "passed").([]string)
	seen = append(seen, fmt.Sprintf("%s (%s)", s, servlet.DispatcherTypeOf(r)))
	servlet.SetAttribute(r, "passed", seen)
}

func filtersDemo(w http.ResponseWriter, r *http.Request) {
	seen, _ := servlet.Attribute(r, "passed").([]string)
	show(w, r, "/filters", seen)
}

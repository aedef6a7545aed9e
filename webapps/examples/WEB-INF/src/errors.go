package examples

import (
	"errors"
	"net/http"

	"github.com/serval-server/serval/webapp/servlet"
)

// OutOfStock is an error with an error page of its own: the descriptor's
// exception-type is the name of the Go type, examples.OutOfStock.
type OutOfStock struct{ Product string }

// Error implements error.
func (e OutOfStock) Error() string { return e.Product + " is out of stock" }

func errorsDemo(w http.ResponseWriter, r *http.Request) {
	switch r.FormValue("what") {
	case "status":
		if err := servlet.SendError(w, r, http.StatusTeapot, "short and stout"); err != nil {
			servlet.ContextOf(r).Logger().Warn("too late for an error page", "error", err)
		}
	case "type":
		servlet.Fail(w, r, OutOfStock{"the tent"})
	case "panic":
		panic(errors.New("this handler has a bug"))
	default:
		show(w, r, "/errors", nil)
	}
}

// sorry is the error page for OutOfStock. What happened is in attributes of
// the request.
func sorry(w http.ResponseWriter, r *http.Request) {
	w.WriteHeader(http.StatusConflict) // else 500
	show(w, r, "/sorry", map[string]any{
		"Message": servlet.Attribute(r, servlet.AttrErrorMessage),
		"Type":    servlet.Attribute(r, servlet.AttrErrorExceptionType),
		"URI":     servlet.Attribute(r, servlet.AttrErrorRequestURI),
		"Servlet": servlet.Attribute(r, servlet.AttrErrorServletName),
	})
}

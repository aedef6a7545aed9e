package filters

import (
	"net/http"

	"github.com/serval-server/serval/webapp/servlet"
)

// refuse ends a request with an error page for the status; outside of an
// application with a line of text.
func refuse(w http.ResponseWriter, r *http.Request, status int, message string) {
	if message == "" {
		message = http.StatusText(status)
	}
	// It fails only if the response has begun, and then nothing can be said.
	_ = servlet.SendError(w, r, status, message)
}

// tell sets a request attribute, inside an application.
func tell(r *http.Request, name string, value any) {
	if servlet.PassOf(r) != nil {
		servlet.SetAttribute(r, name, value)
	}
}

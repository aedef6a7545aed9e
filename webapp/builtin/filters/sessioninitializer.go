package filters

import (
	"net/http"

	"github.com/serval-server/serval/webapp/servlet"
)

// NewSessionInitializer makes a filter that gives each client a session before
// the application runs, so that a WebSocket handshake, which can set none, finds
// one. It has no parameters. Outside of an application it does nothing.
func NewSessionInitializer(values map[string]string) (func(http.Handler) http.Handler, error) {
	if err := newParams("session-initializer", values).err(); err != nil {
		return nil, err
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if servlet.PassOf(r) != nil {
				if _, err := servlet.OpenSession(r); err != nil {
					servlet.Fail(w, r, err)
					return
				}
			}
			next.ServeHTTP(w, r)
		})
	}, nil
}

package valves

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"

	"github.com/serval-server/serval/server/config"
)

// maxRequestID bounds an id that comes from outside.
const maxRequestID = 128

// requestID gives each request an id in a header of the request, for the
// application, and of the answer, for the client. An id that came along is kept only
// if it is trusted and looks like one.
func requestID(c *config.RequestID) func(http.Handler) http.Handler {
	key := http.CanonicalHeaderKey(c.Header)
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			id := r.Header.Get(key)
			if !c.Trust || !isRequestID(id) {
				var b [16]byte
				_, _ = rand.Read(b[:]) // never fails (crypto/rand, Go 1.24)
				id = hex.EncodeToString(b[:])
			}
			value := []string{id}
			r.Header[key] = value
			w.Header()[key] = value
			next.ServeHTTP(w, r)
		})
	}
}

func isRequestID(s string) bool {
	if s == "" || len(s) > maxRequestID {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z':
		case c == '-', c == '_', c == '.', c == ':', c == '+', c == '/', c == '=', c == '@':
		default:
			return false
		}
	}
	return true
}

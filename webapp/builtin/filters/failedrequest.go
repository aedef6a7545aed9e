package filters

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
)

// NewFailedRequest makes a filter that refuses a request whose parameters
// cannot be read, with 400, or 413 if the form is too long, before the
// application mistakes them for missing. It has no parameters. As Tomcat's, it
// reads the form of a POST, so a servlet behind it finds the parameters in
// http.Request.Form and no body.
func NewFailedRequest(values map[string]string) (func(http.Handler) http.Handler, error) {
	if err := newParams("failed-request", values).err(); err != nil {
		return nil, err
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if status := badParameters(r); status != 0 {
				refuse(w, r, status, "The parameters of the request cannot be read")
				return
			}
			next.ServeHTTP(w, r)
		})
	}, nil
}

func badParameters(r *http.Request) int {
	for pair := range strings.SplitSeq(r.URL.RawQuery, "&") {
		if _, err := url.QueryUnescape(pair); err != nil {
			return http.StatusBadRequest
		}
	}
	if !isForm(r) {
		return 0
	}
	// What the query has wrong by Go's rules alone (a semicolon) is no failure.
	_, queryErr := url.ParseQuery(r.URL.RawQuery)
	err := r.ParseForm()
	var tooLarge *http.MaxBytesError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &tooLarge) || err.Error() == "http: POST too large":
		return http.StatusRequestEntityTooLarge
	case queryErr != nil && err.Error() == queryErr.Error():
		return 0
	}
	return http.StatusBadRequest
}

// isForm reports whether a request carries parameters in its body.
func isForm(r *http.Request) bool {
	switch r.Method {
	case http.MethodPost, http.MethodPut, http.MethodPatch:
	default:
		return false
	}
	mediaType, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	return strings.EqualFold(strings.TrimSpace(mediaType), "application/x-www-form-urlencoded")
}

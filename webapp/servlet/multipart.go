package servlet

import "net/http"

func limitMultipart(h http.Handler, c MultipartConfig) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c.MaxRequestSize >= 0 && r.Body != nil {
			r.Body = http.MaxBytesReader(w, r.Body, c.MaxRequestSize)
		}
		h.ServeHTTP(w, r)
	})
}

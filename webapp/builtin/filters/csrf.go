package filters

import (
	"net/http"

	"github.com/serval-server/serval/webapp/servlet"
)

// NewCSRFPrevention makes a filter that refuses requests which change something
// (other than GET, HEAD and OPTIONS) and which another site has made the
// browser send:
//
//	denyStatus     403
//	enforce        true; false lets the request through and logs it
//	trustedOrigins none; a list of scheme://host[:port] that may send them too
//
// Tomcat's filter puts a nonce into every link. This one looks at what browsers
// tell since 2020 in Sec-Fetch-Site, or else in Origin (the standard library's
// http.CrossOriginProtection), so pages need no change, and a request from
// no browser at all is let through, since it carries nobody's cookies. Tomcat's
// parameters for nonces (entryPoints, nonceCacheSize, nonceRequestParameterName,
// noNonceURLPatterns, randomClass) are accepted and mean nothing.
func NewCSRFPrevention(values map[string]string) (func(http.Handler) http.Handler, error) {
	p := newParams("csrf-prevention", values)
	p.ignore("entryPoints", "nonceCacheSize", "nonceRequestParameterName", "noNonceURLPatterns", "randomClass")
	return crossOriginFilter(p)
}

// NewRESTCSRFPrevention is NewCSRFPrevention for descriptors that name Tomcat's
// RestCsrfPreventionFilter. Clients that fetch a token in X-CSRF-Token get the
// answer that no token is needed.
func NewRESTCSRFPrevention(values map[string]string) (func(http.Handler) http.Handler, error) {
	p := newParams("rest-csrf-prevention", values)
	p.ignore("pathsAcceptingParams", "randomClass")
	return crossOriginFilter(p)
}

func crossOriginFilter(p *params) (func(http.Handler) http.Handler, error) {
	status := p.int("denyStatus", http.StatusForbidden, 400, 599)
	enforce := p.bool("enforce", true)
	check := http.NewCrossOriginProtection()
	for _, o := range p.list("trustedOrigins", "") {
		if err := check.AddTrustedOrigin(o); err != nil {
			p.wrong("trustedOrigins", "%w", err)
		}
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := check.Check(r); err != nil {
				if enforce {
					refuse(w, r, status, "")
					return
				}
				if servlet.PassOf(r) != nil {
					servlet.ContextOf(r).Logger().Warn("cross-origin request let through", "method", r.Method, "path", r.URL.Path, "origin", r.Header.Get(headOrigin))
				}
			}
			next.ServeHTTP(w, r)
		})
	}, nil
}

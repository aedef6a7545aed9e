// Package filters holds the filters that ship with the server, one file each.
// Their names, init parameters, defaults and behaviour are those of Tomcat's
// filters of the same purpose (tomcat.md E6), so that a descriptor moves over
// unchanged; what differs is said at each constructor.
//
//	add-default-charset     gives text answers without a charset one
//	compression             compresses answers (gzip, zstd)
//	cors                    Cross-Origin Resource Sharing
//	csrf-prevention         refuses unsafe requests that other sites cause
//	expires                 Expires and Cache-Control by media type
//	failed-request          refuses requests whose parameters do not parse
//	header-security         HSTS, X-Frame-Options, X-Content-Type-Options
//	rate-limit              so many requests a minute from one address
//	remote-addr             lets addresses in or keeps them out, by patterns
//	remote-cidr             the same, by networks
//	remote-host             remote-addr under its other name
//	remote-ip               the client's address from a proxy's headers
//	request-dumper          logs requests and answers in full
//	rest-csrf-prevention    csrf-prevention under its other name
//	session-initializer     a session for everybody
//	set-character-encoding  the encoding of request parameters
//
// A filter is an ordinary func(http.Handler) http.Handler, so each also works as
// a valve of the server's own pipeline, or in front of any handler:
//
//	cors, err := filters.NewCORS(map[string]string{"cors.allowed.origins": "https://a.example"})
//	http.ListenAndServe(addr, cors(mux))
//
// A constructor reports every parameter that is wrong, not the first only. A
// parameter that it does not know is wrong too, so that a slip of the pen does
// not leave a site less protected than its owner believes.
package filters

import (
	"net/http"
)

// Filter is middleware.
type Filter = func(next http.Handler) http.Handler

// Constructor makes a filter from its init parameters.
type Constructor func(params map[string]string) (func(http.Handler) http.Handler, error)

// All are the filters of this package, by the name for filter-class.
var All = map[string]Constructor{
	"add-default-charset":    NewAddDefaultCharset,
	"compression":            NewCompression,
	"cors":                   NewCORS,
	"csrf-prevention":        NewCSRFPrevention,
	"expires":                NewExpires,
	"failed-request":         NewFailedRequest,
	"header-security":        NewHeaderSecurity,
	"rate-limit":             NewRateLimit,
	"remote-addr":            NewRemoteAddr,
	"remote-cidr":            NewRemoteCIDR,
	"remote-host":            NewRemoteHost,
	"remote-ip":              NewRemoteIP,
	"request-dumper":         NewRequestDumper,
	"rest-csrf-prevention":   NewRESTCSRFPrevention,
	"session-initializer":    NewSessionInitializer,
	"set-character-encoding": NewSetCharacterEncoding,
}

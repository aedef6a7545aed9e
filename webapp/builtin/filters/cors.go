package filters

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// The header names of the protocol (Fetch standard §3.2).
const (
	headOrigin           = "Origin"
	headVary             = "Vary"
	headRequestMethod    = "Access-Control-Request-Method"
	headRequestHeaders   = "Access-Control-Request-Headers"
	headAllowOrigin      = "Access-Control-Allow-Origin"
	headAllowCredentials = "Access-Control-Allow-Credentials"
	headAllowMethods     = "Access-Control-Allow-Methods"
	headAllowHeaders     = "Access-Control-Allow-Headers"
	headExposeHeaders    = "Access-Control-Expose-Headers"
	headMaxAge           = "Access-Control-Max-Age"
)

// The request attributes that tell the application what was found out.
const (
	attrCORS        = "cors.isCorsRequest"
	attrCORSOrigin  = "cors.request.origin"
	attrCORSType    = "cors.request.type"
	attrCORSHeaders = "cors.request.headers"
)

// corsKind is what a request is in the eyes of CORS; the text is the value of
// the attribute cors.request.type.
type corsKind string

const (
	corsSimple    corsKind = "SIMPLE"
	corsActual    corsKind = "ACTUAL"
	corsPreFlight corsKind = "PRE_FLIGHT"
	corsNone      corsKind = "NOT_CORS"
	corsInvalid   corsKind = "INVALID_CORS"
)

// cors is the configuration.
type cors struct {
	anyOrigin   bool
	origins     []string
	methods     []string
	headers     []string // lower case
	headerNames string   // as written
	exposed     string
	maxAge      int
	credentials bool
	decorate    bool
}

// NewCORS makes a filter for Cross-Origin Resource Sharing:
//
//	cors.allowed.origins      none; a list, or * for all
//	cors.allowed.methods      GET,POST,HEAD,OPTIONS
//	cors.allowed.headers      Origin,Accept,X-Requested-With,Content-Type,
//	                          Access-Control-Request-Method,Access-Control-Request-Headers
//	cors.exposed.headers      none
//	cors.preflight.maxage     1800 seconds; negative sends no Max-Age
//	cors.support.credentials  false; true is an error together with *
//	cors.request.decorate     true: sets the request attributes cors.*
//
// A cross-origin request that is not allowed is answered with 403, a preflight
// is answered here, everything else goes on. A request of the same origin is
// none of its business.
func NewCORS(values map[string]string) (func(http.Handler) http.Handler, error) {
	p := newParams("cors", values)
	c := &cors{
		origins:     p.list("cors.allowed.origins", ""),
		methods:     p.list("cors.allowed.methods", "GET,POST,HEAD,OPTIONS"),
		exposed:     strings.Join(p.list("cors.exposed.headers", ""), ","),
		maxAge:      p.int("cors.preflight.maxage", 1800, -1<<31, 1<<31-1),
		credentials: p.bool("cors.support.credentials", false),
		decorate:    p.bool("cors.request.decorate", true),
	}
	names := p.list("cors.allowed.headers", "Origin,Accept,X-Requested-With,Content-Type,"+headRequestMethod+","+headRequestHeaders)
	c.headerNames = strings.Join(names, ",")
	for _, n := range names {
		c.headers = append(c.headers, strings.ToLower(n))
	}
	c.anyOrigin = slices.Contains(c.origins, "*")
	if c.anyOrigin && c.credentials {
		p.wrong("cors.support.credentials", "true is not allowed when every origin is allowed: any site could act in the name of the user")
	}
	for _, o := range c.origins {
		if o != "*" && !validOrigin(o) {
			p.wrong("cors.allowed.origins", "%q: allowed is *, null, or scheme://host[:port]", o)
		}
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { c.serve(w, r, next) })
	}, nil
}

func (c *cors) serve(w http.ResponseWriter, r *http.Request, next http.Handler) {
	kind := c.kind(r)
	if c.decorate {
		decorate(r, kind)
	}
	switch kind {
	case corsInvalid:
		c.invalid(w, r)
		return
	case corsPreFlight:
		if !c.preflightAllowed(r) {
			c.invalid(w, r)
			return
		}
		c.standardHeaders(w.Header(), r, kind)
		return
	case corsSimple, corsActual:
		if !c.originAllowed(r.Header.Get(headOrigin)) || !slices.Contains(c.methods, r.Method) {
			c.invalid(w, r)
			return
		}
	}
	c.standardHeaders(w.Header(), r, kind)
	next.ServeHTTP(w, r)
}

// invalid refuses a request. The answer differs by origin too, so it varies.
func (c *cors) invalid(w http.ResponseWriter, r *http.Request) {
	if !c.anyOrigin {
		w.Header().Add(headVary, headOrigin)
	}
	refuse(w, r, http.StatusForbidden, "")
}

// kind tells what a request is.
func (c *cors) kind(r *http.Request) corsKind {
	values := r.Header[headOrigin]
	switch {
	case len(values) == 0:
		return corsNone
	case len(values) > 1 || values[0] == "" || !validOrigin(values[0]):
		return corsInvalid
	case sameOrigin(r, values[0]):
		return corsNone
	}
	switch r.Method {
	case http.MethodOptions:
		method, asked := r.Header[headRequestMethod]
		switch {
		case !asked:
			return corsActual
		case strings.TrimSpace(method[0]) == "":
			return corsInvalid
		}
		return corsPreFlight
	case http.MethodGet, http.MethodHead:
		return corsSimple
	case http.MethodPost:
		return postKind(r.Header.Get("Content-Type"))
	case "":
		return corsInvalid
	}
	return corsActual
}

// postKind is simple for the media types that a form can have.
func postKind(contentType string) corsKind {
	mediaType, _, _ := strings.Cut(contentType, ";")
	switch strings.ToLower(strings.TrimSpace(mediaType)) {
	case "application/x-www-form-urlencoded", "multipart/form-data", "text/plain":
		return corsSimple
	}
	return corsActual
}

func (c *cors) originAllowed(origin string) bool {
	return c.anyOrigin || slices.Contains(c.origins, origin)
}

func (c *cors) preflightAllowed(r *http.Request) bool {
	if !c.originAllowed(r.Header.Get(headOrigin)) ||
		!slices.Contains(c.methods, strings.TrimSpace(r.Header.Get(headRequestMethod))) {
		return false
	}
	for _, line := range r.Header[headRequestHeaders] {
		for _, name := range splitList(line) {
			if !slices.Contains(c.headers, strings.ToLower(name)) {
				return false
			}
		}
	}
	return true
}

// standardHeaders tells the browser what is allowed.
func (c *cors) standardHeaders(h http.Header, r *http.Request, kind corsKind) {
	origin := r.Header.Get(headOrigin)
	switch {
	case c.anyOrigin:
		h.Set(headAllowOrigin, "*")
	default:
		h.Add(headVary, headOrigin)
		if kind == corsNone && (origin == "" || !c.originAllowed(origin)) {
			return
		}
		h.Set(headAllowOrigin, origin)
	}
	if c.credentials {
		h.Set(headAllowCredentials, "true")
	}
	if c.exposed != "" {
		h.Set(headExposeHeaders, c.exposed)
	}
	if kind != corsPreFlight {
		return
	}
	h.Add(headVary, headRequestMethod)
	h.Add(headVary, headRequestHeaders)
	if c.maxAge >= 0 {
		h.Set(headMaxAge, strconv.Itoa(c.maxAge))
	}
	if len(c.methods) > 0 {
		h.Set(headAllowMethods, strings.Join(c.methods, ","))
	}
	if c.headerNames != "" {
		h.Set(headAllowHeaders, c.headerNames)
	}
}

func decorate(r *http.Request, kind corsKind) {
	if kind == corsInvalid {
		return
	}
	tell(r, attrCORS, kind != corsNone)
	if kind == corsNone {
		return
	}
	tell(r, attrCORSOrigin, r.Header.Get(headOrigin))
	tell(r, attrCORSType, string(kind))
	if kind == corsPreFlight {
		tell(r, attrCORSHeaders, strings.Join(r.Header[headRequestHeaders], ","))
	}
}

// validOrigin reports whether a value is null or a URI with a scheme, without
// anything encoded in it (RFC 6454 §7).
func validOrigin(origin string) bool {
	if origin == "null" {
		return true
	}
	if strings.Contains(origin, "%") {
		return false
	}
	u, err := url.Parse(origin)
	return err == nil && u.Scheme != ""
}

// sameOrigin reports whether an origin is that of the request itself.
func sameOrigin(r *http.Request, origin string) bool {
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" || r.Host == "" {
		return false
	}
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	return u.Scheme == scheme && strings.EqualFold(withPort(u.Host, scheme), withPort(r.Host, scheme))
}

// withPort adds the default port of a scheme to a host without one.
func withPort(host, scheme string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		return host
	}
	if scheme == "https" {
		return host + ":443"
	}
	return host + ":80"
}

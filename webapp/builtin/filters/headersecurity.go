package filters

import (
	"net/http"
	"net/url"
	"strconv"
)

// NewHeaderSecurity makes a filter that sets headers which make browsers more
// careful:
//
//	hstsEnabled                     true: Strict-Transport-Security, on TLS only
//	hstsMaxAgeSeconds               0
//	hstsIncludeSubDomains           false
//	hstsPreload                     false
//	antiClickJackingEnabled         true: X-Frame-Options
//	antiClickJackingOption          DENY; or SAMEORIGIN, ALLOW-FROM
//	antiClickJackingUri             none; for ALLOW-FROM
//	blockContentTypeSniffingEnabled true: X-Content-Type-Options: nosniff
//	xssProtectionEnabled            false: X-XSS-Protection, which browsers have given up
//
// They are set before the application runs, which so has the last word.
func NewHeaderSecurity(values map[string]string) (func(http.Handler) http.Handler, error) {
	p := newParams("header-security", values)
	always := http.Header{}
	hsts := ""
	if p.bool("hstsEnabled", true) {
		hsts = "max-age=" + strconv.Itoa(p.int("hstsMaxAgeSeconds", 0, 0, 1<<31-1))
		if p.bool("hstsIncludeSubDomains", false) {
			hsts += ";includeSubDomains"
		}
		if p.bool("hstsPreload", false) {
			hsts += ";preload"
		}
	}
	p.ignore("hstsMaxAgeSeconds", "hstsIncludeSubDomains", "hstsPreload")
	frame := frameOption(p)
	if p.bool("antiClickJackingEnabled", true) {
		always.Set("X-Frame-Options", frame)
	}
	if p.bool("blockContentTypeSniffingEnabled", true) {
		always.Set("X-Content-Type-Options", "nosniff")
	}
	if p.bool("xssProtectionEnabled", false) {
		always.Set("X-Xss-Protection", "1; mode=block")
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h := w.Header()
			if hsts != "" && r.TLS != nil {
				h.Set("Strict-Transport-Security", hsts)
			}
			for name, v := range always {
				h[name] = []string{v[0]}
			}
			next.ServeHTTP(w, r)
		})
	}, nil
}

// frameOption is the value of X-Frame-Options.
func frameOption(p *params) string {
	option := p.text("antiClickJackingOption", "DENY")
	uri := p.text("antiClickJackingUri", "")
	if _, err := url.Parse(uri); err != nil {
		p.wrong("antiClickJackingUri", "%q: not an address", uri)
	}
	switch {
	case equalAny(option, "DENY"):
		return "DENY"
	case equalAny(option, "SAMEORIGIN"):
		return "SAMEORIGIN"
	case equalAny(option, "ALLOW-FROM", "ALLOW_FROM"):
		if uri == "" {
			p.wrong("antiClickJackingUri", "missing; ALLOW-FROM needs it")
		}
		return "ALLOW-FROM " + uri
	}
	p.wrong("antiClickJackingOption", "%q: allowed is DENY, SAMEORIGIN or ALLOW-FROM", option)
	return ""
}

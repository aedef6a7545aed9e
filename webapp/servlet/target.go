package servlet

import (
	"net/url"
	"strings"

	"github.com/serval-server/serval/webapp/servlet/urlpath"
)

// parseTarget checks the path of a dispatcher.
func parseTarget(c *Context, target string) (Target, bool) {
	target, _, _ = strings.Cut(target, "#")
	p, query, _ := strings.Cut(target, "?")
	if !strings.HasPrefix(p, "/") {
		return Target{}, false
	}
	if _, err := urlpath.Parse(p, urlpath.Options{Internal: true}); err != nil {
		return Target{}, false
	}
	return Target{Context: c, Path: p, Query: query}, true
}

// escapePath writes a decoded path as a dispatcher takes it.
func escapePath(p string) string { return (&url.URL{Path: p}).EscapedPath() }

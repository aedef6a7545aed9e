package static

import (
	"net/http"
	"strings"
	"time"
)

// etag is an entity tag as it stands in a header: W/"x" or "x". Empty is none.
type etag string

func (e etag) weak() bool     { return strings.HasPrefix(string(e), "W/") }
func (e etag) opaque() string { return strings.TrimPrefix(string(e), "W/") }

// strongMatch and weakMatch are the comparisons of RFC 9110 §8.8.3.2.
func strongMatch(a, b etag) bool { return a != "" && a == b && !a.weak() }
func weakMatch(a, b etag) bool   { return a != "" && a.opaque() == b.opaque() }

// parseETagList reads If-Match or If-None-Match (RFC 9110 §13.1.1): "*" alone
// or a list of entity tags. Empty list elements are ignored (§5.6.1.2), an
// empty list is not a list.
func parseETagList(value string) (tags []etag, all, ok bool) {
	rest := strings.Trim(value, " \t")
	if rest == "*" {
		return nil, true, true
	}
	for {
		rest = strings.TrimLeft(rest, " \t,")
		if rest == "" {
			return tags, false, len(tags) > 0
		}
		tag, after, ok := cutETag(rest)
		if !ok {
			return nil, false, false
		}
		tags = append(tags, tag)
		rest = strings.TrimLeft(after, " \t")
		if rest != "" && rest[0] != ',' {
			return nil, false, false
		}
	}
}

// cutETag reads one entity tag from the beginning of s (RFC 9110 §8.8.3).
func cutETag(s string) (tag etag, rest string, ok bool) {
	open := 0
	if strings.HasPrefix(s, "W/") {
		open = 2
	}
	if len(s) <= open || s[open] != '"' {
		return "", "", false
	}
	for i := open + 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return etag(s[:i+1]), s[i+1:], true
		case c < 0x21 || c == 0x7f:
			return "", "", false
		}
	}
	return "", "", false
}

// parseETag reads a header that is one entity tag.
func parseETag(value string) (etag, bool) {
	tag, rest, ok := cutETag(strings.Trim(value, " \t"))
	return tag, ok && rest == ""
}

// header returns the values of a list header as one, and whether there is any.
func header(r *http.Request, name string) (string, bool) {
	v := r.Header[name]
	switch len(v) {
	case 0:
		return "", false
	case 1:
		return v[0], true
	}
	return strings.Join(v, ","), true
}

// precondition evaluates the conditional headers of a request in the order of
// RFC 9110 §13.2.2 and returns the status that ends it, or 0 to go on: 412,
// 304, or 400 for a list of tags that is not one. exists is whether there is
// a representation; a time that is no time is ignored (§13.1.3, §13.1.4).
func precondition(r *http.Request, exists bool, tag etag, modified time.Time) int {
	get := r.Method == http.MethodGet || r.Method == http.MethodHead
	if v, has := header(r, "If-Match"); has {
		tags, all, ok := parseETagList(v)
		switch {
		case !ok:
			return http.StatusBadRequest
		case !exists || !all && !anyMatch(tags, tag, strongMatch):
			return http.StatusPreconditionFailed
		}
	} else if t, ok := headerTime(r, "If-Unmodified-Since"); ok && exists && !modified.IsZero() && modified.After(t) {
		return http.StatusPreconditionFailed
	}
	if v, has := header(r, "If-None-Match"); has {
		tags, all, ok := parseETagList(v)
		switch {
		case !ok:
			return http.StatusBadRequest
		case !exists || !all && !anyMatch(tags, tag, weakMatch):
			return 0
		case get:
			return http.StatusNotModified
		}
		return http.StatusPreconditionFailed
	}
	if t, ok := headerTime(r, "If-Modified-Since"); ok && exists && get && !modified.IsZero() && !modified.After(t) {
		return http.StatusNotModified
	}
	return 0
}

func anyMatch(tags []etag, tag etag, match func(a, b etag) bool) bool {
	for _, t := range tags {
		if match(t, tag) {
			return true
		}
	}
	return false
}

// rangeStillValid evaluates If-Range (RFC 9110 §13.1.5): whether a Range header
// is to be honoured, or a status for a value that is neither tag nor time.
func rangeStillValid(r *http.Request, tag etag, modified time.Time) (valid bool, status int) {
	v, has := header(r, "If-Range")
	if !has {
		return true, 0
	}
	if t, ok := parseETag(v); ok {
		return strongMatch(t, tag), 0
	}
	t, err := parseTime(v)
	if err != nil {
		return false, http.StatusBadRequest
	}
	return t.Equal(modified), 0
}

// headerTime reads a header that is one HTTP date.
func headerTime(r *http.Request, name string) (time.Time, bool) {
	v := r.Header[name]
	if len(v) != 1 {
		return time.Time{}, false
	}
	t, err := parseTime(v[0])
	return t, err == nil
}

// parseTime reads the three forms of RFC 9110 §5.6.7, with a day of month of
// one digit too. The name of the day is not checked against the date.
func parseTime(s string) (time.Time, error) {
	t, err := http.ParseTime(s)
	if err == nil {
		return t, nil
	}
	if t, err := time.Parse("Mon, 2 Jan 2006 15:04:05 GMT", s); err == nil {
		return t.UTC(), nil
	}
	return t, err
}

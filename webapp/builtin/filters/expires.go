package filters

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// expires is the configuration: what holds for which media type.
type expires struct {
	byType   map[string]expiry
	def      *expiry
	excluded map[int]bool
}

// expiry is one rule: so long after the access or after the modification.
type expiry struct {
	modified            bool
	years, months, days int
	length              time.Duration
}

// NewExpires makes a filter that says how long an answer may be kept, as
// Apache's mod_expires does:
//
//	ExpiresByType TYPE/SUBTYPE          no default; a duration for a media type. The
//	                                    type may carry parameters, or be its first half only
//	ExpiresDefault                      no default; for the types without a rule
//	ExpiresExcludedResponseStatusCodes  304; a list
//
// A duration is "access plus 1 month 15 days", "modification plus 4 hours",
// "now plus 30 seconds" ("plus" may be missing), or A3600 and M3600 for seconds
// after access and modification. The rule of the whole type with its
// parameters comes first, then that without them, then that of the first half.
// Expires and Cache-Control: max-age are added just before the header leaves,
// and only if the application has set neither.
func NewExpires(values map[string]string) (func(http.Handler) http.Handler, error) {
	p := newParams("expires", values)
	e := &expires{byType: map[string]expiry{}, excluded: map[int]bool{}}
	for name, value := range values {
		typ, ok := strings.CutPrefix(name, "ExpiresByType ")
		if !ok && name != "ExpiresDefault" {
			continue
		}
		p.used[name] = true
		rule, err := parseExpiry(value)
		switch {
		case err != nil:
			p.wrong(name, "%w", err)
		case ok:
			e.byType[normalType(typ)] = rule
		default:
			e.def = &rule
		}
	}
	for _, s := range p.list("ExpiresExcludedResponseStatusCodes", "304") {
		code, err := strconv.Atoi(s)
		if err != nil || code < 100 || code > 999 {
			p.wrong("ExpiresExcludedResponseStatusCodes", "%q: allowed is a list of status codes", s)
		}
		e.excluded[code] = true
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			beforeHeader(w, r, next, e.add)
		})
	}, nil
}

// add sets the headers if there is a rule and the application has not set them.
func (e *expires) add(h http.Header, status int) {
	if e.excluded[status] || h.Get("Expires") != "" || hasMaxAge(h) {
		return
	}
	rule, ok := e.rule(h.Get("Content-Type"))
	if !ok {
		return
	}
	now := time.Now()
	from := now
	if rule.modified {
		if t, err := http.ParseTime(h.Get("Last-Modified")); err == nil {
			from = t
		}
	}
	at := from.AddDate(rule.years, rule.months, rule.days).Add(rule.length)
	seconds := max(int64(at.Sub(now)/time.Second), 0)
	cache := "max-age=" + strconv.FormatInt(seconds, 10)
	if old := h.Get("Cache-Control"); old != "" {
		cache = old + ", " + cache
	}
	h.Set("Cache-Control", cache)
	h.Set("Expires", at.UTC().Format(http.TimeFormat))
}

func hasMaxAge(h http.Header) bool {
	for _, v := range h["Cache-Control"] {
		for directive := range strings.SplitSeq(v, ",") {
			name, _, _ := strings.Cut(strings.TrimSpace(directive), "=")
			if strings.EqualFold(strings.TrimSpace(name), "max-age") {
				return true
			}
		}
	}
	return false
}

// rule finds the rule of a media type.
func (e *expires) rule(contentType string) (expiry, bool) {
	full := normalType(contentType)
	if r, ok := e.byType[full]; ok && full != "" {
		return r, true
	}
	short, _, _ := strings.Cut(full, ";")
	if r, ok := e.byType[short]; ok && short != "" {
		return r, true
	}
	major, _, _ := strings.Cut(short, "/")
	if r, ok := e.byType[major]; ok && major != "" {
		return r, true
	}
	if e.def != nil {
		return *e.def, true
	}
	return expiry{}, false
}

// normalType writes a media type in lower case and without blanks.
func normalType(t string) string {
	return strings.ToLower(strings.Join(strings.Fields(t), ""))
}

// maxAmount bounds each number of a duration: a thousand years of seconds.
const maxAmount = 1000 * 366 * 24 * 3600

// parseExpiry reads a duration.
func parseExpiry(s string) (expiry, error) {
	words := strings.Fields(s)
	if len(words) == 0 {
		return expiry{}, fmt.Errorf("%q: empty; allowed is e.g. \"access plus 1 month\"", s)
	}
	if len(words) == 1 && (words[0][0] == 'A' || words[0][0] == 'M') {
		n, err := strconv.Atoi(words[0][1:])
		if err == nil && n >= 0 && n <= maxAmount {
			return expiry{modified: words[0][0] == 'M', length: time.Duration(n) * time.Second}, nil
		}
	}
	e := expiry{}
	switch strings.ToLower(words[0]) {
	case "access", "now":
	case "modification":
		e.modified = true
	default:
		return e, fmt.Errorf("%q: %q is no base; allowed are access, now and modification", s, words[0])
	}
	words = words[1:]
	if len(words) > 0 && strings.EqualFold(words[0], "plus") {
		words = words[1:]
	}
	if len(words) == 0 || len(words)%2 != 0 {
		return e, fmt.Errorf("%q: after the base come pairs of a number and a unit", s)
	}
	for ; len(words) > 0; words = words[2:] {
		n, err := strconv.Atoi(words[0])
		if err != nil || n < 0 || n > maxAmount {
			return e, fmt.Errorf("%q: %q is not a number from 0 to %d", s, words[0], maxAmount)
		}
		if !e.plus(n, strings.TrimSuffix(strings.ToLower(words[1]), "s")) {
			return e, fmt.Errorf("%q: %q is no unit; allowed are years, months, weeks, days, hours, minutes, seconds", s, words[1])
		}
	}
	return e, nil
}

func (e *expiry) plus(n int, unit string) bool {
	switch unit {
	case "year":
		e.years += min(n, 1000)
	case "month":
		e.months += min(n, 12_000)
	case "week":
		e.days += 7 * min(n, 53_000)
	case "day":
		e.days += min(n, 366_000)
	case "hour":
		e.length += time.Duration(min(n, 1_000_000)) * time.Hour
	case "minute":
		e.length += time.Duration(min(n, 60_000_000)) * time.Minute
	case "second":
		e.length += time.Duration(min(n, 1_000_000_000)) * time.Second
	default:
		return false
	}
	e.length = min(e.length, 200*365*24*time.Hour) // far from the end of a Duration
	return true
}

package filters

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestExpires ports the scenarios of Tomcat's TestExpiresFilter. In the bubble
// of synctest it is midnight of 2000-01-01 UTC.
func TestExpires(t *testing.T) {
	const def = "ExpiresDefault"
	html := func(headers ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html;charset=UTF-8")
			for _, h := range headers {
				name, value, _ := strings.Cut(h, ":")
				w.Header().Set(name, strings.TrimSpace(value))
			}
			_, _ = w.Write([]byte("x"))
		}
	}
	tests := []struct {
		name    string
		params  map[string]string
		handler http.HandlerFunc
		age     string // the Cache-Control header
		expires string // "" for none, "*" for any
	}{
		{"default", map[string]string{def: "access plus 1 minute"}, html(), "max-age=60", "Sat, 01 Jan 2000 00:01:00 GMT"},
		{"month", map[string]string{def: "access plus 1 month 15 days 2 hours"}, html(), "max-age=3981600", "Wed, 16 Feb 2000 02:00:00 GMT"},
		{"seconds of access", map[string]string{def: "A3600"}, html(), "max-age=3600", "*"},
		{"now without plus", map[string]string{def: "now 2 weeks"}, html(), "max-age=1209600", "*"},
		{"type with parameters", map[string]string{"ExpiresByType text/html;charset=utf-8": "access plus 7 minutes", "ExpiresByType text/html": "access plus 5 minutes", "ExpiresByType text": "access plus 1 minute"}, html(), "max-age=420", "*"},
		{"type without parameters", map[string]string{"ExpiresByType text/html": "access plus 5 minutes", "ExpiresByType text": "access plus 1 minute"}, html(), "max-age=300", "*"},
		{"first half of the type", map[string]string{"ExpiresByType text/xml": "access plus 5 minutes", "ExpiresByType text": "access plus 1 minute"}, html(), "max-age=60", "*"},
		{"no rule", map[string]string{"ExpiresByType image": "access plus 1 minute"}, html(), "", ""},
		{"application has max-age", map[string]string{def: "access plus 1 minute"}, html("Cache-Control: private, max-age=5"), "private, max-age=5", ""},
		{"application has Expires", map[string]string{def: "access plus 1 minute"}, html("Expires: 0"), "", "0"},
		{"added to other directives", map[string]string{def: "access plus 1 minute"}, html("Cache-Control: private"), "private, max-age=60", "*"},
		{"s-maxage is not max-age", map[string]string{def: "access plus 1 minute"}, html("Cache-Control: s-maxage=5"), "s-maxage=5, max-age=60", "*"},
		{"after modification", map[string]string{def: "modification plus 1 hour"}, html("Last-Modified: Fri, 31 Dec 1999 23:30:00 GMT"), "max-age=1800", "Sat, 01 Jan 2000 00:30:00 GMT"},
		{"modified long ago", map[string]string{def: "modification plus 1 hour"}, html("Last-Modified: Fri, 31 Dec 1999 20:00:00 GMT"), "max-age=0", "Fri, 31 Dec 1999 21:00:00 GMT"},
		{"modification unknown", map[string]string{def: "M60"}, html(), "max-age=60", "*"},
		{"not for 304", map[string]string{def: "A60"}, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(304) }, "", ""},
		{"excluded status", map[string]string{def: "A60", "ExpiresExcludedResponseStatusCodes": "302, 404"}, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }, "", ""},
		{"empty answer", map[string]string{def: "A60"}, func(http.ResponseWriter, *http.Request) {}, "max-age=60", "*"},
		{"flushed", map[string]string{def: "A60"}, func(w http.ResponseWriter, _ *http.Request) { w.(http.Flusher).Flush() }, "max-age=60", "*"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, _ := wrap(t, NewExpires, tt.params, tt.handler)
				w := serve(h, request("GET", "/"))
				if got := w.Header().Get("Cache-Control"); strings.TrimSpace(got) != tt.age {
					t.Errorf("Cache-Control %q, want %q", got, tt.age)
				}
				got := strings.TrimSpace(w.Header().Get("Expires"))
				if tt.expires == "*" && got == "" || tt.expires != "*" && got != tt.expires {
					t.Errorf("Expires %q, want %q", got, tt.expires)
				}
			})
		})
	}
}

func TestParseExpiry(t *testing.T) {
	for s, want := range map[string]expiry{
		"access plus 1 month 15 days 2 hours": {months: 1, days: 15, length: 2 * time.Hour},
		"modification plus 5 hours 3 minutes": {modified: true, length: 5*time.Hour + 3*time.Minute},
		"now 1 year":                          {years: 1},
		"ACCESS PLUS 2 WEEKS":                 {days: 14},
		"M10":                                 {modified: true, length: 10 * time.Second},
		"access plus 0 seconds":               {},
	} {
		if got, err := parseExpiry(s); err != nil || got != want {
			t.Errorf("parseExpiry(%q) = %+v, %v; want %+v", s, got, err, want)
		}
	}
	for _, s := range []string{"", "access", "access plus", "tomorrow plus 1 day", "access plus one day", "access plus 1", "access plus 1 fortnight", "A", "Ax", "access plus -1 day"} {
		if _, err := parseExpiry(s); err == nil {
			t.Errorf("parseExpiry(%q): no error", s)
		}
	}
}

func FuzzParseExpiry(f *testing.F) {
	for _, s := range []string{"access plus 1 month 15 days 2 hours", "M3600", "now 9999999999 years", "modification plus"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		e, err := parseExpiry(s)
		if err == nil && (e.length < 0 || e.days < 0 || e.months < 0 || e.years < 0) {
			t.Errorf("%q: a negative duration %+v", s, e)
		}
	})
}

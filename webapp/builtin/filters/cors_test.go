package filters

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// wrap makes a filter in front of a handler that notes that it was reached.
func wrap(t *testing.T, c Constructor, params map[string]string, h http.HandlerFunc) (http.Handler, *int) {
	t.Helper()
	f, err := c(params)
	if err != nil {
		t.Fatal(err)
	}
	reached := new(int)
	return f(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*reached++
		if h != nil {
			h(w, r)
		}
	})), reached
}

// request makes a request with headers given as "Name: value".
func request(method, target string, headers ...string) *http.Request {
	r := httptest.NewRequest(method, target, nil)
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ":")
		r.Header.Add(name, strings.TrimSpace(value))
	}
	return r
}

func serve(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

var (
	corsDefault  = map[string]string{"cors.allowed.origins": "*"}
	corsSpecific = map[string]string{
		"cors.allowed.origins": "http://www.apache.org, https://www.apache.org", "cors.allowed.methods": "GET,POST,PUT,HEAD,OPTIONS",
		"cors.allowed.headers": "Content-Type,X-CUSTOM-HEADER", "cors.exposed.headers": "X-CUSTOM-EXPOSED", "cors.support.credentials": "true",
		"cors.preflight.maxage": "600",
	}
)

// TestCORS ports the scenarios of Tomcat's TestCorsFilter: simple and actual
// requests, preflights, same origin, and all that is invalid.
func TestCORS(t *testing.T) {
	const origin = "Origin: http://www.apache.org"
	tests := []struct {
		name    string
		params  map[string]string
		method  string
		target  string
		headers []string
		status  int
		passes  bool
		want    map[string]string // "-" for a header that must not be there
	}{
		{"simple GET, any origin", corsDefault, "GET", "/", []string{origin}, 200, true, map[string]string{headAllowOrigin: "*", headVary: "-", headAllowCredentials: "-"}},
		{"simple HEAD", corsDefault, "HEAD", "/", []string{origin}, 200, true, map[string]string{headAllowOrigin: "*"}},
		{"simple POST text", corsDefault, "POST", "/", []string{origin, "Content-Type: text/plain; charset=utf-8"}, 200, true, map[string]string{headAllowOrigin: "*"}},
		{"actual POST json", corsDefault, "POST", "/", []string{origin, "Content-Type: application/json"}, 200, true, map[string]string{headAllowOrigin: "*"}},
		{"POST without a type", corsDefault, "POST", "/", []string{origin}, 200, true, nil},
		{"actual OPTIONS", corsDefault, "OPTIONS", "/", []string{origin}, 200, true, map[string]string{headAllowOrigin: "*", headAllowMethods: "-"}},
		{"specific origin", corsSpecific, "POST", "/", []string{origin, "Content-Type: text/plain"}, 200, true,
			map[string]string{headAllowOrigin: "http://www.apache.org", headVary: "Origin", headAllowCredentials: "true", headExposeHeaders: "X-CUSTOM-EXPOSED"}},
		{"specific origin, https", corsSpecific, "GET", "/", []string{"Origin: https://www.apache.org"}, 200, true, map[string]string{headAllowOrigin: "https://www.apache.org"}},
		{"origin null with *", corsDefault, "GET", "/", []string{"Origin: null"}, 200, true, map[string]string{headAllowOrigin: "*"}},
		{"file origin with *", corsDefault, "GET", "/", []string{"Origin: file://"}, 200, true, map[string]string{headAllowOrigin: "*"}},
		{"origin with a port is another", corsSpecific, "GET", "/", []string{"Origin: http://www.apache.org:8080"}, 403, false, map[string]string{headAllowOrigin: "-", headVary: "Origin"}},
		{"origin not allowed", corsSpecific, "GET", "/", []string{"Origin: http://evil.example"}, 403, false, map[string]string{headAllowOrigin: "-"}},
		{"subdomain is another", corsSpecific, "GET", "/", []string{"Origin: http://commons.apache.org"}, 403, false, nil},
		{"null is not in the list", corsSpecific, "GET", "/", []string{"Origin: null"}, 403, false, nil},
		{"nobody is allowed by default", nil, "GET", "/", []string{origin}, 403, false, nil},
		{"method not allowed", corsDefault, "PUT", "/", []string{origin}, 403, false, nil},
		{"method allowed", corsSpecific, "PUT", "/", []string{origin}, 200, true, nil},
		{"method of lower case", corsSpecific, "put", "/", []string{origin}, 403, false, nil},
		{"empty origin", corsDefault, "GET", "/", []string{"Origin:"}, 403, false, nil},
		{"origin without a scheme", corsDefault, "GET", "/", []string{"Origin: www.example.com"}, 403, false, nil},
		{"origin with a space", corsDefault, "GET", "/", []string{"Origin: http://www.w3.org /evil"}, 403, false, nil},
		{"origin with encoding", corsDefault, "GET", "/", []string{"Origin: http://www.example.com%0d%0aX:y"}, 403, false, nil},
		{"two origins", corsDefault, "GET", "/", []string{origin, "Origin: http://b.example"}, 403, false, nil},
		{"no origin, any", corsDefault, "GET", "/", nil, 200, true, map[string]string{headAllowOrigin: "*"}},
		{"no origin, list", corsSpecific, "GET", "/", nil, 200, true, map[string]string{headAllowOrigin: "-", headVary: "Origin"}},
		{"same origin", corsSpecific, "GET", "http://localhost:8080/", []string{"Origin: http://localhost:8080"}, 200, true, map[string]string{headAllowOrigin: "-"}},
		{"same origin, port 80 unsaid", corsSpecific, "GET", "http://localhost/", []string{"Origin: http://localhost:80"}, 200, true, nil},
		{"same host, other port", corsSpecific, "GET", "http://localhost/", []string{"Origin: http://localhost:8080"}, 403, false, nil},
		{"same host, other scheme", corsSpecific, "GET", "http://localhost/", []string{"Origin: https://localhost"}, 403, false, nil},
		{"preflight", corsSpecific, "OPTIONS", "/", []string{origin, "Access-Control-Request-Method: PUT", "Access-Control-Request-Headers: Content-Type, x-custom-header"}, 200, false,
			map[string]string{headAllowOrigin: "http://www.apache.org", headAllowMethods: "GET,POST,PUT,HEAD,OPTIONS", headAllowHeaders: "Content-Type,X-CUSTOM-HEADER", headMaxAge: "600", headAllowCredentials: "true",
				headVary: "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"}},
		{"preflight, any origin", corsDefault, "OPTIONS", "/", []string{origin, "Access-Control-Request-Method: GET"}, 200, false, map[string]string{headAllowOrigin: "*", headMaxAge: "1800"}},
		{"preflight, empty headers", corsDefault, "OPTIONS", "/", []string{origin, "Access-Control-Request-Method: GET", "Access-Control-Request-Headers:"}, 200, false, nil},
		{"preflight, negative age", map[string]string{"cors.allowed.origins": "*", "cors.preflight.maxage": "-1"}, "OPTIONS", "/", []string{origin, "Access-Control-Request-Method: GET"}, 200, false, map[string]string{headMaxAge: "-"}},
		{"preflight, no method", corsDefault, "OPTIONS", "/", []string{origin, "Access-Control-Request-Method:"}, 403, false, nil},
		{"preflight, method not allowed", corsDefault, "OPTIONS", "/", []string{origin, "Access-Control-Request-Method: POLITE"}, 403, false, nil},
		{"preflight, header not allowed", corsDefault, "OPTIONS", "/", []string{origin, "Access-Control-Request-Method: GET", "Access-Control-Request-Headers: X-Other"}, 403, false, nil},
		{"preflight, origin not allowed", corsSpecific, "OPTIONS", "/", []string{"Origin: http://evil.example", "Access-Control-Request-Method: GET"}, 403, false, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h, reached := wrap(t, NewCORS, tt.params, nil)
			w := serve(h, request(tt.method, tt.target, tt.headers...))
			if w.Code != tt.status || (*reached > 0) != tt.passes {
				t.Errorf("status %d, passed on %d times; want %d, %v", w.Code, *reached, tt.status, tt.passes)
			}
			for name, want := range tt.want {
				got := strings.Join(w.Header()[http.CanonicalHeaderKey(name)], ", ")
				if want == "-" {
					want = ""
				}
				if got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
		})
	}
}

func TestCORSParams(t *testing.T) {
	for name, params := range map[string]map[string]string{
		"credentials for all":   {"cors.allowed.origins": "*", "cors.support.credentials": "true"},
		"max age":               {"cors.preflight.maxage": "soon"},
		"origin without scheme": {"cors.allowed.origins": "www.example.com"},
		"slip of the pen":       {"cors.allowed.origin": "*"},
		"credentials":           {"cors.support.credentials": "yes"},
	} {
		if _, err := NewCORS(params); err == nil {
			t.Errorf("%s: no error", name)
		} else if !strings.HasPrefix(err.Error(), "filter cors: init-param cors.") {
			t.Errorf("%s: error %q does not say where", name, err)
		}
	}
}

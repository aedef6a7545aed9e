package webapp_test

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/serval-server/serval/webapp"
)

func constraint(patterns, methods, auth, transport string) string {
	s := "<security-constraint><web-resource-collection><web-resource-name>r</web-resource-name>"
	for _, p := range strings.Fields(patterns) {
		s += "<url-pattern>" + strings.TrimPrefix(p, "=") + "</url-pattern>"
	}
	for _, m := range strings.Fields(methods) {
		if omitted, ok := strings.CutPrefix(m, "!"); ok {
			s += "<http-method-omission>" + omitted + "</http-method-omission>"
			continue
		}
		s += "<http-method>" + m + "</http-method>"
	}
	s += "</web-resource-collection>"
	switch auth {
	case "-":
	case "":
		s += "<auth-constraint/>"
	default:
		s += "<auth-constraint>"
		for _, r := range strings.Fields(auth) {
			s += "<role-name>" + r + "</role-name>"
		}
		s += "</auth-constraint>"
	}
	if transport != "" {
		s += "<user-data-constraint><transport-guarantee>" + transport + "</transport-guarantee></user-data-constraint>"
	}
	return s + "</security-constraint>"
}

const roles = "<security-role><role-name>admin</role-name></security-role><security-role><role-name>user</role-name></security-role>"

// user is the Authenticator of a request whose User-Roles header says all; a
// request without that header is challenged.
type user struct{}

type principal []string

func (p principal) Name() string { return "somebody" }

func (p principal) HasRole(role string) bool {
	for _, r := range p {
		if r == role {
			return true
		}
	}
	return false
}

func (user) Authenticate(w http.ResponseWriter, r *http.Request) (webapp.Principal, error) {
	h, ok := r.Header["User-Roles"]
	if !ok {
		w.WriteHeader(http.StatusUnauthorized)
		return nil, nil
	}
	return principal(strings.Fields(h[0])), nil
}

// TestSecurity goes through tomcat.md D6. Each step is METHOD PATH [ROLES]
// STATUS; "-" for roles is nobody, "." somebody without a role.
func TestSecurity(t *testing.T) {
	const open = "-"
	for _, c := range []struct{ name, xml, steps string }{
		{"exact", constraint("/a", "", "admin", ""), "GET /a - 401, GET /a . 403, GET /a admin 200, GET /a/ - 200, GET /A - 200, GET /x/../a - 401, GET /%61 - 401, GET /a;x=1 - 401"},
		{"prefix", constraint("/a/*", "", "admin", ""), "GET /a - 401, GET /a/b/c - 401, GET /ab - 200, GET /a/../b - 200"},
		{"longest prefix decides", constraint("/a/*", "", "admin", "") + constraint("/a/b/*", "", open, ""), "GET /a/x - 401, GET /a/b/x - 200, GET /a/b - 200, GET /a/bc - 401"},
		{"exact before prefix", constraint("/a/*", "", "admin", "") + constraint("/a/open", "", open, ""), "GET /a/open - 200, GET /a/other - 401"},
		{"extension", constraint("*.do", "", "admin", ""), "GET /x.do - 401, GET /x.do/y - 200, GET /a/b.do;v - 401, GET /x.d%6f - 401"},
		{"prefix before extension", constraint("*.do", "", "admin", "") + constraint("/a/*", "", open, ""), "GET /a/x.do - 200, GET /b/x.do - 401"},
		{"default", constraint("/", "", "admin", ""), "GET /any - 401, GET / - 401"},
		{"default is last", constraint("/", "", "", "") + constraint("*.do", "", open, ""), "GET /x.do - 200, GET /x - 403"},
		{"root", constraint("=", "", "admin", ""), "GET / - 401, GET /x - 200"},
		{"methods", constraint("/a", "GET POST", "admin", ""), "GET /a - 401, POST /a - 401, PUT /a - 200, get /a - 200"},
		{"omission", constraint("/a", "!GET", "admin", ""), "GET /a - 200, POST /a - 401, FOO /a - 401"},
		{"uncovered stays open", constraint("/a/*", "GET", "admin", "") + constraint("/*", "", "", ""), "GET /a/x - 401, PUT /a/x - 200, GET /b - 403"},
		{"deny uncovered", "<deny-uncovered-http-methods/>" + constraint("/a", "GET", "admin", ""), "GET /a admin 200, PUT /a admin 403, PUT /b - 200"},
		{"empty denies", constraint("/a", "", "", ""), "GET /a - 403, GET /a admin 403"},
		{"empty wins", constraint("/a", "", "", "") + constraint("/a", "", "admin", "") + constraint("/a", "", open, ""), "GET /a admin 403"},
		{"open wins over roles", constraint("/a", "", "admin", "") + constraint("/a", "", open, ""), "GET /a - 200"},
		{"roles unite", constraint("/a", "", "admin", "") + constraint("/a", "", "user", ""), "GET /a user 200, GET /a admin 200, GET /a other 403"},
		{"any role", constraint("/a", "", "*", ""), "GET /a user 200, GET /a other 403, GET /a - 401"},
		{"any user", constraint("/a", "", "**", ""), "GET /a other 200, GET /a . 200, GET /a - 401"},
		{"several patterns", constraint("/a /b/* *.c", "", "admin", ""), "GET /a - 401, GET /b/x - 401, GET /x.c - 401, GET /x - 200"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := app{code: servlets("all"), xml: declare("all", "/*") + c.xml + roles, opts: webapp.Options{Authenticator: user{}}}
			ctx, _ := a.start(t)
			for _, step := range strings.Split(c.steps, ", ") {
				f := strings.Fields(step)
				r := httptest.NewRequest(f[0], f[1], nil)
				if f[2] != "-" {
					r.Header.Set("User-Roles", strings.Trim(f[2], "."))
				}
				if res := do(ctx, r); f[3] != strconv.Itoa(res.StatusCode) {
					t.Errorf("%s: %d", step, res.StatusCode)
				}
			}
		})
	}
}

// TestSecurityWithoutRealm: what needs a role is 403, and the log says why.
func TestSecurityWithoutRealm(t *testing.T) {
	c, log := app{code: servlets("all"), xml: declare("all", "/*") + constraint("/a/*", "", "admin", "") + roles}.start(t)
	res := want(t, c, "/a/x", 403, "*")
	if res.Header.Get("Cache-Control") != "private" {
		t.Errorf("Cache-Control: %q", res.Header.Get("Cache-Control"))
	}
	if !strings.Contains(log.String(), "needs a role") || !strings.Contains(log.String(), "admin") {
		t.Errorf("log: %s", log)
	}
	want(t, c, "/b", 200, "all||/b|PATH|b")
}

func TestTransportGuarantee(t *testing.T) {
	xml := declare("all", "/*") + constraint("/a/*", "", "-", "CONFIDENTIAL") + constraint("/both", "", "-", "INTEGRAL") + constraint("/both", "", "-", "NONE")
	for _, k := range []struct {
		port             int
		host, target, to string
		status           int
	}{
		{8443, "example.test:8080", "/a/x?q=1", "https://example.test:8443/a/x?q=1", 302},
		{443, "example.test", "/a/x", "https://example.test/a/x", 302},
		{8443, "[::1]:80", "/a/x", "https://[::1]:8443/a/x", 302},
		{0, "example.test", "/a/x", "", 403},
		{8443, "example.test", "/both", "", 200},
		{8443, "example.test", "/b", "", 200},
	} {
		c, _ := app{code: servlets("all"), xml: xml, opts: webapp.Options{RedirectPort: k.port}}.start(t)
		r := httptest.NewRequest(http.MethodGet, k.target, nil)
		r.Host = k.host
		if res := do(c, r); res.StatusCode != k.status || res.Header.Get("Location") != k.to {
			t.Errorf("%s %s: %d %q, want %d %q", k.host, k.target, res.StatusCode, res.Header.Get("Location"), k.status, k.to)
		}
		r = httptest.NewRequest(http.MethodGet, k.target, nil)
		r.TLS = &tls.ConnectionState{}
		if res := do(c, r); res.StatusCode != http.StatusOK {
			t.Errorf("%s over TLS: %d", k.target, res.StatusCode)
		}
	}
}

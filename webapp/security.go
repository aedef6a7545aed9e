package webapp

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/serval-server/serval/descriptor"
	"github.com/serval-server/serval/webapp/mapper"
)

// Authenticator finds out who a request comes from. A realm with a login method
// implements it.
type Authenticator interface {
	// Authenticate returns who sends the request, nil if it has answered
	// the request itself (a challenge, a login page).
	Authenticate(w http.ResponseWriter, r *http.Request) (Principal, error)
}

// Principal is an authenticated user.
type Principal interface {
	Name() string
	HasRole(role string) bool
}

// security are the descriptor's security-constraints, by pattern (Servlet 6.1
// §13.8, tomcat.md D6). It is immutable.
type security struct {
	any       bool
	exact     map[string][]collection
	prefix    map[string][]collection // "/x/*" by "/x"
	extension map[string][]collection // "*.x" by "x"
	fallback  []collection            // "/"
	roles     []string                // declared
	deny      bool                    // deny-uncovered-http-methods
}

// collection is one web-resource-collection with the constraint that it is in.
type collection struct {
	methods, omitted []string
	open             bool     // no auth-constraint
	roles            []string // of the auth-constraint; empty: nobody
	transport        bool     // must be encrypted
}

// verdict is what the constraints say of one request.
type verdict struct {
	constrained bool
	deny        bool
	open        bool
	transport   bool
	roles       []string
}

func newSecurity(d *descriptor.WebApp) (*security, error) {
	s := &security{
		exact: map[string][]collection{}, prefix: map[string][]collection{}, extension: map[string][]collection{},
		deny: d.DenyUncovered || isTrue(d.Context.DenyUncovered),
	}
	for _, r := range d.Roles {
		s.roles = append(s.roles, r.Name)
	}
	var errs []error
	for _, k := range d.SecurityConstraints {
		for _, rc := range k.Collections {
			col := collection{
				methods: rc.Methods, omitted: rc.OmittedMethods,
				transport: k.Transport == descriptor.TransportIntegral || k.Transport == descriptor.TransportConfidential,
				open:      k.Auth == nil,
			}
			if k.Auth != nil {
				col.roles = k.Auth.Roles
			}
			for _, p := range rc.Patterns {
				if err := mapper.CheckPattern(p.URL); err != nil {
					errs = append(errs, fmt.Errorf("%s: security-constraint: %w", p.Pos, err))
					continue
				}
				s.add(p.URL, col)
			}
		}
	}
	return s, errors.Join(errs...)
}

func (s *security) add(pattern string, c collection) {
	s.any = true
	switch {
	case pattern == "":
		s.exact["/"] = append(s.exact["/"], c)
	case pattern == "/":
		s.fallback = append(s.fallback, c)
	case strings.HasSuffix(pattern, "/*"):
		key := pattern[:len(pattern)-2]
		s.prefix[key] = append(s.prefix[key], c)
	case strings.HasPrefix(pattern, "*."):
		s.extension[pattern[2:]] = append(s.extension[pattern[2:]], c)
	default:
		s.exact[pattern] = append(s.exact[pattern], c)
	}
}

// check says what the constraints mean for a path, in its one form, and a
// method. The first kind of pattern with a match decides: exact, longest prefix,
// extension, "/"; all constraints of that one pattern are combined.
func (s *security) check(path, method string) verdict {
	if !s.any {
		return verdict{}
	}
	if path == "" {
		path = "/"
	}
	list := s.find(path)
	if list == nil {
		return verdict{}
	}
	var v verdict
	transportNone, denyAll := false, false
	for i := range list {
		c := &list[i]
		if !c.covers(method) {
			continue
		}
		v.constrained = true
		transportNone = transportNone || !c.transport
		switch {
		case c.open:
			v.open = true
		case len(c.roles) == 0:
			denyAll = true
		default:
			v.roles = append(v.roles, c.roles...)
		}
	}
	if !v.constrained {
		// The pattern is constrained, but not for this method: uncovered.
		v.constrained, v.deny = s.deny, s.deny
		return v
	}
	v.transport = !transportNone
	v.deny = denyAll
	if denyAll {
		v.open = false
	}
	return v
}

func (s *security) find(path string) []collection {
	if l := s.exact[path]; l != nil {
		return l
	}
	for end := len(path); ; {
		if l := s.prefix[path[:end]]; l != nil {
			return l
		}
		if end == 0 {
			break
		}
		end = strings.LastIndexByte(path[:end], '/')
	}
	if ext, ok := mapper.Extension(path); ok {
		if l := s.extension[ext]; l != nil {
			return l
		}
	}
	return s.fallback
}

func (c *collection) covers(method string) bool {
	switch {
	case len(c.methods) > 0:
		return slices.Contains(c.methods, method)
	case len(c.omitted) > 0:
		return !slices.Contains(c.omitted, method)
	}
	return true
}

// permits reports that a user may, by his roles.
func (s *security) permits(v *verdict, p Principal) bool {
	for _, role := range v.roles {
		switch {
		case role == descriptor.AnyRole:
			if slices.ContainsFunc(s.roles, p.HasRole) {
				return true
			}
		case role == descriptor.AnyUser && !slices.Contains(s.roles, descriptor.AnyUser):
			return true
		case p.HasRole(role):
			return true
		}
	}
	return false
}

// enforce answers a request that the constraints do not let through, and
// reports whether they do. It runs before anything of the application.
func (c *Context) enforce(x *exchange, r *http.Request, path string) bool {
	v := c.security.check(path, r.Method)
	if !v.constrained {
		return true
	}
	h := x.res.Header()
	if r.Method != http.MethodPost && (v.deny || !v.open || v.transport) {
		// What one may see, a shared cache must not show to others.
		h.Set("Cache-Control", "private")
	}
	if v.transport && !c.secure(r) {
		c.redirectSecure(x, r)
		return false
	}
	switch {
	case v.deny:
		x.setError(http.StatusForbidden, "", nil)
		return false
	case v.open:
		return true
	}
	return c.authorise(x, r, path, &v)
}

func (c *Context) authorise(x *exchange, r *http.Request, path string, v *verdict) bool {
	a := c.opts.Authenticator
	if a == nil {
		c.log.Warn("access denied: the path needs a role and the server has no realm", "path", path, "method", r.Method, "roles", v.roles)
		x.setError(http.StatusForbidden, "", nil)
		return false
	}
	p, err := a.Authenticate(&x.res, r)
	if err != nil {
		x.fail(err)
		return false
	}
	if p == nil {
		return false
	}
	if !c.security.permits(v, p) {
		c.log.Info("access denied: the user has none of the roles", "user", p.Name(), "path", path, "method", r.Method, "roles", v.roles)
		x.setError(http.StatusForbidden, "", nil)
		return false
	}
	return true
}

func (c *Context) secure(r *http.Request) bool {
	if c.opts.Secure != nil {
		return c.opts.Secure(r)
	}
	return r.TLS != nil
}

// redirectSecure sends the client to the encrypted port, or away.
func (c *Context) redirectSecure(x *exchange, r *http.Request) {
	if c.opts.RedirectPort <= 0 {
		x.setError(http.StatusForbidden, "", nil)
		return
	}
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
		if strings.Contains(h, ":") {
			host = "[" + h + "]"
		}
	}
	if c.opts.RedirectPort != 443 {
		host += ":" + strconv.Itoa(c.opts.RedirectPort)
	}
	p := x.First()
	location := "https://" + host + p.RequestURI
	if p.Query != "" {
		location += "?" + p.Query
	}
	x.res.Header().Set("Location", location)
	x.res.WriteHeader(http.StatusFound)
	x.res.Suspend()
}

package testapp

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/serval-server/serval/webapp/servlet"
)

// cookies runs the commands about cookies and the encoding of addresses.
func (c *run) cookies(w []string, a, b string) bool {
	switch w[0] {
	case "cookies":
		var list []any
		for _, k := range c.r.Cookies() {
			list = append(list, []any{k.Name, k.Value})
		}
		if list == nil {
			c.out("cookies null\n")
		} else {
			c.outf("cookies %s\n", quote(list))
		}
	case "reqsid":
		c.requestedSession()
	case "encode":
		c.outf("encode %s\n", servlet.EncodeURL(c.r, a))
	case "encoderedirect":
		c.outf("encoderedirect %s\n", servlet.EncodeURL(c.r, a))
	case "trackmodes":
		c.out("trackmodes n/a\n") // an application has no way to ask
	case "cookie":
		c.cookie(w, a, b)
	default:
		return false
	}
	return true
}

// requestedSession says how the request's session was found. An application
// learns of an id only if there is a session of it.
func (c *run) requestedSession() {
	if c.requested == nil {
		c.out("reqsid id=null cookie=false url=false valid=false\n")
		return
	}
	id := c.requested.ID()
	// An address is encoded for a session that was not found by a cookie.
	cookie := !strings.Contains(servlet.EncodeURL(c.r, servlet.ContextPath(c.r)+"/"), id)
	c.outf("reqsid id=%s cookie=%v url=%v valid=true\n", id, cookie, !cookie)
}

// cookie sets a cookie; one that is malformed is refused, as Java's Cookie does.
func (c *run) cookie(w []string, name, value string) {
	k := &http.Cookie{Name: name, Value: value}
	for _, attr := range w[min(3, len(w)):] {
		n, v, _ := strings.Cut(attr, "=")
		switch strings.ToLower(n) {
		case "path":
			k.Path = v
		case "domain":
			k.Domain = v
		case "maxage":
			// Zero deletes in Java and is "not set" in Go, where less than zero deletes.
			if k.MaxAge = number(v); k.MaxAge == 0 {
				k.MaxAge = -1
			} else if k.MaxAge < 0 {
				k.MaxAge = 0
			}
		case "secure":
			k.Secure = v == "true"
		case "httponly":
			k.HttpOnly = v == "true"
		case "samesite":
			k.SameSite = map[string]http.SameSite{"lax": http.SameSiteLaxMode, "strict": http.SameSiteStrictMode, "none": http.SameSiteNoneMode}[strings.ToLower(v)]
		case "partitioned":
			k.Partitioned = true
		}
	}
	if err := k.Valid(); err != nil {
		panic(&Throwable{Class: "java.lang.IllegalArgumentException", Message: err.Error()})
	}
	http.SetCookie(c.w, k)
}

// session runs the commands on the request's session.
func (c *run) session(cmd, a, b string) {
	switch cmd {
	case "session":
		s := servlet.ExistingSession(c.r)
		if a == "true" {
			s = c.open()
		}
		c.log.add("session %s", age(s))
		return
	case "s.changeid":
		s := servlet.ExistingSession(c.r)
		if s == nil {
			panic(illegalState("there is no session"))
		}
		_, err := s.ChangeID()
		throw(err)
		return
	}
	s := c.open()
	switch cmd {
	case "s.set":
		throw(servlet.Set(s, a, b))
	case "s.setnull":
		throw(servlet.Set[any](s, a, nil))
	case "s.put":
		throw(servlet.Set(s, a, Bound{Name: b, ID: "0"}))
	case "s.puteq":
		c.bounds[b]++
		throw(servlet.Set(s, a, Bound{Name: b, ID: fmt.Sprint(c.bounds[b])}))
	case "s.remove":
		throw(servlet.Remove(s, a))
	case "s.get":
		c.log.add("get %s=%s", a, visible(s, a))
	case "s.names":
		names, err := s.Names()
		throw(err)
		c.log.add("names [%s]", strings.Join(names, ", "))
	case "s.invalidate":
		throw(s.Invalidate())
	case "s.maxinactive":
		throw(s.SetMaxInactive(time.Duration(number(a)) * time.Second))
	case "s.getmaxinactive":
		c.log.add("maxinactive %d", int(s.MaxInactive().Seconds()))
	case "s.isnew":
		c.log.add("isnew %v", s.IsNew())
	case "s.hold":
		servlet.SetAttribute(c.r, heldAttribute, s)
	default:
		panic(&Throwable{Class: "jakarta.servlet.ServletException", Message: "unknown script command " + cmd})
	}
}

// open is the request's session; the error of one that cannot be made is thrown.
func (c *run) open() *servlet.Session {
	s, err := servlet.OpenSession(c.r)
	throw(err)
	return s
}

func age(s *servlet.Session) string {
	switch {
	case s == nil:
		return "null"
	case s.IsNew():
		return "new"
	}
	return "old"
}

// held runs the commands on a session object that was kept from before.
func (c *run) held(cmd, a, b string) {
	s, ok := servlet.Attribute(c.r, heldAttribute).(*servlet.Session)
	if !ok {
		panic(&Throwable{Class: "java.lang.NullPointerException", Message: "no session is held"})
	}
	switch cmd {
	case "h.get":
		v := visible(s, a)
		if v == "ISE" {
			panic(servlet.ErrInvalid)
		}
		c.log.add("held get %s", v)
	case "h.set":
		throw(servlet.Set(s, a, b))
	case "h.remove":
		throw(servlet.Remove(s, a))
	case "h.invalidate":
		throw(s.Invalidate())
	case "h.isnew":
		c.log.add("held isnew %v", s.IsNew())
	case "h.id":
		c.log.add("held id %v", s.ID() != "")
	case "h.created":
		c.log.add("held creation %v", !s.Created().IsZero())
	case "h.accessed":
		c.log.add("held lastaccess %v", !s.LastAccessed().IsZero())
	case "h.maxinactive":
		c.log.add("held maxinactive %d", int(s.MaxInactive().Seconds()))
	case "h.names":
		names, err := s.Names()
		throw(err)
		c.log.add("held names [%s]", strings.Join(names, ", "))
	case "h.ctx":
		c.log.add("held ctx %s", s.Context().Path())
	default:
		panic(&Throwable{Class: "jakarta.servlet.ServletException", Message: "unknown script command " + cmd})
	}
}

// context runs the commands on the application's attributes.
func (c *run) context(cmd, a, b string) {
	ctx := servlet.ContextOf(c.r)
	switch cmd {
	case "c.set":
		ctx.SetAttribute(a, b)
	case "c.setnull":
		ctx.SetAttribute(a, nil)
	case "c.remove":
		ctx.RemoveAttribute(a)
	default:
		panic(&Throwable{Class: "jakarta.servlet.ServletException", Message: "unknown script command " + cmd})
	}
}

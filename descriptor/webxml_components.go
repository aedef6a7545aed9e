package descriptor

import (
	"github.com/serval-server/serval/descriptor/internal/xmltree"
)

func (x *webXML) servlet(e *xmltree.Element) {
	s := Servlet{Pos: x.at(e.Pos)}
	x.children(e, x.with(handlers{
		"servlet-name":  func(e *xmltree.Element) { x.once(&s.declared, e); s.Name = x.token(x.text(e)) },
		"servlet-class": func(e *xmltree.Element) { x.once(&s.declared, e); s.Class, s.ClassPos = x.class(x.text(e)) },
		"jsp-file":      func(e *xmltree.Element) { x.once(&s.declared, e); s.JSPFile = x.location(x.text(e), x.v22) },
		"init-param":    func(e *xmltree.Element) { s.InitParams = append(s.InitParams, x.param(e)) },
		"load-on-startup": func(e *xmltree.Element) {
			x.once(&s.declared, e)
			s.LoadOnStartup = x.loadOnStartup(x.text(e))
		},
		"async-supported": func(e *xmltree.Element) {
			x.once(&s.declared, e)
			s.AsyncSupported = x.flag(x.text(e), false)
		},
		"enabled": func(e *xmltree.Element) {
			x.once(&s.declared, e)
			s.Disabled = !x.flag(x.text(e), true)
		},
		"multipart-config": func(e *xmltree.Element) { x.once(&s.declared, e); s.Multipart = x.multipart(e) },
		"run-as": func(e *xmltree.Element) {
			x.once(&s.declared, e)
			x.children(e, x.with(handlers{"role-name": func(e *xmltree.Element) { s.RunAs = x.token(x.text(e)) }}))
		},
		"security-role-ref": func(e *xmltree.Element) { s.RoleRefs = append(s.RoleRefs, x.roleRef(e)) },
		"display-name":      func(*xmltree.Element) {},
	}))
	x.require(s.declared.has("servlet-name"), s.Pos, e.Local, "servlet-name")
	if s.declared.has("servlet-class") && s.declared.has("jsp-file") {
		x.errorf(s.Pos, "the servlet %q has both a <servlet-class> and a <jsp-file>; only one may be there", s.Name)
	}
	x.app.Servlets = append(x.app.Servlets, s)
}

// class reads a class name as the author wrote it; it is translated after merging.
func (x *webXML) class(v value) (string, Pos) { return x.token(v), v.pos }

// loadOnStartup reads the number; an empty element, which the schemas allow, is 0.
func (x *webXML) loadOnStartup(v value) *int {
	if v.text == "" {
		return new(int)
	}
	return x.int32(v, minInt32)
}

func (x *webXML) multipart(e *xmltree.Element) *Multipart {
	m := newMultipart(x.at(e.Pos))
	x.children(e, handlers{
		"location":            func(e *xmltree.Element) { m.Location = x.text(e).text },
		"max-file-size":       func(e *xmltree.Element) { x.sizeInto(&m.MaxFileSize, x.text(e), -1) },
		"max-request-size":    func(e *xmltree.Element) { x.sizeInto(&m.MaxRequestSize, x.text(e), -1) },
		"file-size-threshold": func(e *xmltree.Element) { x.sizeInto(&m.FileSizeThreshold, x.text(e), 0) },
	})
	return m
}

func (x *webXML) roleRef(e *xmltree.Element) RoleRef {
	ref := RoleRef{Pos: x.at(e.Pos)}
	x.children(e, x.with(handlers{
		"role-name": func(e *xmltree.Element) { ref.Name = x.token(x.text(e)) },
		"role-link": func(e *xmltree.Element) { ref.Link = x.text(e).text },
	}))
	x.require(ref.Name != "", ref.Pos, e.Local, "role-name")
	return ref
}

func (x *webXML) servletMapping(e *xmltree.Element) {
	m := ServletMapping{Pos: x.at(e.Pos)}
	named := false
	x.children(e, x.with(handlers{
		"servlet-name": func(e *xmltree.Element) { m.Servlet, named = x.token(x.text(e)), true },
		"url-pattern":  func(e *xmltree.Element) { m.Patterns = append(m.Patterns, x.pattern(x.text(e), x.v22)) },
	}))
	x.require(named, m.Pos, e.Local, "servlet-name")
	x.require(len(m.Patterns) > 0, m.Pos, e.Local, "url-pattern")
	x.app.ServletMappings = append(x.app.ServletMappings, m)
}

func (x *webXML) filter(e *xmltree.Element) {
	f := Filter{Pos: x.at(e.Pos)}
	x.children(e, x.with(handlers{
		"filter-name":  func(e *xmltree.Element) { x.once(&f.declared, e); f.Name = x.token(x.text(e)) },
		"filter-class": func(e *xmltree.Element) { x.once(&f.declared, e); f.Class, f.ClassPos = x.class(x.text(e)) },
		"init-param":   func(e *xmltree.Element) { f.InitParams = append(f.InitParams, x.param(e)) },
		"async-supported": func(e *xmltree.Element) {
			x.once(&f.declared, e)
			f.AsyncSupported = x.flag(x.text(e), false)
		},
		"display-name": func(*xmltree.Element) {},
	}))
	x.require(f.declared.has("filter-name"), f.Pos, e.Local, "filter-name")
	x.app.Filters = append(x.app.Filters, f)
}

func (x *webXML) filterMapping(e *xmltree.Element) {
	m := FilterMapping{Pos: x.at(e.Pos)}
	named := false
	x.children(e, x.with(handlers{
		"filter-name":  func(e *xmltree.Element) { m.Filter, named = x.token(x.text(e)), true },
		"servlet-name": func(e *xmltree.Element) { m.ServletNames = append(m.ServletNames, x.token(x.text(e))) },
		"url-pattern":  func(e *xmltree.Element) { m.Patterns = append(m.Patterns, x.filterPattern(x.text(e), x.v22)) },
		"dispatcher":   func(e *xmltree.Element) { x.dispatcher(&m, x.text(e)) },
	}))
	x.require(named, m.Pos, e.Local, "filter-name")
	if len(m.Patterns)+len(m.ServletNames) == 0 {
		x.errorf(m.Pos, "<filter-mapping> lacks a <url-pattern> or a <servlet-name>")
	}
	x.app.FilterMappings = append(x.app.FilterMappings, m)
}

func (x *webXML) listener(e *xmltree.Element) {
	l := Listener{Pos: x.at(e.Pos)}
	named := false
	x.children(e, x.with(handlers{
		"listener-class": func(e *xmltree.Element) { l.Class, l.ClassPos = x.class(x.text(e)); named = true },
		"display-name":   func(*xmltree.Element) {},
	}))
	x.require(named, l.Pos, e.Local, "listener-class")
	x.app.Listeners = append(x.app.Listeners, l)
}

func (x *webXML) sessionConfig(e *xmltree.Element) {
	x.once(&x.app.declared, e)
	c := &x.app.SessionConfig
	c.Pos = x.at(e.Pos)
	x.children(e, handlers{
		"session-timeout": func(e *xmltree.Element) { x.once(&c.declared, e); c.Timeout = x.sessionTimeout(x.text(e)) },
		"cookie-config":   func(e *xmltree.Element) { x.once(&c.declared, e); x.cookieConfig(e) },
		"tracking-mode":   func(e *xmltree.Element) { x.trackingMode(c, x.text(e)) },
	})
}

func (x *webXML) cookieConfig(e *xmltree.Element) {
	c := &x.app.SessionConfig.Cookie
	set := func(name string, f func(value)) func(*xmltree.Element) {
		return func(e *xmltree.Element) {
			x.once(&c.declared, e)
			f(x.text(e))
		}
	}
	x.children(e, handlers{
		"name":      set("name", func(v value) { c.Name = x.cookieName(v) }),
		"domain":    set("domain", func(v value) { c.Domain = v.text }),
		"path":      set("path", func(v value) { c.Path = x.cookiePath(v) }),
		"comment":   set("comment", func(v value) { c.Comment = v.text }),
		"http-only": set("http-only", func(v value) { c.HTTPOnly = x.boolean(v) }),
		"secure":    set("secure", func(v value) { c.Secure = x.boolean(v) }),
		"max-age":   set("max-age", func(v value) { c.MaxAge = x.int32(v, minInt32) }),
		"attribute": func(e *xmltree.Element) {
			a := Param{Pos: x.at(e.Pos)}
			x.children(e, x.with(handlers{
				"attribute-name":  func(e *xmltree.Element) { a.Name = x.token(x.text(e)) },
				"attribute-value": func(e *xmltree.Element) { a.Value = x.text(e).text },
			}))
			x.require(a.Name != "", a.Pos, e.Local, "attribute-name")
			c.Attributes = append(c.Attributes, a)
		},
	})
}

func (x *webXML) securityConstraint(e *xmltree.Element) {
	c := SecurityConstraint{Pos: x.at(e.Pos)}
	var d declared
	x.children(e, x.with(handlers{
		"display-name":            func(e *xmltree.Element) { c.Name = x.text(e).text },
		"web-resource-collection": func(e *xmltree.Element) { c.Collections = append(c.Collections, x.collection(e)) },
		"auth-constraint": func(e *xmltree.Element) {
			x.once(&d, e)
			c.Auth = &AuthConstraint{Pos: x.at(e.Pos)}
			x.children(e, x.with(handlers{"role-name": func(e *xmltree.Element) {
				c.Auth.Roles = append(c.Auth.Roles, x.token(x.text(e)))
			}}))
		},
		"user-data-constraint": func(e *xmltree.Element) {
			x.once(&d, e)
			x.children(e, x.with(handlers{"transport-guarantee": func(e *xmltree.Element) { c.Transport = x.transport(x.text(e)) }}))
		},
	}))
	x.require(len(c.Collections) > 0, c.Pos, e.Local, "web-resource-collection")
	x.app.SecurityConstraints = append(x.app.SecurityConstraints, c)
}

func (x *webXML) collection(e *xmltree.Element) ResourceCollection {
	c := ResourceCollection{Pos: x.at(e.Pos)}
	x.children(e, x.with(handlers{
		"web-resource-name":    func(e *xmltree.Element) { c.Name = x.text(e).text },
		"url-pattern":          func(e *xmltree.Element) { c.Patterns = append(c.Patterns, x.pattern(x.text(e), x.v22)) },
		"http-method":          func(e *xmltree.Element) { c.Methods = append(c.Methods, x.method(x.text(e))) },
		"http-method-omission": func(e *xmltree.Element) { c.OmittedMethods = append(c.OmittedMethods, x.method(x.text(e))) },
	}))
	x.checkCollection(&c)
	return c
}

func (x *webXML) loginConfig(e *xmltree.Element) {
	x.once(&x.app.declared, e)
	l := &LoginConfig{Pos: x.at(e.Pos)}
	x.children(e, x.with(handlers{
		"auth-method": func(e *xmltree.Element) { l.Method = x.text(e).text },
		"realm-name":  func(e *xmltree.Element) { l.Realm = x.text(e).text },
		"form-login-config": func(e *xmltree.Element) {
			x.children(e, x.with(handlers{
				"form-login-page": func(e *xmltree.Element) { l.FormLoginPage = x.location(x.text(e), x.v22) },
				"form-error-page": func(e *xmltree.Element) { l.FormErrorPage = x.location(x.text(e), x.v22) },
			}))
		},
	}))
	x.checkLogin(l)
	x.app.Login = l
}

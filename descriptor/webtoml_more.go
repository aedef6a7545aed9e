package descriptor

import (
	"time"

	"github.com/serval-server/serval/descriptor/tomltree"
)

func (t *webTOML) session(n *tomltree.Node) {
	c := &t.app.SessionConfig
	c.Pos = t.at(n.Pos)
	t.table(n, "[session]", keys{
		"timeout": t.into(func(v value) { c.Timeout = t.sessionTimeout(v) }),
		"cookie":  t.cookie,
		"tracking-modes": func(n *tomltree.Node) {
			t.each(n, func(e *tomltree.Node) {
				v := t.value(e)
				v.name = "an element of tracking-modes"
				t.trackingMode(c, v)
			})
		},
		"serialized": t.into(func(v value) {
			c.Serialized = t.flag(v, false)
			c.declared.note("serialized", v.pos)
		}),
	})
}

func (t *webTOML) cookie(n *tomltree.Node) {
	c := &t.app.SessionConfig.Cookie
	t.table(n, "[session.cookie]", keys{
		"name":      t.into(func(v value) { c.Name = t.cookieName(v) }),
		"domain":    t.into(func(v value) { c.Domain = t.str(v) }),
		"path":      t.into(func(v value) { c.Path = t.cookiePath(v) }),
		"comment":   t.into(func(v value) { c.Comment = t.str(v) }),
		"http-only": t.into(func(v value) { c.HTTPOnly = t.boolean(v) }),
		"secure":    t.into(func(v value) { c.Secure = t.boolean(v) }),
		"max-age": t.into(func(v value) {
			if d, ok := t.duration(v, time.Second, "seconds", minInt32); ok {
				seconds := int(d / time.Second)
				c.MaxAge = &seconds
			}
		}),
		"same-site": t.into(func(v value) {
			if s := enum(&t.reader, v, "None", "Lax", "Strict"); s != "" {
				c.Attributes = append(c.Attributes, Param{Name: "SameSite", Value: s, Pos: v.pos})
			}
		}),
		"partitioned": t.into(func(v value) {
			if t.flag(v, false) {
				c.Attributes = append(c.Attributes, Param{Name: "Partitioned", Value: "true", Pos: v.pos})
			}
		}),
		"attributes": func(n *tomltree.Node) { c.Attributes = append(c.Attributes, t.params(n)...) },
	})
}

func (t *webTOML) securityConstraint(n *tomltree.Node) {
	c := SecurityConstraint{Pos: t.at(n.Pos)}
	own := ResourceCollection{Pos: c.Pos}
	k := t.collectionKeys(&own)
	k["name"] = t.into(func(v value) { c.Name = t.str(v) })
	k["resource"] = t.tables(func(n *tomltree.Node) {
		rc := ResourceCollection{Pos: t.at(n.Pos)}
		k := t.collectionKeys(&rc)
		k["name"] = t.into(func(v value) { rc.Name = t.str(v) })
		t.table(n, "[[security-constraint.resource]]", k)
		t.checkCollection(&rc)
		c.Collections = append(c.Collections, rc)
	})
	k["roles"] = func(n *tomltree.Node) { c.Auth = &AuthConstraint{Roles: t.strings(n), Pos: t.at(n.KeyPos)} }
	k["transport-guarantee"] = t.into(func(v value) { c.Transport = t.transport(v) })
	t.table(n, "[[security-constraint]]", k)
	if len(own.Patterns)+len(own.Methods)+len(own.OmittedMethods) > 0 || len(c.Collections) == 0 {
		own.Name = c.Name
		t.checkCollection(&own)
		c.Collections = append([]ResourceCollection{own}, c.Collections...)
	}
	t.app.SecurityConstraints = append(t.app.SecurityConstraints, c)
}

func (t *webTOML) collectionKeys(c *ResourceCollection) keys {
	methods := func(dst *[]string) func(*tomltree.Node) {
		return func(n *tomltree.Node) {
			t.each(n, func(e *tomltree.Node) {
				v := t.value(e)
				v.name = "an element of " + n.Key
				*dst = append(*dst, t.method(v))
			})
		}
	}
	return keys{
		"patterns":        func(n *tomltree.Node) { c.Patterns = t.patterns(n, t.pattern) },
		"methods":         methods(&c.Methods),
		"omitted-methods": methods(&c.OmittedMethods),
	}
}

func (t *webTOML) login(n *tomltree.Node) {
	l := &LoginConfig{Pos: t.at(n.Pos)}
	t.table(n, "[login]", keys{
		"method":     t.into(func(v value) { l.Method = t.token(v) }),
		"realm":      t.into(func(v value) { l.Realm = t.str(v) }),
		"login-page": t.into(func(v value) { l.FormLoginPage = t.location(v, false) }),
		"error-page": t.into(func(v value) { l.FormErrorPage = t.location(v, false) }),
	})
	t.checkLogin(l)
	t.app.Login = l
}

func (t *webTOML) roles(n *tomltree.Node) {
	t.each(n, func(c *tomltree.Node) {
		v := t.value(c)
		v.name = "a role"
		t.app.Roles = append(t.app.Roles, SecurityRole{Name: t.token(v), Pos: v.pos})
	})
}

// replication reads [replication]: the elements of replication-config, passivation-config
// and max-active-sessions under the same names.
func (t *webTOML) replication(n *tomltree.Node) {
	c, j := &t.app.Replication, &t.app.JBoss
	k := keys{
		"non-serializable": t.into(func(v value) { nonSerializable(&t.reader, c, v) }),
		"max-active-sessions": t.into(func(v value) {
			j.MaxActiveSessions, j.maxActivePos = t.int32(v, -1), v.pos
		}),
		"passivation-config": func(n *tomltree.Node) {
			j.Passivation.Pos = t.at(n.Pos)
			k := keys{}
			for name, set := range passivationKeys {
				k[name] = t.into(func(v value) { set(&t.reader, &j.Passivation, v) })
			}
			t.table(n, "[replication.passivation-config]", k)
		},
	}
	for name, set := range replicationKeys {
		k[name] = t.into(func(v value) {
			c.Pos = t.at(n.Pos)
			c.declared.note(name, v.pos)
			set(&t.reader, c, v)
		})
	}
	t.table(n, "[replication]", k)
}

// runtimeKeys are the keys of [runtime]; with the prefix "serval.runtime." they are context
// parameters of an application that has web.xml.
var runtimeKeys = map[string]func(*reader, *Runtime, value){
	"kind": func(r *reader, c *Runtime, v value) {
		c.Kind = enum(r, v, RuntimeAuto, RuntimeLinked, RuntimeWorker)
	},
	"app":    func(r *reader, c *Runtime, v value) { c.App = r.token(v) },
	"build":  func(r *reader, c *Runtime, v value) { c.Build = enum(r, v, "native", "wasm") },
	"memory": func(r *reader, c *Runtime, v value) { r.sizeInto(&c.Memory, v, 1<<20) },
	"max-requests": func(r *reader, c *Runtime, v value) {
		if n := r.int32(v, 1); n != nil {
			c.MaxRequests = *n
		}
	},
	"request-timeout": func(r *reader, c *Runtime, v value) {
		if d, ok := r.duration(v, time.Second, "seconds", -1); ok {
			c.RequestTimeout = d
		}
	},
	"start-timeout": func(r *reader, c *Runtime, v value) {
		if d, ok := r.duration(v, time.Second, "seconds", 1); ok {
			c.StartTimeout = d
		}
	},
}

func (t *webTOML) runtime(n *tomltree.Node) {
	c := &t.app.Runtime
	c.Pos = t.at(n.Pos)
	k := keys{"env": func(n *tomltree.Node) { c.Env = t.params(n) }}
	for name, set := range runtimeKeys {
		k[name] = t.into(func(v value) { set(&t.reader, c, v) })
	}
	t.table(n, "[runtime]", k)
}

// runtimePrefix marks context parameters that configure the runtime.
const runtimePrefix = "serval.runtime."

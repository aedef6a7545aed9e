package descriptor

import (
	"cmp"
	"slices"

	"github.com/serval-server/serval/descriptor/tomltree"
)

// webTOML decodes web.toml and web-fragment.toml into a model of that one file.
type webTOML struct {
	tomlReader
	app      *WebApp
	fragment bool
}

func (t *webTOML) decode(root *tomltree.Node) {
	app := t.app
	app.Pos = t.at(root.Pos)
	k := keys{
		"display-name":      t.into(func(v value) { app.DisplayName = t.str(v) }),
		"metadata-complete": t.into(func(v value) { app.MetadataComplete = t.flag(v, false) }),
		"distributable": t.into(func(v value) {
			app.Distributable, app.DistributablePos = t.flag(v, false), v.pos
		}),
		"deny-uncovered-http-methods": t.into(func(v value) { app.DenyUncovered = t.flag(v, false) }),
		"request-character-encoding":  t.into(func(v value) { app.RequestEncoding = t.encoding(v) }),
		"response-character-encoding": t.into(func(v value) { app.ResponseEncoding = t.encoding(v) }),
		"context-params":              func(n *tomltree.Node) { app.ContextParams = t.params(n) },
		"servlet":                     t.tables(t.servlet),
		"servlet-mapping":             t.tables(t.servletMapping),
		"filter":                      t.tables(t.filter),
		"filter-mapping":              t.tables(t.filterMapping),
		"listeners":                   t.listeners,
		"session":                     t.session,
		"welcome-files":               t.welcomeFiles,
		"error-page":                  t.tables(t.errorPage),
		"mime-types":                  t.mimeTypes,
		"locale-encodings":            t.localeEncodings,
		"env-entry":                   t.tables(t.envEntry),
		"security-constraint":         t.tables(t.securityConstraint),
		"login":                       t.login,
		"roles":                       t.roles,
		"replication":                 t.replication,
		"context-root": t.into(func(v value) {
			app.JBoss.ContextRoot, app.JBoss.ContextRootPos = t.contextRoot(v), v.pos
		}),
		"virtual-hosts": func(n *tomltree.Node) { app.JBoss.VirtualHosts = t.strings(n) },
		"runtime":       t.runtime,
	}
	where := "web.toml"
	if t.fragment {
		where = "web-fragment.toml"
		k["name"] = t.into(func(v value) { app.fragmentName = t.token(v) })
		k["before"] = func(n *tomltree.Node) { app.Ordering.Pos = t.at(n.KeyPos); app.Ordering.Before = t.orderNames(n) }
		k["after"] = func(n *tomltree.Node) { app.Ordering.Pos = t.at(n.KeyPos); app.Ordering.After = t.orderNames(n) }
		delete(k, "context-root")
		delete(k, "virtual-hosts")
	} else {
		k["absolute-ordering"] = func(n *tomltree.Node) {
			app.Ordering.Pos = t.at(n.KeyPos)
			app.Ordering.Absolute = append([]string{}, t.orderNames(n)...)
		}
	}
	t.table(root, where, k)
	// A filter may be mapped where it is declared; what is written first filters first.
	slices.SortStableFunc(app.FilterMappings, func(a, b FilterMapping) int { return cmp.Compare(a.Pos.Line, b.Pos.Line) })
}

// orderNames reads fragment names; "*" stands for all others.
func (t *webTOML) orderNames(n *tomltree.Node) []string {
	names := t.strings(n)
	for i, name := range names {
		if name == "*" {
			names[i] = OthersName
		}
	}
	return names
}

// tables makes a handler for an array of tables.
func (t *webTOML) tables(do func(*tomltree.Node)) func(*tomltree.Node) {
	return func(n *tomltree.Node) {
		if n.Kind == tomltree.Table {
			t.errorf(t.at(n.Pos), "%s is a table; it must be an array of tables: write [[%s]]", n.Key, n.Key)
			return
		}
		t.each(n, func(c *tomltree.Node) {
			if t.isKind(c, tomltree.Table) {
				do(c)
			}
		})
	}
}

// require reports a table that lacks a key it must have.
func (t *webTOML) require(n *tomltree.Node, table, key string) {
	if n.Child(key) == nil {
		t.errorf(t.at(n.Pos), "%s lacks its %s", table, key)
	}
}

func (t *webTOML) patterns(n *tomltree.Node, read func(value, bool) Pattern) []Pattern {
	var out []Pattern
	t.each(n, func(c *tomltree.Node) {
		v := t.value(c)
		v.name = "an element of " + n.Key
		if t.want(v, tomltree.String) || v.unknown {
			out = append(out, read(v, false))
		}
	})
	return out
}

func (t *webTOML) servlet(n *tomltree.Node) {
	s := Servlet{Pos: t.at(n.Pos)}
	var m ServletMapping
	t.table(n, "[[servlet]]", keys{
		"name":            t.into(func(v value) { s.Name = t.token(v) }),
		"class":           t.into(func(v value) { s.Class, s.ClassPos = t.token(v), v.pos }),
		"page":            t.into(func(v value) { s.JSPFile = t.location(v, false) }),
		"init":            func(n *tomltree.Node) { s.InitParams = t.params(n) },
		"load-on-startup": t.into(func(v value) { s.LoadOnStartup = t.int32(v, minInt32) }),
		"async-supported": t.into(func(v value) {
			s.AsyncSupported = t.flag(v, false)
			s.declared.note("async-supported", v.pos)
		}),
		"enabled": t.into(func(v value) {
			s.Disabled = !t.flag(v, true)
			s.declared.note("enabled", v.pos)
		}),
		"run-as":    t.into(func(v value) { s.RunAs = t.token(v) }),
		"multipart": func(n *tomltree.Node) { s.Multipart = t.multipart(n) },
		"role-refs": func(n *tomltree.Node) {
			for _, p := range t.params(n) {
				s.RoleRefs = append(s.RoleRefs, RoleRef{Name: p.Name, Link: p.Value, Pos: p.Pos})
			}
		},
		"patterns": func(n *tomltree.Node) {
			m = ServletMapping{Patterns: t.patterns(n, t.pattern), Pos: t.at(n.KeyPos)}
		},
	})
	t.require(n, "[[servlet]]", "name")
	if s.Class != "" && s.JSPFile != "" {
		t.errorf(s.Pos, "the servlet %q has both a class and a page; only one may be there", s.Name)
	}
	t.app.Servlets = append(t.app.Servlets, s)
	if len(m.Patterns) > 0 {
		m.Servlet = s.Name
		t.app.ServletMappings = append(t.app.ServletMappings, m)
	}
}

func (t *webTOML) multipart(n *tomltree.Node) *Multipart {
	m := newMultipart(t.at(n.Pos))
	t.table(n, "multipart", keys{
		"location":            t.into(func(v value) { m.Location = t.str(v) }),
		"max-file-size":       t.into(func(v value) { t.sizeInto(&m.MaxFileSize, v, -1) }),
		"max-request-size":    t.into(func(v value) { t.sizeInto(&m.MaxRequestSize, v, -1) }),
		"file-size-threshold": t.into(func(v value) { t.sizeInto(&m.FileSizeThreshold, v, 0) }),
	})
	return m
}

func (t *webTOML) servletMapping(n *tomltree.Node) {
	m := ServletMapping{Pos: t.at(n.Pos)}
	t.table(n, "[[servlet-mapping]]", keys{
		"servlet":  t.into(func(v value) { m.Servlet = t.token(v) }),
		"patterns": func(n *tomltree.Node) { m.Patterns = t.patterns(n, t.pattern) },
	})
	t.require(n, "[[servlet-mapping]]", "servlet")
	t.require(n, "[[servlet-mapping]]", "patterns")
	t.app.ServletMappings = append(t.app.ServletMappings, m)
}

func (t *webTOML) filter(n *tomltree.Node) {
	f := Filter{Pos: t.at(n.Pos)}
	m := FilterMapping{Pos: f.Pos}
	k := t.mappingKeys(&m)
	k["name"] = t.into(func(v value) { f.Name = t.token(v) })
	k["class"] = t.into(func(v value) { f.Class, f.ClassPos = t.token(v), v.pos })
	k["init"] = func(n *tomltree.Node) { f.InitParams = t.params(n) }
	k["async-supported"] = t.into(func(v value) {
		f.AsyncSupported = t.flag(v, false)
		f.declared.note("async-supported", v.pos)
	})
	t.table(n, "[[filter]]", k)
	t.require(n, "[[filter]]", "name")
	t.app.Filters = append(t.app.Filters, f)
	switch {
	case len(m.Patterns)+len(m.ServletNames) > 0:
		m.Filter = f.Name
		t.app.FilterMappings = append(t.app.FilterMappings, m)
	case len(m.Dispatchers) > 0:
		t.errorf(f.Pos, "the filter %q has dispatchers but neither patterns nor servlets", f.Name)
	}
}

// mappingKeys are what [[filter]] and [[filter-mapping]] have in common.
func (t *webTOML) mappingKeys(m *FilterMapping) keys {
	return keys{
		"patterns": func(n *tomltree.Node) { m.Patterns = t.patterns(n, t.filterPattern) },
		"servlets": func(n *tomltree.Node) { m.ServletNames = t.strings(n) },
		"dispatchers": func(n *tomltree.Node) {
			t.each(n, func(c *tomltree.Node) {
				v := t.value(c)
				v.name = "an element of dispatchers"
				t.dispatcher(m, v)
			})
		},
	}
}

func (t *webTOML) filterMapping(n *tomltree.Node) {
	m := FilterMapping{Pos: t.at(n.Pos)}
	k := t.mappingKeys(&m)
	k["filter"] = t.into(func(v value) { m.Filter = t.token(v) })
	t.table(n, "[[filter-mapping]]", k)
	t.require(n, "[[filter-mapping]]", "filter")
	if len(m.Patterns)+len(m.ServletNames) == 0 {
		t.errorf(m.Pos, "[[filter-mapping]] lacks its patterns or servlets")
	}
	t.app.FilterMappings = append(t.app.FilterMappings, m)
}

func (t *webTOML) listeners(n *tomltree.Node) {
	t.each(n, func(c *tomltree.Node) {
		v := t.value(c)
		v.name = "a listener"
		t.app.Listeners = append(t.app.Listeners, Listener{Class: t.token(v), Pos: v.pos, ClassPos: v.pos})
	})
}

func (t *webTOML) welcomeFiles(n *tomltree.Node) {
	t.each(n, func(c *tomltree.Node) {
		v := t.value(c)
		v.name = "a welcome file"
		if s := t.welcomeFile(v); s != "" {
			t.app.WelcomeFiles = append(t.app.WelcomeFiles, s)
		}
	})
}

func (t *webTOML) errorPage(n *tomltree.Node) {
	p := ErrorPage{Pos: t.at(n.Pos)}
	t.table(n, "[[error-page]]", keys{
		"code":     t.into(func(v value) { p.Code = t.errorCode(v) }),
		"type":     t.into(func(v value) { p.ErrorType = t.errorType(v) }),
		"location": t.into(func(v value) { p.Location = t.location(v, false) }),
	})
	t.require(n, "[[error-page]]", "location")
	if n.Child("code") != nil && n.Child("type") != nil {
		t.errorf(p.Pos, "[[error-page]] has both a code and a type; only one may be there")
	}
	t.app.ErrorPages = append(t.app.ErrorPages, p)
}

func (t *webTOML) mimeTypes(n *tomltree.Node) {
	if !t.isKind(n, tomltree.Table) {
		return
	}
	for _, c := range n.Children {
		ext := value{name: "the extension", text: c.Key, pos: t.at(c.KeyPos), kind: tomltree.String}
		t.app.MimeMappings = append(t.app.MimeMappings, MimeMapping{Extension: t.extension(ext), Type: t.mimeType(t.value(c)), Pos: ext.pos})
	}
}

func (t *webTOML) localeEncodings(n *tomltree.Node) {
	if !t.isKind(n, tomltree.Table) {
		return
	}
	for _, c := range n.Children {
		t.app.LocaleEncodings = append(t.app.LocaleEncodings, LocaleEncoding{Locale: c.Key, Encoding: t.localeEncoding(t.value(c)), Pos: t.at(c.KeyPos)})
	}
}

func (t *webTOML) envEntry(n *tomltree.Node) {
	e := EnvEntry{Type: "String", Pos: t.at(n.Pos)}
	t.table(n, "[[env-entry]]", keys{
		"name": t.into(func(v value) { e.Name = t.token(v) }),
		"type": t.into(func(v value) { e.Type = t.token(v) }),
		"value": func(n *tomltree.Node) {
			if n.Kind == tomltree.Table || n.Kind == tomltree.Array {
				t.errorf(t.at(n.Pos), "value is %s; it must be a string, a number or a boolean", article(n.Kind))
				return
			}
			e.Value = t.value(n).text
		},
	})
	t.require(n, "[[env-entry]]", "name")
	t.require(n, "[[env-entry]]", "value")
	t.checkEnvEntry(&e)
	t.app.EnvEntries = append(t.app.EnvEntries, e)
}

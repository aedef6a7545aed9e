package descriptor

import (
	"regexp"
	"strings"

	"github.com/serval-server/serval/descriptor/internal/xmltree"
)

// webXML decodes web.xml and web-fragment.xml into a model of that one file.
type webXML struct {
	xmlReader
	app      *WebApp
	fragment bool
	// v22 is true for the schema of 2.2, under which a path may lack its slash.
	v22 bool
}

// dtdVersion finds the version in the public or system identifier of a DTD.
var dtdVersion = regexp.MustCompile(`(?i)web application (\d\.\d)|web-app_(\d)[_.](\d)`)

// schemaVersions are those whose documents are known; another is read with a warning.
var schemaVersions = map[string]bool{
	"2.2": true, "2.3": true, "2.4": true, "2.5": true, "3.0": true, "3.1": true,
	"4.0": true, "5.0": true, "6.0": true, "6.1": true, "6.2": true,
}

// version finds the declared schema version: the root's attribute, or the DTD's.
func (x *webXML) version(doc *xmltree.Document) string {
	if v, ok := doc.Root.Attr("version"); ok && strings.TrimSpace(v) != "" {
		return strings.TrimSpace(v)
	}
	if doc.Doctype == nil {
		return ""
	}
	m := dtdVersion.FindStringSubmatch(doc.Doctype.PublicID + " " + doc.Doctype.SystemID)
	switch {
	case m == nil:
		return ""
	case m[1] != "":
		return m[1]
	}
	return m[2] + "." + m[3]
}

func (x *webXML) decode(doc *xmltree.Document) {
	root := doc.Root
	x.fragment = root.Local == "web-fragment"
	x.app.Pos = x.at(root.Pos)
	x.app.Version = x.version(doc)
	x.v22 = x.app.Version == "2.2"
	if x.app.Version != "" && !schemaVersions[x.app.Version] {
		x.warnf(x.app.Pos, "the version %q is not known; versions 2.2 to 6.2 are", x.app.Version)
	}
	for _, a := range root.Attrs {
		if a.Space != "" {
			continue
		}
		switch a.Local {
		case "metadata-complete":
			x.app.MetadataComplete = x.flag(x.attr(a), false)
		case "version", "id":
		default:
			x.warnf(x.at(a.Pos), "the attribute %s of <%s> is not known; it is ignored", a.Local, root.Local)
		}
	}
	x.children(root, x.rootHandlers())
}

func (x *webXML) rootHandlers() handlers {
	app := x.app
	h := handlers{
		"display-name": func(e *xmltree.Element) {
			if app.DisplayName == "" { // others are translations (xml:lang)
				app.DisplayName = x.text(e).text
			}
		},
		"distributable": func(e *xmltree.Element) {
			app.Distributable, app.DistributablePos = true, x.at(e.Pos)
		},
		"deny-uncovered-http-methods": func(e *xmltree.Element) { app.DenyUncovered = true },
		"request-character-encoding": func(e *xmltree.Element) {
			x.once(&app.declared, e)
			app.RequestEncoding = x.encoding(x.text(e))
		},
		"response-character-encoding": func(e *xmltree.Element) {
			x.once(&app.declared, e)
			app.ResponseEncoding = x.encoding(x.text(e))
		},
		"context-param":                func(e *xmltree.Element) { app.ContextParams = append(app.ContextParams, x.param(e)) },
		"servlet":                      x.servlet,
		"servlet-mapping":              x.servletMapping,
		"filter":                       x.filter,
		"filter-mapping":               x.filterMapping,
		"listener":                     x.listener,
		"session-config":               x.sessionConfig,
		"welcome-file-list":            x.welcomeFiles,
		"error-page":                   x.errorPage,
		"mime-mapping":                 x.mimeMapping,
		"locale-encoding-mapping-list": x.localeEncodings,
		"env-entry":                    x.envEntry,
		"security-constraint":          x.securityConstraint,
		"login-config":                 x.loginConfig,
		"security-role": func(e *xmltree.Element) {
			role := SecurityRole{Pos: x.at(e.Pos)}
			x.children(e, x.with(handlers{"role-name": func(e *xmltree.Element) { role.Name = x.token(x.text(e)) }}))
			app.Roles = append(app.Roles, role)
		},
	}
	x.orderingHandlers(h)
	for name, why := range ignoredElements {
		h[name] = x.ignore(why)
	}
	return x.with(h)
}

// ignoredElements have no counterpart: what an author must know of it. "" is nothing.
var ignoredElements = map[string]string{
	"taglib":                     noJSP,
	"ejb-ref":                    noJNDI,
	"ejb-local-ref":              noJNDI,
	"service-ref":                noJNDI,
	"resource-ref":               noJNDI,
	"resource-env-ref":           noJNDI,
	"message-destination":        noJNDI,
	"message-destination-ref":    noJNDI,
	"persistence-context-ref":    noJNDI,
	"persistence-unit-ref":       noJNDI,
	"data-source":                noJNDI,
	"mail-session":               noJNDI,
	"jms-connection-factory":     noJNDI,
	"jms-destination":            noJNDI,
	"connection-factory":         noJNDI,
	"administered-object":        noJNDI,
	"context-service":            noJNDI,
	"context-service-ref":        noJNDI,
	"managed-executor":           noJNDI,
	"managed-scheduled-executor": noJNDI,
	"managed-thread-factory":     noJNDI,
	"post-construct":             "there are no annotated methods here; use Init of a servlet or a context listener",
	"pre-destroy":                "there are no annotated methods here; use Destroy of a servlet or a context listener",
	"replication-config":         inJBoss,
	"passivation-config":         inJBoss,
	"max-active-sessions":        inJBoss,
	"default-context-path":       "the context path follows from the bundle's name",
}

const (
	inJBoss = "it belongs into WEB-INF/jboss-web.xml"
	noJSP   = "there are no JSPs here; pages are .gohtml files"
	noJNDI  = "there is no naming service here; the application's code opens what it needs"
)

// ignore makes a handler for a known element that has no effect, with a warning
// once in a file if why says so.
func (x *webXML) ignore(why string) func(*xmltree.Element) {
	return func(e *xmltree.Element) {
		if why != "" {
			x.warnOnce(e.Local, x.at(e.Pos), "<%s> has no effect: %s", e.Local, why)
		}
	}
}

// with adds what may stand in every element and says nothing to a server.
func (x *webXML) with(h handlers) handlers {
	for _, name := range []string{"description", "icon", "small-icon", "large-icon"} {
		if h[name] == nil {
			h[name] = func(*xmltree.Element) {}
		}
	}
	return h
}

func (x *webXML) orderingHandlers(h handlers) {
	app := x.app
	h["jsp-config"] = func(e *xmltree.Element) {
		x.once(&app.declared, e)
		x.warnOnce(e.Local, x.at(e.Pos), "<%s> has no effect: %s", e.Local, noJSP)
	}
	if !x.fragment {
		h["absolute-ordering"] = func(e *xmltree.Element) {
			x.once(&app.declared, e)
			app.Ordering.Pos = x.at(e.Pos)
			app.Ordering.Absolute = append(make([]string, 0, len(e.Children)), x.orderNames(e)...)
		}
		return
	}
	h["name"] = func(e *xmltree.Element) {
		x.once(&app.declared, e)
		app.fragmentName = x.token(x.text(e))
	}
	h["ordering"] = func(e *xmltree.Element) {
		x.once(&app.declared, e)
		app.Ordering.Pos = x.at(e.Pos)
		var d declared
		x.children(e, handlers{
			"before": func(e *xmltree.Element) { x.once(&d, e); app.Ordering.Before = x.orderNames(e) },
			"after":  func(e *xmltree.Element) { x.once(&d, e); app.Ordering.After = x.orderNames(e) },
		})
	}
}

// orderNames reads <name> and <others/>.
func (x *webXML) orderNames(e *xmltree.Element) []string {
	var names []string
	var d declared
	x.children(e, handlers{
		"name": func(e *xmltree.Element) { names = append(names, x.token(x.text(e))) },
		"others": func(e *xmltree.Element) {
			x.once(&d, e)
			names = append(names, OthersName)
		},
	})
	return names
}

// param reads context-param and init-param.
func (x *webXML) param(e *xmltree.Element) Param {
	p := Param{Pos: x.at(e.Pos)}
	named := false
	x.children(e, x.with(handlers{
		"param-name":  func(e *xmltree.Element) { p.Name, named = x.token(x.text(e)), true },
		"param-value": func(e *xmltree.Element) { p.Value = x.text(e).text },
	}))
	x.require(named, p.Pos, e.Local, "param-name")
	return p
}

// require reports an element that lacks a child it must have.
func (x *webXML) require(has bool, at Pos, element, child string) {
	if !has {
		x.errorf(at, "<%s> lacks its <%s>", element, child)
	}
}

func (x *webXML) localeEncodings(e *xmltree.Element) {
	x.children(e, handlers{"locale-encoding-mapping": func(e *xmltree.Element) {
		m := LocaleEncoding{Pos: x.at(e.Pos)}
		x.children(e, handlers{
			"locale":   func(e *xmltree.Element) { m.Locale = x.token(x.text(e)) },
			"encoding": func(e *xmltree.Element) { m.Encoding = x.localeEncoding(x.text(e)) },
		})
		x.require(m.Locale != "", m.Pos, e.Local, "locale")
		x.app.LocaleEncodings = append(x.app.LocaleEncodings, m)
	}})
}

func (x *webXML) envEntry(e *xmltree.Element) {
	entry := EnvEntry{Pos: x.at(e.Pos)}
	var lookup, value bool
	x.children(e, x.with(handlers{
		"env-entry-name":   func(e *xmltree.Element) { entry.Name = x.token(x.text(e)) },
		"env-entry-type":   func(e *xmltree.Element) { entry.Type = strings.TrimPrefix(x.text(e).text, "java.lang.") },
		"env-entry-value":  func(e *xmltree.Element) { entry.Value, value = x.text(e).text, true },
		"lookup-name":      func(e *xmltree.Element) { lookup = true; x.ignore(noJNDI)(e) },
		"mapped-name":      func(*xmltree.Element) {},
		"injection-target": func(*xmltree.Element) {},
	}))
	if lookup && value {
		x.errorf(entry.Pos, "<env-entry> %q has both a <lookup-name> and an <env-entry-value>; only one may be there", entry.Name)
	}
	if entry.Type == "" {
		entry.Type = "String"
	}
	if value {
		x.checkEnvEntry(&entry)
		x.app.EnvEntries = append(x.app.EnvEntries, entry)
	}
}

func (x *webXML) welcomeFiles(e *xmltree.Element) {
	x.children(e, handlers{"welcome-file": func(e *xmltree.Element) {
		if v := x.text(e); v.text != "" { // an empty one is ignored
			x.app.WelcomeFiles = append(x.app.WelcomeFiles, x.welcomeFile(v))
		}
	}})
}

func (x *webXML) errorPage(e *xmltree.Element) {
	page := ErrorPage{Pos: x.at(e.Pos)}
	var code, exception, location bool
	x.children(e, handlers{
		"error-code":     func(e *xmltree.Element) { page.Code, code = x.errorCode(x.text(e)), true },
		"exception-type": func(e *xmltree.Element) { page.ErrorType, exception = x.errorType(x.text(e)), true },
		"location":       func(e *xmltree.Element) { page.Location, location = x.location(x.text(e), x.v22), true },
	})
	x.require(location, page.Pos, e.Local, "location")
	if code && exception {
		x.errorf(page.Pos, "<error-page> has both an <error-code> and an <exception-type>; only one may be there")
	}
	x.app.ErrorPages = append(x.app.ErrorPages, page)
}

func (x *webXML) mimeMapping(e *xmltree.Element) {
	m := MimeMapping{Pos: x.at(e.Pos)}
	x.children(e, x.with(handlers{
		"extension": func(e *xmltree.Element) { m.Extension = x.extension(x.text(e)) },
		"mime-type": func(e *xmltree.Element) { m.Type = x.mimeType(x.text(e)) },
	}))
	x.require(m.Extension != "", m.Pos, e.Local, "extension")
	x.app.MimeMappings = append(x.app.MimeMappings, m)
}

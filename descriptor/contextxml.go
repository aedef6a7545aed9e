package descriptor

import (
	"maps"
	"slices"
	"strings"

	"github.com/serval-server/serval/descriptor/internal/xmltree"
)

// contextXML decodes Tomcat's context.xml, and the Context elements of a server.xml.
type contextXML struct {
	xmlReader
	ctx *ContextFile
}

func (x *contextXML) decode(root *xmltree.Element) {
	x.ctx.Pos = x.at(root.Pos)
	for _, a := range root.Attrs {
		x.contextAttr(root, a)
	}
	x.children(root, handlers{
		"WatchedResource": func(e *xmltree.Element) {
			x.ctx.WatchedResources = append(x.ctx.WatchedResources, x.token(x.text(e)))
		},
		"Manager":           x.manager,
		"CookieProcessor":   x.cookieProcessor,
		"Resources":         x.resources,
		"Parameter":         x.parameter,
		"Environment":       x.environment,
		"Valve":             x.valve,
		"Resource":          x.unsupported(noJNDI),
		"ResourceLink":      x.unsupported(noJNDI),
		"Transaction":       x.unsupported(noJNDI),
		"Ejb":               x.unsupported(noJNDI),
		"Realm":             x.unsupported("realms are configured in conf/server.toml"),
		"Loader":            x.unsupported("there are no class loaders"),
		"JarScanner":        x.unsupported("there are no classes to scan"),
		"Listener":          x.unsupported("a listener of the application is declared in web.xml"),
		"LifecycleListener": x.unsupported("a listener of the application is declared in web.xml"),
		"InstanceListener":  x.unsupported("a listener of the application is declared in web.xml"),
		"WrapperListener":   x.unsupported("a listener of the application is declared in web.xml"),
		"WrapperLifecycle":  x.unsupported("a listener of the application is declared in web.xml"),
	})
}

// contextAttr reads one attribute of Context, also those that later versions moved to Resources.
func (x *contextXML) contextAttr(e *xmltree.Element, a xmltree.Attr) {
	why, ignored := contextIgnored[a.Local]
	switch set := cmpSetter(contextKeys[a.Local], resourcesKeys[a.Local]); {
	case a.Space != "":
	case set != nil:
		set(&x.reader, x.ctx, x.attr(a))
	case ignored && why == "":
	case ignored:
		x.warnf(x.at(a.Pos), "the attribute %s has no effect: %s", a.Local, why)
	default:
		x.unknownAttr(e, a, slices.Sorted(maps.Keys(contextKeys)))
	}
}

// cmpSetter returns the first that is there.
func cmpSetter(a, b func(*reader, *ContextFile, value)) func(*reader, *ContextFile, value) {
	if a != nil {
		return a
	}
	return b
}

func (x *contextXML) unknownAttr(e *xmltree.Element, a xmltree.Attr, known []string) {
	x.warnf(x.at(a.Pos), "the attribute %s of <%s> is not known%s; it is ignored", a.Local, e.Local, didYouMean(a.Local, known))
}

func (x *contextXML) unsupported(why string) func(*xmltree.Element) {
	return func(e *xmltree.Element) {
		x.warnOnce(e.Local, x.at(e.Pos), "<%s> is not supported: %s", e.Local, why)
	}
}

func (x *contextXML) manager(e *xmltree.Element) {
	m := &x.ctx.Manager
	m.Pos = x.at(e.Pos)
	class, _ := e.Attr("className")
	for _, a := range e.Attrs {
		v := x.attr(a)
		m.Attributes = append(m.Attributes, Param{Name: a.Local, Value: v.text, Pos: x.at(a.Pos)})
		switch set := managerKeys[a.Local]; {
		case set != nil:
			set(&x.reader, m, v)
		case managers[strings.TrimSpace(class)]: // of another maker's manager, one warning will do
			x.unknownAttr(e, a, slices.Sorted(maps.Keys(managerKeys)))
		}
	}
	x.checkManager(m, m.Pos)
	x.children(e, handlers{
		"Store":              x.unsupported("sessions are stored in the data folder of the server's home"),
		"SessionIdGenerator": x.unsupported("session ids are made by Serval, see sessionIdLength"),
	})
}

func (x *contextXML) cookieProcessor(e *xmltree.Element) {
	x.ctx.CookieProcessor.Pos = x.at(e.Pos)
	x.attrs(e, cookieProcessorKeys)
}

func (x *contextXML) resources(e *xmltree.Element) {
	x.attrs(e, resourcesKeys)
	more := x.unsupported("a bundle has the files that are in it")
	x.children(e, handlers{"PreResources": more, "JarResources": more, "PostResources": more})
}

func (x *contextXML) attrs(e *xmltree.Element, keys map[string]func(*reader, *ContextFile, value)) {
	for _, a := range e.Attrs {
		if set := keys[a.Local]; set != nil {
			set(&x.reader, x.ctx, x.attr(a))
		} else {
			x.unknownAttr(e, a, slices.Sorted(maps.Keys(keys)))
		}
	}
}

func (x *contextXML) parameter(e *xmltree.Element) {
	p := ContextParameter{Override: true, Pos: x.at(e.Pos)}
	for _, a := range e.Attrs {
		switch v := x.attr(a); a.Local {
		case "name":
			p.Name = x.token(v)
		case "value":
			p.Value = v.text
		case "override":
			p.Override = x.flag(v, true)
		case "description":
		default:
			x.unknownAttr(e, a, []string{"name", "value", "override", "description"})
		}
	}
	if p.Name == "" {
		x.errorf(p.Pos, "<Parameter> lacks its name")
	}
	x.ctx.Parameters = append(x.ctx.Parameters, p)
}

func (x *contextXML) environment(e *xmltree.Element) {
	env := ContextEnvironment{Override: true, EnvEntry: EnvEntry{Type: "String", Pos: x.at(e.Pos)}}
	for _, a := range e.Attrs {
		switch v := x.attr(a); a.Local {
		case "name":
			env.Name = x.token(v)
		case "type":
			env.Type = strings.TrimPrefix(v.text, "java.lang.")
		case "value":
			env.Value = v.text
		case "override":
			env.Override = x.flag(v, true)
		case "description":
		default:
			x.unknownAttr(e, a, []string{"name", "type", "value", "override", "description"})
		}
	}
	x.checkEnvEntry(&env.EnvEntry)
	x.ctx.Environments = append(x.ctx.Environments, env)
}

func (x *contextXML) valve(e *xmltree.Element) {
	v := ContextValve{Pos: x.at(e.Pos)}
	for _, a := range e.Attrs {
		if a.Local == "className" {
			v.Class = x.attr(a).text
			continue
		}
		v.Params = append(v.Params, Param{Name: a.Local, Value: x.attr(a).text, Pos: x.at(a.Pos)})
	}
	if v.Class == "" {
		x.errorf(v.Pos, "<Valve> lacks its className")
	}
	x.warnf(v.Pos, "the valve %q of a context is not applied; valves are configured in conf/server.toml", v.Class)
	x.ctx.Valves = append(x.ctx.Valves, v)
}

package descriptor

import (
	"maps"
	"slices"

	"github.com/serval-server/serval/descriptor/internal/xmltree"
)

// jbossXML decodes jboss-web.xml, distributable-web.xml, and jboss-all.xml, which may
// hold both.
type jbossXML struct {
	xmlReader
	replication *Replication
	jboss       *JBoss
}

// decode reads a document by its root element.
func (x *jbossXML) decode(root *xmltree.Element) {
	switch root.Local {
	case "distributable-web":
		x.distributableWeb(root)
	case "jboss":
		x.children(root, handlers{
			"jboss-web":         x.jbossWeb,
			"distributable-web": x.distributableWeb,
		})
	case "jboss-web":
		x.jbossWeb(root)
	case "web-app": // some old files have the wrong root, and the server they were for did not look
		x.warnf(x.at(root.Pos), "the root element is <web-app>; it should be <jboss-web>")
		x.jbossWeb(root)
	default:
		x.errorf(x.at(root.Pos), "the root element is <%s>; it must be <jboss-web>, <jboss> or <distributable-web>", root.Local)
	}
}

// jbossWebIgnored are known elements of jboss-web.xml that have no counterpart.
var jbossWebIgnored = []string{
	"class-loading", "security-domain", "jacc-star-role-allow", "jacc-context-id", "use-session-passivation",
	"disable-cross-context", "valve", "overlay", "resource-env-ref", "resource-ref", "security-role", "ejb-ref",
	"ejb-local-ref", "service-ref", "message-destination", "message-destination-ref", "webservice-description",
	"depends", "servlet", "annotation", "authenticators", "symbolic-linking-enabled", "enable-websockets",
	"http-handler", "default-encoding", "server-instance", "servlet-container", "executor-name",
	"proactive-authentication", "disable-audit", "run-as-principal", "distinct-name",
}

// jbossWeb reads what Serval honours and names the rest in warnings.
func (x *jbossXML) jbossWeb(root *xmltree.Element) {
	var d declared
	h := handlers{
		"context-root": func(e *xmltree.Element) {
			x.once(&d, e)
			v := x.text(e)
			x.jboss.ContextRoot, x.jboss.ContextRootPos = x.contextRoot(v), v.pos
		},
		"virtual-host": func(e *xmltree.Element) {
			x.jboss.VirtualHosts = append(x.jboss.VirtualHosts, x.token(x.text(e)))
		},
		"max-active-sessions": func(e *xmltree.Element) {
			v := x.text(e)
			x.jboss.MaxActiveSessions, x.jboss.maxActivePos = x.int32(v, -1), v.pos
		},
		"replication-config": x.replicationConfig,
		"passivation-config": x.passivationConfig,
		"description":        func(*xmltree.Element) {},
		"display-name":       func(*xmltree.Element) {},
	}
	for _, name := range jbossWebIgnored {
		h[name] = func(e *xmltree.Element) {
			x.warnOnce(name, x.at(e.Pos), "<%s> is not supported; it has no effect", name)
		}
	}
	x.children(root, h)
}

func (x *jbossXML) replicationConfig(e *xmltree.Element) {
	x.replication.Pos = x.at(e.Pos)
	h := handlers{}
	for name, set := range replicationKeys {
		h[name] = func(e *xmltree.Element) {
			x.again(&x.replication.declared, e)
			set(&x.reader, x.replication, x.text(e))
		}
	}
	x.strict(e, h)
}

func (x *jbossXML) passivationConfig(e *xmltree.Element) {
	p := &x.jboss.Passivation
	p.Pos = x.at(e.Pos)
	var d declared
	h := handlers{}
	for name, set := range passivationKeys {
		h[name] = func(e *xmltree.Element) {
			x.again(&d, e)
			set(&x.reader, p, x.text(e))
		}
	}
	x.strict(e, h)
}

// again warns about an element that is there already: the later one counts.
func (x *jbossXML) again(d *declared, e *xmltree.Element) {
	if !d.note(e.Local, x.at(e.Pos)) {
		x.warnf(x.at(e.Pos), "<%s> is there twice; this one counts, not that of line %d", e.Local, (*d)[e.Local].Line)
	}
}

// strict refuses unknown children: here a typing mistake would silently
// change what a failover keeps.
func (x *jbossXML) strict(e *xmltree.Element, h handlers) {
	known := make(handlers, len(h))
	maps.Copy(known, h)
	for _, c := range e.Children {
		if known[c.Local] == nil {
			x.errorf(x.at(c.Pos), "the element <%s> is not known in <%s>%s", c.Local, e.Local, didYouMean(c.Local, slices.Sorted(maps.Keys(h))))
			known[c.Local] = func(*xmltree.Element) {}
		}
	}
	x.children(e, known)
}

// distributableWeb reads WildFly's descriptor, which replaced replication-config: its
// granularity is honoured, its profiles and affinities are named in warnings.
func (x *jbossXML) distributableWeb(root *xmltree.Element) {
	n := 0
	management := func(e *xmltree.Element) {
		if n++; n > 1 {
			x.errorf(x.at(e.Pos), "<distributable-web> holds exactly one kind of session management")
		}
		x.replication.Pos = x.at(e.Pos)
		for _, a := range e.Attrs {
			x.managementAttr(e, a)
		}
		for _, c := range e.Children {
			if c.Local != "immutable-class" {
				x.warnf(x.at(c.Pos), "<%s> is not supported; requests go to the session's home", c.Local)
			}
		}
	}
	x.children(root, handlers{
		"session-management":            management,
		"infinispan-session-management": management,
		"hotrod-session-management":     management,
	})
	if n == 0 {
		x.errorf(x.at(root.Pos), "<distributable-web> lacks <session-management>, <infinispan-session-management> or <hotrod-session-management>")
	}
}

func (x *jbossXML) managementAttr(e *xmltree.Element, a xmltree.Attr) {
	switch v := x.attr(a); a.Local {
	case "granularity":
		x.replication.Granularity = enum(&x.reader, v, GranularitySession, GranularityAttribute)
	case "name":
		x.warnf(v.pos, "the session management profile %q is WildFly's; what it stands for is said by [[cache]] in conf/server.toml", v.text)
	default:
		x.warnf(x.at(a.Pos), "the attribute %s of <%s> is not supported; a cache is configured by [[cache]] in conf/server.toml", a.Local, e.Local)
	}
}

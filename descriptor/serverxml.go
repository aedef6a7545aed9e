package descriptor

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/serval-server/serval/descriptor/internal/xmltree"
)

// ConvertServer reads Tomcat's server.xml and writes it as conf/server.toml. What
// has no equivalent is named in warnings, with its place and what to do instead.
func ConvertServer(name string, data []byte) (toml string, ds Diagnostics) {
	c := &serverXML{xmlReader: xmlReader{reader: reader{file: name}}}
	doc := c.open(data)
	if doc == nil {
		return "", c.diags
	}
	if doc.Root.Local != "Server" {
		c.errorf(c.at(doc.Root.Pos), "the root element is <%s>; it must be <Server>", doc.Root.Local)
		return "", c.diags
	}
	c.server(doc.Root)
	c.diags.sort()
	return c.text(), c.diags
}

// serverXML converts a server.xml.
type serverXML struct {
	xmlReader
	main       section // [server]
	limits     section
	connectors []*section
	hosts      []*host
	valves     []*section
	engines    int
}

// section is a table of server.toml: lines of keys with their TOML values.
type section struct {
	name string
	keys []string
	set  map[string]string
	// parts are tables within, written after the keys.
	parts []*section
}

func (s *section) put(key, toml string) {
	if _, ok := s.set[key]; !ok {
		s.keys = append(s.keys, key)
	}
	if s.set == nil {
		s.set = map[string]string{}
	}
	s.set[key] = toml
}

func (s *section) write(b *strings.Builder, header string) {
	fmt.Fprintf(b, "\n%s\n", header)
	for _, k := range s.keys {
		fmt.Fprintf(b, "%s = %s\n", k, s.set[k])
	}
}

// host is a Host element.
type host struct {
	section
	aliases []string
	valves  []*section
}

// text writes all sections.
func (c *serverXML) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Converted from %s.\n", strings.Map(printable, c.file))
	if len(c.main.keys) > 0 {
		c.main.write(&b, "[server]")
	}
	if len(c.limits.keys) > 0 {
		c.limits.write(&b, "[limits]")
	}
	for _, con := range c.connectors {
		con.write(&b, "[[connectors]]")
		for _, p := range con.parts {
			p.write(&b, "[connectors."+p.name+"]")
		}
	}
	c.placeValves()
	for _, h := range c.hosts {
		if len(h.aliases) > 0 {
			h.put("aliases", tomlStrings(h.aliases))
		}
		h.write(&b, "[[hosts]]")
		for _, v := range h.valves {
			v.write(&b, "[hosts.valves."+v.name+"]")
		}
	}
	for _, v := range c.valves {
		v.write(&b, "[valves."+v.name+"]")
	}
	return b.String()
}

// placeValves moves the valves of an only host to the server. With several hosts, what some of
// them configure is switched off for the server, whose own would do it a second time.
func (c *serverXML) placeValves() {
	have := map[string]bool{}
	for _, v := range c.valves {
		have[v.name] = true
	}
	for _, h := range c.hosts {
		kept := h.valves[:0]
		for _, v := range h.valves {
			switch {
			case len(c.hosts) == 1 && !have[v.name]:
				c.valves = append(c.valves, v)
			default:
				kept = append(kept, v)
				if !have[v.name] {
					off := &section{name: v.name}
					off.put("enabled", "false")
					c.valves = append(c.valves, off)
				}
			}
			have[v.name] = true
		}
		h.valves = kept
	}
}

func printable(r rune) rune {
	if r < ' ' || r == 0x7f {
		return -1
	}
	return r
}

// tomlString quotes a text as a TOML basic string.
func tomlString(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

func tomlStrings(list []string) string {
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = tomlString(s)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// skip names an element that is not converted.
func (c *serverXML) skip(e *xmltree.Element, why string) {
	what := "<" + e.Local + ">"
	if class, ok := e.Attr("className"); ok {
		what += " " + class
	}
	c.warnf(c.at(e.Pos), "%s is not converted: %s", what, why)
}

// skipAll makes a handler that skips.
func (c *serverXML) skipAll(why string) func(*xmltree.Element) {
	return func(e *xmltree.Element) { c.skip(e, why) }
}

const (
	noRealm   = "realms are not there yet; what needs a role is denied until then"
	noCluster = "a cluster is described by [cluster] and [[cache]] of server.toml, once they are there"
	noListen  = "it looks after the Java machine, or belongs to another product"
)

// setters say what an attribute becomes. A nil function: it is not converted and that changes nothing.
type setters map[string]func(value)

// attributes converts the attributes of an element; those without setter are named, with the
// reason that ignored knows.
func (c *serverXML) attributes(e *xmltree.Element, set setters, ignored map[string]string) {
	for _, a := range e.Attrs {
		do, known := set[a.Local]
		why, silent := ignored[a.Local]
		switch {
		case do != nil:
			if v := c.attr(a); !v.unknown {
				do(v)
			}
		case known, silent && why == "", a.Local == "className":
		case silent:
			c.warnf(c.at(a.Pos), "the attribute %s of <%s> is not converted: %s", a.Local, e.Local, why)
		default:
			c.warnf(c.at(a.Pos), "the attribute %s of <%s> has no equivalent%s", a.Local, e.Local, didYouMean(a.Local, slices.Sorted(maps.Keys(set))))
		}
	}
}

func (c *serverXML) server(e *xmltree.Element) {
	c.attributes(e, setters{"port": nil, "shutdown": nil, "address": nil, "debug": nil}, nil)
	if p, ok := e.Attr("port"); ok && p != "-1" {
		c.warnf(c.at(e.Pos), "the shutdown port %s has no equivalent: the server is stopped by a signal", p)
	}
	services := 0
	c.children(e, handlers{
		"Listener":              c.skipAll(noListen),
		"GlobalNamingResources": c.skipAll(noJNDI),
		"Service": func(e *xmltree.Element) {
			if services++; services > 1 {
				c.warnf(c.at(e.Pos), "a second <Service> is not kept apart: its connectors reach the hosts of all")
			}
			c.service(e)
		},
	})
}

func (c *serverXML) service(e *xmltree.Element) {
	c.attributes(e, setters{"name": nil}, nil)
	c.children(e, handlers{
		"Listener":  c.skipAll(noListen),
		"Executor":  c.skipAll("there are no threads to pool; [limits] bounds connections"),
		"Connector": c.connector,
		"Engine":    c.engine,
	})
}

func (c *serverXML) engine(e *xmltree.Element) {
	if c.engines++; c.engines > 1 {
		c.warnf(c.at(e.Pos), "a second <Engine> is not kept apart: its hosts are added to the first's")
	}
	keep := func(key string) func(value) {
		return func(v value) {
			if c.engines == 1 {
				c.main.put(key, tomlString(v.text))
			}
		}
	}
	c.attributes(e, setters{"name": keep("engine"), "defaultHost": keep("default-host"), "jvmRoute": keep("node")},
		map[string]string{"debug": "", "backgroundProcessorDelay": "scan-interval of [[hosts]] says how often bundles are looked for"})
	c.children(e, handlers{
		"Listener": c.skipAll(noListen),
		"Logger":   c.skipAll("the log is configured by [log]"),
		"Realm":    c.skipAll(noRealm),
		"Cluster":  c.skipAll(noCluster),
		"Valve":    func(e *xmltree.Element) { c.valve(e, &c.valves) },
		"Host":     c.host,
	})
	c.checkDefaultHost(e)
}

func (c *serverXML) host(e *xmltree.Element) {
	h := &host{}
	text := func(key string) func(value) {
		return func(v value) {
			if v.text != "" {
				h.put(key, tomlString(v.text))
			}
		}
	}
	flag := func(key string) func(value) { return func(v value) { c.flagInto(&h.section, key, v) } }
	c.attributes(e, setters{
		"name": func(v value) { c.hostName(h, v) }, "appBase": text("app-base"), "xmlBase": text("xml-base"), "deployIgnore": text("deploy-ignore"),
		"autoDeploy": flag("auto-deploy"), "deployOnStartup": flag("deploy-on-startup"), "unpackWARs": flag("unpack-wars"),
		"deployXML": flag("deploy-xml"), "copyXML": flag("copy-xml"), "undeployOldVersions": flag("undeploy-old-versions"),
	}, map[string]string{
		"debug": "", "xmlValidation": "", "xmlNamespaceAware": "", "startStopThreads": "", "createDirs": "", "liveDeploy": "",
		"configClass": "there is one implementation", "hostConfigClass": "there is one implementation",
		"legacyAppBase": "bundles are not translated", "workDir": "it is work-dir of [server]",
		"failCtxIfServletStartFails": "it is an attribute of each context",
	})
	if h.set["name"] == "" {
		c.warnf(c.at(e.Pos), "<Host> has no name; \"localhost\" is taken")
		h.put("name", `"localhost"`)
	}
	if slices.ContainsFunc(c.hosts, func(have *host) bool { return have.set["name"] == h.set["name"] }) {
		c.skip(e, fmt.Sprintf("there is a host %s already", h.set["name"]))
		return
	}
	c.hosts = append(c.hosts, h)
	c.children(e, handlers{
		"Alias":    func(e *xmltree.Element) { h.aliases = append(h.aliases, c.token(c.xmlReader.text(e))) },
		"Valve":    func(e *xmltree.Element) { c.valve(e, &h.valves) },
		"Listener": c.skipAll(noListen),
		"Logger":   c.skipAll("the log is configured by [log]"),
		"Realm":    c.skipAll(noRealm),
		"Cluster":  c.skipAll(noCluster),
		"Context": func(e *xmltree.Element) {
			p, _ := e.Attr("path")
			name := strings.ReplaceAll(strings.Trim(p, "/"), "/", "#")
			if name == "" {
				name = "ROOT"
			}
			c.skip(e, fmt.Sprintf("write it to %s.xml in the host's xml-base (conf/<engine>/<host>)", name))
		},
	})
}

// hostNames are the names that a host can have.
var hostNames = regexp.MustCompile(`^(\*\.)?[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$`)

func (c *serverXML) hostName(h *host, v value) {
	if !hostNames.MatchString(v.text) {
		c.warnf(v.pos, "%q is not the name of a host", v.text)
		return
	}
	h.put("name", tomlString(strings.ToLower(v.text)))
}

// checkDefaultHost makes the default host one that is there.
func (c *serverXML) checkDefaultHost(e *xmltree.Element) {
	name := strings.ToLower(c.main.set["default-host"])
	if len(c.hosts) == 0 || slices.ContainsFunc(c.hosts, func(h *host) bool { return h.set["name"] == name }) {
		return
	}
	if name != "" {
		c.warnf(c.at(e.Pos), "there is no host %s, which defaultHost names; %s is taken", name, c.hosts[0].set["name"])
	}
	c.main.put("default-host", c.hosts[0].set["name"])
}

func (c *serverXML) flagInto(s *section, key string, v value) {
	if b := c.boolean(v); b != nil {
		s.put(key, strconv.FormatBool(*b))
	}
}

// millis converts a number of milliseconds; negative is Tomcat's "never", 0 here.
func (c *serverXML) millis(s *section, key string, v value) {
	if n, ok := c.integer(v, minInt32, 1<<40); ok {
		s.put(key, tomlString(fmt.Sprintf("%dms", max(n, 0))))
	}
}

// number converts a number; what Tomcat calls unlimited (negative) is 0 here.
func (c *serverXML) number(s *section, key string, v value) {
	if n, ok := c.integer(v, minInt32, 1<<40); ok {
		s.put(key, strconv.FormatInt(max(n, 0), 10))
	}
}

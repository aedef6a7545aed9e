package config

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/serval-server/serval/descriptor/stricttoml"
	"github.com/serval-server/serval/server/accesslog"
)

// validate checks what types cannot say, and reports everything.
func (l *loader) validate() {
	c := l.c
	l.server(&c.Server)
	l.oneOf("log.level", c.Log.Level, "debug", "info", "warn", "error")
	l.oneOf("log.format", c.Log.Format, "auto", "text", "json")
	l.limits(&c.Limits)
	l.connectors(c.Connectors)
	l.hosts(c.Hosts)
	l.valves("valves.", &c.Valves)
	l.caches()
	l.cluster()
}

func (l *loader) oneOf(path, got string, allowed ...string) {
	if !slices.Contains(allowed, got) {
		l.bad(path, "%q is not one of %s", got, strings.Join(allowed, ", "))
	}
}

var (
	nodeName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	plain    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)
	hostName = regexp.MustCompile(`^(\*\.)?[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?$`)
	token    = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")
)

func (l *loader) server(s *Server) {
	if s.Node != "" && !nodeName.MatchString(s.Node) {
		l.bad("server.node", "%q cannot be a route: 1 to 64 letters, digits, - or _", s.Node)
	}
	if !plain.MatchString(s.Engine) {
		l.bad("server.engine", "%q cannot be the name of a folder", s.Engine)
	}
	if !slices.ContainsFunc(l.c.Hosts, func(h Host) bool { return strings.EqualFold(h.Name, s.DefaultHost) }) {
		l.bad("server.default-host", "there is no host %q in [[hosts]]", s.DefaultHost)
	}
	for key, v := range map[string]string{"work-dir": s.WorkDir, "data-dir": s.DataDir, "control-socket": s.ControlSocket} {
		if v == "" {
			l.bad("server."+key, "cannot be empty")
		}
	}
}

func (l *loader) limits(m *Limits) {
	if m.MaxHeaderSize < 4<<10 || m.MaxHeaderSize > 16<<20 {
		l.bad("limits.max-header-size", "%s is out of range: 4KiB to 16MiB", m.MaxHeaderSize)
	}
	for key, n := range map[string]int{
		"max-connections": m.MaxConnections, "max-header-count": m.MaxHeaderCount,
		"max-parameters": m.MaxParameters, "max-streams": m.MaxStreams,
	} {
		if n < 0 {
			l.bad("limits."+key, "%d is negative; 0 means no limit", n)
		}
	}
}

func (l *loader) connectors(list []Connector) {
	if len(list) == 0 {
		l.bad("connectors", "there must be at least one connector")
	}
	names := map[string]int{}
	for i := range list {
		c, at := &list[i], fmt.Sprintf("connectors.%d", i)
		if c.Name == "" {
			c.Name = "connector-" + strconv.Itoa(i)
		}
		if j, dup := names[c.Name]; dup {
			l.bad(at+".name", "%q is the name of connectors.%d (line %d) too", c.Name, j,
				l.tree.Pos(stricttoml.Path{"connectors", strconv.Itoa(j), "name"}).Line)
		}
		names[c.Name] = i
		if c.Address == "" {
			l.bad(at+".address", "is missing: write address = \":8080\" or \"unix:run/http.sock\"")
		}
		if _, err := strconv.ParseUint(c.SocketMode, 8, 9); err != nil {
			l.bad(at+".socket-mode", "%q is not a file mode such as \"0660\"", c.SocketMode)
		}
		if c.TLS != nil {
			l.tls(at+".tls", c)
		}
	}
}

func (l *loader) tls(at string, c *Connector) {
	t := c.TLS
	l.oneOf(at+".min-version", t.MinVersion, "1.2", "1.3")
	l.oneOf(at+".client-auth", t.ClientAuth, "none", "request", "require")
	if t.ClientAuth == "require" && t.ClientCA == "" {
		l.bad(at+".client-auth", "require needs client-ca, the file of the authorities that are trusted")
	}
	if len(t.Certificates) == 0 && !t.SelfSigned {
		l.bad(at, "needs certificates = [{ cert = \"…\", key = \"…\" }], or self-signed = true to try things out")
	}
	if len(t.Certificates) > 0 && t.SelfSigned {
		l.bad(at+".self-signed", "cannot be used together with certificates")
	}
	for i, pair := range t.Certificates {
		if pair.Cert == "" || pair.Key == "" {
			l.bad(fmt.Sprintf("%s.certificates.%d", at, i), "needs both cert and key")
		}
	}
	if _, unix := c.Address.Unix(); unix && t.HTTP3 && l.tree.Has(append(stricttoml.Path(strings.Split(at, ".")), "http3")) {
		l.bad(at+".http3", "a Unix socket cannot carry HTTP/3")
	}
}

func (l *loader) hosts(list []Host) {
	if len(list) == 0 {
		l.bad("hosts", "there must be at least one host")
	}
	seen := map[string]string{}
	claim := func(path, name string) {
		lower := strings.ToLower(name)
		if !hostName.MatchString(lower) {
			l.bad(path, "%q is not a host name such as \"example.org\" or \"*.example.org\"", name)
			return
		}
		if other, dup := seen[lower]; dup {
			l.bad(path, "%q is taken by %s", name, other)
		}
		seen[lower] = path
	}
	for i := range list {
		h, at := &list[i], fmt.Sprintf("hosts.%d", i)
		if h.Name == "" {
			l.bad(at+".name", "is missing")
		} else {
			claim(at+".name", h.Name)
		}
		if strings.HasPrefix(h.Name, "*.") {
			l.bad(at+".name", "a host's own name cannot be a wildcard: make %q an alias", h.Name)
		}
		for j, a := range h.Aliases {
			claim(fmt.Sprintf("%s.aliases.%d", at, j), a)
		}
		if h.AppBase == "" {
			l.bad(at+".app-base", "cannot be empty")
		}
		if _, err := regexp.Compile(h.DeployIgnore); err != nil {
			l.bad(at+".deploy-ignore", "%v", err)
		}
		l.valves(at+".valves.", &h.Valves)
	}
}

func (l *loader) valves(at string, v *Valves) {
	header := func(path, name string, optional bool) {
		if (!optional || name != "") && !token.MatchString(name) {
			l.bad(at+path, "%q is not the name of a header", name)
		}
	}
	if r := v.RequestID; r != nil {
		header("request-id.header", r.Header, false)
	}
	if r := v.RemoteIP; r != nil {
		header("remote-ip.header", r.Header, false)
		header("remote-ip.protocol-header", r.ProtocolHeader, true)
		header("remote-ip.host-header", r.HostHeader, true)
		header("remote-ip.port-header", r.PortHeader, true)
		header("remote-ip.proxies-header", r.ProxiesHeader, true)
	}
	if a := v.AccessLog; a != nil {
		l.accessLog(at+"access-log.", a)
	}
	if e := v.ErrorReport; e != nil {
		l.oneOf(at+"error-report.format", e.Format, "auto", "html", "json")
	}
	if h := v.Health; h != nil && !strings.HasPrefix(h.Path, "/") {
		l.bad(at+"health.path", "%q does not start with /", h.Path)
	}
	if r := v.RemoteAddress; r != nil && (r.Status < 400 || r.Status > 599) {
		l.bad(at+"remote-address.status", "%d is not an error status (400 to 599)", r.Status)
	}
	if c := v.Compression; c != nil && (c.Level < 1 || c.Level > 9) {
		l.bad(at+"compression.level", "%d is out of range: 1 (fast) to 9 (small)", c.Level)
	}
	for name := range v.Custom {
		if !slices.Contains(l.options.CustomValves, name) {
			l.bad(at+"custom."+name, "no valve of this name is linked into this server (there are: %s)",
				cmp.Or(strings.Join(l.options.CustomValves, ", "), "none"))
		}
	}
}

func (l *loader) accessLog(at string, a *AccessLog) {
	l.oneOf(at+"format", a.Format, "pattern", "json")
	if _, err := accesslog.Parse(a.Pattern); err != nil {
		l.bad(at+"pattern", "%v", err)
	}
	l.oneOf(at+"rotate", a.Rotate, "daily", "hourly", "never")
	if strings.ContainsAny(a.Prefix+a.Suffix, `/\`) {
		l.bad(at+"prefix", "prefix and suffix are parts of a file name: use directory for the folder")
	}
	if a.Prefix == "" {
		l.bad(at+"prefix", "cannot be empty")
	}
	if a.MaxDays < 0 {
		l.bad(at+"max-days", "%d is negative; 0 keeps all files", a.MaxDays)
	}
	for i, p := range a.Exclude {
		if !strings.HasPrefix(p, "/") {
			l.bad(fmt.Sprintf("%sexclude.%d", at, i), "%q does not start with /", p)
		}
	}
}

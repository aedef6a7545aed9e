package descriptor

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/serval-server/serval/descriptor/internal/xmltree"
)

// valve converts a Valve to a section of [valves].
func (c *serverXML) valve(e *xmltree.Element, list *[]*section) {
	class, _ := e.Attr("className")
	s := &section{}
	s.put("enabled", "true")
	switch short := strings.TrimPrefix(class, "org.apache.catalina.valves."); short {
	case "AccessLogValve", "ExtendedAccessLogValve", "JsonAccessLogValve":
		s.name = "access-log"
		if short == "JsonAccessLogValve" {
			s.put("format", `"json"`)
		}
		c.accessLog(e, s)
	case "RemoteIpValve":
		s.name = "remote-ip"
		c.remoteIP(e, s)
	case "ErrorReportValve", "JsonErrorReportValve":
		s.name = "error-report"
		if short == "JsonErrorReportValve" {
			s.put("format", `"json"`)
		}
		c.attributes(e, setters{
			"showReport":     func(v value) { c.flagInto(s, "show-report", v) },
			"showServerInfo": func(v value) { c.flagInto(s, "show-server", v) },
		}, nil)
	case "StuckThreadDetectionValve":
		s.name = "stuck-requests"
		c.attributes(e, setters{"threshold": func(v value) {
			if n, ok := c.integer(v, 1, 1<<31); ok {
				s.put("threshold", tomlString(strconv.FormatInt(n, 10)+"s"))
			}
		}}, map[string]string{"interruptThreadThreshold": "a request that is stuck in a worker ends with its deadline"})
	case "HealthCheckValve":
		s.name = "health"
		c.attributes(e, setters{
			"path":                     func(v value) { s.put("path", tomlString(v.text)) },
			"checkContainersAvailable": func(v value) { c.flagInto(s, "check-apps", v) },
		}, nil)
	case "RemoteCIDRValve":
		s.name = "remote-address"
		c.remoteCIDR(e, s)
	case "RemoteAddrValve", "RemoteHostValve":
		c.skip(e, "its regular expressions cannot be turned into networks; write them to [valves.remote-address] as allow and deny")
		return
	default:
		c.skip(e, "there is no valve like it")
		return
	}
	for _, have := range *list {
		if have.name == s.name {
			c.skip(e, "there is one already of its kind")
			return
		}
	}
	*list = append(*list, s)
}

func (c *serverXML) accessLog(e *xmltree.Element, s *section) {
	text := func(key string) func(value) { return func(v value) { s.put(key, tomlString(v.text)) } }
	c.attributes(e, setters{
		"pattern": text("pattern"), "directory": text("directory"), "prefix": text("prefix"), "suffix": text("suffix"),
		"rotatable": func(v value) {
			if b := c.boolean(v); b != nil && !*b {
				s.put("rotate", `"never"`)
			}
		},
		"fileDateFormat": func(v value) {
			if strings.Contains(v.text, "HH") && s.set["rotate"] == "" {
				s.put("rotate", `"hourly"`)
			}
		},
		"maxDays": func(v value) { c.number(s, "max-days", v) },
		"buffered": func(v value) {
			if b := c.boolean(v); b != nil && !*b {
				s.put("flush", `"0s"`)
			}
		},
	}, map[string]string{
		"resolveHosts": "", "requestAttributesEnabled": "the client that remote-ip found is logged", "encoding": "logs are UTF-8",
		"conditionIf": "exclude leaves paths out", "conditionUnless": "exclude leaves paths out", "condition": "exclude leaves paths out",
		"locale": "", "renameOnRotate": "", "checkExists": "",
	})
}

func (c *serverXML) remoteIP(e *xmltree.Element, s *section) {
	text := func(key string) func(value) { return func(v value) { s.put(key, tomlString(v.text)) } }
	networks := "its regular expression cannot be turned into networks; write them to internal-proxies and trusted-proxies of [valves.remote-ip]"
	c.attributes(e, setters{
		"remoteIpHeader": text("header"), "protocolHeader": text("protocol-header"), "hostHeader": text("host-header"),
		"portHeader": text("port-header"), "proxiesHeader": text("proxies-header"),
	}, map[string]string{
		"internalProxies": networks, "trustedProxies": networks, "protocolHeaderHttpsValue": "",
		"requestAttributesEnabled": "", "changeLocalName": "", "changeLocalPort": "", "httpServerPort": "", "httpsServerPort": "",
	})
}

// remoteCIDR converts lists of networks.
func (c *serverXML) remoteCIDR(e *xmltree.Element, s *section) {
	list := func(key string) func(value) {
		return func(v value) {
			var nets []string
			for _, n := range strings.Split(v.text, ",") {
				n = strings.TrimSpace(n)
				_, addrErr := netip.ParseAddr(n)
				_, netErr := netip.ParsePrefix(n)
				if addrErr != nil && netErr != nil {
					c.errorf(v.pos, "%s has %q, which is neither an address nor a network", v.name, n)
					continue
				}
				nets = append(nets, n)
			}
			s.put(key, tomlStrings(nets))
		}
	}
	c.attributes(e, setters{
		"allow": list("allow"), "deny": list("deny"),
		"denyStatus": func(v value) {
			if n, ok := c.integer(v, 400, 599); ok {
				s.put("status", strconv.FormatInt(n, 10))
			}
		},
		"usePeerAddress": func(v value) { c.flagInto(s, "use-peer", v) },
	}, map[string]string{"addConnectorPort": "", "asyncSupported": ""})
}

package descriptor

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/serval-server/serval/descriptor/internal/xmltree"
)

// connectorIgnored are attributes of Connector without equivalent, and why.
var connectorIgnored = map[string]string{
	"redirectPort": "the port of the first TLS connector is redirected to", "protocol": "", "executor": "", "debug": "", "name": "",
	"maxThreads": "", "minSpareThreads": "", "maxSpareThreads": "", "acceptCount": "", "acceptorThreadCount": "",
	"enableLookups": "", "disableUploadTimeout": "", "bindOnInit": "", "tcpNoDelay": "", "maxKeepAliveRequests": "",
	"noCompressionUserAgents": "", "xpoweredBy": "", "server": "", "useBodyEncodingForURI": "",
	"URIEncoding": "paths are UTF-8", "scheme": "", "SSLEnabled": "", "port": "", "address": "", "secure": "",
	"compressionMinSize": "", "compressibleMimeType": "", "compressableMimeType": "",
	"proxyName": "what a proxy says of the client is the valve remote-ip", "proxyPort": "what a proxy says of the client is the valve remote-ip",
	"maxPartCount":     "it is a limit of the application's multipart-config",
	"relaxedPathChars": "a path follows RFC 3986", "relaxedQueryChars": "a query is not looked into",
	"emptySessionPath": "it is sessionCookiePath of a context", "allowTrace": "TRACE is answered with 405",
	"sslProtocol": "", "keystoreFile": keystore, "keystorePass": "", "keystoreType": "", "truststoreFile": keystore, "truststorePass": "",
	"clientAuth":          "it is client-auth of [connectors.tls]",
	"maxSwallowSize":      "a body is streamed",
	"parseBodyMethods":    "",
	"rejectIllegalHeader": "",
}

const keystore = "certificates are PEM files here (openssl pkcs12 -in FILE -out cert.pem)"

// connector converts an HTTP connector.
func (c *serverXML) connector(e *xmltree.Element) {
	protocol, _ := e.Attr("protocol")
	if p := strings.ToLower(protocol); p != "" && !strings.HasPrefix(p, "http/") && !strings.HasPrefix(p, "org.apache.coyote.http11.") {
		if strings.Contains(p, "ajp") {
			c.skip(e, "there is no AJP connector; let the proxy speak HTTP")
		} else {
			c.skip(e, fmt.Sprintf("the protocol %s is not known", protocol))
		}
		return
	}
	con := &section{}
	con.put("name", tomlString(c.connectorName()))
	if !c.address(e, con) {
		return
	}
	c.connectors = append(c.connectors, con)
	ssl, secure := attrIs(e, "SSLEnabled", "true"), attrIs(e, "secure", "true")
	c.limitAttributes(e)
	c.compression(e)
	var tls *section
	c.children(e, handlers{
		"UpgradeProtocol": func(e *xmltree.Element) { c.upgrade(e, con) },
		"SSLHostConfig": func(e *xmltree.Element) {
			if tls == nil {
				tls = &section{name: "tls"}
			}
			c.sslHost(e, tls)
		},
	})
	switch {
	case ssl || tls != nil:
		c.finishTLS(e, con, tls)
	case secure:
		con.put("secure", "true")
	}
}

func attrIs(e *xmltree.Element, name, want string) bool {
	v, _ := e.Attr(name)
	return strings.EqualFold(strings.TrimSpace(v), want)
}

func (c *serverXML) connectorName() string {
	if len(c.connectors) == 0 {
		return "http"
	}
	return fmt.Sprintf("http%d", len(c.connectors)+1)
}

// address joins address and port; false if the connector listens nowhere.
func (c *serverXML) address(e *xmltree.Element, con *section) bool {
	var port, addr, socket string
	at := c.at(e.Pos)
	for _, a := range e.Attrs {
		switch a.Local {
		case "port", "address", "unixDomainSocketPath":
			v := c.attr(a)
			if v.unknown {
				v.text = ""
			}
			switch a.Local {
			case "port":
				port, at = v.text, v.pos
			case "address":
				addr = v.text
			default:
				socket = v.text
			}
		}
	}
	if socket != "" {
		con.put("address", tomlString("unix:"+socket))
		return true
	}
	n, err := strconv.Atoi(port)
	switch {
	case port == "" || err == nil && n == -1:
		c.warnf(at, "the connector has no port; it is left out")
		return false
	case err != nil || n < 0 || n > 65535:
		c.warnf(at, "port is %q, which is not a number from 0 to 65535; the connector is left out", port)
		return false
	}
	if strings.Contains(addr, ":") {
		addr = "[" + strings.Trim(addr, "[]") + "]"
	}
	con.put("address", tomlString(addr+":"+port))
	return true
}

// limitAttributes converts what holds for every connector here. Of connectors that differ the first counts.
func (c *serverXML) limitAttributes(e *xmltree.Element) {
	first := func(key string, conv func(*section, string, value)) func(value) {
		return func(v value) {
			var s section
			conv(&s, key, v)
			got, ok := s.set[key]
			have, there := c.limits.set[key]
			switch {
			case !ok:
			case !there:
				c.limits.put(key, got)
			case have != got:
				c.warnf(v.pos, "%s is not that of the first connector; [limits] holds for all, and %s = %s is kept", v.name, key, have)
			}
		}
	}
	c.attributes(e, setters{
		"unixDomainSocketPath": nil, "unixDomainSocketPathPermissions": nil, "compression": nil,
		"connectionTimeout":       first("header-timeout", c.millis),
		"keepAliveTimeout":        first("idle-timeout", c.millis),
		"connectionUploadTimeout": first("body-timeout", c.millis),
		"maxConnections":          first("max-connections", c.number),
		"maxHttpHeaderSize":       first("max-header-size", c.headerSize),
		"maxHeaderCount":          first("max-header-count", c.number),
		"maxPostSize":             first("max-form-size", c.number),
		"maxParameterCount":       first("max-parameters", c.number),
	}, connectorIgnored)
}

// headerSize converts maxHttpHeaderSize, which must be 4 KiB to 16 MiB here.
func (c *serverXML) headerSize(s *section, key string, v value) {
	n, ok := c.integer(v, 0, 1<<40)
	if !ok {
		return
	}
	if n < 4<<10 || n > 16<<20 {
		n = min(max(n, 4<<10), 16<<20)
		c.warnf(v.pos, "%s is %s; %d is taken, since 4096 to 16777216 are allowed", v.name, v.text, n)
	}
	s.put(key, strconv.FormatInt(n, 10))
}

// compression converts the attributes of a connector to the valve.
func (c *serverXML) compression(e *xmltree.Element) {
	mode, ok := e.Attr("compression")
	if !ok || strings.EqualFold(mode, "off") {
		return
	}
	for _, v := range c.valves {
		if v.name == "compression" {
			return
		}
	}
	valve := &section{name: "compression"}
	valve.put("enabled", "true")
	if n, err := strconv.Atoi(mode); err == nil && n >= 0 {
		valve.put("min-size", strconv.Itoa(n))
	}
	if size, ok := e.Attr("compressionMinSize"); ok {
		if n, err := strconv.Atoi(size); err == nil && n >= 0 {
			valve.put("min-size", strconv.Itoa(n))
		}
	}
	for _, name := range []string{"compressibleMimeType", "compressableMimeType"} {
		if types, ok := e.Attr(name); ok {
			valve.put("types", tomlStrings(strings.FieldsFunc(types, func(r rune) bool { return r == ',' || r == ' ' })))
		}
	}
	c.valves = append(c.valves, valve)
}

func (c *serverXML) upgrade(e *xmltree.Element, con *section) {
	class, _ := e.Attr("className")
	if class != "org.apache.coyote.http2.Http2Protocol" {
		c.skip(e, "only HTTP/2 is known")
		return
	}
	if !attrIs(e, "SSLEnabled", "true") {
		con.put("h2c", "true") // with TLS, finishTLS takes it out again
	}
	c.attributes(e, setters{"maxConcurrentStreams": func(v value) { c.number(&c.limits, "max-streams", v) }}, map[string]string{})
}

// sslHost converts certificates; of several SSLHostConfig all are offered, and chosen by name.
func (c *serverXML) sslHost(e *xmltree.Element, tls *section) {
	c.attributes(e, setters{
		"certificateVerification": func(v value) {
			modes := map[string]string{"none": "none", "optional": "request", "optionalNoCA": "request", "required": "require"}
			if m, ok := modes[v.text]; ok {
				tls.put("client-auth", tomlString(m))
			} else {
				c.warnf(v.pos, "certificateVerification %q is not known", v.text)
			}
		},
		"caCertificateFile": func(v value) { tls.put("client-ca", tomlString(v.text)) },
	}, map[string]string{
		"hostName": "", "truststoreFile": keystore, "truststorePassword": "", "truststoreType": "", "sslProtocol": "",
		"protocols": "TLS 1.2 and 1.3 are offered; min-version of [connectors.tls] says otherwise",
		"ciphers":   "the ciphers are Go's", "honorCipherOrder": "the ciphers are Go's",
	})
	c.children(e, handlers{"Certificate": func(e *xmltree.Element) {
		cert, hasCert := e.Attr("certificateFile")
		key, hasKey := e.Attr("certificateKeyFile")
		if !hasCert || !hasKey {
			c.skip(e, keystore)
			return
		}
		entry := fmt.Sprintf("{ cert = %s, key = %s }", tomlString(cert), tomlString(key))
		if have := tls.set["certificates"]; have != "" {
			entry = strings.TrimSuffix(strings.TrimPrefix(have, "["), "]") + ", " + entry
		}
		tls.put("certificates", "["+entry+"]")
		if chain, ok := e.Attr("certificateChainFile"); ok {
			c.warnf(c.at(e.Pos), "append the chain %s to the certificate's file", chain)
		}
	}})
}

// finishTLS completes a TLS connector. Without PEM certificates it gets one of its own
// making, so that what was converted starts.
func (c *serverXML) finishTLS(e *xmltree.Element, con, tls *section) {
	if tls == nil {
		tls = &section{name: "tls"}
	}
	if cert, ok := e.Attr("SSLCertificateFile"); ok { // the older attributes of APR
		key, _ := e.Attr("SSLCertificateKeyFile")
		tls.put("certificates", fmt.Sprintf("[{ cert = %s, key = %s }]", tomlString(cert), tomlString(key)))
	}
	if tls.set["certificates"] == "" {
		c.warnf(c.at(e.Pos), "the connector has no certificate in PEM files; self-signed = true stands in for it")
		tls.put("self-signed", "true")
	}
	con.drop("h2c")
	con.parts = append(con.parts, tls)
}

func (s *section) drop(key string) {
	delete(s.set, key)
	kept := s.keys[:0]
	for _, k := range s.keys {
		if k != key {
			kept = append(kept, k)
		}
	}
	s.keys = kept
}

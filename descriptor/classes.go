package descriptor

import (
	"fmt"
	"strings"
)

// ComponentKind is what a class name is used for.
type ComponentKind string

// The kinds of component.
const (
	ServletComponent  ComponentKind = "servlet"
	FilterComponent   ComponentKind = "filter"
	ListenerComponent ComponentKind = "listener"
	PolicyComponent   ComponentKind = "policy"
)

// errorTypes are Java's exception types that stand for errors of any Go type; the
// container knows what they mean. "error" is their name in web.toml.
var errorTypes = map[string]bool{
	"java.lang.Throwable": true, "java.lang.Exception": true, "java.lang.RuntimeException": true,
	"java.lang.Error": true, "javax.servlet.ServletException": true, "jakarta.servlet.ServletException": true,
	"error": true,
}

// javaClasses are the Java classes that have a counterpart here. Only those are in it
// whose init parameters the counterpart understands.
var javaClasses = map[ComponentKind]map[string]string{
	ServletComponent: {
		"org.apache.catalina.servlets.DefaultServlet":    "default",
		"org.eclipse.jetty.servlet.DefaultServlet":       "default",
		"org.eclipse.jetty.ee8.servlet.DefaultServlet":   "default",
		"org.eclipse.jetty.ee9.servlet.DefaultServlet":   "default",
		"org.eclipse.jetty.ee10.servlet.DefaultServlet":  "default",
		"org.eclipse.jetty.ee10.servlet.ResourceServlet": "default",
		"org.mortbay.jetty.servlet.DefaultServlet":       "default",
		"io.undertow.servlet.handlers.DefaultServlet":    "default",
	},
	FilterComponent: {
		"org.apache.catalina.filters.CorsFilter":                 "cors",
		"org.apache.catalina.filters.ExpiresFilter":              "expires",
		"org.apache.catalina.filters.HttpHeaderSecurityFilter":   "header-security",
		"org.apache.catalina.filters.SetCharacterEncodingFilter": "set-character-encoding",
		"org.springframework.web.filter.CharacterEncodingFilter": "set-character-encoding",
		"org.apache.catalina.filters.AddDefaultCharsetFilter":    "add-default-charset",
		"org.apache.catalina.filters.RequestDumperFilter":        "request-dumper",
		"org.apache.catalina.filters.RateLimitFilter":            "rate-limit",
		"org.apache.catalina.filters.RemoteIpFilter":             "remote-ip",
		"org.apache.catalina.filters.RemoteAddrFilter":           "remote-addr",
		"org.apache.catalina.filters.RemoteCIDRFilter":           "remote-cidr",
		"org.apache.catalina.filters.CsrfPreventionFilter":       "csrf-prevention",
		"org.apache.catalina.filters.RestCsrfPreventionFilter":   "rest-csrf-prevention",
		"org.apache.catalina.filters.FailedRequestFilter":        "failed-request",
		"org.apache.catalina.filters.RemoteHostFilter":           "remote-host",
		"org.apache.catalina.filters.SessionInitializerFilter":   "session-initializer",
	},
	PolicyComponent: {
		PolicyLegacy:               PolicyLegacy,
		PolicyIgnoreUndeployLegacy: PolicyIgnoreUndeployLegacy,
	},
}

// policyPackages are the Java packages of the policies that ship.
var policyPackages = []string{
	"org.jboss.as.web.session.notification.",
	"org.jboss.web.tomcat.service.session.notification.",
}

// TranslateClass returns Serval's own name for a Java class it has a counterpart
// for ("org.apache.catalina.servlets.DefaultServlet" is the servlet "default").
func TranslateClass(kind ComponentKind, class string) (string, bool) {
	if kind == PolicyComponent {
		for _, p := range policyPackages {
			class = strings.TrimPrefix(class, p)
		}
	}
	own, ok := javaClasses[kind][class]
	return own, ok
}

// isJavaName reports whether a name looks like a Java class: no Go application
// needs to call its components so, though it may.
func isJavaName(class string) bool {
	parts := strings.Split(class, ".")
	last := parts[len(parts)-1]
	return len(parts) > 1 && last != "" && last[0] >= 'A' && last[0] <= 'Z'
}

// translate replaces known Java class names by Serval's own, and gives servlets and
// filters without a class their name as class.
func (w *WebApp) translate() {
	do := func(kind ComponentKind, class, java *string) {
		if own, ok := TranslateClass(kind, *class); ok && own != *class {
			*class, *java = own, *class
		}
	}
	for i := range w.Servlets {
		s := &w.Servlets[i]
		if s.Class == "" && s.JSPFile == "" {
			s.Class, s.ClassPos = s.Name, s.Pos
		}
		do(ServletComponent, &s.Class, &s.JavaClass)
	}
	for i := range w.Filters {
		f := &w.Filters[i]
		if f.Class == "" {
			f.Class, f.ClassPos = f.Name, f.Pos
		}
		do(FilterComponent, &f.Class, &f.JavaClass)
	}
	for i := range w.Listeners {
		do(ListenerComponent, &w.Listeners[i].Class, &w.Listeners[i].JavaClass)
	}
	var java string
	do(PolicyComponent, &w.Replication.NotificationPolicy, &java)
}

// component is a class that an application names, and where.
type component struct {
	kind  ComponentKind
	class string
	pos   Pos
}

// components lists the classes that an application names, each once.
func (w *WebApp) components() []component {
	var out []component
	seen := map[component]bool{}
	add := func(kind ComponentKind, class string, p Pos) {
		key := component{kind: kind, class: class}
		if class != "" && !seen[key] {
			seen[key] = true
			out = append(out, component{kind, class, p})
		}
	}
	for i := range w.Servlets {
		if s := &w.Servlets[i]; !s.Disabled {
			add(ServletComponent, s.Class, s.ClassPos)
		}
	}
	for i := range w.Filters {
		add(FilterComponent, w.Filters[i].Class, w.Filters[i].ClassPos)
	}
	for i := range w.Listeners {
		add(ListenerComponent, w.Listeners[i].Class, w.Listeners[i].ClassPos)
	}
	if c := &w.Replication; !c.NotificationPolicyPos.IsZero() {
		add(PolicyComponent, c.NotificationPolicy, c.NotificationPolicyPos)
	}
	return out
}

// CheckClasses asks for every class that the application names whether somebody
// has it, and returns one error that lists all that are lacking and what
// to do about it, or nil. It is a [Diagnostic] of kind class at the first of them.
func (w *WebApp) CheckClasses(has func(kind ComponentKind, class string) bool) error {
	var lacking []component
	for _, c := range w.components() {
		if _, shipped := javaClasses[PolicyComponent][c.class]; c.kind == PolicyComponent && shipped {
			continue
		}
		if !has(c.kind, c.class) {
			lacking = append(lacking, c)
		}
	}
	if len(lacking) == 0 {
		return nil
	}
	return Diagnostic{Pos: lacking[0].pos, Severity: SeverityError, Kind: KindClass, Message: lackingMessage(lacking)}
}

// lackingMessage lists classes and says what to do.
func lackingMessage(lacking []component) string {
	var b strings.Builder
	if len(lacking) == 1 {
		b.WriteString("a class that the application names is not there:")
	} else {
		fmt.Fprintf(&b, "%d classes that the application names are not there:", len(lacking))
	}
	java := false
	for _, c := range lacking {
		java = java || isJavaName(c.class)
		fmt.Fprintf(&b, "\n    %s %s (%s)", c.kind, c.class, c.pos)
	}
	if java {
		b.WriteString("\n  Serval runs no Java: write them in Go and put each into the servlet.App of the bundle's program under this name,\n  or name one of Serval's own instead (docs/descriptors.md lists them), or take the elements out of the descriptor.")
	} else {
		b.WriteString("\n  The bundle's program must have each in its servlet.App under this name; is the name spelled as there, and is the program in WEB-INF?")
	}
	return b.String()
}

// warnClasses is what can be said about classes without the bundle's program: those that look like
// Java and have no counterpart will be lacking, unless the program has them under that name.
func (w *WebApp) warnClasses(ds *Diagnostics) {
	for _, c := range w.components() {
		if _, known := TranslateClass(c.kind, c.class); !known && isJavaName(c.class) {
			ds.add(c.pos, SeverityWarning, KindClass, "Serval has no counterpart of the %s class %s; the bundle's program must have it under this name", c.kind, c.class)
		}
	}
}

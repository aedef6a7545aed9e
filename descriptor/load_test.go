package descriptor

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

func bundle(files map[string]string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for name, text := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return fsys
}

func TestLoadEmptyBundle(t *testing.T) {
	app, ds := Load(bundle(nil), LoadOptions{})
	if len(ds) > 0 {
		t.Errorf("findings about nothing:\n%s", ds)
	}
	if app.SessionConfig.Timeout != DefaultSessionTimeout || app.servlet("default") == nil || len(app.WelcomeFiles) == 0 {
		t.Errorf("defaults are missing: %+v", app)
	}
	if app.Replication.Trigger != TriggerSetAndNonPrimitiveGet || app.Replication.CacheName != "default" {
		t.Errorf("replication defaults are missing: %+v", app.Replication)
	}
}

func TestLoadXMLAndTOMLAlike(t *testing.T) {
	const webXML = `<web-app version="6.1" xmlns="https://jakarta.ee/xml/ns/jakartaee">
<display-name>Shop</display-name><distributable/>
<servlet><servlet-name>cart</servlet-name><servlet-class>cart</servlet-class><init-param><param-name>a</param-name><param-value> b </param-value></init-param></servlet>
<servlet-mapping><servlet-name>cart</servlet-name><url-pattern>/cart/*</url-pattern></servlet-mapping>
</web-app>`
	const webTOML = `display-name = "Shop"
distributable = true
[[servlet]]
name = "cart"
class = "cart"
patterns = ["/cart/*"]
init = { a = "b" }
`
	for name, text := range map[string]string{"WEB-INF/web.xml": webXML, "WEB-INF/web.toml": webTOML} {
		app, ds := Load(bundle(map[string]string{name: text}), LoadOptions{})
		if len(ds) > 0 {
			t.Errorf("%s: %s", name, ds)
		}
		s := app.servlet("cart")
		if s == nil || Params(s.InitParams)["a"] != "b" || !app.Distributable || app.DisplayName != "Shop" {
			t.Errorf("%s: got %+v", name, app)
		}
		if !strings.HasPrefix(s.Pos.String(), name+":3:1") {
			t.Errorf("%s: the servlet is at %s", name, s.Pos)
		}
	}
}

// zipped makes an archive of one file.
func zipped(t *testing.T, name, text string) string {
	t.Helper()
	var b bytes.Buffer
	zw := zip.NewWriter(&b)
	w, err := zw.Create(name)
	if err == nil {
		_, err = w.Write([]byte(text))
	}
	if err == nil {
		err = zw.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestArchives reads fragments from .jar and .zip, whatever the case of the ending.
func TestArchives(t *testing.T) {
	listener := func(l string) string {
		return "<web-fragment><listener><listener-class>" + l + "</listener-class></listener></web-fragment>"
	}
	files := map[string]string{
		"WEB-INF/web.xml":      "<web-app/>",
		"WEB-INF/lib/b.jar":    zipped(t, "META-INF/web-fragment.xml", listener("b")),
		"WEB-INF/lib/a.ZIP":    zipped(t, "META-INF/web-fragment.toml", `listeners = ["a"]`),
		"WEB-INF/lib/none.jar": zipped(t, "META-INF/MANIFEST.MF", ""),
		"WEB-INF/lib/x.txt":    "not a library",
	}
	app, ds := Load(bundle(files), LoadOptions{})
	if len(ds) > 0 || len(app.Listeners) != 2 || app.Listeners[0].Class != "a" || app.Listeners[1].Class != "b" {
		t.Errorf("got %+v\n%s", app.Listeners, ds)
	}
	if at := app.Listeners[1].Pos.String(); !strings.HasPrefix(at, "WEB-INF/lib/b.jar!/META-INF/web-fragment.xml:1:") {
		t.Errorf("the place is %s", at)
	}
	for _, own := range []string{`<web-app metadata-complete="true"/>`, "<web-app><absolute-ordering/></web-app>"} {
		files["WEB-INF/web.xml"] = own
		if app, ds := Load(bundle(files), LoadOptions{}); len(ds) > 0 || len(app.Listeners) > 0 {
			t.Errorf("%s: got %+v\n%s", own, app.Listeners, ds)
		}
	}
	files["WEB-INF/web.xml"] = "<web-app/>"
	files["WEB-INF/lib/bad.jar"] = "PK\x03\x04 cut off"
	if _, ds := Load(bundle(files), LoadOptions{Prefix: "webapps/x/"}); len(ds.Errors()) != 1 || ds[0].Pos.File != "webapps/x/WEB-INF/lib/bad.jar" {
		t.Errorf("a broken library: got %s", ds)
	}
}

// TestDistributable: all fragments must be distributable.
func TestDistributable(t *testing.T) {
	for _, c := range []struct {
		app, fragment string
		want          bool
	}{
		{"<distributable/>", "", true},
		{"<distributable/>", "<web-fragment><distributable/></web-fragment>", true},
		{"<distributable/>", "<web-fragment/>", false},
		{"", "<web-fragment><distributable/></web-fragment>", false},
	} {
		files := map[string]string{"WEB-INF/web.xml": "<web-app>" + c.app + "</web-app>"}
		if c.fragment != "" {
			files["WEB-INF/lib/a.jar/META-INF/web-fragment.xml"] = c.fragment
		}
		app, ds := Load(bundle(files), LoadOptions{})
		if app.Distributable != c.want || ds.HasErrors() {
			t.Errorf("%+v: distributable is %v\n%s", c, app.Distributable, ds)
		}
		if lost := c.app != "" && !c.want; lost != (len(ds.Warnings()) > 0) {
			t.Errorf("%+v: warnings\n%s", c, ds)
		}
	}
}

// TestVersions reads each version of the schema, by DTD and by attribute, and warns of one that nobody knows.
func TestVersions(t *testing.T) {
	for v := range schemaVersions {
		docs := []string{fmt.Sprintf("<web-app version=%q/>", v)}
		if v < "2.4" {
			docs = []string{
				fmt.Sprintf(`<!DOCTYPE web-app PUBLIC "-//Sun Microsystems, Inc.//DTD Web Application %s//EN" "http://java.sun.com/dtd/web-app.dtd"><web-app/>`, v),
				fmt.Sprintf(`<!DOCTYPE web-app SYSTEM "web-app_%s.dtd"><web-app/>`, strings.ReplaceAll(v, ".", "_")),
			}
		}
		for _, doc := range docs {
			app, ds := ParseWeb("web.xml", []byte(doc), nil)
			if app.Version != v || len(ds) > 0 {
				t.Errorf("%s: version %q, %s", doc, app.Version, ds)
			}
		}
	}
	if _, ds := ParseWeb("web.xml", []byte(`<web-app version="9.9"/>`), nil); len(ds.Warnings()) != 1 || ds.HasErrors() {
		t.Errorf("unknown version: %s", ds)
	}
	relative := `<servlet><servlet-name>s</servlet-name></servlet><servlet-mapping><servlet-name>s</servlet-name><url-pattern>x</url-pattern></servlet-mapping>`
	app, ds := ParseWeb("web.xml", []byte(`<web-app version="2.2">`+relative+`</web-app>`), nil)
	if ds.HasErrors() || app.ServletMappings[0].Patterns[0].URL != "/x" {
		t.Errorf("a relative pattern under 2.2: %s", ds)
	}
}

// TestPatternsAreDecoded: patterns are %-decoded in both syntaxes (Servlet 6.1 §12.2).
func TestPatternsAreDecoded(t *testing.T) {
	for in, want := range map[string]string{"/caf%C3%A9": "/café", "/a%20b/*": "/a b/*", "/a+b": "/a+b", "/a%2Fb": "/a/b", "*.%68": "*.h"} {
		r := reader{}
		if p := r.pattern(value{text: in}, false); p.URL != want || len(r.diags) > 0 {
			t.Errorf("%s: got %q, want %q %s", in, p.URL, want, r.diags)
		}
	}
	for _, in := range []string{"/%", "/%4", "/%zz", "/%00", "/a%0Ab", "a", "**", "/*.x", "*.x/y"} {
		r := reader{}
		if r.pattern(value{text: in}, false); !r.diags.HasErrors() {
			t.Errorf("%s: accepted", in)
		}
	}
}

// TestContextMerge: a context file of the host replaces the bundle's, and the defaults fill its gaps.
func TestContextMerge(t *testing.T) {
	parse := func(text string) *ContextFile {
		t.Helper()
		c, ds := ParseContext("context.toml", []byte(text), nil)
		if len(ds) > 0 {
			t.Fatal(ds)
		}
		return c
	}
	files := bundle(map[string]string{"META-INF/context.xml": `<Context reloadable="true"><Parameter name="p" value="bundle"/></Context>`})
	defaults := []*ContextFile{parse("cross-context = true\nsession-cookie-name = \"D\"\nwatched-resources = [\"x\"]"), parse("cross-context = false\nsession-timeout = 3")}
	app, ds := Load(files, LoadOptions{DefaultContexts: defaults})
	if c := app.Context; len(ds) > 0 || !*c.Reloadable || !*c.CrossContext || c.SessionCookieName != "D" || len(c.WatchedResources) != 1 {
		t.Errorf("got %+v\n%s", c, ds)
	}
	if got := Params(app.ContextParams)["p"]; got != "bundle" {
		t.Errorf("the parameter is %q", got)
	}
	if app.SessionConfig.Timeout != 3*time.Minute {
		t.Errorf("the timeout is %v", app.SessionConfig.Timeout)
	}
	app, _ = Load(files, LoadOptions{Context: parse("path = \"/x\"\noverride = true"), DefaultContexts: defaults})
	if c := app.Context; c.Reloadable != nil || c.CrossContext != nil || c.Path != "/x" {
		t.Errorf("the host's context file: got %+v", c)
	}
	app, _ = Load(files, LoadOptions{IgnoreContext: true})
	if app.Context.Reloadable != nil {
		t.Errorf("the bundle's context file was read although it is to be ignored")
	}
}

// TestClasses: known Java classes are translated, all unknown ones are in one error.
func TestClasses(t *testing.T) {
	app, ds := Load(bundle(map[string]string{"WEB-INF/web.xml": `<web-app>
<servlet><servlet-name>files</servlet-name><servlet-class>org.apache.catalina.servlets.DefaultServlet</servlet-class></servlet>
<servlet><servlet-name>d</servlet-name><servlet-class>org.example.Dispatcher</servlet-class></servlet>
<servlet><servlet-name>off</servlet-name><servlet-class>org.example.Off</servlet-class><enabled>false</enabled></servlet>
<filter><filter-name>cors</filter-name><filter-class>org.apache.catalina.filters.CorsFilter</filter-class></filter>
<filter><filter-name>enc</filter-name><filter-class>org.springframework.web.filter.CharacterEncodingFilter</filter-class></filter>
<filter-mapping><filter-name>cors</filter-name><url-pattern>/*</url-pattern></filter-mapping>
<filter-mapping><filter-name>enc</filter-name><url-pattern>/*</url-pattern></filter-mapping>
<listener><listener-class>org.example.Startup</listener-class></listener>
</web-app>`}), LoadOptions{})
	if len(ds) > 0 {
		t.Fatal(ds)
	}
	if app.Filters[0].Class != "cors" || app.Filters[0].JavaClass != "org.apache.catalina.filters.CorsFilter" {
		t.Errorf("got %+v", app.Filters[0])
	}
	builtin := map[string]bool{"servlet default": true, "servlet gohtml": true, "filter cors": true, "filter set-character-encoding": true}
	err := app.CheckClasses(func(kind ComponentKind, class string) bool { return builtin[string(kind)+" "+class] })
	want := `WEB-INF/web.xml:3:55: 2 classes that the application names are not there:
    servlet org.example.Dispatcher (WEB-INF/web.xml:3:55)
    listener org.example.Startup (WEB-INF/web.xml:9:27)
  Serval runs no Java: write them in Go`
	if err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v\nwant %s", err, want)
	}
	var d Diagnostic
	if !errors.As(err, &d) || d.Kind != KindClass {
		t.Errorf("the error is a %T", err)
	}
	if err := app.CheckClasses(func(ComponentKind, string) bool { return true }); err != nil {
		t.Error(err)
	}
}

// TestPlaceholders covers what stands in the environment, defaults, and what is left.
func TestPlaceholders(t *testing.T) {
	for _, c := range []struct {
		in, out string
		ok      bool
	}{
		{"plain", "plain", true},
		{"${shop.timeout}", "45", true},
		{"${SHOP_TIMEOUT}", "45", true},
		{"${env.SHOP_TIMEOUT}m", "45m", true},
		{"a${none:b}c", "abc", true},
		{"${none:}", "", true},
		{"${none:${shop-name:x}}", "Corner shop", true},
		{"${none:http://x:1}", "http://x:1", true},
		{"${none}", "${none}", false},
		{"${none:${nope}}", "${nope}", false},
		{"${open", "${open", true},
		{"${}", "${}", false},
		{"$x #{y} $${shop.timeout}", "$x #{y} $45", true},
		{"@version@", "@version@", false},
		{"a@b.example", "a@b.example", true},
	} {
		r := reader{env: testEnv}
		out, ok := r.substitute(c.in, "x", Pos{})
		if out != c.out || ok != c.ok || ok == (len(r.diags) > 0) {
			t.Errorf("%s: got %q %v %s", c.in, out, ok, r.diags)
		}
	}
}

// TestUnresolvedIsAWarning: a value that is only known when the application is built is not also called malformed.
func TestUnresolvedIsAWarning(t *testing.T) {
	const doc = `<web-app><session-config><session-timeout>@timeout@</session-timeout></session-config>
<error-page><error-code>${code}</error-code><location>${page}</location></error-page></web-app>`
	if ds := CheckFile("web.xml", []byte(doc)); ds.HasErrors() || len(ds) != 3 {
		t.Errorf("got\n%s", ds)
	}
}

func TestCheckFileKinds(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"web.xml":            {"<web-app><servlet/></web-app>", "<servlet> lacks"},
		"x/web-fragment.xml": {"<web-fragment><servlet-mapping><servlet-name>app</servlet-name><url-pattern>/</url-pattern></servlet-mapping></web-fragment>", "this fragment does not declare"},
		"jboss-web.xml":      {"<jboss-web><replication-config><use-jk>x</use-jk></replication-config></jboss-web>", "use-jk"},
		"context.xml":        {"<Context reloadable='x'/>", "reloadable"},
		"odd.xml":            {"<beans/>", "of no descriptor"},
		"web.toml":           {"servlets = 1", `"servlets" is not known`},
		"context.toml":       {"x = 1", "not known in context.toml"},
		"web-fragment.toml":  {"absolute-ordering = []", "not known in web-fragment.toml"},
		"descriptor":         {"<web-app><listener/></web-app>", "<listener> lacks"},
		"shop.toml.default":  {"y = 1", "not known in web.toml"},
	} {
		ds := CheckFile(name, []byte(c.text))
		if len(ds) != 1 || !strings.Contains(ds[0].Message, c.want) || ds[0].Pos.File != name {
			t.Errorf("%s: got %s", name, ds)
		}
	}
}

// TestCookieMerge covers Tomcat's TestWebXml.testMergeSessionCookieConfig and its like: the application
// wins, a fragment fills, two fragments agree or fail.
func TestCookieMerge(t *testing.T) {
	cookie := func(inner string) string {
		return "<session-config><cookie-config>" + inner + "</cookie-config></session-config>"
	}
	attr := func(v string) string {
		return "<attribute><attribute-name>SameSite</attribute-name><attribute-value>" + v + "</attribute-value></attribute>"
	}
	for _, c := range []struct{ app, one, two, want string }{
		{"<name>A</name>", "<name>B</name>", "<name>C</name>", "A"},
		{"", "<name>B</name>", "", "B"},
		{"", "<name>B</name>", "<name>B</name>", "B"},
		{"", "<name>B</name>", "<name>C</name>", "error"},
		{"<path>/a</path>", "<path>/b</path>", "", "/a"},
		{"", "<path>/b</path>", "<path>/c</path>", "error"},
		{"<domain>a</domain>", "", "<domain>c</domain>", "a"},
		{"", "<comment>b</comment>", "<comment>c</comment>", "error"},
		{"<http-only>false</http-only>", "<http-only>true</http-only>", "", "http-only=false"},
		{"", "<http-only>true</http-only>", "<http-only>false</http-only>", "error"},
		{"", "<secure>true</secure>", "<secure>true</secure>", "secure=true"},
		{"", "<max-age>1</max-age>", "<max-age>2</max-age>", "error"},
		{"<max-age>0</max-age>", "<max-age>1</max-age>", "<max-age>2</max-age>", "max-age=0"},
		{attr("Lax"), attr("None"), attr("Strict"), "Lax"},
		{"", attr("None"), attr("Strict"), "error"},
	} {
		app, ds := Load(bundle(map[string]string{
			"WEB-INF/web.xml": "<web-app>" + cookie(c.app) + "</web-app>",
			"WEB-INF/lib/1.jar/META-INF/web-fragment.xml": "<web-fragment>" + cookie(c.one) + "</web-fragment>",
			"WEB-INF/lib/2.jar/META-INF/web-fragment.xml": "<web-fragment>" + cookie(c.two) + "</web-fragment>",
		}), LoadOptions{})
		k := app.SessionConfig.Cookie
		got := k.Name + k.Path + k.Domain + k.Comment
		switch {
		case ds.HasErrors():
			got = "error"
		case k.HTTPOnly != nil:
			got = fmt.Sprint("http-only=", *k.HTTPOnly)
		case k.Secure != nil:
			got = fmt.Sprint("secure=", *k.Secure)
		case k.MaxAge != nil:
			got = fmt.Sprint("max-age=", *k.MaxAge)
		case len(k.Attributes) > 0:
			got = k.Attributes[0].Value
		}
		if got != c.want {
			t.Errorf("%+v: got %s\n%s", c, got, ds)
		}
	}
}

// TestEnvEntries covers the types of Tomcat's TestEnvEntry.
func TestEnvEntries(t *testing.T) {
	for _, c := range []struct {
		kind, value string
		ok          bool
	}{
		{"java.lang.String", "x", true}, {"java.lang.Integer", "9", true}, {"java.lang.Integer", "9.5", false},
		{"java.lang.Boolean", "TRUE", true}, {"java.lang.Long", "9999999999", true}, {"java.lang.Short", "99999", false},
		{"java.lang.Byte", "127", true}, {"java.lang.Byte", "128", false}, {"java.lang.Double", "1e3", true},
		{"java.lang.Float", "x", false}, {"java.lang.Character", "é", true}, {"java.lang.Character", "ab", false},
	} {
		_, ds := ParseWeb("web.xml", []byte("<web-app><env-entry><env-entry-name>n</env-entry-name><env-entry-type>"+c.kind+
			"</env-entry-type><env-entry-value>"+c.value+"</env-entry-value></env-entry></web-app>"), nil)
		if (len(ds) == 0) != c.ok {
			t.Errorf("%+v: %s", c, ds)
		}
	}
	app, ds := ParseWeb("web.xml", []byte("<web-app><env-entry><env-entry-name>n</env-entry-name></env-entry></web-app>"), nil)
	if len(ds) > 0 || len(app.EnvEntries) > 0 {
		t.Errorf("an entry without a value is left out: %+v %s", app.EnvEntries, ds)
	}
}

// TestOddJBossRoots: jboss-web.xml under the wrong root is read if its intent is clear.
func TestOddJBossRoots(t *testing.T) {
	for root, ok := range map[string]bool{"jboss-web": true, "web-app": true, "beans": false} {
		doc := "<" + root + "><replication-config><replication-granularity>ATTRIBUTE</replication-granularity></replication-config></" + root + ">"
		app, ds := Load(bundle(map[string]string{"WEB-INF/jboss-web.xml": doc, "WEB-INF/web.xml": "<web-app><distributable/></web-app>"}), LoadOptions{})
		if ds.HasErrors() == ok || ok != (app.Replication.Granularity == GranularityAttribute) || len(ds) == 0 != (root == "jboss-web") {
			t.Errorf("%s: %s %s", root, app.Replication.Granularity, ds)
		}
	}
}

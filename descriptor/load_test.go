package descriptor

import (
	"strings"
	"testing"
	"testing/fstest"
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

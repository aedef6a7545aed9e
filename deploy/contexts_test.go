package deploy

import (
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/serval-server/serval/webapp/runtime/linked"
	"github.com/serval-server/serval/webapp/servlet"
)

// counterApp counts in the session.
func counterApp() servlet.App {
	return servlet.App{Servlets: map[string]http.Handler{
		"count": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s := servlet.SessionOf(r)
			n, err := servlet.Get[int](s, "n")
			if err != nil && !errors.Is(err, servlet.ErrNoAttribute) {
				servlet.Fail(w, r, err)
				return
			}
			servlet.Set(s, "n", n+1)
			_, _ = fmt.Fprintf(w, "%s %d", servlet.ContextOf(r).InitParam("label"), n+1)
		}),
		"label": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = fmt.Fprint(w, servlet.ContextOf(r).InitParam("label"))
		}),
	}}
}

// newRealHost is a testHost whose applications are webapp.Contexts.
func newRealHost(t *testing.T, adjust func(*Options, *Contexts)) *testHost {
	t.Helper()
	return newTestHost(t, func(o *Options) {
		rt := linked.New(map[string]servlet.App{"counter": counterApp()})
		c := &Contexts{Linked: rt, IsLinked: rt.Has, WebDefaults: filepath.Join(o.AppBase, "../conf/web.toml")}
		o.GlobalFiles = []string{c.WebDefaults}
		o.New = c.New
		if adjust != nil {
			adjust(o, c)
		}
	})
}

const counterXML = `<web-app>
  <context-param><param-name>label</param-name><param-value>%s</param-value></context-param>
  <context-param><param-name>serval.runtime.app</param-name><param-value>counter</param-value></context-param>
  <servlet><servlet-name>count</servlet-name><servlet-class>count</servlet-class></servlet>
  <servlet-mapping><servlet-name>count</servlet-name><url-pattern>/count</url-pattern></servlet-mapping>
  <servlet><servlet-name>label</servlet-name><servlet-class>label</servlet-class></servlet>
  <servlet-mapping><servlet-name>label</servlet-name><url-pattern>/label</url-pattern></servlet-mapping>
</web-app>`

// TestRealBundle: a zip, its redeployment, an edited descriptor, an edited
// page, a broken descriptor and the removal, with real applications.
func TestRealBundle(t *testing.T) {
	h := newRealHost(t, nil)
	h.start()
	h.write("webapps/app.zip", string(zipBytes(t, "index.html", "<h1>page</h1>", "WEB-INF/web.xml", fmt.Sprintf(counterXML, "one"))))
	h.scan2()
	h.wantState("/app", Running)
	h.wantText("/app/", "<h1>page</h1>")
	h.wantText("/app/label", "one")
	h.wantCode("/app/WEB-INF/web.xml", 404)
	h.wantCode("/app/META-INF/war-tracker", 404)
	h.write("webapps/app/index.html", "<h1>edited</h1>")
	h.wantText("/app/", "<h1>edited</h1>")
	h.write("webapps/app/WEB-INF/web.xml", fmt.Sprintf(counterXML, "two"))
	h.Scan()
	h.wantText("/app/label", "two")
	h.write("webapps/app/WEB-INF/web.xml", "<web-app>\n<servlet></web-app>")
	h.scan2()
	h.wantText("/app/label", "two")
	if info := h.wantState("/app", Failed); !info.Serving || !strings.Contains(info.Error, "WEB-INF/web.xml:2:") {
		t.Errorf("reported as %+v", info)
	}
	h.write("webapps/app.zip", string(zipBytes(t, "WEB-INF/web.xml", fmt.Sprintf(counterXML, "three"))))
	h.scan2()
	h.wantText("/app/label", "three")
	h.wantCode("/app/index.html", 404)
	h.delete("webapps/app.zip")
	h.scan2()
	h.wantCode("/app/count", 404)
	if h.has("webapps/app") || h.has("work/app") {
		t.Error("files are left")
	}
}

// TestUnknownClassesFail: one message lists all.
func TestUnknownClassesFail(t *testing.T) {
	h := newRealHost(t, nil)
	h.write("webapps/app/WEB-INF/web.xml", `<web-app>
<servlet><servlet-name>a</servlet-name><servlet-class>com.example.A</servlet-class></servlet>
<filter><filter-name>b</filter-name><filter-class>com.example.B</filter-class></filter></web-app>`)
	h.start()
	info := h.wantState("/app", Failed)
	if !strings.Contains(info.Error, "com.example.A") || !strings.Contains(info.Error, "com.example.B") {
		t.Errorf("reported as %s", info.Error)
	}
	h.wantCode("/app/", 404)
}

// TestProgramWithoutRuntime: a bundle that needs what the server has not got.
func TestProgramWithoutRuntime(t *testing.T) {
	h := newRealHost(t, nil)
	h.write("webapps/worker/WEB-INF/src/go.mod", "module x")
	h.write("webapps/linked/WEB-INF/web.toml", "[runtime]\nkind = \"linked\"\napp = \"none\"\n")
	h.start()
	for path, want := range map[string]string{"/worker": "program of its own", "/linked": `no linked application "none"`} {
		if info := h.wantState(path, Failed); !strings.Contains(info.Error, want) {
			t.Errorf("%s: %s", path, info.Error)
		}
	}
}

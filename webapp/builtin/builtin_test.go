package builtin_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/serval-server/serval/descriptor"
	"github.com/serval-server/serval/webapp"
	"github.com/serval-server/serval/webapp/builtin"
	"github.com/serval-server/serval/webapp/builtin/resources"
	"github.com/serval-server/serval/webapp/runtime/linked"
	"github.com/serval-server/serval/webapp/servlet"
)

// start serves a bundle of the given files ("name", "text", ...) as a running
// application at /app, with the code of app linked in.
func start(t *testing.T, app servlet.App, log io.Writer, files ...string) *httptest.Server {
	t.Helper()
	dir := t.TempDir()
	for i := 0; i < len(files); i += 2 {
		name := filepath.Join(dir, filepath.FromSlash(files[i]))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(files[i+1]), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	base, err := resources.OpenDir(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	tree, err := resources.New(base)
	if err != nil {
		t.Fatal(err)
	}
	model, diags := descriptor.Load(tree, descriptor.LoadOptions{})
	if err := diags.Err(); err != nil {
		t.Fatal(err)
	}
	model.Runtime.App = "app"
	c, err := webapp.New(webapp.Options{
		Path: "/app", FS: tree, Dir: dir, Descriptor: model, Runtime: linked.New(map[string]servlet.App{"app": app}),
		WorkDir: t.TempDir(), TempDir: t.TempDir(), Development: true, Logger: slog.New(slog.NewTextHandler(log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(c)
	t.Cleanup(func() {
		srv.Close()
		if err := errors.Join(c.Stop(context.Background(), webapp.DropSessions), tree.Close(), base.Close()); err != nil {
			t.Error(err)
		}
	})
	return srv
}

func get(t *testing.T, client *http.Client, url string) (*http.Response, string) {
	t.Helper()
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

// syncedText takes a log while it is read.
type syncedText struct {
	mu   sync.Mutex
	text strings.Builder // guarded by mu
}

func (s *syncedText) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *syncedText) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

type cart struct {
	Owner string
	Items []string
	Total int
}

// TestInApplication shows pages and files as parts of an application: welcome
// pages, sessions, attributes, forwards, includes, error pages.
func TestInApplication(t *testing.T) {
	app := servlet.App{Servlets: map[string]http.Handler{
		"fill": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := servlet.Set(servlet.SessionOf(r), "cart", cart{"<Ann>", []string{"pen", "ink"}, 7}); err != nil {
				servlet.Fail(w, r, err)
				return
			}
			servlet.SetAttribute(r, "note", "forwarded")
			if err := servlet.ContextOf(r).Dispatcher("/WEB-INF/cart.gohtml").Forward(w, r); err != nil {
				t.Error(err)
			}
		}),
		"news": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<b>news</b>") }),
		"inc": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "[")
			err := servlet.ContextOf(r).Dispatcher("/part.txt").Include(w, r)
			_, _ = fmt.Fprintf(w, "] %v", err)
			err = servlet.ContextOf(r).Dispatcher("/none.txt").Include(w, r)
			_, _ = fmt.Fprint(w, " missing: ", err != nil)
		}),
	}}
	srv := start(t, app, io.Discard,
		"WEB-INF/web.xml", `<web-app version="6.0" xmlns="https://jakarta.ee/xml/ns/jakartaee">
			<display-name>Test</display-name>
			<context-param><param-name>color</param-name><param-value>red</param-value></context-param>
			<servlet><servlet-name>fill</servlet-name><servlet-class>fill</servlet-class></servlet>
			<servlet><servlet-name>news</servlet-name><servlet-class>news</servlet-class></servlet>
			<servlet><servlet-name>inc</servlet-name><servlet-class>inc</servlet-class></servlet>
			<servlet-mapping><servlet-name>fill</servlet-name><url-pattern>/fill</url-pattern></servlet-mapping>
			<servlet-mapping><servlet-name>news</servlet-name><url-pattern>/news</url-pattern></servlet-mapping>
			<servlet-mapping><servlet-name>inc</servlet-name><url-pattern>/inc</url-pattern></servlet-mapping>
			<error-page><error-code>404</error-code><location>/WEB-INF/404.gohtml</location></error-page>
			<error-page><error-code>405</error-code><location>/part.txt</location></error-page>
			</web-app>`,
		"index.gohtml", `{{.Context.Path}} {{.Context.Name}} {{.Context.InitParam "color"}} {{.URL "/cart.gohtml"}} {{.Include "/news"}}{{.Include "part.txt"}}`,
		"cart.gohtml", `{{with .Session}}{{with .Get "cart"}}{{.Owner}}: {{range .Items}}{{.}} {{end}}{{.Total}}{{end}} {{len .Names}}{{else}}no session{{end}}`,
		"WEB-INF/cart.gohtml", `{{.Request.Get "note"}} {{(.Session.Get "cart").Total}} {{.Request.Path}}`,
		"WEB-INF/404.gohtml", `lost: {{.Request.Get "jakarta.servlet.error.request_uri"}} {{.Request.Get "jakarta.servlet.error.status_code"}}`,
		"bad.gohtml", "one\n{{.Nothing}}\nthree",
		"part.txt", "\xef\xbb\xbfpart",
		"big.txt", strings.Repeat("0123456789", 10_000),
	)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Jar: jar}
	expect := func(path string, status int, want string) *http.Response {
		t.Helper()
		resp, body := get(t, client, srv.URL+"/app"+path)
		if resp.StatusCode != status || body != want {
			t.Errorf("%s: %d %.200q, want %d %.200q", path, resp.StatusCode, body, status, want)
		}
		return resp
	}
	resp := expect("/", 200, "/app Test red /app/cart.gohtml <b>news</b>part")
	if len(resp.Cookies()) != 0 {
		t.Error("a page that only looks has made a session")
	}
	expect("/cart.gohtml", 200, "no session")
	expect("/fill", 200, "forwarded 7 /WEB-INF/cart.gohtml")
	expect("/cart.gohtml", 200, "&lt;Ann&gt;: pen ink 7 1")
	expect("/inc", 200, "[part] <nil> missing: true")
	expect("/WEB-INF/cart.gohtml", 404, "lost: /app/WEB-INF/cart.gohtml 404")
	expect("/none", 404, "lost: /app/none 404")
	expect("/none.gohtml", 404, "lost: /app/none.gohtml 404")
	if resp := expect("/big.txt", 200, strings.Repeat("0123456789", 10_000)); resp.ContentLength != 100_000 || resp.Header.Get("Content-Type") != "text/plain" {
		t.Errorf("a file: %v", resp.Header)
	}
	if resp, body := get(t, client, srv.URL+"/app/bad.gohtml"); resp.StatusCode != 500 || !strings.Contains(body, "/bad.gohtml:2:") || !strings.Contains(body, "three") {
		t.Errorf("a page with an error, in development: %d %s", resp.StatusCode, body)
	}
	r, err := http.NewRequest(http.MethodDelete, srv.URL+"/app/big.txt", nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err = client.Do(r); err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if resp.StatusCode != 405 || err != nil || string(body) != "\xef\xbb\xbfpart" || resp.Header.Get("Allow") == "" {
		t.Errorf("an error page that is a file: %d %q %v", resp.StatusCode, body, resp.Header)
	}
}

// TestFiltersInApplication configures filters as a descriptor for Tomcat does.
func TestFiltersInApplication(t *testing.T) {
	var log syncedText
	srv := start(t, servlet.App{}, &log,
		"WEB-INF/web.xml", `<web-app version="4.0" xmlns="http://xmlns.jcp.org/xml/ns/javaee">
			<filter><filter-name>headers</filter-name><filter-class>org.apache.catalina.filters.HttpHeaderSecurityFilter</filter-class>
				<init-param><param-name>antiClickJackingOption</param-name><param-value>SAMEORIGIN</param-value></init-param></filter>
			<filter><filter-name>cors</filter-name><filter-class>org.apache.catalina.filters.CorsFilter</filter-class>
				<init-param><param-name>cors.allowed.origins</param-name><param-value>https://a.example</param-value></init-param></filter>
			<filter><filter-name>dump</filter-name><filter-class>org.apache.catalina.filters.RequestDumperFilter</filter-class></filter>
			<filter><filter-name>session</filter-name><filter-class>org.apache.catalina.filters.SessionInitializerFilter</filter-class></filter>
			<filter-mapping><filter-name>headers</filter-name><url-pattern>/*</url-pattern></filter-mapping>
			<filter-mapping><filter-name>cors</filter-name><url-pattern>/*</url-pattern></filter-mapping>
			<filter-mapping><filter-name>dump</filter-name><url-pattern>/*</url-pattern></filter-mapping>
			<filter-mapping><filter-name>session</filter-name><url-pattern>/s.gohtml</url-pattern></filter-mapping>
			</web-app>`,
		"index.html", "hello",
		"cors.gohtml", `{{.Request.Get "cors.isCorsRequest"}} {{.Request.Get "cors.request.type"}}`,
		"s.gohtml", `{{if .Session}}{{.Session.IsNew}}{{end}}`,
	)
	resp, body := get(t, http.DefaultClient, srv.URL+"/app/")
	if body != "hello" || resp.Header.Get("X-Frame-Options") != "SAMEORIGIN" {
		t.Errorf("%q %v", body, resp.Header)
	}
	for origin, want := range map[string]int{"https://a.example": 200, "https://b.example": 403} {
		r, err := http.NewRequest("GET", srv.URL+"/app/cors.gohtml", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Origin", origin)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != want || want == 200 && string(body) != "true SIMPLE" {
			t.Errorf("origin %s: %d %q, want %d", origin, resp.StatusCode, body, want)
		}
	}
	if _, body := get(t, http.DefaultClient, srv.URL+"/app/s.gohtml"); body != "true" {
		t.Errorf("a session by filter: %q", body)
	}
	if !strings.Contains(log.String(), "msg=request") || !strings.Contains(log.String(), "status=200") {
		t.Errorf("the request dumper has not written to the application's log:\n%s", log.String())
	}
}

func TestConstructorErrors(t *testing.T) {
	ctx := servlet.NewContext(servlet.ContextConfig{})
	for name, params := range map[string]map[string]string{"default": {"listings": "maybe"}, "gohtml": {"development": "maybe"}} {
		_, err := builtin.Servlets[name](&servlet.Config{Name: "s", Params: params, Context: ctx})
		if err == nil || !strings.Contains(err.Error(), "servlet s: init-param ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := len(builtin.FilterNames()); n != len(builtin.Filters) || len(builtin.ServletNames()) != 2 {
		t.Errorf("%d names of filters, servlets %v", n, builtin.ServletNames())
	}
}

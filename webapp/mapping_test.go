package webapp_test

import (
	"net/http"
	"testing"
	"testing/fstest"

	"github.com/serval-server/serval/descriptor"
	"github.com/serval-server/serval/webapp"
)

// TestContextRoot follows Tomcat's TestMapperWebapps.testContextRootMapping:
// the pattern "" in applications at several paths, with and without a slash.
func TestContextRoot(t *testing.T) {
	for _, path := range []string{"", "/somepath", "/some/other/path"} {
		c, _ := app{code: servlets("root", "x"), xml: declare("root", "") + declare("x", "/x"), opts: webapp.Options{Path: path}}.start(t)
		want(t, c, path+"/", 200, "root||/|CONTEXT_ROOT|")
		want(t, c, path+"/x", 200, "x|/x||EXACT|x")
		want(t, c, path+"/none", 404, "*")
		if path == "" {
			continue
		}
		res := want(t, c, path+"?a=b", 302, "")
		if l := res.Header.Get("Location"); l != path+"/?a=b" {
			t.Errorf("%s: redirected to %q", path, l)
		}
		off := false
		noRedirect := func(d *descriptor.WebApp) { d.Context.MapperContextRootRedirectEnabled = &off }
		c, _ = app{code: servlets("root"), xml: declare("root", ""), opts: webapp.Options{Path: path}, change: noRedirect}.start(t)
		if res := get(c, path); res.StatusCode == http.StatusFound && res.Header.Get("Location") == "" {
			t.Errorf("%s without redirect: %d", path, res.StatusCode)
		}
	}
}

// TestWelcomeFiles follows TestMapperWebapps.testWelcomeFile{NotStrict,Strict}.
func TestWelcomeFiles(t *testing.T) {
	c, _ := app{
		code:  servlets("do"),
		files: fstest.MapFS{"ok/index.html": {Data: []byte("index")}, "do/readme.txt": {Data: []byte("x")}, "page/index.gohtml": {Data: []byte("page {{1}}")}},
		xml:   declare("do", "*.do") + `<welcome-file-list><welcome-file>index.gohtml</welcome-file><welcome-file>index.html</welcome-file><welcome-file>index.do</welcome-file></welcome-file-list>`,
	}.start(t)
	want(t, c, "/ok/", 200, "index")
	want(t, c, "/do/", 200, "do|/do/index.do||EXTENSION|do/index")
	want(t, c, "/page/", 200, "page 1")
	if res := get(c, "/ok"); res.StatusCode != http.StatusFound || res.Header.Get("Location") != "/ok/" {
		t.Errorf("a folder without its slash: %d %q", res.StatusCode, res.Header.Get("Location"))
	}
}

// TestMappingMatch follows TestApplicationMapping.
func TestMappingMatch(t *testing.T) {
	c, _ := app{code: servlets("exact", "path", "ext", "dflt"), xml: declare("exact", "/exact", "/a/b") + declare("path", "/path/*", "/path/deep/*") + declare("ext", "*.do") + declare("dflt", "/")}.start(t)
	for target, body := range map[string]string{
		"/exact": "exact|/exact||EXACT|exact", "/a/b": "exact|/a/b||EXACT|a/b", "/path": "path|/path||PATH|", "/path/": "path|/path|/|PATH|",
		"/path/x/y": "path|/path|/x/y|PATH|x/y", "/path/deep/x.do": "path|/path/deep|/x.do|PATH|x.do", "/x.do": "ext|/x.do||EXTENSION|x",
		"/other": "dflt|/other||DEFAULT|", "/": "dflt|/||DEFAULT|", "/exact/": "dflt|/exact/||DEFAULT|",
		"/%65xact": "exact|/exact||EXACT|exact", "/x/../exact;v=1": "exact|/exact||EXACT|exact", "//exact": "exact|/exact||EXACT|exact",
	} {
		want(t, c, target, 200, body)
	}
}

// TestProtected: no spelling reaches WEB-INF or META-INF, also where a servlet
// takes every path.
func TestProtected(t *testing.T) {
	files := fstest.MapFS{"WEB-INF/secret.txt": {Data: []byte("secret")}, "META-INF/secret.txt": {Data: []byte("secret")}, "sub/WEB-INF/open.txt": {Data: []byte("open")}}
	plain, _ := app{files: files, opts: webapp.Options{Path: "/app"}}.start(t)
	all, _ := app{code: servlets("all"), files: files, xml: declare("all", "/*"), opts: webapp.Options{Path: "/app"}}.start(t)
	for _, c := range []*webapp.Context{plain, all} {
		for _, p := range []string{"/WEB-INF/secret.txt", "/web-inf/secret.txt", "/WEB-INF", "/WEB-INF/", "/%57EB-INF/secret.txt", "/x/../WEB-INF/secret.txt",
			"//WEB-INF/secret.txt", "/WEB-INF;a=b/secret.txt", "/./WEB-INF/./secret.txt", "/META-INF/secret.txt", "/;x/META-INF/secret.txt", "/x/%2e%2e/WEB-INF/secret.txt"} {
			want(t, c, "/app"+p, 404, "*")
		}
		for _, p := range []string{"/WEB-INF%2Fsecret.txt", "/WEB-INF%5csecret.txt", "/WEB-INF/secret.txt%00", "/..%2fapp/WEB-INF/secret.txt"} {
			want(t, c, "/app"+p, 400, "*")
		}
	}
	want(t, plain, "/app/sub/WEB-INF/open.txt", 200, "open")
	want(t, plain, "/app/../../x", 400, "*")
	want(t, plain, "/other", 404, "*")
}

package deploy_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"

	"github.com/serval-server/serval/deploy"
)

// A host deploys what lies in its appBase, serves it, and is asked about it.
func Example() {
	home, err := os.MkdirTemp("", "serval")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(home)
	bundle := filepath.Join(home, "webapps", "hello##1")
	if err := os.MkdirAll(bundle, 0o755); err != nil {
		panic(err)
	}
	if err := os.WriteFile(filepath.Join(bundle, "index.html"), []byte("hello"), 0o644); err != nil {
		panic(err)
	}

	var contexts deploy.Contexts
	host, err := deploy.New(deploy.Options{
		AppBase: filepath.Join(home, "webapps"),
		WorkDir: filepath.Join(home, "work"),
		New:     contexts.New,
	})
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	if err := host.Start(ctx); err != nil {
		panic(err)
	}
	defer host.Stop(ctx)

	w := httptest.NewRecorder()
	host.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/hello/", nil))
	fmt.Println(w.Code, w.Body)
	for _, app := range host.Apps() {
		fmt.Println(app.Path, app.Version, app.State)
	}
	// Output:
	// 200 hello
	// /hello 1 RUNNING
}

func ExampleParseName() {
	name := deploy.ParseName("shop#admin##2")
	fmt.Println(name.Path, name.Version, name.BaseName())
	// Output: /shop/admin 2 shop#admin##2
}

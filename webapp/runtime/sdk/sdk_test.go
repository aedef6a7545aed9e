package sdk

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/serval-server/serval/webapp/runtime/sdk/internal/pack"
)

func TestArchiveIsCurrent(t *testing.T) {
	b, err := pack.Archive("../../..")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("the modules are not in the module cache:", err)
	}
	if same, name := pack.Same(archive, b); !same {
		t.Fatalf("%s differs: run \"go generate ./webapp/runtime/sdk\" and commit sdk.zip", name)
	}
}

func TestUnpack(t *testing.T) {
	dir := t.TempDir()
	for range 2 {
		s, err := Unpack(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range []string{s.Dir + "/go.mod", s.Dir + "/webapp/servlet/app.go", s.Proxy + "/github.com/fxamacker/cbor/v2/@v/list"} {
			if _, err := os.Stat(filepath.FromSlash(f)); err != nil {
				t.Error(err)
			}
		}
		if len(s.Modules) != len(pack.Modules) {
			t.Error(s.Modules)
		}
	}
}

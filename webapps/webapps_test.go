package webapps

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// sources are the Go modules of the bundles that ship.
func sources(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, pattern := range []string{"*/WEB-INF/src/go.mod", "../bench/home/webapps/*/WEB-INF/src/go.mod"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, found...)
	}
	if len(all) < 3 {
		t.Fatalf("only %d bundles with source: %v", len(all), all)
	}
	return all
}

// TestBundles vets each bundle with source and runs its tests, with the
// servlet package of this checkout in the place of the released one.
func TestBundles(t *testing.T) {
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, mod := range sources(t) {
		dir, err := filepath.Abs(filepath.Dir(mod))
		if err != nil {
			t.Fatal(err)
		}
		t.Run(filepath.Base(filepath.Dir(filepath.Dir(dir))), func(t *testing.T) {
			t.Parallel()
			work := filepath.Join(t.TempDir(), "go.work")
			text := fmt.Sprintf("go 1.26.0\nuse (\n\t%q\n\t%q\n)\nreplace github.com/serval-server/serval v0.0.0 => %q\n", root, dir, root)
			if err := os.WriteFile(work, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			for _, args := range [][]string{{"vet", "./..."}, {"test", "./..."}} {
				cmd := exec.CommandContext(t.Context(), "go", args...)
				cmd.Dir = dir
				cmd.Env = append(os.Environ(), "GOWORK="+work, "GOFLAGS=")
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Errorf("go %s: %v\n%s", args[0], err, out)
				}
			}
		})
	}
}

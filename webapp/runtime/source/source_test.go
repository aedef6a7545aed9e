package source

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const goodMain = `package main

import (
	"net/http"

	"github.com/serval-server/serval/webapp/servlet"
)

func main() {
	servlet.Main(servlet.App{Servlets: map[string]http.Handler{"x": http.NotFoundHandler()}})
}
`

const goMod = "module example.com/x\n\ngo 1.26.0\n\nrequire github.com/serval-server/serval v0.0.0\n"

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		p := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// builder needs a toolchain; it gets no network.
func builder(t *testing.T) *Builder {
	t.Helper()
	if _, err := exec.LookPath("go"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("no Go toolchain")
	}
	t.Setenv("GOPROXY", "off")
	return New(Options{SDKDir: t.TempDir()})
}

func TestBuildOffline(t *testing.T) {
	b := builder(t)
	src, work := t.TempDir(), t.TempDir()
	write(t, src, map[string]string{"go.mod": goMod, "cmd/app/main.go": goodMain})
	// The modules come out of the SDK, not out of this machine's cache.
	t.Setenv("GOMODCACHE", filepath.Join(t.TempDir(), "mod"))
	t.Setenv("GOFLAGS", "-modcacherw")
	r, err := b.Build(t.Context(), Request{Source: src, Work: work})
	if err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(r.Path); err != nil || st.Mode()&0o111 == 0 || r.Cached {
		t.Fatal(st, err, r)
	}
	if again, err := b.Build(t.Context(), Request{Source: src, Work: work}); err != nil || !again.Cached || again.Path != r.Path {
		t.Fatal(again, err)
	}
	got, err := os.ReadFile(filepath.Join(src, "go.mod"))
	if err != nil || string(got) != goMod {
		t.Errorf("go.mod was changed: %q %v", got, err)
	}
	if _, err := os.Stat(filepath.Join(src, "go.sum")); !errors.Is(err, fs.ErrNotExist) {
		t.Error("go.sum was written:", err)
	}
}

func TestErrorsHaveTheirPlaces(t *testing.T) {
	b := builder(t)
	src := t.TempDir()
	write(t, src, map[string]string{"go.mod": goMod, "main.go": "package main\n\nfunc main() {\n\tx := 1\n\tundefined()\n}\n"})
	_, err := b.Build(t.Context(), Request{Source: src, Work: t.TempDir()})
	var e *Error
	if !errors.As(err, &e) {
		t.Fatal(err)
	}
	if len(e.Problems) != 2 || e.Problems[0].File != "main.go" || e.Problems[0].Line != 4 || e.Problems[0].Col != 2 {
		t.Errorf("%+v", e.Problems)
	}
	if !strings.Contains(err.Error(), "main.go:5:2: undefined: undefined") {
		t.Error(err)
	}
	write(t, src, map[string]string{"go.mod": "modul x\n"})
	if _, err := b.Build(t.Context(), Request{Source: src, Work: t.TempDir()}); !errors.As(err, &e) || !strings.Contains(e.Error(), "go.mod") {
		t.Error(err)
	}
	write(t, src, map[string]string{"go.mod": "module x\n\ngo 1.26\n", "main.go": "package main\n\nimport _ \"example.org/nowhere\"\n\nfunc main() {}\n"})
	if _, err := b.Build(t.Context(), Request{Source: src, Work: t.TempDir()}); !errors.As(err, &e) || !strings.Contains(e.Error(), "example.org/nowhere") {
		t.Error(err)
	}
}

func TestWhatCannotBeBuilt(t *testing.T) {
	b := builder(t)
	src := t.TempDir()
	if _, err := b.Build(t.Context(), Request{Source: src, Work: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "no go.mod") {
		t.Error(err)
	}
	write(t, src, map[string]string{"go.mod": goMod})
	if _, err := b.Build(t.Context(), Request{Source: src, Work: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "cmd/app") {
		t.Error(err)
	}
	if _, err := New(Options{SDKDir: t.TempDir(), Go: "no-such-go"}).Build(t.Context(), Request{Source: src, Work: t.TempDir()}); err == nil {
		t.Error("a go command that is not there was found")
	}
}

func TestParse(t *testing.T) {
	out := "# example.com/x/cmd/app\n./a.go:3:7: first\n\thave (int)\n\twant ()\n/src/b/c.go:10: second\ngo: third\nc.go:4:5:\n"
	got := parse("/src", out)
	want := []Problem{{"a.go", 3, 7, "first\n\thave (int)\n\twant ()"}, {"b/c.go", 10, 0, "second"}, {Message: "third"}, {Message: "c.go:4:5:"}}
	if len(got) != len(want) {
		t.Fatalf("%+v", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%d: %+v, want %+v", i, got[i], want[i])
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("# p\na.go:1:2: m\n\tmore\n")
	f.Add("C:\\x\\a.go:1:2: m")
	f.Fuzz(func(t *testing.T, out string) {
		for _, p := range parse("/src", out) {
			if p.Message == "" || p.Line < 0 || p.Col < 0 {
				t.Fatalf("%+v of %q", p, out)
			}
		}
	})
}

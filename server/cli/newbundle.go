package cli

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"text/template"

	"github.com/serval-server/serval/webapp/runtime/sdk"
)

// newCmd is serval new.
type newCmd struct {
	Name string `arg:"" help:"Name or path of the folder to make; the name is the context path that the bundle will have."`
}

//go:embed skeleton/*.tmpl
var skeletonFiles embed.FS

var skeletons = template.Must(template.ParseFS(skeletonFiles, "skeleton/*.tmpl"))

// skeleton is what the templates are made with.
type skeleton struct {
	Name    string // of the folder
	Package string // as a Go identifier
	Title   string
}

var bundleName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9._#-]*$`)

func newSkeleton(name string) (skeleton, error) {
	if !bundleName.MatchString(name) || strings.HasSuffix(name, ".war") || strings.HasSuffix(name, ".zip") {
		return skeleton{}, fmt.Errorf("%q cannot be the name of a bundle: a letter, then letters, digits, . _ # and -", name)
	}
	plain := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, strings.ToLower(name))
	if plain == "main" || plain == "servlet" || plain == "go" { // names that its own files use
		plain += "app"
	}
	return skeleton{Name: name, Package: plain, Title: strings.ToUpper(name[:1]) + name[1:]}, nil
}

// Run makes the bundle. A folder that exists is not touched.
func (c *newCmd) Run(e *env) error {
	dir := filepath.Clean(c.Name)
	s, err := newSkeleton(filepath.Base(dir))
	if err != nil {
		return err
	}
	if _, err := os.Stat(dir); err == nil {
		return fmt.Errorf("%s exists already", dir)
	}
	src := filepath.Join(dir, "WEB-INF", "src")
	for _, f := range []struct{ template, name string }{
		{"web.toml.tmpl", "WEB-INF/web.toml"},
		{"index.gohtml.tmpl", "index.gohtml"},
		{"style.css.tmpl", "style.css"},
		{"go.mod.tmpl", "WEB-INF/src/go.mod"},
		{"app.go.tmpl", "WEB-INF/src/" + s.Package + ".go"},
		{"app_test.go.tmpl", "WEB-INF/src/" + s.Package + "_test.go"},
		{"main.go.tmpl", "WEB-INF/src/cmd/app/main.go"},
	} {
		var b bytes.Buffer
		if err := skeletons.ExecuteTemplate(&b, f.template, s); err != nil {
			return err
		}
		name := filepath.Join(dir, filepath.FromSlash(f.name))
		if err := writeNew(name, b.Bytes()); err != nil {
			return err
		}
		e.printf("wrote %s\n", name)
	}
	if err := provideSDK(e.ctx, src); err != nil {
		e.printf("\nThe server can build it, but `go test` cannot be used there yet: %v\n", err)
	}
	e.printf("\nTest it:   cd %s && go test ./...\nDeploy it: serval deploy %s   (or move it into webapps/)\n", src, dir)
	return nil
}

// provideSDK makes the go command work in a bundle's source on this machine: the
// SDK that this program carries is unpacked into the user's cache, and the module
// is pointed at it. A server elsewhere builds the bundle with its own.
func provideSDK(ctx context.Context, src string) error {
	cache, err := os.UserCacheDir()
	if err != nil {
		return err
	}
	kit, err := sdk.Unpack(filepath.Join(cache, "serval", "sdk"))
	if err != nil {
		return err
	}
	proxy := "file://" + filepath.ToSlash(kit.Proxy)
	if usual, err := exec.CommandContext(ctx, "go", "env", "GOPROXY").Output(); err == nil {
		proxy += "," + strings.TrimSpace(string(usual))
	}
	env := append(os.Environ(), "GOWORK=off", "GOPROXY="+proxy, "GONOSUMDB="+strings.Join(kit.Modules, ","), "GOFLAGS=-mod=mod")
	for _, args := range [][]string{
		{"mod", "edit", "-replace=" + sdk.Module + "=" + kit.Dir},
		{"list", "-test", "-deps", "./..."}, // completes go.mod and go.sum
	} {
		cmd := exec.CommandContext(ctx, "go", args...)
		cmd.Dir, cmd.Env = src, env
		if out, err := cmd.CombinedOutput(); err != nil {
			if line := lastLine(out); line != "" {
				return fmt.Errorf("go %s: %s", args[0], line)
			}
			return err
		}
	}
	return nil
}

func lastLine(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines[len(lines)-1]
}

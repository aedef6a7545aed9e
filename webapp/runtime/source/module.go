package source

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/serval-server/serval/webapp/runtime/sdk"
)

// goModule is what is asked of a go.mod.
type goModule struct {
	Require []struct{ Path string }
	Replace []struct {
		Old struct{ Path string }
		New struct{ Path, Version string }
	}
}

// arguments are those of the go command: the bundle's go.mod is used as a copy
// in which the SDK is put in place.
func (b *Builder) arguments(ctx context.Context, q Request, pkg, tmp string) ([]string, error) {
	args := []string{"build", "-v", "-trimpath", "-o", filepath.Join(tmp, q.Target.Name())}
	if q.Target.OS == "wasip1" {
		args = append(args, "-buildmode=c-shared")
	}
	args = append(args, "-ldflags=-s -w")
	if _, err := os.Stat(filepath.Join(q.Source, "vendor", "modules.txt")); err == nil {
		return append(args, "-mod=vendor", pkg), nil // the author has provided for everything
	}
	mod := filepath.Join(tmp, "go.mod")
	if err := copyFile(filepath.Join(q.Source, "go.mod"), mod); err != nil {
		return nil, err
	}
	err := copyFile(filepath.Join(q.Source, "go.sum"), filepath.Join(tmp, "go.sum"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if !b.liveSDK(q.Source) {
		if err := b.edit(ctx, q.Source, mod, "-replace="+sdk.Module+"="+b.sdk.Dir); err != nil {
			return nil, err
		}
	}
	return append(args, "-mod=mod", "-modfile="+mod, pkg), nil
}

// edit changes a go.mod.
func (b *Builder) edit(ctx context.Context, src, mod string, args ...string) error {
	cmd := exec.CommandContext(ctx, b.goCmd, append(append([]string{"mod", "edit"}, args...), mod)...)
	cmd.Env = append(os.Environ(), "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		// The copy's name would mean nothing to the author.
		return newError(src, strings.ReplaceAll(string(out), mod, "go.mod"))
	}
	return nil
}

// liveSDK reports that the bundle's go.mod replaces this server's module by a
// folder that exists: its author works on both.
func (b *Builder) liveSDK(src string) bool {
	cmd := exec.Command(b.goCmd, "mod", "edit", "-json", filepath.Join(src, "go.mod"))
	cmd.Env = append(os.Environ(), "GOWORK=off")
	out, err := cmd.Output()
	if err != nil {
		return false // the build will say what is wrong with it
	}
	var m goModule
	if json.Unmarshal(out, &m) != nil {
		return false
	}
	for _, r := range m.Replace {
		if r.Old.Path != sdk.Module || r.New.Version != "" {
			continue
		}
		dir := r.New.Path
		if !filepath.IsAbs(dir) {
			dir = filepath.Join(src, dir)
		}
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return true
		}
	}
	return false
}

func copyFile(from, to string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o644)
}

// environment is the go command's: the server's, with the SDK's modules before
// the proxy and exempt from the checksum database, which may be out of reach.
// (What they hold is checked against go.sum all the same.)
func (b *Builder) environment(ctx context.Context, q Request) []string {
	var env []string
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		switch name {
		case "GOOS", "GOARCH", "GOPROXY", "GONOSUMDB", "GOWORK", "GO111MODULE", "GOFLAGS":
			continue
		}
		env = append(env, kv)
	}
	get := b.goEnv(ctx, "GOPROXY", "GONOSUMDB", "GOFLAGS")
	proxy := "file://" + filepath.ToSlash(b.sdk.Proxy)
	if p := get["GOPROXY"]; p != "" {
		proxy += "," + p
	}
	noSum := strings.Join(b.sdk.Modules, ",")
	if n := get["GONOSUMDB"]; n != "" {
		noSum += "," + n
	}
	env = append(env, "GOPROXY="+proxy, "GONOSUMDB="+noSum, "GOFLAGS="+withoutMod(get["GOFLAGS"]), "GOWORK=off", "GO111MODULE=on",
		"GOOS="+q.Target.OS, "GOARCH="+q.Target.Arch)
	if os.Getenv("HOME") == "" {
		cache := filepath.Join(q.Work, "go")
		env = append(env, "GOCACHE="+filepath.Join(cache, "build"), "GOPATH="+filepath.Join(cache, "path"))
	}
	return env
}

// withoutMod takes -mod and -modfile out of GOFLAGS, which the build sets.
func withoutMod(flags string) string {
	var keep []string
	for f := range strings.FieldsSeq(flags) {
		if !strings.HasPrefix(f, "-mod") {
			keep = append(keep, f)
		}
	}
	return strings.Join(keep, " ")
}

// goEnv asks the go command, which knows its own configuration file.
func (b *Builder) goEnv(ctx context.Context, names ...string) map[string]string {
	cmd := exec.CommandContext(ctx, b.goCmd, append([]string{"env", "-json"}, names...)...)
	var out bytes.Buffer
	cmd.Stdout = &out
	m := map[string]string{}
	if cmd.Run() == nil {
		_ = json.Unmarshal(out.Bytes(), &m) // then the defaults are not known, and not needed
	}
	return m
}

// Problem is one message of the compiler.
type Problem struct {
	File    string // relative to the source, "" if the message has no place
	Line    int    // 0 if the message has no place
	Col     int    // 0 if unknown
	Message string
}

// String is the problem as compilers write it.
func (p Problem) String() string {
	switch {
	case p.File == "":
		return p.Message
	case p.Line == 0:
		return p.File + ": " + p.Message
	case p.Col == 0:
		return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Message)
	}
	return fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Col, p.Message)
}

package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/serval-server/serval/webapp/runtime/source"
)

// buildCmd is serval build.
type buildCmd struct {
	Dir    string   `arg:"" type:"existingdir" help:"The bundle's folder, with WEB-INF/src in it."`
	Target []string `short:"t" help:"What to build for: OS-ARCH such as linux-amd64, or wasm; several with commas (default: this machine)." placeholder:"TARGET"`
	Zip    string   `help:"Also write the finished bundle, without its source, to this .war or .zip file." placeholder:"FILE"`
}

// Run builds the programs into WEB-INF/bin/OS-ARCH/app and WEB-INF/app.wasm, which
// servers prefer to the source.
func (c *buildCmd) Run(e *env) error {
	src := filepath.Join(c.Dir, "WEB-INF", "src")
	if _, err := os.Stat(filepath.Join(src, "go.mod")); err != nil {
		return fmt.Errorf("%s has no WEB-INF/src/go.mod: there is nothing to build", c.Dir)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return err
	}
	targets := c.Target
	if len(targets) == 0 {
		targets = []string{runtime.GOOS + "-" + runtime.GOARCH}
	}
	builder := source.New(source.Options{SDKDir: filepath.Join(cache, "serval", "sdk")})
	work, err := os.MkdirTemp("", "serval-build-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(work) }() // the system's own temporary folder
	for _, name := range targets {
		if err := c.build(e, builder, src, work, name); err != nil {
			return err
		}
	}
	if c.Zip != "" {
		if err := packBundle(c.Dir, c.Zip); err != nil {
			return err
		}
		e.printf("%s\n", c.Zip)
	}
	return nil
}

func (c *buildCmd) build(e *env, b *source.Builder, src, work, name string) error {
	target, out := source.Wasm, filepath.Join(c.Dir, "WEB-INF", "app.wasm")
	if name != "wasm" {
		goos, arch, ok := strings.Cut(name, "-")
		if !ok || goos == "" || arch == "" {
			return fmt.Errorf("%q is not a target: write linux-amd64, darwin-arm64, ... or wasm", name)
		}
		target = source.Target{OS: goos, Arch: arch}
		out = filepath.Join(c.Dir, "WEB-INF", "bin", name, target.Name())
	}
	res, err := b.Build(e.ctx, source.Request{Source: src, Work: work, Target: target, Logger: slog.New(slog.DiscardHandler)})
	if errs, ok := errors.AsType[*source.Error](err); ok && len(errs.Problems) > 0 {
		for _, p := range errs.Problems {
			e.errorf("%s:%d:%d: %s\n", filepath.Join(src, p.File), p.Line, p.Col, p.Message)
		}
		return fmt.Errorf("%s: %d errors", name, len(errs.Problems))
	}
	if errors.Is(err, context.Canceled) || err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if err := install(res.Path, out); err != nil {
		return err
	}
	e.printf("%s (%s)\n", out, res.Took.Round(1e7))
	return nil
}

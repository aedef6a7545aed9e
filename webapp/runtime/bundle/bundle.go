// Package bundle is the runtime of the programs that bundles bring along. It
// looks what there is, in this order, and starts it as a worker:
//
//	WEB-INF/bin/<os>-<arch>/app   a native program
//	WEB-INF/app.wasm              a WebAssembly module, run by "serval worker"
//	WEB-INF/src/                  Go source, built first (package source)
//
// A bundle that is served out of a zip is unpacked for its worker, into the
// bundle's own work folder. The rest, frames, supervision and limits, is the
// business of package worker.
package bundle

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/serval-server/serval/webapp"
	"github.com/serval-server/serval/webapp/runtime/source"
	"github.com/serval-server/serval/webapp/runtime/worker"
)

// Options are what a Runtime is made with.
type Options struct {
	// SDKDir is the folder in which the SDK for source builds is unpacked;
	// it is shared by all bundles. It must be set.
	SDKDir string
	// WasmCommand is the program and arguments before the module's name of
	// "serval worker". Nil is this executable and "worker".
	WasmCommand []string
	// Server is the name that workers are told, as "serval/1.0".
	Server string
	// Worker are the options of all workers; Command, Dir, BundleDir and
	// Server are filled in.
	Worker worker.Options
	// Go is the go command; "" is looked for.
	Go string
}

// Runtime starts the programs that bundles bring along. It implements
// webapp.Runtime.
type Runtime struct {
	opts    Options
	builder *source.Builder
}

var _ webapp.Runtime = (*Runtime)(nil)

// New makes a Runtime.
func New(o Options) (*Runtime, error) {
	if o.SDKDir == "" {
		return nil, errors.New("bundle: no folder for the SDK")
	}
	if o.WasmCommand == nil {
		exe, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("finding the server's own program: %w", err)
		}
		o.WasmCommand = []string{exe, "worker"}
	}
	return &Runtime{opts: o, builder: source.New(source.Options{SDKDir: o.SDKDir, Go: o.Go})}, nil
}

// Builder is what builds the source, for commands that build without running.
func (rt *Runtime) Builder() *source.Builder { return rt.builder }

// ErrNoProgram is what Start's error is if the bundle has no program.
var ErrNoProgram = errors.New("the bundle has no program: neither WEB-INF/bin/<os>-<arch>/app nor WEB-INF/app.wasm nor WEB-INF/src")

// Start implements webapp.Runtime.
func (rt *Runtime) Start(ctx context.Context, l webapp.Launch) (webapp.Program, error) {
	kind, name, err := find(l)
	if err != nil {
		return nil, err
	}
	p := &program{}
	dir := l.Dir
	if dir == "" {
		if dir, err = unpack(l); err != nil {
			return nil, fmt.Errorf("unpacking the bundle for its worker: %w", err)
		}
		p.remove = append(p.remove, dir)
	}
	if err := rt.start(ctx, l, p, dir, kind, name); err != nil {
		return nil, errors.Join(err, p.clean())
	}
	return p, nil
}

// program is a worker with the files that were made for it.
type program struct {
	*worker.Program
	remove []string
}

func (p *program) clean() error {
	var err error
	for _, dir := range p.remove {
		err = errors.Join(err, os.RemoveAll(dir))
	}
	return err
}

// Stop implements webapp.Program.
func (p *program) Stop(ctx context.Context) error {
	return errors.Join(p.Program.Stop(ctx), p.clean())
}

// start builds what has to be built, and starts the worker.
func (rt *Runtime) start(ctx context.Context, l webapp.Launch, p *program, dir string, kind kind, name string) (err error) {
	program := filepath.Join(dir, filepath.FromSlash(name))
	if kind == goSource {
		if program, kind, err = rt.build(ctx, l, program); err != nil {
			return err
		}
	}
	o := rt.opts.Worker
	o.Server, o.BundleDir = rt.opts.Server, dir
	if l.WorkDir != "" {
		if err := os.MkdirAll(l.WorkDir, 0o755); err != nil {
			return err
		}
		o.Dir = l.WorkDir
	}
	if kind == native {
		if program, err = p.executable(program, l.WorkDir); err != nil {
			return err
		}
		o.Command = []string{program}
	} else {
		o.Command = rt.wasmCommand(program, l)
		if l.Settings.StartTimeout <= 0 {
			l.Settings.StartTimeout = wasmStartTimeout
		}
	}
	w, err := worker.New(o)
	if err != nil {
		return err
	}
	started, err := w.Start(ctx, l)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	p.Program = started.(*worker.Program)
	return nil
}

// wasmStartTimeout is the start-up deadline of a module whose descriptor gives
// none: the first time, it is compiled.
const wasmStartTimeout = 3 * time.Minute

type kind int

const (
	native kind = iota
	wasmModule
	goSource
)

// find says which program the bundle has.
func find(l webapp.Launch) (kind, string, error) {
	if l.FS == nil {
		return 0, "", ErrNoProgram
	}
	exe := "app"
	if runtime.GOOS == "windows" {
		exe = "app.exe"
	}
	bin := path.Join("WEB-INF/bin", runtime.GOOS+"-"+runtime.GOARCH, exe)
	for _, c := range []struct {
		k    kind
		name string
		dir  bool
	}{{native, bin, false}, {wasmModule, "WEB-INF/app.wasm", false}, {goSource, "WEB-INF/src", true}} {
		if st, err := fs.Stat(l.FS, c.name); err == nil && st.IsDir() == c.dir {
			return c.k, c.name, nil
		}
	}
	if list, err := fs.ReadDir(l.FS, "WEB-INF/bin"); err == nil && len(list) > 0 {
		var names []string
		for _, e := range list {
			names = append(names, e.Name())
		}
		return 0, "", fmt.Errorf("the bundle has programs for %s, but this is %s-%s: add WEB-INF/bin/%s-%s/app, WEB-INF/app.wasm or WEB-INF/src",
			strings.Join(names, ", "), runtime.GOOS, runtime.GOARCH, runtime.GOOS, runtime.GOARCH)
	}
	return 0, "", ErrNoProgram
}

// build builds the source, to a module if the descriptor says so.
func (rt *Runtime) build(ctx context.Context, l webapp.Launch, src string) (string, kind, error) {
	q := source.Request{Source: src, Work: l.WorkDir, Logger: l.Logger}
	k := native
	switch l.Settings.Build {
	case "", "native":
	case "wasm":
		q.Target, k = source.Wasm, wasmModule
	default:
		return "", 0, fmt.Errorf("[runtime] build = %q: want native or wasm", l.Settings.Build)
	}
	r, err := rt.builder.Build(ctx, q)
	return r.Path, k, err
}

func (rt *Runtime) wasmCommand(module string, l webapp.Launch) []string {
	cmd := append([]string(nil), rt.opts.WasmCommand...)
	cmd = append(cmd, module)
	if l.WorkDir != "" {
		cmd = append(cmd, "--cache", filepath.Join(l.WorkDir, "wasm"))
	}
	if l.Settings.Memory > 0 {
		cmd = append(cmd, "--memory", strconv.FormatInt(l.Settings.Memory, 10))
	}
	return cmd
}

// executable is a native program that can be started: one that has lost its mode
// bits in a zip is copied.
func (p *program) executable(program, work string) (string, error) {
	st, err := os.Stat(program)
	if err != nil {
		return "", err
	}
	if st.Mode()&0o111 != 0 || runtime.GOOS == "windows" {
		return program, nil
	}
	if work == "" {
		return "", fmt.Errorf("%s is not executable", program)
	}
	b, err := os.ReadFile(program)
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(work, "bin-")
	if err != nil {
		return "", err
	}
	p.remove = append(p.remove, dir)
	to := filepath.Join(dir, "app")
	return to, os.WriteFile(to, b, 0o755)
}

// unpack copies the bundle's files into its work folder, anew each time.
func unpack(l webapp.Launch) (string, error) {
	if l.WorkDir == "" {
		return "", errors.New("there is no work folder")
	}
	if err := os.MkdirAll(l.WorkDir, 0o755); err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(l.WorkDir, "bundle-")
	if err != nil {
		return "", err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", err
	}
	defer root.Close() // nothing is written through it afterwards
	err = fs.WalkDir(l.FS, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name == ".":
			return nil
		case d.IsDir():
			return root.Mkdir(name, 0o755)
		case !d.Type().IsRegular():
			return nil
		}
		b, err := fs.ReadFile(l.FS, name)
		if err != nil {
			return err
		}
		mode := fs.FileMode(0o644)
		if strings.HasPrefix(name, "WEB-INF/bin/") {
			mode = 0o755
		}
		return root.WriteFile(name, b, mode)
	})
	if err != nil {
		_ = os.RemoveAll(dir)
		return "", err
	}
	return dir, nil
}

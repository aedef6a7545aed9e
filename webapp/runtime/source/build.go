package source

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/serval-server/serval/webapp/runtime/sdk"
)

// ErrNoToolchain means that there is no go command.
var ErrNoToolchain = errors.New("no Go toolchain was found: install Go (https://go.dev/dl/), " +
	"or ship a built program in WEB-INF/bin/<os>-<arch>/app or WEB-INF/app.wasm (\"serval build\" makes both)")

// Options are what a Builder is made with.
type Options struct {
	// SDKDir is the folder in which the SDK is unpacked. It must be set.
	SDKDir string
	// Go is the go command; "" is looked for in PATH, then in GOROOT.
	Go string
	// Parallel is how many builds may run at once; 0 is 1. Each uses all
	// processors.
	Parallel int
}

// Builder builds bundles. It is safe for concurrent use.
type Builder struct {
	opts Options
	turn chan struct{}

	mu      sync.Mutex
	sdk     *sdk.SDK // guarded by mu
	goCmd   string   // guarded by mu
	version string   // guarded by mu; of the go command
}

// New makes a Builder. Nothing is looked for before the first build.
func New(o Options) *Builder {
	return &Builder{opts: o, turn: make(chan struct{}, max(o.Parallel, 1))}
}

// Target is what a program is built for.
type Target struct {
	OS, Arch string // as GOOS and GOARCH; "" is the server's own
}

// Wasm is the target of an app.wasm.
var Wasm = Target{OS: "wasip1", Arch: "wasm"}

func (t Target) withDefaults() Target {
	if t.OS == "" {
		t.OS = runtime.GOOS
	}
	if t.Arch == "" {
		t.Arch = runtime.GOARCH
	}
	return t
}

// Name is the file name of a program for the target.
func (t Target) Name() string {
	switch t.withDefaults().OS {
	case "wasip1":
		return "app.wasm"
	case "windows":
		return "app.exe"
	}
	return "app"
}

// Request is one build.
type Request struct {
	// Source is the folder of the Go module, WEB-INF/src.
	Source string
	// Work is a folder for what is built, one per bundle.
	Work string
	// Target is what to build for.
	Target Target
	// Logger hears of the progress; nil: nobody.
	Logger *slog.Logger
}

// Result is a program that was built.
type Result struct {
	Path   string // of the program
	Cached bool   // it had been built before
	Took   time.Duration
}

// keepResults is how many results of a bundle are kept.
const keepResults = 3

// Build builds, or finds what was built of the same source. The error is an
// *Error if the source is what is wrong.
func (b *Builder) Build(ctx context.Context, q Request) (Result, error) {
	if q.Logger == nil {
		q.Logger = slog.New(slog.DiscardHandler)
	}
	q.Target = q.Target.withDefaults()
	src, err := filepath.Abs(q.Source)
	if err != nil {
		return Result{}, err
	}
	q.Source = src
	if q.Work, err = filepath.Abs(q.Work); err != nil {
		return Result{}, err
	}
	select {
	case b.turn <- struct{}{}:
		defer func() { <-b.turn }()
	case <-ctx.Done():
		return Result{}, context.Cause(ctx)
	}
	if err := b.prepare(ctx); err != nil {
		return Result{}, err
	}
	pkg, err := mainPackage(src)
	if err != nil {
		return Result{}, err
	}
	return b.build(ctx, q, pkg)
}

func (b *Builder) build(ctx context.Context, q Request, pkg string) (Result, error) {
	sum, err := b.hash(q)
	if err != nil {
		return Result{}, err
	}
	dir := filepath.Join(q.Work, "build")
	out := filepath.Join(dir, sum, q.Target.Name())
	live := b.liveSDK(q.Source)
	if _, err := os.Stat(out); err == nil && !live {
		now := time.Now()
		_ = os.Chtimes(filepath.Dir(out), now, now) // only for the order in which old ones go
		return Result{Path: out, Cached: true}, nil
	}
	start := time.Now()
	q.Logger.Info("building application", "source", q.Source, "package", pkg, "target", q.Target.OS+"/"+q.Target.Arch)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return Result{}, err
	}
	tmp, err := os.MkdirTemp(dir, "tmp-")
	if err != nil {
		return Result{}, err
	}
	defer os.RemoveAll(tmp) //nolint:errcheck // it is gone if all went well
	if err := b.compile(ctx, q, pkg, tmp); err != nil {
		return Result{}, err
	}
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return Result{}, err
	}
	if err := os.Rename(filepath.Join(tmp, q.Target.Name()), out); err != nil {
		return Result{}, err
	}
	took := time.Since(start)
	q.Logger.Info("application built", "took", took.Round(time.Millisecond))
	prune(dir, sum)
	return Result{Path: out, Took: took}, nil
}

// prepare finds the toolchain and unpacks the SDK, once.
func (b *Builder) prepare(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.goCmd == "" {
		cmd, err := findGo(b.opts.Go)
		if err != nil {
			return err
		}
		out, err := exec.CommandContext(ctx, cmd, "version").Output()
		if err != nil {
			return fmt.Errorf("%s version: %w", cmd, err)
		}
		b.goCmd, b.version = cmd, string(out)
	}
	if b.sdk == nil {
		s, err := sdk.Unpack(b.opts.SDKDir)
		if err != nil {
			return err
		}
		b.sdk = s
	}
	return nil
}

func findGo(name string) (string, error) {
	if name != "" {
		return exec.LookPath(name)
	}
	if p, err := exec.LookPath("go"); err == nil {
		return p, nil
	}
	for _, root := range []string{os.Getenv("GOROOT"), "/usr/local/go", "/usr/lib/go"} {
		if root == "" {
			continue
		}
		if p, err := exec.LookPath(filepath.Join(root, "bin", "go")); err == nil {
			return p, nil
		}
	}
	return "", ErrNoToolchain
}

// mainPackage is the package to build: ./cmd/app, or the top of the source.
func mainPackage(src string) (string, error) {
	if _, err := os.Stat(filepath.Join(src, "go.mod")); err != nil {
		return "", fmt.Errorf("%s has no go.mod: the source of a bundle is a Go module", src)
	}
	if st, err := os.Stat(filepath.Join(src, "cmd", "app")); err == nil && st.IsDir() {
		return "./cmd/app", nil
	}
	files, err := filepath.Glob(filepath.Join(src, "*.go"))
	if err != nil || len(files) == 0 {
		return "", fmt.Errorf("%s has neither a package cmd/app nor Go files of its own", src)
	}
	return ".", nil
}

// hash names all that goes into a build.
func (b *Builder) hash(q Request) (string, error) {
	h := sha256.New()
	fmt.Fprintf(h, "1\n%s%s\n%s %s\n%s\n", b.version, sdk.Version(), q.Target.OS, q.Target.Arch, os.Getenv("GOFLAGS"))
	err := filepath.WalkDir(q.Source, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() || !d.Type().IsRegular() {
			return nil
		}
		f, err := os.Open(p)
		if err != nil {
			return err
		}
		defer f.Close() // it was only read
		rel, err := filepath.Rel(q.Source, p)
		if err != nil {
			return err
		}
		one := sha256.New()
		if _, err := io.Copy(one, f); err != nil {
			return err
		}
		fmt.Fprintf(h, "%q %x\n", filepath.ToSlash(rel), one.Sum(nil))
		return nil
	})
	return hex.EncodeToString(h.Sum(nil)[:12]), err
}

// prune removes all but the newest results.
func prune(dir, keep string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	type old struct {
		name string
		at   time.Time
	}
	var list []old
	for _, e := range entries {
		i, err := e.Info()
		if err != nil || !e.IsDir() || e.Name() == keep || strings.HasPrefix(e.Name(), "tmp-") {
			continue
		}
		list = append(list, old{e.Name(), i.ModTime()})
	}
	slices.SortFunc(list, func(a, b old) int { return b.at.Compare(a.at) })
	for i, o := range list {
		if i >= keepResults-1 {
			_ = os.RemoveAll(filepath.Join(dir, o.name)) // tried again after the next build
		}
	}
}

// compile runs the go command.
func (b *Builder) compile(ctx context.Context, q Request, pkg, tmp string) error {
	args, err := b.arguments(ctx, q, pkg, tmp)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, b.goCmd, args...)
	cmd.Dir = q.Source
	cmd.Env = b.environment(ctx, q)
	ownGroup(cmd)
	r, w := io.Pipe()
	cmd.Stdout, cmd.Stderr = w, w
	var out bytes.Buffer
	var wg sync.WaitGroup
	wg.Go(func() { progress(r, &out, q.Logger) })
	err = cmd.Run()
	_ = w.Close()
	wg.Wait()
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("building %s: %w", q.Source, context.Cause(ctx))
	}
	return newError(q.Source, out.String())
}

// maxOutput is how much of the compiler's output is kept.
const maxOutput = 256 << 10

// progress logs what the go command says, and keeps it.
func progress(r io.Reader, out *bytes.Buffer, log *slog.Logger) {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 64<<10), 1<<20)
	for s.Scan() {
		line := s.Text()
		switch {
		case strings.HasPrefix(line, "go: downloading "):
			log.Info("building application", "downloading", strings.TrimPrefix(line, "go: downloading "))
			continue
		case isPackage(line):
			log.Debug("building application", "compiling", line)
			continue
		}
		if out.Len() < maxOutput {
			out.WriteString(line + "\n")
		}
	}
	_, _ = io.Copy(io.Discard, r) // a line too long: the command must not block
}

// isPackage tells the lines of "go build -v" from messages.
func isPackage(line string) bool {
	return line != "" && !strings.ContainsAny(line, " :#\t")
}

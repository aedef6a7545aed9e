// Command copy writes the benchmark application's source into the bundles of
// bench/home that build it: a bundle has a module of its own, so that it works
// wherever the folder is copied to, and cannot import this one's packages.
//
//	go run ./copy [-check] WEBAPPS
//
// With -check it writes nothing and fails if a copy is not current.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// bundles are those that carry the source.
var bundles = []string{"bench-worker", "bench-wasm"}

const header = "// Code generated from bench/app by go generate; DO NOT EDIT.\n\n"

const mainSource = header + `// Command app is the program of this bundle.
package main

import (
	"example.com/bench"

	"github.com/serval-server/serval/webapp/servlet"
)

func main() { servlet.Main(bench.App) }
`

func main() {
	check := flag.Bool("check", false, "only compare")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: copy [-check] WEBAPPS")
		os.Exit(2)
	}
	if err := run(".", flag.Arg(0), *check); err != nil {
		fmt.Fprintln(os.Stderr, "copy:", err)
		os.Exit(1)
	}
}

// run copies the Go files of the folder from into the bundles.
func run(from, webapps string, check bool) error {
	names, err := filepath.Glob(filepath.Join(from, "*.go"))
	if err != nil {
		return err
	}
	files := map[string][]byte{"cmd/app/main.go": []byte(mainSource)}
	for _, n := range names {
		if strings.HasSuffix(n, "_test.go") {
			continue
		}
		src, err := os.ReadFile(n)
		if err != nil {
			return err
		}
		files[filepath.Base(n)] = generated(src)
	}
	for _, b := range bundles {
		dir := filepath.Join(webapps, b, "WEB-INF", "src")
		for n, src := range files {
			if err := place(filepath.Join(dir, n), src, check); err != nil {
				return err
			}
		}
	}
	return nil
}

// generated marks a file as a copy and takes out what makes copies.
func generated(src []byte) []byte {
	var out bytes.Buffer
	out.WriteString(header)
	for line := range strings.SplitAfterSeq(string(src), "\n") {
		if !strings.HasPrefix(line, "//go:generate") {
			out.WriteString(line)
		}
	}
	return bytes.ReplaceAll(out.Bytes(), []byte("package bench\n\n\n"), []byte("package bench\n\n"))
}

func place(name string, src []byte, check bool) error {
	old, err := os.ReadFile(name)
	if err == nil && bytes.Equal(old, src) {
		return nil
	}
	if check {
		return fmt.Errorf("%s is not current: run go generate ./bench/app", name)
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, src, 0o644)
}

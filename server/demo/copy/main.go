// Command copy writes the shop of webapps/shop into the demo: its program as a
// package that is linked into the server, and its other files as a bundle that is
// embedded. The shop itself has a module of its own, as bundles have, and can be
// neither imported nor embedded.
//
//	go run ./copy [-check] SHOP
//
// With -check it writes nothing and fails if a copy is not current.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const header = "// Code generated from webapps/shop by go generate ./server/demo; DO NOT EDIT.\n\n"

// linked is what makes a node run the program that is linked in.
const linked = `
# The demo's nodes have the shop's program linked in.
[runtime]
kind = "linked"
app = "shop"
`

func main() {
	check := flag.Bool("check", false, "only compare")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: copy [-check] SHOP")
		os.Exit(2)
	}
	if err := run(os.DirFS(flag.Arg(0)), ".", *check); err != nil {
		fmt.Fprintln(os.Stderr, "copy:", err)
		os.Exit(1)
	}
}

// run copies the shop into the folder to.
func run(shop fs.FS, to string, check bool) error {
	const src = "WEB-INF/src/"
	return fs.WalkDir(shop, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(shop, name)
		if err != nil {
			return err
		}
		program, isProgram := strings.CutPrefix(name, src)
		switch {
		case isProgram && (strings.HasSuffix(name, "_test.go") || strings.HasPrefix(program, "cmd/") || program == "go.mod" || program == "go.sum"):
			return nil
		case isProgram:
			name = "shop/" + program
			if strings.HasSuffix(name, ".go") {
				data = append([]byte(header), data...)
			}
		default:
			if name == "WEB-INF/web.toml" {
				data = append(data, linked...)
			}
			name = "bundle/" + name
		}
		return place(filepath.Join(to, filepath.FromSlash(name)), data, check)
	})
}

func place(name string, data []byte, check bool) error {
	old, err := os.ReadFile(name)
	if err == nil && bytes.Equal(old, data) {
		return nil
	}
	if check {
		return fmt.Errorf("%s is not current: run go generate ./server/demo", name)
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, data, 0o644)
}

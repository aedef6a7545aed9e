// Package sdk carries what a bundle is compiled against: package servlet with
// its subpackages, and the modules that it and the shipped bundles need, as one
// archive inside the server. So a bundle's Go source can be built where there is
// no network, and always against the SDK that speaks this server's protocol, as
// a servlet container provides the servlet API itself.
//
// The archive is a zip, made by "go generate" from this module's source and the
// module cache, committed, and checked by a test to be what the source says.
// It holds
//
//	serval/   this module, reduced to package servlet, with a go.mod of its own
//	proxy/    the other modules, as a file tree that GOPROXY can point at
//	modules   their names, one a line
//
// The source builder unpacks it once per version and points the Go toolchain at
// it with a replacement and GOPROXY.
package sdk

//go:generate go run ./gensdk

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Module is the path of the module that the SDK stands for.
const Module = "github.com/serval-server/serval"

//go:embed sdk.zip
var archive []byte

// Version is a name for the archive's content.
func Version() string {
	sum := sha256.Sum256(archive)
	return hex.EncodeToString(sum[:8])
}

// SDK is the archive, unpacked.
type SDK struct {
	// Dir is the folder of the reduced module.
	Dir string
	// Proxy is the folder of the other modules.
	Proxy string
	// Modules are their paths.
	Modules []string
}

// Unpack makes the archive's files under dir, in a folder named by Version, or
// finds them there. It can be called by several processes at once.
func Unpack(dir string) (*SDK, error) {
	target, err := filepath.Abs(filepath.Join(dir, Version()))
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(target); errors.Is(err, fs.ErrNotExist) {
		if err := unpackTo(target); err != nil {
			return nil, fmt.Errorf("unpacking the SDK: %w", err)
		}
	}
	names, err := os.ReadFile(filepath.Join(target, "modules"))
	if err != nil {
		return nil, fmt.Errorf("SDK in %s: %w", target, err)
	}
	return &SDK{Dir: filepath.Join(target, "serval"), Proxy: filepath.Join(target, "proxy"), Modules: strings.Fields(string(names))}, nil
}

// unpackTo writes the files beside the target, and moves them there at last.
func unpackTo(target string) error {
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(target), "unpack-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp) //nolint:errcheck // it is gone if all went well
	z, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		return err
	}
	for _, f := range z.File {
		if err := unpackFile(tmp, f); err != nil {
			return err
		}
	}
	if err := os.Chmod(tmp, 0o755); err != nil {
		return err
	}
	if err := os.Rename(tmp, target); err != nil {
		if _, e := os.Stat(target); e == nil {
			return nil // another process was faster
		}
		return err
	}
	return nil
}

func unpackFile(dir string, f *zip.File) error {
	if !filepath.IsLocal(f.Name) {
		return fmt.Errorf("%q leaves the archive", f.Name)
	}
	name := filepath.Join(dir, filepath.FromSlash(f.Name))
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	r, err := f.Open()
	if err != nil {
		return err
	}
	defer r.Close() // it was only read
	b, err := io.ReadAll(r)
	if err != nil {
		return fmt.Errorf("%s: %w", f.Name, err)
	}
	return os.WriteFile(name, b, 0o644)
}

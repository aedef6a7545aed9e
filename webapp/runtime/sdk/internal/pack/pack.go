// Package pack makes the SDK's archive. It is used by the generator and by the
// test that the committed archive is current.
package pack

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Modules are those that package servlet and the shipped bundles import.
var Modules = []string{"github.com/fxamacker/cbor/v2", "github.com/x448/float16"}

// Archive is the SDK of the module at root, as a zip with nothing in it that
// differs from one machine to the next.
func Archive(root string) ([]byte, error) {
	versions, err := versionsOf(root)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{
		"modules":       []byte(strings.Join(Modules, "\n") + "\n"),
		"serval/go.mod": goMod(versions),
	}
	if err := addServlet(files, root); err != nil {
		return nil, err
	}
	for _, m := range Modules {
		if err := addModule(files, root, m, versions[m]); err != nil {
			return nil, err
		}
	}
	return write(files)
}

// versionsOf are the versions that the module's go.mod asks for.
func versionsOf(root string) (map[string]string, error) {
	out, err := goCommand(root, "mod", "edit", "-json")
	if err != nil {
		return nil, err
	}
	var mod struct {
		Go      string
		Require []struct{ Path, Version string }
	}
	if err := json.Unmarshal(out, &mod); err != nil {
		return nil, fmt.Errorf("go mod edit -json: %w", err)
	}
	v := map[string]string{"go": mod.Go}
	for _, r := range mod.Require {
		v[r.Path] = r.Version
	}
	for _, m := range Modules {
		if v[m] == "" {
			return nil, fmt.Errorf("go.mod does not require %s", m)
		}
	}
	return v, nil
}

func goCommand(dir string, args ...string) ([]byte, error) {
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, stderr.Bytes())
	}
	return out, nil
}

func goMod(v map[string]string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "module github.com/serval-server/serval\n\ngo %s\n\nrequire (\n", v["go"])
	for _, m := range Modules {
		fmt.Fprintf(&b, "\t%s %s\n", m, v[m])
	}
	b.WriteString(")\n")
	return b.Bytes()
}

// addServlet adds package servlet and its subpackages, without tests.
func addServlet(files map[string][]byte, root string) error {
	base := filepath.Join(root, "webapp", "servlet")
	return filepath.WalkDir(base, func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && d.Name() == "testdata":
			return filepath.SkipDir
		case d.IsDir() || strings.HasSuffix(p, "_test.go") || !strings.HasSuffix(p, ".go") && !strings.HasSuffix(p, ".s"):
			return nil
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		b, err := os.ReadFile(p)
		files["serval/"+filepath.ToSlash(rel)] = b
		return err
	})
}

// addModule adds a module of the module cache as a proxy would serve it.
func addModule(files map[string][]byte, root, path, version string) error {
	out, err := goCommand(root, "mod", "download", "-json", path+"@"+version)
	if err != nil {
		return err
	}
	var m struct{ Zip, GoMod string }
	if err := json.Unmarshal(out, &m); err != nil {
		return fmt.Errorf("go mod download -json: %w", err)
	}
	dir := "proxy/" + escape(path) + "/@v/"
	files[dir+"list"] = []byte(version + "\n")
	files[dir+version+".info"] = fmt.Appendf(nil, "{\"Version\":%q}\n", version)
	for ext, file := range map[string]string{".zip": m.Zip, ".mod": m.GoMod} {
		b, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		files[dir+version+ext] = b
	}
	return nil
}

// escape writes upper case letters as a module proxy does.
func escape(path string) string {
	var b strings.Builder
	for _, c := range path {
		if c >= 'A' && c <= 'Z' {
			b.WriteByte('!')
			c += 'a' - 'A'
		}
		b.WriteRune(c)
	}
	return b.String()
}

// write makes the zip: names sorted, one fixed time. Module zips are stored.
func write(files map[string][]byte) ([]byte, error) {
	names := make([]string, 0, len(files))
	for n := range files {
		names = append(names, n)
	}
	slices.Sort(names)
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	z.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, flate.BestCompression) })
	for _, n := range names {
		h := &zip.FileHeader{Name: n, Method: zip.Deflate, Modified: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
		if strings.HasSuffix(n, ".zip") {
			h.Method = zip.Store
		}
		w, err := z.CreateHeader(h)
		if err != nil {
			return nil, err
		}
		if _, err := w.Write(files[n]); err != nil {
			return nil, err
		}
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// Same reports that two archives hold the same files with the same content; the
// compression may differ between versions of Go.
func Same(a, b []byte) (bool, string) {
	read := func(p []byte) map[string]string {
		m := map[string]string{}
		z, err := zip.NewReader(bytes.NewReader(p), int64(len(p)))
		if err != nil {
			return m
		}
		for _, f := range z.File {
			r, err := f.Open()
			if err != nil {
				return m
			}
			c, _ := io.ReadAll(r) // a broken archive differs
			_ = r.Close()
			m[f.Name] = string(c)
		}
		return m
	}
	x, y := read(a), read(b)
	for n, c := range y {
		if x[n] != c {
			return false, n
		}
	}
	for n := range x {
		if _, ok := y[n]; !ok {
			return false, n
		}
	}
	return true, ""
}

package cli

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// install puts a program where it belongs, in one step, so that a server which looks
// at the folder never sees half of it.
func install(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // opened for reading
	tmp, err := os.CreateTemp(filepath.Dir(to), ".serval-*")
	if err != nil {
		return err
	}
	_, err = io.Copy(tmp, in)
	err = errors.Join(err, tmp.Chmod(0o755), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), to)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	return nil
}

// packBundle writes a bundle's folder as a zip, without its source and without files
// whose names begin with a dot.
func packBundle(dir, file string) error {
	if ext := strings.ToLower(filepath.Ext(file)); ext != ".war" && ext != ".zip" {
		return fmt.Errorf("%s: a bundle's name ends with .war or .zip", file)
	}
	tmp, err := os.CreateTemp(filepath.Dir(file), ".serval-*")
	if err != nil {
		return err
	}
	z := zip.NewWriter(tmp)
	err = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return addToZip(z, dir, p, d)
	})
	err = errors.Join(err, z.Close(), tmp.Chmod(0o644), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), file)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("%s: %w", file, err), os.Remove(tmp.Name()))
	}
	return nil
}

func addToZip(z *zip.Writer, dir, p string, d fs.DirEntry) error {
	rel, err := filepath.Rel(dir, p)
	if err != nil {
		return err
	}
	name := filepath.ToSlash(rel)
	switch {
	case d.IsDir() && (name == "WEB-INF/src" || strings.HasPrefix(d.Name(), ".") && name != "."):
		return filepath.SkipDir
	case d.IsDir() || strings.HasPrefix(d.Name(), "."):
		return nil
	case !d.Type().IsRegular():
		return fmt.Errorf("%s is not a regular file", p)
	}
	info, err := d.Info()
	if err != nil {
		return err
	}
	h, err := zip.FileInfoHeader(info)
	if err != nil {
		return err
	}
	h.Name, h.Method = name, zip.Deflate
	w, err := z.CreateHeader(h)
	if err != nil {
		return err
	}
	f, err := os.Open(p)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // opened for reading
	_, err = io.Copy(w, f)
	return err
}

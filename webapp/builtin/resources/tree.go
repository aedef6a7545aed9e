package resources

import (
	"archive/zip"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
)

// maxNested bounds an archive in WEB-INF/lib that has to be read into memory
// because the bundle itself is an archive.
const maxNested = 64 << 20

// Tree is a base with the META-INF/resources of its libraries behind it.
type Tree struct {
	base   fs.FS
	layers []fs.FS // META-INF/resources of each library, by name
	close  []io.Closer
}

var (
	_ fs.StatFS    = (*Tree)(nil)
	_ fs.ReadDirFS = (*Tree)(nil)
	_ Writer       = (*Tree)(nil)
)

// New puts the resources of the archives in WEB-INF/lib (*.jar, *.zip) behind
// base. An archive that cannot be read is an error; one without
// META-INF/resources costs nothing afterwards. The caller closes the Tree; base
// stays open.
func New(base fs.FS) (*Tree, error) {
	t := &Tree{base: base}
	libs, err := fs.ReadDir(base, "WEB-INF/lib")
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return t, nil
		}
		return nil, fmt.Errorf("reading WEB-INF/lib: %w", err)
	}
	for _, e := range libs {
		ext := strings.ToLower(path.Ext(e.Name()))
		if e.IsDir() || ext != ".jar" && ext != ".zip" {
			continue
		}
		if err := t.addLibrary("WEB-INF/lib/" + e.Name()); err != nil {
			return nil, errors.Join(err, t.Close())
		}
	}
	return t, nil
}

// addLibrary opens one archive and keeps it if it has resources.
func (t *Tree) addLibrary(name string) error {
	f, err := t.base.Open(name)
	if err != nil {
		return fmt.Errorf("opening %s: %w", name, err)
	}
	at, size, err := randomAccess(f, t.base, name)
	if err != nil {
		return errors.Join(fmt.Errorf("opening %s: %w", name, err), f.Close())
	}
	z, err := zip.NewReader(at, size)
	if err != nil {
		return errors.Join(fmt.Errorf("opening %s: %w", name, err), f.Close())
	}
	info, err := fs.Stat(z, "META-INF/resources")
	if err != nil || !info.IsDir() {
		return f.Close()
	}
	sub, err := fs.Sub(z, "META-INF/resources")
	if err != nil {
		return errors.Join(fmt.Errorf("opening %s: %w", name, err), f.Close())
	}
	t.layers = append(t.layers, sub)
	t.close = append(t.close, f)
	return nil
}

// randomAccess gives the bytes of a file at any offset, from the file itself
// if it can do that and from memory if it is inside an archive.
func randomAccess(f fs.File, fsys fs.FS, name string) (io.ReaderAt, int64, error) {
	if at, ok := f.(io.ReaderAt); ok {
		info, err := f.Stat()
		if err != nil {
			return nil, 0, err
		}
		return at, info.Size(), nil
	}
	data, err := ReadAll(fsys, name, maxNested)
	return bytes.NewReader(data), int64(len(data)), err
}

// Close closes the libraries.
func (t *Tree) Close() error {
	var errs []error
	for _, c := range t.close {
		errs = append(errs, c.Close())
	}
	t.close, t.layers = nil, nil
	return errors.Join(errs...)
}

// find returns the first layer that has the name.
func (t *Tree) find(name string) (fs.FS, fs.FileInfo, error) {
	info, err := fs.Stat(t.base, name)
	if err == nil || len(t.layers) == 0 || IsPrivate(name) || !errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrLink) {
		return t.base, info, err
	}
	for _, l := range t.layers {
		if info, lerr := fs.Stat(l, name); lerr == nil {
			return l, info, nil
		}
	}
	return t.base, nil, err
}

// Open opens the first file of that name.
func (t *Tree) Open(name string) (fs.File, error) {
	if len(t.layers) == 0 {
		return t.base.Open(name)
	}
	l, _, err := t.find(name)
	if err != nil {
		return nil, err
	}
	return l.Open(name)
}

// Stat describes the first file of that name.
func (t *Tree) Stat(name string) (fs.FileInfo, error) {
	_, info, err := t.find(name)
	return info, err
}

// ReadDir lists a folder of all layers, by name; the first of a name counts.
func (t *Tree) ReadDir(name string) ([]fs.DirEntry, error) {
	entries, err := fs.ReadDir(t.base, name)
	if len(t.layers) == 0 || IsPrivate(name) || err != nil && !errors.Is(err, fs.ErrNotExist) {
		return entries, err
	}
	for _, l := range t.layers {
		more, lerr := fs.ReadDir(l, name)
		if lerr != nil {
			continue
		}
		err = nil
		for _, e := range more {
			if !IsPrivate(path.Join(name, e.Name())) {
				entries = append(entries, e)
			}
		}
	}
	slices.SortStableFunc(entries, func(a, b fs.DirEntry) int { return cmp.Compare(a.Name(), b.Name()) })
	entries = slices.CompactFunc(entries, func(a, b fs.DirEntry) bool { return a.Name() == b.Name() })
	return entries, err
}

// WriteFile writes into the base, if that is a Writer.
func (t *Tree) WriteFile(name string, fill func(*os.File) error) error {
	if w, ok := t.base.(Writer); ok {
		return w.WriteFile(name, fill)
	}
	return &fs.PathError{Op: "write", Path: name, Err: fs.ErrPermission}
}

// Remove removes from the base, if that is a Writer.
func (t *Tree) Remove(name string) error {
	if w, ok := t.base.(Writer); ok {
		return w.Remove(name)
	}
	return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrPermission}
}

// IsPrivate reports whether a name is inside WEB-INF or META-INF, in any case
// of letters since the file system may not tell cases apart, or is one of the
// two (Servlet 6.1 §10.5). Such names are for the application's own eyes.
func IsPrivate(name string) bool {
	first, _, _ := strings.Cut(strings.TrimPrefix(name, "/"), "/")
	first = strings.TrimRight(first, ". ")
	return strings.EqualFold(first, "WEB-INF") || strings.EqualFold(first, "META-INF")
}

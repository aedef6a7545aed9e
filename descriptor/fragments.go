package descriptor

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
)

const libDir = "WEB-INF/lib"

// Limits of a bundle's libraries.
const (
	maxLibs    = 2000      // archives looked at
	maxArchive = 256 << 20 // bytes of an archive that must be read to memory
)

// fragments reads the fragments of the bundle's libraries and orders them.
// None counts if the application says that its own descriptor is complete.
func (l *loader) fragments(app *WebApp) []*WebApp {
	if app.MetadataComplete || app.Ordering.Absolute != nil && len(app.Ordering.Absolute) == 0 {
		return nil
	}
	entries, err := fs.ReadDir(l.fsys, libDir)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			l.diags.add(Pos{File: l.opts.Prefix + libDir}, SeverityError, KindConfig, "listing the libraries: %v", err)
		}
		return nil
	}
	var frags []*WebApp
	libs := 0
	for _, e := range entries { // sorted by name
		ext := strings.ToLower(path.Ext(e.Name()))
		if ext != ".jar" && ext != ".zip" {
			continue
		}
		if libs++; libs > maxLibs {
			l.diags.add(Pos{File: l.opts.Prefix + libDir}, SeverityError, KindConfig, "more than %d libraries", maxLibs)
			break
		}
		if f := l.fragment(e); f != nil {
			frags = append(frags, f)
		}
	}
	return orderFragments(app, frags, &l.diags)
}

// fragment reads the fragment descriptor of one library, nil if it has none.
func (l *loader) fragment(e fs.DirEntry) *WebApp {
	lib := libDir + "/" + e.Name()
	name, data, err := fragmentFile(l.fsys, lib, e.IsDir())
	if err != nil {
		l.diags.add(Pos{File: l.opts.Prefix + lib}, SeverityError, KindConfig, "reading the library: %v", err)
		return nil
	}
	if name == "" {
		return nil
	}
	f, ds := parseWeb(l.opts.Prefix+lib+"!/"+name, data, l.opts.Env, "web-fragment")
	l.diags = append(l.diags, ds...)
	if f.fragmentName == "" {
		f.fragmentName = e.Name()
	}
	return f
}

// fragmentNames are the forms of a fragment descriptor; the first that is there counts.
var fragmentNames = []string{"META-INF/web-fragment.xml", "META-INF/web-fragment.toml"}

// fragmentFile finds the fragment descriptor in a library: an archive, or a folder of its name.
func fragmentFile(fsys fs.FS, lib string, isDir bool) (name string, data []byte, err error) {
	if isDir {
		sub, err := fs.Sub(fsys, lib)
		if err != nil {
			return "", nil, err
		}
		return firstFile(sub)
	}
	f, err := fsys.Open(lib)
	if err != nil {
		return "", nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", nil, err
	}
	var at io.ReaderAt
	size := info.Size()
	if ra, ok := f.(io.ReaderAt); ok {
		at = ra
	} else {
		all, err := io.ReadAll(io.LimitReader(f, maxArchive+1))
		if err != nil {
			return "", nil, err
		}
		if len(all) > maxArchive {
			return "", nil, fmt.Errorf("it has more than %d bytes", maxArchive)
		}
		at, size = bytes.NewReader(all), int64(len(all))
	}
	zr, err := zip.NewReader(at, size)
	if err != nil {
		return "", nil, err
	}
	return firstZipped(zr)
}

func firstFile(fsys fs.FS) (string, []byte, error) {
	for _, n := range fragmentNames {
		data, err := readFile(fsys, n)
		if err == nil {
			return n, data, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", nil, err
		}
	}
	return "", nil, nil
}

// firstZipped looks entries up by their exact names, without the index of all
// entries that an archive's fs.FS would make.
func firstZipped(zr *zip.Reader) (string, []byte, error) {
	for _, n := range fragmentNames {
		i := slices.IndexFunc(zr.File, func(f *zip.File) bool { return f.Name == n })
		if i < 0 {
			continue
		}
		rc, err := zr.File[i].Open()
		if err != nil {
			return "", nil, err
		}
		data, err := io.ReadAll(io.LimitReader(rc, maxFile+1))
		rc.Close()
		if err == nil && len(data) > maxFile {
			err = fmt.Errorf("%s has more than %d bytes", n, maxFile)
		}
		return n, data, err
	}
	return "", nil, nil
}

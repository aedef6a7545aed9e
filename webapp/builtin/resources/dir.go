package resources

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"runtime"
	"strings"
)

// ErrLink is the reason why a name that leads through a symbolic link is
// refused. It counts as fs.ErrNotExist, so that it is answered with 404.
var ErrLink = fmt.Errorf("symbolic links are not allowed here: %w", fs.ErrNotExist)

// Writer is a tree that can be changed. Dir is one; archives are not.
type Writer interface {
	// WriteFile replaces or creates the file by what fill writes into a
	// temporary file beside it, all at once: nobody sees half a file, and an
	// error of fill leaves the old one. The folder must exist.
	WriteFile(name string, fill func(*os.File) error) error
	// Remove deletes a file or an empty folder.
	Remove(name string) error
}

// Dir is a folder as a tree.
type Dir struct {
	root  *os.Root
	links bool
}

var (
	_ fs.StatFS    = (*Dir)(nil)
	_ fs.ReadDirFS = (*Dir)(nil)
	_ Writer       = (*Dir)(nil)
)

// OpenDir opens a folder. allowLinking lets names lead through symbolic links
// that stay inside the folder; links that leave it are refused in any case.
// The caller closes the Dir.
func OpenDir(dir string, allowLinking bool) (*Dir, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the application's folder: %w", err)
	}
	return &Dir{root: root, links: allowLinking}, nil
}

// Close releases the folder. Files that are open stay open.
func (d *Dir) Close() error { return d.root.Close() }

// Open opens a file or a folder for reading. A regular file is an *os.File,
// which the network can send without copying it through the process.
func (d *Dir) Open(name string) (fs.File, error) {
	if err := d.check("open", name); err != nil {
		return nil, err
	}
	f, err := d.root.Open(name)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// Stat returns what a file or folder is.
func (d *Dir) Stat(name string) (fs.FileInfo, error) {
	if err := d.check("stat", name); err != nil {
		return nil, err
	}
	return d.root.Stat(name)
}

// ReadDir lists a folder by name, without the links if they are refused and
// without what is being written.
func (d *Dir) ReadDir(name string) ([]fs.DirEntry, error) {
	if err := d.check("readdir", name); err != nil {
		return nil, err
	}
	all, err := fs.ReadDir(d.root.FS(), name)
	entries := all[:0]
	for _, e := range all {
		if e.Type()&fs.ModeSymlink != 0 && !d.links || strings.HasPrefix(e.Name(), tempPrefix) {
			continue
		}
		entries = append(entries, e)
	}
	return entries, err
}

// check refuses names that io/fs does not know, that a Windows file system
// would read as another name, and those that lead through a link. Between the
// check and the opening a link may be put in place; os.Root then still keeps
// the name inside the folder.
func (d *Dir) check(op, name string) error {
	if !fs.ValidPath(name) || strings.ContainsRune(name, 0) || !portable(name) {
		return &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
	}
	if strings.HasPrefix(path.Base(name), tempPrefix) {
		return &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
	}
	if d.links {
		info, err := d.root.Stat(name)
		if err == nil && !plain(info.Mode()) {
			err = &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
		}
		return err
	}
	for i := 1; i <= len(name); i++ {
		if i < len(name) && name[i] != '/' {
			continue
		}
		info, err := d.root.Lstat(name[:i])
		if err != nil {
			return err
		}
		if info.Mode()&fs.ModeSymlink != 0 {
			return &fs.PathError{Op: op, Path: name, Err: ErrLink}
		}
		if !plain(info.Mode()) {
			return &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
		}
	}
	return nil
}

// plain reports whether something is a file or a folder. A pipe would keep
// its reader waiting, a device may have no end.
func plain(mode fs.FileMode) bool { return mode.IsRegular() || mode.IsDir() }

// portable reports whether a name means on this system what it says: Windows
// drops dots and blanks at the end of an element and reads what follows a
// colon as a stream of the file.
func portable(name string) bool {
	if runtime.GOOS != "windows" {
		return true
	}
	if strings.ContainsAny(name, `:\`) {
		return false
	}
	for elem := range strings.SplitSeq(name, "/") {
		if elem != "." && strings.TrimRight(elem, ". ") != elem {
			return false
		}
	}
	return true
}

// tempPrefix begins the names of files that are being written.
const tempPrefix = ".serval-put-"

// WriteFile implements Writer.
func (d *Dir) WriteFile(name string, fill func(*os.File) error) (err error) {
	if err := d.checkNew("write", name); err != nil {
		return err
	}
	temp := path.Join(path.Dir(name), tempPrefix+rand.Text())
	f, err := d.root.OpenFile(temp, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, ignoreMissing(d.root.Remove(temp)))
		}
	}()
	if err := fill(f); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.Close(); err != nil {
		return err
	}
	return d.root.Rename(temp, name)
}

// Remove implements Writer.
func (d *Dir) Remove(name string) error {
	if name == "." {
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrInvalid}
	}
	if err := d.check("remove", name); err != nil {
		return err
	}
	return d.root.Remove(name)
}

// checkNew is check for a name whose last element may be missing.
func (d *Dir) checkNew(op, name string) error {
	if name == "." {
		return &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	err := d.check(op, name)
	if err == nil || errors.Is(err, ErrLink) {
		return err
	}
	if !fs.ValidPath(name) || strings.ContainsRune(name, 0) || !portable(name) || strings.HasPrefix(path.Base(name), tempPrefix) {
		return err
	}
	return d.check(op, path.Dir(name))
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// ReadAll reads a whole file of at most limit bytes.
func ReadAll(fsys fs.FS, name string, limit int64) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() // only read
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("reading %s: it has more than the %d bytes allowed", name, limit)
	}
	return data, nil
}

package deploy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/serval-server/serval/deploy/archive"
)

const (
	// warTracker is a file in every unpacked folder. It has the time of the
	// zip that the folder was unpacked from (Tomcat's name and rule), and
	// its size as the content.
	warTracker = "META-INF/war-tracker"
	// tempPrefix begins the names of folders that are being unpacked or
	// have been replaced. It is a hidden name, which no scan deploys.
	tempPrefix = ".serval-"
	// copyPrefix begins the names of private copies of zips that are served
	// in place, in a context's work folder.
	copyPrefix = "bundle-"
	// replacedDir holds, below the work folder, the latest file or folder of
	// each name that was replaced and that the server had not made itself.
	replacedDir = ".replaced"
)

// upToDate reports whether a folder was unpacked from the zip as it is now. A
// folder without a tracker was not unpacked by the server; as in Tomcat it is
// taken as it is.
func upToDate(dir string, zip stamp) bool {
	tracker := filepath.Join(dir, filepath.FromSlash(warTracker))
	st := stampOf(tracker)
	if !st.exists {
		return true
	}
	if st.mtime != zip.mtime {
		return false
	}
	data, err := os.ReadFile(tracker)
	size := strings.TrimSpace(string(data))
	return err == nil && (size == "" || size == strconv.FormatInt(zip.size, 10))
}

// unpackBeside unpacks a zip into a new hidden folder of the appBase.
func (h *Host) unpackBeside(ctx context.Context, arch *archive.Archive, zip stamp) (dir string, err error) {
	dir, err = os.MkdirTemp(h.opts.AppBase, tempPrefix+"unpack-*")
	if err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(dir)
		}
	}()
	if err = os.Chmod(dir, 0o755); err != nil {
		return "", err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", err
	}
	defer root.Close()
	if err = arch.Unpack(ctx, root); err != nil {
		return "", err
	}
	if err = root.MkdirAll(filepath.Dir(filepath.FromSlash(warTracker)), 0o755); err != nil {
		return "", err
	}
	err = root.WriteFile(warTracker, []byte(strconv.FormatInt(zip.size, 10)+"\n"), 0o644)
	if err == nil {
		t := time.Unix(0, zip.mtime)
		err = root.Chtimes(warTracker, t, t)
	}
	return dir, err
}

// moveAway renames a folder of the appBase to a hidden name, so that another
// can take its place; the generation that serves from it keeps it open.
func (h *Host) moveAway(dir artifact) (string, error) {
	if !dir.exists {
		return "", nil
	}
	place, err := os.MkdirTemp(h.opts.AppBase, tempPrefix+"old-*")
	if err != nil {
		return "", err
	}
	if err := os.Rename(dir.path, filepath.Join(place, filepath.Base(dir.path))); err != nil {
		_ = os.Remove(place)
		return "", err
	}
	return filepath.Join(place, filepath.Base(dir.path)), nil
}

// restore puts a folder back that moveAway has taken.
func (h *Host) restore(o *opened) {
	if o.replaced == "" {
		return
	}
	target := filepath.Join(h.opts.AppBase, filepath.Base(o.replaced))
	err := os.RemoveAll(target)
	if err == nil {
		err = os.Rename(o.replaced, target)
	}
	if err != nil {
		h.log.Error("cannot put the replaced folder back", "folder", o.replaced, "error", err)
		return
	}
	_ = os.Remove(filepath.Dir(o.replaced))
	o.replaced = ""
}

// dropReplaced deletes what moveAway has taken.
func (h *Host) dropReplaced(path string) {
	if path == "" {
		return
	}
	if h.discard(path) == nil {
		_ = os.Remove(filepath.Dir(path))
	}
}

// discard deletes a file or folder. What the server has not made itself is
// kept in the work folder until the next of that name is discarded: the rules
// let a zip replace a folder of the same name, which may be somebody's work.
func (h *Host) discard(path string) error {
	made := stampOf(filepath.Join(path, filepath.FromSlash(warTracker))).exists
	if !made && stampOf(path).exists {
		keep := filepath.Join(h.opts.WorkDir, replacedDir)
		kept := filepath.Join(keep, filepath.Base(path))
		err := os.MkdirAll(keep, 0o700)
		if err == nil {
			err = os.RemoveAll(kept)
		}
		if err == nil {
			err = os.Rename(path, kept)
		}
		if err == nil {
			h.log.Info("moved away", "file", path, "to", kept)
			return nil
		}
		h.log.Warn("cannot keep a replaced file, it is deleted", "file", path, "error", err)
	}
	err := os.RemoveAll(path)
	if err != nil {
		h.log.Error("cannot delete", "file", path, "error", err)
	}
	return err
}

// deletable guards every deletion that the rules ask for: only what lies
// directly in the appBase, or a context file directly in the xmlBase.
func (h *Host) deletable(path string) bool {
	dir := filepath.Dir(path)
	return dir == h.opts.AppBase || h.opts.XMLBase != "" && dir == h.opts.XMLBase && isContextFile(path)
}

// remove deletes a file or folder if it may.
func (h *Host) remove(a artifact) error {
	if a.exists && h.deletable(a.path) {
		return h.discard(a.path)
	}
	return nil
}

// sweep deletes what an earlier run that was killed has left behind.
func (h *Host) sweep() {
	for _, name := range namesIn(h.opts.AppBase) {
		path := filepath.Join(h.opts.AppBase, name)
		switch {
		case strings.HasPrefix(name, tempPrefix+"old-"):
			for _, moved := range namesIn(path) {
				h.recover(filepath.Join(path, moved))
			}
			_ = os.Remove(path)
		case strings.HasPrefix(name, tempPrefix):
			_ = os.RemoveAll(path)
		}
	}
	for _, app := range namesIn(h.opts.WorkDir) {
		for _, name := range namesIn(filepath.Join(h.opts.WorkDir, app)) {
			if strings.HasPrefix(name, copyPrefix) && isArchive(name) {
				_ = os.Remove(filepath.Join(h.opts.WorkDir, app, name))
			}
		}
	}
}

// namesIn lists a folder, or nothing if it cannot be read.
func namesIn(dir string) []string {
	entries, _ := os.ReadDir(dir)
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names
}

// recover puts a folder back that was moved away when the server was killed,
// unless its successor is in place.
func (h *Host) recover(path string) {
	target := filepath.Join(h.opts.AppBase, filepath.Base(path))
	if stampOf(target).exists {
		_ = h.discard(path) // it is logged, and tried again at the next start
		return
	}
	if err := os.Rename(path, target); err != nil {
		h.log.Error("cannot put a folder back", "folder", path, "error", err)
	}
}

// copyFile copies a file into a folder under a new name made from pattern.
func (h *Host) copyFile(from, folder, pattern string) (path string, err error) {
	in, err := os.Open(from)
	if err != nil {
		return "", err
	}
	defer in.Close()
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return "", err
	}
	out, err := os.CreateTemp(folder, pattern)
	if err != nil {
		return "", err
	}
	_, err = io.Copy(out, in)
	if err = errors.Join(err, out.Close()); err != nil {
		_ = os.Remove(out.Name())
		return "", fmt.Errorf("copy %s: %w", from, err)
	}
	return out.Name(), nil
}

// writeAtomically writes a file so that nobody sees a part of it.
func writeAtomically(path string, data []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), tempPrefix+"*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(data)
	err = errors.Join(err, tmp.Chmod(0o644), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		_ = os.Remove(tmp.Name())
	}
	return err
}

// copyTree copies a bundle's folder: files and folders, no links.
func copyTree(ctx context.Context, from, to string) error {
	src, err := os.OpenRoot(from)
	if err != nil {
		return err
	}
	defer src.Close()
	return fs.WalkDir(src.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		target := filepath.Join(to, filepath.FromSlash(name))
		switch {
		case d.IsDir():
			return os.MkdirAll(target, 0o755)
		case !d.Type().IsRegular():
			return fmt.Errorf("%s is neither a file nor a folder", filepath.Join(from, name))
		}
		return copyOne(src, name, target)
	})
}

func copyOne(src *os.Root, name, target string) error {
	in, err := src.Open(name)
	if err != nil {
		return err
	}
	defer in.Close()
	st, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(target, os.O_WRONLY|os.O_CREATE|os.O_EXCL, st.Mode().Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err = errors.Join(err, out.Close()); err != nil {
		return err
	}
	return os.Chtimes(target, st.ModTime(), st.ModTime())
}

package deploy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/serval-server/serval/deploy/archive"
	"github.com/serval-server/serval/descriptor"
)

// opened is a bundle that is ready to be made into an application.
type opened struct {
	fsys    fs.FS
	closer  io.Closer
	dir     string // the folder that holds the files, "" for a zip in place
	bundle  string // where the bundle lies, for messages
	context *descriptor.ContextFile
	// defaults are the default context files.
	defaults []*descriptor.ContextFile
	origin   origin
	// replaced is the folder that was moved away to make room, or "".
	replaced string
	// fresh is set if dir has just been unpacked.
	fresh bool
}

// settings are what a context file says about opening its bundle.
type settings struct {
	context  *descriptor.ContextFile   // from the xmlBase, or nil
	defaults []*descriptor.ContextFile // of all contexts
	docBase  string                    // absolute, outside of the appBase; or ""
}

// maxContextFile bounds a context file's size in bytes.
const maxContextFile = 1 << 20

// settle reads the context file, if there is one, and finds the bundle.
func (h *Host) settle(src *sources) (settings, error) {
	var s settings
	src.ext = artifact{}
	for _, path := range h.opts.ContextDefaults {
		cf, err := h.readContext(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return s, err
		}
		s.defaults = append(s.defaults, cf)
	}
	if !src.xml.exists {
		return s, nil
	}
	cf, err := h.readContext(src.xml.path)
	if err != nil {
		return s, err
	}
	s.context = cf
	if cf.DocBase == "" {
		return s, nil
	}
	path := filepath.FromSlash(cf.DocBase)
	if !filepath.IsAbs(path) {
		path = filepath.Join(h.opts.AppBase, path)
	}
	if inside(h.opts.AppBase, path) {
		h.warnOnce(src.xml.path, "docBase within the appBase is ignored: the name of the context file says which bundle it is",
			"file", src.xml.path, "docBase", cf.DocBase)
		return s, nil
	}
	s.docBase, src.ext = path, look(path)
	return s, nil
}

// says is what the context file, or else the first of the defaults that says
// anything, has for a setting; otherwise is what holds if none does.
func (o *opened) says(own *descriptor.ContextFile, setting func(*descriptor.ContextFile) *bool, otherwise bool) bool {
	if own != nil {
		if v := setting(own); v != nil {
			return *v
		}
		if own.Override != nil && *own.Override {
			return otherwise
		}
	}
	for _, cf := range o.defaults {
		if v := setting(cf); v != nil {
			return *v
		}
	}
	return otherwise
}

func unpackWAR(c *descriptor.ContextFile) *bool { return c.UnpackWAR }
func copyXML(c *descriptor.ContextFile) *bool   { return c.CopyXML }

// inside reports whether path is folder or below it.
func inside(folder, path string) bool {
	rel, err := filepath.Rel(folder, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}

func (h *Host) readContext(path string) (*descriptor.ContextFile, error) {
	data, err := readBounded(os.DirFS(filepath.Dir(path)), filepath.Base(path))
	if err != nil {
		return nil, fmt.Errorf("context file: %w", err)
	}
	cf, diags := descriptor.ParseContext(path, data, h.opts.Env)
	if err := diags.Err(); err != nil {
		return nil, fmt.Errorf("context file: %w", err)
	}
	return cf, nil
}

func readBounded(fsys fs.FS, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxContextFile+1))
	if err == nil && len(data) > maxContextFile {
		err = fmt.Errorf("%s: longer than %d bytes", name, maxContextFile)
	}
	return data, err
}

// open finds the bundle of the sources and opens it. src is completed with
// the external bundle. unpack replaces a folder that a zip was unpacked to
// even if it looks up to date. The origin is valid also after an error.
func (h *Host) open(ctx context.Context, a *app, src *sources, unpack bool) (o *opened, err error) {
	o = &opened{origin: origin{copied: h.opts.CopyXML && !h.opts.NoDeployXML}}
	set, err := h.settle(src)
	if err != nil {
		return o, err
	}
	o.context, o.defaults, o.origin.docBase = set.context, set.defaults, set.docBase
	defer func() {
		if err != nil && o.closer != nil {
			_ = o.closer.Close()
			o.closer = nil
		}
	}()
	zip := src.war
	if set.docBase != "" {
		zip = src.ext
		if !src.ext.exists {
			return o, fmt.Errorf("%s: docBase %s does not exist", src.xml.path, set.docBase)
		}
	}
	switch {
	case zip.exists && !zip.dir:
		// A folder that was the bundle before an external one took its
		// place is not what that was unpacked to.
		unpack = unpack || set.docBase != "" && a.generations > 0 && a.origin.docBase == ""
		err = h.openZip(ctx, a, o, zip, src.dir, unpack)
	case set.docBase != "":
		err = o.openFolder(src.ext.path)
	case src.dir.exists:
		err = o.openFolder(src.dir.path)
	default:
		err = fmt.Errorf("context %s has no bundle: there is neither %s.war nor .zip nor a folder of that name in %s, and no docBase elsewhere",
			a.name.Display(), a.name.BaseName(), h.opts.AppBase)
	}
	if err != nil {
		return o, err
	}
	return o, h.openEmbedded(a, o, src)
}

// openFolder opens a folder through an os.Root, so that no link leads out of it.
func (o *opened) openFolder(path string) error {
	root, err := os.OpenRoot(path)
	if err != nil {
		return err
	}
	if o.bundle == "" {
		o.bundle = path
	}
	o.fsys, o.closer, o.dir = root.FS(), root, path
	return nil
}

// openZip checks a zip, and unpacks it into the appBase or opens a private
// copy of it, which stays whole when the original is overwritten.
func (h *Host) openZip(ctx context.Context, a *app, o *opened, zip, dir artifact, force bool) error {
	o.bundle, o.origin.unpacked = zip.path, !h.opts.NoUnpack
	arch, err := archive.Open(zip.path, h.limits)
	if err != nil {
		return err
	}
	unpack, err := h.unpackAllowed(arch, o)
	o.origin.unpacked = unpack
	if err != nil || !unpack {
		_ = arch.Close()
		if err != nil {
			return err
		}
		return h.openCopy(a, o, zip)
	}
	defer arch.Close()
	target := filepath.Join(h.opts.AppBase, a.name.BaseName())
	if dir.exists && !force && upToDate(target, zip.stamp) {
		return o.openFolder(target)
	}
	fresh, err := h.unpackBeside(ctx, arch, zip.stamp)
	if err != nil {
		return err
	}
	if stampOf(zip.path) != zip.stamp {
		_ = os.RemoveAll(fresh)
		return fmt.Errorf("%s has changed while it was unpacked", zip.path)
	}
	if o.replaced, err = h.moveAway(dir); err == nil {
		err = os.Rename(fresh, target)
	}
	if err != nil {
		_ = os.RemoveAll(fresh)
		h.restore(o)
		return fmt.Errorf("unpack %s: %w", zip.path, err)
	}
	o.fresh = true
	return o.openFolder(target)
}

// unpackAllowed reports whether host and context both let the zip be
// unpacked. The context file in the zip is asked if there is none in the xmlBase.
func (h *Host) unpackAllowed(arch *archive.Archive, o *opened) (bool, error) {
	cf := o.context
	if h.opts.NoUnpack {
		return false, nil
	}
	if cf == nil && !h.opts.NoDeployXML {
		var err error
		if cf, _, err = h.embedded(arch, o.bundle); err != nil {
			return false, err
		}
	}
	return o.says(cf, unpackWAR, true), nil
}

// openCopy opens a zip in place, from a copy in the work folder.
func (h *Host) openCopy(a *app, o *opened, zip artifact) error {
	copied, err := h.copyFile(zip.path, h.workDir(a.name), copyPrefix+"*.zip")
	if err != nil {
		return err
	}
	if stampOf(zip.path) != zip.stamp {
		_ = os.Remove(copied)
		return fmt.Errorf("%s has changed while it was read", zip.path)
	}
	arch, err := archive.Open(copied, h.limits)
	if err != nil {
		_ = os.Remove(copied)
		return err
	}
	o.fsys, o.closer = arch, &removeOnClose{Closer: arch, path: copied}
	return nil
}

// removeOnClose deletes a private copy with its last user.
type removeOnClose struct {
	io.Closer
	path string
}

func (r *removeOnClose) Close() error { return errors.Join(r.Closer.Close(), os.Remove(r.path)) }

// embedded reads the bundle's own context file; nil if it has none.
func (h *Host) embedded(fsys fs.FS, bundle string) (*descriptor.ContextFile, string, error) {
	for _, name := range embeddedContexts {
		data, err := readBounded(fsys, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, name, fmt.Errorf("%s: %w", bundle, err)
		}
		cf, diags := descriptor.ParseContext(filepath.Join(bundle, name), data, h.opts.Env)
		if err := diags.Err(); err != nil {
			return nil, name, err
		}
		return cf, name, nil
	}
	return nil, "", nil
}

// openEmbedded applies deployXML and copyXML to the bundle's own context file.
func (h *Host) openEmbedded(a *app, o *opened, src *sources) error {
	if o.context != nil {
		return nil // the one in the xmlBase takes its place
	}
	if h.opts.NoDeployXML {
		for _, name := range embeddedContexts {
			if _, err := fs.Stat(o.fsys, name); err == nil {
				return fmt.Errorf("%s carries %s, which this host does not accept (deployXML is off): put a context file into %s, or remove it",
					o.bundle, name, h.opts.XMLBase)
			}
		}
		return nil
	}
	cf, name, err := h.embedded(o.fsys, o.bundle)
	if err != nil || cf == nil {
		return err
	}
	o.origin.copied = h.opts.CopyXML || o.says(cf, copyXML, false)
	if !o.origin.copied || h.opts.XMLBase == "" {
		return nil
	}
	target := filepath.Join(h.opts.XMLBase, a.name.BaseName()+filepath.Ext(name))
	if err := h.copyContext(o.fsys, name, target); err != nil {
		return fmt.Errorf("copy %s of %s: %w", name, o.bundle, err)
	}
	o.context, src.xml = cf, look(target)
	return nil
}

// copyContext writes a context file into the xmlBase, complete or not at all.
func (h *Host) copyContext(fsys fs.FS, name, target string) error {
	data, err := readBounded(fsys, name)
	if err == nil {
		err = os.MkdirAll(h.opts.XMLBase, 0o755)
	}
	if err != nil {
		return err
	}
	return writeAtomically(target, data)
}

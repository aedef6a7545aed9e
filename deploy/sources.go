package deploy

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// stamp is what tells from outside whether a file has changed. The zero stamp
// is that of a file that does not exist. Stamps are comparable.
type stamp struct {
	exists bool
	dir    bool
	size   int64 // of a file
	mtime  int64 // of a file, ns; a folder's says nothing about what is in it
}

// stampOf looks at a file. An error other than that it is not there counts as
// an existing file that cannot be read, so that nothing is undeployed for it.
func stampOf(path string) stamp {
	st, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return stamp{}
	case err != nil:
		return stamp{exists: true}
	case st.IsDir():
		return stamp{exists: true, dir: true}
	}
	return stamp{exists: true, size: st.Size(), mtime: st.ModTime().UnixNano()}
}

// artifact is a file or a folder that may be there.
type artifact struct {
	path string
	stamp
}

func look(path string) artifact { return artifact{path: path, stamp: stampOf(path)} }

// sources are the files that one context may come from, as they were at one
// moment. Sources are comparable.
type sources struct {
	xml artifact // the context file in the xmlBase
	war artifact // the zip in the appBase
	dir artifact // the folder in the appBase, a bundle or what war was unpacked to
	ext artifact // what the context file's docBase points to outside the appBase
	// embedded are META-INF/context.xml and context.toml of dir.
	embedded [2]stamp
}

// gone reports whether nothing is left to deploy.
func (s sources) gone() bool { return !s.xml.exists && !s.war.exists && !s.dir.exists }

var embeddedContexts = [...]string{"META-INF/context.xml", "META-INF/context.toml"}

// lookInside fills in what lies within the folder.
func (s *sources) lookInside() {
	s.embedded = [2]stamp{}
	if s.dir.exists {
		for i, name := range embeddedContexts {
			s.embedded[i] = stampOf(filepath.Join(s.dir.path, filepath.FromSlash(name)))
		}
	}
}

// list reads the xmlBase and the appBase and returns what lies there by
// context name. If a folder cannot be read there is no list: an appBase that is
// not there for a moment must not undeploy everything.
func (h *Host) list() (map[Name]sources, error) {
	found := map[Name]sources{}
	if h.opts.XMLBase != "" {
		entries, err := os.ReadDir(h.opts.XMLBase)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("read context files: %w", err)
		}
		for _, e := range entries {
			h.listXML(found, e)
		}
	}
	entries, err := os.ReadDir(h.opts.AppBase)
	if err != nil {
		return nil, fmt.Errorf("read bundles: %w", err)
	}
	for _, e := range entries {
		h.listBundle(found, e)
	}
	for name, s := range found {
		s.lookInside()
		found[name] = s
	}
	return found, nil
}

func isContextFile(name string) bool {
	return hasSuffixFold(name, ".xml") || hasSuffixFold(name, ".toml")
}
func isArchive(name string) bool { return hasSuffixFold(name, ".war") || hasSuffixFold(name, ".zip") }

func (h *Host) listXML(found map[Name]sources, e fs.DirEntry) {
	path := filepath.Join(h.opts.XMLBase, e.Name())
	if !isContextFile(e.Name()) || hidden(e.Name()) {
		return
	}
	a := look(path)
	if !a.exists || a.dir {
		return
	}
	name, ok := h.nameOf(path, e.Name(), true)
	if !ok {
		return
	}
	s := found[name]
	if s.xml.exists {
		h.warnOnce(path, "context file ignored: another one has the same name", "file", path, "other", s.xml.path)
		return
	}
	s.xml = a
	found[name] = s
}

func (h *Host) listBundle(found map[Name]sources, e fs.DirEntry) {
	if hidden(e.Name()) || isReserved(e.Name()) || h.ignore.MatchString(e.Name()) {
		return
	}
	path := filepath.Join(h.opts.AppBase, e.Name())
	a := look(path)
	if !a.exists || !a.dir && !isArchive(e.Name()) {
		return
	}
	name, ok := h.nameOf(path, e.Name(), !a.dir)
	if !ok {
		return
	}
	s := found[name]
	switch {
	case a.dir:
		s.dir = a
	case s.war.exists:
		h.warnOnce(path, "bundle ignored: another one has the same name", "file", path, "other", s.war.path)
		return
	default:
		s.war = a
	}
	found[name] = s
}

// nameOf reads the context's name from a file's. A name that cannot be one is
// reported once.
func (h *Host) nameOf(path, file string, isFile bool) (Name, bool) {
	name := ParseFileName(file, isFile)
	err := name.Check()
	base := file
	if isFile {
		base = stripExtension(file)
	}
	if err == nil && name.BaseName() != base {
		err = fmt.Errorf("context %s is deployed from the name %q", name.Display(), name.BaseName())
	}
	if err != nil {
		h.warnOnce(path, "ignored: not a name of a context", "file", path, "error", err)
		return Name{}, false
	}
	return name, true
}

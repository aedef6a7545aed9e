package archive

import (
	"archive/zip"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"runtime"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// builder collects the entries of an archive and judges each.
type builder struct {
	limits     Limits
	nodes      map[string]*node
	folded     map[string]string // folded path -> path, to find collisions
	order      []*node
	total      int64
	compressed int64
}

func newBuilder(limits Limits) *builder {
	b := &builder{limits: limits, nodes: map[string]*node{}, folded: map[string]string{}}
	b.nodes["."] = &node{path: ".", info: info{name: ".", mode: fs.ModeDir | 0o755}}
	return b
}

// add judges one entry and takes it in.
func (b *builder) add(f *zip.File) error {
	isDir := strings.HasSuffix(f.Name, "/")
	name := strings.TrimSuffix(f.Name, "/")
	if err := checkName(name, b.limits.Name, runtime.GOOS == "windows"); err != nil {
		return err
	}
	if err := checkKind(f, isDir); err != nil {
		return err
	}
	if err := b.addParents(path.Dir(name), f.Modified); err != nil {
		return err
	}
	if isDir {
		return b.addDir(name, f.Modified)
	}
	return b.addFile(name, f)
}

// checkKind refuses what is neither a plain file nor a folder.
func checkKind(f *zip.File, isDir bool) error {
	const encrypted = 0x1 | 0x40 | 0x2000
	mode := f.Mode()
	switch {
	case mode&fs.ModeSymlink != 0:
		return errors.New("is a symbolic link, which is not allowed")
	case mode.Type()&^fs.ModeDir != 0:
		return fmt.Errorf("is neither a file nor a folder (%v)", mode.Type())
	case mode.IsDir() != isDir:
		return errors.New("is a folder by its mode and a file by its name, or the reverse")
	case f.Flags&encrypted != 0:
		return errors.New("is encrypted, which is not supported")
	case f.Method != zip.Store && f.Method != zip.Deflate:
		return fmt.Errorf("is compressed by method %d; only 0 (stored) and 8 (deflated) are supported", f.Method)
	}
	return nil
}

// addParents takes in the folders above an entry, which need not have
// entries of their own.
func (b *builder) addParents(dir string, modified time.Time) error {
	if dir == "." {
		return nil
	}
	if n := b.nodes[dir]; n != nil && n.file == nil {
		return nil
	}
	if err := b.addParents(path.Dir(dir), modified); err != nil {
		return err
	}
	return b.addDir(dir, modified)
}

func (b *builder) addDir(name string, modified time.Time) error {
	if n := b.nodes[name]; n != nil {
		if n.file != nil {
			return fmt.Errorf("folder %s is also a file", quoteName(name))
		}
		return nil // jar tools name a folder more than once
	}
	if err := b.claim(name); err != nil {
		return err
	}
	b.insert(&node{path: name, info: info{name: path.Base(name), mode: fs.ModeDir | 0o755, modified: modified}})
	return nil
}

func (b *builder) addFile(name string, f *zip.File) error {
	if n := b.nodes[name]; n != nil {
		return errors.New("is named twice")
	}
	if err := b.claim(name); err != nil {
		return err
	}
	if f.UncompressedSize64 > uint64(b.limits.File) {
		return fmt.Errorf("unpacks to %d bytes, at most %d are allowed", f.UncompressedSize64, b.limits.File)
	}
	// A compressed size beyond the archive's is found by checkTotal; it is
	// bounded here only so that the sum cannot overflow.
	if f.CompressedSize64 > 1<<40 {
		return fmt.Errorf("claims %d compressed bytes", f.CompressedSize64)
	}
	size, compressed := int64(f.UncompressedSize64), int64(f.CompressedSize64)
	if f.Method == zip.Store && size != compressed {
		return fmt.Errorf("is stored, but claims %d bytes of %d", compressed, size)
	}
	if err := b.checkRatio(size, compressed); err != nil {
		return err
	}
	if b.total += size; b.total > b.limits.Total {
		return fmt.Errorf("the files unpack to more than %d bytes", b.limits.Total)
	}
	b.compressed += compressed
	n := &node{path: name, file: f, info: info{name: path.Base(name), size: size, mode: fileMode(name, f), modified: f.Modified}}
	b.insert(n)
	b.order = append(b.order, n)
	return nil
}

// claim reserves a name, and finds the name that differs from it only in case
// or normalization, which on some file systems is the same file.
func (b *builder) claim(name string) error {
	key := fold(name)
	if other, taken := b.folded[key]; taken {
		return fmt.Errorf("differs from %s only in case or in Unicode normalization", quoteName(other))
	}
	if len(b.folded) >= b.limits.Entries {
		return fmt.Errorf("more than %d files and folders", b.limits.Entries)
	}
	b.folded[key] = name
	return nil
}

func (b *builder) insert(n *node) {
	b.nodes[n.path] = n
	parent := b.nodes[path.Dir(n.path)]
	parent.children = append(parent.children, fs.FileInfoToDirEntry(n.info))
}

func (b *builder) checkRatio(size, compressed int64) error {
	if size > b.limits.RatioFloor && size/max(compressed, 1) > b.limits.Ratio {
		return fmt.Errorf("%d bytes unpack to %d, a ratio of more than %d", compressed, size, b.limits.Ratio)
	}
	return nil
}

// checkTotal judges the archive as a whole. Compressed bytes that add up to
// more than there are belong to several entries: an overlapping bomb.
func (b *builder) checkTotal(archiveSize int64) error {
	if b.compressed > archiveSize {
		return fmt.Errorf("its entries claim %d compressed bytes, it has only %d", b.compressed, archiveSize)
	}
	return b.checkRatio(b.total, archiveSize)
}

func (b *builder) finish() *Archive {
	for _, n := range b.nodes {
		slices.SortFunc(n.children, func(x, y fs.DirEntry) int { return strings.Compare(x.Name(), y.Name()) })
	}
	return &Archive{nodes: b.nodes, order: b.order, total: b.total}
}

// fileMode is what a file gets when it is unpacked: readable, and executable
// if it was or if it is one of the bundle's programs (WEB-INF/bin), because
// not every zip tool keeps the mode.
func fileMode(name string, f *zip.File) fs.FileMode {
	if f.Mode()&0o111 != 0 || strings.HasPrefix(name, "WEB-INF/bin/") {
		return 0o755
	}
	return 0o644
}

// fold maps names that a case-insensitive or normalizing file system takes
// for the same to the same string.
func fold(name string) string {
	return norm.NFC.String(strings.ToLower(strings.ToUpper(norm.NFC.String(name))))
}

// checkName judges the path of an entry, without the slash that ends a
// folder's. strict adds the rules of Windows.
func checkName(name string, longest int, strict bool) error {
	switch {
	case name == "":
		return errors.New("has no name")
	case len(name) > longest:
		return fmt.Errorf("name is %d bytes long, at most %d are allowed", len(name), longest)
	case !utf8.ValidString(name):
		return errors.New("name is not valid UTF-8")
	case strings.HasPrefix(name, "/"):
		return errors.New("absolute name")
	case strings.ContainsRune(name, '\\'):
		return errors.New("backslash in the name")
	case strings.ContainsFunc(name, unicode.IsControl):
		return errors.New("control character in the name")
	case len(name) >= 2 && name[1] == ':' && unicode.IsLetter(rune(name[0])):
		return errors.New("drive letter in the name")
	}
	for segment := range strings.SplitSeq(name, "/") {
		switch {
		case segment == "" || segment == "." || segment == "..":
			return fmt.Errorf("segment %q in the name", segment)
		case len(segment) > 255:
			return fmt.Errorf("a segment of the name is %d bytes long, at most 255 are allowed", len(segment))
		case strict && reservedOnWindows(segment):
			return fmt.Errorf("segment %q is reserved on Windows", segment)
		}
	}
	return nil
}

// reservedOnWindows reports a segment that Windows takes for a device, a data
// stream, or another name.
func reservedOnWindows(segment string) bool {
	if strings.ContainsAny(segment, `<>:"|?*`) || strings.HasSuffix(segment, ".") || strings.HasSuffix(segment, " ") {
		return true
	}
	stem, _, _ := strings.Cut(segment, ".")
	stem = strings.ToUpper(strings.TrimRight(stem, " "))
	switch stem {
	case "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$":
		return true
	}
	return len(stem) == 4 && (strings.HasPrefix(stem, "COM") || strings.HasPrefix(stem, "LPT")) && stem[3] >= '0' && stem[3] <= '9'
}

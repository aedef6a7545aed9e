// Package archive opens and unpacks bundles that come as a zip (.war, .zip).
//
// A zip comes from outside and is hostile until it has been checked. Open
// reads the central directory, within bounds that hold before anything is
// allocated for an entry, and refuses an archive that
//
//   - is incomplete (a copy that is still under way has no central directory),
//   - names an entry absolutely, through "..", ".", an empty segment, a drive
//     letter, a backslash or a control character,
//   - holds a link, a device or anything else but files and folders,
//   - names an entry twice, also if only the case or the Unicode
//     normalization differs, or names one thing as both a file and a folder,
//   - is encrypted, or uses a method other than stored and deflated,
//   - is a bomb: too many entries, too large a file or total, too high a
//     ratio, or entries that share their compressed bytes.
//
// What has passed is an fs.FS (Archive itself: a bundle served in place), or is
// unpacked into a folder through an os.Root, which no entry can leave
// whatever happens to be in that folder. Sizes that an entry claims are
// enforced again while it is read.
package archive

import (
	"archive/zip"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// ErrRefused is wrapped by every error about an archive's contents, as
// distinct from an error of reading the file.
var ErrRefused = errors.New("archive refused")

// ErrIncomplete is wrapped when the file has no valid central directory: it
// may still be being written.
var ErrIncomplete = errors.New("no valid central directory (is it still being copied?)")

// Limits bound what an archive may hold. A zero field means the default.
type Limits struct {
	// Entries is the greatest number of files and folders, 50 000.
	Entries int
	// File is the greatest size of one unpacked file in bytes, 1 GiB.
	File int64
	// Total is the greatest sum of unpacked sizes in bytes, 4 GiB.
	Total int64
	// Ratio is the greatest unpacked size per compressed size, of one file
	// and of all together, 100. What unpacks to less than RatioFloor bytes
	// (16 MiB) is not asked for its ratio.
	Ratio      int64
	RatioFloor int64
	// Name is the greatest length of a name in bytes, 1024. A segment of it
	// is at most 255 long.
	Name int
}

func (l Limits) withDefaults() Limits {
	l.Entries = cmp.Or(l.Entries, 50_000)
	l.File = cmp.Or(l.File, 1<<30)
	l.Total = cmp.Or(l.Total, 4<<30)
	l.Ratio = cmp.Or(l.Ratio, 100)
	l.RatioFloor = cmp.Or(l.RatioFloor, 16<<20)
	l.Name = cmp.Or(l.Name, 1024)
	return l
}

// Archive is an open zip whose directory has been checked. It is an fs.FS,
// fs.StatFS and fs.ReadDirFS, and its files can be sought in. It can be used by
// several goroutines; one open file cannot.
type Archive struct {
	closer io.Closer
	nodes  map[string]*node
	order  []*node // entries in the order of the archive, folders left out
	total  int64
}

// node is one file or folder.
type node struct {
	info     info
	path     string
	file     *zip.File     // nil for a folder
	children []fs.DirEntry // of a folder, sorted by name
}

// Open checks the zip file at path and opens it. The file stays open until
// Close.
func Open(path string, limits Limits) (*Archive, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = fmt.Errorf("%s: not a regular file", path)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	a, err := New(f, st.Size(), limits)
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	a.closer = f
	return a, nil
}

// New checks a zip of size bytes. Close then closes nothing.
func New(r io.ReaderAt, size int64, limits Limits) (*Archive, error) {
	limits = limits.withDefaults()
	zr, err := readDirectory(r, size, limits)
	if err != nil {
		return nil, err
	}
	b := newBuilder(limits)
	for _, f := range zr.File {
		if err := b.add(f); err != nil {
			return nil, fmt.Errorf("%w: entry %s: %w", ErrRefused, quoteName(f.Name), err)
		}
	}
	if err := b.checkTotal(size); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return b.finish(), nil
}

// Total is the sum of the unpacked sizes in bytes.
func (a *Archive) Total() int64 { return a.total }

// Len is the number of files, folders left out.
func (a *Archive) Len() int { return len(a.order) }

// Close closes the file that Open opened.
func (a *Archive) Close() error {
	if a.closer == nil {
		return nil
	}
	return a.closer.Close()
}

// readDirectory reads the central directory. archive/zip takes the directory
// to reach as far as its records do, whatever number the trailer claims, so
// what it may read is bounded here, and with it what it allocates.
func readDirectory(r io.ReaderAt, size int64, limits Limits) (*zip.Reader, error) {
	bounded := &boundedReaderAt{r: r, left: int64(limits.Entries)*256 + 1<<20}
	zr, err := zip.NewReader(bounded, size)
	if bounded.left < 0 {
		return nil, fmt.Errorf("%w: its directory is too long for %d entries", ErrRefused, limits.Entries)
	}
	// A reader that reports insecure paths (GODEBUG zipinsecurepath) is
	// still valid: names are judged by this package.
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		if errors.Is(err, zip.ErrFormat) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, fmt.Errorf("%w: %w", ErrIncomplete, err)
		}
		return nil, err
	}
	if len(zr.File) > limits.Entries {
		return nil, fmt.Errorf("%w: %d entries, at most %d are allowed", ErrRefused, len(zr.File), limits.Entries)
	}
	bounded.open = true // from now on only file data is read, which has bounds of its own
	return zr, nil
}

// boundedReaderAt stops reading after so many bytes, until it is open.
type boundedReaderAt struct {
	r    io.ReaderAt
	left int64
	open bool
}

func (b *boundedReaderAt) ReadAt(p []byte, off int64) (int, error) {
	if b.open {
		return b.r.ReadAt(p, off)
	}
	if b.left -= int64(len(p)); b.left < 0 {
		return 0, ErrRefused
	}
	return b.r.ReadAt(p, off)
}

// quoteName makes a hostile name fit for a log line.
func quoteName(name string) string {
	const most = 120
	if len(name) > most {
		return fmt.Sprintf("%q... (%d bytes)", name[:most], len(name))
	}
	return fmt.Sprintf("%q", name)
}

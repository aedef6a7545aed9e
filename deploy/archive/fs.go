package archive

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"time"
)

var (
	_ fs.StatFS    = (*Archive)(nil)
	_ fs.ReadDirFS = (*Archive)(nil)
	_ io.Seeker    = (*openFile)(nil)
)

// info is the fs.FileInfo of an entry.
type info struct {
	name     string
	size     int64
	mode     fs.FileMode
	modified time.Time
}

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return i.size }
func (i info) Mode() fs.FileMode  { return i.mode }
func (i info) ModTime() time.Time { return i.modified }
func (i info) IsDir() bool        { return i.mode.IsDir() }
func (i info) Sys() any           { return nil }

func (a *Archive) lookup(op, name string) (*node, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	n := a.nodes[name]
	if n == nil {
		return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
	}
	return n, nil
}

// Open opens a file or a folder. A file can be sought in: backwards that
// means to decompress it again, nothing is kept in memory.
func (a *Archive) Open(name string) (fs.File, error) {
	n, err := a.lookup("open", name)
	if err != nil {
		return nil, err
	}
	if n.file == nil {
		return &openDir{node: n}, nil
	}
	return &openFile{node: n}, nil
}

// Stat describes a file or a folder without opening it.
func (a *Archive) Stat(name string) (fs.FileInfo, error) {
	n, err := a.lookup("stat", name)
	if err != nil {
		return nil, err
	}
	return n.info, nil
}

// ReadDir lists a folder, sorted by name.
func (a *Archive) ReadDir(name string) ([]fs.DirEntry, error) {
	n, err := a.lookup("readdir", name)
	if err != nil {
		return nil, err
	}
	if n.file != nil {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: errors.New("not a folder")}
	}
	return slices.Clone(n.children), nil
}

// openDir is an open folder.
type openDir struct {
	*node
	next int
}

func (d *openDir) Stat() (fs.FileInfo, error) { return d.info, nil }
func (d *openDir) Close() error               { return nil }
func (d *openDir) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.path, Err: errors.New("is a folder")}
}

func (d *openDir) ReadDir(n int) ([]fs.DirEntry, error) {
	rest := d.children[d.next:]
	if n <= 0 {
		d.next = len(d.children)
		return slices.Clone(rest), nil
	}
	if len(rest) == 0 {
		return nil, io.EOF
	}
	rest = rest[:min(n, len(rest))]
	d.next += len(rest)
	return slices.Clone(rest), nil
}

// openFile is an open file. The decompressor is started at the first read.
type openFile struct {
	*node
	pos    int64 // where the next Read reads
	src    io.ReadCloser
	srcPos int64
	closed bool
}

func (f *openFile) Stat() (fs.FileInfo, error) { return f.info, nil }

func (f *openFile) Read(p []byte) (int, error) {
	if f.closed {
		return 0, &fs.PathError{Op: "read", Path: f.path, Err: fs.ErrClosed}
	}
	if f.pos >= f.info.size {
		return 0, io.EOF
	}
	if err := f.align(); err != nil {
		return 0, &fs.PathError{Op: "read", Path: f.path, Err: err}
	}
	n, err := f.src.Read(p)
	f.pos += int64(n)
	f.srcPos += int64(n)
	if err != nil && err != io.EOF {
		return n, &fs.PathError{Op: "read", Path: f.path, Err: fmt.Errorf("%w: %w", ErrRefused, err)}
	}
	if err == io.EOF && f.pos < f.info.size {
		err = &fs.PathError{Op: "read", Path: f.path, Err: io.ErrUnexpectedEOF}
	}
	return n, err
}

// align brings the decompressor to pos.
func (f *openFile) align() error {
	if f.src != nil && f.srcPos > f.pos {
		_ = f.src.Close()
		f.src = nil
	}
	if f.src == nil {
		src, err := f.file.Open()
		if err != nil {
			return err
		}
		f.src, f.srcPos = src, 0
	}
	if skip := f.pos - f.srcPos; skip > 0 {
		n, err := io.CopyN(io.Discard, f.src, skip)
		f.srcPos += n
		return err
	}
	return nil
}

// Seek sets where the next Read reads, by the rules of io.Seeker.
func (f *openFile) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += f.pos
	case io.SeekEnd:
		offset += f.info.size
	case io.SeekStart:
	default:
		return 0, &fs.PathError{Op: "seek", Path: f.path, Err: fs.ErrInvalid}
	}
	if offset < 0 {
		return 0, &fs.PathError{Op: "seek", Path: f.path, Err: fs.ErrInvalid}
	}
	f.pos = offset
	return offset, nil
}

func (f *openFile) Close() error {
	if f.closed {
		return &fs.PathError{Op: "close", Path: f.path, Err: fs.ErrClosed}
	}
	f.closed = true
	if f.src == nil {
		return nil
	}
	return f.src.Close()
}

package archive

import (
	"context"
	"fmt"
	"io"
	"os"
	"path"
)

// Unpack writes all files and folders into dest, which should be empty: a
// file that is there already is an error, not overwritten. Modification times
// are kept. It stops between two files when ctx ends; what it has written by
// then, or until an error, is the caller's to remove.
func (a *Archive) Unpack(ctx context.Context, dest *os.Root) error {
	for name, n := range a.nodes {
		if n.file == nil && name != "." {
			if err := dest.MkdirAll(name, 0o755); err != nil {
				return fmt.Errorf("unpack folder %s: %w", quoteName(name), err)
			}
		}
	}
	buf := make([]byte, 64<<10)
	for _, n := range a.order {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := n.unpack(dest, buf); err != nil {
			return fmt.Errorf("unpack %s: %w", quoteName(n.path), err)
		}
	}
	return nil
}

// unpack writes one file. The size that the directory claimed has been
// judged, so the entry must not turn out longer.
func (n *node) unpack(dest *os.Root, buf []byte) (err error) {
	src, err := n.file.Open()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	defer src.Close()
	out, err := dest.OpenFile(path.Clean(n.path), os.O_WRONLY|os.O_CREATE|os.O_EXCL, n.info.mode.Perm())
	if err != nil {
		return err
	}
	written, err := io.CopyBuffer(struct{ io.Writer }{out}, io.LimitReader(src, n.info.size+1), buf)
	if cerr := out.Close(); err == nil {
		err = cerr
	}
	switch {
	case err != nil:
		return err
	case written != n.info.size:
		return fmt.Errorf("%w: %d bytes, the directory says %d", ErrRefused, written, n.info.size)
	case n.info.modified.IsZero():
		return nil
	}
	return dest.Chtimes(n.path, n.info.modified, n.info.modified)
}

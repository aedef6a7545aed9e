package static

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"time"

	"github.com/serval-server/serval/webapp/builtin/resources"
)

// maxGap bounds the zeros that a partial PUT may ask for between what is there
// and what it brings: a client must not fill the disk with one number.
const maxGap = 64 << 20

// errBody is the reason why a PUT is answered with 400.
var errBody = errors.New("the body is not what the headers say")

// put stores the body of a request: 201 for a new file, 204 for one that is
// replaced, 409 where there can be no file (a folder, no parent, an archive).
func (s *Servlet) put(w http.ResponseWriter, r *http.Request, name string, folder bool) {
	if s.Config.ReadOnly {
		s.notAllowed(w, r)
		return
	}
	tree, writable := s.FS.(resources.Writer)
	info, err := s.stat(name)
	exists := err == nil
	switch {
	case err != nil && !notFound(err):
		s.Fail(w, r, fmt.Errorf("storing %s: %w", name, err))
		return
	case !s.writeConditions(w, r, name, info):
		return
	case folder || !writable || exists && !info.Mode().IsRegular():
		s.error(w, r, http.StatusConflict)
		return
	}
	err = s.store(tree, r, name)
	var tooLarge *http.MaxBytesError
	switch {
	case err == nil && exists:
		w.WriteHeader(http.StatusNoContent)
	case err == nil:
		w.WriteHeader(http.StatusCreated)
	case errors.Is(err, errBody):
		s.error(w, r, http.StatusBadRequest)
	case errors.As(err, &tooLarge):
		s.error(w, r, http.StatusRequestEntityTooLarge)
	case notFound(err) || errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrExist):
		s.error(w, r, http.StatusConflict)
	default:
		s.Fail(w, r, fmt.Errorf("storing %s: %w", name, err))
	}
}

func (s *Servlet) stat(name string) (fs.FileInfo, error) { return fs.Stat(s.FS, name) }

// store writes the body, or the part that Content-Range says.
func (s *Servlet) store(tree resources.Writer, r *http.Request, name string) error {
	values, partial := r.Header["Content-Range"]
	if !partial {
		return tree.WriteFile(name, func(f *os.File) error {
			_, err := io.Copy(f, r.Body)
			return err
		})
	}
	part, complete, ok := byteRange{}, int64(0), false
	if len(values) == 1 {
		part, complete, ok = parseContentRange(values[0])
	}
	if !ok || !s.Config.AllowPartialPut || r.ContentLength >= 0 && r.ContentLength != part.length {
		return errBody
	}
	return tree.WriteFile(name, func(f *os.File) error {
		old, err := s.copyOld(f, name)
		if err != nil {
			return err
		}
		if complete-max(old, part.end()) > maxGap || part.start-old > maxGap {
			return fmt.Errorf("%w: more than %d bytes would be zeros", errBody, maxGap)
		}
		return writePart(f, r.Body, part, complete)
	})
}

// copyOld puts what is there into the temporary file and returns its length.
func (s *Servlet) copyOld(f *os.File, name string) (int64, error) {
	old, err := s.FS.Open(name)
	if err != nil {
		if notFound(err) {
			return 0, nil
		}
		return 0, err
	}
	defer func() { _ = old.Close() }()
	return io.Copy(f, old)
}

// writePart writes exactly the bytes of the part and gives the file the length
// that the whole has.
func writePart(f *os.File, body io.Reader, part byteRange, complete int64) error {
	if _, err := f.Seek(part.start, io.SeekStart); err != nil {
		return err
	}
	n, err := io.Copy(f, io.LimitReader(body, part.length))
	if err != nil {
		return err
	}
	var more [1]byte
	if extra, _ := io.ReadFull(body, more[:]); n != part.length || extra > 0 {
		return errBody
	}
	return f.Truncate(complete)
}

// delete removes a file or an empty folder: 204, 404, or 405 for what cannot
// be removed.
func (s *Servlet) delete(w http.ResponseWriter, r *http.Request, name string) {
	if s.Config.ReadOnly {
		s.notAllowed(w, r)
		return
	}
	info, err := s.stat(name)
	if err != nil && !notFound(err) {
		s.Fail(w, r, fmt.Errorf("removing %s: %w", name, err))
		return
	}
	if !s.writeConditions(w, r, name, info) {
		return
	}
	if err != nil {
		s.error(w, r, http.StatusNotFound)
		return
	}
	tree, ok := s.FS.(resources.Writer)
	if !ok || tree.Remove(name) != nil {
		s.notAllowed(w, r)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// writeConditions evaluates the preconditions of PUT and DELETE; info is nil
// if there is nothing. It answers and reports false if one fails.
func (s *Servlet) writeConditions(w http.ResponseWriter, r *http.Request, name string, info fs.FileInfo) bool {
	var tag etag
	var modified time.Time
	if info != nil {
		modified = seconds(info.ModTime())
		if info.Mode().IsRegular() {
			f, err := s.FS.Open(name)
			if err == nil {
				tag, err = s.tag(f, name, info)
				err = errors.Join(err, f.Close())
			}
			if err != nil {
				s.Fail(w, r, fmt.Errorf("reading %s: %w", name, err))
				return false
			}
		}
	}
	if status := precondition(r, info != nil, tag, modified); status != 0 {
		s.error(w, r, status)
		return false
	}
	return true
}

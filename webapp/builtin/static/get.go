package static

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strconv"
	"syscall"
	"time"
)

// notFound reports whether an error means that there is no such resource: it
// is not there, its name is none for this file system or too long, or a file
// is where the name has a folder.
func notFound(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid) ||
		errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ENAMETOOLONG) || errors.Is(err, syscall.EINVAL)
}

// resource is an open file and what its headers say.
type resource struct {
	name     string
	file     fs.File
	size     int64
	modified time.Time // whole seconds; zero is unknown
	tag      etag
	mime     string
	coding   string // Content-Encoding, "" for the file as it is
	varies   bool   // there are other codings
}

// get answers GET, HEAD and what is answered like them.
func (s *Servlet) get(w http.ResponseWriter, r *http.Request, t Target, name string, folder bool) {
	f, err := s.FS.Open(name)
	if err != nil {
		s.openFailed(w, r, t, err)
		return
	}
	defer func() { _ = f.Close() }() // it was only read
	info, err := f.Stat()
	if err != nil {
		s.Fail(w, r, fmt.Errorf("serving %s: %w", t.Path, err))
		return
	}
	switch {
	case info.IsDir():
		s.getFolder(w, r, t, name, folder)
	case folder || !info.Mode().IsRegular():
		s.missing(w, r, t)
	default:
		s.getFile(w, r, t, name, f, info)
	}
}

// openFailed answers when there is no file. If-Match asks for one that is
// there (RFC 9110 §13.1.1), so it fails with 412 and not with 404.
func (s *Servlet) openFailed(w http.ResponseWriter, r *http.Request, t Target, err error) {
	switch {
	case errors.Is(err, fs.ErrPermission) && t.Kind != Include:
		s.error(w, r, http.StatusNotFound) // do not tell that it is there
	case !notFound(err):
		s.Fail(w, r, fmt.Errorf("serving %s: %w", t.Path, err))
	case t.Kind == Direct || t.Kind == Forward:
		if status := precondition(r, false, "", time.Time{}); status >= 400 {
			s.error(w, r, status)
			return
		}
		s.missing(w, r, t)
	default:
		s.missing(w, r, t)
	}
}

func (s *Servlet) getFolder(w http.ResponseWriter, r *http.Request, t Target, name string, slash bool) {
	switch {
	case !slash && (t.Kind == Direct || t.Kind == Forward):
		s.redirect(w, r, t)
	case !s.Config.Listings || t.Kind == Include || t.Kind == Error:
		s.missing(w, r, t)
	default:
		s.list(w, r, t, name)
	}
}

func (s *Servlet) getFile(w http.ResponseWriter, r *http.Request, t Target, name string, f fs.File, info fs.FileInfo) {
	if t.Kind == Include {
		if err := s.include(w, f, s.describe(name)); err != nil {
			s.Fail(w, r, fmt.Errorf("including %s: %w", t.Path, err))
		}
		return
	}
	res := &resource{name: name, file: f, size: info.Size(), modified: seconds(info.ModTime()), mime: s.describe(name)}
	if t.Kind != Error {
		tag, err := s.tag(f, name, info)
		if err != nil {
			s.Fail(w, r, fmt.Errorf("serving %s: %w", t.Path, err))
			return
		}
		res.tag = tag
		if variant := s.precompressed(r, res); variant != nil {
			defer func() { _ = variant.Close() }()
		}
	}
	h := w.Header()
	if res.varies {
		h.Add("Vary", "Accept-Encoding")
	}
	if t.Kind != Error && !s.checkConditions(w, r, res) {
		return
	}
	s.send(w, r, t, res)
}

// seconds is a time as a header can say it. The epoch itself is what a zip
// without times has, and stands for none.
func seconds(t time.Time) time.Time {
	if t.IsZero() || t.Unix() <= 0 {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Second)
}

// precompressed puts the variant that the client likes best in the place of
// the file, and returns it to be closed.
func (s *Servlet) precompressed(r *http.Request, res *resource) fs.File {
	codings := s.Config.Precompressed
	if len(codings) == 0 {
		return nil
	}
	there := make([]bool, len(codings))
	for i, c := range codings {
		info, err := fs.Stat(s.FS, res.name+c.Suffix)
		there[i] = err == nil && info.Mode().IsRegular()
		res.varies = res.varies || there[i]
	}
	if !res.varies {
		return nil
	}
	accept, _ := header(r, "Accept-Encoding")
	i := choose(accept, codings, func(i int) bool { return there[i] })
	if i < 0 {
		return nil
	}
	f, err := s.FS.Open(res.name + codings[i].Suffix)
	if err != nil {
		return nil // it has gone: the file as it is will do
	}
	info, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return nil
	}
	res.file, res.size, res.coding = f, info.Size(), codings[i].Name
	if res.tag != "" && !res.tag.weak() {
		// Other bytes need another strong tag (RFC 9110 §8.8.3.3).
		res.tag = res.tag[:len(res.tag)-1] + etag("-"+res.coding+`"`)
	}
	return f
}

// checkConditions answers 304, 412 or 400 and reports false if a condition of
// the request says so.
func (s *Servlet) checkConditions(w http.ResponseWriter, r *http.Request, res *resource) bool {
	switch status := precondition(r, true, res.tag, res.modified); status {
	case 0:
		return true
	case http.StatusNotModified:
		// The tag alone, as long as there is one (RFC 9110 §15.4.5).
		if res.tag != "" {
			res.modified = time.Time{}
		}
		res.validators(w.Header())
		w.WriteHeader(status)
	default:
		s.error(w, r, status)
	}
	return false
}

// validators sets the headers that identify the representation.
func (res *resource) validators(h http.Header) {
	if res.tag != "" {
		h.Set("ETag", string(res.tag))
	}
	if !res.modified.IsZero() {
		h.Set("Last-Modified", res.modified.Format(http.TimeFormat))
	}
}

// send writes the representation or the parts of it that were asked for.
func (s *Servlet) send(w http.ResponseWriter, r *http.Request, t Target, res *resource) {
	h := w.Header()
	if s.Config.UseAcceptRanges && t.Kind != Error {
		h.Set("Accept-Ranges", "bytes")
	}
	var ranges []byteRange
	if t.Kind != Error && r.Method == http.MethodGet && res.size > 0 {
		var status int
		ranges, status = s.ranges(r, res)
		if status != 0 {
			if status == http.StatusRequestedRangeNotSatisfiable {
				h.Set("Content-Range", fmt.Sprintf("bytes */%d", res.size))
			}
			s.error(w, r, status)
			return
		}
	}
	if t.Kind != Error {
		res.validators(h)
	}
	if res.coding != "" {
		h.Set("Content-Encoding", res.coding)
	}
	s.KeepContentType(w)
	switch {
	case len(ranges) > 1:
		s.sendParts(w, res, ranges)
		return
	case res.mime != "":
		h.Set("Content-Type", res.mime)
	case h.Get("Content-Type") == "":
		h["Content-Type"] = nil // keep the ResponseWriter from guessing one
	}
	part := byteRange{0, res.size}
	if len(ranges) == 1 {
		part = ranges[0]
		h.Set("Content-Range", part.contentRange(res.size))
	}
	h.Set("Content-Length", strconv.FormatInt(part.length, 10))
	if len(ranges) == 1 {
		w.WriteHeader(http.StatusPartialContent)
	}
	if r.Method != http.MethodHead {
		_ = s.copy(w, res, part) // the client has gone, or the length says that a part is missing
	}
}

// ranges evaluates Range and If-Range; none means the whole.
func (s *Servlet) ranges(r *http.Request, res *resource) ([]byteRange, int) {
	values := r.Header["Range"]
	if len(values) == 0 {
		return nil, 0
	}
	valid, status := rangeStillValid(r, res.tag, res.modified)
	if status != 0 || !valid {
		return nil, status
	}
	ranges, answer := parseRange(values[0], res.size)
	if answer == rangeBad {
		return nil, http.StatusRequestedRangeNotSatisfiable
	}
	return ranges, 0
}

// copy writes one part of the file. Files of the disk go through the writer's
// ReadFrom, which is the kernel's sendfile if nothing wraps the connection.
func (s *Servlet) copy(w io.Writer, res *resource, part byteRange) error {
	if err := res.seek(part.start); err != nil {
		return err
	}
	src := io.LimitReader(res.file, part.length)
	if _, disk := res.file.(*os.File); disk && s.Config.SendfileSize >= 0 && part.length >= s.Config.SendfileSize {
		_, err := io.Copy(w, src)
		return err
	}
	buf := make([]byte, min(max(s.Config.Input, s.Config.Output, 256), int(max(part.length, 1))))
	_, err := io.CopyBuffer(onlyWriter{w}, onlyReader{src}, buf)
	return err
}

// onlyReader and onlyWriter hide ReadFrom and WriteTo from io.Copy.
type (
	onlyReader struct{ io.Reader }
	onlyWriter struct{ io.Writer }
)

// seek moves to an offset: directly on a disk, by reading in an archive, which
// is opened again to go back.
func (res *resource) seek(offset int64) error {
	if s, ok := res.file.(io.Seeker); ok {
		_, err := s.Seek(offset, io.SeekStart)
		return err
	}
	if offset == 0 {
		return nil
	}
	_, err := io.CopyN(io.Discard, res.file, offset)
	return err
}

// sendParts writes a multipart/byteranges body (RFC 9110 §14.6) of known length.
func (s *Servlet) sendParts(w http.ResponseWriter, res *resource, ranges []byteRange) {
	boundary := newBoundary()
	heads := make([]string, len(ranges))
	length := int64(len("\r\n--" + boundary + "--"))
	for i, part := range ranges {
		heads[i] = "\r\n--" + boundary + "\r\n"
		if res.mime != "" {
			heads[i] += "Content-Type: " + res.mime + "\r\n"
		}
		heads[i] += "Content-Range: " + part.contentRange(res.size) + "\r\n\r\n"
		length += int64(len(heads[i])) + part.length
	}
	h := w.Header()
	h.Set("Content-Type", "multipart/byteranges; boundary="+boundary)
	h.Set("Content-Length", strconv.FormatInt(length, 10))
	w.WriteHeader(http.StatusPartialContent)
	for i, part := range ranges {
		if _, err := io.WriteString(w, heads[i]); err != nil {
			return
		}
		if err := s.copyAgain(w, res, part, i); err != nil {
			return
		}
	}
	_, _ = io.WriteString(w, "\r\n--"+boundary+"--") // the client has gone if it fails
}

// copyAgain copies the i-th part. A file that cannot seek is opened anew.
func (s *Servlet) copyAgain(w io.Writer, res *resource, part byteRange, i int) error {
	if _, ok := res.file.(io.Seeker); ok || i == 0 {
		return s.copy(w, res, part)
	}
	name := res.name
	for _, c := range s.Config.Precompressed {
		if c.Name == res.coding {
			name += c.Suffix
		}
	}
	f, err := s.FS.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	again := *res
	again.file = f
	return s.copy(w, &again, part)
}

package servlet

import (
	"io"
	"mime"
	"mime/multipart"
	"net/http"
)

// ParseMultipart reads the form data with files of a request, keeping files of
// up to file-size-threshold bytes of the servlet's multipart-config in memory
// and larger ones on disk, and returns it; it is r.MultipartForm from then on.
// The error is a *http.MaxBytesError if the form is over one of the
// multipart-config's limits, http.ErrNotMultipart if there is no such form. The
// files are removed when the servlet returns. (Reading the form in any other
// way, with r.FormFile or r.MultipartReader, is under the same limits.)
func ParseMultipart(r *http.Request) (*multipart.Form, error) {
	memory := int64(32 << 20)
	if p, ok := r.Body.(*partReader); ok {
		memory = p.cfg.FileSizeThreshold
	}
	if err := r.ParseMultipartForm(memory); err != nil {
		return nil, err
	}
	return r.MultipartForm, nil
}

// tidy is a servlet that takes what its multipart-config allows, and leaves no
// temporary files: net/http removes only those of the request that it has made
// itself, which is not the one that a servlet sees.
func tidy(h http.Handler, c *MultipartConfig) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c != nil {
			limitMultipart(r, *c)
		}
		had := r.MultipartForm != nil
		defer func() {
			if !had && r.MultipartForm != nil {
				_ = r.MultipartForm.RemoveAll() // what is gone already is gone
			}
		}()
		h.ServeHTTP(w, r)
	})
}

// limitMultipart puts the limits on the body of a request with form data.
func limitMultipart(r *http.Request, c MultipartConfig) {
	if r.Body == nil || r.Body == http.NoBody {
		return
	}
	mediaType, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || mediaType != "multipart/form-data" || params["boundary"] == "" {
		return
	}
	if _, again := r.Body.(*partReader); again {
		return
	}
	r.Body = newPartReader(r.Body, params["boundary"], c)
}

// partReader passes a multipart body on and fails when the body, or one part of
// it, is longer than allowed. It follows the boundaries as they go by, so that a
// part that is too long is refused before it fills a disk.
type partReader struct {
	body  io.ReadCloser
	cfg   MultipartConfig
	total int64
	err   error

	delim   []byte // LF "--" boundary
	fail    []int  // of delim (Knuth, Morris, Pratt)
	matched int    // bytes of delim that end here
	// eol is how long a line end before the delimiter is that does not
	// belong to the part: 1 if a CR came before the LF of delim.
	eol    int64
	prev   byte  // the byte before this one
	after  int   // 1: delim has just ended; 2: "-" came after it; 3: and another; 4: white space; 5: CR
	ended  bool  // the last delimiter has gone by: the rest is nobody's
	seen   bool  // the first delimiter has gone by
	bare   bool  // its line ended with LF alone, and so do all others
	header bool  // in a part's header
	blank  bool  // the header's line has nothing in it so far
	part   int64 // bytes of the part's body so far; negative: there is no part
}

func newPartReader(body io.ReadCloser, boundary string, cfg MultipartConfig) *partReader {
	p := &partReader{body: body, cfg: cfg, delim: []byte("\n--" + boundary), part: -1}
	p.fail = make([]int, len(p.delim))
	for i, k := 1, 0; i < len(p.delim); i++ {
		for k > 0 && p.delim[i] != p.delim[k] {
			k = p.fail[k-1]
		}
		if p.delim[i] == p.delim[k] {
			k++
		}
		p.fail[i] = k
	}
	p.matched = 1 // the first delimiter need not follow a line
	return p
}

// Read implements io.Reader.
func (p *partReader) Read(b []byte) (int, error) {
	if p.err != nil {
		return 0, p.err
	}
	n, err := p.body.Read(b)
	p.total += int64(n)
	if limit := p.cfg.MaxRequestSize; limit >= 0 && p.total > limit {
		p.err = &http.MaxBytesError{Limit: limit}
		return 0, p.err
	}
	if limit := p.cfg.MaxFileSize; limit >= 0 && p.follow(b[:n], limit) {
		p.err = &http.MaxBytesError{Limit: limit}
		return 0, p.err
	}
	return n, err
}

// follow reports that a part is longer than allowed. Like package multipart it
// takes a bare LF for a line end.
func (p *partReader) follow(b []byte, limit int64) bool {
	for _, c := range b {
		switch {
		case p.ended:
			return false
		case p.after > 0 && p.endsDelimiter(c):
		case p.header:
			p.headerByte(c)
		case p.bodyByte(c) > limit:
			return true
		}
		p.prev = c
	}
	return false
}

// bodyByte looks for the delimiter, and returns how long the part is for certain.
func (p *partReader) bodyByte(c byte) int64 {
	for p.matched > 0 && c != p.delim[p.matched] {
		p.matched = p.fail[p.matched-1]
	}
	if c == p.delim[p.matched] && (c != '\n' || p.bare || p.part < 0 || p.prev == '\r') {
		p.matched++
	}
	if p.part >= 0 {
		p.part++
	}
	switch {
	case c == '\n' && p.prev == '\r' && !p.bare:
		p.eol = 1
	case c == '\n', p.matched == 0:
		p.eol = 0
	}
	size := p.part - int64(p.matched) - p.eol
	if p.matched == 0 && c == '\r' && !p.bare {
		size-- // it may be a line end's
	}
	if p.matched == len(p.delim) {
		p.matched, p.after = 0, 1
	}
	return size
}

// endsDelimiter looks at what follows the boundary: the two dashes of the last
// delimiter, or white space and a line end. With anything else it is the beginning
// of a longer word, and the text goes on. It reports that the byte has been dealt
// with.
func (p *partReader) endsDelimiter(c byte) bool {
	was := p.after
	p.after = 0
	switch {
	case was == 1 && c == '-':
		p.after = 2
		if p.part >= 0 {
			p.part++
		}
		return true
	case was == 2 && c == '-', was == 3 && (c == ' ' || c == '\t' || c == '\r'):
		p.after, p.part = 3, -1
		return true
	case was == 2:
		return false
	case was == 3:
		p.ended = c == '\n' && (p.bare || p.prev == '\r')
		return p.ended
	case !p.seen:
		return p.firstDelimiter(was, c)
	case c == ' ' || c == '\t' || c == '\r' || c == '\n':
		p.header, p.blank, p.part = true, false, -1
		p.headerByte(c)
		return true
	}
	return false
}

// firstDelimiter looks at the rest of the first delimiter's line. Its end decides
// how all lines end; what is none is text that nobody reads.
func (p *partReader) firstDelimiter(was int, c byte) bool {
	switch {
	case was != 5 && (c == ' ' || c == '\t'):
		p.after = 4
	case was != 5 && c == '\r':
		p.after = 5
	case c == '\n':
		p.seen, p.bare = true, was != 5
		p.header, p.blank = true, true
	default:
		return false
	}
	return true
}

// headerByte looks for the empty line that ends a part's header.
func (p *partReader) headerByte(c byte) {
	switch c {
	case '\n':
		if p.blank {
			// An empty part's delimiter may begin with this line end.
			p.header, p.part, p.matched, p.eol = false, 0, 1, 0
		}
		p.blank = true
	case '\r':
	default:
		p.blank = false
	}
}

// Close implements io.Closer.
func (p *partReader) Close() error { return p.body.Close() }

package webapp

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/serval-server/serval/webapp/servlet"
)

// DefaultBufferSize is how many bytes of a response are held back until it is
// committed, unless the servlet asks for another size.
const DefaultBufferSize = 8 << 10

// maxBufferSize bounds what a servlet may ask for.
const maxBufferSize = 16 << 20

// smallBody is the size up to which net/http finds out the length of a finished
// response itself.
const smallBody = 2 << 10

var buffers = sync.Pool{New: func() any { b := make([]byte, 0, DefaultBufferSize); return &b }}

// response is the http.ResponseWriter that an application writes to. It holds
// the body back until the buffer overflows, the handler flushes, or the request
// ends: then it is committed. Just before that the session's changes are
// committed, so that no byte leaves before they are safe.
//
// It belongs to one request and, as every ResponseWriter, is not for several
// goroutines at once.
type response struct {
	w  http.ResponseWriter
	ex *exchange

	status    int // 0: not set
	buf       *[]byte
	limit     int   // the buffer's size; 0 is DefaultBufferSize
	written   int64 // bytes that have left, or would have for HEAD
	committed bool
	hijacked  bool
	// suspended: what is written goes nowhere (after an error, a forward).
	suspended bool
	// nested: a dispatch from another application; w buffers already.
	nested bool
	// rawType: the body is a file's bytes, in nobody knows what charset.
	rawType bool
	headed  bool  // somebody has asked for the headers, and may have changed them
	files   bool  // the default servlet answers
	unsafe  bool  // commit without the session
	failed  error // the session's changes could not be made safe
}

var (
	_ http.ResponseWriter   = (*response)(nil)
	_ io.ReaderFrom         = (*response)(nil)
	_ io.StringWriter       = (*response)(nil)
	_ servlet.ResponseState = (*response)(nil)
)

// Header implements http.ResponseWriter. Other than net/http's, the headers can
// be changed until the commit, also after WriteHeader (Servlet 6.1 §5.2).
func (p *response) Header() http.Header {
	p.headed = true
	return p.w.Header()
}

// WriteHeader sets the status. Those of 1xx other than 101 leave at once.
func (p *response) WriteHeader(status int) {
	switch {
	case p.suspended || p.committed:
		return
	case status >= 100 && status < 200 && status != http.StatusSwitchingProtocols:
		p.w.WriteHeader(status)
		return
	}
	p.status = status
	if status == http.StatusSwitchingProtocols {
		_ = p.commit(false)
	}
}

// Write implements http.ResponseWriter.
func (p *response) Write(b []byte) (int, error) {
	if ok, err := p.writable(); !ok {
		return len(b), err
	}
	if !p.committed {
		if p.fits(len(b)) {
			*p.buf = append(*p.buf, b...)
			return len(b), nil
		}
		if err := p.commit(false); err != nil {
			return 0, err
		}
	}
	n, err := p.w.Write(b)
	p.written += int64(n)
	return n, err
}

// WriteString implements io.StringWriter.
func (p *response) WriteString(s string) (int, error) {
	if ok, err := p.writable(); !ok {
		return len(s), err
	}
	if !p.committed {
		if p.fits(len(s)) {
			*p.buf = append(*p.buf, s...)
			return len(s), nil
		}
		if err := p.commit(false); err != nil {
			return 0, err
		}
	}
	n, err := io.WriteString(p.w, s)
	p.written += int64(n)
	return n, err
}

// ReadFrom implements io.ReaderFrom. It commits, so that a file's bytes go from
// the file to the socket without a copy (sendfile) where that is possible.
func (p *response) ReadFrom(src io.Reader) (int64, error) {
	if ok, err := p.writable(); !ok {
		if err != nil {
			return 0, err
		}
		return io.Copy(io.Discard, src)
	}
	if !p.committed {
		if err := p.commit(false); err != nil {
			return 0, err
		}
	}
	n, err := io.Copy(p.w, src)
	p.written += n
	return n, err
}

// writable reports that a write goes anywhere.
func (p *response) writable() (bool, error) {
	switch {
	case p.failed != nil:
		return false, p.failed
	case p.hijacked:
		return false, http.ErrHijacked
	case p.suspended:
		return false, nil
	case !p.committed && !bodyAllowed(p.status):
		return false, http.ErrBodyNotAllowed
	}
	return true, nil
}

// fits makes the buffer ready and reports that n more bytes have room in it.
func (p *response) fits(n int) bool {
	limit := p.limit
	if limit == 0 {
		limit = DefaultBufferSize
	}
	if p.buf == nil {
		if n > limit {
			return false
		}
		p.buf, _ = buffers.Get().(*[]byte)
	}
	return len(*p.buf)+n <= limit
}

// FlushError commits and sends what there is; http.ResponseController calls it.
func (p *response) FlushError() error {
	if p.suspended {
		return nil
	}
	if !p.committed {
		if err := p.commit(false); err != nil {
			return err
		}
	} else if err := p.commitSession(); err != nil {
		return err
	}
	return http.NewResponseController(p.w).Flush()
}

// Flush implements http.Flusher.
func (p *response) Flush() { _ = p.FlushError() }

// Hijack implements http.Hijacker: a commit point, after which the response is
// the caller's.
func (p *response) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if p.committed {
		return nil, nil, servlet.ErrCommitted
	}
	if err := p.commitSession(); err != nil {
		return nil, nil, err
	}
	c, rw, err := http.NewResponseController(p.w).Hijack()
	if err == nil {
		p.committed, p.hijacked = true, true
		p.release()
		p.ex.Detach()
		p.ex.unlockSessions()
	}
	return c, rw, err
}

// Unwrap lets http.ResponseController set deadlines.
func (p *response) Unwrap() http.ResponseWriter { return p.w }

// Committed implements servlet.ResponseState. A response that is over for the
// application (after a forward, a redirect, an error) counts as committed.
func (p *response) Committed() bool { return p.committed || p.suspended }

// Status implements servlet.ResponseState.
func (p *response) Status() int {
	if p.status == 0 {
		return http.StatusOK
	}
	return p.status
}

// ResetBuffer implements servlet.ResponseState.
func (p *response) ResetBuffer() error {
	if p.Committed() {
		return servlet.ErrCommitted
	}
	p.drop()
	return nil
}

// drop empties the buffer.
func (p *response) drop() {
	if p.buf != nil {
		*p.buf = (*p.buf)[:0]
	}
}

// Reset implements servlet.ResponseState.
func (p *response) Reset() error {
	if err := p.ResetBuffer(); err != nil {
		return err
	}
	p.status = 0
	h := p.w.Header()
	for k := range h {
		// The session's cookie has been promised already.
		if k != "Set-Cookie" {
			delete(h, k)
		}
	}
	return nil
}

// SetBufferSize implements servlet.ResponseState.
func (p *response) SetBufferSize(n int) error {
	if p.Committed() || p.buf != nil && len(*p.buf) > 0 {
		return servlet.ErrCommitted
	}
	p.limit = min(max(n, 1), maxBufferSize)
	return nil
}

// Suspend implements servlet.ResponseState.
func (p *response) Suspend() { p.suspended = true }

// KeepContentType is called by the servlet of files: their text is in a charset
// that only the file's author knows, so none is added to Content-Type.
func (p *response) KeepContentType() {
	p.rawType = true
	if outer, ok := p.w.(*response); ok { // a dispatch across applications
		outer.KeepContentType()
	}
}

// commitSession makes the session's changes safe.
func (p *response) commitSession() error {
	if p.failed != nil || p.unsafe {
		return p.failed
	}
	if err := p.ex.commitSession(); err != nil {
		p.failed = err
		return err
	}
	return nil
}

// commitWithout is commit for the report that says that the session's changes
// could not be made safe.
func (p *response) commitWithout() error {
	p.unsafe = true
	return p.finish()
}

// commit sends status, headers and what the buffer holds. last says that
// nothing follows, so that the length is known.
func (p *response) commit(last bool) error {
	if err := p.commitSession(); err != nil {
		return err
	}
	var body []byte
	if p.buf != nil {
		body = *p.buf
	}
	if p.headed && !p.rawType { // to ask for them has net/http copy them
		p.ex.c.finishHeaders(p.w.Header(), p.files)
	}
	if last && len(body) > smallBody && bodyAllowed(p.status) {
		if h := p.w.Header(); h["Content-Length"] == nil && h["Transfer-Encoding"] == nil && h["Trailer"] == nil {
			h["Content-Length"] = []string{strconv.Itoa(len(body))}
		}
	}
	p.committed = true
	if p.status != 0 && p.status != http.StatusOK {
		p.w.WriteHeader(p.status)
	} else if len(body) == 0 {
		p.w.WriteHeader(http.StatusOK)
	}
	var err error
	if len(body) > 0 {
		var n int
		n, err = p.w.Write(body)
		p.written += int64(n)
	}
	p.release()
	return err
}

// release gives the buffer back.
func (p *response) release() {
	if p.buf == nil {
		return
	}
	if cap(*p.buf) <= 2*DefaultBufferSize {
		*p.buf = (*p.buf)[:0]
		buffers.Put(p.buf)
	}
	p.buf = nil
}

// finish ends the response: what has not been committed is.
func (p *response) finish() error {
	if p.hijacked {
		return p.commitSession()
	}
	if !p.committed {
		return p.commit(true)
	}
	return p.commitSession()
}

func bodyAllowed(status int) bool {
	return status != http.StatusNoContent && status != http.StatusNotModified && (status == 0 || status >= 200)
}

// finishHeaders completes what the application has said of its content. Files
// are as they are.
func (c *Context) finishHeaders(h http.Header, files bool) {
	if c.charset == "" || files {
		return
	}
	ct := h["Content-Type"]
	if len(ct) != 1 || !strings.HasPrefix(ct[0], "text/") || strings.Contains(ct[0], "charset=") {
		return
	}
	full, ok := c.contentTypes.Load(ct[0])
	if !ok {
		full = []string{ct[0] + ";charset=" + c.charset}
		if c.contentTypeCount.Add(1) <= maxContentTypes {
			c.contentTypes.Store(ct[0], full)
		}
	}
	h["Content-Type"], _ = full.([]string)
}

// maxContentTypes bounds how many completed content types are kept.
const maxContentTypes = 64

// includeWriter is what an included target writes to: the includer's response,
// of which it can change neither status nor headers (Servlet 6.1 §9.3).
type includeWriter struct {
	w      http.ResponseWriter
	header http.Header // what the target sets, read by nobody
}

var _ servlet.ResponseState = (*includeWriter)(nil)

func (i *includeWriter) Header() http.Header {
	if i.header == nil {
		i.header = i.w.Header().Clone()
		if i.header == nil {
			i.header = http.Header{}
		}
	}
	return i.header
}

func (i *includeWriter) WriteHeader(int) {}

func (i *includeWriter) Write(b []byte) (int, error) { return i.w.Write(b) }

func (i *includeWriter) WriteString(s string) (int, error) { return io.WriteString(i.w, s) }

func (i *includeWriter) FlushError() error {
	err := http.NewResponseController(i.w).Flush()
	if errors.Is(err, http.ErrNotSupported) {
		return nil
	}
	return err
}

func (i *includeWriter) Flush() { _ = i.FlushError() }

// Committed and StatusOf are those of the includer's response; what would change
// it has no effect.
func (i *includeWriter) Committed() bool { return servlet.Committed(i.w) }

// Status implements servlet.ResponseState.
func (i *includeWriter) Status() int { return servlet.StatusOf(i.w) }

// ResetBuffer implements servlet.ResponseState.
func (i *includeWriter) ResetBuffer() error { return nil }

// Reset implements servlet.ResponseState.
func (i *includeWriter) Reset() error { return nil }

// SetBufferSize implements servlet.ResponseState.
func (i *includeWriter) SetBufferSize(int) error { return nil }

// Suspend implements servlet.ResponseState.
func (i *includeWriter) Suspend() {}

// Unwrap leads to the includer's response, for deadlines.
func (i *includeWriter) Unwrap() http.ResponseWriter { return i.w }

// included reports that a writer is that of an included target, possibly
// wrapped.
func included(w http.ResponseWriter) bool {
	_, ok := servlet.StateOf(w).(*includeWriter)
	return ok
}

// direct reports that nothing of the application stands between a writer and
// the response.
func (p *response) direct(w http.ResponseWriter) bool {
	for {
		i, ok := w.(*includeWriter)
		if !ok {
			return w == http.ResponseWriter(p)
		}
		w = i.w
	}
}

package filters

import (
	"bufio"
	"io"
	"net"
	"net/http"
)

// headerWriter calls a function once, just before the header of the final
// response leaves, so that a filter can look at what the application has put
// there and add to it.
type headerWriter struct {
	http.ResponseWriter
	before func(h http.Header, status int)
	done   bool
}

var (
	_ io.ReaderFrom = (*headerWriter)(nil)
	_ http.Flusher  = (*headerWriter)(nil)
	_ http.Hijacker = (*headerWriter)(nil)
)

// Unwrap is for http.ResponseController.
func (w *headerWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *headerWriter) commit(status int) {
	if !w.done {
		w.done = true
		w.before(w.Header(), status)
	}
}

func (w *headerWriter) WriteHeader(status int) {
	if status >= 200 || status == http.StatusSwitchingProtocols {
		w.commit(status)
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *headerWriter) Write(b []byte) (int, error) {
	w.commit(http.StatusOK)
	return w.ResponseWriter.Write(b)
}

// ReadFrom keeps the way to the kernel's sendfile open.
func (w *headerWriter) ReadFrom(r io.Reader) (int64, error) {
	w.commit(http.StatusOK)
	return copyWhole(w.ResponseWriter, r)
}

// copyWhole is io.Copy that asks the writer first and then the reader, so that
// a file arrives as the file that it is.
func copyWhole(w io.Writer, r io.Reader) (int64, error) {
	if rf, ok := w.(io.ReaderFrom); ok {
		return rf.ReadFrom(r)
	}
	return io.Copy(w, r)
}

// FlushError is what http.ResponseController calls; a flush sends the header.
func (w *headerWriter) FlushError() error {
	w.commit(http.StatusOK)
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Flush implements http.Flusher for handlers that ask for it.
func (w *headerWriter) Flush() { _ = w.FlushError() }

func (w *headerWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return http.NewResponseController(w.ResponseWriter).Hijack()
}

// beforeHeader runs next with a writer that calls before when the header
// leaves, at the end of the handler at the latest.
func beforeHeader(w http.ResponseWriter, r *http.Request, next http.Handler, before func(h http.Header, status int)) {
	hw := &headerWriter{ResponseWriter: w, before: before}
	next.ServeHTTP(hw, r)
	hw.commit(http.StatusOK)
}

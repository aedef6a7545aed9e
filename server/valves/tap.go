package valves

import (
	"io"
	"net/http"
	"time"

	"github.com/serval-server/serval/webapp"
)

// Tap is the ResponseWriter that valves look through: it knows the status, the
// number of bytes and the time of the first one. There is one per request, made by
// the first valve that needs it.
type Tap struct {
	http.ResponseWriter
	start     time.Time
	firstByte time.Duration
	status    int
	bytes     int64
	// inner is the request as the application saw it, with its session and
	// attributes; nil if none has seen it.
	inner *http.Request
	// running is the request's place among those that may be stuck: one object less.
	running running
	room    webapp.Room // of what the application makes for the request: likewise
}

var _ webapp.Observer = (*Tap)(nil)

var _ io.ReaderFrom = (*Tap)(nil)

// TapOf returns the Tap below w, or wraps w in a new one.
func TapOf(w http.ResponseWriter) *Tap {
	for at := w; ; {
		if t, ok := at.(*Tap); ok {
			return t
		}
		u, ok := at.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return &Tap{ResponseWriter: w, start: time.Now()}
		}
		at = u.Unwrap()
	}
}

// startOf is when the request came, by the Tap that w is, else now: a look at the
// clock costs as much as the rest of a small valve.
func startOf(w http.ResponseWriter) time.Time {
	if t, ok := w.(*Tap); ok {
		return t.start
	}
	return time.Now()
}

// Status is the status that was sent, 0 if none was yet.
func (t *Tap) Status() int { return t.status }

// Bytes is the number of the body's bytes that were written so far.
func (t *Tap) Bytes() int64 { return t.bytes }

// Unwrap is for http.ResponseController.
func (t *Tap) Unwrap() http.ResponseWriter { return t.ResponseWriter }

// ObserveRequest implements webapp.Observer: the access log can ask the request for
// its session and attributes.
func (t *Tap) ObserveRequest(r *http.Request) { t.inner = r }

// Room implements webapp.Observer.
func (t *Tap) Room() *webapp.Room { return &t.room }

// begin notes the status of the final answer; informational ones pass by.
func (t *Tap) begin(status int) {
	if t.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) {
		t.status = status
		t.firstByte = time.Since(t.start)
	}
}

// WriteHeader implements http.ResponseWriter.
func (t *Tap) WriteHeader(status int) {
	t.begin(status)
	t.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (t *Tap) Write(p []byte) (int, error) {
	t.begin(http.StatusOK)
	n, err := t.ResponseWriter.Write(p)
	t.bytes += int64(n)
	return n, err
}

// WriteString implements io.StringWriter.
func (t *Tap) WriteString(s string) (int, error) {
	t.begin(http.StatusOK)
	n, err := io.WriteString(t.ResponseWriter, s)
	t.bytes += int64(n)
	return n, err
}

// ReadFrom implements io.ReaderFrom: a file goes from the kernel to the kernel if
// the writer below can do that.
func (t *Tap) ReadFrom(src io.Reader) (int64, error) {
	t.begin(http.StatusOK)
	var n int64
	var err error
	if rf, ok := t.ResponseWriter.(io.ReaderFrom); ok {
		n, err = rf.ReadFrom(src)
	} else {
		n, err = io.Copy(writerOnly{t.ResponseWriter}, src)
	}
	t.bytes += n
	return n, err
}

// writerOnly hides everything but Write, so that io.Copy cannot come back.
type writerOnly struct{ io.Writer }

// FlushError implements what http.ResponseController looks for.
func (t *Tap) FlushError() error {
	t.begin(http.StatusOK)
	return http.NewResponseController(t.ResponseWriter).Flush()
}

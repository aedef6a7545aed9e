package servlet

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"

	"github.com/serval-server/serval/webapp/servlet/wire"
)

// response is the http.ResponseWriter of a call. It holds back up to
// wire.MaxData bytes, so that an ordinary answer is one frame.
type response struct {
	c *call

	mu       sync.Mutex
	header   http.Header   // the author's; it counts until the head leaves
	status   int           // guarded by mu; 0 until WriteHeader: what the container says
	limit    int           // guarded by mu; bytes held back, 0 is wire.MaxData
	body     []byte        // guarded by mu; held back
	pooled   *[]byte       // guarded by mu; what body began as
	sent     bool          // guarded by mu; the head has left
	closed   bool          // guarded by mu; what is written goes nowhere
	direct   bool          // guarded by mu; the container writes the response
	hijacked bool          // guarded by mu
	failure  *wire.Failure // guarded by mu; how the response shall end
	err      error         // guarded by mu; of the connection
}

var bodyPool = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}

func (w *response) init(c *call, header http.Header) {
	w.c = c
	if w.header = header; header == nil {
		w.header = make(http.Header, 4)
	}
}

var (
	_ http.ResponseWriter = (*response)(nil)
	_ http.Flusher        = (*response)(nil)
	_ http.Hijacker       = (*response)(nil)
)

// Header implements http.ResponseWriter.
func (w *response) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter. As in the server, status and
// header can be changed until the head leaves (Servlet 6.1 §5.2).
func (w *response) WriteHeader(status int) {
	if status < 100 || status > 999 {
		panic(fmt.Sprintf("invalid WriteHeader code %v", status))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writeHeaderLocked(status)
}

func (w *response) writeHeaderLocked(status int) {
	if w.closed || w.hijacked || w.direct || w.sent {
		return
	}
	if status < 200 && status != http.StatusSwitchingProtocols {
		w.err = w.c.s.Send(wire.TypeResponse, wire.FlagInfo, frameOf(&wire.Response{Status: status, Header: w.header}))
		return
	}
	w.status = status
}

// Write implements http.ResponseWriter.
func (w *response) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.writableLocked(len(p)); err != nil || w.closed {
		return len(p), err
	}
	if len(w.body)+len(p) <= w.bufferSize() {
		w.holdLocked(p)
		return len(p), nil
	}
	if err := w.sendLocked(0); err != nil {
		return 0, err
	}
	if len(p) < w.bufferSize() {
		w.holdLocked(p)
		return len(p), nil
	}
	w.dataLocked(0, p)
	return len(p), w.err
}

// WriteString implements io.StringWriter.
func (w *response) WriteString(s string) (int, error) {
	w.mu.Lock()
	if len(w.body)+len(s) > w.bufferSize() {
		w.mu.Unlock()
		return w.Write([]byte(s))
	}
	defer w.mu.Unlock()
	if err := w.writableLocked(len(s)); err != nil || w.closed {
		return len(s), err
	}
	w.bufferLocked()
	w.body = append(w.body, s...)
	return len(s), nil
}

func (w *response) writableLocked(n int) error {
	switch {
	case w.err != nil:
		return w.err
	case w.hijacked:
		return http.ErrHijacked
	case w.closed:
		return nil
	case w.direct:
		// After the rest of the chain, or a forward, has answered.
		return nil
	}
	if n > 0 && (w.status == http.StatusNoContent || w.status == http.StatusNotModified || w.status == http.StatusSwitchingProtocols) {
		return http.ErrBodyNotAllowed
	}
	return nil
}

// bufferSize is how many bytes are held back. It is read under mu.
func (w *response) bufferSize() int {
	if w.limit > 0 {
		return w.limit
	}
	return wire.MaxData
}

func (w *response) bufferLocked() {
	if w.body == nil {
		w.pooled = bodyPool.Get().(*[]byte)
		w.body = (*w.pooled)[:0]
	}
}

func (w *response) holdLocked(p []byte) {
	w.bufferLocked()
	w.body = append(w.body, p...)
}

func (w *response) releaseLocked() {
	if w.pooled != nil && cap(w.body) <= 2*wire.MaxData {
		*w.pooled = w.body[:0]
		bodyPool.Put(w.pooled)
	}
	w.pooled, w.body = nil, nil
}

// sendLocked sends what is held back; before the head leaves, the session's
// changes are taken.
func (w *response) sendLocked(f wire.Flags) error {
	if w.err != nil {
		return w.err
	}
	if w.sent {
		if len(w.body) > 0 || f != 0 {
			w.dataLocked(f, w.body)
			w.body = w.body[:0]
		}
		return w.err
	}
	m := wire.Response{Status: w.status, Header: w.header, Body: w.body}
	m.Changes = w.c.scope.take()
	if !w.c.s.Spend(len(m.Body)) {
		return fmt.Errorf("no credit for the first %d bytes", len(m.Body)) // cannot be: the window is larger
	}
	w.sent = true
	w.err = w.c.s.Send(wire.TypeResponse, f|wire.FlagCommit, frameOf(&m))
	w.body = w.body[:0]
	return w.err
}

// dataLocked sends a piece of the body, which the answer to HEAD has not.
func (w *response) dataLocked(f wire.Flags, p []byte) {
	if w.c.method == http.MethodHead {
		p = nil
	}
	w.err = w.c.s.SendData(&w.c.ctx, f, p)
}

// Flush implements http.Flusher.
func (w *response) Flush() { _ = w.FlushError() }

// FlushError sends what is held back on to the client. The first flush is a
// commit point.
func (w *response) FlushError() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.hijacked {
		return http.ErrHijacked
	}
	if w.closed {
		return nil
	}
	if w.direct {
		return w.c.s.SendData(&w.c.ctx, wire.FlagFlush, nil)
	}
	return w.sendLocked(wire.FlagFlush)
}

// EnableFullDuplex is what http.ResponseController asks for; a worker's requests
// always are.
func (w *response) EnableFullDuplex() error { return nil }

// Committed implements ResponseState.
func (w *response) Committed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sent || w.hijacked
}

// Status implements ResponseState.
func (w *response) Status() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.status == 0 {
		return http.StatusOK
	}
	return w.status
}

// ResetBuffer implements ResponseState.
func (w *response) ResetBuffer() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.sent || w.hijacked || w.direct {
		return ErrCommitted
	}
	w.body = w.body[:0]
	return nil
}

// Reset implements ResponseState.
func (w *response) Reset() error {
	if err := w.ResetBuffer(); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.status = 0
	for k := range w.header {
		if k != "Set-Cookie" {
			delete(w.header, k)
		}
	}
	return nil
}

// SetBufferSize implements ResponseState. A worker holds back at most what one
// frame carries.
func (w *response) SetBufferSize(n int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.sent || w.hijacked || w.direct || len(w.body) > 0 {
		return ErrCommitted
	}
	w.limit = min(max(n, 1), wire.MaxData)
	return nil
}

// Suspend implements ResponseState.
func (w *response) Suspend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
}

// fail has the response end with a failure; a later one replaces an earlier.
func (w *response) fail(f *wire.Failure) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failure = f
	w.closed = true
}

// sendError is fail for a response that has not begun.
func (w *response) sendError(f *wire.Failure) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.sent || w.hijacked || w.direct {
		return ErrCommitted
	}
	w.status, w.body = 0, w.body[:0]
	w.failure = f
	w.closed = true
	return nil
}

// finish ends the stream after the handler has returned.
func (w *response) finish() {
	w.mu.Lock()
	defer w.mu.Unlock()
	defer w.releaseLocked()
	if w.hijacked {
		return // the connection ends the stream
	}
	defer func() { w.closed = true }()
	m := wire.Response{Changes: w.c.scope.take(), Failure: w.failure}
	if m.Failure != nil {
		m.Attributes = w.c.scope.attributes()
	}
	s := w.c.s
	switch {
	case w.err != nil:
		// The request was given up, or the connection is gone, which is
		// noticed elsewhere.
		m.Failure = FailureOf(w.err)
		m.Failure.Kind = wire.FailAbort
		_ = s.Send(wire.TypeEnd, wire.FlagEnd, frameOf(&m))
	case !w.sent && !w.direct && m.Failure == nil:
		m.Status, m.Header = w.status, w.header
		m.Trailer = w.trailers()
		m.Body = w.body
		w.err = s.Send(wire.TypeResponse, wire.FlagEnd, frameOf(&m))
	default:
		if !w.sent {
			m.Header = w.header
		} else if len(w.body) > 0 {
			if w.dataLocked(0, w.body); w.err != nil {
				return
			}
		}
		m.Trailer = w.trailers()
		w.err = s.Send(wire.TypeEnd, wire.FlagEnd, frameOf(&m))
	}
	w.sent = true
}

// trailers are the fields that the header announced (RFC 9110 §6.6.2) or that
// bear http.TrailerPrefix.
func (w *response) trailers() http.Header {
	var t http.Header
	add := func(k string, v []string) {
		if t == nil {
			t = make(http.Header)
		}
		t[k] = v
	}
	for _, line := range w.header["Trailer"] {
		for name := range strings.SplitSeq(line, ",") {
			name = http.CanonicalHeaderKey(strings.TrimSpace(name))
			if v := w.header[name]; v != nil {
				add(name, v)
			}
		}
	}
	for k, v := range w.header {
		if name, ok := strings.CutPrefix(k, http.TrailerPrefix); ok {
			add(http.CanonicalHeaderKey(name), v)
		}
	}
	return t
}

// Hijack implements http.Hijacker: the connection to the client is carried as
// the stream's body in both directions.
func (w *response) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.hijacked {
		return nil, nil, http.ErrHijacked
	}
	if w.c.w.inline {
		// Nobody would read for the connection after the handler's return.
		return nil, nil, fmt.Errorf("hijack in a WebAssembly module: %w", http.ErrNotSupported)
	}
	if w.sent || w.closed || w.direct {
		return nil, nil, errors.New("hijack: the response has begun")
	}
	if !w.c.body.ended && w.c.length != 0 {
		return nil, nil, errors.New("hijack: the request has a body")
	}
	call := &wire.Call{Op: wire.OpUpgrade}
	if w.status != 0 {
		call.Status, call.Header = w.status, w.header
	}
	if ch := w.c.scope.take(); ch != nil {
		if _, err := w.c.scope.callOn(w.c.s, &wire.Call{Op: wire.OpCommit, Changes: ch}); err != nil {
			return nil, nil, err
		}
	}
	if _, err := w.c.scope.callOn(w.c.s, call); err != nil {
		return nil, nil, fmt.Errorf("hijack: %w", err)
	}
	w.hijacked = true
	// The stream now lives as long as the connection, which outlives the
	// handler: it gets a reference of its own.
	conn := newHijacked(w.c)
	return conn, bufio.NewReadWriter(bufio.NewReader(conn), bufio.NewWriter(conn)), nil
}

package connector

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// plainConn is a connection without TLS. It mends what net/http does to requests that
// never reach a handler: it refuses an empty line before the first request, its
// refusals have no Date and may be lost in a reset, and a target that is too long is
// called a header that is. It also remembers what net/http forgets, see ambiguous.
// Under TLS those stay as net/http has them, since only the inner connection sees
// what is said.
type plainConn struct {
	*conn
	// limit is how many bytes of a request's head net/http reads before it gives up.
	limit int64
	// skipped counts bytes before the first request; -1 after its first byte.
	skipped int
	// line counts the bytes read since the last end of a line. Atomic as what
	// follows, because net/http reads in the background while a handler runs.
	line atomic.Int64
	// coded and sized tell that a line has begun as the fields Transfer-Encoding and
	// Content-Length do. net/http takes the one away where both or neither counts.
	coded, sized atomic.Bool
	// start holds the first bytes of the line that is being read.
	start [len(codedField)]byte
}

const (
	codedField = "transfer-encoding"
	sizedField = "content-length"
)

type plainKey struct{}

// withPlain keeps a plainConn for ambiguous, and has its client watched.
func withPlain(ctx context.Context, conn net.Conn) context.Context {
	if c, ok := conn.(*plainConn); ok {
		if canWatch {
			ctx = c.presence.watch(ctx, &c.listener.clock)
		}
		return context.WithValue(ctx, plainKey{}, c)
	}
	return ctx
}

// ambiguous reports that another server could see the request end elsewhere, and what
// follows it as a request or not: it has a transfer coding and a length, or a
// transfer coding in HTTP/1.0. The connection must be closed after it (RFC 9112
// §6.1). net/http does not tell; so it is also said of requests that follow, on their
// connection, one with the other field, and of all that have or might have a coding
// where the connection does not show what is sent (TLS).
func ambiguous(r *http.Request) bool {
	old := r.ProtoMajor == 1 && r.ProtoMinor == 0
	if r.ProtoMajor != 1 || !old && len(r.TransferEncoding) == 0 {
		return false
	}
	c, plain := r.Context().Value(plainKey{}).(*plainConn)
	switch {
	case !plain:
		return true
	case old:
		return c.coded.Load()
	default:
		return c.sized.Load()
	}
}

// maxSkipped is how many bytes of empty lines may come before the first request.
const maxSkipped = 256

// Read implements net.Conn. Empty lines before the first request are left out (RFC
// 9112 §2.2: a server should ignore at least one).
func (c *plainConn) Read(p []byte) (int, error) {
	if c.presence.background(len(p)) {
		return 0, nil
	}
	n, err := c.conn.Read(p)
	for n > 0 && c.skipped >= 0 {
		rest := bytes.TrimLeft(p[:n], "\r\n")
		if c.skipped += n - len(rest); c.skipped > maxSkipped {
			c.skipped = -1 // net/http refuses what is left
			break
		}
		if len(rest) > 0 {
			n, c.skipped = copy(p, rest), -1
			break
		}
		if err != nil {
			return 0, err
		}
		n, err = c.conn.Read(p)
	}
	c.note(p[:n])
	return n, err
}

// note looks at how lines begin, wherever reads cut them.
func (c *plainConn) note(p []byte) {
	line := int(c.line.Load())
	for {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			break
		}
		if line == 0 {
			c.ended(p[:i])
		} else {
			c.keep(line, p[:i])
			c.ended(c.start[:min(line+i, len(c.start))])
		}
		line, p = 0, p[i+1:]
	}
	c.keep(line, p)
	c.line.Store(int64(line + len(p)))
}

// keep remembers a part of a line that goes on, if it belongs to its start.
func (c *plainConn) keep(line int, p []byte) {
	if line < len(c.start) {
		copy(c.start[line:], p)
	}
}

// ended looks at the start of a line.
func (c *plainConn) ended(start []byte) {
	if len(start) < len(sizedField) {
		return
	}
	switch start[0] {
	case 't', 'T':
		if len(start) >= len(codedField) && strings.EqualFold(string(start[:len(codedField)]), codedField) {
			c.coded.Store(true)
		}
	case 'c', 'C':
		if strings.EqualFold(string(start[:len(sizedField)]), sizedField) {
			c.sized.Store(true)
		}
	}
}

// Write implements net.Conn.
func (c *plainConn) Write(p []byte) (int, error) {
	head, body, ok := refusal(p)
	if !ok {
		return c.conn.Write(p)
	}
	if string(head) == tooLarge && c.line.Load() >= c.limit {
		head, body = []byte(tooLong), []byte(tooLong[len(version):])
	}
	out := append(make([]byte, 0, len(p)+64), head...)
	out = append(out, "\r\nDate: "...)
	out = time.Now().UTC().AppendFormat(out, http.TimeFormat)
	out = append(append(out, refusalHeader...), body...)
	if _, err := c.conn.Write(out); err != nil {
		return 0, err
	}
	c.linger()
	return len(p), nil
}

const (
	// lingerTime and lingerBytes bound what is read after a refusal.
	lingerTime  = 500 * time.Millisecond
	lingerBytes = 256 << 10
)

// linger ends the server's side and reads what the client still sends, since closing
// with bytes unread resets the connection, and the client might never see the answer
// (RFC 9112 §9.6). net/http closes when Write returns.
func (c *plainConn) linger() {
	if c.CloseWrite() != nil || c.SetReadDeadline(time.Now().Add(lingerTime)) != nil {
		return
	}
	_, _ = io.CopyN(io.Discard, c.conn.Conn, lingerBytes) // it ends as it likes
}

const (
	version = "HTTP/1.1 "
	// refusalHeader is the header of all answers that net/http gives without a handler.
	refusalHeader = "\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"
	tooLarge      = version + "431 Request Header Fields Too Large"
	tooLong       = version + "414 URI Too Long" // RFC 9112 §3 demands it
)

// refusal takes such an answer apart. net/http writes it in one piece; answers of
// handlers have a Date and are none.
func refusal(p []byte) (head, body []byte, ok bool) {
	if len(p) < len(version)+3 || p[len(version)] != '4' && p[len(version)] != '5' || !bytes.HasPrefix(p, []byte(version)) {
		return nil, nil, false
	}
	head, rest, found := bytes.Cut(p, []byte("\r\n"))
	if !found || !bytes.HasPrefix(p[len(head):], []byte(refusalHeader)) {
		return nil, nil, false
	}
	return head, rest[len(refusalHeader)-len("\r\n"):], true
}

var _ net.Conn = (*plainConn)(nil)

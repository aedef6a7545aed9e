// Package wire is the raw HTTP/1.1 client of the oracle. It writes the bytes
// that it is given, one connection for each exchange, and reads what comes
// back until the server closes or falls silent.
//
// It deliberately is not net/http: the recordings contain targets, headers and
// message framings that a well-behaved client refuses to send, and answers
// that it would hide (a body after HEAD, bytes after the end of a response).
package wire

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// Header is one header line as it was sent or received.
type Header struct{ Name, Value string }

// Request is what Do writes. Target, header values and Body are bytes, one
// byte a character where they come from a recording.
type Request struct {
	Method, Target, Host string
	Headers              []Header
	Body                 []byte
}

// Response is one response of a stream.
type Response struct {
	Line    string // status line without its CRLF; empty for what is not HTTP
	Status  int    // 0 where there was no status line
	Headers []Header
	Body    []byte
	// Framing says how the body ended: "length", "chunked", "eof", with
	// "-short" or "-truncated" appended where it did not, and "" where
	// the response has no body by definition.
	Framing string
	// Raw holds bytes that are no response (HTTP/0.9, or garbage).
	Raw []byte
	// Extra counts the bytes after the first final response (only Do).
	Extra int
}

// Get returns the first value of a header and whether there is one.
func (r *Response) Get(name string) (string, bool) {
	for _, h := range r.Headers {
		if strings.EqualFold(h.Name, name) {
			return h.Value, true
		}
	}
	return "", false
}

// Values returns all values of a header in order.
func (r *Response) Values(name string) []string {
	var out []string
	for _, h := range r.Headers {
		if strings.EqualFold(h.Name, name) {
			out = append(out, h.Value)
		}
	}
	return out
}

// Bytes renders the request with "Connection: close".
func (q *Request) Bytes() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n", q.Method, q.Target, q.Host)
	for _, h := range q.Headers {
		fmt.Fprintf(&b, "%s: %s\r\n", h.Name, h.Value)
	}
	if len(q.Body) > 0 {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(q.Body))
	}
	b.WriteString("\r\n")
	b.Write(q.Body)
	return b.Bytes()
}

// Do sends one request on a new connection and returns its final response.
// A server that answers nothing gives a Response with Status 0.
func Do(addr string, q *Request) (*Response, error) {
	out, _, err := Exchange(addr, [][]byte{q.Bytes()}, 0, 0, 20*time.Second)
	if err != nil {
		return nil, err
	}
	all := Parse(out, []string{q.Method})
	for i, r := range all {
		if r.Status >= 200 {
			for _, x := range all[i+1:] {
				r.Extra += max(len(x.Raw), 1)
			}
			return r, nil
		}
	}
	if len(all) > 0 {
		last := all[len(all)-1]
		last.Status = 0
		return last, nil
	}
	return &Response{}, nil
}

// Exchange writes the pieces with a pause between them and reads to the end of
// the stream, until quiet passes without a byte (0: never), or until timeout.
// closed reports whether the server ended the connection.
func Exchange(addr string, pieces [][]byte, pause, quiet, timeout time.Duration) (out []byte, closed bool, err error) {
	c, err := net.DialTimeout("tcp", addr, timeout)
	if err != nil {
		return nil, false, fmt.Errorf("connect to %s: %w", addr, err)
	}
	defer c.Close()
	end := time.Now().Add(timeout)
	for i, p := range pieces {
		if i > 0 {
			time.Sleep(pause)
		}
		if err := c.SetWriteDeadline(end); err != nil {
			return nil, false, err
		}
		if _, err := c.Write(p); err != nil {
			break // the server may have answered and gone
		}
	}
	buf := make([]byte, 64<<10)
	for {
		limit := end
		if q := time.Now().Add(quiet); quiet > 0 && q.Before(end) {
			limit = q
		}
		if err := c.SetReadDeadline(limit); err != nil {
			return out, false, err
		}
		n, err := c.Read(buf)
		out = append(out, buf[:n]...)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return out, false, nil
		}
		if err != nil { // EOF, or a reset, which also is an end
			return out, true, nil
		}
	}
}

// Parse splits a stream into responses. methods are those of the requests, in
// order (HEAD has no body); it may be shorter than the stream.
func Parse(b []byte, methods []string) []*Response {
	var out []*Response
	for i := 0; len(b) > 0; {
		if !bytes.HasPrefix(b, []byte("HTTP/")) {
			return append(out, &Response{Raw: b})
		}
		head, rest, ok := bytes.Cut(b, []byte("\r\n\r\n"))
		if !ok {
			return append(out, &Response{Raw: b})
		}
		r := parseHead(string(head))
		out = append(out, r)
		if r.Status >= 100 && r.Status < 200 {
			b = rest
			continue
		}
		method := "GET"
		if i < len(methods) {
			method = methods[i]
		}
		i++
		if method == "HEAD" || r.Status == 204 || r.Status == 304 {
			b = rest
			continue
		}
		b = r.readBody(rest)
	}
	return out
}

func parseHead(head string) *Response {
	lines := strings.Split(head, "\r\n")
	r := &Response{Line: lines[0]}
	if f := strings.SplitN(lines[0], " ", 3); len(f) > 1 {
		r.Status, _ = strconv.Atoi(f[1])
	}
	for _, l := range lines[1:] {
		n, v, _ := strings.Cut(l, ":")
		r.Headers = append(r.Headers, Header{n, strings.Trim(v, " ")})
	}
	return r
}

// readBody takes the body from the front of rest and returns what follows it.
func (r *Response) readBody(rest []byte) []byte {
	if te, _ := r.Get("Transfer-Encoding"); strings.EqualFold(te, "chunked") {
		return r.readChunks(rest)
	}
	if cl, ok := r.Get("Content-Length"); ok {
		n, err := strconv.Atoi(cl)
		if err != nil || n < 0 {
			r.Framing = "length-bad"
			return nil
		}
		r.Framing = "length"
		if n > len(rest) {
			r.Framing, n = "length-short", len(rest)
		}
		r.Body = rest[:n]
		return rest[n:]
	}
	r.Body, r.Framing = rest, "eof"
	return nil
}

func (r *Response) readChunks(rest []byte) []byte {
	r.Framing = "chunked-truncated"
	for {
		line, after, ok := bytes.Cut(rest, []byte("\r\n"))
		if !ok {
			return nil
		}
		size, _, _ := bytes.Cut(line, []byte(";"))
		n, err := strconv.ParseUint(string(bytes.TrimSpace(size)), 16, 31)
		if err != nil {
			return nil
		}
		if n == 0 {
			return r.readTrailers(after)
		}
		r.Body = append(r.Body, after[:min(int(n), len(after))]...)
		if len(after) < int(n)+2 {
			return nil
		}
		rest = after[n+2:]
	}
}

func (r *Response) readTrailers(rest []byte) []byte {
	for {
		line, after, ok := bytes.Cut(rest, []byte("\r\n"))
		if !ok {
			return nil
		}
		rest = after
		if len(line) == 0 {
			r.Framing = "chunked"
			return rest
		}
	}
}

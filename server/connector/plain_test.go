package connector

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/serval-server/serval/server/config"
)

// raw sends bytes and returns the status line's code of each answer until the server
// closes the connection or the bytes have been answered.
func raw(t *testing.T, c *Connector, send string) string {
	t.Helper()
	conn, err := net.Dial("tcp", c.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, send); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err.Error()
	}
	defer res.Body.Close()
	return res.Status
}

// TestUnreadExpectation: a handler that answers without reading is not kept by a
// client that waits for 100 Continue (net/http closes the connection).
func TestUnreadExpectation(t *testing.T) {
	c := start(t, config.Connector{}, nil, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) })
	if got := raw(t, c, "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"); !strings.HasPrefix(got, "404") {
		t.Errorf("got %s", got)
	}
}

func TestRefusals(t *testing.T) {
	c := start(t, config.Connector{}, nil, echo)
	for send, want := range map[string]string{
		"CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\n\r\n":                                         "501",
		"TRACE / HTTP/1.1\r\nHost: h\r\n\r\n":                                                 "405",
		"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n":                                                 "400",
		"GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("v", 8300) + "\r\n\r\n":           "431",
		"GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("v", 8000) + "\r\n\r\n":           "200",
		"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n":              "400",
		"GET / HTTP/1.1\r\n\r\n":                                                              "400",
		"POST /x HTTP/1.1\r\nHost: a@\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n":   "400",
		"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n":                                               "200",
		"GET http:///a HTTP/1.1\r\nHost: h\r\n\r\n":                                           "400",
		"GET http:/a HTTP/1.1\r\nHost: h\r\n\r\n":                                             "400",
		"GET http://h HTTP/1.1\r\nHost: h\r\n\r\n":                                            "200",
		"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX T: 1\r\n\r\n": "400",
		"GET / HTTP/1.0\r\n\r\n":                                                              "200",
		"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue, x\r\nContent-Length: 1\r\n\r\na": "417",
		"POST / HTTP/1.1\r\nHost: h\r\nExpect: \r\nContent-Length: 1\r\n\r\na":                "200",
	} {
		if got := raw(t, c, send); !strings.HasPrefix(got, want) {
			t.Errorf("%.40q: %s, want %s", send, got, want)
		}
	}
}

// exchange sends bytes and returns all that comes until the server closes.
func exchange(t *testing.T, c *Connector, send string) string {
	t.Helper()
	conn, err := net.Dial("tcp", c.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(15 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, send); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		t.Fatalf("%.40q: %v after %q", send, err, answer)
	}
	return string(answer)
}

// TestPlainRefusals: what net/http refuses without a handler has a Date (RFC 9110
// §6.6.1) and ends the connection, and a long target is not called a long header.
func TestPlainRefusals(t *testing.T) {
	c := start(t, config.Connector{H2C: true}, nil, echo)
	long := strings.Repeat("v", 9000)
	for _, tt := range []struct{ name, send, want string }{
		{"malformed line", "GET / HTTP/1.1 x\r\nHost: h\r\n\r\n", "400 Bad Request"},
		{"no host", "GET / HTTP/1.1\r\n\r\n", "400 Bad Request: missing required Host header"},
		{"version", "GET / HTTP/2.0\r\nHost: h\r\n\r\n", "505 "},
		{"transfer coding", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: foo\r\n\r\n", "501 "},
		{"long target", "GET /" + long + " HTTP/1.1\r\nHost: h\r\n\r\n", "414 URI Too Long"},
		{"long target later", "GET / HTTP/1.1\r\nHost: h\r\n\r\nGET /" + long + long + " HTTP/1.1\r\nHost: h\r\n\r\n", "414 URI Too Long"},
		{"long header", "GET / HTTP/1.1\r\nX: " + long + "\r\nHost: h\r\n\r\n", "431 Request Header Fields Too Large"},
		{"long name", "GET / HTTP/1.1\r\n" + long + ": x\r\nHost: h\r\n\r\n", "431 Request Header Fields Too Large"},
		{"many headers", "GET / HTTP/1.1\r\nHost: h\r\n" + strings.Repeat("X: vvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv\r\n", 250) + "\r\n", "431 Request Header Fields Too Large"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := exchange(t, c, tt.send)
			if i := strings.LastIndex(got, "HTTP/1.1 "); i > 0 { // the answer to the request before
				got = got[i:]
			}
			head, body, _ := strings.Cut(got, "\r\n\r\n")
			if !strings.HasPrefix(head, "HTTP/1.1 "+tt.want) || !strings.Contains(head, "\r\nDate: ") || !strings.Contains(head, "\r\nConnection: close") {
				t.Errorf("got %q, want %s", got, tt.want)
			}
			if body == "" || strings.Contains(body, "HTTP/1.1") {
				t.Errorf("body %q", body)
			}
		})
	}
}

// TestEmptyLines: some before the first request are left out (RFC 9112 §2.2), also
// if they come one by one; what only looks like a request with them is refused.
func TestEmptyLines(t *testing.T) {
	c := start(t, config.Connector{H2C: true}, nil, echo)
	const request = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
	for _, n := range []int{1, 40, 200} {
		want := "HTTP/1.1 200"
		if 2*n > maxSkipped {
			want = "HTTP/1.1 400"
		}
		if got := exchange(t, c, strings.Repeat("\r\n", n)+request); !strings.HasPrefix(got, want) {
			t.Errorf("%d empty lines: %.60q, want %s", n, got, want)
		}
	}
}

// pieces is a connection that reads the given pieces.
type pieces struct {
	net.Conn
	left []string
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.left) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.left[0])
	if p.left[0] = p.left[0][n:]; p.left[0] == "" {
		p.left = p.left[1:]
	}
	return n, nil
}

func TestPlainRead(t *testing.T) {
	for _, tt := range []struct {
		left []string
		want string
		line int64
	}{
		{[]string{"\r\n", "\n", "\rG", "ET\r\n\r\n"}, "GET\r\n\r\n", 0},
		{[]string{"\r\n"}, "", 0},
		{[]string{"GET", " /\r\nabc", "de"}, "GET /\r\nabcde", 5},
		{[]string{"A", "\r\n"}, "A\r\n", 0},
	} {
		c := &plainConn{conn: &conn{Conn: &pieces{left: tt.left}}}
		got, err := io.ReadAll(c)
		if err != nil || string(got) != tt.want || c.line.Load() != tt.line {
			t.Errorf("got %q, line %d, %v; want %q, %d", got, c.line.Load(), err, tt.want, tt.line)
		}
	}
}

// TestAmbiguousLength: a request that another server could see end elsewhere is the
// last on its connection (RFC 9112 §6.1), however its head is cut, and others are not.
func TestAmbiguousLength(t *testing.T) {
	c := start(t, config.Connector{}, nil, echo)
	const chunks, next = "3\r\nabc\r\n0\r\n\r\n", "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
	for _, tt := range []struct {
		name, send string
		answers    int
	}{
		{"coding and length", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks, 1},
		{"any case", "POST / HTTP/1.1\r\nHost: h\r\ntransfer-encoding: chunked\r\nCONTENT-LENGTH: 3\r\n\r\n" + chunks, 1},
		{"coding", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks, 2},
		{"length", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", 2},
		{"old coding", "POST / HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks, 1},
		{"old", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := exchange(t, c, tt.send+next)
			if n := strings.Count(got, " 200 OK\r\n"); n != tt.answers || strings.Contains(got, " 400 ") {
				t.Errorf("%d answers, want %d: %q", n, tt.answers, got)
			}
		})
	}
	const head = "POST / HTTP/1.1\r\ncontent-length: 1\r\nTransfer-Encoding: chunked\nX: 1\r\n\r\n"
	for i := range head {
		c := &plainConn{conn: &conn{Conn: &pieces{left: []string{head[:i], head[i:]}}}}
		if _, err := io.ReadAll(c); err != nil || !c.coded.Load() || !c.sized.Load() {
			t.Errorf("cut at %d: coding %v, length %v, %v", i, c.coded.Load(), c.sized.Load(), err)
		}
	}
}

// TestAmbiguousUnderTLS: what is sent cannot be seen, so any coding ends the connection.
func TestAmbiguousUnderTLS(t *testing.T) {
	for _, tt := range []struct {
		proto string
		coded bool
		want  bool
	}{{"HTTP/1.1", true, true}, {"HTTP/1.1", false, false}, {"HTTP/1.0", false, true}, {"HTTP/2.0", true, false}} {
		r := &http.Request{}
		r.ProtoMajor, r.ProtoMinor, _ = http.ParseHTTPVersion(tt.proto)
		if tt.coded {
			r.TransferEncoding = []string{"chunked"}
		}
		if got := ambiguous(r); got != tt.want {
			t.Errorf("%s, coding %v: %v", tt.proto, tt.coded, got)
		}
	}
}

func BenchmarkPlainRead(b *testing.B) {
	const head = "GET /hello?x=1 HTTP/1.1\r\nHost: localhost:8080\r\nUser-Agent: load/1.0\r\nAccept: */*\r\nCookie: JSESSIONID=0123456789abcdef0123456789abcdef\r\n\r\n"
	c := &plainConn{}
	p := []byte(head)
	b.ReportAllocs()
	for b.Loop() {
		c.note(p)
	}
}

// TestHandlersAnswersStay: an answer that only resembles a refusal is not touched.
func TestHandlersAnswersStay(t *testing.T) {
	for _, p := range []string{
		"", "HTTP/1.1 4", "HTTP/1.1 400 Bad Request", "HTTP/1.1 400 Bad Request\r\n",
		"HTTP/1.1 400 Bad Request\r\nDate: x\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n",
		"HTTP/1.1 200 OK" + refusalHeader, "400 Bad Request" + refusalHeader,
	} {
		if _, _, ok := refusal([]byte(p)); ok {
			t.Errorf("%q is taken for a refusal", p)
		}
	}
}

// TestHTTP10SaysClose: an HTTP/1.0 client is told that the connection ends (RFC 9112
// §9.6), unless it has asked for it to be kept.
func TestHTTP10SaysClose(t *testing.T) {
	c := start(t, config.Connector{}, nil, echo)
	for options, want := range map[string]bool{"": true, "Connection: keep-alive, close\r\n": true, "Connection: Keep-Alive\r\n": false} {
		got := exchange(t, c, "GET / HTTP/1.0\r\n"+options+"\r\nGET / HTTP/1.0\r\n\r\n")
		head, _, _ := strings.Cut(got, "\r\n\r\n")
		if strings.Contains(head, "Connection: close") != want {
			t.Errorf("%q: %q", options, head)
		}
	}
}

// TestFoldedValue: the blank of a folded empty line is no part of the value.
func TestFoldedValue(t *testing.T) {
	c := start(t, config.Connector{}, nil, func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "%q", r.Header["X"]) })
	got := exchange(t, c, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nX: 1\r\n \r\nX: a\r\n\tb\r\n\r\n")
	if !strings.HasSuffix(got, `["1" "a b"]`) {
		t.Errorf("got %q", got)
	}
}

// TestUnreadExpectationCloses: nothing comes from a client that has waited for 100
// Continue and was answered otherwise, so the connection is not kept for it.
func TestUnreadExpectationCloses(t *testing.T) {
	c := start(t, config.Connector{}, func(l *config.Limits) { l.BodyTimeout = config.Duration(time.Hour) },
		func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) })
	if got := exchange(t, c, "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 404") {
		t.Errorf("got %q", got)
	}
}

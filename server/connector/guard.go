package connector

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/serval-server/serval/server/config"
	"github.com/serval-server/serval/server/valves"
	"github.com/serval-server/serval/webapp/servlet"
)

// Guard is a middleware that refuses requests beyond the limits, and reads bodies
// with limits of size and time. It belongs into the pipeline behind the access log,
// so that what it refuses is logged, and is reported as other errors are.
//
// It also refuses what Tomcat's connector does: a Host that is no host (RFC 9112
// §3.2), CONNECT (501), since this is no proxy, and TRACE (405), which would show
// cookies to scripts.
func Guard(limits config.Limits, report valves.Reporter) func(http.Handler) http.Handler {
	g := &guard{limits: limits, report: report}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if status, message := g.refuse(r); status != 0 {
				if status == http.StatusMethodNotAllowed {
					w.Header().Set("Allow", methods)
				} else {
					w.Header().Set("Connection", "close")
				}
				g.report(w, r, status, message, nil)
				return
			}
			if r.RequestURI == "*" { // OPTIONS, of the server as a whole (RFC 9110 §9.3.7)
				w.Header().Set("Allow", methods)
				w.Header().Set("Content-Length", "0")
				return
			}
			mend(w, r)
			if r.URL.Path == "" && r.URL.Host != "" && r.Method != http.MethodOptions {
				r = rooted(r)
			}
			if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
				next.ServeHTTP(w, r)
				return
			}
			b := g.body(w, r)
			defer b.finish()
			// net/http looks at the body of its own request to find out whether
			// a client that expects 100 Continue still waits for it.
			limited := *r
			limited.Body = b
			next.ServeHTTP(w, &limited)
		})
	}
}

// methods are what an Allow header lists where no application is asked.
const methods = "GET, HEAD, POST, PUT, DELETE, OPTIONS"

// mend puts right what net/http leaves to its caller: an absolute target without a
// path means "/" (RFC 9112 §3.2.2), HTTP/1.0's "keep-alive, close" means close, and
// an answer after which the connection is closed says so to HTTP/1.0 clients too
// (RFC 9112 §9.6); and after a request that others might delimit otherwise it is
// closed.
func mend(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "" {
		r.URL.Path = "/"
	}
	if ambiguous(r) {
		w.Header().Set("Connection", "close")
	}
	if r.ProtoMajor != 1 || r.ProtoMinor != 0 {
		return
	}
	if options := strings.ToLower(strings.Join(r.Header["Connection"], ",")); !strings.Contains(options, "keep-alive") || strings.Contains(options, "close") {
		w.Header().Set("Connection", "close")
	}
}

// rooted gives a request whose target is http://host the path "/" that it stands
// for (RFC 9110 §4.2.3).
func rooted(r *http.Request) *http.Request {
	u, copied := *r.URL, *r
	u.Path, copied.URL = "/", &u
	return &copied
}

// unfold takes off the blank that net/http leaves at the end of a value whose folded
// lines are empty: it is no part of the value (RFC 9110 §5.5).
func unfold(values []string) {
	for i, v := range values {
		if v != "" && v[len(v)-1] == ' ' {
			values[i] = strings.TrimRight(v, " ")
		}
	}
}

// unmet reports an expectation other than 100-continue (RFC 9110 §10.1.1). Where
// that is all that is expected, net/http says so itself.
func unmet(r *http.Request) bool {
	for _, v := range r.Header["Expect"] {
		for e := range strings.SplitSeq(v, ",") {
			if e = strings.TrimSpace(e); e != "" && !strings.EqualFold(e, "100-continue") {
				return true
			}
		}
	}
	return false
}

type guard struct {
	limits config.Limits
	report valves.Reporter
}

// refuse returns the status for a request that is beyond a limit, 0 for others.
func (g *guard) refuse(r *http.Request) (int, string) {
	if !valves.ValidHost(r.Host) {
		return http.StatusBadRequest, "the Host header is not the name of a host"
	}
	if r.RequestURI == "*" && r.Method != http.MethodOptions {
		return http.StatusBadRequest, "the target * is for OPTIONS" // RFC 9112 §3.2.4
	}
	if u := r.RequestURI; r.URL.Host == "" && u != "" && u[0] != '/' && u != "*" {
		return http.StatusBadRequest, "the target names no host" // RFC 9110 §4.2.1
	}
	if g.limits.MaxHeaderCount > 0 {
		n := 1 // Host, which net/http keeps elsewhere
		for _, v := range r.Header {
			n += len(v)
			unfold(v)
		}
		if n > g.limits.MaxHeaderCount {
			return http.StatusRequestHeaderFieldsTooLarge, fmt.Sprintf("more than %d header lines", g.limits.MaxHeaderCount)
		}
	}
	if unmet(r) {
		return http.StatusExpectationFailed, "only 100-continue can be expected"
	}
	switch r.Method {
	case http.MethodConnect:
		return http.StatusNotImplemented, "this server is not a proxy"
	case http.MethodTrace:
		return http.StatusMethodNotAllowed, "TRACE is switched off"
	}
	if limit := g.bodyLimit(r); limit > 0 && r.ContentLength > limit {
		return http.StatusRequestEntityTooLarge, fmt.Sprintf("the body has %d bytes, more than %d", r.ContentLength, limit)
	}
	if m := g.limits.MaxParameters; m > 0 && len(r.URL.RawQuery) > m && strings.Count(r.URL.RawQuery, "&") >= m {
		return http.StatusBadRequest, fmt.Sprintf("more than %d parameters", m)
	}
	return 0, ""
}

const formType = "application/x-www-form-urlencoded"

func isForm(r *http.Request) bool {
	t := r.Header["Content-Type"]
	return len(t) > 0 && len(t[0]) >= len(formType) && strings.EqualFold(t[0][:len(formType)], formType)
}

func (g *guard) bodyLimit(r *http.Request) int64 {
	limit := int64(g.limits.MaxBodySize)
	if form := int64(g.limits.MaxFormSize); form > 0 && (limit <= 0 || form < limit) && isForm(r) {
		limit = form
	}
	return limit
}

func (g *guard) body(w http.ResponseWriter, r *http.Request) *body {
	b := &body{ReadCloser: r.Body, w: w, r: r, rc: http.NewResponseController(w), timeout: g.limits.BodyTimeout.D(), limit: g.bodyLimit(r)}
	b.left = b.limit
	if isForm(r) && g.limits.MaxParameters > 0 {
		b.maxPairs = g.limits.MaxParameters
	}
	return b
}

// body reads a request's body with a limit of size, and a limit for the time between
// two parts.
type body struct {
	io.ReadCloser
	w        http.ResponseWriter
	r        *http.Request
	rc       *http.ResponseController
	timeout  time.Duration
	set      time.Time // when the deadline was set last
	limit    int64     // 0 for none
	left     int64
	maxPairs int // parameters that may come, 0 for no limit
	pairs    int
	begun    bool // a Read has been asked for
	ended    bool
}

// ErrTooManyParameters is what reading a form returns beyond max-parameters. It is
// a *servlet.StatusError with 400.
var ErrTooManyParameters error = &servlet.StatusError{
	Code: http.StatusBadRequest, Message: "the form has more parameters than limits.max-parameters",
}

// Read implements io.Reader. Beyond the limit it returns an *http.MaxBytesError;
// what the client did wrong otherwise is a *servlet.StatusError, so that an
// application that passes it on answers with 400 or 408.
func (b *body) Read(p []byte) (int, error) {
	if b.limit > 0 && b.left < 0 {
		return 0, &http.MaxBytesError{Limit: b.limit}
	}
	b.begun = true
	b.extend()
	if b.limit > 0 && int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		b.ended = true
		b.clear()
		err = b.trailers()
	}
	if b.limit > 0 {
		if b.left -= int64(n); b.left < 0 {
			return max(n-1, 0), &http.MaxBytesError{Limit: b.limit}
		}
	}
	if b.maxPairs > 0 {
		if b.pairs += strings.Count(string(p[:n]), "&"); b.pairs >= b.maxPairs {
			return 0, ErrTooManyParameters
		}
	}
	return n, b.blame(err)
}

// trailers looks for names in the trailer that are none, which net/http lets pass.
func (b *body) trailers() error {
	for name := range b.r.Trailer {
		if !validToken(name) {
			return fmt.Errorf("malformed trailer name %q", name)
		}
	}
	return io.EOF
}

// validToken reports whether s is a token (RFC 9110 §5.6.2).
func validToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return s != ""
}

// blame says which status an error of a body stands for, if the client made it and
// may still be there to read the answer.
func (b *body) blame(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		b.closeAfter()
		return fmt.Errorf("%w: %w", &servlet.StatusError{Code: http.StatusRequestTimeout, Message: "the body stopped coming"}, err)
	}
	_, network := errors.AsType[net.Error](err)
	if b.r.ProtoMajor != 1 || network || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, http.ErrBodyReadAfterClose) || errors.Is(err, context.Canceled) {
		return err
	}
	b.closeAfter()
	return fmt.Errorf("%w: %w", &servlet.StatusError{Code: http.StatusBadRequest, Message: "the body is malformed"}, err)
}

// closeAfter has the connection closed after the answer, unless that has begun: what
// follows a broken body on the connection is not to be taken for a request.
func (b *body) closeAfter() { b.w.Header().Set("Connection", "close") }

// extend gives the client time for the next part. The deadline is moved at most ten
// times per timeout.
func (b *body) extend() {
	if b.timeout <= 0 {
		return
	}
	if now := time.Now(); now.Sub(b.set) > b.timeout/10 {
		b.set = now
		_ = b.rc.SetReadDeadline(now.Add(b.timeout)) // not every writer in a test has one
	}
}

func (b *body) clear() {
	if b.timeout > 0 {
		_ = b.rc.SetReadDeadline(time.Time{}) // see extend
	}
}

// unasked is how long a client may go on sending a body after an answer that came
// in the place of 100 Continue.
const unasked = 200 * time.Millisecond

// finish bounds the time that net/http takes to read what the handler has left. A
// client that waits for 100 Continue and is answered otherwise will send nothing.
func (b *body) finish() {
	if b.ended || b.timeout <= 0 {
		return
	}
	wait := b.timeout
	if !b.begun && b.r.Header["Expect"] != nil {
		wait = min(wait, unasked)
	}
	_ = b.rc.SetReadDeadline(time.Now().Add(wait)) // see extend
}

package filters

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/klauspost/compress/gzhttp"
)

// DefaultCompressible are the media types that are worth compressing.
const DefaultCompressible = "text/html,text/xml,text/plain,text/css,text/javascript,text/csv,text/markdown," +
	"application/javascript,application/json,application/ld+json,application/manifest+json,application/xml," +
	"application/xhtml+xml,application/rss+xml,application/atom+xml,application/wasm,application/yaml,image/svg+xml"

// NewCompression makes a filter that compresses answers on their way, with the
// names of the attributes of Tomcat's connectors:
//
//	compressionMinSize     2048 bytes; smaller answers stay as they are
//	compressibleMimeType   DefaultCompressible
//	noCompressionStrongETag true: an answer with a strong ETag stays as it is,
//	                       since its tag stands for its bytes
//	algorithms             zstd,gzip; what is offered, the first is preferred
//	level                  0; the algorithm's own level, 0 is its default
//
// What has a Content-Encoding already, a part of a range, an event stream and
// what the handler flushes before it has written anything stay as they are.
// Those answers take the direct way to the connection, so files that are not
// text are still sent by the kernel.
func NewCompression(values map[string]string) (func(http.Handler) http.Handler, error) {
	p := newParams("compression", values)
	c := &compression{
		minSize:    p.int("compressionMinSize", 2048, 0, 1<<30),
		keepStrong: p.bool("noCompressionStrongETag", true),
	}
	for _, t := range p.list("compressibleMimeType", DefaultCompressible) {
		c.types = append(c.types, strings.ToLower(t))
	}
	algorithms := p.list("algorithms", "zstd,gzip")
	for _, a := range algorithms {
		if a != "zstd" && a != "gzip" {
			p.wrong("algorithms", "%q: allowed is a list of zstd and gzip", a)
		}
	}
	level := p.int("level", 0, 0, 9)
	p.ignore("compression", "noCompressionUserAgents", "useSendfile")
	if err := p.err(); err != nil {
		return nil, err
	}
	wrap, err := gzhttp.NewWrapper(
		gzhttp.MinSize(c.minSize),
		gzhttp.EnableGzip(slices.Contains(algorithms, "gzip")),
		gzhttp.EnableZstd(slices.Contains(algorithms, "zstd")),
		gzhttp.PreferZstd(len(algorithms) > 0 && algorithms[0] == "zstd"),
		gzhttp.CompressionLevel(gzipLevel(level)),
		gzhttp.SetContentType(false),
		gzhttp.ContentTypeFilter(func(string) bool { return true }), // compressWriter has looked
	)
	if err != nil {
		p.wrong("level", "%d: %w", level, err)
		return nil, p.err()
	}
	return func(next http.Handler) http.Handler {
		return wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			cw := &compressWriter{rules: c, coded: w, plain: w}
			if u, ok := w.(interface{ Unwrap() http.ResponseWriter }); ok {
				cw.plain = u.Unwrap()
			}
			next.ServeHTTP(cw, r)
			cw.end()
		}))
	}, nil
}

// gzipLevel is the level that gzhttp is told; its own default is -1.
func gzipLevel(level int) int {
	if level == 0 {
		return -1
	}
	return level
}

type compression struct {
	minSize    int
	keepStrong bool
	types      []string
}

// worthwhile reports whether an answer with this header is one to compress.
func (c *compression) worthwhile(h http.Header, status int) bool {
	switch {
	case status < 200, status == http.StatusNoContent, status == http.StatusNotModified, status == http.StatusPartialContent:
		return false
	case h.Get("Content-Encoding") != "", h.Get("Content-Range") != "":
		return false
	case strings.Contains(h.Get("Cache-Control"), "no-transform"):
		return false
	}
	if n, err := strconv.Atoi(h.Get("Content-Length")); err == nil && n < c.minSize {
		return false
	}
	mediaType, _, _ := strings.Cut(h.Get("Content-Type"), ";")
	if !slices.Contains(c.types, strings.ToLower(strings.TrimSpace(mediaType))) {
		return false
	}
	tag := h.Get("Etag")
	return !c.keepStrong || tag == "" || strings.HasPrefix(tag, "W/")
}

// compressWriter looks at the header when it leaves and sends the answer either
// way: through gzhttp's writer, or around it.
type compressWriter struct {
	rules  *compression
	coded  http.ResponseWriter // gzhttp's, which may still leave small answers alone
	plain  http.ResponseWriter // the one below it
	to     http.ResponseWriter // one of them, when it is decided
	begun  bool                // to has the status
	status int                 // 0 until WriteHeader
}

var (
	_ io.ReaderFrom = (*compressWriter)(nil)
	_ http.Flusher  = (*compressWriter)(nil)
	_ http.Hijacker = (*compressWriter)(nil)
)

func (w *compressWriter) Header() http.Header { return w.plain.Header() }

// Unwrap is for http.ResponseController, for deadlines and the like.
func (w *compressWriter) Unwrap() http.ResponseWriter { return w.plain }

// decide chooses the way, as soon as the type is known: from the header, or
// from the first bytes of the body as net/http would.
func (w *compressWriter) decide(first []byte) {
	if w.to != nil {
		return
	}
	h := w.Header()
	if _, has := h["Content-Type"]; !has && len(first) > 0 {
		h.Set("Content-Type", http.DetectContentType(first))
	}
	status := w.status
	if status == 0 {
		status = http.StatusOK
	}
	if w.rules.worthwhile(h, status) {
		w.to = w.coded
		if count(h["Vary"], acceptEncoding) > 1 {
			dropVary(h)
		}
		return
	}
	w.to = w.plain
	if status != http.StatusNotModified {
		dropVary(h)
	}
	w.begin()
}

// begin hands the status on. gzhttp's writer gets it late, with the first byte,
// so that the way can still change.
func (w *compressWriter) begin() {
	if !w.begun && w.status != 0 {
		w.to.WriteHeader(w.status)
	}
	w.begun = true
}

const acceptEncoding = "Accept-Encoding"

// dropVary takes back the Accept-Encoding that gzhttp has put into Vary: this
// answer would be the same with another, or has said so itself.
func dropVary(h http.Header) {
	values := h["Vary"]
	if i := slices.Index(values, acceptEncoding); i >= 0 {
		if values = slices.Delete(slices.Clone(values), i, i+1); len(values) == 0 {
			h.Del("Vary")
		} else {
			h["Vary"] = values
		}
	}
}

func count(values []string, value string) (n int) {
	for _, v := range values {
		if v == value {
			n++
		}
	}
	return n
}

// WriteHeader waits for the first byte if that has to tell the type.
func (w *compressWriter) WriteHeader(status int) {
	switch {
	case status < 200 && status != http.StatusSwitchingProtocols:
		w.plain.WriteHeader(status)
	case w.status == 0 && w.to == nil:
		w.status = status
		if _, has := w.Header()["Content-Type"]; has || status < 200 || status == http.StatusNoContent || status == http.StatusNotModified {
			w.decide(nil)
		}
	}
}

func (w *compressWriter) Write(b []byte) (int, error) {
	w.decide(b)
	w.begin()
	return w.to.Write(b)
}

// ReadFrom hands a file on whole if it is not to be compressed.
func (w *compressWriter) ReadFrom(r io.Reader) (int64, error) {
	if _, has := w.Header()["Content-Type"]; has {
		w.decide(nil)
	}
	if w.to == nil || w.to == w.coded {
		return io.Copy(onlyWriter{w}, r)
	}
	w.begin()
	return copyWhole(w.to, r)
}

// onlyWriter hides ReadFrom from io.Copy.
type onlyWriter struct{ io.Writer }

// FlushError sends what there is. If that is only the header, somebody waits
// for a stream, and it is sent as it is.
func (w *compressWriter) FlushError() error {
	if !w.begun && w.to != w.plain {
		w.to = w.plain
		dropVary(w.Header())
		w.begin()
	}
	return http.NewResponseController(w.to).Flush()
}

// Flush implements http.Flusher for handlers that ask for it.
func (w *compressWriter) Flush() { _ = w.FlushError() }

func (w *compressWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return http.NewResponseController(w.plain).Hijack()
}

// end sends a header that no body has followed.
func (w *compressWriter) end() {
	w.decide(nil)
	w.begin()
}

package filters

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/klauspost/compress/gzhttp"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
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
	o := CompressionOptions{
		MinSize:    p.int("compressionMinSize", 2048, 0, 1<<30),
		Types:      p.list("compressibleMimeType", DefaultCompressible),
		Algorithms: p.list("algorithms", "zstd,gzip"),
		Level:      p.int("level", 0, 0, 9),
		StrongETag: !p.bool("noCompressionStrongETag", true),
	}
	p.ignore("compression", "noCompressionUserAgents", "useSendfile")
	f, err := Compression(o)
	if err != nil {
		p.wrong("algorithms", "%w", err)
	}
	return f, p.err()
}

// CompressionOptions are the filter's settings for those who make it in Go.
type CompressionOptions struct {
	// MinSize is the number of bytes under which an answer stays as it is.
	MinSize int
	// Types are the media types that are compressed; type/* is all of a type.
	// None is DefaultCompressible.
	Types []string
	// Algorithms are zstd and gzip, the preferred one first. None is both.
	Algorithms []string
	// Level is from 1, fast, to 9, small; 0 is the algorithm's default.
	Level int
	// StrongETag compresses answers with a strong ETag too.
	StrongETag bool
}

// Compression is NewCompression for the server's own pipeline. The error names
// an algorithm or a level that there is not.
func Compression(o CompressionOptions) (func(http.Handler) http.Handler, error) {
	if len(o.Types) == 0 {
		o.Types = splitList(DefaultCompressible)
	}
	if len(o.Algorithms) == 0 {
		o.Algorithms = []string{"zstd", "gzip"}
	}
	c := &compression{minSize: o.MinSize, keepStrong: !o.StrongETag}
	for _, t := range o.Types {
		c.types = append(c.types, strings.ToLower(t))
	}
	for _, a := range o.Algorithms {
		if a != "zstd" && a != "gzip" {
			return nil, fmt.Errorf("algorithm %q: allowed is a list of zstd and gzip", a)
		}
	}
	gzipLevel, zstdLevel := levels(o.Level)
	wrap, err := gzhttp.NewWrapper(
		gzhttp.MinSize(c.minSize),
		gzhttp.EnableGzip(slices.Contains(o.Algorithms, "gzip")),
		gzhttp.EnableZstd(slices.Contains(o.Algorithms, "zstd")),
		gzhttp.PreferZstd(o.Algorithms[0] == "zstd"),
		gzhttp.CompressionLevel(gzipLevel),
		gzhttp.ZstdCompressionLevel(int(zstdLevel)),
		gzhttp.SetContentType(false),
		gzhttp.ContentTypeFilter(func(string) bool { return true }), // compressWriter has looked
	)
	if err != nil {
		return nil, fmt.Errorf("level %d: %w", o.Level, err)
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

// levels are what the algorithms call a level from 1 to 9, 0 for their default.
func levels(level int) (gzipLevel int, zstdLevel zstd.EncoderLevel) {
	switch {
	case level == 0:
		return gzip.DefaultCompression, zstd.SpeedFastest
	case level < 3:
		return level, zstd.SpeedFastest
	case level > 7:
		return level, zstd.SpeedBetterCompression
	}
	return level, zstd.SpeedDefault
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
	if !c.listed(strings.ToLower(strings.TrimSpace(mediaType))) {
		return false
	}
	tag := h.Get("Etag")
	return !c.keepStrong || tag == "" || strings.HasPrefix(tag, "W/")
}

func (c *compression) listed(mediaType string) bool {
	major, _, _ := strings.Cut(mediaType, "/")
	return slices.Contains(c.types, mediaType) || slices.Contains(c.types, major+"/*")
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

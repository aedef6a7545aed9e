package valves

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/klauspost/compress/gzhttp"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/serval-server/serval/server/config"
)

// compression compresses answers on their way out, if the client takes it and they
// are large enough and of a kind that shrinks. Answers that are encoded already, and
// parts of files (206), are left alone.
func compression(c *config.Compression) (func(http.Handler) http.Handler, error) {
	options := list(
		gzhttp.MinSize(int(c.MinSize)),
		gzhttp.ContentTypes(c.Types),
		gzhttp.CompressionLevel(min(c.Level, gzip.BestCompression)),
		gzhttp.SuffixETag("-gzip"),
		gzhttp.EnableZstd(c.Zstd),
	)
	if c.Zstd {
		level := zstd.SpeedDefault
		if c.Level < 3 {
			level = zstd.SpeedFastest
		} else if c.Level > 7 {
			level = zstd.SpeedBetterCompression
		}
		options = append(options, gzhttp.ZstdCompressionLevel(int(level)))
	}
	wrap, err := gzhttp.NewWrapper(options...)
	if err != nil {
		return nil, fmt.Errorf("valves.compression: %w", err)
	}
	return func(next http.Handler) http.Handler {
		h := wrap(next)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			// The suffix that a compressed answer's tag got is taken off
			// again, so that revalidation finds the tag that it came from.
			if tags, ok := r.Header["If-None-Match"]; ok {
				for i, t := range tags {
					tags[i] = etagSuffixes.Replace(t)
				}
			}
			h.ServeHTTP(w, r)
		})
	}, nil
}

// etagSuffixes tell the compressed forms of an answer from the plain one; gzhttp
// writes zstd in place of gzip.
var etagSuffixes = strings.NewReplacer(`-gzip"`, `"`, `-zstd"`, `"`)

// list makes a slice of values whose type has no name outside of its package.
func list[T any](values ...T) []T { return values }

package valves

import (
	"fmt"
	"net/http"

	"github.com/serval-server/serval/server/config"
	"github.com/serval-server/serval/webapp/builtin/filters"
)

// compression compresses answers on their way out, if the client takes it and they
// are large enough and of a kind that shrinks: the filter compression, for all
// applications. Answers that are encoded already, parts of files (206) and those
// with a strong ETag are left alone, and take the direct way to the connection.
func compression(c *config.Compression) (func(http.Handler) http.Handler, error) {
	o := filters.CompressionOptions{
		MinSize: int(c.MinSize), Types: c.Types, Level: c.Level, Algorithms: []string{"gzip"},
	}
	if c.Zstd {
		o.Algorithms = []string{"zstd", "gzip"}
	}
	f, err := filters.Compression(o)
	if err != nil {
		return nil, fmt.Errorf("valves.compression: %w", err)
	}
	return f, nil
}

package static

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/text/encoding/htmlindex"
)

// Coding is a precompressed variant: for a file x, a file x+Suffix that holds
// it in the content coding Name.
type Coding struct {
	Name   string // as in Content-Encoding: br, zstd, gzip
	Suffix string // with its dot: .br
}

// defaultCodings are what precompressed=true means, the server's favourite
// first. Tomcat has no zstd.
var defaultCodings = []Coding{{"br", ".br"}, {"zstd", ".zst"}, {"gzip", ".gz"}}

// Config is what the init parameters of the default servlet say. The zero value
// is not the default; DefaultConfig is.
type Config struct {
	// Listings shows the content of folders without a welcome file. Default
	// false: such a folder is 404.
	Listings bool
	// SortListings lets the reader of a listing sort it by its column heads;
	// SortDirectoriesFirst puts folders before files. Defaults false.
	SortListings, SortDirectoriesFirst bool
	// ReadmeFile names a file of a folder whose text is shown below its
	// listing. Default none.
	ReadmeFile string
	// ShowServerInfo writes the server's name below a listing. Default true.
	ShowServerInfo bool
	// ReadOnly refuses PUT and DELETE with 405. Default true.
	ReadOnly bool
	// AllowPartialPut accepts a PUT with Content-Range. Default true.
	AllowPartialPut bool
	// AllowPostAsGet answers POST like GET. Default true.
	AllowPostAsGet bool
	// UseAcceptRanges announces ranges with Accept-Ranges. Default true.
	UseAcceptRanges bool
	// UseStrongETags computes tags from the content (SHA-256, kept until the
	// file changes) instead of W/"length-mtime". Default false.
	UseStrongETags bool
	// Precompressed are the variants to look for. Default none.
	Precompressed []Coding
	// Input and Output are sizes of buffers in bytes, for when a file has to
	// be copied through the process. Defaults 2048, as Tomcat's; smaller than
	// 256 is 256. The larger of the two is used.
	Input, Output int
	// SendfileSize is the size in bytes from which on a file is sent by the
	// kernel. Default 48 KiB (the parameter is in KiB); negative is never.
	SendfileSize int64
	// FileEncoding is the encoding of text files, which matters only when one
	// is included into a response of another encoding. Default "" (UTF-8).
	FileEncoding string
	// UseBomIfPresent lets a byte order mark say the encoding of an included
	// file, and removes it. Default true.
	UseBomIfPresent bool
	// DirectoryRedirectStatusCode answers a folder's path without its slash:
	// 301, 302, 307 or 308. Default 302.
	DirectoryRedirectStatusCode int
	// Ignored are the parameters that mean nothing here, for a warning.
	Ignored []string
}

// DefaultConfig is the servlet without any init parameter.
func DefaultConfig() Config {
	return Config{
		ShowServerInfo: true, ReadOnly: true, AllowPartialPut: true, AllowPostAsGet: true,
		UseAcceptRanges: true, UseBomIfPresent: true, Input: 2048, Output: 2048,
		SendfileSize: 48 << 10, DirectoryRedirectStatusCode: http.StatusFound,
	}
}

// ParseParams reads the init parameters of Tomcat's DefaultServlet and those of
// Jetty's that mean the same. Every bad value is reported, not the first only.
func ParseParams(params map[string]string) (Config, error) {
	c := DefaultConfig()
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(params)) {
		value := strings.TrimSpace(params[name])
		if err := c.set(name, value); err != nil {
			errs = append(errs, fmt.Errorf("init-param %s: %w", name, err))
		}
	}
	return c, errors.Join(errs...)
}

func (c *Config) set(name, value string) error {
	switch name {
	case "listings", "dirAllowed": // the second is Jetty's
		return setBool(&c.Listings, value)
	case "sortListings":
		return setBool(&c.SortListings, value)
	case "sortDirectoriesFirst":
		return setBool(&c.SortDirectoriesFirst, value)
	case "readmeFile":
		c.ReadmeFile = strings.Trim(value, "/")
	case "showServerInfo":
		return setBool(&c.ShowServerInfo, value)
	case "readonly":
		return setBool(&c.ReadOnly, value)
	case "allowPartialPut":
		return setBool(&c.AllowPartialPut, value)
	case "allowPostAsGet":
		return setBool(&c.AllowPostAsGet, value)
	case "useAcceptRanges", "acceptRanges":
		return setBool(&c.UseAcceptRanges, value)
	case "useStrongETags":
		return setBool(&c.UseStrongETags, value)
	case "useBomIfPresent":
		return c.setBom(value)
	case "precompressed":
		return c.setPrecompressed(value)
	case "gzip": // Jetty's and an older Tomcat's
		return c.setGzip(value)
	case "fileEncoding":
		return c.setEncoding(value)
	case "directoryRedirectStatusCode":
		return c.setRedirect(value)
	default:
		return c.setSize(name, value)
	}
	return nil
}

// setSize handles the numbers, and what is none of ours.
func (c *Config) setSize(name, value string) error {
	switch name {
	case "input", "output":
		n, err := strconv.Atoi(value)
		if err != nil || n < 0 || n > 64<<20 {
			return fmt.Errorf("%q: allowed is a number of bytes from 0 to 67108864", value)
		}
		if name == "input" {
			c.Input = n
		} else {
			c.Output = n
		}
	case "sendfileSize":
		n, err := strconv.ParseInt(value, 10, 32)
		if err != nil {
			return fmt.Errorf("%q: allowed is a number of KiB, negative for never", value)
		}
		c.SendfileSize = n << 10
	default:
		c.Ignored = append(c.Ignored, name)
	}
	return nil
}

func setBool(b *bool, value string) error {
	switch strings.ToLower(value) {
	case "true":
		*b = true
	case "false":
		*b = false
	default:
		return fmt.Errorf("%q: allowed is true or false", value)
	}
	return nil
}

// setBom accepts Tomcat's third value, pass-through, which keeps the mark.
func (c *Config) setBom(value string) error {
	if value == "pass-through" {
		c.UseBomIfPresent = false
		return nil
	}
	if err := setBool(&c.UseBomIfPresent, value); err != nil {
		return fmt.Errorf("%q: allowed is true, false or pass-through", value)
	}
	return nil
}

func (c *Config) setPrecompressed(value string) error {
	switch value {
	case "true":
		c.Precompressed = defaultCodings
		return nil
	case "false", "":
		c.Precompressed = nil
		return nil
	}
	var codings []Coding
	for pair := range strings.SplitSeq(value, ",") {
		name, suffix, ok := strings.Cut(strings.TrimSpace(pair), "=")
		if !ok || !isToken(name) || len(suffix) < 2 || suffix[0] != '.' || strings.ContainsAny(suffix, `/\`) {
			return fmt.Errorf("%q: allowed is true, false or a list such as br=.br,gzip=.gz", value)
		}
		codings = append(codings, Coding{strings.ToLower(name), suffix})
	}
	c.Precompressed = codings
	return nil
}

// setGzip is precompressed with gzip alone, unless precompressed says more.
func (c *Config) setGzip(value string) error {
	var on bool
	if err := setBool(&on, value); err != nil {
		return err
	}
	if on && c.Precompressed == nil {
		c.Precompressed = []Coding{{"gzip", ".gz"}}
	}
	return nil
}

func (c *Config) setEncoding(value string) error {
	if value != "" {
		if _, err := htmlindex.Get(value); err != nil {
			return fmt.Errorf("%q: not an encoding known here, such as UTF-8 or ISO-8859-1", value)
		}
	}
	c.FileEncoding = value
	return nil
}

func (c *Config) setRedirect(value string) error {
	switch value {
	case "301", "302", "307", "308":
		c.DirectoryRedirectStatusCode, _ = strconv.Atoi(value)
		return nil
	}
	return fmt.Errorf("%q: allowed is 301, 302, 307 or 308", value)
}

// isToken reports whether s is a token of RFC 9110 §5.6.2.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return s != ""
}

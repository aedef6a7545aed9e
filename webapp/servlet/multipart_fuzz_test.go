package servlet

import (
	"bytes"
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"regexp"
	"testing"
	"testing/iotest"
)

// FuzzMultipart holds the limit of a part's size against what package
// mime/multipart makes of the same bytes: a form whose parts all fit must pass,
// and one with a part that does not fit must be refused, however it is cut.
func FuzzMultipart(f *testing.F) {
	const boundary = "b0"
	for _, s := range []string{
		"--b0\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n123456789\r\n--b0--\r\n",
		"--b0\nX: y\n\n1234\n--b0\n\n56789\n--b0--",
		"--b0\r\n\r\n\r\n--b0x\r\n--b0\r\n\r\n--b\r\n--b0--",
		"preamble\r\n--b0\r\n\r\nab\r\n\r\n--b0--epilogue",
	} {
		f.Add([]byte(s), uint8(4))
	}
	f.Fuzz(func(t *testing.T, body []byte, limit uint8) {
		longest, whole := longestPart(body, boundary)
		p := newPartReader(io.NopCloser(iotest.HalfReader(bytes.NewReader(body))), boundary,
			MultipartConfig{MaxFileSize: int64(limit), MaxRequestSize: -1})
		_, err := io.ReadAll(p)
		tooLong := errors.As(err, new(*http.MaxBytesError))
		if err != nil && !tooLong {
			t.Fatalf("reading: %v", err)
		}
		if longest > int64(limit) && !tooLong {
			t.Fatalf("a part of %d bytes passed a limit of %d", longest, limit)
		}
		if whole && longest <= int64(limit) && tooLong && !strange.Match(body) {
			t.Fatalf("parts of at most %d bytes were refused at %d", longest, limit)
		}
	})
}

// strange are lines that begin like a delimiter and are none: not every reader
// takes them for part of the text, and nobody sends them.
var strange = regexp.MustCompile(`--b0([^\r\n-]|\r([^\n]|$)|-([^-]|$)|--[^\r\n]|--\r([^\n]|$)|$)`)

// longestPart is the size of a form's longest part that ends, and whether the form
// could be read to its end.
func longestPart(body []byte, boundary string) (longest int64, whole bool) {
	r := multipart.NewReader(bytes.NewReader(body), boundary)
	for {
		part, err := r.NextRawPart()
		if err != nil {
			return longest, errors.Is(err, io.EOF)
		}
		n, err := io.Copy(io.Discard, part)
		if err != nil {
			return longest, false
		}
		longest = max(longest, n)
	}
}

package servlet

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/iotest"
)

// form makes form data with a file of each size.
func form(t testing.TB, sizes ...int) (body []byte, contentType string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for i, n := range sizes {
		f, err := w.CreateFormFile(fmt.Sprintf("f%d", i), "x.txt")
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(f, strings.Repeat("\r\n--", n/4+1)[:n])
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), w.FormDataContentType()
}

func TestMultipartLimits(t *testing.T) {
	for _, c := range []struct {
		sizes         []int
		file, request int64
		over          bool
	}{
		{[]int{0}, 0, -1, false}, {[]int{1}, 0, -1, true},
		{[]int{10, 10}, 10, -1, false}, {[]int{10, 11}, 10, -1, true}, {[]int{11, 1}, 10, -1, true},
		{[]int{100_000}, 100_000, -1, false}, {[]int{100_001}, 100_000, -1, true},
		{[]int{100}, -1, 50, true}, {[]int{100}, -1, 100_000, false}, {[]int{100_000}, -1, -1, false},
	} {
		body, ct := form(t, c.sizes...)
		for _, src := range []io.Reader{bytes.NewReader(body), iotest.OneByteReader(bytes.NewReader(body))} {
			r := httptest.NewRequest(http.MethodPost, "/", io.NopCloser(src))
			r.Header.Set("Content-Type", ct)
			var err error
			var total int64
			tidy(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				var f *multipart.Form
				if f, err = ParseMultipart(r); err != nil {
					return
				}
				for _, list := range f.File {
					total += list[0].Size
				}
			}), &MultipartConfig{MaxFileSize: c.file, MaxRequestSize: c.request, FileSizeThreshold: 1 << 10}).ServeHTTP(httptest.NewRecorder(), r)
			var large *http.MaxBytesError
			if errors.As(err, &large) != c.over || !c.over && err != nil {
				t.Errorf("files of %v bytes, limits %d and %d: %v", c.sizes, c.file, c.request, err)
			}
			if !c.over && total != int64(sum(c.sizes)) {
				t.Errorf("files of %v bytes: read %d", c.sizes, total)
			}
		}
	}
}

func sum(list []int) (n int) {
	for _, i := range list {
		n += i
	}
	return n
}

// TestMultipartTemporaryFiles: files on disk are gone when the servlet returns.
func TestMultipartTemporaryFiles(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	body, ct := form(t, 1<<20)
	r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
	r.Header.Set("Content-Type", ct)
	files := func() int {
		list, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	during := 0
	tidy(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if _, err := ParseMultipart(r); err != nil {
			t.Error(err)
		}
		during = files()
	}), &MultipartConfig{MaxFileSize: -1, MaxRequestSize: -1}).ServeHTTP(httptest.NewRecorder(), r)
	if during == 0 || files() != 0 {
		t.Errorf("%d files during the request, %d after it", during, files())
	}
}

// FuzzPartReader holds the reader that follows the boundaries against package
// multipart: what it lets pass has no part over the limit, and is unchanged.
func FuzzPartReader(f *testing.F) {
	body, _ := form(f, 5, 0, 30)
	f.Add(body, "b", uint8(10))
	f.Add([]byte("--b\r\n\r\n\r\n--b\r\nA: b\r\n\r\nxx\r\n--b--\r\n"), "b", uint8(1))
	f.Add([]byte("--b\r\n\r\nx\r\n--bX\r\n\r\nx\r\n--b-\r\n\r\nx\r\n--b--"), "b", uint8(3))
	f.Add([]byte("--b\n\nxxxxx\n--b\n\n\n\n--b--"), "b", uint8(3))
	f.Add([]byte("--b\r\n\r\n--\r\n-\r\n--c\r\n--b--"), "b", uint8(3))
	f.Fuzz(func(t *testing.T, body []byte, boundary string, limit uint8) {
		if boundary == "" || len(boundary) > 70 || strings.ContainsAny(boundary, "\r\n \t") {
			return
		}
		p := newPartReader(io.NopCloser(bytes.NewReader(body)), boundary, MultipartConfig{MaxFileSize: int64(limit), MaxRequestSize: -1})
		got, err := io.ReadAll(p)
		if err != nil {
			return
		}
		if !bytes.Equal(got, body) {
			t.Fatal("the body was changed")
		}
		mr := multipart.NewReader(bytes.NewReader(got), boundary)
		for {
			part, err := mr.NextRawPart()
			if err != nil {
				return
			}
			n, err := io.Copy(io.Discard, part)
			if err == nil && n > int64(limit) {
				t.Fatalf("a part of %d bytes passed a limit of %d", n, limit)
			}
		}
	})
}

func TestSetLocale(t *testing.T) {
	c := NewContext(ContextConfig{LocaleEncodings: map[string]string{"ja": "Shift_JIS", "de_AT": "ISO-8859-15"}})
	for _, k := range []struct{ locale, ct, encoding, want string }{
		{"ja", "text/html", "Shift_JIS", "text/html;charset=Shift_JIS"},
		{"ja_JP", "text/html", "Shift_JIS", "text/html;charset=Shift_JIS"},
		{"de-AT", "image/png", "ISO-8859-15", "image/png"},
		{"de", "text/html", "", "text/html"},
		{"ja", "text/html; charset=utf-8", "Shift_JIS", "text/html; charset=utf-8"},
	} {
		var x Exchange
		x.Init(nil, c, nil)
		r := x.Start(httptest.NewRequest(http.MethodGet, "/", nil), x.First())
		w := httptest.NewRecorder()
		w.Header().Set("Content-Type", k.ct)
		if e := SetLocale(w, r, k.locale); e != k.encoding || w.Header().Get("Content-Type") != k.want {
			t.Errorf("SetLocale(%q) of %q = %q, %q", k.locale, k.ct, e, w.Header().Get("Content-Type"))
		}
		if l := w.Header().Get("Content-Language"); strings.Contains(l, "_") || l == "" {
			t.Errorf("Content-Language: %q", l)
		}
	}
}

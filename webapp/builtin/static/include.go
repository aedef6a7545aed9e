package static

import (
	"bufio"
	"bytes"
	"io"
	"mime"
	"net/http"
	"strings"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/encoding/unicode/utf32"
	"golang.org/x/text/transform"
)

// include writes a file into another servlet's answer. Text is recoded from
// the encoding that its byte order mark or the parameter fileEncoding says to
// that of the answer, so that one answer has one encoding.
func (s *Servlet) include(w http.ResponseWriter, f io.Reader, mimeType string) error {
	if !isText(mimeType) {
		_, err := io.Copy(w, f)
		return err
	}
	src := bufio.NewReader(f)
	from := s.Config.FileEncoding
	var dec encoding.Encoding
	if s.Config.UseBomIfPresent {
		dec = skipBOM(src)
	}
	if dec == nil {
		dec = lookup(from)
	}
	enc := lookup(charsetOf(w.Header().Get("Content-Type")))
	if dec == enc {
		_, err := io.Copy(w, src)
		return err
	}
	text := transform.NewReader(src, dec.NewDecoder())
	out := transform.NewWriter(w, encoding.ReplaceUnsupported(enc.NewEncoder()))
	if _, err := io.Copy(out, text); err != nil {
		return err
	}
	return out.Close()
}

// isText reports whether a type is text that Tomcat would recode: text/* and
// XML, and what has no type.
func isText(mimeType string) bool {
	return mimeType == "" || strings.HasPrefix(mimeType, "text/") || strings.HasSuffix(mimeType, "xml") ||
		strings.Contains(mimeType, "/javascript")
}

// skipBOM reads past a byte order mark and returns its encoding, or nil.
func skipBOM(src *bufio.Reader) encoding.Encoding {
	head, _ := src.Peek(4) // a short file has fewer
	for _, b := range []struct {
		mark string
		enc  encoding.Encoding
	}{
		{"\xef\xbb\xbf", unicode.UTF8},
		{"\x00\x00\xfe\xff", utf32.UTF32(utf32.BigEndian, utf32.IgnoreBOM)},
		{"\xff\xfe\x00\x00", utf32.UTF32(utf32.LittleEndian, utf32.IgnoreBOM)},
		{"\xfe\xff", unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM)},
		{"\xff\xfe", unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM)},
	} {
		if bytes.HasPrefix(head, []byte(b.mark)) {
			_, _ = src.Discard(len(b.mark)) // it has been peeked
			return b.enc
		}
	}
	return nil
}

// lookup finds an encoding by name; UTF-8 if there is none of that name.
func lookup(name string) encoding.Encoding {
	if e, err := htmlindex.Get(name); err == nil {
		return e
	}
	return unicode.UTF8
}

func charsetOf(contentType string) string {
	_, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return ""
	}
	return params["charset"]
}

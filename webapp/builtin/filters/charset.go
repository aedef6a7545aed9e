package filters

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
)

// maxForm bounds a form that has to be recoded, as the standard library
// bounds every form.
const maxForm = 10 << 20

// NewSetCharacterEncoding makes a filter that says which encoding the
// parameters of a form are in:
//
//	encoding  required, such as UTF-8 or windows-1252
//	ignore    false: what the request says itself counts; true: the parameter counts
//	forceEncoding, forceRequestEncoding
//	          the same as ignore, as Spring's CharacterEncodingFilter calls it
//
// The handlers behind always see UTF-8: a form in another encoding is recoded
// before they read it.
func NewSetCharacterEncoding(values map[string]string) (func(http.Handler) http.Handler, error) {
	p := newParams("set-character-encoding", values)
	name := p.text("encoding", "")
	ignore := p.bool("ignore", false)
	ignore = p.bool("forceEncoding", ignore) || ignore
	ignore = p.bool("forceRequestEncoding", ignore) || ignore
	p.ignore("forceResponseEncoding", "beanName")
	if _, err := encodingByName(name); err != nil {
		p.wrong("encoding", "%q: not an encoding known here, such as UTF-8 or windows-1252", name)
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r2, err := RecodeForm(r, name, ignore)
			var tooLarge *http.MaxBytesError
			switch {
			case errors.As(err, &tooLarge):
				refuse(w, r, http.StatusRequestEntityTooLarge, "")
			case err != nil:
				refuse(w, r, http.StatusBadRequest, "")
			default:
				next.ServeHTTP(w, r2)
			}
		})
	}, nil
}

// encodingByName finds an encoding by the names of the web, or by Java's, which
// have underscores (EUC_JP).
func encodingByName(name string) (encoding.Encoding, error) {
	enc, err := htmlindex.Get(name)
	if err != nil {
		enc, err = htmlindex.Get(strings.ReplaceAll(name, "_", "-"))
	}
	return enc, err
}

// RecodeForm returns the request with its urlencoded form in UTF-8, and with a
// charset in its Content-Type. name is the encoding that a form is in which does
// not say itself, or, with ignore, in any case. The error is a
// *http.MaxBytesError for a form of more than 10 MiB, or says what cannot be
// decoded. A request without such a form is returned as it is, but for the charset.
func RecodeForm(r *http.Request, name string, ignore bool) (*http.Request, error) {
	mediaType, attrs, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return r, nil // no body, or one of nobody knows what
	}
	if own := attrs["charset"]; own != "" && !ignore {
		name = own
	}
	enc, err := encodingByName(name)
	if err != nil {
		return r, nil // the request's own word, and unknown: leave it alone
	}
	form := isForm(r)
	if canonical, _ := htmlindex.Name(enc); form && canonical != "utf-8" {
		body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxForm))
		if err != nil {
			return r, err
		}
		text, err := recode(string(body), enc)
		if err != nil {
			return r, err
		}
		r = r.WithContext(r.Context())
		r.Body = io.NopCloser(strings.NewReader(text))
		r.ContentLength = int64(len(text))
		r.Header = r.Header.Clone()
		r.Header.Set("Content-Length", strconv.Itoa(len(text)))
		name = "utf-8"
	} else if attrs["charset"] == name {
		return r, nil
	} else {
		r = r.WithContext(r.Context())
		r.Header = r.Header.Clone()
	}
	attrs["charset"] = name
	if t := mime.FormatMediaType(mediaType, attrs); t != "" {
		r.Header.Set("Content-Type", t)
	}
	return r, nil
}

// recode turns each name and value of an urlencoded form into UTF-8.
func recode(form string, enc encoding.Encoding) (string, error) {
	var out strings.Builder
	for i, pair := range strings.Split(form, "&") {
		if i > 0 {
			out.WriteByte('&')
		}
		name, value, has := strings.Cut(pair, "=")
		for j, part := range []string{name, value} {
			if j == 1 {
				if !has {
					break
				}
				out.WriteByte('=')
			}
			raw, err := url.QueryUnescape(part)
			if err != nil {
				return "", err
			}
			text, err := enc.NewDecoder().String(raw)
			if err != nil {
				return "", err
			}
			out.WriteString(url.QueryEscape(text))
		}
	}
	return out.String(), nil
}

// NewAddDefaultCharset makes a filter that adds a charset to the Content-Type of
// text (text/*) that has none:
//
//	encoding  ISO-8859-1 (also "default"); "system" is UTF-8, else a name
//
// It says what the bytes are taken for and does not change them. Go programs
// write UTF-8.
func NewAddDefaultCharset(values map[string]string) (func(http.Handler) http.Handler, error) {
	p := newParams("add-default-charset", values)
	name := p.text("encoding", "default")
	switch {
	case strings.EqualFold(name, "default") || name == "":
		name = "ISO-8859-1"
	case strings.EqualFold(name, "system"):
		name = "UTF-8"
	default:
		if _, err := encodingByName(name); err != nil {
			p.wrong("encoding", "%q: not an encoding known here, nor default or system", name)
		}
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	add := func(h http.Header, _ int) {
		t := h.Get("Content-Type")
		if len(t) > 5 && strings.EqualFold(t[:5], "text/") && !strings.Contains(strings.ToLower(t), "charset=") {
			h.Set("Content-Type", t+";charset="+name)
		}
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			beforeHeader(w, r, next, add)
		})
	}, nil
}

package servlet

import (
	"net/http"
	"net/url"
	"strings"
)

// ResponseState is what the container's response can do besides what
// http.ResponseWriter says. The functions Committed, StatusOf, ResetBuffer, Reset
// and SetBufferSize find it through any middleware whose writer has an Unwrap
// method.
type ResponseState interface {
	// Committed reports that status and headers have left.
	Committed() bool
	// Status is the status set so far, 200 if none.
	Status() int
	// ResetBuffer drops what has been written; ErrCommitted if it has left.
	ResetBuffer() error
	// Reset is ResetBuffer, and drops status and headers too, except
	// cookies.
	Reset() error
	// SetBufferSize sets how many bytes are held back before the response
	// is committed; ErrCommitted if something has been written.
	SetBufferSize(n int) error
	// Suspend lets what is written from now on go nowhere.
	Suspend()
}

// StateOf finds the container's response behind any wrappers; nil if there is
// none.
func StateOf(w http.ResponseWriter) ResponseState {
	for w != nil {
		if s, ok := w.(ResponseState); ok {
			return s
		}
		u, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return nil
		}
		w = u.Unwrap()
	}
	return nil
}

// Committed reports that the response's status and headers have left, so that
// they can no longer be changed. Outside of a container it is false.
func Committed(w http.ResponseWriter) bool {
	s := StateOf(w)
	return s != nil && s.Committed()
}

// StatusOf is the status that the response has so far, 200 if none was set.
func StatusOf(w http.ResponseWriter) int {
	if s := StateOf(w); s != nil {
		return s.Status()
	}
	return http.StatusOK
}

// ResetBuffer drops what has been written of the body (Servlet 6.1 §5.1). If it
// has left the error is ErrCommitted.
func ResetBuffer(w http.ResponseWriter) error {
	if s := StateOf(w); s != nil {
		return s.ResetBuffer()
	}
	return ErrNoContainer
}

// Reset drops body, status and headers, except cookies. If they have left the
// error is ErrCommitted.
func Reset(w http.ResponseWriter) error {
	if s := StateOf(w); s != nil {
		return s.Reset()
	}
	return ErrNoContainer
}

// SetBufferSize sets how many bytes of the body are held back before the
// response is committed (8192 by default), so that an error page can still take
// their place. Once something has been written the error is ErrCommitted.
func SetBufferSize(w http.ResponseWriter, n int) error {
	if s := StateOf(w); s != nil {
		return s.SetBufferSize(n)
	}
	return ErrNoContainer
}

// Redirect answers with 302 Found (Servlet 6.1 §5.3): what has been written is
// dropped, and what is written afterwards goes nowhere. An address that begins
// with "/" is one of the server, so one of the application's own begins with
// ContextPath; any other relative one is relative to the request's, as the
// client sees it. (http.Redirect makes such an address absolute by a path that
// lacks the context path.) The address goes through EncodeURL first.
func Redirect(w http.ResponseWriter, r *http.Request, address string) error {
	s := StateOf(w)
	if s == nil {
		http.Redirect(w, r, address, http.StatusFound)
		return nil
	}
	if err := s.ResetBuffer(); err != nil {
		return err
	}
	if c := ContextOf(r); c.cfg.AbsoluteRedirects {
		address = absolute(r, address)
	}
	w.Header().Set("Location", EncodeURL(r, address))
	w.WriteHeader(http.StatusFound)
	s.Suspend()
	return nil
}

// SetLocale says which language the response is in ("de", "pt-BR"): it sets
// Content-Language, and, if the descriptor's locale-encoding-mapping names an
// encoding for it, the charset of a Content-Type that is text and has none. It
// returns that encoding, "" for none: who sends another than UTF-8 has to encode
// what he writes himself.
func SetLocale(w http.ResponseWriter, r *http.Request, locale string) (encoding string) {
	w.Header().Set("Content-Language", strings.ReplaceAll(locale, "_", "-"))
	p := passOf(r)
	if p == nil {
		return ""
	}
	known := p.Exchange.context.cfg.LocaleEncodings
	name := strings.ReplaceAll(locale, "-", "_")
	for {
		if encoding = known[name]; encoding != "" {
			break
		}
		i := strings.LastIndexByte(name, '_')
		if i < 0 {
			return ""
		}
		name = name[:i]
	}
	ct := w.Header().Get("Content-Type")
	if strings.HasPrefix(ct, "text/") && !strings.Contains(strings.ToLower(ct), "charset=") {
		w.Header().Set("Content-Type", ct+";charset="+encoding)
	}
	return encoding
}

// absolute resolves an address against the request's own.
func absolute(r *http.Request, address string) string {
	ref, err := url.Parse(address)
	if err != nil {
		return address
	}
	base := url.URL{Scheme: "http", Host: r.Host}
	if r.TLS != nil {
		base.Scheme = "https"
	}
	if u, err := url.Parse(RequestURI(r)); err == nil {
		base.Path, base.RawPath = u.Path, u.RawPath
	}
	return base.ResolveReference(ref).String()
}

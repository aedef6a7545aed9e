package sessions

import (
	"net/http"

	"github.com/serval-server/serval/descriptor"
)

// Tracker carries session ids between server and client for one application.
type Tracker struct{}

// Requested is a session id that a request came with.
type Requested struct {
	ID     ID
	Cookie bool // it came in a cookie; else in the URL
}

// NewTracker makes the tracker of the application at contextPath ("" for the
// root application) from its descriptor.
func NewTracker(contextPath string, s descriptor.SessionConfig, c descriptor.ContextFile) (*Tracker, error) {
	return &Tracker{}, nil
}

// CookieName is the name of the session cookie.
func (t *Tracker) CookieName() string { return "" }

// ParameterName is the name of the path parameter.
func (t *Tracker) ParameterName() string { return "" }

// ReadIDs returns the well-formed session ids of a request in the order in which
// they are to be tried: cookies as they come, then the URL.
func (t *Tracker) ReadIDs(r *http.Request) []Requested { return nil }

// SetCookie puts the session cookie into a response's header, in place of an
// earlier one. Secure says that the request came by TLS.
func (t *Tracker) SetCookie(h http.Header, id ID, secure bool) {}

// EncodeURL adds the id to an address if it leads into the application. It is
// for requests whose id did not come in a cookie.
func (t *Tracker) EncodeURL(r *http.Request, address string, id ID) string { return address }

package descriptor

import (
	"strings"
	"time"
)

// WebApp is the merged model of one application: web.xml or web.toml, its
// fragments, jboss-web.xml, the context file, and the server's defaults.
// It is not changed after [Load] returned it, so it can be shared.
type WebApp struct {
	Pos     Pos    // the root element, or the start of the TOML file
	Version string // the schema version as declared ("2.2" ... "6.2"), "" if none

	// MetadataComplete keeps fragments out (Servlet 6.1 §8.1).
	MetadataComplete bool
	DisplayName      string
	// Distributable is true if the application and all its fragments declare
	// it; it turns session replication on.
	Distributable    bool
	DistributablePos Pos

	// RequestEncoding and ResponseEncoding are the character encodings that
	// hold when a request or response names none; "" means that none was declared.
	RequestEncoding  string
	ResponseEncoding string

	ContextParams   []Param
	Servlets        []Servlet
	ServletMappings []ServletMapping
	Filters         []Filter
	FilterMappings  []FilterMapping
	Listeners       []Listener
	SessionConfig   SessionConfig
	WelcomeFiles    []string
	ErrorPages      []ErrorPage
	MimeMappings    []MimeMapping
	LocaleEncodings []LocaleEncoding
	EnvEntries      []EnvEntry

	SecurityConstraints []SecurityConstraint
	Login               *LoginConfig // nil: none declared
	Roles               []SecurityRole
	// DenyUncovered denies the methods that a constrained pattern does not
	// cover (Servlet 6.1 §13.8.4).
	DenyUncovered bool

	// Ordering is how fragments are ordered; the zero value means by name.
	Ordering Ordering
	// Fragments are the names (or archive names) of the fragments that were
	// merged, in their order.
	Fragments []string

	Replication Replication
	JBoss       JBoss
	Context     ContextFile
	Runtime     Runtime

	fragmentName string // of a web-fragment
	declared     declared
}

// declared remembers where single elements were declared, so that merging can tell
// "false" from "not said" and a conflict can name both places.
type declared map[string]Pos

// Param is a name with a value: a context parameter or an init parameter.
type Param struct {
	Name, Value string
	Pos         Pos
}

// Params returns the parameters as a map; of a name given twice the first counts.
func Params(list []Param) map[string]string {
	m := make(map[string]string, len(list))
	for _, p := range list {
		if _, ok := m[p.Name]; !ok {
			m[p.Name] = p.Value
		}
	}
	return m
}

// Servlet is one servlet element.
type Servlet struct {
	Name string
	// Class is a name of the application's own table, or one of Serval's
	// (a known Java class name has been translated already).
	Class string
	// JSPFile is the page that serves instead of a class; "" if there is a class.
	JSPFile    string
	InitParams []Param
	// LoadOnStartup orders the start: nil or negative is at the first request.
	LoadOnStartup  *int
	AsyncSupported bool
	// Disabled is true for <enabled>false</enabled>: requests get 404.
	Disabled  bool
	Multipart *Multipart // nil: no multipart-config
	RunAs     string
	RoleRefs  []RoleRef
	Pos       Pos
	ClassPos  Pos
	// JavaClass is the class as written, if it was translated to Class.
	JavaClass string

	fromDefaults bool
	declared     declared
}

// Multipart is a servlet's multipart-config (Servlet 6.1 §8.2.3 and Tomcat's defaults).
type Multipart struct {
	Location          string // folder for parts on disk; "" is the work folder
	MaxFileSize       int64  // bytes; negative: no limit
	MaxRequestSize    int64  // bytes; negative: no limit
	FileSizeThreshold int64  // bytes kept in memory before a part goes to disk
	Pos               Pos
}

// RoleRef gives a role another name within one servlet (security-role-ref).
type RoleRef struct {
	Name string // as the servlet's code says it
	Link string // the declared role; "" is the same name
	Pos  Pos
}

// ServletMapping maps URL patterns to a servlet.
type ServletMapping struct {
	Servlet  string
	Patterns []Pattern
	Pos      Pos

	fromDefaults bool
}

// Pattern is a URL pattern, decoded: "", "/", "*.ext", "/x/*" or "/exact"
// (Servlet 6.1 §12.2).
type Pattern struct {
	URL string
	Pos Pos
}

// Filter is one filter element.
type Filter struct {
	Name           string
	Class          string // as Servlet.Class
	InitParams     []Param
	AsyncSupported bool
	Pos            Pos
	ClassPos       Pos
	JavaClass      string // as Servlet.JavaClass

	declared declared
}

// Dispatcher is a kind of dispatch that a filter mapping takes part in.
type Dispatcher string

// The dispatcher types of Servlet 6.1 §6.2.5.
const (
	DispatchRequest Dispatcher = "REQUEST"
	DispatchForward Dispatcher = "FORWARD"
	DispatchInclude Dispatcher = "INCLUDE"
	DispatchError   Dispatcher = "ERROR"
	DispatchAsync   Dispatcher = "ASYNC"
)

// FilterMapping says which requests a filter sees.
type FilterMapping struct {
	Filter       string
	ServletNames []string // "*" is every servlet
	Patterns     []Pattern
	// Dispatchers is never empty after loading: none declared is REQUEST.
	Dispatchers []Dispatcher
	Pos         Pos
}

// Listener is one listener element.
type Listener struct {
	Class     string // as Servlet.Class
	Pos       Pos
	ClassPos  Pos
	JavaClass string // as Servlet.JavaClass
}

// DefaultSessionTimeout is the idle time of sessions when nobody declares one.
const DefaultSessionTimeout = 30 * time.Minute

// SessionConfig is the session-config element and, in TOML, [session].
type SessionConfig struct {
	// Timeout is the idle time after which a session ends. Zero means not
	// declared ([DefaultSessionTimeout] holds; Load fills it in), negative never
	// (a declared 0 or less means never and is stored as -1 minute).
	Timeout time.Duration
	Cookie  SessionCookie
	// TrackingModes replaces the default set {COOKIE, URL} if not empty.
	TrackingModes []TrackingMode
	// Serialized lets only one request of a session run at a time. TOML only.
	Serialized bool
	Pos        Pos

	declared declared
}

// TrackingMode is a way to carry the session's id.
type TrackingMode string

// The tracking modes. SSL is accepted with a warning and tracks nothing: TLS 1.3
// has no session id.
const (
	TrackCookie TrackingMode = "COOKIE"
	TrackURL    TrackingMode = "URL"
	TrackSSL    TrackingMode = "SSL"
)

// SessionCookie is the cookie-config element. A nil pointer and "" mean not declared.
type SessionCookie struct {
	Name, Domain, Path, Comment string
	HTTPOnly, Secure            *bool
	MaxAge                      *int // seconds; negative: until the browser ends
	// Attributes are passed through to Set-Cookie, SameSite and Partitioned
	// among them.
	Attributes []Param

	declared declared
}

// ErrorPage says where an error is answered. Code 0 with an empty ErrorType is the
// page for every error that has no page of its own.
type ErrorPage struct {
	Code      int
	ErrorType string // the name of an error type (exception-type)
	Location  string // begins with "/"
	Pos       Pos
}

// MimeMapping gives files with an extension their media type.
type MimeMapping struct {
	Extension string // without dot, lower-case
	Type      string
	Pos       Pos
}

// MIMEType returns the media type declared for an extension (without its dot, any
// case), or "".
func (w *WebApp) MIMEType(extension string) string {
	extension = strings.ToLower(extension)
	for i := range w.MimeMappings {
		if w.MimeMappings[i].Extension == extension {
			return w.MimeMappings[i].Type
		}
	}
	return ""
}

// LocaleEncoding names the character encoding of responses in a locale.
type LocaleEncoding struct {
	Locale, Encoding string
	Pos              Pos
}

// EnvEntry is a named, typed value for the application's code.
type EnvEntry struct {
	Name  string
	Type  string // String, Boolean, Integer, Long, Double, Float, Short, Byte, Character, or a class name
	Value string
	Pos   Pos
}

// Ordering is absolute-ordering (of the application) or ordering (of a fragment).
type Ordering struct {
	// Absolute lists fragment names; [OthersName] stands for all that are
	// not listed. Nil: no absolute ordering; empty but not nil: no fragments.
	Absolute []string
	// Before and After are a fragment's relative ordering.
	Before, After []string
	Pos           Pos
}

// OthersName stands for the others element in an [Ordering]. No fragment can have
// this name: XML does not allow the character.
const OthersName = "\x00others"

package descriptor

import "time"

// ContextFile is Tomcat's Context element (META-INF/context.xml, conf/context.xml,
// conf/<engine>/<host>/name.xml) and the same in TOML. A nil pointer means that
// the file does not say; the methods give what then holds.
type ContextFile struct {
	Path         string // only where the deployer allows it
	DocBase      string // a bundle outside the app base
	Reloadable   *bool  // false: watch the application's code
	CrossContext *bool  // false: may dispatch to other contexts
	Override     *bool  // false: ignore the server's default context files
	UnpackWAR    *bool  // true
	CopyXML      *bool  // false: copy META-INF/context.xml to the host's context files
	Privileged   *bool  // accepted, no effect
	SwallowOut   *bool  // swallowOutput; accepted, no effect

	// UnloadDelay is how long a stop waits for running requests; nil: 2 s.
	UnloadDelay        *time.Duration
	LogEffectiveWebXML *bool // false

	// WatchedResources are paths in the bundle whose change reloads the application.
	WatchedResources []string

	SessionTimeout          *time.Duration // minutes in the file
	Cookies                 *bool          // true: sessions may be tracked by cookie
	SessionCookieName       string
	SessionCookiePath       string
	SessionCookieDomain     string
	SessionCookiePathSlash  *bool // sessionCookiePathUsesTrailingSlash: false
	UseHTTPOnly             *bool // true
	UsePartitioned          *bool // false
	ValidateClientSessionID *bool // validateClientProvidedNewSessionId: true
	CookieProcessor         CookieProcessor

	MapperContextRootRedirectEnabled *bool          // true
	MapperDirectoryRedirectEnabled   *bool          // false
	UseRelativeRedirects             *bool          // true in Tomcat 11
	AllowCasualMultipart             *bool          // allowCasualMultipartParsing: false
	AllowLinking                     *bool          // false: links that leave the bundle are refused
	CachingAllowed                   *bool          // true
	CacheMaxSize                     *int64         // KiB; 10240
	CacheObjectMaxSize               *int64         // KiB; 512
	CacheTTL                         *time.Duration // 5 s

	// FailOnServletStart is failCtxIfServletStartFails.
	FailOnServletStart *bool
	// ResourceOnlyServlets are servlets whose mappings need a file for a welcome file to match.
	ResourceOnlyServlets []string
	// DenyUncovered is denyUncoveredHttpMethods.
	DenyUncovered *bool

	Manager      ContextManager
	Parameters   []ContextParameter
	Environments []ContextEnvironment
	Valves       []ContextValve
	Pos          Pos // zero: there is no context file
}

// CookieProcessor is the CookieProcessor element.
type CookieProcessor struct {
	SameSite    string // none, lax, strict, unset; "" is not declared
	Partitioned *bool
	Pos         Pos
}

// ContextManager is the Manager element (tomcat.md B1 to B3).
type ContextManager struct {
	Class                    string  // as written; "" is the standard manager
	Pathname                 *string // file of the saved sessions; "" turns saving off
	MaxActiveSessions        *int    // negative: no limit
	SessionIDLength          *int    // bytes of randomness
	MinIdleSwap              *time.Duration
	MaxIdleSwap              *time.Duration
	MaxIdleBackup            *time.Duration
	SaveOnRestart            *bool // true
	SessionActivityCheck     *bool
	LastAccessAtStart        *bool // sessionLastAccessAtStart
	NotifyAttributeUnchanged *bool // notifyAttributeListenerOnUnchangedValue: true
	NotifyBindingUnchanged   *bool // notifyBindingListenerOnUnchangedValue: false
	// NotifyListenersOnReplication and the like of a clustered manager are in
	// Attributes.
	AttributeNameFilter string  // sessionAttributeNameFilter, a regular expression
	Attributes          []Param // all attributes as written
	Pos                 Pos
}

// ContextParameter is a Parameter element: a context parameter that the descriptor
// may replace only if Override is true.
type ContextParameter struct {
	Name, Value string
	Override    bool // true if not declared
	Pos         Pos
}

// ContextEnvironment is an Environment element.
type ContextEnvironment struct {
	EnvEntry
	Override bool // true if not declared
}

// ContextValve is a Valve element of a context.
type ContextValve struct {
	Class  string
	Params []Param
	Pos    Pos
}

// RuntimeKind says where an application's code runs.
type RuntimeKind string

// The kinds of runtime.
const (
	RuntimeAuto   RuntimeKind = "auto"   // linked if App names a linked application, else worker if there is a program
	RuntimeLinked RuntimeKind = "linked" // in the server's process
	RuntimeWorker RuntimeKind = "worker" // in a process of its own
)

// Runtime is [runtime] of web.toml: where the code runs, and its limits. XML has
// no such element; an application with web.xml takes it from context parameters
// of the same name with the prefix "serval.runtime.".
type Runtime struct {
	Kind RuntimeKind // "" is auto
	App  string      // the linked application's name; "" is none
	// Build is what WEB-INF/src is built to: "native" (or "") or "wasm".
	Build string
	// Memory limits a worker's memory in bytes; 0 is the server's default.
	Memory int64
	// MaxRequests is how many requests may be open at once; 0 is the server's default.
	MaxRequests    int
	RequestTimeout time.Duration // 0 is the server's default, negative none
	StartTimeout   time.Duration // 0 is the server's default
	Env            []Param       // environment variables of a worker
	Pos            Pos
}

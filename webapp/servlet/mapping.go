package servlet

// DispatcherType says how a request came to the servlet or filter that sees it
// (Servlet 6.1 §6.2.5). The numbers travel between the server and a worker:
// append only.
type DispatcherType uint8

// The dispatcher types. ASYNC of the specification has no counterpart: a Go
// handler that wants to wait, waits.
const (
	// Request is a request as it came from the client.
	Request DispatcherType = iota
	// Forward is a request that Dispatcher.Forward passed on.
	Forward
	// Include is a part of a response made through Dispatcher.Include.
	Include
	// Error is a request for an error page, made by the container.
	Error
)

// String is the specification's name of the type: REQUEST, FORWARD, INCLUDE or ERROR.
func (t DispatcherType) String() string {
	switch t {
	case Request:
		return "REQUEST"
	case Forward:
		return "FORWARD"
	case Include:
		return "INCLUDE"
	case Error:
		return "ERROR"
	}
	return "UNKNOWN"
}

// MappingMatch is the kind of rule by which a path found its servlet (Servlet
// 6.1 §12.3). The numbers travel between the server and a worker: append only.
type MappingMatch uint8

// The kinds of match, in no order of precedence.
const (
	// NoMatch is that of a servlet called by name, without a path.
	NoMatch MappingMatch = iota
	// ContextRootMatch is the pattern "" on the path "/".
	ContextRootMatch
	// ExactMatch is a pattern that equals the path.
	ExactMatch
	// PathMatch is a pattern "/x/*".
	PathMatch
	// ExtensionMatch is a pattern "*.x".
	ExtensionMatch
	// DefaultMatch is the pattern "/".
	DefaultMatch
)

// String is the specification's name of the kind; that of NoMatch is "".
func (m MappingMatch) String() string {
	switch m {
	case ContextRootMatch:
		return "CONTEXT_ROOT"
	case ExactMatch:
		return "EXACT"
	case PathMatch:
		return "PATH"
	case ExtensionMatch:
		return "EXTENSION"
	case DefaultMatch:
		return "DEFAULT"
	}
	return ""
}

// Mapping says which rule chose the servlet of a request, as
// HttpServletMapping does (Servlet 6.1 §12.1).
type Mapping struct {
	Match   MappingMatch
	Value   string // what the variable part of the pattern matched, "" if it has none
	Pattern string // the url-pattern of the descriptor
	Servlet string // the servlet's name
}

package servlet

// The names of the request attributes that the container sets, kept from the
// specification so that pages and habits move over unchanged.
//
// Those of a forward hold what the first request had (Servlet 6.1 §9.4.2): the
// paths are strings, the mapping is a Mapping.
const (
	AttrForwardRequestURI  = "jakarta.servlet.forward.request_uri"
	AttrForwardContextPath = "jakarta.servlet.forward.context_path"
	AttrForwardServletPath = "jakarta.servlet.forward.servlet_path"
	AttrForwardPathInfo    = "jakarta.servlet.forward.path_info"
	AttrForwardQueryString = "jakarta.servlet.forward.query_string"
	AttrForwardMapping     = "jakarta.servlet.forward.mapping"
)

// The attributes of an include hold what the included target has, while the
// request's own paths stay those of the including servlet (Servlet 6.1 §9.3.1).
const (
	AttrIncludeRequestURI  = "jakarta.servlet.include.request_uri"
	AttrIncludeContextPath = "jakarta.servlet.include.context_path"
	AttrIncludeServletPath = "jakarta.servlet.include.servlet_path"
	AttrIncludePathInfo    = "jakarta.servlet.include.path_info"
	AttrIncludeQueryString = "jakarta.servlet.include.query_string"
	AttrIncludeMapping     = "jakarta.servlet.include.mapping"
)

// The attributes of an error dispatch (Servlet 6.1 §10.9.1).
const (
	AttrErrorStatusCode    = "jakarta.servlet.error.status_code"    // int
	AttrErrorExceptionType = "jakarta.servlet.error.exception_type" // string, as in Typed
	AttrErrorMessage       = "jakarta.servlet.error.message"        // string
	AttrErrorException     = "jakarta.servlet.error.exception"      // error
	AttrErrorRequestURI    = "jakarta.servlet.error.request_uri"    // string
	AttrErrorServletName   = "jakarta.servlet.error.servlet_name"   // string
	AttrErrorMethod        = "jakarta.servlet.error.method"         // string
	AttrErrorQueryString   = "jakarta.servlet.error.query_string"   // string
)

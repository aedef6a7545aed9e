package descriptor

// SecurityConstraint is one security-constraint element (Servlet 6.1 §13.8).
type SecurityConstraint struct {
	Name        string // display-name
	Collections []ResourceCollection
	// Auth is nil if there is no auth-constraint: everybody may.
	Auth      *AuthConstraint
	Transport TransportGuarantee // "" is NONE
	Pos       Pos
}

// ResourceCollection is a web-resource-collection: patterns and methods. Neither
// Methods nor OmittedMethods means every method.
type ResourceCollection struct {
	Name           string
	Patterns       []Pattern
	Methods        []string // only these
	OmittedMethods []string // all but these
	Pos            Pos
}

// AuthConstraint says which roles may. Without any role nobody may.
type AuthConstraint struct {
	// Roles are declared roles, [AnyRole] or [AnyUser].
	Roles []string
	Pos   Pos
}

// The two role names with a meaning of their own (Servlet 6.1 §13.8.1).
const (
	AnyRole = "*"  // any declared role
	AnyUser = "**" // any authenticated user, unless a role of this name is declared
)

// TransportGuarantee says what protection a request must have travelled under.
type TransportGuarantee string

// The guarantees. INTEGRAL and CONFIDENTIAL both mean TLS.
const (
	TransportNone         TransportGuarantee = "NONE"
	TransportIntegral     TransportGuarantee = "INTEGRAL"
	TransportConfidential TransportGuarantee = "CONFIDENTIAL"
)

// LoginConfig is the login-config element.
type LoginConfig struct {
	Method        string // BASIC, DIGEST, FORM, CLIENT-CERT, or another name; "" is BASIC
	Realm         string
	FormLoginPage string // begins with "/"
	FormErrorPage string // begins with "/"
	Pos           Pos
}

// SecurityRole is a declared role.
type SecurityRole struct {
	Name string
	Pos  Pos
}

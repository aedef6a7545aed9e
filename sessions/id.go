package sessions

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"strings"
)

// ID is a session's id as a client knows it: 32 characters of base64url, and
// "." and a route if the node that made it has one. Two ids with the same 32
// characters name the same session, whatever their routes say.
type ID string

const (
	// PlacementBytes is how many bytes of an id say where a session is
	// placed in a cluster. A change of the id keeps them.
	PlacementBytes = 8
	// SecretBytes is how many bytes of an id are secret: 128 bits, as OWASP
	// and Servlet 6.1 §7.1.1 ask for. The placement bytes are random too.
	SecretBytes = 16

	keyBytes = PlacementBytes + SecretBytes
	keyChars = keyBytes * 4 / 3
	// maxRoute bounds the route of an id that comes from outside.
	maxRoute = 128
)

// key is the decoded id without its route: what the maps use.
type key [keyBytes]byte

var idEncoding = base64.RawURLEncoding.Strict()

// Real returns the id without its route.
func (id ID) Real() ID {
	if i := strings.IndexByte(string(id), '.'); i >= 0 {
		return id[:i]
	}
	return id
}

// Route returns what follows the first dot of the id, "" if it has none.
func (id ID) Route() string {
	_, route, _ := strings.Cut(string(id), ".")
	return route
}

// WithRoute returns the id with this route instead of its own; "" removes it.
func (id ID) WithRoute(route string) ID {
	if route == "" {
		return id.Real()
	}
	return id.Real() + ID("."+route)
}

// Valid reports whether the id has the form that this package makes. It says
// nothing about whether there is such a session.
func (id ID) Valid() bool {
	_, ok := parseKey(id)
	return ok
}

// ValidRoute reports whether a route can be part of an id: up to 128 letters,
// digits, "-", "_" and ".".
func ValidRoute(route string) error {
	if len(route) > maxRoute {
		return fmt.Errorf("route %.20q...: longer than %d characters", route, maxRoute)
	}
	for i := range len(route) {
		if !routeChar(route[i]) {
			return fmt.Errorf("route %q: %q is not a letter, digit, '-', '_' or '.'", route, route[i])
		}
	}
	return nil
}

func routeChar(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.'
}

// parseKey decodes an id from outside. Only the exact form is accepted, so that
// each session has one spelling: unused bits, padding and line breaks (which
// encoding/base64 skips) are refused.
func parseKey(id ID) (k key, ok bool) {
	if len(id) < keyChars || len(id) > keyChars+1+maxRoute {
		return k, false
	}
	if len(id) > keyChars && (id[keyChars] != '.' || ValidRoute(string(id[keyChars+1:])) != nil) {
		return k, false
	}
	n, err := idEncoding.Decode(k[:], []byte(id[:keyChars]))
	return k, err == nil && n == keyBytes
}

func (k key) id(route string) ID {
	var b [keyChars]byte
	idEncoding.Encode(b[:], k[:])
	if route == "" {
		return ID(b[:])
	}
	return ID(string(b[:]) + "." + route)
}

// newKey makes the key of a new session. crypto/rand never fails.
func newKey() (k key) {
	_, _ = rand.Read(k[:])
	return k
}

// renewed returns another key with the same placement bytes.
func (k key) renewed() key {
	_, _ = rand.Read(k[PlacementBytes:])
	return k
}

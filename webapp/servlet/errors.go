package servlet

import (
	"errors"
	"fmt"
	"time"
)

var (
	// ErrNoAttribute is what Get returns if the attribute does not exist.
	ErrNoAttribute = errors.New("servlet: no such attribute")
	// ErrInvalid means that the session has been invalidated or has expired.
	ErrInvalid = errors.New("servlet: session is no longer valid")
	// ErrCommitted means that the response has already begun to leave, so
	// that what was asked for is no longer possible.
	ErrCommitted = errors.New("servlet: response is already committed")
	// ErrNoContainer means that a request did not come through a server
	// (or the test server of package servlettest).
	ErrNoContainer = errors.New("servlet: request was not served by a container")
	// ErrTooManySessions means that the application has as many sessions as
	// max-active-sessions allows.
	ErrTooManySessions = errors.New("servlet: too many active sessions")
)

// Typed is an error that says under which names of error-page's exception-type
// it wants to be found, most specific first. An error that is not Typed is
// found by the name of its Go type ("shop.OutOfStock", or with the package's
// whole path), and then by those of the errors that it wraps.
type Typed interface {
	error
	ErrorTypes() []string
}

// Unavailable is an error that a servlet's Init or a handler (through Fail)
// gives if it cannot serve: 503 with Retry-After for the time of RetryAfter, or
// 404 for good if Permanent (Servlet 6.1 §2.3.3.2).
type Unavailable struct {
	Reason     string
	Permanent  bool
	RetryAfter time.Duration // zero: no Retry-After header
}

// Error implements error.
func (u *Unavailable) Error() string { return u.Reason }

// StatusError is an error that asks for a certain status; Fail with it is as
// SendError, after the error pages by type have been tried.
type StatusError struct {
	Code    int
	Message string
}

// Error implements error.
func (e *StatusError) Error() string { return fmt.Sprintf("status %d: %s", e.Code, e.Message) }

// RemoteError is an error that has crossed from a worker to the server or back:
// its message, and the type names it had there.
type RemoteError struct {
	Message string
	Types   []string // most specific first
}

// Error implements error.
func (e *RemoteError) Error() string { return e.Message }

// ErrorTypes implements Typed.
func (e *RemoteError) ErrorTypes() []string { return e.Types }

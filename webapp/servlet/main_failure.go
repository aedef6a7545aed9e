package servlet

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"reflect"
	"strings"

	"github.com/serval-server/serval/webapp/servlet/wire"
)

// FailureOf is an error as it travels between a worker and the server.
func FailureOf(err error) *wire.Failure {
	f := &wire.Failure{Kind: wire.FailError, Message: err.Error(), Types: typeNames(err)}
	var un *Unavailable
	var st *StatusError
	switch {
	case errors.Is(err, http.ErrAbortHandler):
		f.Kind = wire.FailAbort
	case errors.Is(err, ErrInvalid):
		f.Kind = wire.FailInvalid
	case errors.Is(err, ErrCommitted):
		f.Kind = wire.FailCommitted
	case errors.Is(err, ErrTooManySessions):
		f.Kind = wire.FailTooMany
	case errors.Is(err, fs.ErrNotExist):
		f.Kind = wire.FailNotExist
	case errors.As(err, &un):
		f.Kind, f.RetryAfter, f.Permanent, f.Message = wire.FailUnavailable, un.RetryAfter, un.Permanent, un.Reason
	case errors.As(err, &st):
		f.Status, f.Message = st.Code, st.Message
	}
	return f
}

// ErrorOf is the error that FailureOf was given, as far as it can be known on
// this side; nil for nil.
func ErrorOf(f *wire.Failure) error {
	if f == nil {
		return nil
	}
	remote := &RemoteError{Message: f.Message, Types: f.Types}
	switch f.Kind {
	case wire.FailAbort:
		return http.ErrAbortHandler
	case wire.FailInvalid:
		return sentinel(f, ErrInvalid)
	case wire.FailCommitted:
		return sentinel(f, ErrCommitted)
	case wire.FailTooMany:
		return sentinel(f, ErrTooManySessions)
	case wire.FailNotExist:
		return sentinel(f, fs.ErrNotExist)
	case wire.FailUnavailable, wire.FailOutOfService:
		return &Unavailable{Reason: f.Message, RetryAfter: f.RetryAfter, Permanent: f.Permanent}
	}
	if f.Status != 0 {
		return &StatusError{Code: f.Status, Message: f.Message}
	}
	return remote
}

// sentinel keeps the message of a failure that errors.Is shall know.
func sentinel(f *wire.Failure, is error) error {
	if f.Message == "" || f.Message == is.Error() {
		return is
	}
	return &remoteSentinel{RemoteError{Message: f.Message, Types: f.Types}, is}
}

type remoteSentinel struct {
	RemoteError
	is error
}

func (e *remoteSentinel) Unwrap() error { return e.is }

// typeNames are the names by which an error page finds an error, see Typed: of
// the error and of those it wraps, at most 16.
func typeNames(err error) []string {
	var names []string
	var walk func(error)
	walk = func(err error) {
		if err == nil || len(names) >= 16 {
			return
		}
		if t, ok := err.(Typed); ok {
			names = append(names, t.ErrorTypes()...)
		} else {
			short := strings.TrimPrefix(fmt.Sprintf("%T", err), "*")
			names = append(names, short)
			t := reflect.TypeOf(err)
			if t.Kind() == reflect.Pointer {
				t = t.Elem()
			}
			if full := t.PkgPath() + "." + t.Name(); t.Name() != "" && full != short {
				names = append(names, full)
			}
		}
		switch u := err.(type) {
		case interface{ Unwrap() error }:
			walk(u.Unwrap())
		case interface{ Unwrap() []error }:
			for _, e := range u.Unwrap() {
				walk(e)
			}
		}
	}
	walk(err)
	return names
}

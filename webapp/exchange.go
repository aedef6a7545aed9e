package webapp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"runtime/debug"
	"time"

	"github.com/serval-server/serval/sessions"
	"github.com/serval-server/serval/webapp/servlet"
)

// exchange is one request inside a Context: all that belongs to it, in one
// allocation. It is the servlet.Container of its servlet.Exchange.
type exchange struct {
	servlet.Exchange
	c   *Context
	res response
	r   *http.Request // of the first pass
	url url.URL       // of r

	errCode    int // what SendError was called with; 0: not called
	errMessage string
	err        error       // what a handler has failed with
	depth      int         // of dispatches in dispatches
	nested     []*exchange // of dispatches into other applications

	// The request's session.
	ctx     lasting // made when needed
	ids     []sessions.Requested
	one     [1]sessions.Requested // where ids begins
	unknown int                   // of ids: the first ones that the cluster does not know
	pinned  *sessions.Session     // of the id behind them, at home here; not asked for yet
	backend sessionBackend
	last    *sessions.Session
	earlier []*sessions.Session

	aborted    bool // a handler wants the connection cut (http.ErrAbortHandler)
	heard      bool // the request listeners have been told of it
	asked      bool // the request's ids have been looked for
	fromCookie bool // the request's first id came in a cookie
	touched    bool // a commit of its session has been sent
	read       bool // ids are what the request carries
	routed     bool // the Forwarder has been asked for ids
	unlocked   bool // with serialised access: other requests may go on
}

// Room has place for what belongs to one request inside a Context. It lies in what the
// server's pipeline makes for each request anyway: one object less. The zero value is
// free; a Context that has taken it does not give it back, for a request is never
// another one's (docs/rationale.md).
type Room struct {
	x     exchange
	taken bool
}

// exchangeIn is a new exchange, in the room that an Observer has, unless that is taken
// (the pipeline asks one application after another) or there is none.
func exchangeIn(o Observer) *exchange {
	if o == nil {
		return new(exchange)
	}
	room := o.Room()
	if room.taken {
		return new(exchange)
	}
	room.taken = true
	return &room.x
}

// lasting is a request's context without its end: context.WithoutCancel without
// an allocation of its own.
type lasting struct{ context.Context }

// Deadline implements context.Context: there is none.
func (*lasting) Deadline() (deadline time.Time, ok bool) { return time.Time{}, false }

// Done implements context.Context: it never is.
func (*lasting) Done() <-chan struct{} { return nil }

// Err implements context.Context: there is none.
func (*lasting) Err() error { return nil }

var _ servlet.Container = (*exchange)(nil)

// setError takes down that the response shall be an error. The last call counts.
func (x *exchange) setError(code int, message string, err error) {
	x.errCode, x.errMessage = code, message
	if err != nil {
		x.err = err
	}
	x.res.status, x.res.suspended = code, true
}

// fail takes down that a handler has failed. The first failure counts.
func (x *exchange) fail(err error) {
	if x.err == nil {
		x.err = err
	}
	x.res.suspended = true
}

func (x *exchange) failed() bool { return x.err != nil || x.errCode != 0 }

// SendError implements servlet.Container.
func (x *exchange) SendError(w http.ResponseWriter, _ *http.Request, code int, message string) error {
	if included(w) {
		return nil // an included target cannot change the status
	}
	if err := x.res.ResetBuffer(); err != nil {
		return err
	}
	x.setError(code, message, nil)
	return nil
}

// Fail implements servlet.Container. Within an include the error is the
// includer's to handle: Dispatcher.Include returns it.
func (x *exchange) Fail(_ http.ResponseWriter, r *http.Request, err error) {
	if err == nil {
		err = errors.New("servlet failed without saying why")
	}
	if p := servlet.PassOf(r); p != nil && p.Type == servlet.Include {
		x.SetAttribute(attrIncludeFailure, includeFailure{p.Exchange, err})
		return
	}
	x.logFailure(r, err)
	x.fail(err)
}

// logFailure writes what a handler has failed with to the application's log.
// Errors that ask for a status of their own are not the server's.
func (x *exchange) logFailure(r *http.Request, err error) {
	var s *servlet.StatusError
	if errors.As(err, &s) && s.Code < 500 || errors.Is(err, context.Canceled) {
		return
	}
	x.c.log.Error("servlet failed", "method", r.Method, "path", x.First().RequestURI, "error", err)
}

// attrIncludeFailure carries what an included target has failed with to the
// Include that runs it.
const attrIncludeFailure = "serval.include.failure"

type includeFailure struct {
	x   *servlet.Exchange
	err error
}

// Barrier implements servlet.Container.
func (x *exchange) Barrier(http.ResponseWriter, *http.Request) error { return x.res.commitSession() }

// runProtected calls f, and turns a panic into an error. http.ErrAbortHandler is
// remembered, to be passed on when all has been put in order.
func (x *exchange) runProtected(f func() error) (err error) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		err = x.recovered(p)
	}()
	return f()
}

// recovered is the error for what a handler has panicked with, which is logged.
func (x *exchange) recovered(p any) error {
	if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		x.aborted = true
		return http.ErrAbortHandler
	}
	err := panicError(p)
	if u := (*servlet.Unavailable)(nil); errors.As(err, &u) {
		if w := x.c.wrappers[x.First().Mapping.Servlet]; w != nil {
			w.note(err)
		}
	}
	if remote := (*servlet.RemoteError)(nil); errors.As(err, &remote) {
		x.logFailure(x.r, err) // its stack was another process's
		return err
	}
	x.c.log.Error("servlet panicked", "method", x.r.Method, "path", x.First().RequestURI, "error", fmt.Sprint(p), "stack", string(debug.Stack()))
	return err
}

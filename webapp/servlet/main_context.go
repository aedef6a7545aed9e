package servlet

import (
	"context"
	"sync"
	"time"
)

// callContext is the context.Context under a request's Pass. It leads back to
// the call, and is made only when somebody asks it: most requests have ended
// before they are given up.
type callContext struct {
	c        *call
	deadline time.Time // zero: none; the server keeps it

	mu     sync.Mutex
	inner  context.Context         // guarded by mu; nil until it is asked for
	cancel context.CancelCauseFunc // guarded by mu; of inner
	cause  error                   // guarded by mu; not nil: it has ended
}

type callKey struct{}

// context is the context that others can wait for and derive theirs from.
func (x *callContext) context() context.Context {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.inner == nil {
		x.inner, x.cancel = context.WithCancelCause(context.Background())
		if x.cause != nil {
			x.cancel(x.cause)
		}
	}
	return x.inner
}

// end ends it; the first cause counts.
func (x *callContext) end(cause error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.cause != nil {
		return
	}
	x.cause = cause
	if x.cancel != nil {
		x.cancel(cause)
	}
}

// Deadline implements context.Context.
func (x *callContext) Deadline() (time.Time, bool) { return x.deadline, !x.deadline.IsZero() }

// Done implements context.Context.
func (x *callContext) Done() <-chan struct{} { return x.context().Done() }

// Err implements context.Context.
func (x *callContext) Err() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.cause == nil {
		return nil
	}
	return context.Canceled
}

// Value implements context.Context.
func (x *callContext) Value(key any) any {
	if key == (callKey{}) {
		return x.c
	}
	return x.context().Value(key)
}

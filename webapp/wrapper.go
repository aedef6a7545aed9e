package webapp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/serval-server/serval/webapp/servlet"
)

// wrapper is one servlet of the descriptor: its definition, its state, and its
// filter chains.
type wrapper struct {
	component
	c       *Context
	onStart int  // load-on-startup; negative: at the first request
	enabled bool // false: 404

	paths [4]*chainSet // by servlet.DispatcherType, for requests by path
	names [4]*chainSet // the same for requests by name

	ready atomic.Bool
	mu    sync.Mutex
	made  bool // guarded by mu; InitServlet has succeeded
	// until: the servlet has declared itself unavailable up to then.
	until time.Time // guarded by mu
	// gone: it has done so for good, with this error.
	gone error // guarded by mu
}

// init initialises the servlet unless it is. It may be called concurrently.
func (w *wrapper) init(ctx context.Context) error {
	if w.ready.Load() {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.ready.Load():
		return nil
	case w.gone != nil:
		return w.gone
	case !w.until.IsZero():
		if left := time.Until(w.until); left > 0 {
			return &servlet.Unavailable{Reason: fmt.Sprintf("servlet %q is unavailable", w.def.Name), RetryAfter: left}
		}
		w.until = time.Time{}
	}
	if w.made {
		w.ready.Store(true)
		return nil
	}
	err := w.program.InitServlet(ctx, w.def)
	if err == nil {
		w.made = true
		w.ready.Store(true)
		return nil
	}
	w.noteLocked(err)
	return err
}

// note takes down that the servlet has declared itself unavailable.
func (w *wrapper) note(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.noteLocked(err)
}

func (w *wrapper) noteLocked(err error) {
	var u *servlet.Unavailable
	if !errors.As(err, &u) {
		return
	}
	w.ready.Store(false)
	if u.Permanent {
		w.gone = err
		return
	}
	wait := u.RetryAfter
	if wait <= 0 {
		wait = time.Minute // the default of Servlet 6.1 §2.3.3.2 in Tomcat
	}
	w.until = time.Now().Add(wait)
}

// handler is the servlet behind its filters.
func (w *wrapper) handler(t servlet.DispatcherType, byName bool, path string) (http.Handler, error) {
	set := w.paths[t]
	if byName {
		set = w.names[t]
	}
	return set.handler(path)
}

// files reports that the servlet is the one for static files.
func (w *wrapper) files() bool { return w.program == w.c.shipped && w.def.Class == defaultServlet }

// defaultServlet is the name of the builtin servlet for static files.
const defaultServlet = "default"

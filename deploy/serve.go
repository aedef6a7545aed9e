package deploy

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/serval-server/serval/webapp/mapper"
	"github.com/serval-server/serval/webapp/servlet/urlpath"
)

// table is where requests are looked up: an application by its context path
// and version.
type table = mapper.Host[*app]

// publishLocked makes the applications as they are now known to requests.
func (h *Host) publishLocked() {
	entries := make([]mapper.Entry[*app], 0, len(h.apps))
	for _, a := range h.apps {
		entries = append(entries, mapper.Entry[*app]{Path: string(a.name.Path), Version: string(a.name.Version), App: a})
	}
	t, err := mapper.NewHost(entries)
	if err != nil { // impossible: every name has been checked, and is there once
		h.log.Error("the applications cannot be mapped", "error", err)
		return
	}
	h.table.Store(t)
}

// ServeHTTP passes a request to the context that its path belongs to.
func (h *Host) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path, err := cleanPath(r)
	if err != nil {
		// Whoever sends such a target may have framed the rest as badly.
		w.Header().Set("Connection", "close")
		h.opts.ErrorReport(w, r, http.StatusBadRequest, err.Error(), nil)
		return
	}
	versions := h.table.Load().Versions(path)
	if len(versions) == 0 {
		h.opts.ErrorReport(w, r, http.StatusNotFound, "no application is deployed at this path", nil)
		return
	}
	a := pick(versions, r)
	person := h.opts.Development && isNavigation(r)
	if person {
		h.freshen(r, a)
	}
	g := a.enter()
	if g == nil {
		if g = h.await(w, r, a); g == nil {
			return
		}
	}
	defer g.leave()
	if person {
		if st := a.status.Load(); st.state == Failed {
			writeFailure(w, r, a.name, st)
			return
		}
	}
	g.app.ServeHTTP(w, r)
}

// cleanPath is the request's path as contexts are looked up by it. A path that
// is clean already, as nearly all are, is used as it is.
func cleanPath(r *http.Request) (string, error) {
	path := r.URL.Path
	if r.URL.RawPath == "" && strings.HasPrefix(path, "/") && !strings.Contains(path, "//") &&
		!strings.Contains(path, "/.") && !strings.ContainsAny(path, ";\\\x00") {
		return path, nil
	}
	p, err := urlpath.Parse(r.URL.EscapedPath(), urlpath.Options{})
	return p.Clean, err
}

// pick chooses the version for a request: the newest that knows its session,
// else the newest that serves, else the newest.
func pick(versions []mapper.Entry[*app], r *http.Request) *app {
	if len(versions) == 1 {
		return versions[0].App
	}
	var serving *app
	for _, v := range versions {
		a := v.App
		g := a.enter()
		if g == nil {
			continue
		}
		owns := g.app.Owns(r)
		g.leave()
		if owns {
			return a
		}
		if serving == nil {
			serving = a
		}
	}
	if serving == nil {
		serving = versions[0].App
	}
	return serving
}

// enter counts a request into the generation that serves, nil if there is none.
func (a *app) enter() *generation {
	for {
		g := a.current.Load()
		if g == nil || g.enter() {
			return g
		}
		// It drains, so its successor has taken its place already.
	}
}

// await waits for an application that starts. It answers the request itself
// and returns nil if that takes too long, or fails.
func (h *Host) await(w http.ResponseWriter, r *http.Request, a *app) *generation {
	timeout := time.NewTimer(h.opts.WaitTimeout)
	defer timeout.Stop()
	for {
		st := a.status.Load()
		if g := a.enter(); g != nil {
			return g
		}
		if st.state != Starting && st.state != Reloading {
			h.refuse(w, r, a, st)
			return nil
		}
		select {
		case <-st.over:
		case <-r.Context().Done():
			return nil
		case <-timeout.C:
			w.Header().Set("Retry-After", "5")
			h.opts.ErrorReport(w, r, http.StatusServiceUnavailable, fmt.Sprintf("The application %s is starting.", a.name.Display()), nil)
			return nil
		}
	}
}

// refuse answers a request of an application that does not serve: 404, as
// Tomcat does. Why is told in development mode only, it is not the public's
// business.
func (h *Host) refuse(w http.ResponseWriter, r *http.Request, a *app, st *status) {
	if h.opts.Development && st.err != nil {
		writeFailure(w, r, a.name, st)
		return
	}
	h.opts.ErrorReport(w, r, http.StatusNotFound, fmt.Sprintf("The application %s is not available.", a.name.Display()), st.err)
}

// isNavigation reports a request that a person at a browser waits for.
func isNavigation(r *http.Request) bool {
	return r.Method == http.MethodGet && strings.Contains(r.Header.Get("Accept"), "text/html")
}

package deploy

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/serval-server/serval/webapp/servlet/urlpath"
)

// table is where requests are looked up: for each context path its versions,
// the newest first. It is never changed once it is published.
type table struct {
	routes map[ContextPath][]*app
}

// publishLocked makes the applications as they are now known to requests.
func (h *Host) publishLocked() {
	t := &table{routes: make(map[ContextPath][]*app, len(h.apps))}
	for _, a := range h.apps {
		t.routes[a.name.Path] = append(t.routes[a.name.Path], a)
	}
	for _, versions := range t.routes {
		slices.SortFunc(versions, func(a, b *app) int { return compareNames(b.name, a.name) })
	}
	h.table.Store(t)
}

// find returns the versions of the longest context path that path lies at or
// below, nil if there is none.
func (t *table) find(path string) []*app {
	for {
		path = strings.TrimSuffix(path, "/")
		if versions := t.routes[ContextPath(path)]; versions != nil {
			return versions
		}
		i := strings.LastIndexByte(path, '/')
		if i < 0 {
			return nil
		}
		path = path[:i]
	}
}

// ServeHTTP passes a request to the context that its path belongs to.
func (h *Host) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path, err := cleanPath(r)
	if err != nil {
		h.opts.ErrorPage(w, r, http.StatusBadRequest, err.Error())
		return
	}
	versions := h.table.Load().find(path)
	if len(versions) == 0 {
		h.opts.ErrorPage(w, r, http.StatusNotFound, "no application is deployed at this path")
		return
	}
	a := pick(versions, r)
	g := a.enter()
	if g == nil {
		if g = h.await(w, r, a); g == nil {
			return
		}
	}
	defer g.leave()
	if h.opts.Development && h.showFailure(w, r, a) {
		return
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
func pick(versions []*app, r *http.Request) *app {
	if len(versions) == 1 {
		return versions[0]
	}
	var serving *app
	for _, a := range versions {
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
		serving = versions[0]
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
			h.opts.ErrorPage(w, r, http.StatusServiceUnavailable, fmt.Sprintf("The application %s is starting.", a.name.Display()))
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
	h.opts.ErrorPage(w, r, http.StatusNotFound, fmt.Sprintf("The application %s is not available.", a.name.Display()))
}

// showFailure shows the person at a browser why the latest change is not in
// effect. Everything else is answered by the generation that serves.
func (h *Host) showFailure(w http.ResponseWriter, r *http.Request, a *app) bool {
	st := a.status.Load()
	if st.state != Failed || r.Method != http.MethodGet || !strings.Contains(r.Header.Get("Accept"), "text/html") {
		return false
	}
	writeFailure(w, r, a.name, st)
	return true
}

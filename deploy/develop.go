package deploy

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// In development mode a person at a browser is answered by the application as
// it is saved: a navigation looks for changes itself, waits for the reload that
// they ask for, and shows why it failed. All other requests, those of a page's
// own scripts for instance, are answered by the generation that serves.

// freshen brings an application up to date before a navigation is answered. It
// waits for a reload under way for at most WaitTimeout.
func (h *Host) freshen(r *http.Request, a *app) {
	timeout := time.NewTimer(h.opts.WaitTimeout)
	defer timeout.Stop()
	done := make(chan struct{})
	switch {
	case !a.tryTake():
		st := a.status.Load()
		if st.state != Reloading {
			return
		}
		done = st.over
	default:
		changed := ""
		if !a.removed && h.ctx.Err() == nil {
			changed = a.watch.changed(true)
		}
		if changed == "" {
			a.give()
			return
		}
		src := a.tried
		var renewed sync.WaitGroup // and the turn given back: the next navigation looks again
		h.job(a, &renewed, func(ctx context.Context) {
			_ = h.renew(ctx, a, src, decision{action: actReload, why: changed + " has changed"})
		})
		h.wg.Go(func() {
			renewed.Wait()
			close(done)
		})
	}
	select {
	case <-done:
	case <-timeout.C:
	case <-r.Context().Done():
	}
}

package examples

import (
	"fmt"
	"net/http"
	"time"
)

// ticks is how many events one stream has.
const ticks = 20

// sseDemo shows its page, or to a browser's EventSource sends an event a
// second. Each flush sends what was written; the request's context ends when
// the browser goes away or the application stops.
func sseDemo(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Accept") != "text/event-stream" {
		show(w, r, "/sse", nil)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	out := http.NewResponseController(w)
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for i := 1; i <= ticks; i++ {
		fmt.Fprintf(w, "id: %d\ndata: tick %d of %d at %s\n\n", i, i, ticks, time.Now().Format("15:04:05"))
		if err := out.Flush(); err != nil {
			return
		}
		select {
		case <-ticker.C:
		case <-r.Context().Done():
			return
		}
	}
	fmt.Fprint(w, "event: end\ndata: that was all\n\n")
}

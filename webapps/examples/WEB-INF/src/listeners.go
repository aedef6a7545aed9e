package examples

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/serval-server/serval/webapp/servlet"
)

// journal is a listener that keeps the last events. A listener implements as
// many of the listener interfaces as it likes; the descriptor names it once.
type journal struct {
	mu    sync.Mutex
	lines []string // guarded by mu; newest last
}

var events journal

var (
	_ servlet.ContextListener          = (*journal)(nil)
	_ servlet.SessionListener          = (*journal)(nil)
	_ servlet.SessionAttributeListener = (*journal)(nil)
	_ servlet.SessionIDListener        = (*journal)(nil)
)

func (j *journal) add(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, time.Now().Format("15:04:05 ")+fmt.Sprintf(format, args...))
	if len(j.lines) > 30 {
		j.lines = slices.Delete(j.lines, 0, len(j.lines)-30)
	}
}

// newestFirst is a copy of the journal.
func (j *journal) newestFirst() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	lines := slices.Clone(j.lines)
	slices.Reverse(lines)
	return lines
}

func (j *journal) ContextInitialized(c *servlet.Context) error {
	j.add("the application starts at %s/", c.Path())
	return nil // an error would stop it
}

func (j *journal) ContextDestroyed(*servlet.Context) { j.add("the application stops") }

func (j *journal) SessionCreated(e servlet.SessionEvent) {
	j.add("a session begins (%s)", short(e.Session.ID()))
}

func (j *journal) SessionDestroyed(e servlet.SessionEvent) {
	j.add("a session ends (%s), because: %s", short(e.Session.ID()), e.Cause)
}

func (j *journal) SessionIDChanged(e servlet.SessionEvent, old string) {
	j.add("%s is now called %s", short(old), short(e.Session.ID()))
}

func (j *journal) SessionAttributeAdded(e servlet.SessionAttributeEvent) {
	j.add("attribute %q: added", e.Name)
}

func (j *journal) SessionAttributeReplaced(e servlet.SessionAttributeEvent) {
	j.add("attribute %q: replaced", e.Name)
}

func (j *journal) SessionAttributeRemoved(e servlet.SessionAttributeEvent) {
	j.add("attribute %q: removed", e.Name)
}

// short does not show ids that are valid: who knows one is the user.
func short(id string) string {
	if len(id) > 4 {
		id = id[:4]
	}
	return id + "…"
}

func listenersDemo(w http.ResponseWriter, r *http.Request) {
	show(w, r, "/listeners", events.newestFirst())
}

package valves

import (
	"bytes"
	"log/slog"
	"net/http"
	"runtime/pprof"
	"strconv"
	"sync"
	"time"

	"github.com/serval-server/serval/server/conninfo"
)

// stuckRequests warns of requests that take longer than a threshold, with the stack
// of what they do, and tells when they end after all (Tomcat's
// StuckThreadDetectionValve). It does not interrupt them.
//
// Goroutines have no names, but profiler labels: the label of the connection is set
// while a request runs, and a warning looks for it in the goroutine profile. With
// HTTP/2, requests of one connection share a label, so all of them are shown.
type stuckRequests struct {
	threshold time.Duration
	logger    *slog.Logger
	done      chan struct{}
	wait      sync.WaitGroup
	shards    [8]stuckShard
}

// stuckShard is a list of the requests that run.
type stuckShard struct {
	mu   sync.Mutex
	head running  // guarded by mu: the sentinel of a ring
	_    [64]byte // keeps shards out of each other's cache line
}

// running is a request that is being answered.
type running struct {
	r          *http.Request
	start      time.Time
	conn       uint64
	told       bool // guarded by the shard's mu
	prev, next *running
}

// runningOf is the record of a request that is answered by w: its Tap has room for one.
func runningOf(w http.ResponseWriter) *running {
	if t, ok := w.(*Tap); ok && t.running.r == nil {
		return &t.running
	}
	return new(running)
}

func newStuckRequests(threshold time.Duration, logger *slog.Logger) *stuckRequests {
	s := &stuckRequests{threshold: threshold, logger: logger, done: make(chan struct{})}
	for i := range s.shards {
		h := &s.shards[i].head
		h.prev, h.next = h, h
	}
	s.wait.Go(s.watch)
	return s
}

func (s *stuckRequests) close() error {
	close(s.done)
	s.wait.Wait()
	return nil
}

func (s *stuckRequests) valve(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e := runningOf(w)
		e.r, e.start = r, startOf(w)
		if c := conninfo.Of(r.Context()); c != nil {
			e.conn = c.ID
			pprof.SetGoroutineLabels(r.Context())
		}
		shard := &s.shards[e.conn%uint64(len(s.shards))]
		shard.add(e)
		defer s.finish(shard, e)
		next.ServeHTTP(w, r)
	})
}

func (h *stuckShard) add(e *running) {
	h.mu.Lock()
	e.prev, e.next = h.head.prev, &h.head
	e.prev.next, h.head.prev = e, e
	h.mu.Unlock()
}

func (s *stuckRequests) finish(shard *stuckShard, e *running) {
	shard.mu.Lock()
	e.prev.next, e.next.prev = e.next, e.prev
	told := e.told
	shard.mu.Unlock()
	if told {
		s.logger.Info("a stuck request has ended", "method", e.r.Method, "uri", e.r.RequestURI, "took", time.Since(e.start).Round(time.Millisecond))
	}
}

// watch looks at the oldest requests several times per threshold, until close.
func (s *stuckRequests) watch() {
	tick := time.NewTicker(max(s.threshold/4, 10*time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			s.look(now)
		case <-s.done:
			return
		}
	}
}

func (s *stuckRequests) look(now time.Time) {
	var found []*running
	total := 0
	for i := range s.shards {
		h := &s.shards[i]
		h.mu.Lock()
		// The ring is in order of arrival, so the old ones stand first.
		for e := h.head.next; e != &h.head && now.Sub(e.start) >= s.threshold; e = e.next {
			total++
			if !e.told {
				e.told = true
				found = append(found, e)
			}
		}
		h.mu.Unlock()
	}
	if len(found) == 0 {
		return
	}
	stacks := goroutineStacks()
	for _, e := range found {
		s.logger.Warn("a request is stuck", "method", e.r.Method, "uri", e.r.RequestURI, "client", e.r.RemoteAddr,
			"since", now.Sub(e.start).Round(time.Millisecond), "stuck", total, "stack", stackOf(stacks, e.conn))
	}
}

func goroutineStacks() [][]byte {
	var b bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&b, 1); err != nil {
		return nil
	}
	return bytes.Split(b.Bytes(), []byte("\n\n"))
}

// maxStack bounds what one warning shows.
const maxStack = 16 << 10

// stackOf picks the stacks that carry the label of a connection.
func stackOf(stacks [][]byte, conn uint64) string {
	label := []byte(strconv.Quote(conninfo.Label) + ":" + strconv.Quote(strconv.FormatUint(conn, 10)))
	var out []byte
	for _, s := range stacks {
		if bytes.Contains(s, label) && len(out)+len(s) < maxStack {
			out = append(append(out, s...), '\n')
		}
	}
	return string(out)
}

package server

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// safeBuffer is a buffer for several goroutines.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// TestWarnOf: what is wrong with the certificate is said at the start, when it is
// something else, and once a day.
func TestWarnOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log safeBuffer
		var text atomic.Value
		text.Store("")
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			warnOf(ctx, slog.New(slog.NewTextHandler(&log, nil)), func() string { return text.Load().(string) })
		}()
		said := func(what string) int {
			synctest.Wait()
			return strings.Count(log.String(), what)
		}
		time.Sleep(100 * 24 * time.Hour)
		if said("msg") != 0 {
			t.Errorf("a certificate that is good: %s", log.String())
		}
		text.Store("ends-soon")
		if time.Sleep(lookEvery + time.Minute); said("ends-soon") != 1 {
			t.Errorf("after an hour: %s", log.String())
		}
		if time.Sleep(10 * 24 * time.Hour); said("ends-soon") != 11 {
			t.Errorf("after ten days it was said %d times", said("ends-soon"))
		}
		text.Store("has-ended")
		if time.Sleep(lookEvery); said("has-ended") != 1 {
			t.Errorf("when it is something else: %s", log.String())
		}
		text.Store("")
		time.Sleep(10 * 24 * time.Hour)
		if said("msg") != 12 {
			t.Errorf("after another certificate: %s", log.String())
		}
		cancel()
		<-done
	})
}

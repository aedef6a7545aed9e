package worker

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/serval-server/serval/webapp"
	"github.com/serval-server/serval/webapp/servlet"
)

// The events of one outage wait EventWait all together, not each.
func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProgram(Options{EventWait: time.Minute}, webapp.Launch{Context: servlet.NewContext(servlet.ContextConfig{})})
		p.kinds = servlet.ListensSession
		lost := func(want time.Duration) {
			t.Helper()
			began := time.Now()
			if err := p.Notify(t.Context(), servlet.Event{Kind: servlet.SessionCreated}); err == nil {
				t.Error("told without a worker")
			}
			if waited := time.Since(began); waited != want {
				t.Errorf("waited %v of virtual time, want %v", waited, want)
			}
		}
		p.set(nil, errors.New("it ended"))
		time.Sleep(20 * time.Second)
		p.set(nil, errors.New("it did not start"))
		lost(40 * time.Second)
		lost(0)
		lost(0)
		p.set(&process{}, nil)
		p.set(nil, errors.New("it ended"))
		lost(time.Minute)
	})
}

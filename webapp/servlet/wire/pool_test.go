package wire

import (
	"sync"
	"sync/atomic"
	"testing"
)

type taskFunc func()

func (f taskFunc) Run() { f() }

// However many calls wait for something, the next one is served.
func TestPoolServesWhileOthersWait(t *testing.T) {
	var p Pool
	defer p.Close()
	for range 3 { // the second time with goroutines that wait
		const n = 2 * maxIdle
		var inside, over sync.WaitGroup
		inside.Add(n)
		over.Add(n)
		for range n {
			p.Add(taskFunc(func() {
				defer over.Done()
				inside.Done()
				inside.Wait() // for all of them
			}))
		}
		over.Wait()
	}
}

// A task adds others, as a request does that is dispatched to its own program.
func TestPoolServesEverything(t *testing.T) {
	var p Pool
	var done atomic.Int64
	var adders sync.WaitGroup
	for range 4 {
		adders.Go(func() {
			for range 1000 {
				p.Add(taskFunc(func() {
					if done.Add(1)%4 == 0 {
						p.Add(taskFunc(func() { done.Add(1) }))
					}
				}))
			}
		})
	}
	adders.Wait()
	p.Close()
	if n := done.Load(); n < 4000 {
		t.Fatalf("%d tasks were done", n)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.head != len(p.waiting) || len(p.idle) != 0 {
		t.Fatalf("%d tasks and %d goroutines are left", len(p.waiting)-p.head, len(p.idle))
	}
}

package wire

import "sync"

// maxIdle is how many goroutines wait for requests. One that has served some has
// a stack that need not grow again.
const maxIdle = 64

// Pool serves streams, its tasks, with goroutines that take one after the other. To wake a
// goroutine costs as much as a small request, and they come several at a time
// under load; so only one is woken, and it wakes the next, if tasks still wait,
// before it serves. As long as tasks wait, one goroutine is on its way to them:
// if they wait for something, each soon has a goroutine of its own, and if they
// do not, few goroutines serve all. The zero value is ready to use.
type Pool struct {
	mu      sync.Mutex
	waiting []Task   // guarded by mu
	head    int      // guarded by mu; first element of waiting
	idle    []*taker // guarded by mu; the one that waits for the shortest time is last
	woken   bool     // guarded by mu; a goroutine has been woken and has not looked yet
	closed  bool     // guarded by mu
	running sync.WaitGroup
}

// Task is what a Pool does.
type Task interface{ Run() }

// taker is a goroutine of the pool that waits.
type taker struct{ wake chan struct{} }

// Add has a task done. It does not wait for it.
func (p *Pool) Add(c Task) {
	p.mu.Lock()
	if len(p.waiting) == cap(p.waiting) {
		p.waiting, p.head = append(p.waiting[:0], p.waiting[p.head:]...), 0
	}
	p.waiting = append(p.waiting, c)
	p.wakeLocked()
}

// wakeLocked sees to it that one goroutine is on its way if tasks wait, and
// unlocks mu.
func (p *Pool) wakeLocked() {
	if p.woken || p.head == len(p.waiting) {
		p.mu.Unlock()
		return
	}
	p.woken = true
	if n := len(p.idle); n > 0 {
		t := p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		t.wake <- struct{}{} // never blocks: it has room for one
		return
	}
	p.mu.Unlock()
	p.running.Go(p.serve)
}

// serve is a goroutine of the pool.
func (p *Pool) serve() {
	t := &taker{wake: make(chan struct{}, 1)}
	woken := true
	for {
		p.mu.Lock()
		if woken {
			p.woken = false
		}
		if p.head == len(p.waiting) {
			p.waiting, p.head = p.waiting[:0], 0
			if p.closed || len(p.idle) == maxIdle {
				p.mu.Unlock()
				return
			}
			p.idle = append(p.idle, t)
			p.mu.Unlock()
			<-t.wake
			woken = true
			continue
		}
		c := p.waiting[p.head]
		p.waiting[p.head] = nil
		p.head++
		p.wakeLocked()
		c.Run()
		woken = false
	}
}

// Close ends the goroutines when all tasks have been done, and waits for it.
func (p *Pool) Close() {
	p.mu.Lock()
	p.closed = true
	idle := p.idle
	p.idle = nil
	p.mu.Unlock()
	for _, t := range idle {
		t.wake <- struct{}{}
	}
	p.running.Wait()
}

package servlet

import "sync"

// maxIdle is how many goroutines wait for requests. One that has served some has
// a stack that need not grow again.
const maxIdle = 64

// pool serves calls with goroutines that take one after the other. To wake a
// goroutine costs as much as a small request, and they come several at a time
// under load; so only one is woken, and it wakes the next, if calls still wait,
// before it serves. As long as calls wait, one goroutine is on its way to them:
// if the handlers wait for something, each call soon has a goroutine of its own,
// and if they do not, few goroutines serve all.
type pool struct {
	mu      sync.Mutex
	waiting []task   // guarded by mu
	head    int      // guarded by mu; first element of waiting
	idle    []*taker // guarded by mu; the one that waits for the shortest time is last
	woken   bool     // guarded by mu; a goroutine has been woken and has not looked yet
	closed  bool     // guarded by mu
	running sync.WaitGroup
}

// task is what a pool does: a call.
type task interface{ run() }

// taker is a goroutine of the pool that waits.
type taker struct{ wake chan struct{} }

// add has a call served.
func (p *pool) add(c task) {
	p.mu.Lock()
	if len(p.waiting) == cap(p.waiting) {
		p.waiting, p.head = append(p.waiting[:0], p.waiting[p.head:]...), 0
	}
	p.waiting = append(p.waiting, c)
	p.wakeLocked()
}

// wakeLocked sees to it that one goroutine is on its way if calls wait, and
// unlocks mu.
func (p *pool) wakeLocked() {
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
func (p *pool) serve() {
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
		c.run()
		woken = false
	}
}

// close ends the goroutines when all calls have been served, and waits for it.
func (p *pool) close() {
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

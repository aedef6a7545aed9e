package sessions

import (
	"sync"
	"sync/atomic"
	"time"
)

// Stats are the numbers of a Manager since it was made, as Tomcat's and JBoss's
// managers show them.
type Stats struct {
	Active    int // in memory now
	MaxActive int // the most that were in memory at a time
	Passive   int // in the store now, passivated

	Created    int64 // made by Create
	Expired    int64 // ended by idleness
	Ended      int64 // ended by the application or by its undeployment
	Rejected   int64 // refused because of Options.MaxActive
	Passivated int64 // moved to the store
	Activated  int64 // moved back
	Moved      int64 // evicted, because another node has become their home
	Unpacked   int64 // moved from packed memory to a Go object

	LostEvents int64 // events of which the listeners could not be told

	MaxAlive     time.Duration // the longest life of an ended session
	AverageAlive time.Duration // of all ended sessions
	CreateRate   float64       // sessions a minute, over the last 100
	ExpireRate   float64       // sessions a minute, over the last 100
}

// counts are the manager's own numbers.
type counts struct {
	active, maxActive, passive        atomic.Int64
	created, expired, ended, rejected atomic.Int64
	passivated, activated, unpacked   atomic.Int64
	moved, lost                       atomic.Int64

	mu       sync.Mutex
	alive    time.Duration // guarded by mu; all lives together
	maxAlive time.Duration // guarded by mu
	lives    int64         // guarded by mu
	creates  rate          // guarded by mu
	expires  rate          // guarded by mu
}

// take counts one more session in memory unless there are limit or more. Zero or
// less is no limit.
func (c *counts) take(limit int) bool {
	for {
		n := c.active.Load()
		if limit > 0 && n >= int64(limit) {
			return false
		}
		if !c.active.CompareAndSwap(n, n+1) {
			continue
		}
		for {
			top := c.maxActive.Load()
			if top >= n+1 || c.maxActive.CompareAndSwap(top, n+1) {
				return true
			}
		}
	}
}

func (c *counts) made(at time.Time) {
	c.created.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.creates.add(at)
}

// over counts an ended session.
func (c *counts) over(cause Cause, at time.Time, createdMilli int64) {
	if cause == Timeout {
		c.expired.Add(1)
	} else {
		c.ended.Add(1)
	}
	lived := max(at.Sub(time.UnixMilli(createdMilli)), 0)
	c.mu.Lock()
	defer c.mu.Unlock()
	if cause == Timeout {
		c.expires.add(at)
	}
	c.lives++
	c.alive += lived
	c.maxAlive = max(c.maxAlive, lived)
}

// rate keeps when the last 100 things happened (Tomcat's TIMING_STATS_CACHE_SIZE).
type rate struct {
	times [100]int64 // Unix ns
	n     int        // ever
}

func (r *rate) add(t time.Time) {
	r.times[r.n%len(r.times)] = t.UnixNano()
	r.n++
}

// perMinute is how many things happened a minute between the first that is
// remembered and now; 0 if fewer than two are.
func (r *rate) perMinute(now time.Time) float64 {
	n := min(r.n, len(r.times))
	if n < 2 {
		return 0
	}
	span := time.Duration(now.UnixNano() - r.times[(r.n-n)%len(r.times)])
	if span <= 0 {
		return 0
	}
	return float64(n) / span.Minutes()
}

// Stats returns the statistics.
func (m *Manager) Stats() Stats {
	c, now := &m.counts, m.options().Now()
	s := Stats{
		Active: int(c.active.Load()), MaxActive: int(c.maxActive.Load()), Passive: int(c.passive.Load()),
		Created: c.created.Load(), Expired: c.expired.Load(), Ended: c.ended.Load(), Rejected: c.rejected.Load(),
		Passivated: c.passivated.Load(), Activated: c.activated.Load(), Unpacked: c.unpacked.Load(), Moved: c.moved.Load(), LostEvents: c.lost.Load(),
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s.MaxAlive = c.maxAlive
	if c.lives > 0 {
		s.AverageAlive = c.alive / time.Duration(c.lives)
	}
	s.CreateRate, s.ExpireRate = c.creates.perMinute(now), c.expires.perMinute(now)
	return s
}

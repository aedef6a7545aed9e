package worker

import "sync/atomic"

// limiter counts the requests inside a program.
type limiter struct {
	max  int64
	open atomic.Int64
}

func (l *limiter) init(most int) {
	l.max = int64(most)
	if most <= 0 {
		l.max = DefaultMaxRequests
	}
}

// enter takes a place, if there is one.
func (l *limiter) enter() bool {
	if l.open.Add(1) > l.max {
		l.open.Add(-1)
		return false
	}
	return true
}

func (l *limiter) leave() { l.open.Add(-1) }

package transport

import "time"

const (
	// pauseGain is how many messages a pause must promise to bring, by the
	// rate of late.
	pauseGain = 3
	// After a pause that has not doubled its batch, the next so many batches
	// leave without: those who send wait for their acknowledgements, not for
	// time to pass. The number doubles from the first to the last.
	pauseSkip, pauseMaxSkip = 32, 1024
)

// pause is the short wait of a lane between an acknowledgement and the next
// batch, while messages come so fast that the batch grows by it. The lane's
// lock guards it.
//
// Measured by bench/transport at 20000 messages per second that do not wait
// for one another: half the CPU and half the bytes per message. Where each of
// a few writers waits for its own acknowledgement it brings nothing, is found
// out, and is left out.
type pause struct {
	length time.Duration // 0: never
	on     bool
	timer  *time.Timer
	last   time.Time // when the last batch left
	rate   float64   // messages per second, smoothed
	had    int       // how many messages waited when the pause began
	skip   int       // so many batches leave without a pause
	next   int       // what skip becomes
}

// init sets the length. resume is called, by a goroutine of its own, when a
// pause is over.
func (p *pause) init(length time.Duration, window int, resume func()) {
	if length <= 0 || window > 0 { // bulk batches are large anyway
		return
	}
	p.length, p.next = length, pauseSkip
	p.timer = time.AfterFunc(time.Hour, resume)
	p.timer.Stop()
}

// count takes a batch into account that leaves now.
func (p *pause) count(messages int) {
	if p.length == 0 {
		return
	}
	now := time.Now()
	since := now.Sub(p.last)
	p.last = now
	r := float64(messages) / max(since, 10*time.Microsecond).Seconds()
	p.rate += (r - p.rate) / 8
	p.skip = max(p.skip-1, 0)
}

// begin starts a pause if it is worth it; so many messages wait already.
func (p *pause) begin(waiting int) {
	if p.length > 0 && !p.on && p.skip == 0 && p.rate*p.length.Seconds() >= pauseGain {
		p.on = true
		p.had = waiting
		p.timer.Reset(p.length)
	}
}

// end ends it; so many messages wait now.
func (p *pause) end(waiting int) {
	p.on = false
	if waiting >= max(2*p.had, pauseGain) {
		p.next = pauseSkip
		return
	}
	p.skip = p.next
	p.next = min(2*p.next, pauseMaxSkip)
}

// stop ends pauses for good.
func (p *pause) stop() {
	if p.timer != nil {
		p.timer.Stop()
	}
}

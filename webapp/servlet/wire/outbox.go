package wire

import (
	"fmt"
	"io"
	"runtime"
	"sync"
)

const (
	// maxPending is how many bytes may wait for the writer before senders
	// wait too, so that a peer which does not read costs bounded memory.
	maxPending = 1 << 20
	// keepPending is the largest buffer that is kept for the next batch.
	keepPending = 256 << 10
	// rounds is how many batches a sender writes before another goroutine
	// takes over, so that nobody works for the others for long.
	rounds = 4
)

// Outbox writes frames in batches. There is no writer goroutine to wake: who
// adds a frame while nobody writes becomes the writer, lets others that are
// ready to run add theirs first, and writes all of it with one system call.
type Outbox struct {
	w io.Writer
	// alone: there is one thread, so each frame is written at once
	// (Config.Pump).
	alone bool

	mu      sync.Mutex
	space   sync.Cond // waits for pending to shrink
	pending []byte    // guarded by mu
	spare   []byte    // guarded by mu
	writing bool      // guarded by mu; somebody is the writer
	err     error     // guarded by mu; sticks

	wg sync.WaitGroup // writers that took over
}

// NewOutbox makes an Outbox that writes to w.
func NewOutbox(w io.Writer) *Outbox {
	o := &Outbox{w: w}
	o.space.L = &o.mu
	return o
}

// Send adds a frame and sees to it that it is written. It returns before that
// if another goroutine is writing, and waits while too much is pending.
func (o *Outbox) Send(frame []byte) error {
	if o.alone {
		return o.write(frame)
	}
	o.mu.Lock()
	for len(o.pending) > maxPending && o.err == nil {
		o.space.Wait()
	}
	return o.addLocked(frame)
}

// trySend is Send, but drops the frame rather than wait.
func (o *Outbox) trySend(frame []byte) {
	if o.alone {
		_ = o.write(frame) // the error sticks
		return
	}
	o.mu.Lock()
	if o.err == nil && o.writing {
		if len(o.pending) <= maxPending {
			o.pending = append(o.pending, frame...)
		}
		o.mu.Unlock()
		return
	}
	if o.err != nil {
		o.mu.Unlock()
		return
	}
	o.pending = append(o.pending, frame...)
	o.writing = true
	o.wg.Add(1)
	o.mu.Unlock()
	go func() {
		defer o.wg.Done()
		o.drain(0)
	}()
}

func (o *Outbox) addLocked(frame []byte) error {
	if o.err != nil {
		defer o.mu.Unlock()
		return o.err
	}
	o.pending = append(o.pending, frame...)
	if o.writing {
		o.mu.Unlock()
		return nil
	}
	o.writing = true
	o.mu.Unlock()
	runtime.Gosched()
	o.drain(rounds)
	return nil
}

// write writes one frame.
func (o *Outbox) write(frame []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil {
		_, err := o.w.Write(frame)
		o.failLocked(err)
	}
	return o.err
}

func (o *Outbox) failLocked(err error) {
	if err != nil && o.err == nil {
		o.err = fmt.Errorf("%w: writing frames: %w", ErrClosed, err)
	}
}

// drain writes until nothing is pending, or after some rounds (0: no limit)
// starts another goroutine to do so.
func (o *Outbox) drain(limit int) {
	for round := 0; ; round++ {
		o.mu.Lock()
		if len(o.pending) == 0 || o.err != nil {
			o.writing = false
			o.mu.Unlock()
			return
		}
		if limit > 0 && round == limit {
			o.wg.Add(1)
			o.mu.Unlock()
			go func() {
				defer o.wg.Done()
				o.drain(0)
			}()
			return
		}
		batch := o.pending
		o.pending, o.spare = o.spare[:0], nil
		o.mu.Unlock()
		_, err := o.w.Write(batch)
		o.mu.Lock()
		if cap(batch) <= keepPending {
			o.spare = batch[:0]
		}
		o.failLocked(err)
		o.space.Broadcast()
		o.mu.Unlock()
	}
}

// failure is why nothing can be sent any more, nil while it can.
func (o *Outbox) failure() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}

// Close makes Send fail with err, and waits for the writers, whose Write must
// have been ended by closing what they write to.
func (o *Outbox) Close(err error) {
	o.mu.Lock()
	if o.err == nil {
		o.err = err
	}
	o.space.Broadcast()
	o.mu.Unlock()
	o.wg.Wait()
}

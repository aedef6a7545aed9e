package sessions

import (
	"cmp"
	"fmt"
	"sync"
	"time"
)

// Dot is the version that one commit gives to all it changed. The zero Dot
// precedes all others and is nobody's.
type Dot struct {
	// Epoch grows when another node claims the session.
	Epoch uint32
	// Node is the index of the writer's incarnation in its cluster.
	Node uint32
	// Clock is the writer's hybrid logical clock ([HLC]).
	Clock uint64
}

// Compare orders dots by epoch, then clock, then node.
func (d Dot) Compare(e Dot) int {
	return cmp.Or(cmp.Compare(d.Epoch, e.Epoch), cmp.Compare(d.Clock, e.Clock), cmp.Compare(d.Node, e.Node))
}

// IsZero reports whether d is nobody's dot.
func (d Dot) IsZero() bool { return d == Dot{} }

func (d Dot) String() string { return fmt.Sprintf("%d.%d@%d", d.Epoch, d.Clock, d.Node) }

// hlcShift is how many low bits of a clock value count what happens within one
// millisecond.
const hlcShift = 16

// HLC is a hybrid logical clock: 48 bits of milliseconds since 1970 and 16 bits
// that count within the millisecond (and run over into the milliseconds rather
// than repeat). Its values grow strictly, also when the wall clock is set back.
// One HLC serves a whole process. The zero value is ready; it is safe for
// concurrent use.
type HLC struct {
	mu   sync.Mutex
	last uint64 // guarded by mu
}

// Next returns a value above all that Next returned and Observe was given.
func (c *HLC) Next(now time.Time) uint64 {
	wall := uint64(max(now.UnixMilli(), 0)) << hlcShift
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = max(c.last+1, wall)
	return c.last
}

// Observe takes note of a value from elsewhere: a saved session, another node.
func (c *HLC) Observe(clock uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = max(c.last, clock)
}

package replica

import (
	"cmp"
	"fmt"
	"maps"
)

// Dot is the version of one request's changes: the session's epoch, the
// writer's hybrid logical clock and the writer. The clock is strictly monotone
// per writer, so no two changes share a dot. The zero Dot precedes all others
// and is nobody's.
type Dot struct {
	// Epoch grows when another node claims the session.
	Epoch uint32
	// Node is the index of the writer's incarnation: a node that restarts
	// with empty memory gets another one.
	Node uint32
	// Clock is the writer's hybrid logical clock; it orders what Epoch does
	// not and is never read as a time.
	Clock uint64
}

// Compare orders dots by epoch, then clock, then node.
func (d Dot) Compare(e Dot) int {
	return cmp.Or(cmp.Compare(d.Epoch, e.Epoch), cmp.Compare(d.Clock, e.Clock), cmp.Compare(d.Node, e.Node))
}

// IsZero reports whether d is nobody's dot.
func (d Dot) IsZero() bool { return d == Dot{} }

func (d Dot) String() string { return fmt.Sprintf("%d.%d@%d", d.Epoch, d.Clock, d.Node) }

// MaxDot returns the higher of two dots.
func MaxDot(a, b Dot) Dot {
	if a.Compare(b) < 0 {
		return b
	}
	return a
}

// Context is a causal context: for each writer, the highest dot of its that a
// copy has seen. A writer builds each change on a copy that has all its earlier
// ones, so the highest dot stands for all of them. A session has one entry for
// each node that was ever its home.
type Context map[uint32]Dot

// Covers reports whether the copy has seen d.
func (c Context) Covers(d Dot) bool { return d.IsZero() || d.Compare(c[d.Node]) <= 0 }

// Includes reports whether c has seen all that o has.
func (c Context) Includes(o Context) bool {
	for _, d := range o {
		if !c.Covers(d) {
			return false
		}
	}
	return true
}

// With returns a copy of c that has seen d too.
func (c Context) With(d Dot) Context {
	out := make(Context, len(c)+1)
	maps.Copy(out, c)
	out.add(d)
	return out
}

// Union returns what c or o has seen.
func (c Context) Union(o Context) Context {
	out := make(Context, max(len(c), len(o)))
	maps.Copy(out, c)
	for _, d := range o {
		out.add(d)
	}
	return out
}

func (c Context) add(d Dot) {
	if !d.IsZero() && d.Compare(c[d.Node]) > 0 {
		c[d.Node] = d
	}
}

package replica

import (
	"cmp"
	"fmt"
	"slices"
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
// copy has seen, sorted by writer. A writer builds each change on a copy that has
// all its earlier ones, so the highest dot stands for all of them. A session has
// one entry for each node that was ever its home, so a short list it is.
type Context []Dot

// of returns the highest dot of a writer; zero if there is none.
func (c Context) of(node uint32) Dot {
	for i := range c {
		if c[i].Node == node {
			return c[i]
		}
	}
	return Dot{}
}

// Covers reports whether the copy has seen d.
func (c Context) Covers(d Dot) bool { return d.IsZero() || d.Compare(c.of(d.Node)) <= 0 }

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
func (c Context) With(d Dot) Context { return slices.Clone(c).add(d) }

// Union returns what c or o has seen.
func (c Context) Union(o Context) Context {
	out := append(make(Context, 0, len(c)+len(o)), c...)
	for _, d := range o {
		out = out.add(d)
	}
	return out
}

// add is With in place, as append is.
func (c Context) add(d Dot) Context {
	if d.IsZero() {
		return c
	}
	i := 0
	for i < len(c) && c[i].Node < d.Node {
		i++
	}
	if i == len(c) || c[i].Node != d.Node {
		return slices.Insert(c, i, d)
	}
	c[i] = MaxDot(c[i], d)
	return c
}

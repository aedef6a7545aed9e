package replica

import (
	"fmt"
	"slices"
)

// Op is one change to one register.
type Op struct {
	Key    string
	Value  Value
	Remove bool // the register is removed; Value is ignored
	// Old is what the register held before the write, for the wire to make a
	// patch of. It is set by the home's Node and is no part of the change.
	Old Value
	// Patch, if not nil, came instead of Value: Config.Unpatch makes the
	// value of it and of what the register holds.
	Patch []byte
}

// Delta is all that one request changed in one session, to be applied as a
// whole or not at all.
type Delta struct {
	ID   SessionID
	Base []Dot // the heads of the copy that the request changed; none: a new session
	Dot  Dot
	Ops  []Op
	// Life is set when the request ended the session; there are no Ops then.
	Life Life
}

// Write makes the changes of one request on s and returns them as a Delta. The
// dot must follow every dot in s: the caller takes it from its clock. It must
// not be called on a session that has ended.
func (s *State) Write(dot Dot, ops []Op) Delta {
	d := Delta{ID: s.ID, Base: slices.Clone(s.Heads), Dot: dot, Ops: ops}
	s.apply(d)
	return d
}

// End ends the session and returns the change as a Delta.
func (s *State) End(l Life) Delta {
	d := Delta{ID: s.ID, Base: slices.Clone(s.Heads), Dot: l.Dot, Life: l}
	s.end(l)
	return d
}

// Outcome says what became of a Delta.
type Outcome uint8

// The outcomes of Apply.
const (
	Applied Outcome = iota // the copy now includes it
	Stale                  // the copy included it already, or the session has ended here
	Gap                    // the copy lacks what it builds on, or has more: a join is needed
)

// Apply adds a change to the copy if it builds on exactly what the copy has.
func (s *State) Apply(d Delta) Outcome {
	switch {
	case d.Life.Kind != Live:
		if d.Life.compare(s.Life) <= 0 {
			return Stale
		}
		s.end(d.Life)
		return Applied
	case s.Life.Kind != Live || s.Seen.Covers(d.Dot):
		return Stale
	case !slices.Equal(s.Heads, d.Base):
		return Gap
	}
	s.apply(d)
	return Applied
}

func (s *State) apply(d Delta) {
	for _, op := range d.Ops {
		i, ok := s.find(op.Key)
		switch {
		case op.Remove && ok:
			s.Registers = slices.Delete(s.Registers, i, i+1)
		case op.Remove:
		case ok:
			s.Registers[i].Versions = []Version{{d.Dot, op.Value}}
		default:
			s.Registers = slices.Insert(s.Registers, i, Register{op.Key, []Version{{d.Dot, op.Value}}})
		}
	}
	s.Heads = append(s.Heads[:0], d.Dot)
	s.Seen = s.Seen.add(d.Dot)
}

// resolve turns the patches of a change that builds on what s has into values.
// It leaves d's own Ops as they are: other receivers may share them.
func (d Delta) resolve(s *State, unpatch func(Value, []byte) (Value, error)) (Delta, error) {
	first := slices.IndexFunc(d.Ops, func(o Op) bool { return o.Patch != nil })
	if first < 0 || !slices.Equal(s.Heads, d.Base) {
		return d, nil
	}
	d.Ops = slices.Clone(d.Ops)
	for i := first; i < len(d.Ops); i++ {
		op := &d.Ops[i]
		if op.Patch == nil {
			continue
		}
		old, ok := s.Get(op.Key)
		if !ok || unpatch == nil {
			return d, fmt.Errorf("session %s, register %q: a patch, but nothing to apply it to", s.ID, op.Key)
		}
		v, err := unpatch(old.Value, op.Patch)
		if err != nil {
			return d, fmt.Errorf("session %s, register %q: %w", s.ID, op.Key, err)
		}
		op.Value, op.Patch = v, nil
	}
	return d, nil
}

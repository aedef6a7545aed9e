package replica

import "slices"

// Op is one change to one register.
type Op struct {
	Key    string
	Value  Value
	Remove bool // the register is removed; Value is ignored
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
	if s.Seen == nil {
		s.Seen = Context{}
	}
	s.Seen.add(d.Dot)
}

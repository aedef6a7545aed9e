package replica

import "slices"

// Joined says what a join did to the receiver.
type Joined struct {
	// Changed reports whether the receiver now includes more than before.
	Changed bool
	// Forked reports whether the receiver learns of a fork: each side had
	// changes that the other lacked, or the other had joined two such sides.
	Forked bool
	// Shadowed counts the versions in the receiver that a concurrent one with
	// a higher dot hides.
	Shadowed int
}

// Join adds all that o includes to s. It is the least upper bound: in whatever
// order copies are joined, the result is the same. Both must be of one session.
// o is not changed, and shares nothing with s afterwards but values.
func (s *State) Join(o *State) Joined {
	if s.Life.Kind != Live || o.Life.Kind != Live {
		return s.joinEnded(o)
	}
	if s.Seen.Includes(o.Seen) {
		return Joined{}
	}
	var j Joined
	j.Changed = true
	if o.Seen.Includes(s.Seen) {
		c := o.Clone()
		j.Forked = s.Known() && len(c.Heads) > len(s.Heads)
		s.Heads, s.Seen, s.Registers = c.Heads, c.Seen, c.Registers
	} else {
		j.Forked = true
		s.Registers = s.joinRegisters(o)
		s.Heads = joinDots(s.Heads, o.Heads, s.Seen, o.Seen)
		s.Seen = s.Seen.Union(o.Seen)
	}
	for _, r := range s.Registers {
		if j.Forked {
			j.Shadowed += len(r.Versions) - 1
		}
	}
	return j
}

func (s *State) joinEnded(o *State) Joined {
	if s.Life.compare(o.Life) >= 0 {
		return Joined{}
	}
	s.end(o.Life)
	return Joined{Changed: true}
}

// joinRegisters merges two sorted lists of registers. A version stays when the
// other side has it too, or has not seen it: one that the other side has seen
// and no longer holds was replaced or removed there.
func (s *State) joinRegisters(o *State) []Register {
	out := make([]Register, 0, max(len(s.Registers), len(o.Registers)))
	a, b := s.Registers, o.Registers
	for len(a) > 0 || len(b) > 0 {
		var key string
		var av, bv []Version
		switch {
		case len(b) == 0 || len(a) > 0 && a[0].Key < b[0].Key:
			key, av, a = a[0].Key, a[0].Versions, a[1:]
		case len(a) == 0 || b[0].Key < a[0].Key:
			key, bv, b = b[0].Key, b[0].Versions, b[1:]
		default:
			key, av, bv = a[0].Key, a[0].Versions, b[0].Versions
			a, b = a[1:], b[1:]
		}
		if v := joinVersions(av, bv, s.Seen, o.Seen); len(v) > 0 {
			out = append(out, Register{key, v})
		}
	}
	return out
}

func joinVersions(a, b []Version, aSeen, bSeen Context) []Version {
	has := func(list []Version, d Dot) bool {
		return slices.ContainsFunc(list, func(v Version) bool { return v.Dot == d })
	}
	var out []Version
	for _, v := range a {
		if has(b, v.Dot) || !bSeen.Covers(v.Dot) {
			out = append(out, v)
		}
	}
	for _, v := range b {
		if !has(a, v.Dot) && !aSeen.Covers(v.Dot) {
			out = append(out, v)
		}
	}
	slices.SortFunc(out, func(x, y Version) int { return y.Dot.Compare(x.Dot) })
	return out
}

func joinDots(a, b []Dot, aSeen, bSeen Context) []Dot {
	var out []Dot
	for _, d := range a {
		if slices.Contains(b, d) || !bSeen.Covers(d) {
			out = append(out, d)
		}
	}
	for _, d := range b {
		if !slices.Contains(a, d) && !aSeen.Covers(d) {
			out = append(out, d)
		}
	}
	slices.SortFunc(out, Dot.Compare)
	return out
}

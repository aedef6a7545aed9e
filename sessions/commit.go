package sessions

import (
	"context"
	"slices"
	"time"
)

// Commit makes changes visible to other requests, all at once, and hands them to
// the Replicator, if there is one; it returns when that is satisfied. Of two
// commits that change an attribute the last one wins. It returns the version
// that the changed attributes now have; with no changes, the session's.
//
// A commit without changes still goes to the Replicator: it says that the
// session was used, and may announce a new session or id.
//
// The error is ErrInvalid if the session has ended or begun to, ErrMoved if
// another node is its home now, or a *ReplicationError; then the changes hold on
// this node.
func (s *Session) Commit(ctx context.Context, c *Changes) (Dot, error) {
	if c.MaxInactive != nil {
		s.sh.mu.Lock()
	}
	s.mu.Lock()
	if s.phase != valid {
		err := s.refusal()
		s.mu.Unlock()
		if c.MaxInactive != nil {
			s.sh.mu.Unlock()
		}
		return Dot{}, err
	}
	o := s.m.options()
	base := s.head
	if len(c.Attributes) > 0 || c.MaxInactive != nil {
		s.advance(o)
	}
	for i := range c.Attributes {
		s.apply(&c.Attributes[i])
	}
	if c.MaxInactive != nil {
		s.maxIdle = int64(*c.MaxInactive)
		if s.slot != 0 {
			s.sh.slots.at(s.slot).maxIdle = s.maxIdle
			s.sh.scheduleLocked(s.slot)
		}
	}
	head := s.head
	var r Receipt
	previous, renamed := s.previous, s.renamed
	if o.Replicator != nil {
		s.away = s.away || s.head != base && o.wants(SessionWillPassivate)
		r = o.send(s.delta(o, base, c))
	}
	s.mu.Unlock()
	if c.MaxInactive != nil {
		s.sh.mu.Unlock()
	}
	if renamed {
		s.sh.told(previous)
	}
	return head, s.await(ctx, r, head)
}

// CompareAndSwap stores a value if the attribute's version still is base (the
// zero Dot: if it does not exist). It takes effect and is replicated at once, not
// at the next Commit. It returns the attribute as it is afterwards; exists is
// false if there is none. The error is as Commit's.
func (s *Session) CompareAndSwap(ctx context.Context, name string, base Dot, value []byte) (swapped bool, now Attribute, exists bool, err error) {
	s.mu.Lock()
	if s.phase != valid {
		err = s.refusal()
		s.mu.Unlock()
		return false, Attribute{}, false, err
	}
	i, ok := s.search(name)
	switch {
	case !ok && !base.IsZero():
		s.mu.Unlock()
		return false, Attribute{}, false, nil
	case ok && s.attrs[i].Dot != base:
		now = s.attrs[i]
		s.mu.Unlock()
		return false, now, true, nil
	}
	o := s.m.options()
	before := s.head
	s.advance(o)
	c := &Changes{Attributes: []Change{{Name: name, Value: value}}}
	s.apply(&c.Attributes[0])
	now = Attribute{Name: name, Value: value, Dot: s.head}
	var r Receipt
	previous, renamed := s.previous, s.renamed
	if o.Replicator != nil {
		r = o.send(s.delta(o, before, c))
	}
	s.mu.Unlock()
	if renamed {
		s.sh.told(previous)
	}
	return true, now, true, s.await(ctx, r, now.Dot)
}

// advance gives the session a new version. The caller holds s.mu.
func (s *Session) advance(o *Options) {
	clock := o.HLC.Next(o.Now())
	if clock <= s.head.Clock { // it came from elsewhere with a clock ahead of ours
		o.HLC.Observe(s.head.Clock)
		clock = o.HLC.Next(o.Now())
	}
	s.head = Dot{Epoch: max(s.head.Epoch, 1), Node: o.Node, Clock: clock}
}

// apply makes one change. The caller holds s.mu.
func (s *Session) apply(c *Change) {
	i, ok := s.search(c.Name)
	switch {
	case c.Remove && ok:
		s.attrs = slices.Delete(s.attrs, i, i+1)
	case c.Remove:
	case ok:
		s.attrs[i].Value, s.attrs[i].Dot = c.Value, s.head
	default:
		s.attrs = slices.Insert(s.attrs, i, Attribute{Name: c.Name, Value: c.Value, Dot: s.head})
	}
}

// delta describes what a commit has done. The caller holds s.mu.
func (s *Session) delta(o *Options, base Dot, c *Changes) *Delta {
	// What most commits set is part of the Delta's allocation.
	room := new(struct {
		Delta
		set [1]Attribute
	})
	d := &room.Delta
	s.fillDelta(d, o, base)
	d.Read = slices.Clone(c.Read) // the Changes stay the caller's
	if d.Created {
		return d
	}
	for i, ch := range c.Attributes {
		if slices.ContainsFunc(c.Attributes[i+1:], func(later Change) bool { return later.Name == ch.Name }) {
			continue
		}
		if ch.Remove {
			d.Removed = append(d.Removed, ch.Name)
		} else {
			if d.Set == nil {
				d.Set = room.set[:0]
			}
			d.Set = append(d.Set, Attribute{Name: ch.Name, Value: ch.Value, Dot: s.head})
		}
	}
	slices.SortFunc(d.Set, byName)
	slices.Sort(d.Removed)
	return d
}

// bareDelta is a Delta with what all of them say. The caller holds s.mu.
func (s *Session) bareDelta(o *Options, base Dot) *Delta {
	d := new(Delta)
	s.fillDelta(d, o, base)
	return d
}

// fillDelta writes what all Deltas say. It takes note of what need not be said
// again. The caller holds s.mu.
func (s *Session) fillDelta(d *Delta, o *Options, base Dot) {
	*d = Delta{
		App: o.App, ID: s.idLocked(), Created: s.unsent, CreatedAt: time.UnixMilli(s.created), Version: s.version,
		Base: base, Dot: s.head, Accessed: s.m.wall(s.thisAccessed), MaxInactive: time.Duration(s.maxIdle),
	}
	if s.renamed {
		d.Previous = s.previous.id("")
	}
	if s.unsent { // all that it has is news
		d.Set = slices.Clone(s.attrs)
	}
	s.unsent, s.renamed, s.previous, s.saved = false, false, key{}, false
}

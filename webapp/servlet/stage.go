package servlet

// Stage puts changes that another process has made within this request (a
// filter in a worker, say) into the view, as if they had been made here. The
// view may keep them; they must not be changed afterwards.
func (s *Session) Stage(ch *Changes) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.writableLocked(); err != nil {
		return err
	}
	if ch.MaxInactive != nil {
		s.maxInactive = ch.MaxInactive
	}
	if s.stageWholeLocked(ch) {
		return nil
	}
	if err := s.unstageLocked(); err != nil {
		return err
	}
	return s.stageLocked(ch)
}

// stageWholeLocked keeps changes as they are, for a view that is not used but to
// commit them: that of a request which its application's process answers. It is
// false for what has to be compared with what there is.
func (s *Session) stageWholeLocked(ch *Changes) bool {
	if len(s.entries.list) > 0 || s.staged != nil || len(ch.Read) > 0 || s.context.cfg.Sessions.UnencodableLocal {
		return false
	}
	last := ""
	for i := range ch.Attributes {
		c := &ch.Attributes[i]
		if c.Remove || c.Name <= last {
			return false // a removal counts if there is such an attribute
		}
		last = c.Name
	}
	if len(ch.Attributes) > 0 {
		s.staged = ch
	}
	return true
}

// unstageLocked gives what stageWholeLocked has kept entries of its own, because
// the view is used.
func (s *Session) unstageLocked() error {
	ch := s.staged
	if ch == nil {
		return nil
	}
	s.staged = nil
	return s.stageLocked(ch)
}

func (s *Session) stageLocked(ch *Changes) error {
	for _, c := range ch.Attributes {
		e, err := s.entryLocked(c.Name)
		if err != nil {
			return err
		}
		*e = entry{name: c.Name, base: e.base, exists: e.exists, read: e.read, dirty: true, removed: c.Remove, bytes: c.Value}
	}
	for _, n := range ch.Read {
		e, err := s.entryLocked(n)
		if err != nil {
			return err
		}
		e.read = true
	}
	return nil
}

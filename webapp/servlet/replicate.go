package servlet

import "reflect"

// tellReplication tells the values that are ActivationListeners that what the
// request has changed is about to be sent to other nodes, once per request (JBoss:
// each time that a request replicates). What they change in themselves goes along.
// The server tells them of their return when the session is looked up again.
func (s *Session) tellReplication() {
	values := s.replicatedValues()
	l := &s.context.listeners
	for _, v := range values {
		e := BindingEvent{SessionEvent: SessionEvent{Context: s.context, Session: s, Cause: Replication, Local: true}, Name: v.name}
		if l.policy == nil || l.policy.AllowActivationListener(s.context.status(), Replication, v.name, true) {
			guard(s.context, "session activation", func() { v.listener.SessionWillPassivate(e) })
		}
	}
}

type namedListener struct {
	name     string
	listener ActivationListener
}

// replicatedValues are the values to be told, sorted by name; none if nothing is to
// be replicated, or they have been told.
func (s *Session) replicatedValues() (values []namedListener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.told || s.over || s.frozen || s.staged != nil || !s.changedLocked() {
		return nil
	}
	s.told = true
	for _, name := range s.namesLocked() {
		info := s.context.types.activated(name)
		if info == nil {
			continue
		}
		e, err := s.entryLocked(name)
		if err != nil || !e.present() || e.local {
			continue
		}
		if e.held() == nil {
			v := reflect.New(info.typ)
			if decMode.Unmarshal(e.bytes, v.Interface()) != nil {
				continue // it is not what it was when its type was met
			}
			e.value, e.typ, e.mutable = v.Elem().Interface(), info, info.mutable && !s.context.cfg.Sessions.SetOnly
		}
		if l, ok := listening[ActivationListener](e.value); ok {
			values = append(values, namedListener{name, l})
		}
	}
	return values
}

// changedLocked reports that the request has changed something that is not
// committed yet. A value that cannot be encoded any more is not it.
func (s *Session) changedLocked() bool {
	if s.maxInactive != nil {
		return true
	}
	for _, e := range s.entries.list {
		if e.dirty || e.fold() == nil && e.dirty {
			return true
		}
	}
	return false
}

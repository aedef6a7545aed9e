package sessions

import (
	"context"
	"testing"

	"github.com/serval-server/serval/descriptor"
)

// The truth table of JBoss's two policies: ../shared/reference/jboss.md §3.3, the
// rows of one node. Each row is one call that the container asks about.
func TestPolicies(t *testing.T) {
	const (
		session = iota
		attribute
		binding
		activation
	)
	legacy, ok1 := PolicyByName(descriptor.PolicyLegacy)
	ignore, ok2 := PolicyByName(descriptor.PolicyIgnoreUndeployLegacy)
	byDefault, ok3 := PolicyByName("")
	if _, ok := PolicyByName("Other"); !ok1 || !ok2 || !ok3 || byDefault != ignore || ok {
		t.Fatal("policies are not known by their names")
	}
	ask := func(p NotificationPolicy, s Status, c Cause, kind int) bool {
		switch kind {
		case session:
			return p.AllowSessionListener(s, c, true)
		case attribute:
			return p.AllowAttributeListener(s, c, "a", true)
		case binding:
			return p.AllowBindingListener(s, c, "a", true)
		}
		return p.AllowActivationListener(s, c, "a", true)
	}
	for _, row := range []struct {
		event          string
		cause          Cause
		kind           int
		legacy, ignore bool
	}{
		{"sessionCreated", Create, session, true, true},
		{"sessionCreated", Failover, session, false, false},
		{"sessionDidActivate", Failover, activation, true, true},
		{"sessionDidActivate", Activation, activation, true, true},
		{"attributeReplaced", Modify, attribute, true, true},
		{"valueBound", Modify, binding, true, true},
		{"sessionDestroyed", Invalidate, session, true, true},
		{"attributeRemoved", Invalidate, attribute, true, true},
		{"valueUnbound", Invalidate, binding, true, true},
		{"sessionDestroyed", Timeout, session, true, true},
		{"attributeRemoved", Timeout, attribute, true, true},
		{"valueUnbound", Timeout, binding, true, true},
		{"sessionDestroyed", Undeploy, session, true, false},
		{"attributeRemoved", Undeploy, attribute, true, false},
		{"valueUnbound", Undeploy, binding, true, true},
		{"sessionWillPassivate", Passivation, activation, true, true},
		{"sessionWillPassivate", Replication, activation, true, true},
		{"sessionDidActivate", Replication, activation, true, true},
	} {
		used := Status{LocallyUsed: true}
		if got := ask(legacy, used, row.cause, row.kind); got != row.legacy {
			t.Errorf("Legacy, %s, %v: %v", row.event, row.cause, got)
		}
		if got := ask(ignore, used, row.cause, row.kind); got != row.ignore {
			t.Errorf("IgnoreUndeployLegacy, %s, %v: %v", row.event, row.cause, got)
		}
		for _, p := range []NotificationPolicy{legacy, ignore} {
			if ask(p, Status{}, row.cause, row.kind) {
				t.Errorf("%T, %s, %v: true on a node that does not use the session", p, row.event, row.cause)
			}
		}
	}
	if Cause(99).String() != "UNKNOWN" || Replication.String() != "REPLICATION" || StateTransfer.String() != "STATE_TRANSFER" {
		t.Error("names of causes")
	}
}

// What the manager says of an event is what the policies are asked with: on one
// node every event is local and of a session that is used here.
func TestEventStatus(t *testing.T) {
	var heard []Event
	rec := &recorder{events: AllEvents}
	rec.on = func(_ context.Context, e Event) { heard = append(heard, e) }
	m := manager(t, Options{Listener: rec})
	s := create(t, m)
	if err := s.Invalidate(t.Context(), Invalidate); err != nil {
		t.Fatal(err)
	}
	s.End()
	for _, e := range heard {
		if !e.Local || e.Status != (Status{LocallyUsed: true, LocallyOwned: true}) {
			t.Errorf("%v: local %v, %+v", e.Cause, e.Local, e.Status)
		}
	}
	if len(heard) != 2 {
		t.Errorf("%d events", len(heard))
	}
}

package sessions

import "context"

// Cause says why a session event happens. The numbers travel between nodes and
// to workers: append only.
type Cause uint8

// The causes, as JBoss's ClusteredSessionNotificationCause names them. A single
// node emits Create, Invalidate, Timeout, Undeploy, Passivation, Activation and,
// for a session that its Replicator found, Failover.
const (
	Create        Cause = iota // a request made the session
	Modify                     // a request changed an attribute
	Invalidate                 // a request ended the session
	Timeout                    // the session was idle for too long
	Undeploy                   // the application stops
	Failover                   // this node has taken the session over
	Failaway                   // another node has taken the session over
	StateTransfer              // the session came with another node's state
	Passivation                // the session leaves memory for a store
	Activation                 // the session comes back from a store
	Replication                // the session's changes are sent to other nodes
)

var causeNames = [...]string{"CREATE", "MODIFY", "INVALIDATE", "TIMEOUT", "UNDEPLOY", "FAILOVER", "FAILAWAY",
	"STATE_TRANSFER", "PASSIVATION", "ACTIVATION", "REPLICATION"}

// String is the cause's name in JBoss.
func (c Cause) String() string {
	if int(c) < len(causeNames) {
		return causeNames[c]
	}
	return "UNKNOWN"
}

// EventKind is the kind of an Event.
type EventKind uint8

// The kinds of events, in the order of webapp/servlet's.
const (
	SessionCreated EventKind = iota
	SessionDestroyed
	SessionIDChanged
	SessionWillPassivate
	SessionDidActivate
)

// EventSet is a set of kinds of events.
type EventSet uint8

// AllEvents is the set of all kinds.
const AllEvents = EventSet(1<<SessionCreated | 1<<SessionDestroyed | 1<<SessionIDChanged |
	1<<SessionWillPassivate | 1<<SessionDidActivate)

// Events makes a set.
func Events(kinds ...EventKind) (s EventSet) {
	for _, k := range kinds {
		s |= 1 << k
	}
	return s
}

// Has reports whether the set contains the kind.
func (s EventSet) Has(k EventKind) bool { return s&(1<<k) != 0 }

// Event is something that has happened to a session.
type Event struct {
	Kind EventKind
	// Session is readable while the event is reported, also after
	// SessionDestroyed has made it invisible to others. Listeners of
	// SessionCreated may commit changes to it.
	Session *Session
	OldID   ID // of SessionIDChanged, with its route
	Cause   Cause
	Local   bool // it happened on this node
	Status  Status
}

// Listener hears of the sessions of an application. The context is that of the
// request that caused the event, or one of the manager's own.
type Listener interface {
	// Events are the kinds that the listener wants. A manager asks once. Where
	// nobody wants SessionDestroyed, sessions end without being unpacked.
	Events() EventSet
	// Notify tells of one event and returns when all who listen have heard.
	// It is never called with a lock held; for one session events come in
	// their order. An error is logged and changes nothing.
	Notify(ctx context.Context, e Event) error
}

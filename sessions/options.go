package sessions

import (
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// AppKey names an application in a cluster: its host and context path, whatever
// the version ("localhost/shop", "localhost/" for the root application).
type AppKey string

// DefaultTimeout is how long a session may be idle if nothing else is said
// (Tomcat's conf/web.xml).
const DefaultTimeout = 30 * time.Minute

// DefaultHot is how many sessions stay unpacked after use if Options.Hot is 0.
const DefaultHot = 4096

// Options are what a Manager is made from. The zero value is a manager without
// limits, listeners, replication or files.
type Options struct {
	App     AppKey
	Version string // of the bundle; new sessions carry it

	// Timeout is how long a session may be idle. Zero is DefaultTimeout,
	// negative for ever.
	Timeout time.Duration
	// MaxActive limits the sessions in memory; Create then fails with a
	// *TooManyError. Zero or negative: no limit (Tomcat's -1).
	MaxActive int
	// Route is appended to ids, "" for none. See ValidRoute.
	Route string
	// LastAccessAtStart counts idle time from the start of the last request
	// rather than from its end (Tomcat's sessionLastAccessAtStart).
	LastAccessAtStart bool
	// Serialized is not used by the manager; whoever runs requests asks for
	// it and calls Session.Lock (see Manager.Serialized).
	Serialized bool

	// File is where Close saves the sessions and Load finds them. "": nowhere.
	File string
	// Store is where passivated sessions go. Nil: none are passivated.
	Store Store
	// OpenStore makes the Store if Store is nil; Load calls it, or the Rebind
	// that brings it first. A store that is made so and is an io.Closer is
	// closed with the manager. Nil: Store is what counts.
	OpenStore func() (Store, error)
	// MinIdle: at MaxActive, sessions idle for longer than this are passivated,
	// least recently used first. Negative: none are. Needs a Store.
	MinIdle time.Duration
	// MaxIdle: sessions idle for longer than this are passivated in any
	// case. Zero or negative: none are. Needs a Store.
	MaxIdle time.Duration

	Replicator Replicator // nil: none
	Listener   Listener   // nil: none

	// Hot is about how many sessions stay unpacked after use. Zero is
	// DefaultHot, negative none.
	Hot int
	// Now is the clock; nil is time.Now. Idle times are differences of what
	// it returns, so they follow the monotonic clock.
	Now func() time.Time
	// HLC gives commits their versions. Nil: the manager's own.
	HLC *HLC
	// Node is this node's index in its cluster; 0 if there is none.
	Node uint32
	// Logger; nil: nothing is logged.
	Logger *slog.Logger

	events EventSet // what Listener wants
}

// wants reports whether somebody listens to such events.
func (o *Options) wants(k EventKind) bool { return o.events.Has(k) }

func (o Options) withDefaults() (Options, error) {
	if err := ValidRoute(o.Route); err != nil {
		return o, err
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Hot == 0 {
		o.Hot = DefaultHot
	}
	if o.Store == nil && o.OpenStore == nil && o.MaxIdle > 0 {
		return o, errors.New("sessions: passivation of idle sessions needs a store")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.HLC == nil {
		o.HLC = new(HLC)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.events = 0
	if o.Listener != nil {
		o.events = o.Listener.Events()
	}
	o.Logger = o.Logger.With("component", "sessions", "app", string(o.App))
	return o, nil
}

var (
	// ErrNotFound means that there is no such session: the id is not one of
	// ours, or the session has ended.
	ErrNotFound = errors.New("no such session")
	// ErrInvalid means that the session has been invalidated or has expired
	// while it was in use.
	ErrInvalid = errors.New("session is no longer valid")
	// ErrClosed means that the manager has been closed.
	ErrClosed = errors.New("session manager is closed")
)

// TooManyError is why Create fails when there are MaxActive sessions. It asks
// for a 503 answer.
type TooManyError struct{ Limit int }

func (e *TooManyError) Error() string {
	return fmt.Sprintf("too many active sessions: the application allows %d", e.Limit)
}

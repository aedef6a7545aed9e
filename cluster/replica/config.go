package replica

import "time"

// AckPolicy says how many other owners must have a change before its request
// is answered.
type AckPolicy uint8

// The ack policies.
const (
	AckOne    AckPolicy = iota // any one other owner
	AckNone                    // none
	AckQuorum                  // a majority of the owners, the home included
	AckAll                     // every live owner
)

// Config is how a Node behaves. All nodes of a cluster must agree on Owners
// and Strict.
type Config struct {
	// Self is this incarnation's index.
	Self NodeID
	// Owners is how many nodes hold each session; 0: all (REPL).
	Owners int
	// Ack is the ack policy.
	Ack AckPolicy
	// Strict lets a claim succeed only with promises of a majority of the
	// owners that the session had, so that two sides of a partition never
	// both write; it needs Owners of 3 or more, or 0.
	Strict bool
	// AckTimeout is how long a change waits for its acks before its request
	// is answered all the same (degraded) or refused. Default 2 s.
	AckTimeout time.Duration
	// FailOnTimeout refuses instead.
	FailOnTimeout bool
	// Retry is when an unanswered message is sent again. Default 5 s: a
	// transport that loses nothing while it is connected needs no repetition
	// but Reset's. One that loses messages wants some 100 ms.
	Retry time.Duration
	// Pause is the gap between two ticks from which on the node takes itself
	// for one that was stopped, and makes sure of its sessions before it
	// serves them again. Default 500 ms.
	Pause time.Duration
	// MaxIdle is the session timeout, Grace what a backup adds to it.
	// Defaults 30 min and 30 s.
	MaxIdle, Grace time.Duration
	// Idle returns the timeout of one session, by its copy: zero or less for
	// never. All nodes must agree on it. Nil: MaxIdle for all. The copy is
	// lent for the call.
	Idle func(*State) time.Duration
	// Touch is how old the last word of a session's use may be until the other
	// owners hear of the next one; at most a quarter of the session's timeout
	// counts. 0: they hear of each; less: only with other changes.
	Touch time.Duration
	// Unpatch makes the value of an Op that came as a patch. It must not
	// change what it is given. Nil: no Op may carry one.
	Unpatch func(old Value, patch []byte) (Value, error)
	// MisrouteClaim lets a node ask for a session with the first request for
	// it that should have gone to another node. Otherwise it asks with the
	// Misroutes-th in a row (default 2; less than 0: never), and forwards.
	MisrouteClaim bool
	Misroutes     int
	// Budget is how many sessions a Tick looks at, at most, for each of its
	// tasks; it sends two thirds as many copies. Default 192, and at least 16.
	Budget int
	// Window is how many copies may be on their way to a peer, unacknowledged,
	// in a transfer that can wait. Default 1024.
	Window int
	// Pack is how long a session is unused until its copy is packed: a packed
	// one takes a fraction of the memory and none of the collector's time.
	// Default 2 s; less than 0: never.
	Pack time.Duration
	// AdoptAfter is how long a dead home's sessions wait for a request
	// before their first owner claims them. Default 10 s.
	AdoptAfter time.Duration
	// DeadTTL is how long an ended session with the timeout MaxIdle is
	// remembered; one with a longer timeout longer by the difference. Default
	// MaxIdle + 4 Grace + 60 s: no copy of a living session gets so old.
	DeadTTL time.Duration
	// DigestEvery is how often copies are compared with a peer. Default 10 s.
	DigestEvery time.Duration
	// Locate is how long an answer to WhoHas is waited for. Default 20 ms.
	Locate time.Duration
}

func (c Config) withDefaults() Config {
	set := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	set(&c.AckTimeout, 2*time.Second)
	set(&c.Retry, 5*time.Second)
	set(&c.Pause, 500*time.Millisecond)
	set(&c.MaxIdle, 30*time.Minute)
	set(&c.Grace, 30*time.Second)
	set(&c.AdoptAfter, 10*time.Second)
	set(&c.DeadTTL, c.MaxIdle+4*c.Grace+time.Minute)
	set(&c.DigestEvery, 10*time.Second)
	set(&c.Locate, 20*time.Millisecond)
	if c.Misroutes == 0 {
		c.Misroutes = 2
	}
	if c.Budget <= 0 {
		c.Budget = 192
	}
	c.Budget = max(c.Budget, 16)
	if c.Window <= 0 {
		c.Window = 1024
	}
	if c.Pack == 0 {
		c.Pack = 2 * time.Second
	}
	return c
}

// never is a timeout that does not come.
const never = time.Duration(1) << 60

// timeout is how long a session may be idle.
func (n *Node) timeout(s *session) time.Duration {
	if n.cfg.Idle == nil || !s.Known() || s.Life.Kind != Live {
		return n.cfg.MaxIdle
	}
	if d := n.cfg.Idle(s.State); d > 0 {
		return min(d, never)
	}
	return never
}

// touchesPerIdle is how often the owners hear of a session in use in the time of
// its timeout, at least.
const touchesPerIdle = 4

// touchEvery is how old the owners' word of a use may be; 0 if they hear of each
// or of none.
func (n *Node) touchEvery(timeout time.Duration) time.Duration {
	return max(0, min(n.cfg.Touch, timeout/touchesPerIdle))
}

// patience is how long a session at home may be idle. One that was claimed
// without a request may have been used since its last touch, or be in use
// beyond a partition, so it gets the touch interval and the grace on top, as
// every backup's copy does.
func (n *Node) patience(s *session) time.Duration {
	d := n.timeout(s)
	if s.adopted {
		d += n.touchEvery(d) + n.cfg.Grace
	}
	return d
}

// backupPatience is the idle time after which a copy should have heard of its
// session's end.
func (n *Node) backupPatience(timeout time.Duration) time.Duration {
	return timeout + n.touchEvery(timeout) + n.cfg.Grace
}

// tooOld is the idle time at which a copy is forgotten whose home is silent:
// long after any home or claimer would have expired it.
func (n *Node) tooOld(timeout time.Duration) time.Duration {
	return n.backupPatience(timeout) + 3*n.cfg.Grace
}

// keepDead is for how long a session's end is to be remembered.
func (n *Node) keepDead(s *session) time.Duration {
	if d := n.timeout(s); d < never {
		return n.cfg.DeadTTL + max(0, d-n.cfg.MaxIdle)
	}
	return n.cfg.DeadTTL
}

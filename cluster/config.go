package cluster

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/serval-server/serval/cluster/replica"
	"github.com/serval-server/serval/descriptor"
	"github.com/serval-server/serval/sessions"
)

// Mode says how many nodes hold a session.
type Mode string

// The modes (REPLICATION §1, JBoss's cache modes).
const (
	ModeREPL Mode = "REPL" // every node that runs the application
	ModeDIST Mode = "DIST" // the home and Owners-1 others
)

// Ack says how many other owners must have a change in memory before its
// request is answered.
type Ack string

// The ack policies.
const (
	AckNone   Ack = "none"
	AckOne    Ack = "one"    // any one
	AckQuorum Ack = "quorum" // a majority of the owners, the home included
	AckAll    Ack = "all"    // each that is alive and not lagging
)

// OnTimeout says what becomes of a request whose acks do not come in time.
type OnTimeout string

// What can become of it.
const (
	Degrade OnTimeout = "degrade" // it is answered, and counted
	Fail    OnTimeout = "fail"    // it is refused with 503
)

// Misroute says what becomes of a request that reaches another node than the
// home of its session.
type Misroute string

// What can become of it.
const (
	MisrouteForward Misroute = "forward" // it is forwarded; the second in a row claims
	MisrouteClaim   Misroute = "claim"   // the node asks the home for the session at once
)

// Consistency says what a partition costs.
type Consistency string

// The consistency profiles.
const (
	Available Consistency = "available" // both sides serve; forks are joined and counted
	Strict    Consistency = "strict"    // a claim needs a majority of the former owners
)

// DefaultCache is the name of the cache that an application uses unless it
// names another. A node has one with default settings if none is configured.
const DefaultCache = "default"

// Cache is a [[cache]] of conf/server.toml: how the sessions of the applications
// that name it are kept. A field that is zero has its default.
type Cache struct {
	Name        string        `json:"name"`
	Mode        Mode          `json:"mode"`        // default REPL
	Owners      int           `json:"owners"`      // copies in DIST, the home's included; default 2, at least 1
	Ack         Ack           `json:"ack"`         // default one
	AckTimeout  time.Duration `json:"ackTimeout"`  // default 2 s
	OnTimeout   OnTimeout     `json:"onTimeout"`   // default degrade
	Misroute    Misroute      `json:"misroute"`    // default forward
	Consistency Consistency   `json:"consistency"` // default available; strict needs REPL or 3 owners
}

// withDefaults fills in what is not said.
func (c Cache) withDefaults() Cache {
	if c.Mode == "" {
		c.Mode = ModeREPL
	}
	if c.Owners == 0 {
		c.Owners = 2
	}
	if c.Ack == "" {
		c.Ack = AckOne
	}
	if c.AckTimeout == 0 {
		c.AckTimeout = 2 * time.Second
	}
	if c.OnTimeout == "" {
		c.OnTimeout = Degrade
	}
	if c.Misroute == "" {
		c.Misroute = MisrouteForward
	}
	if c.Consistency == "" {
		c.Consistency = Available
	}
	return c
}

// Validate reports all that is wrong with the settings; empty ones have their
// defaults.
func (c Cache) Validate() error {
	c = c.withDefaults()
	var errs []error
	bad := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("cache %q: "+format, append([]any{c.Name}, args...)...))
		}
	}
	bad(c.Name != "", "it has no name")
	bad(oneOf(c.Mode, ModeREPL, ModeDIST), "mode %q: not REPL or DIST", c.Mode)
	bad(c.Owners >= 1, "owners %d: less than 1", c.Owners)
	bad(oneOf(c.Ack, AckNone, AckOne, AckQuorum, AckAll), "ack %q: not none, one, quorum or all", c.Ack)
	bad(c.AckTimeout > 0, "ack_timeout %v: not positive", c.AckTimeout)
	bad(oneOf(c.OnTimeout, Degrade, Fail), "on_timeout %q: not degrade or fail", c.OnTimeout)
	bad(oneOf(c.Misroute, MisrouteForward, MisrouteClaim), "misroute %q: not forward or claim", c.Misroute)
	bad(oneOf(c.Consistency, Available, Strict), "consistency %q: not available or strict", c.Consistency)
	bad(c.Consistency != Strict || c.Mode == ModeREPL || c.Owners >= 3,
		"consistency strict needs mode REPL or at least 3 owners, not %d: of two owners neither is a majority", c.Owners)
	return errors.Join(errs...)
}

func oneOf[T comparable](v T, allowed ...T) bool { return slices.Contains(allowed, v) }

// CacheChange is a change of a cache's settings at run time; nil fields stay.
type CacheChange struct {
	Mode   *Mode `json:"mode,omitempty"`
	Owners *int  `json:"owners,omitempty"`
	Ack    *Ack  `json:"ack,omitempty"`
	// AckTimeout, OnTimeout, Misroute and Consistency as in Cache.
	AckTimeout  *time.Duration `json:"ackTimeout,omitempty"`
	OnTimeout   *OnTimeout     `json:"onTimeout,omitempty"`
	Misroute    *Misroute      `json:"misroute,omitempty"`
	Consistency *Consistency   `json:"consistency,omitempty"`
}

// apply returns the changed settings.
func (ch CacheChange) apply(c Cache) Cache {
	set(&c.Mode, ch.Mode)
	set(&c.Owners, ch.Owners)
	set(&c.Ack, ch.Ack)
	set(&c.AckTimeout, ch.AckTimeout)
	set(&c.OnTimeout, ch.OnTimeout)
	set(&c.Misroute, ch.Misroute)
	set(&c.Consistency, ch.Consistency)
	return c
}

func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

// AppConfig is an application as a DeltaManager sees it.
type AppConfig struct {
	// Key is the application's identity in the cluster, whatever its version.
	Key sessions.AppKey
	// Version is the bundle's, "" if it has none.
	Version string
	// Replication is what the application declares; nil is all defaults.
	Replication *descriptor.Replication
	// Timeout is how long a session may be idle unless it says otherwise.
	// Zero is sessions.DefaultTimeout, negative for ever.
	Timeout time.Duration
}

// UnknownCacheError is why Open fails for an application that names a cache
// which the node does not have.
type UnknownCacheError struct {
	Name  string
	Pos   descriptor.Pos // where the application names it; zero if it does not
	Known []string       // the caches that exist, sorted
}

func (e *UnknownCacheError) Error() string {
	where := ""
	if !e.Pos.IsZero() {
		where = e.Pos.String() + ": "
	}
	return fmt.Sprintf("%scache-name %q: no [[cache]] of conf/server.toml has this name; there are %s", where, e.Name, strings.Join(e.Known, ", "))
}

// settings is what an application's declaration and its cache make together.
type settings struct {
	Cache
	granularity descriptor.ReplicationGranularity
	trigger     descriptor.ReplicationTrigger
	interval    time.Duration // of INTERVAL; 0: INSTANT
	timeout     time.Duration // ≤0: for ever
	touch       time.Duration // as in replica.Config
}

// settingsFor joins what the application and the cache say. What the application
// says of owners and acks (backups, replication-mode) goes before the cache.
func settingsFor(a AppConfig, c Cache) (s settings, warning string) {
	s = settings{Cache: c.withDefaults(), granularity: descriptor.GranularitySession, trigger: descriptor.TriggerSetAndNonPrimitiveGet, timeout: a.Timeout}
	if s.timeout == 0 {
		s.timeout = sessions.DefaultTimeout
	}
	s.touch = time.Minute
	if s.timeout > 0 {
		s.touch = min(s.touch, s.timeout/4)
	}
	r := a.Replication
	if r == nil {
		return s, ""
	}
	if r.Granularity != "" {
		s.granularity = r.Granularity
	}
	if r.Trigger != "" {
		s.trigger = r.Trigger
	}
	if r.SnapshotMode == descriptor.SnapshotInterval {
		s.interval = r.SnapshotInterval
		if s.interval <= 0 {
			s.interval = time.Second
		}
	}
	if r.Backups != nil {
		s.Mode, s.Owners = ModeDIST, *r.Backups+1
		if *r.Backups < 0 {
			s.Mode, s.Owners = ModeREPL, s.Cache.withDefaults().Owners
			s.Owners = max(s.Owners, 2)
		}
	}
	switch r.Mode {
	case descriptor.ReplicationSync:
		s.Ack = AckAll
	case descriptor.ReplicationAsync:
		s.Ack = AckNone
	}
	if m := r.MaxUnreplicatedInterval; m != nil {
		s.touch = *m
		if s.timeout > 0 && *m > s.timeout {
			s.touch = 0
			warning = fmt.Sprintf("max-unreplicated-interval %v is above the session timeout %v: each access is sent", *m, s.timeout)
		}
	}
	if s.trigger == descriptor.TriggerAccess {
		s.touch = 0
	}
	return s, warning
}

// String tells what an operator may want to know.
func (s settings) String() string {
	mode := string(s.Mode)
	if s.Mode == ModeDIST {
		mode = fmt.Sprintf("%s of %d", mode, s.Owners)
	}
	when := "at once"
	if s.interval > 0 {
		when = "every " + s.interval.String()
	}
	return fmt.Sprintf("cache %s, %s, ack %s, %s, %s, by %s, %s", s.Name, mode, s.Ack, s.OnTimeout, s.Consistency, s.granularity, when)
}

// dead is how long ended sessions are remembered: longer than any copy that has
// not heard of the end could live (its timeout, the touch interval, the grace); a
// day if sessions live for ever.
func (s *settings) dead() time.Duration {
	if s.timeout <= 0 {
		return 24 * time.Hour
	}
	return s.timeout + max(s.touch, 0) + grace + time.Minute
}

// digestEvery is how often a node compares its copies with one other, in turn: after
// a cut all owners are to be equal within 10 s, in a cluster of a few nodes.
const digestEvery = 2 * time.Second

// grace is what a copy waits beyond its time before it takes its session for idle.
const grace = 30 * time.Second

// adoptStrict is how long the sessions of a dead home wait for a request, in the strict
// profile: with each of their owners that goes meanwhile, a majority is harder to get.
const adoptStrict = time.Second

// replica translates the settings for the protocol, all but Self.
func (s *settings) replica() replica.Config {
	cfg := replica.Config{
		Strict: s.Consistency == Strict, AckTimeout: s.AckTimeout, FailOnTimeout: s.OnTimeout == Fail,
		Grace: grace, DigestEvery: digestEvery, DeadTTL: s.dead(), MaxIdle: max(s.timeout, 0), Touch: s.touch, MisrouteClaim: s.Misroute == MisrouteClaim,
	}
	if cfg.Strict {
		cfg.AdoptAfter = adoptStrict
	}
	if s.Mode == ModeDIST {
		cfg.Owners = s.Owners
	}
	switch s.Ack {
	case AckNone:
		cfg.Ack = replica.AckNone
	case AckQuorum:
		cfg.Ack = replica.AckQuorum
	case AckAll:
		cfg.Ack = replica.AckAll
	}
	return cfg
}

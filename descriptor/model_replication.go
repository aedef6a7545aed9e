package descriptor

import "time"

// Replication is replication-config of jboss-web.xml and [replication] in TOML,
// with defaults filled in by [Load]. It takes effect if the application is
// distributable.
type Replication struct {
	// CacheName names a [[cache]] of conf/server.toml; "default" if not declared.
	CacheName    string
	CacheNamePos Pos
	Trigger      ReplicationTrigger
	Granularity  ReplicationGranularity
	// FieldBatchMode is accepted for old files (true if not declared): changes of
	// one request always travel together.
	FieldBatchMode bool
	// UseJK appends the node's route to session ids. Nil: if the node has a route.
	UseJK *bool
	// MaxUnreplicatedInterval bounds how long a mere access stays unreplicated.
	// Nil: min(60 s, timeout/4). Zero: each access is sent. Negative: only with
	// other changes.
	MaxUnreplicatedInterval *time.Duration
	SnapshotMode            SnapshotMode
	SnapshotInterval        time.Duration // 1 s if not declared; only for INTERVAL
	// NotificationPolicy is Serval's name of a policy, or the application's own.
	NotificationPolicy    string
	NotificationPolicyPos Pos
	// Backups is nil if not declared. n ≥ 0 means DIST with n+1 owners, negative REPL.
	Backups *int
	// Mode is "" if not declared; ASYNCHRONOUS means ack none, SYNCHRONOUS ack all.
	Mode ReplicationMode
	// NonSerializable says what Set does with a value that cannot be encoded:
	// "error" (default) or "local". TOML only.
	NonSerializable string
	Pos             Pos // zero if the application has no replication-config

	declared                 declared
	intervalPos, snapshotPos Pos
}

// ReplicationTrigger says what makes an attribute dirty.
type ReplicationTrigger string

// The triggers (REPLICATION §1).
const (
	TriggerSet                   ReplicationTrigger = "SET"
	TriggerSetAndGet             ReplicationTrigger = "SET_AND_GET"
	TriggerSetAndNonPrimitiveGet ReplicationTrigger = "SET_AND_NON_PRIMITIVE_GET"
	TriggerAccess                ReplicationTrigger = "ACCESS"
)

// ReplicationGranularity is the unit of merge and of visibility.
type ReplicationGranularity string

// The granularities.
const (
	GranularitySession   ReplicationGranularity = "SESSION"
	GranularityAttribute ReplicationGranularity = "ATTRIBUTE"
	GranularityField     ReplicationGranularity = "FIELD"
)

// SnapshotMode says when changes are sent.
type SnapshotMode string

// The snapshot modes.
const (
	SnapshotInstant  SnapshotMode = "INSTANT"  // at each commit point
	SnapshotInterval SnapshotMode = "INTERVAL" // by a background task
)

// ReplicationMode is JBoss's replication-mode.
type ReplicationMode string

// The replication modes.
const (
	ReplicationSync  ReplicationMode = "SYNCHRONOUS"
	ReplicationAsync ReplicationMode = "ASYNCHRONOUS"
)

// Names of the two notification policies that ship.
const (
	PolicyLegacy               = "LegacyClusteredSessionNotificationPolicy"
	PolicyIgnoreUndeployLegacy = "IgnoreUndeployLegacyClusteredSessionNotificationPolicy"
)

// JBoss is the rest of jboss-web.xml that Serval honours.
type JBoss struct {
	// ContextRoot is the context path with its slash ("/" is the root), "" if not declared.
	ContextRoot    string
	ContextRootPos Pos
	VirtualHosts   []string
	// MaxActiveSessions is nil or negative for no limit.
	MaxActiveSessions *int
	Passivation       Passivation

	maxActivePos Pos
}

// Passivation is passivation-config. Idle times are nil or negative when off.
type Passivation struct {
	Enabled bool           // use-session-passivation
	MinIdle *time.Duration // idle at least this long before the maximum may push a session out
	MaxIdle *time.Duration // idle longer than this is passivated in any case
	Pos     Pos
}

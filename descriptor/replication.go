package descriptor

import (
	"strings"
	"time"
)

// replicationKeys are the elements of replication-config, for XML and TOML alike. Later
// wins over earlier, as in JBoss; a repetition is warned about.
var replicationKeys = map[string]func(*reader, *Replication, value){
	"cache-name": func(r *reader, c *Replication, v value) {
		if s := r.token(v); s != "" {
			c.CacheName, c.CacheNamePos = strings.TrimPrefix(s, "jboss.infinispan."), v.pos
		}
	},
	"replication-trigger": func(r *reader, c *Replication, v value) {
		c.Trigger = enum(r, v, TriggerSet, TriggerSetAndGet, TriggerSetAndNonPrimitiveGet, TriggerAccess)
	},
	"replication-granularity": func(r *reader, c *Replication, v value) {
		c.Granularity = enum(r, v, GranularitySession, GranularityAttribute, GranularityField)
	},
	"replication-field-batch-mode": func(r *reader, c *Replication, v value) {
		c.FieldBatchMode = r.flag(v, true)
		if !c.FieldBatchMode {
			r.warnf(v.pos, "%s is false, but all changes of one request travel together", v.name)
		}
	},
	"use-jk": func(r *reader, c *Replication, v value) { c.UseJK = r.boolean(v) },
	"max-unreplicated-interval": func(r *reader, c *Replication, v value) {
		if d, ok := r.duration(v, time.Second, "seconds", minInt32); ok {
			c.MaxUnreplicatedInterval, c.intervalPos = &d, v.pos
		}
	},
	"snapshot-mode": func(r *reader, c *Replication, v value) {
		c.SnapshotMode = enum(r, v, SnapshotInstant, SnapshotInterval)
	},
	"snapshot-interval": func(r *reader, c *Replication, v value) {
		if d, ok := r.duration(v, time.Millisecond, "milliseconds", minInt32); ok {
			c.SnapshotInterval, c.snapshotPos = d, v.pos
		}
	},
	"session-notification-policy": func(r *reader, c *Replication, v value) {
		if s := r.str(v); s != "" { // empty is not declared, as in JBoss
			c.NotificationPolicy, c.NotificationPolicyPos = s, v.pos
		}
	},
	"backups": func(r *reader, c *Replication, v value) { c.Backups = r.int32(v, minInt32) },
	"replication-mode": func(r *reader, c *Replication, v value) {
		c.Mode = enum(r, v, ReplicationSync, ReplicationAsync)
	},
}

// nonSerializable is the one key that only TOML has.
func nonSerializable(r *reader, c *Replication, v value) {
	c.NonSerializable = enum(r, v, "error", "local")
}

// passivationKeys are the elements of passivation-config.
var passivationKeys = map[string]func(*reader, *Passivation, value){
	"use-session-passivation":   func(r *reader, p *Passivation, v value) { p.Enabled = r.flag(v, false) },
	"passivation-min-idle-time": func(r *reader, p *Passivation, v value) { p.MinIdle = r.idle(v) },
	"passivation-max-idle-time": func(r *reader, p *Passivation, v value) { p.MaxIdle = r.idle(v) },
}

// idle reads seconds; -1 is off.
func (r *reader) idle(v value) *time.Duration {
	d, ok := r.duration(v, time.Second, "seconds", -1)
	if !ok {
		return nil
	}
	return &d
}

// withDefaults fills in what replication-config does not say (REPLICATION §1).
func (c *Replication) withDefaults() {
	if c.CacheName == "" {
		c.CacheName = "default"
	}
	if c.Trigger == "" {
		c.Trigger = TriggerSetAndNonPrimitiveGet
	}
	if c.Granularity == "" {
		c.Granularity = GranularitySession
	}
	if c.SnapshotMode == "" {
		c.SnapshotMode = SnapshotInstant
	}
	if c.SnapshotInterval == 0 && c.snapshotPos.IsZero() {
		c.SnapshotInterval = time.Second
	}
	if c.NotificationPolicy == "" {
		c.NotificationPolicy = PolicyIgnoreUndeployLegacy
	}
	if c.NonSerializable == "" {
		c.NonSerializable = "error"
	}
	if !c.declared.has("replication-field-batch-mode") {
		c.FieldBatchMode = true
	}
}

// check looks at what depends on more than one value.
func (c *Replication) check(ds *Diagnostics, app *WebApp) {
	if c.SnapshotMode == SnapshotInterval && c.SnapshotInterval <= 0 {
		ds.errorf(c.snapshotPos, "snapshot-interval is %d; with snapshot-mode INTERVAL it must be a positive number of milliseconds", c.SnapshotInterval.Milliseconds())
	}
	timeout := app.SessionConfig.Timeout
	if d := c.MaxUnreplicatedInterval; d != nil && timeout > 0 && *d > timeout {
		ds.warnf(c.intervalPos, "max-unreplicated-interval (%v) is longer than the session timeout (%v); each access is replicated, as if it were 0", *d, timeout)
	}
	if c.Pos.IsZero() || app.Distributable {
		return
	}
	ds.warnf(c.Pos, "replication is configured, but the application (or one of its fragments) is not distributable; sessions stay on one node")
}

// check looks at passivation as a whole.
func (j *JBoss) check(ds *Diagnostics, app *WebApp) {
	p := &j.Passivation
	if !p.Enabled && (p.MinIdle != nil || p.MaxIdle != nil) {
		ds.warnf(p.Pos, "passivation idle times have no effect while use-session-passivation is not true")
	}
	timeout := app.SessionConfig.Timeout
	if p.Enabled && p.MaxIdle != nil && timeout > 0 && *p.MaxIdle >= timeout {
		ds.warnf(p.Pos, "passivation-max-idle-time (%v) is not shorter than the session timeout (%v); sessions end before they are passivated", *p.MaxIdle, timeout)
	}
	if p.MinIdle != nil && p.MaxIdle != nil && *p.MaxIdle >= 0 && *p.MinIdle > *p.MaxIdle {
		ds.warnf(p.Pos, "passivation-min-idle-time (%v) is longer than passivation-max-idle-time (%v)", *p.MinIdle, *p.MaxIdle)
	}
	if n := j.MaxActiveSessions; n != nil && *n == 0 {
		ds.warnf(j.maxActivePos, "max-active-sessions is 0: no session can ever be created; -1 is no limit")
	}
}

// contextRoot reads a context path: with or without its slash, "/" and "" are the root.
func (r *reader) contextRoot(v value) string {
	s := r.str(v)
	if v.unknown {
		return ""
	}
	root := "/" + strings.Trim(s, "/")
	for _, segment := range strings.Split(root, "/")[1:] {
		if root != "/" && (segment == "" || segment == "." || segment == "..") || strings.ContainsAny(segment, "\\\x00?#;\r\n") {
			r.errorf(v.pos, "%s is %q, which is not a context path such as \"/shop\"", v.name, s)
			return ""
		}
	}
	return root
}

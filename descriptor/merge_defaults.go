package descriptor

// defaults fills the gaps of an application with the server's defaults, as Tomcat
// does with conf/web.xml: what the application declares in any way wins.
func (m *merger) defaults(def *WebApp) {
	welcome := m.app.WelcomeFiles
	distributable := m.app.Distributable
	fragments := m.app.Fragments
	m.closeOwn()
	m.fragments([]*WebApp{def.asDefaults()})
	m.app.Distributable, m.app.Fragments = distributable, fragments
	m.app.WelcomeFiles = welcome
	if len(welcome) == 0 {
		m.app.WelcomeFiles = def.WelcomeFiles
	}
	m.app.DenyUncovered = m.app.DenyUncovered || def.DenyUncovered
	if def.SessionConfig.Serialized && !m.app.SessionConfig.declared.has("serialized") {
		m.app.SessionConfig.Serialized = true
	}
	m.app.Replication.fill(&def.Replication)
	m.app.JBoss.fill(&def.JBoss)
	m.app.Runtime.fill(&def.Runtime)
}

// asDefaults is a copy whose servlets and mappings give way to the application's.
func (w *WebApp) asDefaults() *WebApp {
	c := *w
	c.Distributable = true // does not make the application anything
	c.DenyUncovered = false
	c.Servlets = append([]Servlet(nil), w.Servlets...)
	for i := range c.Servlets {
		c.Servlets[i].fromDefaults = true
	}
	c.ServletMappings = append([]ServletMapping(nil), w.ServletMappings...)
	for i := range c.ServletMappings {
		c.ServletMappings[i].fromDefaults = true
	}
	return &c
}

// fillIn sets what is zero.
func fillIn[T comparable](dst *T, src T) {
	var zero T
	if *dst == zero {
		*dst = src
	}
}

func (c *Replication) fill(def *Replication) {
	fillIn(&c.CacheName, def.CacheName)
	fillIn(&c.CacheNamePos, def.CacheNamePos)
	fillIn(&c.Trigger, def.Trigger)
	fillIn(&c.Granularity, def.Granularity)
	fillIn(&c.UseJK, def.UseJK)
	fillIn(&c.SnapshotMode, def.SnapshotMode)
	if c.MaxUnreplicatedInterval == nil {
		c.MaxUnreplicatedInterval, c.intervalPos = def.MaxUnreplicatedInterval, def.intervalPos
	}
	if c.snapshotPos.IsZero() {
		c.SnapshotInterval, c.snapshotPos = def.SnapshotInterval, def.snapshotPos
	}
	if c.NotificationPolicy == "" {
		c.NotificationPolicy, c.NotificationPolicyPos = def.NotificationPolicy, def.NotificationPolicyPos
	}
	fillIn(&c.Backups, def.Backups)
	fillIn(&c.Mode, def.Mode)
	fillIn(&c.NonSerializable, def.NonSerializable)
	if p, ok := def.declared["replication-field-batch-mode"]; ok && c.declared.note("replication-field-batch-mode", p) {
		c.FieldBatchMode = def.FieldBatchMode
	}
}

func (j *JBoss) fill(def *JBoss) {
	if j.MaxActiveSessions == nil {
		j.MaxActiveSessions, j.maxActivePos = def.MaxActiveSessions, def.maxActivePos
	}
	if j.Passivation.Pos.IsZero() {
		j.Passivation = def.Passivation
	}
}

func (c *Runtime) fill(def *Runtime) {
	fillIn(&c.Kind, def.Kind)
	fillIn(&c.App, def.App)
	fillIn(&c.Build, def.Build)
	fillIn(&c.Memory, def.Memory)
	fillIn(&c.MaxRequests, def.MaxRequests)
	fillIn(&c.RequestTimeout, def.RequestTimeout)
	fillIn(&c.StartTimeout, def.StartTimeout)
	for _, e := range def.Env {
		if _, ok := Params(c.Env)[e.Name]; !ok {
			c.Env = append(c.Env, e)
		}
	}
}

// fill takes from a default context file what this one does not say.
func (c *ContextFile) fill(def *ContextFile) {
	for _, pair := range [][2]**bool{
		{&c.Reloadable, &def.Reloadable}, {&c.CrossContext, &def.CrossContext}, {&c.UnpackWAR, &def.UnpackWAR},
		{&c.CopyXML, &def.CopyXML},
		{&c.Privileged, &def.Privileged}, {&c.SwallowOut, &def.SwallowOut}, {&c.LogEffectiveWebXML, &def.LogEffectiveWebXML},
		{&c.Cookies, &def.Cookies}, {&c.SessionCookiePathSlash, &def.SessionCookiePathSlash}, {&c.UseHTTPOnly, &def.UseHTTPOnly},
		{&c.UsePartitioned, &def.UsePartitioned}, {&c.ValidateClientSessionID, &def.ValidateClientSessionID},
		{&c.MapperContextRootRedirectEnabled, &def.MapperContextRootRedirectEnabled},
		{&c.MapperDirectoryRedirectEnabled, &def.MapperDirectoryRedirectEnabled},
		{&c.UseRelativeRedirects, &def.UseRelativeRedirects}, {&c.AllowCasualMultipart, &def.AllowCasualMultipart},
		{&c.AllowLinking, &def.AllowLinking}, {&c.CachingAllowed, &def.CachingAllowed},
		{&c.FailOnServletStart, &def.FailOnServletStart}, {&c.DenyUncovered, &def.DenyUncovered},
		{&c.CookieProcessor.Partitioned, &def.CookieProcessor.Partitioned},
	} {
		fillIn(pair[0], *pair[1])
	}
	fillIn(&c.UnloadDelay, def.UnloadDelay)
	fillIn(&c.SessionTimeout, def.SessionTimeout)
	fillIn(&c.SessionCookieName, def.SessionCookieName)
	fillIn(&c.SessionCookiePath, def.SessionCookiePath)
	fillIn(&c.SessionCookieDomain, def.SessionCookieDomain)
	fillIn(&c.CookieProcessor.SameSite, def.CookieProcessor.SameSite)
	fillIn(&c.CacheMaxSize, def.CacheMaxSize)
	fillIn(&c.CacheObjectMaxSize, def.CacheObjectMaxSize)
	fillIn(&c.CacheTTL, def.CacheTTL)
	if len(c.ResourceOnlyServlets) == 0 {
		c.ResourceOnlyServlets = def.ResourceOnlyServlets
	}
	if c.Manager.Pos.IsZero() {
		c.Manager = def.Manager
	}
	c.WatchedResources = append(c.WatchedResources, def.WatchedResources...)
	c.Parameters = append(c.Parameters, def.Parameters...)
	c.Environments = append(c.Environments, def.Environments...)
	c.Valves = append(c.Valves, def.Valves...)
}

// applyContext lets the context file say its part: parameters and entries that
// the descriptor may not replace, and settings that both can make.
func (w *WebApp) applyContext(ownTimeout bool) {
	c := &w.Context
	params := map[string]int{}
	for i, p := range w.ContextParams {
		params[p.Name] = i
	}
	for _, p := range c.Parameters {
		i, there := params[p.Name]
		switch {
		case !there:
			params[p.Name] = len(w.ContextParams)
			w.ContextParams = append(w.ContextParams, Param{Name: p.Name, Value: p.Value, Pos: p.Pos})
		case !p.Override:
			w.ContextParams[i] = Param{Name: p.Name, Value: p.Value, Pos: p.Pos}
		}
	}
	entries := map[string]int{}
	for i, e := range w.EnvEntries {
		entries[e.Name] = i
	}
	for _, e := range c.Environments {
		i, there := entries[e.Name]
		switch {
		case !there:
			entries[e.Name] = len(w.EnvEntries)
			w.EnvEntries = append(w.EnvEntries, e.EnvEntry)
		case !e.Override:
			w.EnvEntries[i] = e.EnvEntry
		}
	}
	if c.SessionTimeout != nil && !ownTimeout {
		w.SessionConfig.Timeout = *c.SessionTimeout
	}
	if c.DenyUncovered != nil && *c.DenyUncovered {
		w.DenyUncovered = true
	}
}

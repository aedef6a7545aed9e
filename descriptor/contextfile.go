package descriptor

import (
	"strings"
	"time"
	"unicode"
)

// contextKeys are the attributes of Tomcat's Context element that mean something
// here. In TOML they have the same names in lower case with hyphens (docBase is
// doc-base).
var contextKeys = map[string]func(*reader, *ContextFile, value){
	"path":          func(r *reader, c *ContextFile, v value) { c.Path = r.contextRoot(v) },
	"docBase":       func(r *reader, c *ContextFile, v value) { c.DocBase = r.str(v) },
	"reloadable":    setBool(func(c *ContextFile) **bool { return &c.Reloadable }),
	"crossContext":  setBool(func(c *ContextFile) **bool { return &c.CrossContext }),
	"override":      setBool(func(c *ContextFile) **bool { return &c.Override }),
	"unpackWAR":     setBool(func(c *ContextFile) **bool { return &c.UnpackWAR }),
	"copyXML":       setBool(func(c *ContextFile) **bool { return &c.CopyXML }),
	"privileged":    setBool(func(c *ContextFile) **bool { return &c.Privileged }),
	"swallowOutput": setBool(func(c *ContextFile) **bool { return &c.SwallowOut }),
	"unloadDelay": func(r *reader, c *ContextFile, v value) {
		c.UnloadDelay = r.durationPtr(v, time.Millisecond, "milliseconds", 0)
	},
	"logEffectiveWebXml":  setBool(func(c *ContextFile) **bool { return &c.LogEffectiveWebXML }),
	"sessionTimeout":      func(r *reader, c *ContextFile, v value) { setTimeout(r, c, v) },
	"cookies":             setBool(func(c *ContextFile) **bool { return &c.Cookies }),
	"sessionCookieName":   func(r *reader, c *ContextFile, v value) { c.SessionCookieName = r.cookieName(v) },
	"sessionCookiePath":   func(r *reader, c *ContextFile, v value) { c.SessionCookiePath = r.cookiePath(v) },
	"sessionCookieDomain": func(r *reader, c *ContextFile, v value) { c.SessionCookieDomain = r.str(v) },

	"sessionCookiePathUsesTrailingSlash": setBool(func(c *ContextFile) **bool { return &c.SessionCookiePathSlash }),
	"useHttpOnly":                        setBool(func(c *ContextFile) **bool { return &c.UseHTTPOnly }),
	"usePartitioned":                     setBool(func(c *ContextFile) **bool { return &c.UsePartitioned }),
	"validateClientProvidedNewSessionId": setBool(func(c *ContextFile) **bool { return &c.ValidateClientSessionID }),
	"mapperContextRootRedirectEnabled":   setBool(func(c *ContextFile) **bool { return &c.MapperContextRootRedirectEnabled }),
	"mapperDirectoryRedirectEnabled":     setBool(func(c *ContextFile) **bool { return &c.MapperDirectoryRedirectEnabled }),
	"useRelativeRedirects":               setBool(func(c *ContextFile) **bool { return &c.UseRelativeRedirects }),
	"allowCasualMultipartParsing":        setBool(func(c *ContextFile) **bool { return &c.AllowCasualMultipart }),
	"failCtxIfServletStartFails":         setBool(func(c *ContextFile) **bool { return &c.FailOnServletStart }),
	"denyUncoveredHttpMethods":           setBool(func(c *ContextFile) **bool { return &c.DenyUncovered }),
	"resourceOnlyServlets": func(r *reader, c *ContextFile, v value) {
		for name := range strings.FieldsFuncSeq(r.str(v), func(c rune) bool { return c == ',' || unicode.IsSpace(c) }) {
			c.ResourceOnlyServlets = append(c.ResourceOnlyServlets, name)
		}
	},
}

// resourcesKeys are the attributes of Resources; older versions had them on Context.
var resourcesKeys = map[string]func(*reader, *ContextFile, value){
	"allowLinking":       setBool(func(c *ContextFile) **bool { return &c.AllowLinking }),
	"cachingAllowed":     setBool(func(c *ContextFile) **bool { return &c.CachingAllowed }),
	"cacheMaxSize":       func(r *reader, c *ContextFile, v value) { c.CacheMaxSize = r.int64Ptr(v, 0) },
	"cacheObjectMaxSize": func(r *reader, c *ContextFile, v value) { c.CacheObjectMaxSize = r.int64Ptr(v, 0) },
	"cacheTTL": func(r *reader, c *ContextFile, v value) {
		c.CacheTTL = r.durationPtr(v, time.Millisecond, "milliseconds", 0)
	},
	"cacheTtl": func(r *reader, c *ContextFile, v value) {
		c.CacheTTL = r.durationPtr(v, time.Millisecond, "milliseconds", 0)
	},
}

// cookieProcessorKeys are the attributes of CookieProcessor.
var cookieProcessorKeys = map[string]func(*reader, *ContextFile, value){
	"sameSiteCookies": func(r *reader, c *ContextFile, v value) {
		v.text = strings.ToLower(v.text)
		c.CookieProcessor.SameSite = enum(r, v, "none", "lax", "strict", "unset")
	},
	"partitioned": func(r *reader, c *ContextFile, v value) { c.CookieProcessor.Partitioned = r.boolean(v) },
	"className":   func(*reader, *ContextFile, value) {},
}

// managerKeys are the attributes of Manager that mean something to Serval's own.
var managerKeys = map[string]func(*reader, *ContextManager, value){
	"className":                func(r *reader, m *ContextManager, v value) { m.Class = r.str(v) },
	"pathname":                 func(r *reader, m *ContextManager, v value) { s := r.str(v); m.Pathname = &s },
	"maxActiveSessions":        func(r *reader, m *ContextManager, v value) { m.MaxActiveSessions = r.int32(v, minInt32) },
	"sessionIdLength":          func(r *reader, m *ContextManager, v value) { m.SessionIDLength = r.int32(v, 2) },
	"minIdleSwap":              func(r *reader, m *ContextManager, v value) { m.MinIdleSwap = r.idle(v) },
	"maxIdleSwap":              func(r *reader, m *ContextManager, v value) { m.MaxIdleSwap = r.idle(v) },
	"maxIdleBackup":            func(r *reader, m *ContextManager, v value) { m.MaxIdleBackup = r.idle(v) },
	"saveOnRestart":            func(r *reader, m *ContextManager, v value) { m.SaveOnRestart = r.boolean(v) },
	"sessionActivityCheck":     func(r *reader, m *ContextManager, v value) { m.SessionActivityCheck = r.boolean(v) },
	"sessionLastAccessAtStart": func(r *reader, m *ContextManager, v value) { m.LastAccessAtStart = r.boolean(v) },
	"notifyAttributeListenerOnUnchangedValue": func(r *reader, m *ContextManager, v value) { m.NotifyAttributeUnchanged = r.boolean(v) },
	"notifyBindingListenerOnUnchangedValue":   func(r *reader, m *ContextManager, v value) { m.NotifyBindingUnchanged = r.boolean(v) },
	"sessionAttributeNameFilter":              func(r *reader, m *ContextManager, v value) { m.AttributeNameFilter = r.str(v) },
	// The rest is a clustered manager's, or of no effect; it is kept in Attributes.
	"processExpiresFrequency":              func(*reader, *ContextManager, value) {},
	"persistAuthentication":                func(*reader, *ContextManager, value) {},
	"sessionAttributeValueClassNameFilter": func(*reader, *ContextManager, value) {},
	"warnOnSessionAttributeFilterFailure":  func(*reader, *ContextManager, value) {},
	"secureRandomClass":                    func(*reader, *ContextManager, value) {},
	"secureRandomAlgorithm":                func(*reader, *ContextManager, value) {},
	"secureRandomProvider":                 func(*reader, *ContextManager, value) {},
	"maxInactiveInterval":                  func(*reader, *ContextManager, value) {},
	"randomClass":                          func(*reader, *ContextManager, value) {},
	"distributable":                        func(*reader, *ContextManager, value) {},
	"name":                                 func(*reader, *ContextManager, value) {},
	"expireSessionsOnShutdown":             func(*reader, *ContextManager, value) {},
	"notifyListenersOnReplication":         func(*reader, *ContextManager, value) {},
}

// managers are the class names of managers that Serval's own stands for.
var managers = map[string]bool{
	"": true,
	"org.apache.catalina.session.StandardManager":   true,
	"org.apache.catalina.session.PersistentManager": true,
	"org.apache.catalina.ha.session.DeltaManager":   true,
	"org.apache.catalina.ha.session.BackupManager":  true,
	"org.apache.catalina.ha.session.ClusterManager": true,
}

// contextIgnored are known attributes of Context without effect here, and why.
var contextIgnored = map[string]string{
	"antiResourceLocking":                      "nothing here locks a bundle's files",
	"antiJARLocking":                           "nothing here locks a bundle's files",
	"className":                                "there is one implementation",
	"configClass":                              "there is one implementation",
	"wrapperClass":                             "there is one implementation",
	"debug":                                    "the log level is a setting of conf/server.toml",
	"ignoreAnnotations":                        "there are no annotations",
	"parallelAnnotationScanning":               "there are no annotations",
	"containerSciFilter":                       "there are no annotations",
	"addWebinfClassesResources":                "there are no classes",
	"preemptiveAuthentication":                 "an unprotected resource asks for no login",
	"distributable":                            "distributable is declared in web.xml or web.toml",
	"backgroundProcessorDelay":                 "it is a setting of conf/server.toml",
	"altDDName":                                "the descriptor has its standard name",
	"defaultContextXml":                        "the defaults are conf/context.toml and conf/web.toml",
	"defaultWebXml":                            "the defaults are conf/context.toml and conf/web.toml",
	"fireRequestListenersOnForwards":           "request listeners hear of a request once",
	"jndiExceptionOnFailedWrite":               "there is no naming service",
	"useNaming":                                "there is no naming service",
	"namingContextName":                        "there is no naming service",
	"renewThreadsWhenStoppingContext":          "there are no threads to renew",
	"clearReferencesHttpClientKeepAliveThread": "there are no class loaders to leak",
	"clearReferencesStopThreads":               "there are no class loaders to leak",
	"clearReferencesStopTimerThreads":          "there are no class loaders to leak",
	"clearReferencesRmiTargets":                "there are no class loaders to leak",
	"clearReferencesObjectStreamClassCaches":   "there are no class loaders to leak",
	"clearReferencesThreadLocals":              "there are no class loaders to leak",
	"clearReferencesStatic":                    "there are no class loaders to leak",
	"skipMemoryLeakChecksOnJvmShutdown":        "there are no class loaders to leak",
	"processTlds":                              "there are no JSPs",
	"tldValidation":                            "there are no JSPs",
	"tldNamespaceAware":                        "there are no JSPs",
	"xmlBlockExternal":                         "external entities are never read",
	"xmlValidation":                            "descriptors are always checked",
	"xmlNamespaceAware":                        "descriptors are always checked",
	"workDir":                                  "it is a folder of the server's home",
	"allowMultipleLeadingForwardSlashInPath":   "a path has one leading slash",
	"dispatchersUseEncodedPaths":               "dispatchers take encoded paths",
	"encodedSolidusHandling":                   "it is a setting of the connector",
	"encodedReverseSolidusHandling":            "it is a setting of the connector",
	"createUploadTargets":                      "upload folders are created",
	"sendRedirectBody":                         "a redirect has no body",
	"suspendWrappedResponseAfterForward":       "a forward ends the response",
	"notFoundClassResourceCacheSize":           "there are no classes",
}

func setBool(field func(*ContextFile) **bool) func(*reader, *ContextFile, value) {
	return func(r *reader, c *ContextFile, v value) {
		if b := r.boolean(v); b != nil {
			*field(c) = b
		}
	}
}

func setTimeout(r *reader, c *ContextFile, v value) {
	if d := r.sessionTimeout(v); d != 0 {
		c.SessionTimeout = &d
	}
}

func (r *reader) durationPtr(v value, unit time.Duration, name string, lo int64) *time.Duration {
	if d, ok := r.duration(v, unit, name, lo); ok {
		return &d
	}
	return nil
}

func (r *reader) int64Ptr(v value, lo int64) *int64 {
	if n, ok := r.integer(v, lo, 1<<40); ok {
		return &n
	}
	return nil
}

// kebab turns an attribute's name into a TOML key: docBase is doc-base, unpackWAR
// is unpack-war.
func kebab(name string) string {
	var b strings.Builder
	runes := []rune(name)
	for i, c := range runes {
		if unicode.IsUpper(c) && i > 0 && (!unicode.IsUpper(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1])) {
			b.WriteByte('-')
		}
		b.WriteRune(unicode.ToLower(c))
	}
	return b.String()
}

// checkManager warns about a manager of another maker: its settings mean nothing here.
func (r *reader) checkManager(m *ContextManager, at Pos) {
	if !managers[m.Class] {
		r.diags.add(at, SeverityWarning, KindClass, "the session manager %q is not known; Serval's own is used (sessions are saved on stop and, if the application is distributable, replicated)", m.Class)
	}
}

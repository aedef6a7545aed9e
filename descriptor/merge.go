package descriptor

import (
	"slices"
)

// merger adds what fragments and defaults declare to an application's own model
// (Servlet 6.1 §8.2.3; Tomcat's WebXml for what is left open).
type merger struct {
	app   *WebApp
	diags *Diagnostics
	// own are the names that the application's own descriptor maps: mappings of
	// these in fragments and defaults are not taken.
	ownServletMaps, ownFilterMaps map[string]bool
	// own is the number of leading elements that the application itself declared,
	// by kind of element; what follows came from fragments.
	own map[string]int
}

func newMerger(app *WebApp, diags *Diagnostics) *merger {
	m := &merger{app: app, diags: diags}
	m.closeOwn()
	return m
}

// closeOwn takes what is there now as declared by the application itself.
func (m *merger) closeOwn() {
	m.ownServletMaps, m.ownFilterMaps, m.own = map[string]bool{}, map[string]bool{}, map[string]int{}
	for _, s := range m.app.ServletMappings {
		m.ownServletMaps[s.Servlet] = true
	}
	for _, f := range m.app.FilterMappings {
		m.ownFilterMaps[f.Filter] = true
	}
}

// fragments merges all fragments in their order.
func (m *merger) fragments(frags []*WebApp) {
	m.scalars(frags)
	params := newTable(m, "context parameter", m.app.ContextParams, func(p Param) string { return p.Name }, func(p Param) Pos { return p.Pos },
		func(a, b Param) bool { return a.Value == b.Value })
	errs := newTable(m, "error page for", m.app.ErrorPages, ErrorPage.key, func(p ErrorPage) Pos { return p.Pos },
		func(a, b ErrorPage) bool { return a.Location == b.Location })
	mimes := newTable(m, "media type of the extension", m.app.MimeMappings, func(p MimeMapping) string { return p.Extension }, func(p MimeMapping) Pos { return p.Pos },
		func(a, b MimeMapping) bool { return a.Type == b.Type })
	locales := newTable(m, "encoding of the locale", m.app.LocaleEncodings, func(p LocaleEncoding) string { return p.Locale }, func(p LocaleEncoding) Pos { return p.Pos },
		func(a, b LocaleEncoding) bool { return a.Encoding == b.Encoding })
	envs := newTable(m, "env-entry", m.app.EnvEntries, func(p EnvEntry) string { return p.Name }, func(p EnvEntry) Pos { return p.Pos },
		func(a, b EnvEntry) bool { return a.Value == b.Value && a.Type == b.Type })
	servlets, filters := m.ownComponents()
	for _, f := range frags {
		params.add(f.ContextParams)
		errs.add(f.ErrorPages)
		mimes.add(f.MimeMappings)
		locales.add(f.LocaleEncodings)
		envs.add(f.EnvEntries)
		m.components(f, servlets, filters)
		m.additive(f)
		for _, w := range f.WelcomeFiles {
			if !slices.Contains(m.app.WelcomeFiles, w) {
				m.app.WelcomeFiles = append(m.app.WelcomeFiles, w)
			}
		}
		m.app.Fragments = append(m.app.Fragments, f.fragmentName)
		if !f.Distributable && m.app.Distributable {
			m.diags.warnf(f.Pos, "the fragment %q is not distributable, which makes the whole application not distributable; put <distributable/> into it, or leave it out with <absolute-ordering>", f.fragmentName)
			m.app.Distributable = false
		}
	}
	m.app.ContextParams, m.app.ErrorPages, m.app.MimeMappings = params.list, errs.list, mimes.list
	m.app.LocaleEncodings, m.app.EnvEntries = locales.list, envs.list
}

// key is what an error page is for: its code, its type, or every error.
func (p ErrorPage) key() string {
	if p.ErrorType != "" {
		return p.ErrorType
	}
	return itoa(p.Code)
}

// table merges elements that are known by a name: the application's own win, two
// fragments must agree.
type table[T any] struct {
	m    *merger
	what string
	list []T
	key  func(T) string
	pos  func(T) Pos
	same func(a, b T) bool
	at   map[string]int // name to index in list
	own  int            // elements of list before this index are the application's
}

func newTable[T any](m *merger, what string, own []T, key func(T) string, pos func(T) Pos, same func(a, b T) bool) *table[T] {
	t := &table[T]{m: m, what: what, list: own, key: key, pos: pos, same: same, at: map[string]int{}, own: len(own)}
	for i, e := range own {
		t.at[key(e)] = i
	}
	return t
}

func (t *table[T]) add(more []T) {
	for _, e := range more {
		i, there := t.at[t.key(e)]
		switch {
		case !there:
			t.at[t.key(e)] = len(t.list)
			t.list = append(t.list, e)
		case i >= t.own && !t.same(t.list[i], e):
			t.m.diags.errorf(t.pos(e), "the %s %q is not what another fragment says (%s); the application's own descriptor must decide", t.what, t.key(e), t.pos(t.list[i]))
		}
	}
}

// scalars merges single values: the application's own wins, fragments must agree.
func (m *merger) scalars(frags []*WebApp) {
	app := m.app
	mergeScalar(m, frags, "display-name", &app.DisplayName, func(f *WebApp) *string { return &f.DisplayName })
	mergeScalar(m, frags, "request-character-encoding", &app.RequestEncoding, func(f *WebApp) *string { return &f.RequestEncoding })
	mergeScalar(m, frags, "response-character-encoding", &app.ResponseEncoding, func(f *WebApp) *string { return &f.ResponseEncoding })
	mergeScalar(m, frags, "session-timeout", &app.SessionConfig.Timeout, func(f *WebApp) *durationT { return &f.SessionConfig.Timeout })
	cookie := func(f *WebApp) *SessionCookie { return &f.SessionConfig.Cookie }
	c := cookie(app)
	mergeScalar(m, frags, "cookie name", &c.Name, func(f *WebApp) *string { return &cookie(f).Name })
	mergeScalar(m, frags, "cookie domain", &c.Domain, func(f *WebApp) *string { return &cookie(f).Domain })
	mergeScalar(m, frags, "cookie path", &c.Path, func(f *WebApp) *string { return &cookie(f).Path })
	mergeScalar(m, frags, "cookie comment", &c.Comment, func(f *WebApp) *string { return &cookie(f).Comment })
	mergePointer(m, frags, "cookie http-only", &c.HTTPOnly, func(f *WebApp) *bool { return cookie(f).HTTPOnly })
	mergePointer(m, frags, "cookie secure", &c.Secure, func(f *WebApp) *bool { return cookie(f).Secure })
	mergePointer(m, frags, "cookie max-age", &c.MaxAge, func(f *WebApp) *int { return cookie(f).MaxAge })
	attrs := newTable(m, "cookie attribute", c.Attributes, func(p Param) string { return p.Name }, func(p Param) Pos { return p.Pos },
		func(a, b Param) bool { return a.Value == b.Value })
	ownModes := len(app.SessionConfig.TrackingModes) > 0
	for _, f := range frags {
		attrs.add(cookie(f).Attributes)
		if modes := f.SessionConfig.TrackingModes; len(modes) > 0 && !ownModes {
			if have := app.SessionConfig.TrackingModes; len(have) > 0 && !sameSet(have, modes) {
				m.diags.errorf(f.SessionConfig.Pos, "the tracking modes are not what another fragment says; the application's own descriptor must decide")
			} else {
				app.SessionConfig.TrackingModes = modes
			}
		}
	}
	c.Attributes = attrs.list
	m.login(frags)
}

func sameSet[T comparable](a, b []T) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(e T) bool { return !slices.Contains(b, e) })
}

func (m *merger) login(frags []*WebApp) {
	own := m.app.Login != nil
	for _, f := range frags {
		switch l := f.Login; {
		case l == nil || own:
		case m.app.Login == nil:
			m.app.Login = l
		case m.app.Login.Method != l.Method || m.app.Login.Realm != l.Realm ||
			m.app.Login.FormLoginPage != l.FormLoginPage || m.app.Login.FormErrorPage != l.FormErrorPage:
			m.diags.errorf(l.Pos, "the login-config is not what another fragment says (%s); the application's own descriptor must decide", m.app.Login.Pos)
		}
	}
}

func mergeScalar[T comparable](m *merger, frags []*WebApp, what string, dst *T, get func(*WebApp) *T) {
	var zero T
	if *dst != zero {
		return
	}
	for _, f := range frags {
		switch v := *get(f); {
		case v == zero:
		case *dst == zero:
			*dst = v
		case *dst != v:
			m.diags.errorf(f.Pos, "the %s %v of the fragment %q is not what another fragment says (%v); the application's own descriptor must decide", what, v, f.fragmentName, *dst)
		}
	}
}

func mergePointer[T comparable](m *merger, frags []*WebApp, what string, dst **T, get func(*WebApp) *T) {
	if *dst != nil {
		return
	}
	for _, f := range frags {
		switch v := get(f); {
		case v == nil:
		case *dst == nil:
			*dst = v
		case **dst != *v:
			m.diags.errorf(f.Pos, "the %s %v of the fragment %q is not what another fragment says (%v); the application's own descriptor must decide", what, *v, f.fragmentName, **dst)
		}
	}
}

// additive adds what never conflicts: listeners, constraints and roles.
func (m *merger) additive(f *WebApp) {
	for _, l := range f.Listeners {
		if !slices.ContainsFunc(m.app.Listeners, func(h Listener) bool { return h.Class == l.Class }) {
			m.app.Listeners = append(m.app.Listeners, l)
		}
	}
	m.app.SecurityConstraints = append(m.app.SecurityConstraints, f.SecurityConstraints...)
	for _, role := range f.Roles {
		if !slices.ContainsFunc(m.app.Roles, func(h SecurityRole) bool { return h.Name == role.Name }) {
			m.app.Roles = append(m.app.Roles, role)
		}
	}
}

package descriptor

import (
	"strconv"
	"time"
)

type durationT = time.Duration

func itoa(n int) string { return strconv.Itoa(n) }

// ownComponents are the names of the servlets and filters that the application itself
// declares: fragments only add to these, and cannot contradict them.
func (m *merger) ownComponents() (servlets, filters map[string]bool) {
	servlets, filters = map[string]bool{}, map[string]bool{}
	for i := range m.app.Servlets {
		servlets[m.app.Servlets[i].Name] = true
	}
	for i := range m.app.Filters {
		filters[m.app.Filters[i].Name] = true
	}
	return servlets, filters
}

// components merges servlets, filters and their mappings of one fragment.
func (m *merger) components(f *WebApp, ownServlets, ownFilters map[string]bool) {
	for i := range f.Servlets {
		s := &f.Servlets[i]
		if have := m.app.servlet(s.Name); have != nil {
			m.servlet(have, s, ownServlets[s.Name])
		} else {
			m.app.Servlets = append(m.app.Servlets, *s)
		}
	}
	for i := range f.Filters {
		s := &f.Filters[i]
		if have := m.app.filter(s.Name); have != nil {
			m.filter(have, s, ownFilters[s.Name])
		} else {
			m.app.Filters = append(m.app.Filters, *s)
		}
	}
	for _, sm := range f.ServletMappings {
		if m.ownServletMaps[sm.Servlet] {
			continue
		}
		sm.Patterns = m.freePatterns(sm)
		if len(sm.Patterns) > 0 {
			m.app.ServletMappings = append(m.app.ServletMappings, sm)
		}
	}
	for _, fm := range f.FilterMappings {
		if !m.ownFilterMaps[fm.Filter] {
			m.app.FilterMappings = append(m.app.FilterMappings, fm)
		}
	}
}

// freePatterns leaves out the patterns that the application's own descriptor maps. A pattern that
// another fragment maps stays, and is then reported as a duplicate.
func (m *merger) freePatterns(sm ServletMapping) []Pattern {
	var free []Pattern
	for _, p := range sm.Patterns {
		taken := false
		for i := range m.app.ServletMappings {
			have := &m.app.ServletMappings[i]
			if (sm.fromDefaults || m.ownServletMaps[have.Servlet]) && have.maps(p.URL) {
				taken = true
			}
		}
		if !taken {
			free = append(free, p)
		}
	}
	return free
}

func (sm *ServletMapping) maps(url string) bool {
	for _, p := range sm.Patterns {
		if p.URL == url {
			return true
		}
	}
	return false
}

// servlet returns the servlet of this name, or nil.
func (w *WebApp) servlet(name string) *Servlet {
	for i := range w.Servlets {
		if w.Servlets[i].Name == name {
			return &w.Servlets[i]
		}
	}
	return nil
}

// filter returns the filter of this name, or nil.
func (w *WebApp) filter(name string) *Filter {
	for i := range w.Filters {
		if w.Filters[i].Name == name {
			return &w.Filters[i]
		}
	}
	return nil
}

// servlet adds to a servlet what a fragment (or the defaults) says of it and it does not.
// If it is not the application's own, the two must agree.
func (m *merger) servlet(have, more *Servlet, own bool) {
	conflict := func(what string, a, b any) {
		if !own && a != b {
			m.diags.errorf(more.Pos, "%s of the servlet %q is not what another fragment says (%s); the application's own descriptor must decide", what, more.Name, have.Pos)
		}
	}
	switch {
	case more.Class == "" && more.JSPFile == "":
	case have.Class == "" && have.JSPFile == "":
		have.Class, have.ClassPos, have.JSPFile = more.Class, more.ClassPos, more.JSPFile
	default:
		conflict("the class", have.Class+have.JSPFile, more.Class+more.JSPFile)
	}
	if more.LoadOnStartup != nil {
		if have.LoadOnStartup == nil {
			have.LoadOnStartup = more.LoadOnStartup
		} else {
			conflict("load-on-startup", *have.LoadOnStartup, *more.LoadOnStartup)
		}
	}
	m.flag(&have.AsyncSupported, more.AsyncSupported, &have.declared, more.declared, "async-supported", conflict)
	m.flag(&have.Disabled, more.Disabled, &have.declared, more.declared, "enabled", conflict)
	if more.Multipart != nil {
		if have.Multipart == nil {
			have.Multipart = more.Multipart
		} else {
			a, b := *have.Multipart, *more.Multipart
			a.Pos, b.Pos = Pos{}, Pos{}
			conflict("multipart-config", a, b)
		}
	}
	if more.RunAs != "" {
		if have.RunAs == "" {
			have.RunAs = more.RunAs
		} else {
			conflict("run-as", have.RunAs, more.RunAs)
		}
	}
	have.InitParams = m.initParams(have.InitParams, more.InitParams, conflict)
	for _, ref := range more.RoleRefs {
		if !have.hasRoleRef(ref.Name) {
			have.RoleRefs = append(have.RoleRefs, ref)
		}
	}
}

func (s *Servlet) hasRoleRef(name string) bool {
	for _, ref := range s.RoleRefs {
		if ref.Name == name {
			return true
		}
	}
	return false
}

// flag merges a boolean that may not have been declared.
func (m *merger) flag(have *bool, more bool, haveSet *declared, moreSet declared, name string, conflict func(string, any, any)) {
	switch {
	case !moreSet.has(name):
	case !haveSet.has(name):
		*have = more
		haveSet.note(name, moreSet[name])
	default:
		conflict(name, *have, more)
	}
}

// initParams adds parameters whose names are not there yet.
func (m *merger) initParams(have, more []Param, conflict func(string, any, any)) []Param {
	known := Params(have)
	for _, p := range more {
		if v, ok := known[p.Name]; ok {
			conflict("the init parameter "+p.Name, v, p.Value)
			continue
		}
		known[p.Name] = p.Value
		have = append(have, p)
	}
	return have
}

// filter is servlet for filters.
func (m *merger) filter(have, more *Filter, own bool) {
	conflict := func(what string, a, b any) {
		if !own && a != b {
			m.diags.errorf(more.Pos, "%s of the filter %q is not what another fragment says (%s); the application's own descriptor must decide", what, more.Name, have.Pos)
		}
	}
	switch {
	case more.Class == "":
	case have.Class == "":
		have.Class, have.ClassPos = more.Class, more.ClassPos
	default:
		conflict("the class", have.Class, more.Class)
	}
	m.flag(&have.AsyncSupported, more.AsyncSupported, &have.declared, more.declared, "async-supported", conflict)
	have.InitParams = m.initParams(have.InitParams, more.InitParams, conflict)
}

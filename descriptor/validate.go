package descriptor

import (
	"fmt"
	"slices"
	"strings"
)

// checkFile looks at one file as a whole: what is declared twice in it.
func (w *WebApp) checkFile(ds *Diagnostics) {
	twice := func(what string, severity Severity, n int, at func(int) (string, Pos), consequence string) {
		first := map[string]Pos{}
		for i := range n {
			name, p := at(i)
			if name == "" {
				continue
			}
			if f, ok := first[name]; ok {
				ds.add(p, severity, KindSemantics, "the %s %q is declared twice; the first is in line %d%s", what, name, f.Line, consequence)
				continue
			}
			first[name] = p
		}
	}
	twice("servlet", SeverityError, len(w.Servlets), func(i int) (string, Pos) { return w.Servlets[i].Name, w.Servlets[i].Pos }, "")
	twice("filter", SeverityError, len(w.Filters), func(i int) (string, Pos) { return w.Filters[i].Name, w.Filters[i].Pos }, "")
	twice("context parameter", SeverityWarning, len(w.ContextParams), func(i int) (string, Pos) { return w.ContextParams[i].Name, w.ContextParams[i].Pos }, ", this one counts")
	twice("env-entry", SeverityError, len(w.EnvEntries), func(i int) (string, Pos) { return w.EnvEntries[i].Name, w.EnvEntries[i].Pos }, "")
	twice("error page for", SeverityWarning, len(w.ErrorPages), func(i int) (string, Pos) { return w.ErrorPages[i].key(), w.ErrorPages[i].Pos }, ", this one counts")
	twice("media type of the extension", SeverityWarning, len(w.MimeMappings), func(i int) (string, Pos) { return w.MimeMappings[i].Extension, w.MimeMappings[i].Pos }, ", this one counts")
	for i := range w.Servlets {
		checkParams(ds, "servlet", w.Servlets[i].Name, w.Servlets[i].InitParams)
	}
	for i := range w.Filters {
		checkParams(ds, "filter", w.Filters[i].Name, w.Filters[i].InitParams)
	}
	w.ContextParams = lastOf(w.ContextParams, func(p Param) string { return p.Name })
	w.ErrorPages = lastOf(w.ErrorPages, ErrorPage.key)
	w.MimeMappings = lastOf(w.MimeMappings, func(m MimeMapping) string { return m.Extension })
	w.LocaleEncodings = lastOf(w.LocaleEncodings, func(m LocaleEncoding) string { return m.Locale })
}

// lastOf keeps, of elements with one key, the last, at the place of the first.
func lastOf[T any](list []T, key func(T) string) []T {
	at := map[string]int{}
	var out []T
	for _, e := range list {
		if i, ok := at[key(e)]; ok {
			out[i] = e
			continue
		}
		at[key(e)] = len(out)
		out = append(out, e)
	}
	return out
}

func checkParams(ds *Diagnostics, what, name string, params []Param) {
	first := map[string]Pos{}
	for _, p := range params {
		if f, ok := first[p.Name]; ok {
			ds.warnf(p.Pos, "the %s %q has the init parameter %q twice; that of line %d counts", what, name, p.Name, f.Line)
			continue
		}
		first[p.Name] = p.Pos
	}
}

// scope says how much of an application is being looked at: names that are not
// declared are an error only if nothing else can declare them.
type scope int

const (
	scopeWhole    scope = iota // a merged application
	scopeFile                  // a lone web.xml or web.toml: the defaults' servlets are known
	scopeFragment              // a lone fragment: the application may declare the rest
)

// validate looks at the whole: names that nobody declares, patterns that two servlets want.
func (w *WebApp) validate(ds *Diagnostics, in scope) {
	w.checkServletMappings(ds, in)
	w.checkFilterMappings(ds, in)
	w.checkRoles(ds, in)
	if in != scopeFragment {
		w.checkUncovered(ds)
	}
	w.checkPages(ds, in)
	for i := range w.Servlets {
		if s := &w.Servlets[i]; in == scopeWhole && s.Multipart != nil && s.Multipart.MaxRequestSize >= 0 && s.Multipart.MaxFileSize > s.Multipart.MaxRequestSize {
			ds.warnf(s.Multipart.Pos, "the servlet %q takes files of %d bytes but requests of only %d", s.Name, s.Multipart.MaxFileSize, s.Multipart.MaxRequestSize)
		}
	}
}

// checkPages reports servlets that are JSPs. Such an application lacks a part of its code,
// just as with a class that is not there.
func (w *WebApp) checkPages(ds *Diagnostics, in scope) {
	severity := SeverityWarning
	if in == scopeWhole {
		severity = SeverityError
	}
	for i := range w.Servlets {
		s := &w.Servlets[i]
		if page := strings.ToLower(s.JSPFile); strings.HasSuffix(page, ".jsp") || strings.HasSuffix(page, ".jspx") {
			ds.add(s.Pos, severity, KindClass, "the servlet %q is the page %s, but %s", s.Name, s.JSPFile, noJSP)
		}
	}
}

// undeclared reports a name that nobody declares.
func undeclared(ds *Diagnostics, in scope, at Pos, what, name string, known []string) {
	if in == scopeFragment {
		ds.warnf(at, "%s %q, which this fragment does not declare", what, name)
		return
	}
	ds.errorf(at, "%s %q, which is not declared%s", what, name, didYouMean(name, known))
}

func (w *WebApp) servletNames(in scope) []string {
	var names []string
	for i := range w.Servlets {
		names = append(names, w.Servlets[i].Name)
	}
	if in == scopeFile {
		names = append(names, "default", "gohtml")
	}
	return names
}

func (w *WebApp) checkServletMappings(ds *Diagnostics, in scope) {
	names := w.servletNames(in)
	type owner struct {
		servlet string
		pos     Pos
	}
	patterns := map[string]owner{}
	for _, m := range w.ServletMappings {
		switch {
		case m.Servlet == "" || slices.Contains(names, m.Servlet):
		case m.Servlet == "jsp": // declared by Tomcat's defaults
			severity := SeverityWarning
			if in == scopeWhole {
				severity = SeverityError
			}
			ds.add(m.Pos, severity, KindClass, "the mapping names the servlet \"jsp\", but %s", noJSP)
		default:
			undeclared(ds, in, m.Pos, "the mapping names the servlet", m.Servlet, names)
		}
		for _, p := range m.Patterns {
			first, taken := patterns[p.URL]
			switch {
			case !taken:
				patterns[p.URL] = owner{m.Servlet, p.Pos}
			case first.servlet == m.Servlet:
				ds.warnf(p.Pos, "the pattern %q is mapped to the servlet %q twice; the first is at %s", p.URL, m.Servlet, place(p.Pos, first.pos))
			default:
				ds.errorf(p.Pos, "the pattern %q is mapped to the servlet %q here and to %q at %s; it can have only one", p.URL, m.Servlet, first.servlet, place(p.Pos, first.pos))
			}
		}
	}
}

// place names another place: its line alone if it is in the same file.
func place(from, to Pos) string {
	if from.File == to.File && to.Line > 0 {
		return fmt.Sprintf("line %d", to.Line)
	}
	return to.String()
}

func (w *WebApp) checkFilterMappings(ds *Diagnostics, in scope) {
	var filters []string
	mapped := map[string]bool{}
	for i := range w.Filters {
		filters = append(filters, w.Filters[i].Name)
	}
	servlets := w.servletNames(in)
	for _, m := range w.FilterMappings {
		mapped[m.Filter] = true
		if m.Filter != "" && !slices.Contains(filters, m.Filter) {
			undeclared(ds, in, m.Pos, "the mapping names the filter", m.Filter, filters)
		}
		for _, s := range m.ServletNames {
			if s != "" && s != "*" && !slices.Contains(servlets, s) {
				ds.warnf(m.Pos, "the mapping of the filter %q names the servlet %q, which is not declared%s", m.Filter, s, didYouMean(s, servlets))
			}
		}
	}
	for i := range w.Filters {
		if f := &w.Filters[i]; in == scopeWhole && !mapped[f.Name] {
			ds.warnf(f.Pos, "the filter %q is not mapped to anything", f.Name)
		}
	}
}

// checkRoles reports roles that are used but not declared. They can be met by
// nobody but the users of a realm that has them, and Tomcat lets them pass, so they
// are warnings.
func (w *WebApp) checkRoles(ds *Diagnostics, in scope) {
	if in == scopeFragment {
		return
	}
	var roles []string
	for _, r := range w.Roles {
		roles = append(roles, r.Name)
	}
	seen := map[string]bool{}
	check := func(at Pos, where, role string) {
		if role == "" || role == AnyRole || role == AnyUser || slices.Contains(roles, role) || seen[role] {
			return
		}
		seen[role] = true
		ds.warnf(at, "%s names the role %q, which no security-role declares%s", where, role, didYouMean(role, roles))
	}
	for _, c := range w.SecurityConstraints {
		if c.Auth != nil {
			for _, role := range c.Auth.Roles {
				check(c.Auth.Pos, "the auth-constraint", role)
			}
		}
	}
	for i := range w.Servlets {
		s := &w.Servlets[i]
		check(s.Pos, fmt.Sprintf("run-as of the servlet %q", s.Name), s.RunAs)
		for _, ref := range s.RoleRefs {
			check(ref.Pos, fmt.Sprintf("the role reference %q of the servlet %q", ref.Name, s.Name), ref.Link)
		}
	}
}

// Uncovered is a pattern whose constraints leave methods open to everybody.
type Uncovered struct {
	Pattern string
	// Covered are the methods that constraints list; all others are open. If
	// empty, Open lists the open methods: those that every constraint omits.
	Covered []string
	Open    []string
	Pos     Pos // the first constraint of the pattern
}

// UncoveredMethods finds the patterns of security constraints with methods that
// no constraint of the same pattern covers (Servlet 6.1 §13.8.4).
// With deny-uncovered-http-methods these methods must be denied.
func (w *WebApp) UncoveredMethods() []Uncovered {
	type cover struct {
		pos     Pos
		all     bool
		methods map[string]bool // covered by name
		omitted map[string]bool // nil: no constraint by omission
	}
	var order []string
	covers := map[string]*cover{}
	for _, c := range w.SecurityConstraints {
		for _, rc := range c.Collections {
			for _, p := range rc.Patterns {
				cv := covers[p.URL]
				if cv == nil {
					cv = &cover{pos: p.Pos, methods: map[string]bool{}}
					covers[p.URL] = cv
					order = append(order, p.URL)
				}
				switch {
				case len(rc.Methods) > 0:
					for _, m := range rc.Methods {
						cv.methods[m] = true
					}
				case len(rc.OmittedMethods) > 0:
					cv.omitted = intersect(cv.omitted, rc.OmittedMethods)
				default:
					cv.all = true
				}
			}
		}
	}
	var out []Uncovered
	for _, url := range order {
		cv := covers[url]
		u := Uncovered{Pattern: url, Pos: cv.pos}
		switch {
		case cv.all:
			continue
		case cv.omitted == nil:
			u.Covered = sortedKeys(cv.methods)
		default:
			for _, m := range sortedKeys(cv.omitted) {
				if !cv.methods[m] {
					u.Open = append(u.Open, m)
				}
			}
			if len(u.Open) == 0 {
				continue
			}
		}
		out = append(out, u)
	}
	return out
}

// intersect keeps what is in both; nil stands for everything.
func intersect(have map[string]bool, list []string) map[string]bool {
	out := map[string]bool{}
	for _, m := range list {
		if have == nil || have[m] {
			out[m] = true
		}
	}
	return out
}

func sortedKeys(m map[string]bool) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

func (w *WebApp) checkUncovered(ds *Diagnostics) {
	if w.DenyUncovered {
		return
	}
	for _, u := range w.UncoveredMethods() {
		if len(u.Open) > 0 {
			ds.warnf(u.Pos, "the methods %s of %q are not covered by any constraint, so everybody may use them; omit no methods, or declare deny-uncovered-http-methods", strings.Join(u.Open, ", "), u.Pattern)
		} else {
			ds.warnf(u.Pos, "only the methods %s of %q are covered by a constraint, so everybody may use all others; list no methods, or declare deny-uncovered-http-methods", strings.Join(u.Covered, ", "), u.Pattern)
		}
	}
}

package webapp

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/serval-server/serval/webapp/mapper"
	"github.com/serval-server/serval/webapp/servlet"
	"github.com/serval-server/serval/webapp/servlet/urlpath"
)

// maxDispatches bounds dispatches within dispatches, so that two pages that
// forward to each other end.
const maxDispatches = 64

var errTooDeep = errors.New("dispatches are nested too deep: is there a circle of forwards or includes?")

// destination is what a dispatcher leads to, found.
type destination struct {
	w     *wrapper
	m     mapper.Match
	raw   string // the path as given, percent-encoded, within the context
	query string
	named bool
}

// Dispatch implements servlet.Container.
func (x *exchange) Dispatch(w http.ResponseWriter, r *http.Request, t servlet.DispatcherType, target servlet.Target) error {
	if target.Context != nil && target.Context != x.c.app {
		return x.dispatchAcross(w, r, t, target)
	}
	d, err := x.c.find(target)
	if err != nil {
		if t == servlet.Forward && errors.Is(err, fs.ErrNotExist) {
			return x.SendError(w, r, http.StatusNotFound, "")
		}
		return err
	}
	if t == servlet.Include {
		return x.include(w, r, d)
	}
	err = x.forward(w, r, t, d)
	if err != nil && !errors.Is(err, servlet.ErrCommitted) {
		x.fail(err) // nobody else will answer, also if the caller does not look
	}
	return err
}

// find maps a dispatcher's target.
func (c *Context) find(target servlet.Target) (*destination, error) {
	if target.Name != "" {
		w := c.wrappers[target.Name]
		if w == nil || !w.enabled {
			return nil, fmt.Errorf("servlet %q: %w", target.Name, fs.ErrNotExist)
		}
		return &destination{w: w, named: true}, nil
	}
	p, err := urlpath.Parse(target.Path, urlpath.Options{Internal: true})
	if err != nil {
		return nil, fmt.Errorf("dispatching to %q: %w", target.Path, err)
	}
	m, ok := c.table.Map(p.Clean)
	if !ok || m.Redirect || c.wrappers[m.Servlet] == nil || !c.wrappers[m.Servlet].enabled {
		return nil, fmt.Errorf("dispatching to %q: no servlet is mapped to it: %w", target.Path, fs.ErrNotExist)
	}
	return &destination{w: c.wrappers[m.Servlet], m: m, raw: target.Path, query: target.Query}, nil
}

// resolve maps the location of an error page.
func (c *Context) resolve(location string) (*destination, bool) {
	path, query, _ := strings.Cut(location, "?")
	d, err := c.find(servlet.Target{Path: path, Query: query})
	return d, err == nil
}

// forward runs a target in place of the caller (Servlet 6.1 §9.4).
func (x *exchange) forward(w http.ResponseWriter, r *http.Request, t servlet.DispatcherType, d *destination) error {
	if err := x.res.ResetBuffer(); err != nil {
		return err
	}
	from := servlet.PassOf(r)
	if from == nil {
		return servlet.ErrNoContainer
	}
	pass := &servlet.Pass{Type: t, RequestURI: from.RequestURI, Query: from.Query, ServletPath: from.ServletPath, PathInfo: from.PathInfo, Mapping: from.Mapping}
	if !d.named {
		if x.Attribute(servlet.AttrForwardRequestURI) == nil {
			undo := x.setForward(from)
			defer undo()
		}
		x.aim(pass, d)
	}
	if from.Type == servlet.Include {
		undo := x.setAttributes(noInclude)
		defer undo()
	}
	r2 := x.passRequest(r, pass, d)
	if t == servlet.Error {
		r2.Method = http.MethodGet // Servlet 6.1 §10.9.1
	}
	if err := x.runTarget(w, r2, d, t); err != nil {
		return err
	}
	if t == servlet.Forward && x.res.direct(w) {
		x.res.suspended = true
	}
	return x.err
}

// aim points a pass at the target's paths.
func (x *exchange) aim(pass *servlet.Pass, d *destination) {
	pass.RequestURI = x.c.escaped + d.raw
	pass.ServletPath, pass.PathInfo, pass.Mapping = d.m.ServletPath, d.m.PathInfo, d.m.Mapping
	if d.query != "" {
		pass.Query = d.query
	}
}

// setForward sets the attributes that tell of the request as it first was, and
// returns what takes them away again.
func (x *exchange) setForward(p *servlet.Pass) func() {
	return x.setAttributes([]attribute{
		{servlet.AttrForwardRequestURI, p.RequestURI},
		{servlet.AttrForwardContextPath, x.c.escaped},
		{servlet.AttrForwardServletPath, p.ServletPath},
		{servlet.AttrForwardPathInfo, orNil(p.PathInfo)},
		{servlet.AttrForwardQueryString, orNil(p.Query)},
		{servlet.AttrForwardMapping, p.Mapping},
	})
}

// noInclude hides an include from what it forwards to.
var noInclude = []attribute{
	{servlet.AttrIncludeRequestURI, nil}, {servlet.AttrIncludeContextPath, nil}, {servlet.AttrIncludeServletPath, nil},
	{servlet.AttrIncludePathInfo, nil}, {servlet.AttrIncludeQueryString, nil}, {servlet.AttrIncludeMapping, nil},
}

type attribute struct {
	name  string
	value any
}

func orNil(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// setAttributes sets attributes and returns what restores the old ones.
func (x *exchange) setAttributes(list []attribute) (undo func()) {
	old := make([]any, len(list))
	for i, a := range list {
		old[i] = x.SetAttribute(a.name, a.value)
	}
	return func() {
		for i, a := range list {
			x.SetAttribute(a.name, old[i])
		}
	}
}

// include lets a target write into the caller's response (Servlet 6.1 §9.3).
func (x *exchange) include(w http.ResponseWriter, r *http.Request, d *destination) error {
	from := servlet.PassOf(r)
	if from == nil {
		return servlet.ErrNoContainer
	}
	pass := &servlet.Pass{Type: servlet.Include, RequestURI: from.RequestURI, Query: from.Query, ServletPath: from.ServletPath, PathInfo: from.PathInfo, Mapping: from.Mapping}
	if !d.named {
		undo := x.setAttributes([]attribute{
			{servlet.AttrIncludeRequestURI, x.c.escaped + d.raw},
			{servlet.AttrIncludeContextPath, x.c.escaped},
			{servlet.AttrIncludeServletPath, d.m.ServletPath},
			{servlet.AttrIncludePathInfo, orNil(d.m.PathInfo)},
			{servlet.AttrIncludeQueryString, orNil(d.query)},
			{servlet.AttrIncludeMapping, d.m.Mapping},
		})
		defer undo()
	}
	failure := x.setAttributes([]attribute{{attrIncludeFailure, nil}})
	defer failure()
	r2 := x.passRequest(r, pass, d)
	if err := x.runTarget(&includeWriter{w: w}, r2, d, servlet.Include); err != nil {
		return err
	}
	if f, ok := x.Attribute(attrIncludeFailure).(includeFailure); ok {
		return f.err
	}
	return nil
}

// passRequest makes the request of a dispatch: the target's path and, before
// the request's own parameters, those of the dispatcher's query.
func (x *exchange) passRequest(r *http.Request, pass *servlet.Pass, d *destination) *http.Request {
	r2 := x.Start(r, pass)
	u := *r.URL
	if !d.named {
		u.Path, u.RawPath = rooted(d.m.Path), ""
	}
	if d.query != "" {
		u.RawQuery = d.query
		if r.URL.RawQuery != "" {
			u.RawQuery += "&" + r.URL.RawQuery
		}
		if r.Form != nil {
			r2.Form = mergeForm(d.query, r.Form)
		}
	}
	r2.URL = &u
	return r2
}

// mergeForm puts the dispatcher's parameters before those parsed already.
func mergeForm(query string, form url.Values) url.Values {
	// A bad pair is left out, as it is in a request's query.
	extra, _ := url.ParseQuery(query)
	merged := make(url.Values, len(form)+len(extra))
	for k, v := range form {
		merged[k] = slices.Clone(v)
	}
	for k, v := range extra {
		merged[k] = append(slices.Clone(v), merged[k]...)
	}
	return merged
}

// runTarget runs the target's filters and servlet.
func (x *exchange) runTarget(w http.ResponseWriter, r *http.Request, d *destination, t servlet.DispatcherType) error {
	if x.depth >= maxDispatches {
		return errTooDeep
	}
	x.depth++
	defer func() { x.depth-- }()
	if err := d.w.init(r.Context()); err != nil {
		return err
	}
	h, err := d.w.handler(t, d.named, d.m.Path)
	if err != nil {
		return err
	}
	if t != servlet.Include {
		x.res.files = d.w.files()
	}
	h.ServeHTTP(w, r)
	return nil
}

// dispatchAcross runs a target in another application: its filters and
// servlets, its session, this request's attributes.
func (x *exchange) dispatchAcross(w http.ResponseWriter, r *http.Request, t servlet.DispatcherType, target servlet.Target) error {
	var c *Context
	if x.c.opts.Cross != nil {
		c = x.c.opts.Cross(target.Context.Path())
	}
	if c == nil || c.app != target.Context {
		return fmt.Errorf("dispatching into %s: the application is not there any more: %w", displayPath(target.Context.Path()), fs.ErrNotExist)
	}
	if !c.enter() {
		return &servlet.Unavailable{Reason: "the application " + displayPath(c.path) + " is not running"}
	}
	defer c.leave()
	d, err := c.find(target)
	if err != nil {
		return err
	}
	n := &exchange{c: c, depth: x.depth + 1}
	if n.depth >= maxDispatches {
		return errTooDeep
	}
	n.InitNested(&x.Exchange, n, c.app)
	*n.First() = *x.First()
	n.res = response{w: w, ex: n, nested: true, committed: servlet.Committed(w)}
	n.r = r
	x.nested = append(x.nested, n)
	defer func() {
		x.nested = x.nested[:len(x.nested)-1]
		n.endSessions()
	}()
	if t == servlet.Include {
		err = n.include(w, r, d)
	} else {
		if err = x.res.ResetBuffer(); err == nil {
			err = n.forward(w, r, t, d)
		}
		switch {
		case err == nil && n.failed():
			x.setError(n.errCode, n.errMessage, n.err)
		case err == nil && x.res.direct(w):
			x.res.suspended = true
		}
	}
	if cerr := n.commitSession(); err == nil {
		err = cerr
	}
	return err
}

package webapp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/serval-server/serval/descriptor"
	"github.com/serval-server/serval/sessions"
	"github.com/serval-server/serval/webapp"
	"github.com/serval-server/serval/webapp/servlet"
)

// forwarder is a Forwarder by a table; what it forwards it answers itself.
type forwarder struct {
	routes  map[sessions.ID]webapp.Route // by real id; else the zero Route
	err     error
	forward func(n int) error // n counts calls from 1
	log     []string
}

func (f *forwarder) Route(_ context.Context, id sessions.ID) (webapp.Route, error) {
	f.log = append(f.log, "route")
	return f.routes[id.Real()], f.err
}

func (f *forwarder) Forward(w http.ResponseWriter, r *http.Request, to webapp.Route) error {
	f.log = append(f.log, fmt.Sprintf("forward %d %s", to.Node, r.URL.Path))
	if f.forward != nil {
		if err := f.forward(len(f.log)); err != nil {
			return err
		}
	}
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusAccepted)
	_, err = io.WriteString(w, "elsewhere "+string(b))
	return err
}

func (f *forwarder) take() string {
	s := strings.Join(f.log, ", ")
	f.log = nil
	return s
}

// distributed is an application at /shop with a servlet /s that counts in its
// session, and a file.
func distributed(f *forwarder, rep sessions.Replicator) app {
	a := one(func(w http.ResponseWriter, r *http.Request) {
		n, _ := servlet.Get[int](servlet.SessionOf(r), "n")
		_ = servlet.Set(servlet.SessionOf(r), "n", n+1)
		_, _ = fmt.Fprint(w, n+1)
	})
	a.files = fstest.MapFS{"a.css": &fstest.MapFile{Data: []byte("css")}}
	a.xml += "<distributable/><session-config><cookie-config><name>SID</name></cookie-config></session-config>"
	a.opts.Path = "/shop"
	a.opts.Sessions.Route = "n1"
	a.opts.Sessions.Replicator = rep
	if f != nil {
		a.opts.Forwarder = f
	}
	return a
}

func ask(c http.Handler, method, path, cookie string) answer {
	r := httptest.NewRequest(method, path, strings.NewReader("body"))
	if cookie != "" {
		r.Header.Set("Cookie", cookie)
	}
	return do(c, r)
}

const foreign = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" // an id of the right form

func TestForwarder(t *testing.T) {
	f := &forwarder{routes: map[sessions.ID]webapp.Route{}}
	c, log := distributed(f, &replicator{}).start(t)
	away := webapp.Route{Action: webapp.RouteForward, Node: 7, Name: "n7"}
	again := fmt.Errorf("no connection: %w", webapp.ErrTryAgain)
	first := func(err error, times int) func(int) error {
		left := times
		return func(int) error {
			if left--; left >= 0 {
				return err
			}
			return nil
		}
	}
	for _, test := range []struct {
		name, path, cookie string
		route              webapp.Route
		err                error
		forward            func(int) error
		status             int
		body, log          string
	}{
		{"no session", "/shop/s", "", away, nil, nil, 200, "1", ""},
		{"malformed", "/shop/s", "SID=x", away, nil, nil, 200, "1", ""},
		{"another cookie", "/shop/s", "JSESSIONID=" + foreign, away, nil, nil, 200, "1", ""},
		{"away", "/shop/s", "SID=" + foreign + ".n7", away, nil, nil, 202, "elsewhere body", "route, forward 7 /shop/s"},
		{"in the URL", "/shop/s;SID=" + foreign, "", away, nil, nil, 202, "elsewhere body", "route, forward 7 /shop/s;SID=" + foreign},
		{"file", "/shop/a.css", "SID=" + foreign, away, nil, nil, 200, "css", ""},
		{"no such file", "/shop/b.css", "SID=" + foreign, away, nil, nil, 404, "*", ""},
		{"here, but gone", "/shop/s", "SID=" + foreign, webapp.Route{}, nil, nil, 200, "1", "route"},
		{"unknown", "/shop/s", "SID=" + foreign, webapp.Route{Action: webapp.RouteUnknown}, nil, nil, 200, "1", "route"},
		{"refused", "/shop/s", "SID=" + foreign, webapp.Route{Action: webapp.RouteRefuse}, nil, nil, 503, "*", "route"},
		{"not to be found out", "/shop/s", "SID=" + foreign, webapp.Route{}, errors.New("partition"), nil, 503, "*", "route"},
		{"again", "/shop/s", "SID=" + foreign, away, nil, first(again, 1), 202, "elsewhere body", "route, forward 7 /shop/s, route, forward 7 /shop/s"},
		{"in vain", "/shop/s", "SID=" + foreign, away, nil, first(again, 9), 502, "*", "route, forward 7 /shop/s, route, forward 7 /shop/s"},
		{"broken", "/shop/s", "SID=" + foreign, away, nil, first(errors.New("cut"), 9), 502, "*", "route, forward 7 /shop/s"},
	} {
		t.Run(test.name, func(t *testing.T) {
			f.routes[foreign], f.err, f.forward = test.route, test.err, test.forward
			method := http.MethodPost
			if strings.HasSuffix(test.path, ".css") {
				method = http.MethodGet
			}
			res := ask(c, method, test.path, test.cookie)
			if res.StatusCode != test.status || test.body != "*" && res.Body != test.body {
				t.Errorf("%d %q, want %d %q", res.StatusCode, res.Body, test.status, test.body)
			}
			if got := f.take(); got != test.log {
				t.Errorf("asked %q, want %q", got, test.log)
			}
			if again := res.Header.Get("Retry-After"); (again != "") != (test.status == 503 || test.status == 502) {
				t.Errorf("Retry-After %q", again)
			}
		})
	}
	if !strings.Contains(log.String(), "partition") {
		t.Error("the log does not say why")
	}
}

// Of the ids of one request only the first few are asked for, in their order, and the
// first that is known decides.
func TestForwarderAsksFewIDs(t *testing.T) {
	id := func(i int) string { return strings.Repeat("A", 31) + string(rune('A'+4*i)) }
	unknown := webapp.Route{Action: webapp.RouteUnknown}
	f := &forwarder{routes: map[sessions.ID]webapp.Route{}}
	c, _ := distributed(f, &replicator{}).start(t)
	var cookies []string
	for i := range 6 {
		f.routes[sessions.ID(id(i))] = unknown
		cookies = append(cookies, "SID="+id(i))
	}
	if res := ask(c, http.MethodGet, "/shop/s", strings.Join(cookies, "; ")); res.Body != "1" {
		t.Errorf("%d %q", res.StatusCode, res.Body)
	}
	if got := f.take(); strings.Count(got, "route") != 4 {
		t.Errorf("asked %q", got)
	}
	f.routes[sessions.ID(id(2))] = webapp.Route{Action: webapp.RouteForward, Node: 9}
	if res := ask(c, http.MethodGet, "/shop/s", strings.Join(cookies, "; ")); res.StatusCode != 202 {
		t.Errorf("%d %q", res.StatusCode, res.Body)
	}
	if got := f.take(); got != "route, route, route, forward 9 /shop/s" {
		t.Errorf("asked %q", got)
	}
}

// A home that has moved while the request was on its way: the second verdict holds.
func TestForwarderComesHome(t *testing.T) {
	f := &forwarder{routes: map[sessions.ID]webapp.Route{}}
	c, _ := distributed(f, &replicator{}).start(t)
	made := ask(c, http.MethodGet, "/shop/s", "")
	id := sessions.ID(made.Cookies[0].Value)
	f.routes[id.Real()] = webapp.Route{Action: webapp.RouteForward, Node: 7}
	f.forward = func(int) error {
		delete(f.routes, id.Real())
		return webapp.ErrTryAgain
	}
	if res := ask(c, http.MethodGet, "/shop/s", "SID="+string(id)); res.Body != "2" {
		t.Errorf("%d %q", res.StatusCode, res.Body)
	}
}

// finder is a Replicator that knows no session, for a reason.
type finder struct {
	replicator
	errs []error // of the calls, in order; then nil
}

func (f *finder) Find(context.Context, sessions.AppKey, sessions.ID) (*sessions.Snapshot, error) {
	if len(f.errs) == 0 {
		return nil, nil
	}
	err := f.errs[0]
	f.errs = f.errs[1:]
	return nil, err
}

// The session moves away between the verdict and the look at it: the request is
// routed again, before its handler has begun. What cannot be decided is 503.
func TestMovedBeforeUse(t *testing.T) {
	for _, test := range []struct {
		errs   []error
		status int
		log    string
	}{
		{[]error{sessions.ErrMoved}, 200, "route, route"},
		{[]error{sessions.ErrMoved, sessions.ErrMoved}, 503, "route, route"},
		{[]error{fmt.Errorf("no quorum: %w", sessions.ErrUnavailable)}, 503, "route"},
	} {
		f := &forwarder{}
		c, _ := distributed(f, &finder{errs: test.errs}).start(t)
		res := ask(c, http.MethodGet, "/shop/s", "SID="+foreign)
		if res.StatusCode != test.status || (res.Header.Get("Retry-After") != "") != (test.status == 503) {
			t.Errorf("%v: %d %v", test.errs, res.StatusCode, res.Header)
		}
		if got := f.take(); got != test.log {
			t.Errorf("%v: asked %q", test.errs, got)
		}
	}
	// Without a Forwarder it comes out where the handler asks: 503 all the same.
	for _, err := range []error{sessions.ErrMoved, sessions.ErrUnavailable} {
		c, _ := distributed(nil, &finder{errs: []error{err, err}}).start(t)
		res := ask(c, http.MethodGet, "/shop/s", "SID="+foreign)
		if res.StatusCode != 503 || res.Header.Get("Retry-After") == "" || len(res.Cookies) != 0 {
			t.Errorf("%v: %d %v", err, res.StatusCode, res.Header)
		}
	}
}

// A request for a file is not routed, but its error page asks for the session only
// where that is at home.
func TestErrorPageOfUnrouted(t *testing.T) {
	f := &forwarder{routes: map[sessions.ID]webapp.Route{foreign: {Action: webapp.RouteForward, Node: 7, Name: "n7"}}}
	a := distributed(f, &replicator{})
	a.xml += "<error-page><error-code>404</error-code><location>/s</location></error-page>"
	c, log := a.start(t)
	if res := ask(c, http.MethodGet, "/shop/b.css", "SID="+foreign); res.StatusCode < 400 || len(res.Cookies) != 0 {
		t.Errorf("%d, cookies %v", res.StatusCode, res.Cookies)
	}
	if !strings.Contains(log.String(), "at home on node n7") {
		t.Errorf("log: %s", log)
	}
}

// With a listener of requests, files are not the server's own business.
func TestForwarderWithFilter(t *testing.T) {
	f := &forwarder{routes: map[sessions.ID]webapp.Route{foreign: {Action: webapp.RouteForward, Node: 7}}}
	a := distributed(f, &replicator{})
	a.code.Filters = map[string]servlet.Filter{"f": func(next http.Handler) http.Handler { return next }}
	a.xml += "<filter><filter-name>f</filter-name><filter-class>f</filter-class></filter>" +
		"<filter-mapping><filter-name>f</filter-name><url-pattern>*.css</url-pattern></filter-mapping>"
	c, _ := a.start(t)
	if res := ask(c, http.MethodGet, "/shop/a.css", "SID="+foreign); res.StatusCode != 202 {
		t.Errorf("%d", res.StatusCode)
	}
}

// JBoss's JvmRouteValve, ../shared/reference/jboss.md §5, with the application's
// own cookie: who comes with another route, or none, gets the id with this node's.
func TestRouteOfCookie(t *testing.T) {
	yes, no := true, false
	for _, test := range []struct {
		name    string
		useJK   *bool
		route   string // of the node
		request string // what follows the real id
		inURL   bool
		cookie  string // what the new one ends in; "-": none
		id      string // what the session's id ends in
	}{
		{"same", nil, "n1", ".n1", false, "-", ".n1"},
		{"other", nil, "n1", ".n2", false, ".n1", ".n1"},
		{"other, dotted", nil, "n1", ".n1.domain", false, ".n1", ".n1"},
		{"other, in the URL", nil, "n1", ".n2", true, "-", ".n1"},
		{"none", nil, "n1", "", false, ".n1", ".n1"},
		{"none, in the URL", nil, "n1", "", true, "-", ".n1"},
		{"said", &yes, "n1", ".n2", false, ".n1", ".n1"},
		{"off", &no, "n1", ".n2", false, "-", ""},
		{"node without route", nil, "", ".n2", false, "-", ""},
		{"said, node without route", &yes, "", ".n2", false, "-", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := distributed(&forwarder{}, &replicator{})
			a.opts.Sessions.Route = test.route
			a.change = func(d *descriptor.WebApp) { d.Replication.UseJK = test.useJK }
			c, log := a.start(t)
			made := ask(c, http.MethodGet, "/shop/s", "")
			id0 := sessions.ID(made.Cookies[0].Value).Real()
			if got := made.Cookies[0].Value; got != string(id0)+test.id {
				t.Errorf("made with %q", got)
			}
			id := string(id0) + test.request
			var res answer
			if test.inURL {
				res = ask(c, http.MethodGet, "/shop/s;SID="+id, "")
			} else {
				res = ask(c, http.MethodGet, "/shop/s", "SID="+id)
			}
			if res.Body != "2" {
				t.Errorf("the session is not found: %q", res.Body)
			}
			got := "-"
			if len(res.Cookies) > 0 {
				got = strings.TrimPrefix(res.Cookies[0].Value, string(id0))
				if k := res.Cookies[0]; k.Name != "SID" || k.Path != "/shop" {
					t.Errorf("cookie %v", k)
				}
			}
			if got != test.cookie {
				t.Errorf("cookie ends in %q, want %q", got, test.cookie)
			}
			if warned := strings.Contains(log.String(), "use-jk has no effect"); warned != (test.useJK == &yes && test.route == "") {
				t.Errorf("warned: %v", warned)
			}
		})
	}
}

// A session that was made without an attribute is announced all the same; with the
// trigger ACCESS each request that uses its session is.
func TestAnnouncements(t *testing.T) {
	for _, trigger := range []descriptor.ReplicationTrigger{descriptor.TriggerSet, descriptor.TriggerAccess} {
		rep := &replicator{}
		a := one(func(_ http.ResponseWriter, r *http.Request) {
			switch r.URL.RawQuery {
			case "use":
				servlet.SessionOf(r)
			case "id":
				_, _ = servlet.SessionOf(r).ChangeID()
			case "end":
				_ = servlet.SessionOf(r).Invalidate()
			}
		})
		a.xml += "<distributable/>"
		a.opts.Sessions.Replicator = rep
		a.change = func(d *descriptor.WebApp) { d.Replication.Trigger = trigger }
		c, _ := a.start(t)
		access := trigger == descriptor.TriggerAccess
		cookie := ""
		for i, step := range []struct {
			query string
			want  bool
		}{{"use", true}, {"use", access}, {"", false}, {"id", true}, {"use", access}, {"end", true}} {
			rep.deltas = nil
			res := ask(c, http.MethodGet, "/s?"+step.query, cookie)
			if len(res.Cookies) > 0 {
				cookie = "JSESSIONID=" + res.Cookies[0].Value
			}
			if (len(rep.deltas) == 1) != step.want || len(rep.deltas) > 1 {
				t.Errorf("%s, step %d (%s): %d deltas", trigger, i, step.query, len(rep.deltas))
			}
		}
	}
}

// OnSessions comes before the first request, and again with each generation.
func TestOnSessions(t *testing.T) {
	var got []*sessions.Manager
	a := distributed(nil, nil)
	a.opts.OnSessions = func(m *sessions.Manager) { got = append(got, m) }
	c, _ := a.start(t)
	a.opts.Previous = c
	next, _ := a.build(t)
	if err := next.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := next.Stop(t.Context(), webapp.KeepSessions); err != nil {
		t.Error(err)
	}
	if len(got) != 2 || got[0] != got[1] || got[0] != c.Sessions() {
		t.Errorf("told of %v", got)
	}
}

// held is a Replicator whose receipts are met when the test says so.
type held struct {
	replicator
	done chan error
}

func (h *held) Commit(d *sessions.Delta) sessions.Receipt {
	h.replicator.Commit(d)
	return h
}

func (h *held) Wait(ctx context.Context) error {
	select {
	case err := <-h.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// The first byte waits for the acknowledgement; one that fails after it breaks the
// answer off.
func TestAcknowledgement(t *testing.T) {
	h := &held{done: make(chan error)}
	a := one(func(w http.ResponseWriter, r *http.Request) {
		for i := range 2 {
			_ = servlet.Set(servlet.SessionOf(r), "n", i)
			_, _ = fmt.Fprintf(w, "part %d,", i)
			if http.NewResponseController(w).Flush() != nil {
				return
			}
		}
	})
	a.opts.Sessions.Replicator = h
	c, _ := a.start(t)
	srv := httptest.NewServer(c)
	defer srv.Close()
	type result struct {
		res *http.Response
		err error
	}
	got := make(chan result)
	go func() {
		res, err := http.Get(srv.URL + "/s")
		got <- result{res, err}
	}()
	select {
	case <-got:
		t.Fatal("an answer without an acknowledgement")
	case <-time.After(20 * time.Millisecond): // nothing can be waited for that must not come
	}
	h.done <- nil
	r := <-got
	if r.err != nil {
		t.Fatal(r.err)
	}
	defer func() { _ = r.res.Body.Close() }()
	part := make([]byte, 7)
	if _, err := io.ReadFull(r.res.Body, part); err != nil || string(part) != "part 0," {
		t.Errorf("%q %v", part, err)
	}
	h.done <- errors.New("no owner")
	if rest, err := io.ReadAll(r.res.Body); !errors.Is(err, io.ErrUnexpectedEOF) || len(rest) > 0 {
		t.Errorf("%q %v, want the answer broken off", rest, err)
	}
	go func() { h.done <- errors.New("no owner"); close(h.done) }()
	res, err := http.Get(srv.URL + "/s")
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" {
		t.Errorf("%d", res.StatusCode)
	}
}

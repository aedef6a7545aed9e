package servlet_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/serval-server/serval/webapp/servlet"
	"github.com/serval-server/serval/webapp/servlet/servlettest"
)

// ear hears everything and writes it down; it panics at the event "boom".
type ear struct{ lines *[]string }

func (e ear) note(format string, args ...any) {
	s := fmt.Sprintf(format, args...)
	*e.lines = append(*e.lines, s)
	if strings.Contains(s, "boom") {
		panic("boom")
	}
}

func (e ear) ContextAttributeAdded(v servlet.ContextAttributeEvent) {
	e.note("c+%s=%v", v.Name, v.Value)
}
func (e ear) ContextAttributeRemoved(v servlet.ContextAttributeEvent) {
	e.note("c-%s=%v", v.Name, v.Value)
}
func (e ear) ContextAttributeReplaced(v servlet.ContextAttributeEvent) {
	e.note("c~%s=%v", v.Name, v.Value)
}
func (e ear) RequestAttributeAdded(v servlet.RequestAttributeEvent) {
	e.note("r+%s=%v", v.Name, v.Value)
}
func (e ear) RequestAttributeRemoved(v servlet.RequestAttributeEvent) {
	e.note("r-%s=%v", v.Name, v.Value)
}
func (e ear) RequestAttributeReplaced(v servlet.RequestAttributeEvent) {
	e.note("r~%s=%v", v.Name, v.Value)
}
func (e ear) SessionAttributeAdded(v servlet.SessionAttributeEvent) {
	e.note("s+%s=%v", v.Name, v.Value)
}
func (e ear) SessionAttributeRemoved(v servlet.SessionAttributeEvent) {
	e.note("s-%s=%v", v.Name, v.Old)
}
func (e ear) SessionAttributeReplaced(v servlet.SessionAttributeEvent) {
	e.note("s~%s=%v", v.Name, v.Old)
}
func (e ear) SessionCreated(v servlet.SessionEvent)               { e.note("created %v", v.Cause) }
func (e ear) SessionIDChanged(_ servlet.SessionEvent, old string) { e.note("id %s", old) }

func (e ear) SessionDestroyed(v servlet.SessionEvent) {
	n, err := servlet.Get[int](v.Session, "n")
	e.note("destroyed %v %v n=%d %v %v", v.Cause, v.Local, n, err, errors.Is(servlet.Set(v.Session, "n", 1), servlet.ErrInvalid))
}

func instance(t *testing.T, policy string) (*servlet.Instance, *[]string) {
	t.Helper()
	var lines []string
	in := servlet.NewInstance(servlet.App{
		Listeners:  map[string]any{"one": ear{&lines}, "two": ear{&lines}},
		Attributes: map[string]any{"guest": traveller{}},
		Policies:   map[string]servlet.NotificationPolicy{"quiet": quiet{}},
	}, servlet.NewContext(servlet.ContextConfig{}))
	if err := in.InitContext([]string{"one"}, policy); err != nil {
		t.Fatal(err)
	}
	return in, &lines
}

func take(lines *[]string) string {
	s := strings.Join(*lines, " | ")
	*lines = nil
	return s
}

func TestAttributeListeners(t *testing.T) {
	in, lines := instance(t, "")
	c := in.Context()
	c.SetAttribute("a", 1)
	c.SetAttribute("a", 2)
	c.SetAttribute("a", nil)
	c.RemoveAttribute("a")
	c.SetAttribute("boom", 1)
	if got := take(lines); got != "c+a=1 | c~a=1 | c-a=2 | c+boom=1" {
		t.Errorf("context: %s", got)
	}
	if names := c.AttributeNames(); len(names) != 1 || c.Attribute("boom") != 1 {
		t.Errorf("attributes: %v", names)
	}
	var x servlet.Exchange
	x.Init(nil, c, nil)
	r := x.Start(httptest.NewRequest(http.MethodGet, "/", nil), x.First())
	servlet.SetAttribute(r, "a", 1)
	servlet.SetAttribute(r, "a", 2)
	servlet.RemoveAttribute(r, "none")
	servlet.SetAttribute(r, "a", nil)
	servlet.SetAttribute(r, "boom", 3)
	if got := take(lines); got != "r+a=1 | r~a=1 | r-a=2 | r+boom=3" {
		t.Errorf("request: %s", got)
	}
	if names := servlet.AttributeNames(r); len(names) != 1 || servlet.Attribute(r, "boom") != 3 {
		t.Errorf("attributes: %v", names)
	}
	s := servlet.NewSession(c, servlettest.NewSession("s"))
	check(t, servlet.Set(s, "a", 1))
	check(t, servlet.Update(s, "a", func(n int, _ bool) (int, error) { return n + 1, nil }))
	check(t, servlet.Set(s, "a", 5))
	check(t, servlet.Remove(s, "a"))
	check(t, servlet.Set(s, "boom", 1))
	if got := take(lines); got != "s+a=1 | s~a=1 | s~a=2 | s-a=5 | s+boom=1" {
		t.Errorf("session: %s", got)
	}
}

// traveller is an attribute that hears of its own journeys.
type traveller struct{ Name string }

var travels []string

func (v traveller) ValueBound(e servlet.BindingEvent)   { travels = append(travels, "bound "+v.Name) }
func (v traveller) ValueUnbound(e servlet.BindingEvent) { travels = append(travels, "unbound "+v.Name) }
func (v traveller) SessionWillPassivate(e servlet.BindingEvent) {
	travels = append(travels, "leaves "+v.Name)
}
func (v traveller) SessionDidActivate(e servlet.BindingEvent) {
	travels = append(travels, "arrives "+v.Name)
}

// TestSessionEvents: what the server tells of a session that this process has
// never touched.
func TestSessionEvents(t *testing.T) {
	b := servlettest.NewSession("s")
	writer := request(t, b)
	check(t, servlet.Set(writer, "n", 3))
	check(t, servlet.Set(writer, "guest", map[string]string{"Name": "ann"}))
	check(t, writer.Commit())
	travels = nil
	in, lines := instance(t, "")
	for _, e := range []servlet.Event{
		{Kind: servlet.SessionCreated, Cause: servlet.Failover}, {Kind: servlet.SessionIDChanged, OldID: "before"},
		{Kind: servlet.SessionWillPassivate, Cause: servlet.Passivation}, {Kind: servlet.SessionDidActivate, Cause: servlet.Activation},
		{Kind: servlet.SessionDestroyed, Cause: servlet.Timeout, Local: true},
	} {
		e.Session = b
		check(t, in.Notify(e))
	}
	if got := take(lines); got != "created FAILOVER | id before | destroyed TIMEOUT true n=3 <nil> true | s-guest={ann} | s-n=3" {
		t.Errorf("listeners: %s", got)
	}
	if got := strings.Join(travels, " | "); got != "leaves ann | arrives ann | unbound ann" {
		t.Errorf("the value: %s", got)
	}
	if err := in.Notify(servlet.Event{Kind: 99}); err == nil {
		t.Error("an unknown event was accepted")
	}
}

// quiet is a policy that lets nobody hear of anything but what it is asked about.
type quiet struct{}

func (quiet) AllowSessionListener(_ servlet.Status, c servlet.Cause, _ bool) bool {
	return c == servlet.Create
}

func (quiet) AllowAttributeListener(servlet.Status, servlet.Cause, string, bool) bool { return false }

func (quiet) AllowBindingListener(servlet.Status, servlet.Cause, string, bool) bool { return false }

func (quiet) AllowActivationListener(_ servlet.Status, _ servlet.Cause, name string, _ bool) bool {
	return name == "other"
}

func TestNotificationPolicy(t *testing.T) {
	in, lines := instance(t, "quiet")
	b := servlettest.NewSession("s")
	s := servlet.NewSession(in.Context(), b)
	travels = nil
	check(t, servlet.Set(s, "guest", traveller{"bob"}))
	check(t, s.Commit())
	for kind := servlet.SessionCreated; kind <= servlet.SessionDidActivate; kind++ {
		check(t, in.Notify(servlet.Event{Kind: kind, Session: b, Cause: servlet.Create}))
		check(t, in.Notify(servlet.Event{Kind: kind, Session: b, Cause: servlet.Undeploy}))
	}
	if got := take(lines); got != "created CREATE | destroyed CREATE false n=0 servlet: no such attribute true | id  | id " {
		t.Errorf("listeners: %s", got)
	}
	if len(travels) != 0 {
		t.Errorf("the value: %v", travels)
	}
	bad := servlet.NewInstance(servlet.App{}, servlet.NewContext(servlet.ContextConfig{}))
	if err := bad.InitContext(nil, "nobody"); err == nil {
		t.Error("an unknown policy was accepted")
	}
	if err := bad.InitContext([]string{"nobody"}, ""); err == nil {
		t.Error("an unknown listener was accepted")
	}
}

func TestInstanceErrors(t *testing.T) {
	h := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	in := servlet.NewInstance(servlet.App{
		Servlets:    map[string]http.Handler{"ok": h},
		NewServlets: map[string]func(*servlet.Config) (http.Handler, error){"panics": func(*servlet.Config) (http.Handler, error) { panic(errors.New("no luck")) }},
		Filters:     map[string]servlet.Filter{"eats": func(http.Handler) http.Handler { return nil }},
	}, servlet.NewContext(servlet.ContextConfig{}))
	for _, name := range []string{"none", "panics"} {
		if err := in.InitServlet(servlet.Definition{Name: name}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("servlet %s: %v", name, err)
		}
	}
	if err := in.InitFilter(servlet.Definition{Name: "x", Class: "none"}); err == nil || !strings.Contains(err.Error(), `"none"`) {
		t.Errorf("filter: %v", err)
	}
	check(t, in.InitServlet(servlet.Definition{Name: "s", Class: "ok"}))
	check(t, in.InitFilter(servlet.Definition{Name: "eats"}))
	for _, k := range []struct {
		filters []string
		servlet string
		next    http.Handler
	}{{nil, "ok", nil}, {[]string{"none"}, "s", nil}, {[]string{"eats"}, "s", nil}, {nil, "", nil}} {
		if _, err := in.Segment(k.filters, k.servlet, k.next); err == nil {
			t.Errorf("segment %v %q was made", k.filters, k.servlet)
		}
	}
}

func TestContextFiles(t *testing.T) {
	dir := t.TempDir()
	c := servlet.NewContext(servlet.ContextConfig{
		Dir: dir, FS: fstest.MapFS{"a.txt": {Data: []byte("x")}}, Params: map[string]string{"b": "2", "a": "1"},
		MIME: func(ext string) string { return map[string]string{"txt": "text/plain"}[ext] },
	})
	for p, want := range map[string]string{
		"/a/b.txt": filepath.Join(dir, "a", "b.txt"), "a": filepath.Join(dir, "a"), "/": dir, "/a/../b": filepath.Join(dir, "b"),
		"/../x": filepath.Join(dir, "x"), "../x": "", "a/../../x": "", "/a\x00": "",
	} {
		if got := c.RealPath(p); got != want && p != "/../x" {
			t.Errorf("RealPath(%q) = %q, want %q", p, got, want)
		}
		if got := c.RealPath(p); got != "" && !strings.HasPrefix(got, dir) {
			t.Errorf("RealPath(%q) = %q leaves the bundle", p, got)
		}
	}
	for name, want := range map[string]string{"a.txt": "text/plain", "A.TXT": "text/plain", "a": "", "x.txt/y": "", "a.b": ""} {
		if got := c.MIMEType(name); got != want {
			t.Errorf("MIMEType(%q) = %q", name, got)
		}
	}
	if got := strings.Join(c.InitParamNames(), ""); got != "ab" || c.InitParam("b") != "2" {
		t.Errorf("parameters: %s", got)
	}
	if d := c.Dispatcher("/a/../b?x=1#f"); d == nil || d.Target().Query != "x=1" {
		t.Errorf("dispatcher: %+v", d)
	}
	for _, p := range []string{"", "a", "/../x", "/a/../../x", "/%00", "/%zz"} {
		if c.Dispatcher(p) != nil {
			t.Errorf("a dispatcher to %q", p)
		}
	}
	none := servlet.NewContext(servlet.ContextConfig{})
	if _, err := none.FS().Open("x"); err == nil || none.RealPath("/x") != "" || none.MIMEType("a.txt") != "" {
		t.Error("an application without files has some")
	}
}

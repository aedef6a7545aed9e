package replay

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/serval-server/serval/bench/oracle/wire"
)

type sessionCase struct {
	Name  string        `json:"name"`
	App   string        `json:"app"`
	Steps []sessionStep `json:"steps"`
}

type sessionStep struct {
	T         *string  `json:"t"`
	Script    *string  `json:"script"`
	Sleep     float64  `json:"sleep"`
	Cookie    *string  `json:"cookie"`
	Via       string   `json:"via"` // url, none, or "" for the cookie
	Boom      string   `json:"boom"`
	Unboom    int      `json:"unboom"`
	Drain     int      `json:"drain"`
	S         int      `json:"s"`
	SetCookie int      `json:"setCookie"`
	Log       []string `json:"log"`
}

// sessions replays the cases of each application in order, since their event
// logs are read after each step, then a stop and a start of the server.
func (p *player) sessions(ctx context.Context) error {
	var cases []sessionCase
	if err := json.Unmarshal(p.rec.Cases, &cases); err != nil {
		return err
	}
	p.lifecycle(-10, p.rec.StartupLog, startOf)
	byApp := map[string][]int{}
	var apps []string
	for i := range cases {
		if byApp[cases[i].App] == nil {
			apps = append(apps, cases[i].App)
		}
		byApp[cases[i].App] = append(byApp[cases[i].App], i)
	}
	err := p.each(ctx, len(apps), func(ctx context.Context, n int) error {
		for _, i := range byApp[apps[n]] {
			err := p.retry(i, func() error { return p.sessionCase(ctx, i, &cases[i]) })
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || p.rec.ShutdownLog == nil {
		return err
	}
	return p.restart(ctx, cases)
}

// restart compares the events of a stop and a start. The recorded server had
// no sessions but those of the cases "before stop", so this one starts afresh
// and gets those again.
func (p *player) restart(ctx context.Context, cases []sessionCase) error {
	srv, err := p.opt.Start(ctx, p.rec)
	if err != nil {
		return err
	}
	old := p.srv
	p.srv = srv
	defer func() {
		p.srv = old
		_ = srv.Close()
	}()
	done := map[string]bool{}
	for i := range cases {
		if c := &cases[i]; strings.HasSuffix(c.Name, "before stop") {
			done[c.App] = true
			if err := p.sessionCase(ctx, 100_000+i, c); err != nil {
				return err
			}
		}
	}
	if err := p.implied(ctx, done); err != nil {
		return err
	}
	for _, a := range p.rec.Deployments[0].Apps {
		p.srv.Drain(a.ContextPath)
	}
	err = srv.Restart(ctx, func() { p.lifecycle(200_000, p.rec.ShutdownLog, stopOf) })
	if err == nil {
		p.lifecycle(300_000, p.rec.RestartLog, startOf)
	}
	return err
}

var passivated = regexp.MustCompile(`willPassivate Bound\((\w+)#0\)`)

// implied makes the session of an application whose case "before stop" is not
// in this recording but whose passivated attribute is in the shutdown log.
func (p *player) implied(ctx context.Context, done map[string]bool) error {
	for app, lines := range stopOf(p.rec.ShutdownLog) {
		for _, l := range lines {
			m := passivated.FindStringSubmatch(l)
			if m == nil || done[app] {
				continue
			}
			script := "s.put k " + m[1]
			c := &sessionCase{Name: "before stop", App: app, Steps: []sessionStep{{Script: &script, S: 200, SetCookie: 1}}}
			if err := p.sessionCase(ctx, 150_000, c); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *player) sessionCase(ctx context.Context, key int, c *sessionCase) error {
	cookie := ""
	p.srv.Drain(c.App)
	for i := range c.Steps {
		s := &c.Steps[i]
		switch {
		case s.Boom != "":
			p.srv.Boom(c.App, s.Boom)
		case s.Unboom != 0:
			p.srv.Boom(c.App, "")
		default:
			if err := p.sessionStep(ctx, key, c, i, &cookie); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *player) sessionStep(ctx context.Context, key int, c *sessionCase, i int, cookie *string) error {
	s := &c.Steps[i]
	if s.Sleep > 0 {
		select {
		case <-time.After(seconds(s.Sleep)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	vars := appVars(p.rec.app(c.App))
	vars["method"], vars["script"] = "GET", deref(s.Script)
	label := fmt.Sprintf("%s (%s) step %d: %s", c.App, c.Name, i+1, deref(s.Script))
	if s.Script == nil {
		k := p.add(key, label, vars)
		k.events(s.Log, p.srv.Drain(c.App))
		return nil
	}
	q := &wire.Request{Method: "GET", Target: c.App + "/s", Host: p.rec.host()}
	if s.T != nil {
		q.Target = c.App + *s.T
	}
	q.Headers = append(q.Headers, wire.Header{Name: "X-Script", Value: *s.Script})
	switch {
	case s.Cookie != nil:
		q.Headers = append(q.Headers, wire.Header{Name: "Cookie", Value: *s.Cookie})
	case *cookie == "" || s.Via == "none":
	case s.Via == "url":
		q.Target += ";jsessionid=" + *cookie
	default:
		q.Headers = append(q.Headers, wire.Header{Name: "Cookie", Value: "JSESSIONID=" + *cookie})
	}
	r, err := p.do(ctx, "default", q)
	if err != nil {
		return err
	}
	vars["target"] = q.Target
	k := p.add(key, label, vars)
	set := r.Values("Set-Cookie")
	for _, v := range set {
		if rest, ok := strings.CutPrefix(v, "JSESSIONID="); ok {
			*cookie, _, _ = strings.Cut(rest, ";")
		}
	}
	k.answer(s.S, r)
	k.num("setcookie.lines", s.SetCookie, len(set))
	if s.Log != nil {
		k.events(s.Log, p.srv.Drain(c.App))
	}
	return nil
}

// events compares two logs. The instances of values that are equal are counted
// over the whole recorded run, so only whether it is the first one is compared;
// the attributes of an ending session come in the order of a hash table.
func (k *Case) events(want, got []string) {
	k.set("got.log", strings.Join(got, "\n"))
	k.logs(normalEvents(want), normalEvents(got))
}

var (
	instance = regexp.MustCompile(`#[1-9]\d*\)`)
	unbinds  = regexp.MustCompile(`^(unbound |[A-Z] attrRemoved )`)
)

func normalEvents(in []string) []string {
	out := make([]string, 0, len(in))
	for _, l := range in {
		out = append(out, instance.ReplaceAllString(l, "#n)"))
	}
	for i, l := range out {
		if !strings.Contains(l, " sessionDestroyed ") {
			continue
		}
		end := i + 1
		for end < len(out) && unbinds.MatchString(out[end]) {
			end++
		}
		slices.Sort(out[i+1 : end])
	}
	return out
}

// lifecycle compares a log of a start or a stop, application by application.
func (p *player) lifecycle(key int, want []string, split func([]string) map[string][]string) {
	if want == nil {
		return
	}
	byApp := split(want)
	for i, a := range p.rec.Deployments[0].Apps {
		k := p.add(key+i, fmt.Sprintf("%s: events of start or stop", a.ContextPath), appVars(a))
		k.events(byApp[a.ContextPath], p.srv.Drain(a.ContextPath))
	}
}

// startOf splits a log of a start: what follows an application's first
// contextInitialized belongs to it until that of the next.
func startOf(log []string) map[string][]string {
	out := map[string][]string{}
	app := ""
	for _, l := range log {
		if _, path, ok := strings.Cut(l, " contextInitialized "); ok {
			app = path
		}
		out[app] = append(out[app], l)
	}
	return out
}

// stopOf splits a log of a stop: what precedes an application's
// contextDestroyed belongs to it.
func stopOf(log []string) map[string][]string {
	out := map[string][]string{}
	var pending []string
	for _, l := range log {
		pending = append(pending, l)
		if _, path, ok := strings.Cut(l, " contextDestroyed "); ok {
			out[path] = append(out[path], pending...)
			pending = nil
		}
	}
	return out
}

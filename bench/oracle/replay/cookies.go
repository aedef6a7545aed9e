package replay

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/serval-server/serval/bench/oracle/wire"
)

type cookieApp struct {
	App   string       `json:"app"`
	Name  string       `json:"name"`
	Steps []cookieStep `json:"steps"`
}

type cookieStep struct {
	What      string       `json:"what"`
	T         string       `json:"t"`
	H         *[][2]string `json:"h"`
	Script    string       `json:"script"`
	S         int          `json:"s"`
	SetCookie []string     `json:"setCookie"`
	Body      *string      `json:"body"`
}

type incoming struct {
	Profiles map[string]string `json:"profiles"`
	Cases    []struct {
		Profile string      `json:"profile"`
		Cookie  *string     `json:"cookie"`
		Headers [][2]string `json:"headers"`
		S       int         `json:"s"`
		Out     string      `json:"out"`
	} `json:"cases"`
}

type responseSet struct {
	Profiles map[string]string `json:"profiles"`
	Cases    []struct {
		Profile   string   `json:"profile"`
		Script    string   `json:"script"`
		S         int      `json:"s"`
		SetCookie []string `json:"setCookie"`
	} `json:"cases"`
}

const (
	sidMark     = "<SID>"
	sidEncoded  = "<SID with its first character percent-encoded>"
	defaultPage = "<default error page>"
)

func (p *player) cookies(ctx context.Context) error {
	err := p.each(ctx, len(p.rec.SessionCookie), func(ctx context.Context, i int) error {
		return p.cookieApp(ctx, i, &p.rec.SessionCookie[i])
	})
	if err == nil && p.rec.Incoming != nil {
		err = p.incomingCookies(ctx, 10_000)
	}
	if err == nil && p.rec.Response != nil {
		err = p.responseCookies(ctx, 20_000)
	}
	return err
}

// jar remembers the session ids of an application's steps.
type jar struct {
	first string // id of the first step
	name  string // cookie that carried it, "" if none did
	seen  []string
}

// cookieApp replays the steps of one application in order.
func (p *player) cookieApp(ctx context.Context, key int, c *cookieApp) error {
	var j jar
	for i := range c.Steps {
		s := &c.Steps[i]
		q := &wire.Request{Method: "GET", Target: j.fill(s.T), Host: p.rec.host()}
		if s.T == "" {
			q.Target = encodePath(c.App) + "/s"
		}
		vars := appVars(p.rec.app(c.App))
		vars["method"], vars["target"], vars["script"] = "GET", s.T, s.Script
		script := s.Script
		if script == "" {
			script = "session true"
		}
		q.Headers = append(q.Headers, wire.Header{Name: "X-Script", Value: script})
		switch {
		case s.H != nil:
			for _, h := range *s.H {
				q.Headers = append(q.Headers, wire.Header{Name: h[0], Value: j.fill(h[1])})
				vars["request.header."+h[0]] = h[1]
			}
		case strings.HasPrefix(script, "s.changeid"):
			// The id of a session that there is can change; the recorder sent its cookie.
			name := j.name
			if name == "" {
				name = "JSESSIONID"
			}
			q.Headers = append(q.Headers, wire.Header{Name: "Cookie", Value: name + "=" + j.first})
		}
		r, err := p.do(ctx, "default", q)
		if err != nil {
			return err
		}
		j.learn(r)
		k := p.add(key, fmt.Sprintf("%s (%s): %s", c.App, c.Name, s.What), vars)
		if !k.answer(s.S, r) {
			continue
		}
		k.setCookies(s.SetCookie, j.normal(r.Values("Set-Cookie")))
		if s.Body != nil && *s.Body != defaultPage && r.Status < 400 {
			k.lines(*s.Body, j.normal([]string{utf8Text(r.Body)})[0])
		}
	}
	return nil
}

// fill puts the first id into a recorded target or header.
func (j *jar) fill(s string) string {
	if strings.Contains(s, sidEncoded) && j.first != "" {
		s = strings.ReplaceAll(s, sidEncoded, fmt.Sprintf("%%%02x%s", j.first[0], j.first[1:]))
	}
	return strings.ReplaceAll(s, sidMark, j.first)
}

var (
	pathParam  = regexp.MustCompile(`;[^;=\s?#/]+=([0-9A-Za-z._~-]{16,})`)
	cookieDate = regexp.MustCompile(`(?i)(Expires=)[^;]*`)
)

// learn takes note of the ids in an answer, to know them again.
func (j *jar) learn(r *wire.Response) {
	for _, c := range r.Values("Set-Cookie") {
		name, rest, _ := strings.Cut(c, "=")
		value, _, _ := strings.Cut(rest, ";")
		if len(value) < 16 {
			continue
		}
		j.seen = append(j.seen, value)
		if j.first == "" {
			j.first, j.name = value, name
		}
	}
	for _, m := range pathParam.FindAllStringSubmatch(string(r.Body), -1) {
		if j.first == "" {
			j.first = m[1]
		}
		j.seen = append(j.seen, m[1])
	}
}

// normal replaces ids and dates by their marks.
func (j *jar) normal(in []string) []string {
	out := slices.Clone(in)
	for i := range out {
		if j.first != "" {
			out[i] = strings.ReplaceAll(out[i], fmt.Sprintf("%%%02x%s", j.first[0], j.first[1:]), sidEncoded)
		}
		for _, id := range j.seen {
			out[i] = strings.ReplaceAll(out[i], id, sidMark)
		}
		out[i] = cookieDate.ReplaceAllString(out[i], "${1}<DATE>")
	}
	return out
}

// setCookies compares Set-Cookie lines attribute by attribute; their order
// within a line means nothing (RFC 6265 §5.2).
func (k *Case) setCookies(want, got []string) {
	if len(want) != len(got) {
		k.list("setcookie.lines", want, got)
		return
	}
	for i := range want {
		w, g := splitCookie(want[i]), splitCookie(got[i])
		for _, n := range union(w, g) {
			k.text("setcookie."+n, member(w, n), member(g, n))
		}
	}
}

// splitCookie gives each attribute by its lower-case name; a flag is "true".
func splitCookie(s string) map[string]any {
	out := map[string]any{}
	for i, part := range strings.Split(s, ";") {
		n, v, ok := strings.Cut(strings.TrimSpace(part), "=")
		switch {
		case i == 0:
			out["name"], out["value"] = n, v
		case ok:
			out[strings.ToLower(n)] = "=" + v
		default:
			out[strings.ToLower(n)] = "true"
		}
	}
	return out
}

// incomingCookies replays Cookie headers as they came from a browser.
func (p *player) incomingCookies(ctx context.Context, base int) error {
	in := p.rec.Incoming
	return p.each(ctx, len(in.Cases), func(ctx context.Context, i int) error {
		c := &in.Cases[i]
		a := p.cookieProfile(c.Profile, in.Profiles)
		q := &wire.Request{Method: "GET", Target: encodePath(a.ContextPath) + "/s", Host: p.rec.host()}
		q.Headers = append(q.Headers, wire.Header{Name: "X-Script", Value: "cookies"})
		vars := appVars(a)
		vars["script"], vars["profile"] = "cookies", c.Profile
		if c.Cookie != nil {
			q.Headers = append(q.Headers, wire.Header{Name: "Cookie", Value: latin1(*c.Cookie)})
			vars["request.header.Cookie"] = *c.Cookie
		}
		for _, h := range c.Headers {
			q.Headers = append(q.Headers, wire.Header{Name: h[0], Value: h[1]})
			vars["request.header.Cookie"] += h[1]
		}
		r, err := p.do(ctx, "default", q)
		if err != nil {
			return err
		}
		k := p.add(base+i, fmt.Sprintf("incoming (%s) %q", c.Profile, vars["request.header.Cookie"]), vars)
		if k.answer(c.S, r) {
			k.text("cookies", c.Out, utf8Text(r.Body))
		}
		return nil
	})
}

// responseCookies replays the making of cookies by applications.
func (p *player) responseCookies(ctx context.Context, base int) error {
	rs := p.rec.Response
	profiles := rs.Profiles
	if profiles == nil && p.rec.Incoming != nil {
		profiles = p.rec.Incoming.Profiles
	}
	return p.each(ctx, len(rs.Cases), func(ctx context.Context, i int) error {
		c := &rs.Cases[i]
		a := p.cookieProfile(c.Profile, profiles)
		script := c.Script
		if !strings.Contains(script, ";;") {
			script = "try " + script
		}
		q := &wire.Request{Method: "GET", Target: encodePath(a.ContextPath) + "/s", Host: p.rec.host()}
		q.Headers = append(q.Headers, wire.Header{Name: "X-Script", Value: script})
		r, err := p.do(ctx, "default", q)
		if err != nil {
			return err
		}
		vars := appVars(a)
		vars["script"], vars["profile"] = c.Script, c.Profile
		k := p.add(base+i, fmt.Sprintf("response (%s) %s", c.Profile, c.Script), vars)
		if k.answer(c.S, r) {
			var j jar
			j.learn(r)
			k.setCookies(c.SetCookie, j.normal(r.Values("Set-Cookie")))
		}
		return nil
	})
}

// cookieProfile finds the application of a profile: by the recording's table,
// else by the words of the profile's name among those of the application's.
func (p *player) cookieProfile(profile string, table map[string]string) *App {
	if path, ok := table[profile]; ok {
		return p.rec.app(path)
	}
	words := strings.Split(profile, "-")
	for _, d := range p.rec.Deployments {
		for _, a := range d.Apps {
			f := strings.Fields(a.Name)
			if len(f) > len(words) {
				f = f[len(f)-len(words):]
			}
			if slices.Equal(f, words) && a.ContextXML != "" {
				return a
			}
		}
	}
	return p.rec.app("")
}

// encodePath percent-encodes what is not ASCII in a context path.
func encodePath(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c > 0x20 && c < 0x7f {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

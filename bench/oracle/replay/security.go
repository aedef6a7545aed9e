package replay

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"

	"github.com/serval-server/serval/bench/oracle/wire"
)

type user struct {
	Password string   `json:"password"`
	Roles    []string `json:"roles"`
}

type securityApp struct {
	App       string                     `json:"app"`
	Name      string                     `json:"name"`
	Rows      []securityRow              `json:"rows"`
	Locations map[string]json.RawMessage `json:"locations"`
	Admin     *struct {
		CacheControl *string `json:"cacheControl"`
		Expires      *string `json:"expires"`
		Echo         []any   `json:"echo"`
		B            *string `json:"b"`
	} `json:"ok_get_admin_x"`
	Forward *summary `json:"fwd_as_admin"`
}

// securityRow is [method, path, [status for each of who]].
type securityRow struct {
	Method, Path string
	Status       []int
}

// UnmarshalJSON reads the row from its array.
func (r *securityRow) UnmarshalJSON(b []byte) error {
	return json.Unmarshal(b, &[]any{&r.Method, &r.Path, &r.Status})
}

type authorization struct {
	Target string `json:"target"`
	Cases  []struct {
		Authorization json.RawMessage `json:"authorization"`
		S             int             `json:"s"`
		RU            *string         `json:"ru"`
	} `json:"cases"`
}

type formFlow struct {
	App   string `json:"app"`
	Steps []struct {
		M    string  `json:"m"`
		T    string  `json:"t"`
		Body string  `json:"body"`
		R    summary `json:"r"`
	} `json:"steps"`
}

func (p *player) security(ctx context.Context) error {
	err := p.each(ctx, len(p.rec.Results), func(ctx context.Context, i int) error {
		return p.securityApp(ctx, i, &p.rec.Results[i])
	})
	if err == nil && p.rec.Authorization != nil {
		err = p.authorization(ctx, 1000)
	}
	if err == nil && p.rec.FormFlow != nil && p.rec.app(p.rec.FormFlow.App).WebXML != nil {
		err = p.formFlow(ctx, 2000)
	}
	return err
}

func (p *player) securityApp(ctx context.Context, key int, app *securityApp) error {
	for i := range app.Rows {
		row := &app.Rows[i]
		for n, status := range row.Status {
			if n >= len(p.rec.Who) || n > 0 && sameAnswer(row.Status) {
				break // who asks made no difference: ask once
			}
			who := p.rec.Who[n]
			r, k, err := p.securityRequest(ctx, key, app, row.Method, row.Path, who)
			if err != nil {
				return err
			}
			if loc := locationOf(app, row); loc != "" && who == nil {
				loc = strings.Replace(loc, fmt.Sprintf(":%d/", p.rec.RedirectPort), fmt.Sprintf(":%d/", p.srv.RedirectPort()), 1)
				k.set("want.location", loc)
				got, _ := r.Get("Location")
				k.text("location", loc, got)
			}
			k.answer(status, r)
		}
	}
	admin := "admin"
	if app.Admin != nil {
		r, k, err := p.securityRequest(ctx, key, app, "GET", "/admin/x", &admin)
		if err != nil {
			return err
		}
		if k.answer(200, r) {
			cc, _ := r.Get("Cache-Control")
			k.text("header.Cache-Control", deref(app.Admin.CacheControl), cc)
			k.echo(app.Admin.Echo, summarize(r).E)
		}
	}
	if app.Forward != nil {
		r, k, err := p.securityRequest(ctx, key, app, "GET", "/fwd", &admin)
		if err != nil {
			return err
		}
		k.summary(app.Forward, r)
	}
	return nil
}

func sameAnswer(status []int) bool {
	for _, s := range status {
		if s != status[0] {
			return false
		}
	}
	return true
}

// locationOf is the recorded redirect of a row, "" if none was.
func locationOf(app *securityApp, row *securityRow) string {
	var s string
	if json.Unmarshal(app.Locations[row.Method+" "+row.Path], &s) != nil {
		return ""
	}
	return s
}

func (p *player) securityRequest(ctx context.Context, key int, app *securityApp, method, path string, who *string) (*wire.Response, *Case, error) {
	q := &wire.Request{Method: method, Target: latin1(app.App + path), Host: p.rec.host()}
	vars := appVars(p.rec.app(app.App))
	vars["method"], vars["target"], vars["credentials"] = method, app.App+path, deref(who)
	label := fmt.Sprintf("%s %s%s (%s)", method, app.App, path, app.Name)
	if who != nil {
		name, _, bad := strings.Cut(*who, "!")
		password := p.rec.Users[name].Password
		if bad {
			password = "wrong"
		}
		q.Headers = append(q.Headers, wire.Header{Name: "Authorization", Value: "Basic " + base64.StdEncoding.EncodeToString([]byte(name+":"+password))})
		label += " as " + *who
	}
	r, err := p.do(ctx, "default", q)
	if err != nil {
		return nil, nil, err
	}
	return r, p.add(key, label, vars), nil
}

// authorization replays odd Authorization headers.
func (p *player) authorization(ctx context.Context, base int) error {
	a := p.rec.Authorization
	return p.each(ctx, len(a.Cases), func(ctx context.Context, i int) error {
		c := &a.Cases[i]
		var value string
		if json.Unmarshal(c.Authorization, &value) != nil {
			return nil // two headers, recorded by a description only
		}
		q := &wire.Request{Method: "GET", Target: latin1(a.Target), Host: p.rec.host()}
		q.Headers = append(q.Headers, wire.Header{Name: "Authorization", Value: value})
		r, err := p.do(ctx, "default", q)
		if err != nil {
			return err
		}
		vars := map[string]string{"method": "GET", "target": a.Target, "credentials": value, "request.header.Authorization": value}
		if app := p.rec.Deployments[0].owner(a.Target); app != nil {
			vars["descriptor"] = deref(app.WebXML)
		}
		k := p.add(base+i, fmt.Sprintf("Authorization: %s", value), vars)
		k.answer(c.S, r)
		return nil
	})
}

// formFlow replays a login by form with one cookie.
func (p *player) formFlow(ctx context.Context, key int) error {
	f := p.rec.FormFlow
	cookie := ""
	for i := range f.Steps {
		s := &f.Steps[i]
		q := &wire.Request{Method: s.M, Target: f.App + s.T, Host: p.rec.host(), Body: []byte(s.Body)}
		if s.Body != "" {
			q.Headers = append(q.Headers, wire.Header{Name: "Content-Type", Value: "application/x-www-form-urlencoded"})
		}
		if cookie != "" {
			q.Headers = append(q.Headers, wire.Header{Name: "Cookie", Value: "JSESSIONID=" + cookie})
		}
		r, err := p.do(ctx, "default", q)
		if err != nil {
			return err
		}
		for _, v := range r.Values("Set-Cookie") {
			if rest, ok := strings.CutPrefix(v, "JSESSIONID="); ok {
				cookie, _, _ = strings.Cut(rest, ";")
			}
		}
		vars := appVars(p.rec.app(f.App))
		vars["method"], vars["target"], vars["credentials"] = s.M, f.App+s.T, formUser(s.Body)
		k := p.add(key, fmt.Sprintf("form login step %d: %s %s", i+1, s.M, s.T), vars)
		k.summary(&s.R, r)
	}
	return nil
}

func formUser(body string) string {
	v, err := url.ParseQuery(body)
	if err != nil {
		return ""
	}
	return v.Get("j_username")
}

package replay

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/serval-server/serval/bench/oracle/wire"
)

// mapping replays the requests of every deployment.
func (p *player) mapping(ctx context.Context) error {
	key := 0
	for _, d := range p.rec.Deployments {
		base := key
		key += len(d.Cases)
		err := p.each(ctx, len(d.Cases), func(ctx context.Context, i int) error {
			c := &d.Cases[i]
			r, err := p.do(ctx, "default", &wire.Request{Method: "GET", Target: latin1(c.T), Host: d.ID})
			if err != nil {
				return err
			}
			vars := map[string]string{}
			if a := d.owner(c.T); a != nil {
				vars = appVars(a)
			}
			vars["method"], vars["target"] = "GET", c.T
			k := p.add(base+i, d.ID+" GET "+c.T, vars)
			k.summary(c, r)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// paths replays the hostile targets. A body that holds the marker of a
// protected file is a leak, whatever the recording says about the rest.
func (p *player) paths(ctx context.Context) error {
	var cases []summary
	if err := json.Unmarshal(p.rec.Cases, &cases); err != nil {
		return err
	}
	host := p.rec.host()
	return p.each(ctx, len(cases), func(ctx context.Context, i int) error {
		c := &cases[i]
		q := &wire.Request{Method: "GET", Target: latin1(c.T), Host: host}
		if c.M != "" {
			q.Method = c.M
		}
		if q.Method == http.MethodPut || q.Method == http.MethodPost {
			q.Body = []byte("hello")
		}
		if c.Script != "" {
			q.Headers = append(q.Headers, wire.Header{Name: "X-Script", Value: c.Script})
		}
		r, err := p.do(ctx, c.Profile, q)
		if err != nil {
			return err
		}
		label := fmt.Sprintf("%s %s", q.Method, c.T)
		if c.Script != "" {
			label += " (" + c.Script + ")"
		}
		if c.Profile != "default" {
			label = c.Profile + ": " + label
		}
		k := p.add(i, label, map[string]string{"method": q.Method, "target": c.T, "script": c.Script, "profile": c.Profile})
		k.summary(c, r)
		k.text("leak", fmt.Sprint(c.Leak), fmt.Sprint(p.leaks(r.Body)))
		return nil
	})
}

func (p *player) leaks(body []byte) bool {
	return p.rec.Marker != "" && bytes.Contains(body, []byte(p.rec.Marker)) || strings.HasPrefix(string(body), "root:")
}
